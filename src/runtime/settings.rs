//! Changes of settings: tried with whoever they are for before they are kept.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use crate::domain::address::Reach;
use crate::domain::ids::CallId;
use crate::domain::model::{ModelFailure, ModelName, ModelReply, ModelRequest};
use crate::domain::principal::Principal;
use crate::domain::record::SettingName;
use crate::engine::Event;
use crate::model::Provider;
use crate::runtime::handle::{Handle, News};
use crate::runtime::models::Models;
use crate::runtime::telegram;

/// How long it may take until settings are on record.
const KEEP_TIME_MAX: Duration = Duration::from_secs(30);

/// What the owner wants changed.
#[derive(Debug, Default)]
pub struct Wish {
    /// The model: `PROVIDER/NAME`; an empty text for none.
    pub model: Option<String>,
    /// A key for the provider of the model that is set, or is being set.
    pub api_key: Option<SecretString>,
    /// The token of a Telegram bot; empty for none.
    pub telegram_token: Option<SecretString>,
    /// The owner's Telegram id.
    pub owner_telegram_id: Option<i64>,
    /// What the model's provider may cost a day, in dollars.
    pub daily_budget: Option<String>,
}

/// A wish that was tried.
#[derive(Debug, Default)]
pub struct Tried {
    /// To be kept.
    pub settings: Vec<(SettingName, Option<String>)>,
    /// What was found out, a line each, for people.
    pub said: Vec<String>,
}

impl Tried {
    fn keep(&mut self, name: SettingName, value: Option<String>, said: String) {
        self.settings.push((name, value));
        self.said.push(said);
    }
}

/// Tries a wish with those whom it is about. `call` makes a call that may cost, and books it.
///
/// # Errors
/// Why it is not kept, and what helps, for people; nothing was changed then.
pub async fn try_out<B>(models: &Models, wish: Wish, call: B) -> Result<Tried, String>
where
    B: AsyncFnOnce(Provider, ModelRequest) -> Result<(), String>,
{
    let Wish { model, api_key, telegram_token, owner_telegram_id, daily_budget } = wish;
    let mut tried = Tried::default();
    if model.as_deref() == Some("") {
        let said = "no model is set now; everything but thinking works".to_owned();
        tried.keep(SettingName::Model, None, said);
    } else if model.is_some() || api_key.is_some() {
        try_model(models, (model.as_deref(), api_key), call, &mut tried).await?;
    }
    if let Some(token) = telegram_token {
        if token.expose_secret().is_empty() {
            tried.keep(SettingName::TelegramToken, None, "Telegram is off now".to_owned());
        } else {
            let name = telegram::name_of(models, &token).await?;
            let said = format!("the bot is @{name}; its token is kept, sealed");
            tried.keep(SettingName::TelegramToken, Some(token.expose_secret().to_owned()), said);
        }
    }
    if let Some(id) = owner_telegram_id {
        let said = format!("Telegram id {id} is the owner's");
        tried.keep(SettingName::OwnerTelegramId, Some(id.to_string()), said);
    }
    if let Some(text) = daily_budget {
        let amount = crate::config::dollars(&text).ok_or("write an amount in dollars, such as `$5.00`")?;
        let chosen =
            tried.settings.iter().find(|(name, _)| *name == SettingName::Model).and_then(|(_, value)| value.clone());
        let provider = provider_of(models, chosen.as_deref())?;
        let said = format!("`{provider}` may cost {amount} a day");
        tried.keep(SettingName::DailyBudget { provider }, Some(amount.as_micros().to_string()), said);
    }
    Ok(tried)
}

/// Keeps settings; returns once they are on record, so that what is asked next sees them.
///
/// # Errors
/// Why they may not be, for people.
pub async fn keep(handle: &Handle, by: Principal, settings: Vec<(SettingName, Option<String>)>) -> Result<(), String> {
    let mut changes = handle.desk().kept();
    if !handle.send(Event::SettingsAsked { by, settings: settings.clone() }).await {
        return Err("Castoff is shutting down".to_owned());
    }
    let store = handle.store();
    let on_record = async {
        loop {
            let mut kept = true;
            for (name, value) in &settings {
                kept &= store.setting(name).map_err(|error| error.to_string())? == *value;
            }
            if kept || changes.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    let late = || Err("it took too long to put this on record; `castoff config` shows what is kept".to_owned());
    tokio::time::timeout(KEEP_TIME_MAX, on_record).await.unwrap_or_else(|_| late())
}

fn provider_of(models: &Models, chosen: Option<&str>) -> Result<String, String> {
    if let Some((provider, _)) = chosen.and_then(|name| name.split_once('/')) {
        return Ok(provider.to_owned());
    }
    let model = models.chosen().map_err(|error| error.to_string())?;
    model.map(|model| model.name.provider().to_owned()).ok_or_else(|| {
        "no model is set, so nobody knows whose budget this is\nhint: `castoff config --model PROVIDER/NAME` first"
            .to_owned()
    })
}

/// Makes a call that tries a model, reserved and booked by the core as all are, also when whoever asked for
/// it leaves before its end.
///
/// # Errors
/// Why it may not be made, or did not succeed, for people.
pub async fn call(handle: &Handle, by: Principal, provider: Provider, request: ModelRequest) -> Result<(), String> {
    let call = to_its_end(handle.clone(), by, provider, request);
    handle.models().tasks().spawn(call).await.unwrap_or_else(|error| Err(format!("the call broke off: {error}")))
}

async fn to_its_end(handle: Handle, by: Principal, provider: Provider, request: ModelRequest) -> Result<(), String> {
    let call = request.call.clone();
    let cancel = handle.models().begun(&call);
    let tried = tokio::select! {
        may = reserved(&handle, by, &request) => may,
        () = cancel.cancelled() => Err("Castoff is shutting down".to_owned()),
    };
    let made = match tried {
        Ok(()) => {
            let (deltas, _unread) = unbounded_channel();
            let (outcome, why) = match provider.call(&request, deltas, cancel).await {
                Ok(reply) => {
                    (Event::ModelReplied { call: call.clone(), reply: Box::new(reply), calls: Vec::new() }, None)
                }
                Err(failure) => {
                    (Event::ModelFailed { call: call.clone(), failure: failure.clone() }, Some(failure.why))
                }
            };
            handle.send(outcome).await;
            why.map_or(Ok(()), Err)
        }
        Err(why) => Err(why),
    };
    handle.models().ended(&call);
    made
}

/// Returns once the money for a call that tries a model is on record.
async fn reserved(handle: &Handle, by: Principal, request: &ModelRequest) -> Result<(), String> {
    let mut news = handle.watch_call(&request.call);
    if handle.send(Event::TrialAsked { by, request: Box::new(request.clone()) }).await {
        while let Some(news) = news.recv().await {
            if let News::Tried(may) = news {
                return may;
            }
        }
    }
    Err("Castoff is shutting down".to_owned())
}

/// What a model says to a call that nobody watches.
pub async fn answer(provider: &Provider, request: &ModelRequest) -> Result<ModelReply, ModelFailure> {
    let (deltas, _unread) = unbounded_channel();
    provider.call(request, deltas, CancellationToken::new()).await
}

/// What leaves the machine with a model (`PROVIDER/NAME`), for people, before it is first called; `None`
/// where nothing goes to a cloud provider.
pub fn notice(models: &Models, model: &str) -> Option<String> {
    let name = ModelName::try_from(model.to_owned()).ok()?;
    let settings = models.settings();
    let found = settings.provider_of(&name).ok()?;
    (found.base_url.reach() == Reach::Internet).then(|| {
        format!(
            "What you write, what your commands print and what the assistant reads for you will be sent to {}; nothing \
             else is. To stay on this machine: `castoff config --model ollama/NAME`",
            found.base_url.as_str()
        )
    })
}

async fn try_model<B>(
    models: &Models,
    (name, api_key): (Option<&str>, Option<SecretString>),
    call: B,
    tried: &mut Tried,
) -> Result<(), String>
where
    B: AsyncFnOnce(Provider, ModelRequest) -> Result<(), String>,
{
    let name = match name {
        Some(text) => ModelName::try_from(text.to_owned()).map_err(|error| error.to_string())?,
        None => models.chosen().map_err(|error| error.to_string())?.map(|model| model.name).ok_or(
            "no model is set, so nobody knows whose key this is\nhint: name it too: `castoff config --model \
             anthropic/NAME --api-key`",
        )?,
    };
    let provider = models.provider(&name, api_key.clone())?;
    let mut id = [0; 11];
    getrandom::fill(&mut id).map_err(|error| format!("the kernel has no random bytes: {error}"))?;
    if let Some(trial) = provider.check(&name, CallId::from_random(id)).await.map_err(|failure| failure.why)? {
        call(provider, trial).await?;
    }
    tried.keep(SettingName::Model, Some(name.to_string()), format!("{name} answers"));
    if let Some(key) = api_key {
        let setting = SettingName::ApiKey { provider: name.provider().to_owned() };
        let said = format!("the key for `{}` is kept, sealed; one that was there before is gone", name.provider());
        tried.keep(setting, Some(key.expose_secret().to_owned()), said);
    }
    if notice(models, &name.to_string()).is_none() {
        tried.said.push("Nothing is sent to a cloud provider.".to_owned());
    }
    Ok(())
}
