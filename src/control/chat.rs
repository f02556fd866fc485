//! Requests about conversations, models and money.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use secrecy::SecretString;

use super::runs::{open, random_turn, send, stream};
use super::server::{Caller, Limit, Problem, owner_only, read};
use super::wire::{
    ChatRequest, Line, ModelStatus, ModelsRequest, NoticeRequest, Pairing, SettingsRequest, StopRequest,
};
use crate::domain::model::ModelName;
use crate::domain::principal::Trust;
use crate::domain::turn::{Channel, Message};
use crate::engine::{BudgetView, Event, Saying};
use crate::runtime::clock;
use crate::runtime::handle::Handle;
use crate::runtime::settings::{self, Wish};

/// Longest message of a person.
const TEXT_BYTES_MAX: usize = 128 * 1024;
/// Messages shown when the caller does not say how many.
const HISTORY_DEFAULT: usize = 20;

/// Says something, and streams the turn that follows.
pub(super) async fn say(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(ChatRequest { text }): Json<ChatRequest>,
) -> Result<Response, Problem> {
    open(&handle)?;
    if text.trim().is_empty() {
        return Err(Problem::new(65, "there is nothing to say".to_owned()));
    }
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("the message has more than {TEXT_BYTES_MAX} bytes\nhint: put it into a file of your home");
        return Err(Problem::new(65, why));
    }
    let turn = random_turn()?;
    let news = handle.watch_turn(&turn);
    let saying = Saying { turn, caller: caller.clone(), channel: Channel::Terminal, text };
    send(&handle, Event::Said(saying)).await?;
    Ok(stream(&handle, &caller, Vec::new(), news, turn_is_over))
}

fn turn_is_over(line: &Line) -> bool {
    matches!(line, Line::Turn(record) if record.state.is_over())
}

/// Ends a turn of the caller's.
pub(super) async fn stop(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(StopRequest { turn }): Json<StopRequest>,
) -> Result<Json<()>, Problem> {
    send(&handle, Event::TurnStopAsked { person: caller.person.clone(), turn, by: caller }).await?;
    Ok(Json(()))
}

/// The newest messages of the caller's conversation, oldest first.
pub(super) async fn history(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Vec<Message>>, Problem> {
    let limit = limit.unwrap_or(HISTORY_DEFAULT);
    Ok(Json(read(&handle, move |store| store.messages(&caller.person, limit)).await?))
}

/// What was spent: the owner sees everybody's, others their own.
pub(super) async fn budget(State(handle): State<Handle>, Caller(caller): Caller) -> Json<BudgetView> {
    let person = (caller.trust != Trust::Owner).then_some(&caller.person);
    Json(handle.view().budget.view(person, clock::now()))
}

/// The model in use, and the providers.
pub(super) async fn model(State(handle): State<Handle>, Caller(_): Caller) -> Json<ModelStatus> {
    let view = handle.view();
    Json(ModelStatus {
        model: view.model.as_ref().map(|model| model.name.to_string()),
        context_tokens: view.model.map(|model| model.context_tokens),
        providers: handle.models().settings().providers.keys().cloned().collect(),
    })
}

/// The models that a provider lists.
pub(super) async fn models(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(ModelsRequest { provider, api_key }): Json<ModelsRequest>,
) -> Result<Json<Vec<String>>, Problem> {
    owner_only(&caller, "changes settings")?;
    let key = api_key.map(SecretString::from);
    // A list needs no model: any name will do.
    let name = ModelName::try_from(format!("{provider}/any")).map_err(|error| Problem::new(65, error.to_string()))?;
    let provider = handle.models().provider(&name, key).map_err(|why| Problem::new(65, why))?;
    provider.models().await.map(Json).map_err(|failure| Problem::new(69, failure.why))
}

/// What leaves the machine with a model that the caller may set.
pub(super) async fn notice(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(NoticeRequest { model }): Json<NoticeRequest>,
) -> Result<Json<Option<String>>, Problem> {
    owner_only(&caller, "changes settings")?;
    if let Err(error) = handle.models().reload() {
        return Err(Problem::new(78, format!("{error:#}")));
    }
    Ok(Json(settings::notice(handle.models(), &model)))
}

/// Changes settings; answers with what was found out.
pub(super) async fn set(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(request): Json<SettingsRequest>,
) -> Result<Json<Vec<String>>, Problem> {
    owner_only(&caller, "changes settings")?;
    if let Err(error) = handle.models().reload() {
        return Err(Problem::new(78, format!("{error:#}")));
    }
    let tried = settings::try_out(handle.models(), Wish::from(request), async |provider, trial| {
        settings::call(&handle, caller.clone(), provider, trial).await
    });
    let tried = tried.await.map_err(|why| Problem::new(65, why))?;
    settings::keep(&handle, caller, tried.settings).await.map_err(|why| Problem::new(69, why))?;
    Ok(Json(tried.said))
}

impl From<SettingsRequest> for Wish {
    fn from(request: SettingsRequest) -> Self {
        Self {
            model: request.model,
            api_key: request.api_key.map(SecretString::from),
            telegram_token: request.telegram_token.map(SecretString::from),
            owner_telegram_id: request.owner_telegram_id,
            daily_budget: request.daily_budget,
        }
    }
}

/// Reads the configuration again; a bad one is refused, and the old one stays.
pub(super) async fn reload(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<()>, Problem> {
    owner_only(&caller, "changes settings")?;
    handle.reload().await.map_err(|why| Problem::new(78, why))?;
    Ok(Json(()))
}

/// Makes a code; whoever sends it to the bot is the owner's Telegram account.
pub(super) async fn pair(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<Pairing>, Problem> {
    owner_only(&caller, "changes settings")?;
    handle.desk().pair(&handle, caller).await.map(Json).map_err(|why| Problem::new(69, why))
}

/// Whether the code has come.
pub(super) async fn paired(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<Pairing>, Problem> {
    owner_only(&caller, "changes settings")?;
    handle.desk().paired().map(Json).ok_or_else(|| Problem::new(66, "no code is waited for".to_owned()))
}
