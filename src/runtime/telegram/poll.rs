//! The long poll. What one person sends is taken in order, and keeps nobody else waiting:
//!
//! ```text
//!  poll ─▶ lane of the sender ─▶ taken ─▶ the next poll asks from the first that is not taken yet
//! ```

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Bot;
use super::updates::{Seen, set_menu, take};
use crate::chat::telegram::{Incoming, TelegramError, What};
use crate::domain::principal::Trust;
use crate::domain::time::Timestamp;
use crate::engine::Event;
use crate::runtime::{clock, commands};

/// How long the runner may take to be ready before messages are taken without it.
const READY_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it is.
const READY_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long one poll waits for an update.
const POLL_S: u32 = 50;
/// How long the next poll waits for what the last one brought; after that others are asked for beside it.
const TAKE_TIME: Duration = Duration::from_millis(500);
/// First pause after a poll that failed; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long what is under way, and the last acknowledgement, may take when the bot ends.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(2);
/// How long nothing more is said about another program that takes the bot's messages.
const TOLD_AGAIN_MS: u64 = 60 * 60 * 1000;
/// The lane of everybody who is not listed.
const STRANGERS: i64 = 0;

/// Takes updates as they come, until the bot is to end. An update is acknowledged when what it led to is
/// on record; one that comes again is known by the id of its turn.
pub(super) async fn poll(bot: Bot) {
    let mut work = Work::new();
    until_ready(&bot).await;
    let asked = poll_on(&bot, &mut work).await;
    // What does not end in time comes again, as after a crash.
    work.wait(LEAVE_TIME_MAX).await;
    let offset = work.offset();
    drop(work);
    // What was taken is not to come again to the bot after this one, or after a restart.
    if offset != asked
        && let Ok(Err(error)) = tokio::time::timeout(LEAVE_TIME_MAX, bot.telegram.updates(offset, 0)).await
    {
        tracing::debug!("the last messages were not acknowledged: {error}");
    }
}

/// Returns once a run could start, or after a while: what was sent while Castoff was down would else be taken
/// before the runner is up, and fail for that.
async fn until_ready(bot: &Bot) {
    let ready = async {
        while bot.handle.view().runner.is_none_or(|runner| !runner.problems.is_empty()) {
            tokio::time::sleep(READY_LOOK_INTERVAL).await;
        }
    };
    tokio::select! {
        () = bot.polls.cancelled() => {}
        _ = tokio::time::timeout(READY_TIME_MAX, ready) => {}
    }
}

/// Returns the offset of the last poll.
async fn poll_on(bot: &Bot, work: &mut Work) -> i64 {
    let (mut pause, mut told, mut asked) = (PAUSE_FIRST, None, 0);
    set_menu(bot, None, Trust::Limited).await;
    while !bot.polls.is_cancelled() {
        asked = work.offset();
        let wait = if work.open.is_empty() { POLL_S } else { 0 };
        let updates = tokio::select! {
            () = bot.polls.cancelled() => return asked,
            updates = bot.telegram.updates(asked, wait) => updates,
        };
        match updates {
            Ok(updates) => {
                pause = PAUSE_FIRST;
                for update in updates {
                    work.begin(bot, update);
                }
                work.wait(TAKE_TIME).await;
            }
            Err(error) => {
                tracing::warn!("no messages from Telegram: {error}");
                tell_of_another(bot, &error, &mut told).await;
                let wait = if let TelegramError::RetryAfter { seconds } = error {
                    Duration::from_secs(seconds)
                } else {
                    pause
                };
                tokio::select! {
                    () = bot.polls.cancelled() => return asked,
                    () = tokio::time::sleep(wait) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    asked
}

/// What has come, and how far it is taken. Dropped, it ends what is under way.
struct Work {
    /// The number behind the last update that came.
    next: i64,
    /// What came and is not taken yet. Telegram hands out a hundred behind the first of them, no more.
    open: BTreeSet<i64>,
    /// What is taken, but comes again as long as one before it is not.
    done: BTreeSet<i64>,
    /// One for each listed person who wrote, and one for all others.
    lanes: HashMap<i64, Lane>,
    tasks: JoinSet<()>,
    report: UnboundedSender<i64>,
    taken: UnboundedReceiver<i64>,
}

/// What one person sends, in order.
struct Lane {
    updates: UnboundedSender<(Incoming, CancellationToken)>,
    /// Cancelled by the next `/stop`, for what came before it: a file that comes slowly is not waited for.
    stop: CancellationToken,
}

impl Work {
    fn new() -> Self {
        let (report, taken) = unbounded_channel();
        Self {
            next: 0,
            open: BTreeSet::new(),
            done: BTreeSet::new(),
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            report,
            taken,
        }
    }

    /// From which update on the next poll asks.
    fn offset(&self) -> i64 {
        self.open.first().copied().unwrap_or(self.next)
    }

    fn begin(&mut self, bot: &Bot, update: Incoming) {
        if self.open.contains(&update.update) || self.done.contains(&update.update) {
            return;
        }
        self.next = update.update + 1;
        self.open.insert(update.update);
        let lane = bot.principal(update.from).map_or(STRANGERS, |_| update.from);
        let lane = self.lanes.entry(lane).or_insert_with(|| {
            let (sender, updates) = unbounded_channel();
            self.tasks.spawn(take_all(bot.clone(), updates, self.report.clone()));
            Lane { updates: sender, stop: CancellationToken::new() }
        });
        if matches!(&update.what, What::Message(message) if commands::is_stop(&message.text)) {
            std::mem::take(&mut lane.stop).cancel();
        }
        if lane.updates.send((update, lane.stop.clone())).is_err() {
            tracing::error!("an update cannot be taken: its lane is gone");
        }
    }

    /// Waits until all is taken, at most so long.
    async fn wait(&mut self, most: Duration) {
        let all = async {
            while !self.open.is_empty()
                && let Some(taken) = self.taken.recv().await
            {
                self.open.remove(&taken);
                self.done.insert(taken);
            }
            self.done.clear();
        };
        if tokio::time::timeout(most, all).await.is_err() {
            tracing::debug!("{} updates are under way for longer", self.open.len());
        }
    }
}

async fn take_all(
    bot: Bot,
    mut updates: UnboundedReceiver<(Incoming, CancellationToken)>,
    report: UnboundedSender<i64>,
) {
    let mut seen = Seen::default();
    while let Some((update, stop)) = updates.recv().await {
        // What has not begun when the bot ends comes again.
        if bot.polls.is_cancelled() {
            return;
        }
        let number = update.update;
        take(&bot, update, &stop, &mut seen).await;
        if report.send(number).is_err() {
            return;
        }
    }
}

/// Tells the owner, now and then, that another program takes the bot's messages.
async fn tell_of_another(bot: &Bot, error: &TelegramError, told: &mut Option<Timestamp>) {
    let now = clock::now();
    let lately = told.is_some_and(|then| then <= now && now.ms_since(then) < TOLD_AGAIN_MS);
    if matches!(error, TelegramError::AnotherPoller { .. }) && !lately {
        *told = Some(now);
        bot.send(Event::OwnerTold { text: error.to_string() }).await;
    }
}
