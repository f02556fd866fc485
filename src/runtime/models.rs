//! Calls of models: a task each; what they say while they think goes to watchers at once, what came of
//! them to the core loop.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ProviderKind, Settings};
use crate::crash::{self, Point};
use crate::domain::ids::CallId;
use crate::domain::model::{Delta, FailureKind, ModelFailure, ModelName, ModelRequest, ToolCall};
use crate::domain::record::SettingName;
use crate::engine::{CONTEXT_TOKENS_DEFAULT, Called, Event, ModelInUse, is_summary};
use crate::model::{Client, ClientRules, Endpoint, Kind, Provider, Waits};
use crate::policy::ParsedTask;
use crate::runtime::handle::{News, Watchers};
use crate::store::Store;
use crate::tools;

/// Most that is made of a model's context, in tokens: a longer prompt costs more than it helps.
const CONTEXT_TOKENS_MAX: u64 = 200_000;

/// The providers, and the calls under way.
#[derive(Debug, Clone)]
pub struct Models(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: PathBuf,
    store: Arc<Store>,
    /// `settings.yaml`, and the client that keeps its rules.
    settings: RwLock<(Arc<Settings>, Client)>,
    /// The model whose context is known, and that, in tokens.
    context: Mutex<Option<(ModelName, u64)>>,
    calls: Mutex<HashMap<CallId, CancellationToken>>,
    tasks: TaskTracker,
    events: mpsc::Sender<Event>,
    watchers: Arc<Watchers>,
}

/// What calls of models report to.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) tasks: TaskTracker,
}

impl Models {
    /// # Errors
    /// Settings that cannot be read.
    pub(super) fn new(config: PathBuf, store: Arc<Store>, reports: Reports) -> anyhow::Result<Self> {
        let settings = load(&config)?;
        let client = crate::model::client(rules(&settings))?;
        let Reports { events, watchers, tasks } = reports;
        Ok(Self(Arc::new(Inner {
            config,
            store,
            settings: RwLock::new((Arc::new(settings), client)),
            context: Mutex::default(),
            calls: Mutex::default(),
            tasks,
            events,
            watchers,
        })))
    }

    /// The providers without a core loop: to try keys and list models.
    ///
    /// # Errors
    /// Settings that cannot be read.
    pub fn alone(config: &Path, store: Arc<Store>) -> anyhow::Result<Self> {
        let (events, _) = mpsc::channel(1);
        let reports = Reports { events, watchers: Arc::default(), tasks: TaskTracker::new() };
        Self::new(config.to_path_buf(), store, reports)
    }

    /// `settings.yaml` as it was last read.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.0.settings.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Reads `settings.yaml` again; a bad one is refused and the old one stays.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn reload(&self) -> anyhow::Result<()> {
        let settings = load(&self.0.config)?;
        let client = crate::model::client(rules(&settings))?;
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(settings), client);
        Ok(())
    }

    /// The provider of `model`. `key` stands in for the one on record, to be tried.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn provider(&self, model: &ModelName, key: Option<SecretString>) -> Result<Provider, String> {
        let (settings, client) = self.0.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
        let found = settings.provider_of(model).map_err(|error| error.to_string())?;
        let name = model.provider().to_owned();
        let key = match key {
            Some(key) => Some(key),
            None => {
                let on_record = self.0.store.setting(&SettingName::ApiKey { provider: name.clone() });
                on_record.map_err(|error| error.to_string())?.map(SecretString::from)
            }
        };
        let kind = match found.kind {
            ProviderKind::Anthropic => Kind::Anthropic,
            ProviderKind::Openai => Kind::OpenAi,
            ProviderKind::Ollama => Kind::Ollama,
        };
        let context_tokens_max = Some(self.known_context(model).unwrap_or(CONTEXT_TOKENS_DEFAULT));
        let base_url = found.base_url.as_str().to_owned();
        let endpoint = Endpoint { name, kind, base_url, key, context_tokens_max };
        Provider::new(endpoint, &client, Waits::of(kind)).map_err(|error| error.to_string())
    }

    /// The model that was set, with what is known of it offline.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn chosen(&self) -> anyhow::Result<Option<ModelInUse>> {
        let name = self.0.store.setting(&SettingName::Model)?;
        let name = name.map(ModelName::try_from).transpose()?;
        Ok(name.map(|name| {
            let context_tokens = self.known_context(&name).unwrap_or(CONTEXT_TOKENS_DEFAULT);
            ModelInUse { name, context_tokens }
        }))
    }

    fn known_context(&self, model: &ModelName) -> Option<u64> {
        let known = self.0.context.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(name, _)| name == model).map(|(_, tokens)| *tokens)
    }

    /// Finds out what the chosen model takes, and tells the core loop.
    pub fn choose(&self) {
        let models = self.clone();
        self.0.tasks.spawn(async move {
            if let Ok(Some(model)) = models.chosen()
                && let Ok(provider) = models.provider(&model.name, None)
            {
                models.ask_context(&provider, &model.name).await;
            }
            models.tell_chosen().await;
        });
    }

    async fn ask_context(&self, provider: &Provider, model: &ModelName) -> Option<u64> {
        let tokens = provider.context_tokens(model.name()).await?.min(CONTEXT_TOKENS_MAX);
        *self.0.context.lock().unwrap_or_else(PoisonError::into_inner) = Some((model.clone(), tokens));
        Some(tokens)
    }

    async fn tell_chosen(&self) {
        let chosen = self.chosen().unwrap_or_else(|error| {
            tracing::error!("the model that was set cannot be read: {error:#}");
            None
        });
        if self.0.events.send(Event::ModelChosen(chosen)).await.is_err() {
            tracing::debug!("the core is shutting down");
        }
    }

    /// Asks again what a model takes, as long as nobody has said it (Ollama may have been down).
    ///
    /// # Errors
    /// The request was made in ignorance of that, and has no room.
    async fn ask_again(&self, request: &ModelRequest) -> Result<(), ModelFailure> {
        if self.known_context(&request.model).is_some() {
            return Ok(());
        }
        let Ok(provider) = self.provider(&request.model, None) else { return Ok(()) };
        let Some(tokens) = self.ask_context(&provider, &request.model).await else { return Ok(()) };
        self.tell_chosen().await;
        if provider.has_room(request, tokens) {
            return Ok(());
        }
        let why = format!("this is more than `{}` takes at once", request.model);
        Err(ModelFailure { kind: FailureKind::TooLong, why, may_cost: false, usage: None })
    }

    /// Calls a model.
    pub(super) fn call(&self, request: ModelRequest) {
        let cancel = self.begun(&request.call);
        let models = self.clone();
        self.0.tasks.spawn(async move {
            let event = models.outcome(&request, cancel).await;
            models.ended(&request.call);
            if models.0.events.send(event).await.is_err() {
                tracing::debug!("the core is shutting down");
            }
        });
    }

    /// A call is under way: what breaks it off.
    pub(super) fn begun(&self, call: &CallId) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.calls().insert(call.clone(), cancel.clone());
        cancel
    }

    pub(super) fn ended(&self, call: &CallId) {
        self.calls().remove(call);
    }

    /// Where work goes on whose asker leaves.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Breaks a call off.
    pub(super) fn cancel(&self, call: &CallId) {
        if let Some(cancel) = self.calls().get(call) {
            cancel.cancel();
        }
    }

    /// Breaks all calls off: the core stops.
    pub(super) fn cancel_all(&self) {
        self.calls().values().for_each(CancellationToken::cancel);
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, CancellationToken>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn outcome(&self, request: &ModelRequest, cancel: CancellationToken) -> Event {
        let call = request.call.clone();
        if let Err(failure) = self.ask_again(request).await {
            return Event::ModelFailed { call, failure };
        }
        let provider = match self.provider(&request.model, None) {
            Ok(provider) => provider,
            Err(why) => {
                let failure = ModelFailure { kind: FailureKind::Refused, why, may_cost: false, usage: None };
                return Event::ModelFailed { call, failure };
            }
        };
        let (sender, mut deltas) = mpsc::unbounded_channel();
        let (watchers, turn) = (Arc::clone(&self.0.watchers), request.turn.clone());
        let is_summary = is_summary(request);
        let shown = async move {
            while let Some(delta) = deltas.recv().await {
                crash::point(Point::CallInFlight);
                if !is_summary || matches!(delta, Delta::Waiting(_)) {
                    watchers.tell(turn.as_str(), &News::Delta(delta));
                }
            }
        };
        let (answered, ()) = tokio::join!(provider.call(request, sender, cancel), shown);
        crash::point(Point::ReservedNotSettled);
        match answered {
            Ok(reply) => {
                let calls = reply.calls.iter().cloned();
                let calls = read_all(calls.collect()).await;
                Event::ModelReplied { call, reply: Box::new(reply), calls }
            }
            Err(failure) => Event::ModelFailed { call, failure },
        }
    }
}

fn load(config: &Path) -> Result<Settings, crate::config::LoadErrors> {
    crate::config::load_settings(config, super::surroundings())
}

/// Hosts that the settings let be spoken to without TLS, and the proxy of the environment.
fn rules(settings: &Settings) -> ClientRules {
    let host = |provider: &crate::config::Provider| {
        let rest = provider.base_url.as_str().strip_prefix("http://")?;
        let host = rest.split('/').next()?;
        Some(host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned())
    };
    let plain_http_hosts = settings.providers.values().filter_map(host).collect();
    let https_proxy = std::env::var("HTTPS_PROXY").ok().filter(|proxy| !proxy.is_empty()).map(SecretString::from);
    ClientRules { plain_http_hosts, https_proxy, ..ClientRules::default() }
}

/// Reads tool calls, off the async threads: a script may take long to parse.
async fn read_all(calls: Vec<ToolCall>) -> Vec<Called> {
    let spare = calls.clone();
    match tokio::task::spawn_blocking(move || calls.into_iter().map(read).collect()).await {
        Ok(called) => called,
        Err(error) => {
            let wanted = Err(format!("not done: it could not be read ({error})"));
            spare.into_iter().map(|call| Called { call, wanted: wanted.clone() }).collect()
        }
    }
}

/// Reads a tool call.
pub(super) fn read(call: ToolCall) -> Called {
    let wanted = tools::read(&call).and_then(|task| ParsedTask::new(task).map_err(|error| format!("not run: {error}")));
    Called { call, wanted }
}
