//! `castoff config`: the model and the keys. Asks a running core; without one it writes to the store
//! itself.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::outcome::{BAD_INPUT, UNAVAILABLE};
use crate::control::client::{Client, Refused};
use crate::control::wire::{ModelStatus, NoticeRequest, SettingsRequest};
use crate::domain::principal::Trust;
use crate::domain::record::{AuditEntry, Record};
use crate::domain::time::Timestamp;
use crate::engine::{Budget, trial, tried};
use crate::policy::Policy;
use crate::runtime::models::Models;
use crate::runtime::settings::{self, Wish};
use crate::runtime::{clock, core};
use crate::store::{Store, StoreError};

/// Longest key.
const KEY_BYTES_MAX: u64 = 4096;

/// What is to be changed.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The model.
    pub(super) model: Option<String>,
    /// The key: `-` for standard input, empty for a question at the terminal.
    pub(super) api_key: Option<String>,
    /// The bot's token, likewise.
    pub(super) telegram_token: Option<String>,
    /// The owner's Telegram id.
    pub(super) owner_telegram_id: Option<i64>,
    /// The daily budget of the model's provider, in dollars.
    pub(super) daily_budget: Option<String>,
}

impl Change {
    /// The request, with secrets read from where they are.
    ///
    /// # Errors
    /// A secret that cannot be read, or two that stand on standard input.
    pub(super) fn request(self) -> anyhow::Result<SettingsRequest> {
        if self.api_key.as_deref() == Some("-") && self.telegram_token.as_deref() == Some("-") {
            let why = "standard input can hold one secret: set the other by a second command".to_owned();
            return Err(Refused { code: BAD_INPUT, why }.into());
        }
        let read = |given: Option<String>, what: &str| {
            given.map(|given| secret(&given, what).map(|key| key.expose_secret().to_owned())).transpose()
        };
        Ok(SettingsRequest {
            model: self.model,
            api_key: read(self.api_key, "API key")?,
            telegram_token: read(self.telegram_token, "bot token")?,
            owner_telegram_id: self.owner_telegram_id,
            daily_budget: self.daily_budget,
        })
    }
}

/// Changes settings, or shows them. Returns the exit code.
///
/// # Errors
/// Why nothing was changed.
pub(super) async fn config(home: &Path, config: &Path, change: Change, json: bool) -> anyhow::Result<u8> {
    let request = change.request()?;
    if request.is_empty() {
        return show(home, json).await;
    }
    print(&set(home, config, request).await?, json)
}

/// Takes another model, with the key that is on record.
pub(super) async fn set_model(home: &Path, model: String) -> anyhow::Result<u8> {
    announce(home, &model).await?;
    let request = SettingsRequest { model: Some(model), ..SettingsRequest::default() };
    let said: Vec<String> = Client::connect(home).await?.post("/settings", &request).await?;
    print(&said, false)
}

/// Shows the model in use.
pub(super) async fn show(home: &Path, json: bool) -> anyhow::Result<u8> {
    let status: ModelStatus = Client::connect(home).await?.get("/model").await?;
    if json {
        return print_line(&serde_json::to_string(&status)?);
    }
    match (&status.model, status.context_tokens) {
        (Some(model), Some(tokens)) => print_line(&format!("model: {model} ({tokens} tokens of context)"))?,
        (Some(model), None) => print_line(&format!("model: {model}"))?,
        (None, _) => {
            print_line("model: none\nhint: `castoff config --model ollama/NAME`, or `anthropic/NAME` with `--api-key`")?
        }
    };
    print_line(&format!("providers: {}", status.providers.join(", ")))
}

/// Tries the change and keeps it, having said what a model of a cloud provider is sent. Returns what was
/// found out.
pub(super) async fn set(home: &Path, config: &Path, request: SettingsRequest) -> anyhow::Result<Vec<String>> {
    let Some(mut client) = running(home).await? else {
        return offline(home, config, Wish::from(request)).await;
    };
    if let Some(model) = &request.model {
        announce(home, model).await?;
    }
    client.post("/settings", &request).await
}

/// The core, unless none runs.
pub(super) async fn running(home: &Path) -> anyhow::Result<Option<Client>> {
    match Client::connect(home).await {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == UNAVAILABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says what leaves the machine with a model, if anything does.
pub(super) async fn announce(home: &Path, model: &str) -> anyhow::Result<()> {
    let request = NoticeRequest { model: model.to_owned() };
    let notice: Option<String> = Client::connect(home).await?.post("/model/notice", &request).await?;
    say(notice)
}

fn say(notice: Option<String>) -> anyhow::Result<()> {
    match notice {
        Some(notice) => Ok(writeln!(std::io::stderr().lock(), "{notice}")?),
        None => Ok(()),
    }
}

/// As the core would do it; it does not run, so the store is ours.
async fn offline(home: &Path, config: &Path, wish: Wish) -> anyhow::Result<Vec<String>> {
    let policy = crate::config::load_policy(config, home)?;
    let caller = policy.principal_of_uid(rustix::process::getuid().as_raw());
    let owner = caller.filter(|caller| caller.trust == Trust::Owner);
    let Some(owner) = owner else {
        return Err(Refused { code: 77, why: "only the owner changes settings".to_owned() }.into());
    };
    let store = Store::open(&home.join("state/core")).context(
        "Castoff does not run, and its store cannot be opened from here\nhint: start it (`make up`, or `castoff serve`)",
    )?;
    let store = Arc::new(store);
    let models = Models::alone(config, Arc::clone(&store))?;
    say(wish.model.as_ref().and_then(|model| settings::notice(&models, model)))?;
    let now = clock::now();
    let tried = settings::try_out(&models, wish, async |provider, request| {
        let mut budget = budget(&policy, &store, now).map_err(|error| error.to_string())?;
        let records = trial(&mut budget, &owner, &request, now).map_err(|error| error.to_string())?;
        store.commit(&records).map_err(|error| error.to_string())?;
        let outcome = settings::answer(&provider, &request).await;
        let records = tried(&mut budget, &owner, (&request.call, &outcome), now);
        store.commit(&records).map_err(|error| error.to_string())?;
        outcome.map(drop).map_err(|failure| failure.why)
    });
    let tried = tried.await.map_err(|why| Refused { code: BAD_INPUT, why })?;
    let mut records = Vec::new();
    for (name, value) in tried.settings {
        let detail = serde_json::json!({ "name": name.key(), "removed": value.is_none() });
        records.push(Record::Audit(AuditEntry {
            at: now,
            person: Some(owner.person.clone()),
            trust: Some(owner.trust),
            what: "setting.changed",
            run: None,
            detail,
        }));
        records.push(Record::Setting { name, value });
    }
    store.commit(&records)?;
    Ok(tried.said)
}

/// The budget as files, settings and ledger tell it.
fn budget(policy: &Policy, store: &Store, now: Timestamp) -> Result<Budget, StoreError> {
    let mut terms = Arc::clone(policy.terms());
    for (provider, amount) in store.daily_budgets()?.into_iter().filter_map(core::daily_budget) {
        terms = Arc::new(terms.with_daily(&provider, amount));
    }
    let ledger = store.ledger(Budget::ledger_since(&terms.zone, now))?;
    Ok(Budget::recover(terms, ledger, now).budget)
}

/// A secret that was given as `-`, as nothing, or (with a warning) as it is.
pub(super) fn secret(given: &str, what: &str) -> anyhow::Result<SecretString> {
    let text = match given {
        "-" => {
            let mut text = String::new();
            std::io::stdin().lock().take(KEY_BYTES_MAX).read_to_string(&mut text).context("failed to read the key")?;
            text
        }
        "" if std::io::stdin().is_terminal() => rpassword::prompt_password(format!("{what} (not shown): "))?,
        "" => {
            let why = format!("there is no terminal to ask for the {what}\nhint: pass it on standard input, with `-`");
            return Err(Refused { code: BAD_INPUT, why }.into());
        }
        text => {
            let warning =
                format!("castoff: the {what} now stands in your shell's history; `-` reads it from standard input");
            writeln!(std::io::stderr().lock(), "{warning}")?;
            text.to_owned()
        }
    };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = format!("this is no {what}: it must be one word of visible characters");
        return Err(Refused { code: BAD_INPUT, why }.into());
    }
    Ok(SecretString::from(text.to_owned()))
}

fn print(said: &[String], json: bool) -> anyhow::Result<u8> {
    let text = if json { serde_json::to_string(said)? } else { said.join("\n") };
    print_line(&text)
}

fn print_line(text: &str) -> anyhow::Result<u8> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(0)
}
