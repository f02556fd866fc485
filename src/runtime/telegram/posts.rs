//! Posts become messages: one worker a chat, so that a chat that has to wait holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Bot;
use crate::chat::telegram::{Outgoing, SendError, TelegramError, cards};
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
/// First pause before another try; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause before another try.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Shows posts as they are woken, until told to stop.
pub(super) async fn show(bot: Bot, wakes: &mut mpsc::UnboundedReceiver<PostId>, stop: &CancellationToken) {
    let tasks = TaskTracker::new();
    let mut chats: HashMap<i64, mpsc::UnboundedSender<PostId>> = HashMap::new();
    loop {
        let id = tokio::select! {
            () = stop.cancelled() => break,
            id = wakes.recv() => id,
        };
        let Some(id) = id else { break };
        let Some(post) = bot.post(&id).await else { continue };
        let worker = chats.entry(post.chat).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let worker = Worker { bot: bot.clone(), drafts: HashMap::new(), tasks: TaskTracker::new(), last: 0 };
            tasks.spawn(worker.run(receiver, stop.clone()));
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
    async fn run(mut self, mut posts: mpsc::UnboundedReceiver<PostId>, stop: CancellationToken) {
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
        let mut pause = RETRY_FIRST;
        loop {
            let Some(post) = self.bot.post(id).await.filter(|post| post.state == PostState::Waiting) else { return };
            if let Some((cancel, task)) = self.drafts.remove(id) {
                // Its last edit must not come after ours.
                cancel.cancel();
                drop(task.await);
            }
            if !self.bot.report(id, Posted::Taken).await {
                return;
            }
            // After it is taken: what changes from here on makes it wait again.
            let shown = self.bot.render(&post).await;
            let (what, wait) = match self.deliver(&post, &shown).await {
                Ok(message) => (Posted::Shown(message), None),
                Err(error) => verdict(&post, &error, pause),
            };
            if !self.bot.report(id, what).await {
                return;
            }
            if let (Posted::Shown(message), PostSubject::Turn(turn)) = (what, &post.subject) {
                self.keep_up(post.clone(), turn.clone(), message).await;
            }
            let Some(wait) = wait else { return };
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Sends or edits; returns the first message.
    async fn deliver(&mut self, post: &Post, shown: &[Outgoing]) -> Result<i32, SendError> {
        let mut shown = shown.iter().cloned();
        let Some(first) = shown.next() else { return Ok(post.message.unwrap_or_default()) };
        let first = if post.may_repeat { first.may_repeat() } else { first };
        let telegram = Arc::clone(&self.bot.telegram);
        let is_reply = match &post.subject {
            PostSubject::Turn(turn) => self.bot.is_over(turn).await,
            PostSubject::Approval(_) | PostSubject::Run(_) | PostSubject::Note(_) => false,
        };
        let message = match post.message {
            // A reply stands below the cards of its turn, where it is looked for.
            Some(draft) if is_reply && self.last > draft => {
                let message = telegram.send(post.chat, &first, None).await?;
                if let Err(error) =
                    telegram.edit(post.chat, draft, &Outgoing::text("<i>castoff: done, see below</i>".to_owned())).await
                {
                    tracing::debug!("a draft was not closed: {error}");
                }
                message
            }
            Some(message) => {
                telegram.edit(post.chat, message, &first).await?;
                message
            }
            None => telegram.send(post.chat, &first, None).await?,
        };
        self.last = self.last.max(message);
        for next in shown {
            self.last = telegram.send(post.chat, &next, None).await?;
        }
        Ok(message)
    }

    /// Keeps a turn's message up to date while the model writes.
    async fn keep_up(&mut self, post: Post, turn: crate::domain::ids::TurnId, message: i32) {
        let Some(record) = self.bot.turn(&turn).await else { return };
        if record.state.is_over() {
            return;
        }
        let (bot, cancel) = (self.bot.clone(), CancellationToken::new());
        let (id, stopped) = (post.post.clone(), cancel.clone());
        let task = self.tasks.spawn(async move { draft(bot, post.chat, message, record, stopped).await });
        self.drafts.insert(id, (cancel, task));
    }
}

/// What is reported of a failure, and how long to wait before another try.
fn verdict(post: &Post, error: &SendError, pause: Duration) -> (Posted, Option<Duration>) {
    match error {
        SendError::RetryAfter { seconds } => (Posted::NotSent, Some(Duration::from_secs(*seconds).min(RETRY_MAX * 10))),
        SendError::Blocked { .. } => (Posted::Lost, None),
        SendError::NotSent(TelegramError::Refused { .. } | TelegramError::TooLarge { .. }) => {
            tracing::warn!("a message cannot be shown: {error}");
            (Posted::Lost, None)
        }
        SendError::NotSent(_) => (Posted::NotSent, Some(pause)),
        // An edit never doubles, and what may be there twice is tried once more.
        SendError::Unknown(_) if post.message.is_some() => (Posted::NotSent, Some(pause)),
        SendError::Unknown(_) if post.may_repeat => (Posted::Lost, None),
        SendError::Unknown(_) => (Posted::Unknown, Some(pause)),
    }
}

async fn draft(bot: Bot, chat: i64, message: i32, mut turn: TurnRecord, cancel: CancellationToken) {
    let mut news = bot.handle.watch_turn(&turn.turn);
    let (mut text, mut fresh) = (String::new(), true);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(DRAFT_PAUSE), if fresh => {
                fresh = false;
                let shown = cards::draft(&turn, &text);
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
                    turn = *record;
                    fresh = true;
                }
                Some(News::Delta(Delta::Text(more))) => {
                    text.push_str(&more);
                    fresh = true;
                }
                Some(News::Delta(_) | News::Record(_) | News::Output(..) | News::Progress(_) | News::Declined(_) | News::Posted(_)) => {}
            }
        }
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
                Some(record) => vec![cards::draft(&record, "")],
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
                    Some((approval, run)) => vec![self.approval_card(&approval, &run).await],
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
