//! Posts become messages: one worker a chat, so that a chat that has to wait holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::Bot;
use super::answers::{After, RETRY_FIRST, RETRY_MAX, say};
use super::drafts::Draft;
use crate::chat::telegram::{Outgoing, SendError, TelegramError};
use crate::crash::{self, Point};
use crate::domain::ids::{PostId, TurnId};
use crate::domain::turn::{Post, PostState, PostSubject, TurnRecord};
use crate::engine::Event;
use crate::engine::post::Posted;
use crate::runtime::handle::News;

/// How long it may take until a report is on record.
const REPORT_TIME_MAX: Duration = Duration::from_secs(30);

/// Shows posts as they are woken, until told to stop; what is not shown then is woken again, for the next bot.
pub(super) async fn show(bot: Bot, wakes: &mut mpsc::UnboundedReceiver<PostId>) {
    let mut workers = JoinSet::new();
    let mut chats: HashMap<i64, mpsc::UnboundedSender<PostId>> = HashMap::new();
    loop {
        let id = tokio::select! {
            () = bot.ended.cancelled() => break,
            id = wakes.recv() => id,
        };
        let Some(id) = id else { break };
        let Some(post) = bot.post(&id).await else { continue };
        let worker = chats.entry(post.chat).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let worker = Worker { bot: bot.clone(), drafts: HashMap::new(), tasks: TaskTracker::new(), last: 0 };
            workers.spawn(worker.run(receiver));
            sender
        });
        drop(worker.send(id));
    }
    // Those of a chat in their order, before what comes from here on.
    let mut left = Vec::new();
    while let Some(ended) = workers.join_next().await {
        left.extend(ended.unwrap_or_default());
    }
    while let Ok(id) = wakes.try_recv() {
        left.push(id);
    }
    left.into_iter().for_each(|id| bot.handle.posts.wake(id));
}

/// Shows the posts of one chat, in order.
struct Worker {
    bot: Bot,
    /// Turns whose message is being kept up to date.
    drafts: HashMap<PostId, Draft>,
    tasks: TaskTracker,
    /// The last message that was sent.
    last: i32,
}

impl Worker {
    /// Returns those that are not shown when the bot ends.
    async fn run(mut self, mut posts: mpsc::UnboundedReceiver<PostId>) -> Vec<PostId> {
        let (stop, mut left) = (self.bot.ended.clone(), Vec::new());
        while let Some(id) = tokio::select! { () = stop.cancelled() => None, id = posts.recv() => id } {
            tokio::select! {
                () = stop.cancelled() => {
                    left.push(id);
                    break;
                }
                () = self.show(&id) => {}
            }
        }
        while let Ok(id) = posts.try_recv() {
            left.push(id);
        }
        self.drafts.values().for_each(Draft::cancel);
        self.tasks.close();
        self.tasks.wait().await;
        left
    }

    /// Shows a post as it is to be shown now, however often that must be tried.
    async fn show(&mut self, id: &PostId) {
        let (mut pause, mut parts) = (RETRY_FIRST, Parts::default());
        loop {
            let Some(mut post) = self.bot.waiting(id).await else { return };
            if let Some(draft) = self.drafts.remove(id) {
                // Its last edit must not come after ours.
                draft.close().await;
                // It may stand in another message since.
                let Some(again) = self.bot.waiting(id).await else { return };
                post = again;
            }
            // From before it is sent, so that the first words are not missed.
            let news = match &post.subject {
                PostSubject::Turn(turn) => Some(self.bot.handle.watch_turn(turn)),
                PostSubject::Approval(_) | PostSubject::Run(_) | PostSubject::Note(_) | PostSubject::Answer { .. } => {
                    None
                }
            };
            if !self.bot.report(id, Posted::Taken).await {
                return;
            }
            // One that stands there in part goes on where it is.
            let moved = if parts.done == 0 { self.below(post).await } else { Some(post) };
            let Some(post) = moved else { return };
            // After it is taken: what changes from here on makes it wait again.
            let shown = self.bot.render(&post).await;
            let (what, wait) = match self.deliver(&post, &shown, &mut parts).await {
                Ok(message) => {
                    crash::point(stands_there(&post.subject));
                    (message.map_or(Posted::Lost, Posted::Shown), None)
                }
                Err(failed) => {
                    let after = After::of(&failed.error, failed.said, pause);
                    if after == After::Lost {
                        self.say_lost(post.chat, &shown, &failed.error).await;
                    }
                    match after {
                        After::Again(wait) => (Posted::NotSent, Some(wait)),
                        // An edit never doubles.
                        After::Doubtful(wait) if failed.edit => (Posted::NotSent, Some(wait)),
                        After::Doubtful(wait) => (Posted::Unknown, Some(wait)),
                        After::TwiceDoubtful | After::Lost => (Posted::Lost, None),
                    }
                }
            };
            if !self.bot.report(id, what).await {
                return;
            }
            if let (Posted::Shown(message), Some(news)) = (what, news) {
                self.keep_up(&post, message, news).await;
            }
            let Some(wait) = wait else { return };
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Says that something cannot be shown, since Telegram refuses it. Whoever blocked the bot is told nothing.
    async fn say_lost(&self, chat: i64, shown: &[Outgoing], error: &SendError) {
        let SendError::NotSent(why) = error else { return };
        let name = shown.iter().find_map(|part| part.document.as_ref()).map(|(name, _)| name);
        let what = name.map_or_else(|| "a message".to_owned(), |name| format!("`{name}`"));
        say(&self.bot, chat, &format!("{what} could not be sent: {why}")).await;
    }

    /// Leaves the draft of a reply behind when cards came after it: a reply stands below the cards of its
    /// turn, where it is looked for. That it is sent anew is on record before it is.
    async fn below(&mut self, mut post: Post) -> Option<Post> {
        let (PostSubject::Turn(turn), Some(draft)) = (&post.subject, post.message) else { return Some(post) };
        if self.last <= draft || !self.bot.is_over(turn).await {
            return Some(post);
        }
        let closed = Outgoing::text("<i>castoff: done, see below</i>".to_owned());
        if let Err(error) = self.bot.telegram.edit(post.chat, draft, &closed).await {
            tracing::debug!("a draft was not closed: {error}");
        }
        post.message = None;
        self.bot.report(&post.post, Posted::Moved).await.then_some(post)
    }

    /// Sends or edits what does not stand there yet; returns the first message, `None` when nobody knows it.
    async fn deliver(&mut self, post: &Post, shown: &[Outgoing], parts: &mut Parts) -> Result<Option<i32>, Failed> {
        let telegram = Arc::clone(&self.bot.telegram);
        if post.may_repeat && parts.tried == 0 {
            // Before a restart: nobody knows how far it came.
            parts.tried = shown.len();
        }
        for (number, part) in shown.iter().enumerate().skip(parts.done) {
            if let (0, Some(message)) = (number, post.message) {
                match telegram.edit(post.chat, message, part).await {
                    Ok(()) => {
                        (parts.first, parts.done) = (Some(message), 1);
                        continue;
                    }
                    // It was deleted, or is another bot's. That it is sent anew is on record before it is.
                    Err(error) if is_gone(&error) && self.bot.report(&post.post, Posted::Moved).await => {
                        tracing::debug!("a message is sent anew: {error}");
                    }
                    Err(error) => return Err(Failed { error, edit: true, said: false }),
                }
            }
            let said = number < parts.tried;
            parts.tried = parts.tried.max(number + 1);
            let part = if said { part.clone().may_repeat() } else { part.clone() };
            match telegram.send(post.chat, &part, None).await {
                Ok(message) => {
                    self.last = self.last.max(message);
                    parts.first = parts.first.or((number == 0).then_some(message));
                }
                // It may be there twice: on with the next one.
                Err(SendError::Unknown(error)) if said => tracing::warn!("a message may not be shown: {error}"),
                Err(error) => {
                    if !matches!(error, SendError::Unknown(_)) {
                        // Not this time.
                        parts.tried = if said { parts.tried } else { number };
                    }
                    return Err(Failed { error, edit: false, said });
                }
            }
            parts.done = number + 1;
        }
        Ok(parts.first.or(if shown.is_empty() { Some(post.message.unwrap_or_default()) } else { None }))
    }

    /// Keeps a turn's message up to date while the model writes.
    async fn keep_up(&mut self, post: &Post, message: i32, news: mpsc::UnboundedReceiver<News>) {
        let PostSubject::Turn(turn) = &post.subject else { return };
        let Some(record) = self.bot.turn(turn).await.filter(|record| !record.state.is_over()) else { return };
        let draft = Draft::begin(&self.bot, &self.tasks, (post, message), record, news);
        self.drafts.insert(post.post.clone(), draft);
    }
}

/// How far the messages of a post have come.
#[derive(Debug, Default)]
struct Parts {
    /// Those that stand there, from the first on.
    done: usize,
    /// Those that may stand there.
    tried: usize,
    /// The first one's message.
    first: Option<i32>,
}

/// A message that was not shown, or nobody knows.
struct Failed {
    error: SendError,
    /// It was to be another one's new text.
    edit: bool,
    /// It said that it may be there already.
    said: bool,
}

/// Whether a message takes no edit, now or ever.
fn is_gone(error: &SendError) -> bool {
    matches!(error, SendError::NotSent(TelegramError::Refused { code: 400, .. }))
}

/// The moment at which a post was sent, and that is not on record.
fn stands_there(subject: &PostSubject) -> Point {
    match subject {
        PostSubject::Approval(_) => Point::CardNotRecorded,
        PostSubject::Turn(_) | PostSubject::Run(_) | PostSubject::Note(_) | PostSubject::Answer { .. } => {
            Point::ReplyNotConfirmed
        }
    }
}

impl Bot {
    async fn post(&self, id: &PostId) -> Option<Post> {
        let id = id.clone();
        self.read(move |store| store.post(&id)).await
    }

    async fn waiting(&self, id: &PostId) -> Option<Post> {
        self.post(id).await.filter(|post| post.state == PostState::Waiting)
    }

    pub(super) async fn turn(&self, turn: &TurnId) -> Option<TurnRecord> {
        let turn = turn.clone();
        self.read(move |store| store.turn(&turn)).await
    }

    async fn is_over(&self, turn: &TurnId) -> bool {
        self.turn(turn).await.is_some_and(|record| record.state.is_over())
    }

    /// Reports, and waits until that is on record; `false` when the core is shutting down.
    pub(super) async fn report(&self, id: &PostId, what: Posted) -> bool {
        let mut news = self.handle.watch_post(id);
        if !self.handle.send(Event::Posted { post: id.clone(), what }).await {
            return false;
        }
        let on_record = async {
            while let Some(news) = news.recv().await {
                if matches!(news, News::Posted(Some(reported)) if reported == what) {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(REPORT_TIME_MAX, on_record).await.unwrap_or_else(|_| {
            tracing::error!("a post is not known any more: {id}");
            false
        })
    }
}

/// Wakes whoever shows posts.
#[derive(Debug, Clone)]
pub struct Posts(Arc<mpsc::UnboundedSender<PostId>>);

impl Posts {
    /// And what is woken.
    pub(in crate::runtime) fn new() -> (Self, mpsc::UnboundedReceiver<PostId>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Arc::new(sender)), receiver)
    }

    /// The post waits to be shown.
    pub(in crate::runtime) fn wake(&self, post: PostId) {
        // Without Telegram it waits in the store.
        drop(self.0.send(post));
    }
}
