//! A provider as the rest of Castoff sees it: a call of a model, and what can be asked without one.

use std::fmt;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::dialect::{self, Dialect};
use super::exchange::{self, Exchange};
use super::failure;
use super::{Client, ClientError, Endpoint, Kind, Waits, known, ollama, request_bytes};
use crate::domain::ids::{CallId, PersonId, TurnId};
use crate::domain::model::{Delta, FailureKind, ModelFailure, ModelMessage, ModelName, ModelReply, ModelRequest};

/// The version of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// One provider that can be called. Many calls may be under way at once.
pub struct Provider {
    pub(super) endpoint: Endpoint,
    pub(super) http: reqwest::Client,
    pub(super) waits: Waits,
    base: Url,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("endpoint", &self.endpoint).field("waits", &self.waits).finish_non_exhaustive()
    }
}

impl Provider {
    /// The provider at `endpoint`. Fails when its base URL is none or may not be dialled; dials nothing.
    pub fn new(endpoint: Endpoint, client: &Client, waits: Waits) -> Result<Self, ClientError> {
        let (http, base) = client.dial(endpoint.kind, &endpoint.base_url)?;
        Ok(Self { endpoint, http, waits, base })
    }

    /// Calls the model: sends [`request_bytes`], tells `deltas` of the reply as it comes, and returns
    /// the whole reply. Retries by itself only what cannot have been accepted. Fails with what helps,
    /// and says whether it may cost; `cancel` ends it at once.
    ///
    /// Ollama leaves counts out of cached prompts: those are 0.
    pub async fn call(
        &self,
        request: &ModelRequest,
        deltas: UnboundedSender<Delta>,
        cancel: CancellationToken,
    ) -> Result<ModelReply, ModelFailure> {
        self.stays_here(request.model.name())?;
        let body = Bytes::from(request_bytes(&self.endpoint, request));
        let mut exchange = Exchange::new(self, request, deltas, cancel);
        let reply = match exchange.open(body).await {
            Ok(response) => exchange.read(response).await,
            Err(failure) => Err(failure),
        };
        reply.map_err(|failure| failure::clean(&self.endpoint, failure))
    }

    /// The models that the provider lists, as it names them, sorted.
    pub async fn models(&self) -> Result<Vec<String>, ModelFailure> {
        let list = self.ask(Method::GET, self.dialect().models_path(), "", None).await?;
        let mut models = self.dialect().listed(&list);
        models.sort();
        Ok(models)
    }

    /// That the provider is there, takes the key, and has the model. For Ollama also that the model can
    /// call tools and runs where Ollama runs.
    ///
    /// Returns `None` where that is so. Where a provider cannot be asked for it without cost (others than
    /// Anthropic, OpenAI and Ollama), the shortest call there is, named `call`: to be booked, and made.
    pub async fn check(&self, model: &ModelName, call: CallId) -> Result<Option<ModelRequest>, ModelFailure> {
        let name = model.name();
        match self.endpoint.kind {
            Kind::Ollama => {
                self.stays_here(name)?;
                let shown = self.show(name).await?;
                if ollama::shown_elsewhere(&shown) {
                    return Err(elsewhere(name));
                }
                if ollama::shown_tools(&shown) {
                    return Ok(None);
                }
                let why = format!("`{name}` cannot call tools, which Castoff needs: choose one that can");
                Err(failure::free(FailureKind::Refused, why))
            }
            Kind::Anthropic | Kind::OpenAi if self.endpoint.lists_by_key() => {
                let path = self.dialect().models_path().split('?').next().unwrap_or_default();
                self.ask(Method::GET, &format!("{path}/{name}"), name, None).await.map(|_| None)
            }
            Kind::Anthropic | Kind::OpenAi => Ok(Some(shortest(model.clone(), call))),
        }
    }

    /// How many tokens `model` reads at once, reply included; `None` when nobody says. Ollama tells it;
    /// for the others it is what is known of the name.
    pub async fn context_tokens(&self, model: &str) -> Option<u64> {
        match self.endpoint.kind {
            Kind::Ollama => ollama::shown_context(&self.show(model).await.ok()?),
            Kind::Anthropic | Kind::OpenAi => known::context_tokens(model),
        }
    }

    /// Whether a request has room in a context of so many tokens, a quarter left for the reply: by the bytes
    /// of what would be sent, three for a token.
    pub fn has_room(&self, request: &ModelRequest, context_tokens: u64) -> bool {
        let bytes = u64::try_from(request_bytes(&self.endpoint, request).len()).unwrap_or(u64::MAX);
        bytes / 3 <= context_tokens / 4 * 3
    }

    /// Refuses the models that Ollama passes on to its cloud, by their names: they are neither local nor
    /// free. One under another name is found by [`Self::check`].
    fn stays_here(&self, model: &str) -> Result<(), ModelFailure> {
        let tag = model.rsplit_once(':').map_or("", |(_, tag)| tag);
        let passed_on = self.endpoint.kind == Kind::Ollama && (tag == "cloud" || tag.ends_with("-cloud"));
        if passed_on { Err(elsewhere(model)) } else { Ok(()) }
    }

    pub(super) fn dialect(&self) -> &'static dyn Dialect {
        dialect::of(self.endpoint.kind)
    }

    /// The request `path` below the base URL, with what names and proves us.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, ModelFailure> {
        let url = self.base.join(path).map_err(|_error| {
            failure::free(FailureKind::UnknownModel, format!("`{path}` is no name that a provider can be asked for"))
        })?;
        Ok(self.http.request(method, url).headers(self.headers()?))
    }

    fn headers(&self) -> Result<HeaderMap, ModelFailure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let bearer = match self.endpoint.kind {
            Kind::Anthropic => {
                headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
                false
            }
            Kind::OpenAi | Kind::Ollama => true,
        };
        let key = self.endpoint.key.as_ref().map(|key| key.expose_secret().trim());
        let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(headers) };
        let text = if bearer { format!("Bearer {key}") } else { key.to_owned() };
        let mut value = HeaderValue::from_str(&text).map_err(|_error| {
            let why = format!(
                "the key of `{}` holds characters that no key has: `castoff config --api-key` sets another one",
                self.endpoint.name
            );
            failure::free(FailureKind::Key, why)
        })?;
        value.set_sensitive(true);
        if bearer {
            headers.insert(AUTHORIZATION, value);
        } else {
            headers.insert("x-api-key", value);
        }
        Ok(headers)
    }

    async fn show(&self, model: &str) -> Result<Value, ModelFailure> {
        self.ask(Method::POST, "api/show", model, Some(serde_json::json!({ "model": model }))).await
    }

    async fn ask(&self, method: Method, path: &str, model: &str, body: Option<Value>) -> Result<Value, ModelFailure> {
        let request = self.request(method, path)?;
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        exchange::ask(self, request, model).await.map_err(|failure| failure::clean(&self.endpoint, failure))
    }
}

fn shortest(model: ModelName, call: CallId) -> ModelRequest {
    ModelRequest {
        turn: TurnId::derived(call.as_str(), "trial"),
        call,
        person: PersonId::owner(),
        model,
        system: String::new(),
        messages: vec![ModelMessage::Person("Hi".to_owned())],
        tools: Vec::new(),
        output_tokens_max: 1,
    }
}

fn elsewhere(model: &str) -> ModelFailure {
    let why = format!(
        "Ollama does not run `{model}` itself but sends what it is told to its cloud: choose a local model; a cloud \
         model needs a provider of its own in settings.yaml, with prices"
    );
    failure::free(FailureKind::Refused, why)
}
