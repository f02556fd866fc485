//! Posts become messages: one worker a chat, so that a chat that has to wait holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Bot;
use super::answers::{After, RETRY_FIRST, RETRY_MAX};
use crate::chat::telegram::{Outgoing, SendError, cards};
use crate::crash::{self, Point};
use crate::domain::ids::{PersonId, PostId};
use crate::domain::model::Delta;
use crate::domain::record::{ApprovalRecord, RunRecord, Subject};
use crate::domain::task::FileRequest;
use crate::domain::turn::{Post, PostState, PostSubject, TurnRecord, TurnState};
use crate::engine::Event;
use crate::engine::post::Posted;
use crate::runtime::handle::News;

/// Pause between two edits of a draft: Telegram takes about one a second.
const DRAFT_PAUSE: Duration = Duration::from_millis(1200);
/// How long it may take until a report is on record.
const REPORT_TIME_MAX: Duration = Duration::from_secs(30);

/// Shows posts as they are woken, until told to stop.
pub(super) async fn show(bot: Bot, wakes: &mut mpsc::UnboundedReceiver<PostId>) {
    let tasks = TaskTracker::new();
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
            tasks.spawn(worker.run(receiver));
            sender
        });
        drop(worker.send(id));
    }
    tasks.close();
    tasks.wait().await;
}

/// Shows the posts of one chat, in order.
struct Worker {
    bot: Bot,
    /// Turns whose message is being kept up to date.
    drafts: HashMap<PostId, (CancellationToken, tokio::task::JoinHandle<()>)>,
    tasks: TaskTracker,
    /// The last message that was sent.
    last: i32,
}

impl Worker {
    async fn run(mut self, mut posts: mpsc::UnboundedReceiver<PostId>) {
        let stop = self.bot.ended.clone();
        while let Some(id) = tokio::select! { () = stop.cancelled() => None, id = posts.recv() => id } {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.show(&id) => {}
            }
        }
        self.drafts.values().for_each(|(cancel, _)| cancel.cancel());
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Shows a post as it is to be shown now, however often that must be tried.
    async fn show(&mut self, id: &PostId) {
        let (mut pause, mut parts) = (RETRY_FIRST, Parts::default());
        loop {
            let Some(post) = self.bot.post(id).await.filter(|post| post.state == PostState::Waiting) else { return };
            if let Some((cancel, task)) = self.drafts.remove(id) {
                // Its last edit must not come after ours.
                cancel.cancel();
                drop(task.await);
            }
            // From before it is sent, so that the first words are not missed.
            let news = match &post.subject {
                PostSubject::Turn(turn) => Some(self.bot.handle.watch_turn(turn)),
                PostSubject::Approval(_) | PostSubject::Run(_) | PostSubject::Note(_) => None,
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
                Err(failed) => match After::of(&failed.error, failed.said, pause) {
                    After::Again(wait) => (Posted::NotSent, Some(wait)),
                    // An edit never doubles.
                    After::Doubtful(wait) if failed.edit => (Posted::NotSent, Some(wait)),
                    After::Doubtful(wait) => (Posted::Unknown, Some(wait)),
                    After::TwiceDoubtful | After::Lost => (Posted::Lost, None),
                },
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
                let edited = telegram.edit(post.chat, message, part).await;
                edited.map_err(|error| Failed { error, edit: true, said: false })?;
                (parts.first, parts.done) = (Some(message), 1);
                continue;
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
        let (bot, chat, cancel) = (self.bot.clone(), post.chat, CancellationToken::new());
        let stopped = cancel.clone();
        let task = self.tasks.spawn(draft(bot, (chat, message), record, news, stopped));
        self.drafts.insert(post.post.clone(), (cancel, task));
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

async fn draft(
    bot: Bot,
    (chat, message): (i64, i32),
    mut turn: TurnRecord,
    mut news: mpsc::UnboundedReceiver<News>,
    cancel: CancellationToken,
) {
    let (mut text, mut waits, mut fresh) = (String::new(), None, true);
    let mut pauses = tokio::time::interval_at(tokio::time::Instant::now() + DRAFT_PAUSE, DRAFT_PAUSE);
    pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = pauses.tick(), if fresh => {
                fresh = false;
                let shown = cards::draft(&turn, waits.as_deref(), &text);
                let typed = bot.telegram.typing(chat);
                let edited = bot.telegram.edit(chat, message, &shown);
                // Not interrupted, so that the last words come after these.
                if let (_, Err(error)) = tokio::join!(typed, edited) {
                    tracing::debug!("a draft was not shown: {error}");
                    if let SendError::RetryAfter { seconds } = error {
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                }
            }
            heard = news.recv() => match heard {
                None => return,
                Some(News::Turn(record)) => {
                    if record.state.is_over() {
                        return;
                    }
                    if matches!(record.state, TurnState::Thinking { .. }) {
                        text.clear();
                    }
                    (turn, waits, fresh) = (*record, None, true);
                }
                Some(News::Record(record)) => {
                    let asks = cards::waits(&record).map(str::to_owned);
                    fresh |= asks != waits;
                    waits = asks;
                }
                Some(News::Delta(Delta::Waiting(why))) => (waits, fresh) = (Some(why), true),
                Some(News::Delta(Delta::Text(more))) => {
                    text.push_str(&more);
                    (waits, fresh) = (None, true);
                }
                Some(News::Delta(Delta::Tool(_)) | News::Output(..) | News::Progress(_) | News::Declined(_) | News::Posted(_) | News::Tried(_)) => {}
            }
        }
    }
}

/// The moment at which a post was sent, and that is not on record.
fn stands_there(subject: &PostSubject) -> Point {
    match subject {
        PostSubject::Approval(_) => Point::CardNotRecorded,
        PostSubject::Turn(_) | PostSubject::Run(_) | PostSubject::Note(_) => Point::ReplyNotConfirmed,
    }
}

impl Bot {
    async fn post(&self, id: &PostId) -> Option<Post> {
        let id = id.clone();
        self.read(move |store| store.post(&id)).await
    }

    async fn turn(&self, turn: &crate::domain::ids::TurnId) -> Option<TurnRecord> {
        let turn = turn.clone();
        self.read(move |store| store.turn(&turn)).await
    }

    async fn is_over(&self, turn: &crate::domain::ids::TurnId) -> bool {
        self.turn(turn).await.is_some_and(|record| record.state.is_over())
    }

    /// Reports, and waits until that is on record; `false` when the core is shutting down.
    async fn report(&self, id: &PostId, what: Posted) -> bool {
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

    /// The messages of a post, from what is on record now.
    async fn render(&self, post: &Post) -> Vec<Outgoing> {
        match &post.subject {
            PostSubject::Note(text) => cards::note(text),
            PostSubject::Turn(turn) => match self.turn(turn).await {
                Some(TurnRecord { state: TurnState::Done { outcome }, .. }) => cards::outcome(&outcome),
                Some(record) => vec![cards::draft(&record, None, "")],
                None => Vec::new(),
            },
            PostSubject::Run(run) => {
                let id = run.clone();
                match self.read(move |store| store.run(&id)).await {
                    Some(record) => vec![self.run_card(&record).await],
                    None => Vec::new(),
                }
            }
            PostSubject::Approval(approval) => {
                let id = approval.clone();
                let found = self.read(move |store| match store.approval(&id)? {
                    Some(approval) => Ok(store.run(&approval.run)?.map(|run| (approval, run))),
                    None => Ok(None),
                });
                match found.await {
                    Some((approval, mut run)) => {
                        // What only the owner may do is offered to nobody else.
                        if let Some(verdict) = run.verdict.as_mut().filter(|_| post.person != PersonId::owner()) {
                            verdict.always.clear();
                        }
                        vec![self.approval_card(&approval, &run).await]
                    }
                    None => Vec::new(),
                }
            }
        }
    }

    async fn approval_card(&self, approval: &ApprovalRecord, run: &RunRecord) -> Outgoing {
        let diff = match approval.subject {
            Subject::Changes { .. } => self.handle.diff(&run.run).await.unwrap_or_default(),
            Subject::Plan { .. } => String::new(),
        };
        cards::approval(approval, run, &diff, &self.names())
    }

    /// What people call a person.
    pub(super) fn names(&self) -> impl Fn(&PersonId) -> String + use<> {
        let policy = self.handle.view().policy;
        move |person| policy.principal(person.as_str()).map_or_else(|| person.to_string(), |one| one.name)
    }

    /// A run's card, or the file that it sends.
    pub(super) async fn run_card(&self, record: &RunRecord) -> Outgoing {
        let Some(FileRequest::Send { path }) = record.task.file() else { return cards::run(record) };
        let run = record.run.clone();
        let pieces = self.read(move |store| store.output(&run, 0).map(Some)).await.unwrap_or_default();
        let parts = pieces.into_iter().flat_map(|piece| piece.parts);
        let bytes =
            parts.filter(|(stream, _)| *stream == crate::domain::run::Stream::Stdout).flat_map(|(_, bytes)| bytes);
        let name = path.as_str().rsplit('/').next().unwrap_or("file");
        Outgoing::document(name, bytes.collect(), String::new())
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
