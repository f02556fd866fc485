//! The Telegram side of the core: who may talk, what they say becomes turns, and posts become messages.
//!
//! ```text
//!  updates ─ access ─▶ Said, Answered, commands ─▶ core loop ─▶ posts ─▶ messages, cards
//!               ╲──▶ strangers: logged, nothing else
//! ```

mod always;
mod answers;
mod drafts;
mod poll;
mod posts;
mod shown;
mod updates;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chat::telegram::Telegram;
use crate::domain::ids::PostId;
use crate::domain::principal::Principal;
use crate::domain::record::{ApprovalRecord, RunRecord, SettingName};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Channel, Post, PostSubject, TurnRecord};
use crate::engine::Event;
use crate::engine::post::id_of;
use crate::policy::Policy;
use crate::runtime::clock;
use crate::runtime::handle::Handle;
use crate::runtime::models::Models;
use crate::store::{Store, StoreError};

pub use posts::Posts;

/// Wrong codes after which the right one counts no more, so that nobody can try them all.
pub const WRONG_CODES_MAX: u32 = 10;
/// How long a code counts.
const CODE_MS: u64 = 10 * 60 * 1000;

/// A code that makes whoever sends it to the bot the owner's account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pairing {
    /// The code.
    pub code: String,
    /// The bot's name.
    pub bot: String,
    /// The Telegram id that sent it.
    pub owner: Option<i64>,
    /// Wrong codes that came; it counts no more at [`WRONG_CODES_MAX`].
    pub wrong: u32,
    /// Until when it counts.
    pub until: Timestamp,
    /// Who asked for it.
    #[serde(skip)]
    asked_by: Option<Principal>,
}

/// What a text is to a code that is waited for.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// It is the code; who asked for it.
    Code(Principal),
    /// It is the code that made the sender the owner: Telegram brings it again.
    Again,
    /// Something else.
    Other,
}

/// What the Telegram side shares with the rest of the core.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    /// Settings changed: for the bot, and for those who wait until they are on record.
    changed: Arc<Notify>,
    kept: Arc<watch::Sender<()>>,
    pairing: Arc<Mutex<Option<Pairing>>>,
}

impl Desk {
    /// The settings are to be looked at anew.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
        self.kept.send_replace(());
    }

    /// Rings whenever settings have changed from now on.
    pub(super) fn kept(&self) -> watch::Receiver<()> {
        self.kept.subscribe()
    }

    /// The code that is waited for, and whether it has come.
    pub fn paired(&self) -> Option<Pairing> {
        self.pairing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a code.
    ///
    /// # Errors
    /// Why nobody could send it, for people.
    pub async fn pair(&self, handle: &Handle, by: Principal) -> Result<Pairing, String> {
        let token = handle.store().setting(&SettingName::TelegramToken).map_err(|error| error.to_string())?;
        let token = token.ok_or("no bot is set up\nhint: `castoff config --telegram-token`")?;
        let bot = name_of(handle.models(), &SecretString::from(token)).await?;
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|error| format!("the kernel has no random bytes: {error}"))?;
        let code = format!("{:08}", u32::from_be_bytes(bytes) % 100_000_000);
        let until = clock::now().plus_ms(CODE_MS);
        let pairing = Pairing { code, bot, owner: None, wrong: 0, until, asked_by: Some(by) };
        *self.pairing.lock().unwrap_or_else(PoisonError::into_inner) = Some(pairing.clone());
        Ok(pairing)
    }

    /// Takes a text as the code, which counts once. A link to the bot sends it behind `/start`.
    fn take_code(&self, text: &str, from: i64, now: Timestamp) -> Sent {
        let text = text.strip_prefix("/start ").unwrap_or(text);
        let mut pairing = self.pairing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = pairing.as_mut() else { return Sent::Other };
        if open.code != text {
            let tries = text.len() == open.code.len() && text.bytes().all(|byte| byte.is_ascii_digit());
            open.wrong = open.wrong.saturating_add(u32::from(tries && open.owner.is_none()));
            return Sent::Other;
        }
        if open.owner == Some(from) {
            return Sent::Again;
        }
        if open.wrong >= WRONG_CODES_MAX || now > open.until {
            return Sent::Other;
        }
        let Some(by) = open.asked_by.take() else { return Sent::Other };
        open.owner = Some(from);
        Sent::Code(by)
    }
}

/// The name of the bot with this token, to try it.
///
/// # Errors
/// Why it is none, for people.
pub async fn name_of(models: &Models, token: &SecretString) -> Result<String, String> {
    let address = models.settings().telegram.as_str().to_owned();
    let telegram = Telegram::new(token.clone(), &address).map_err(|error| error.to_string())?;
    telegram.me().await.map(|me| me.username).map_err(|error| error.to_string())
}

/// The card of a run, if one stands in a chat or waits to.
pub(super) fn card_of(store: &Store, run: &RunRecord) -> Result<Option<Post>, StoreError> {
    let of_turn = store.turn(&run.turn)?.and_then(|turn| chat_of(&turn));
    let Some(chat) = of_turn.or(run.chat) else { return Ok(None) };
    store.post(&id_of(chat, &PostSubject::Run(run.run.clone())))
}

/// Where a turn is talked.
fn chat_of(turn: &TurnRecord) -> Option<i64> {
    match turn.channel {
        Channel::Telegram { chat, .. } => Some(chat),
        Channel::Terminal => None,
    }
}

/// Posts that wait to be shown, and those whose subject is still open.
pub(super) fn open_posts(
    store: &Store,
    policy: &Policy,
    approvals: &[ApprovalRecord],
    turns: &[TurnRecord],
    runs: &[RunRecord],
) -> Result<Vec<Post>, StoreError> {
    let owner = store.setting(&SettingName::OwnerTelegramId)?;
    let people = policy.people();
    let listed = people.iter().filter_map(|one| policy.telegram_id(&one.person));
    let chats: BTreeSet<i64> = listed.chain(owner.as_deref()).filter_map(|id| id.parse().ok()).collect();
    let of_turns =
        turns.iter().filter_map(|record| Some(id_of(chat_of(record)?, &PostSubject::Turn(record.turn.clone()))));
    let of_approvals = approvals
        .iter()
        .flat_map(|record| chats.iter().map(|chat| id_of(*chat, &PostSubject::Approval(record.approval.clone()))));
    let mut posts = store.open_posts()?;
    let others =
        of_turns.chain(of_approvals).map(|id| store.post(&id)).chain(runs.iter().map(|run| card_of(store, run)));
    for other in others {
        posts.extend(other?.filter(|other| !posts.iter().any(|post| post.post == other.post)));
    }
    Ok(posts)
}

/// Serves the bot that is set up, and the next one when the settings change, until told to stop.
pub async fn serve(handle: Handle, mut wakes: mpsc::UnboundedReceiver<PostId>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let changed = handle.desk().changed.clone();
        let bot = match Bot::of(&handle, stop.child_token()) {
            Ok(bot) => bot,
            Err(why) => {
                tracing::error!("Telegram is off: {why}");
                None
            }
        };
        let owner = bot.as_ref().and_then(|bot| bot.chosen.owner);
        if !handle.send(Event::TelegramChosen { on: bot.is_some(), owner }).await {
            return;
        }
        let Some(bot) = bot else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => continue,
            }
        };
        let work = async {
            tokio::join!(poll::poll(bot.clone()), posts::show(bot.clone(), &mut wakes));
        };
        let end = async {
            let is_another = async {
                loop {
                    changed.notified().await;
                    // Another setting than the bot's is no reason to begin anew.
                    if Chosen::of(&handle).as_ref().ok().and_then(Option::as_ref) != Some(&bot.chosen) {
                        return;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = is_another => {}
            }
            bot.ended.cancel();
            bot.polls.cancel();
        };
        tokio::join!(work, end);
        bot.tasks.close();
        bot.tasks.wait().await;
    }
}

/// Which bot is set up, and whose it is.
#[derive(Debug, Clone)]
struct Chosen {
    token: SecretString,
    /// The owner's id, where only the settings know it.
    owner: Option<i64>,
    address: String,
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        self.token.expose_secret() == other.token.expose_secret()
            && (self.owner, &self.address) == (other.owner, &other.address)
    }
}

impl Chosen {
    fn of(handle: &Handle) -> Result<Option<Self>, String> {
        let store = handle.store();
        let token = store.setting(&SettingName::TelegramToken).map_err(|error| error.to_string())?;
        let Some(token) = token.map(SecretString::from) else { return Ok(None) };
        let owner = store.setting(&SettingName::OwnerTelegramId).map_err(|error| error.to_string())?;
        let owner = owner.and_then(|id| id.parse().ok());
        Ok(Some(Self { token, owner, address: handle.models().settings().telegram.as_str().to_owned() }))
    }
}

/// A bot at work.
#[derive(Debug, Clone)]
struct Bot {
    telegram: Arc<Telegram>,
    handle: Handle,
    chosen: Chosen,
    /// Answers that come later, or have to be sent again.
    tasks: TaskTracker,
    /// It is to take nothing more.
    polls: CancellationToken,
    /// It is to end, for another bot or for good.
    ended: CancellationToken,
}

impl Bot {
    fn of(handle: &Handle, ended: CancellationToken) -> Result<Option<Self>, String> {
        let Some(chosen) = Chosen::of(handle)? else { return Ok(None) };
        let telegram = Telegram::new(chosen.token.clone(), &chosen.address).map_err(|error| error.to_string())?;
        let (telegram, tasks) = (Arc::new(telegram), TaskTracker::new());
        let polls = handle.closing.child_token();
        Ok(Some(Self { telegram, handle: handle.clone(), chosen, tasks, polls, ended }))
    }

    /// Who this is; `None` for strangers.
    fn principal(&self, from: i64) -> Option<Principal> {
        let policy = self.handle.view().policy;
        let listed = policy.principal_of_telegram(from);
        let owner = || policy.principal("owner").filter(|_| self.chosen.owner == Some(from));
        listed.or_else(owner)
    }

    async fn send(&self, event: Event) {
        if !self.handle.send(event).await {
            tracing::debug!("the core is shutting down");
        }
    }

    /// Does something beside all else, until the bot ends.
    fn until_ended(&self, work: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Reads from the store; what cannot be read is nothing, and logged.
    async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Store) -> Result<Option<T>, StoreError> + Send + 'static,
    ) -> Option<T> {
        let store = self.handle.store();
        match tokio::task::spawn_blocking(move || reading(&store)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!("it cannot be read: {error}");
                None
            }
            Err(error) => {
                tracing::error!("reading failed: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PersonId;
    use crate::domain::principal::Trust;

    const NOW: Timestamp = Timestamp::from_ms(1_000);

    fn owner() -> Principal {
        Principal { person: PersonId::owner(), name: "Ann".to_owned(), trust: Trust::Owner }
    }

    fn waiting() -> Desk {
        let (code, bot) = ("12345678".to_owned(), "a_bot".to_owned());
        let until = NOW.plus_ms(CODE_MS);
        let pairing = Pairing { code, bot, owner: None, wrong: 0, until, asked_by: Some(owner()) };
        Desk { pairing: Arc::new(Mutex::new(Some(pairing))), ..Desk::default() }
    }

    #[test]
    fn a_code_counts_once_for_whoever_is_first_and_not_for_ever() {
        let desk = waiting();
        assert_eq!(desk.take_code("12345679", 1, NOW), Sent::Other);
        assert_eq!(desk.take_code("hello", 2, NOW), Sent::Other);
        assert_eq!(desk.take_code("12345678", 2, NOW), Sent::Code(owner()));
        assert_eq!(desk.take_code("12345678", 2, NOW), Sent::Again);
        assert_eq!(desk.take_code("12345678", 1, NOW), Sent::Other);
        assert_eq!(waiting().take_code("/start 12345678", 2, NOW), Sent::Code(owner()));
        assert_eq!(waiting().take_code("12345678", 2, NOW.plus_ms(CODE_MS + 1)), Sent::Other);
        assert_eq!(Desk::default().take_code("12345678", 2, NOW), Sent::Other);
    }

    #[test]
    fn codes_cannot_be_tried_out() {
        let desk = waiting();
        for wrong in 0..WRONG_CODES_MAX {
            assert_eq!(desk.take_code(&format!("{wrong:08}"), 1, NOW), Sent::Other);
        }
        assert_eq!(desk.take_code("12345678", 2, NOW), Sent::Other);
        assert_eq!(desk.paired().map(|pairing| (pairing.wrong, pairing.owner)), Some((WRONG_CODES_MAX, None)));
    }
}
