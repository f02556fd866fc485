//! The message of a turn while it goes on: what it is doing, and what the model has written so far. What the model
//! said beside tool calls stays where it stands, as a message of its own; the draft goes on below it.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Bot;
use super::answers::send_all;
use crate::chat::telegram::{SendError, cards};
use crate::domain::ids::PostId;
use crate::domain::model::Delta;
use crate::domain::turn::{Post, TurnRecord, TurnState};
use crate::engine::post::Posted;
use crate::runtime::handle::News;

/// Pause between two edits: Telegram takes about one a second.
const PAUSE: Duration = Duration::from_millis(1200);

/// A draft that is being kept up to date.
pub(super) struct Draft {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Draft {
    /// Keeps the message of a turn's post up to date from now on.
    pub(super) fn begin(
        bot: &Bot,
        tasks: &TaskTracker,
        (post, message): (&Post, i32),
        turn: TurnRecord,
        news: UnboundedReceiver<News>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let writer = Writer {
            bot: bot.clone(),
            post: post.post.clone(),
            place: (post.chat, message),
            turn,
            waits: None,
            text: String::new(),
            said: Vec::new(),
            fresh: true,
        };
        let task = tasks.spawn(writer.write(news, cancel.clone()));
        Self { cancel, task }
    }

    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Returns when it does nothing more.
    pub(super) async fn close(self) {
        self.cancel.cancel();
        drop(self.task.await);
    }
}

struct Writer {
    bot: Bot,
    post: PostId,
    /// Chat and message.
    place: (i64, i32),
    turn: TurnRecord,
    waits: Option<String>,
    /// What the model has written in the call under way, or beside the tool calls that are being served.
    text: String,
    /// What it said beside tool calls that are served.
    said: Vec<String>,
    /// Something is not shown yet.
    fresh: bool,
}

impl Writer {
    async fn write(mut self, mut news: UnboundedReceiver<News>, cancel: CancellationToken) {
        let mut pauses = tokio::time::interval_at(tokio::time::Instant::now() + PAUSE, PAUSE);
        pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.turn.state.is_over() {
            tokio::select! {
                () = cancel.cancelled() => break,
                // Not interrupted, so that the last words come after these.
                _ = pauses.tick(), if self.fresh => self.show().await,
                heard = news.recv() => match heard {
                    None => break,
                    Some(news) => self.hear(news),
                }
            }
            if !self.said.is_empty() && !self.turn.state.is_over() {
                let goes_on = self.leave().await && self.go_on().await;
                if !goes_on {
                    return;
                }
            }
        }
        while let Ok(news) = news.try_recv() {
            self.hear(news);
        }
        if !self.said.is_empty() && !self.bot.ended.is_cancelled() {
            self.leave().await;
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Turn(record) => {
                let works = |state: &TurnState| matches!(state, TurnState::Working { .. });
                if works(&self.turn.state) && !works(&record.state) && !self.text.trim().is_empty() {
                    self.said.push(std::mem::take(&mut self.text));
                }
                if matches!(record.state, TurnState::Thinking { .. }) {
                    self.text.clear();
                }
                (self.turn, self.waits, self.fresh) = (*record, None, true);
            }
            News::Record(record) => {
                let asks = cards::waits(&record).map(str::to_owned);
                self.fresh |= asks != self.waits;
                self.waits = asks;
            }
            News::Delta(Delta::Waiting(why)) => (self.waits, self.fresh) = (Some(why), true),
            News::Delta(Delta::Text(more)) => {
                self.text.push_str(&more);
                (self.waits, self.fresh) = (None, true);
            }
            News::Delta(Delta::Tool(_))
            | News::Output(..)
            | News::Progress(_)
            | News::Declined(_)
            | News::Posted(_)
            | News::Tried(_) => {}
        }
    }

    async fn show(&mut self) {
        self.fresh = false;
        let (chat, message) = self.place;
        let shown = cards::draft(&self.turn, self.waits.as_deref(), &self.text);
        let typed = self.bot.telegram.typing(chat);
        let edited = self.bot.telegram.edit(chat, message, &shown);
        if let (_, Err(error)) = tokio::join!(typed, edited) {
            tracing::debug!("a draft was not shown: {error}");
            if let SendError::RetryAfter { seconds } = error {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
    }

    /// Leaves what was said beside tool calls where the draft stands; `false` when the core is shutting down. Where
    /// the draft cannot be edited, it is said below.
    async fn leave(&mut self) -> bool {
        let (chat, message) = self.place;
        let mut parts = cards::reply(&std::mem::take(&mut self.said).join("\n\n"));
        if let Some(first) = parts.first() {
            match self.bot.telegram.edit(chat, message, first).await {
                Ok(()) => drop(parts.remove(0)),
                Err(error) => tracing::debug!("a draft was not left standing: {error}"),
            }
        }
        send_all(&self.bot, chat, parts).await;
        self.bot.report(&self.post, Posted::Moved).await
    }

    /// Goes on in a message below; `false` when there is none.
    async fn go_on(&mut self) -> bool {
        self.fresh = false;
        let shown = cards::draft(&self.turn, self.waits.as_deref(), &self.text);
        match self.bot.telegram.send(self.place.0, &shown, None).await {
            Ok(message) => {
                self.place.1 = message;
                self.bot.report(&self.post, Posted::Shown(message)).await
            }
            Err(error) => {
                tracing::debug!("a draft was not shown anew: {error}");
                false
            }
        }
    }
}
