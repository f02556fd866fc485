//! One request and its answer over the network: it waits no longer than it may, sends again only what
//! cannot have been accepted, and reads a stream until its own end, not merely the connection's.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::client::Far;
use super::dialect::Reading;
use super::draft::Draft;
use super::failure::{self, Fault};
use super::frames::Frames;
use super::provider::Provider;
use super::retry::Again;
use crate::domain::ids::CallId;
use crate::domain::model::{Delta, FailureKind, ModelFailure, ModelReply, ModelRequest, TokenUsage};

/// How much of an error's body is read, in bytes.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// How much of a list or description is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How long the end of a connection's answer is awaited after the reply's, so that the connection can
/// be used again.
const DRAIN: Duration = Duration::from_millis(20);

/// A call under way.
pub(super) struct Exchange<'a> {
    provider: &'a Provider,
    call: &'a CallId,
    model: &'a str,
    deltas: UnboundedSender<Delta>,
    cancel: CancellationToken,
    overall: Pin<Box<Sleep>>,
}

/// Why a wait ended without what it waited for.
#[derive(Debug, Clone, Copy)]
enum Halt {
    Cancelled,
    Overall,
    Limit,
}

/// A request that got no stream.
struct Refused {
    failure: ModelFailure,
    again: Again,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        provider: &'a Provider,
        request: &'a ModelRequest,
        deltas: UnboundedSender<Delta>,
        cancel: CancellationToken,
    ) -> Self {
        let overall = Box::pin(sleep(provider.waits.total));
        Self { provider, call: &request.call, model: request.model.name(), deltas, cancel, overall }
    }

    /// Sends `body` until somebody takes it: the answer whose stream is the reply.
    pub(super) async fn open(&mut self, body: Bytes) -> Result<Response, ModelFailure> {
        let waits = self.provider.waits;
        let mut attempt = 1;
        if self.cancel.is_cancelled() {
            return Err(self.halted(Halt::Cancelled, false, waits.total));
        }
        loop {
            let Refused { failure, again } = match self.once(body.clone()).await {
                Ok(response) => return Ok(response),
                Err(refused) => *refused,
            };
            let Some(pause) = again.pause(attempt, waits.backoff) else { return Err(failure) };
            if pause > waits.retry_after_max {
                let why = format!("{} (it wants {} s of silence)", failure.why, pause.as_secs());
                return Err(ModelFailure { why, ..failure });
            }
            self.tell(self.waiting(failure.kind, pause));
            self.within(waits.total, sleep(pause)).await.map_err(|halt| self.halted(halt, false, waits.total))?;
            attempt += 1;
        }
    }

    /// Reads the reply.
    pub(super) async fn read(&mut self, mut response: Response) -> Result<ModelReply, ModelFailure> {
        let waits = self.provider.waits;
        let dialect = self.provider.dialect();
        let (mut frames, mut reading, mut draft) =
            (Frames::new(dialect.framing()), dialect.reading(), Draft::default());
        let mut limit = waits.first_byte;
        let stop = loop {
            let chunk = match self.within(limit, response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(_broken_off)) => return Err(self.faulty(&Fault::cut_off(), reading.usage())),
                Err(halt) => return Err(ModelFailure { usage: reading.usage(), ..self.halted(halt, true, limit) }),
            };
            limit = waits.silence;
            let over = chunk.is_none();
            let events = match chunk {
                Some(chunk) => frames.push(&chunk),
                None => frames.finish().map(|event| event.into_iter().collect()),
            };
            let taken = events.and_then(|events| take(events, reading.as_mut(), &mut draft));
            draft.deltas().into_iter().for_each(|delta| self.tell(delta));
            match (taken, reading.stop()) {
                (Err(fault), _) => return Err(self.faulty(&fault, reading.usage())),
                (Ok(()), Some(stop)) => break stop,
                (Ok(()), None) if over => return Err(self.faulty(&Fault::cut_off(), reading.usage())),
                (Ok(()), None) => {}
            }
        };
        drop(timeout(DRAIN, response.chunk()).await);
        Ok(draft.finish(self.call, stop, reading.usage()))
    }

    async fn once(&mut self, body: Bytes) -> Result<Response, Box<Refused>> {
        let never = |failure| Box::new(Refused { failure, again: Again::Never });
        let provider = self.provider;
        let waits = provider.waits;
        let request = provider.request(Method::POST, provider.dialect().chat_path()).map_err(never)?;
        let sending = noticing(request.body(body).send(), waits.loading, self.loading());
        let sent = self.within(waits.first_byte, sending).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Box::new(unsent(provider, &error))),
            Err(halt) => return Err(never(self.halted(halt, true, waits.first_byte))),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, again) = (response.status().as_u16(), Again::of(response.status().as_u16(), response.headers()));
        let body = self.within(waits.answer, start_of(response, ERROR_BYTES_MAX)).await.unwrap_or_default();
        let failure = failure::of_status(&provider.endpoint, self.model, status, &body);
        let again = if matches!(failure.kind, FailureKind::RateLimited | FailureKind::Overloaded) {
            again
        } else {
            Again::Never
        };
        Err(Box::new(Refused { failure, again }))
    }

    fn waiting(&self, kind: FailureKind, pause: Duration) -> Delta {
        let name = &self.provider.endpoint.name;
        let what = match kind {
            FailureKind::RateLimited => format!("`{name}` takes no more requests now"),
            FailureKind::Unreachable => format!("nobody answers for `{name}`"),
            FailureKind::Key
            | FailureKind::UnknownModel
            | FailureKind::TooLong
            | FailureKind::Overloaded
            | FailureKind::Timeout
            | FailureKind::Broken
            | FailureKind::Refused
            | FailureKind::Cancelled => format!("`{name}` is overloaded"),
        };
        Delta::Waiting(format!("{what}; asking again in {} s", pause.as_secs_f32().ceil()))
    }

    /// Says that a local model is being loaded; to be called when it takes long.
    fn loading(&self) -> impl FnOnce() + use<> {
        let local = self.provider.endpoint.kind == Kind::Ollama;
        let (deltas, model) = (self.deltas.clone(), self.model.to_owned());
        move || {
            if local {
                drop(deltas.send(Delta::Waiting(format!("`{model}` is being loaded; a large one takes minutes"))));
            }
        }
    }

    /// Nobody may watch any more: that is no reason to end.
    fn tell(&self, delta: Delta) {
        drop(self.deltas.send(delta));
    }

    async fn within<T>(&mut self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Halt::Cancelled),
            () = &mut self.overall => Err(Halt::Overall),
            done = timeout(limit, work) => done.map_err(|_elapsed| Halt::Limit),
        }
    }

    fn halted(&self, halt: Halt, may_cost: bool, limit: Duration) -> ModelFailure {
        let name = &self.provider.endpoint.name;
        let (kind, why) = match halt {
            Halt::Cancelled => (FailureKind::Cancelled, "the call was stopped".to_owned()),
            Halt::Overall => {
                let most = self.provider.waits.total.as_secs();
                (FailureKind::Timeout, format!("the reply of `{name}` took longer than {most} s: ask for less at once"))
            }
            Halt::Limit => (
                FailureKind::Timeout,
                format!("`{name}` said nothing for {} s: try again, or choose a faster model", limit.as_secs()),
            ),
        };
        ModelFailure { kind, why, may_cost, usage: None }
    }

    fn faulty(&self, fault: &Fault, usage: Option<TokenUsage>) -> ModelFailure {
        let why = format!("`{}`: {}: try again", self.provider.endpoint.name, fault.why);
        ModelFailure { kind: fault.kind, why, may_cost: true, usage }
    }
}

/// Takes events until the reply is over; what comes after its end is of no interest.
fn take(events: Vec<Vec<u8>>, reading: &mut dyn Reading, draft: &mut Draft) -> Result<(), Fault> {
    for event in events {
        reading.take(&event, draft)?;
        if reading.stop().is_some() {
            break;
        }
    }
    Ok(())
}

/// Sends `request` and reads its whole answer, which is JSON. `model` is whose absence a 404 tells of.
pub(super) async fn ask(provider: &Provider, request: RequestBuilder, model: &str) -> Result<Value, ModelFailure> {
    let name = &provider.endpoint.name;
    let asking = async {
        let response = request.send().await.map_err(|error| unsent(provider, &error).failure)?;
        let status = response.status();
        let body = start_of(response, ANSWER_BYTES_MAX).await;
        if !status.is_success() {
            return Err(failure::of_status(&provider.endpoint, model, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|_error| {
            let why = format!("`{name}` did not answer as such a provider does: is its base URL right?");
            failure::free(FailureKind::Broken, why)
        })
    };
    timeout(provider.waits.answer, asking).await.unwrap_or_else(|_elapsed| {
        let why = format!("`{name}` did not answer within {} s", provider.waits.answer.as_secs());
        Err(failure::free(FailureKind::Timeout, why))
    })
}

/// The first `most` bytes of an answer, or what came of them.
async fn start_of(mut response: Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend(chunk.iter().take(most - body.len()));
        if body.len() == most {
            break;
        }
    }
    body
}

/// Awaits `work`; calls `tell` if that takes longer than `patience`.
async fn noticing<T>(work: impl Future<Output = T>, patience: Duration, tell: impl FnOnce()) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = sleep(patience) => tell(),
    }
    work.await
}

/// A request that got no answer. What did not even connect cannot cost.
fn unsent(provider: &Provider, error: &reqwest::Error) -> Refused {
    let endpoint = &provider.endpoint;
    let causes = causes(error);
    let mut io = causes.iter().filter_map(|cause| cause.downcast_ref::<io::Error>());
    let refused = io.any(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    let unproven = causes.iter().any(|cause| cause.is::<rustls::Error>());
    let far = causes.iter().find_map(|cause| cause.downcast_ref::<Far>());
    let root = causes.last().map(ToString::to_string).unwrap_or_default();
    let (name, base_url) = (&endpoint.name, &endpoint.base_url);
    let why = match far {
        _ if !error.is_connect() => {
            format!("the connection to `{name}` broke off before it answered ({root}): try again")
        }
        Some(far) => format!("`{name}` is not dialled: {far}"),
        None if unproven => format!(
            "no encrypted connection to `{name}` at `{base_url}` ({root}): is the address right, and its certificate \
             known to this machine?"
        ),
        None if endpoint.kind == Kind::Ollama => {
            format!("nobody answers for `{name}` at `{base_url}` ({root}): is Ollama running there (`ollama serve`)?")
        }
        None => format!(
            "nobody answers for `{name}` at `{base_url}` ({root}): is the address right, and the network there?"
        ),
    };
    let connected = !error.is_connect();
    let kind = if connected { FailureKind::Broken } else { FailureKind::Unreachable };
    let again = if refused && !connected { Again::Once } else { Again::Never };
    Refused { failure: ModelFailure { kind, why, may_cost: connected, usage: None }, again }
}

/// What caused `error`, outermost first; also what an I/O error holds, which it does not call a source.
fn causes(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        let held = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &(dyn Error + 'static)).or_else(|| cause.source());
    }
    causes
}
