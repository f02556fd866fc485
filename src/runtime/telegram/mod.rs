//! The Telegram side of the core: who may talk, what they say becomes turns, and posts become messages.
//!
//! ```text
//!  updates ─ access ─▶ Said, Answered, commands ─▶ core loop ─▶ posts ─▶ messages, cards
//!               ╲──▶ strangers: logged, nothing else
//! ```

mod always;
mod posts;
mod updates;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::chat::telegram::Telegram;
use crate::domain::ids::PostId;
use crate::domain::principal::Principal;
use crate::domain::record::{ApprovalRecord, SettingName};
use crate::domain::turn::{Post, PostState, PostSubject, TurnRecord};
use crate::engine::Event;
use crate::runtime::handle::Handle;
use crate::runtime::models::Models;
use crate::store::{Store, StoreError};

pub use posts::Posts;

/// A code that makes whoever sends it to the bot the owner's account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pairing {
    /// The code.
    pub code: String,
    /// The bot's name.
    pub bot: String,
    /// The Telegram id that sent it.
    pub owner: Option<i64>,
    /// Who asked for it.
    #[serde(skip)]
    asked_by: Option<Principal>,
}

/// What the Telegram side shares with the rest of the core.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    /// Settings changed.
    changed: Arc<Notify>,
    pairing: Arc<Mutex<Option<Pairing>>>,
}

impl Desk {
    /// The settings are to be looked at anew.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
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
        let pairing = Pairing { code, bot, owner: None, asked_by: Some(by) };
        *self.pairing.lock().unwrap_or_else(PoisonError::into_inner) = Some(pairing.clone());
        Ok(pairing)
    }

    /// Takes a text as the code; who asked for it. A code counts once, and a wrong one ends it, so that
    /// nobody can try them all.
    fn take_code(&self, text: &str, from: i64) -> Option<Principal> {
        let mut pairing = self.pairing.lock().unwrap_or_else(PoisonError::into_inner);
        let open = pairing.as_mut().filter(|open| open.owner.is_none())?;
        let is_code = text.len() == open.code.len() && text.bytes().all(|byte| byte.is_ascii_digit());
        if open.code != text {
            if is_code {
                *pairing = None;
            }
            return None;
        }
        open.owner = Some(from);
        open.asked_by.take()
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

/// Posts that wait to be shown, and those whose subject is still open.
pub(super) fn open_posts(
    store: &Store,
    approvals: &[ApprovalRecord],
    turns: &[TurnRecord],
) -> Result<Vec<Post>, StoreError> {
    let approvals: BTreeSet<&str> = approvals.iter().map(|approval| approval.approval.as_str()).collect();
    let turns: BTreeSet<&str> = turns.iter().map(|turn| turn.turn.as_str()).collect();
    let mut posts = store.posts()?;
    posts.retain(|post| match (&post.state, &post.subject) {
        (PostState::Waiting | PostState::Sending, _) => true,
        (_, PostSubject::Turn(turn)) => turns.contains(turn.as_str()),
        (_, PostSubject::Approval(approval)) => approvals.contains(approval.as_str()),
        (_, PostSubject::Run(_) | PostSubject::Note(_)) => false,
    });
    Ok(posts)
}

/// Serves the bot that is set up, and the next one when the settings change, until told to stop.
pub async fn serve(handle: Handle, mut wakes: mpsc::UnboundedReceiver<PostId>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let changed = handle.desk().changed.clone();
        let bot = match Bot::of(&handle) {
            Ok(bot) => bot,
            Err(why) => {
                tracing::error!("Telegram is off: {why}");
                None
            }
        };
        let owner = bot.as_ref().and_then(|bot| bot.owner);
        if !handle.send(Event::TelegramChosen { on: bot.is_some(), owner }).await {
            return;
        }
        let Some(bot) = bot else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => continue,
            }
        };
        let ended = stop.child_token();
        let work = async {
            tokio::join!(updates::poll(bot.clone(), &ended), posts::show(bot.clone(), &mut wakes, &ended));
        };
        let end = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = changed.notified() => {}
            }
            ended.cancel();
        };
        tokio::join!(work, end);
    }
}

/// A bot at work.
#[derive(Debug, Clone)]
struct Bot {
    telegram: Arc<Telegram>,
    handle: Handle,
    /// The owner's id, where only the settings know it.
    owner: Option<i64>,
}

impl Bot {
    fn of(handle: &Handle) -> Result<Option<Self>, String> {
        let store = handle.store();
        let token = store.setting(&SettingName::TelegramToken).map_err(|error| error.to_string())?;
        let Some(token) = token else { return Ok(None) };
        let owner = store.setting(&SettingName::OwnerTelegramId).map_err(|error| error.to_string())?;
        let address = handle.models().settings().telegram.as_str().to_owned();
        let telegram = Telegram::new(SecretString::from(token), &address).map_err(|error| error.to_string())?;
        let owner = owner.and_then(|id| id.parse().ok());
        Ok(Some(Self { telegram: Arc::new(telegram), handle: handle.clone(), owner }))
    }

    /// Who this is; `None` for strangers.
    fn principal(&self, from: i64) -> Option<Principal> {
        let policy = self.handle.view().policy;
        let listed = policy.principal_of_telegram(from);
        let owner = || policy.principal("owner").filter(|_| self.owner == Some(from));
        listed.or_else(owner)
    }

    async fn send(&self, event: Event) {
        if !self.handle.send(event).await {
            tracing::debug!("the core is shutting down");
        }
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
