//! The HTTP side: requests in, long polling, and answers that fail when they are told to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::methods::{self, Refusal};
use super::state::{Fault, State};
use super::{api, authorities, form};

/// What the handle of a test and the server share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Rings when updates came, or when another poll began.
    pub(crate) bell: Notify,
    /// Rings at every change that a person could see.
    pub(crate) seen: std::sync::Condvar,
    pub(crate) token: String,
}

impl Shared {
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.to_owned(), ..Self::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped, as the test asked")]
struct Dropped;

type Answer = Result<Response<Full<Bytes>>, Dropped>;

/// Serves until told to stop; leaves its port, and whoever is connected, while it is to be away.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let address = listener.local_addr().unwrap();
    let (tasks, mut connected, mut open) = (TaskTracker::new(), stop.child_token(), Some(listener));
    loop {
        let bell = shared.bell.notified();
        let away = shared.state().away;
        if away && open.take().is_some() {
            connected.cancel();
        } else if !away && open.is_none() {
            connected = stop.child_token();
            open = Some(TcpListener::bind(address).await.unwrap());
        }
        shared.state().listening = open.is_some();
        shared.seen.notify_all();
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            () = bell => continue,
            stream = accept(open.as_ref()) => stream,
        };
        let (shared, connected) = (Arc::clone(&shared), connected.clone());
        tasks.spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { handle(&shared, request).await }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = connected.cancelled() => {}
                // A client that goes away, or one that is dropped, is no fault of the server.
                _ = connection => {}
            }
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.unwrap().0,
        None => std::future::pending().await,
    }
}

fn answer(status: u16, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
    response
}

fn refuse((code, description): Refusal) -> Response<Full<Bytes>> {
    answer(code, json!({ "ok": false, "error_code": code, "description": description }).to_string().into_bytes())
}

async fn handle(shared: &Shared, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let bot = format!("/bot{}/", shared.token);
    if let Some(file) = path.strip_prefix(&format!("/file{bot}")) {
        return download(shared, file).await;
    }
    if !path.starts_with("/bot") {
        return Ok(refuse((404, "Not Found".to_owned())));
    }
    let Some(method) = path.strip_prefix(&bot) else { return Ok(refuse((401, "Unauthorized".to_owned()))) };
    let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Ok(body) = request.into_body().collect().await else { return Err(Dropped) };
    let (parameters, file) = parameters(method, content_type.as_deref(), &body.to_bytes());
    let fault = {
        let mut state = shared.state();
        state.request(method, &parameters);
        state.fault(method)
    };
    shared.seen.notify_all();
    match &fault {
        Some(Fault::Refuse(code, description)) => return Ok(refuse((*code, (*description).to_owned()))),
        Some(Fault::TooMany(seconds)) => {
            let body = json!({
                "ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {seconds}"),
                "parameters": { "retry_after": seconds },
            });
            return Ok(answer(429, body.to_string().into_bytes()));
        }
        Some(Fault::Redirect(to)) => {
            let mut response = answer(307, Vec::new());
            response.headers_mut().insert("location", to.parse().unwrap());
            return Ok(response);
        }
        Some(Fault::DropBefore) => return Err(Dropped),
        Some(Fault::DropAfter | Fault::Slow(_) | Fault::Answer(..)) | None => {}
    }
    let response = process(shared, method, &parameters, file).await;
    shared.seen.notify_all();
    match fault {
        Some(Fault::DropAfter) => Err(Dropped),
        Some(Fault::Answer(status, body)) => Ok(answer(status, body)),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            Ok(response)
        }
        Some(Fault::Refuse(..) | Fault::TooMany(_) | Fault::Redirect(_) | Fault::DropBefore) | None => Ok(response),
    }
}

fn parameters(method: &str, content_type: Option<&str>, body: &[u8]) -> (Value, Option<(String, Vec<u8>)>) {
    let Some(parts) = content_type.and_then(|kind| form::parts(kind, body)) else {
        let none = json!({});
        return (if body.is_empty() { none } else { serde_json::from_slice(body).unwrap_or(Value::Null) }, None);
    };
    let mut parameters = json!({});
    let mut file = None;
    for part in parts {
        parameters[&part.name] = match part.file_name {
            Some(name) => {
                file = Some((name.clone(), part.bytes));
                json!({ "file_name": name })
            }
            None => api::from_form(method, &part.name, &String::from_utf8_lossy(&part.bytes)),
        };
    }
    (parameters, file)
}

async fn process(
    shared: &Shared,
    method: &str,
    parameters: &Value,
    file: Option<(String, Vec<u8>)>,
) -> Response<Full<Bytes>> {
    if let Err(wrong) = api::check_request(method, parameters) {
        shared.state().violations.push(wrong.clone());
        return refuse((400, format!("Bad Request: {wrong}")));
    }
    let result = match method {
        "getUpdates" => poll(shared, parameters).await,
        other => methods::call(&mut shared.state(), other, parameters, file),
    };
    match result {
        Ok(result) => {
            if let Err(wrong) = api::check_result(method, &result).or_else(|wrong| raw(method, wrong)) {
                shared.state().violations.push(format!("the server itself: {wrong}"));
            }
            if result.get("message_id").is_some()
                && let Err(wrong) = authorities::validate("Message", &result)
            {
                shared.state().violations.push(format!("the server itself, says the second client: {wrong}"));
            }
            answer(200, json!({ "ok": true, "result": result }).to_string().into_bytes())
        }
        Err(refusal) => refuse(refusal),
    }
}

/// Updates may be what a test made up; those that the server makes were checked before.
fn raw(method: &str, wrong: String) -> Result<(), String> {
    if method == "getUpdates" { Ok(()) } else { Err(wrong) }
}

/// `getUpdates`: an offset forgets what is before it; a later poll ends an earlier one.
async fn poll(shared: &Shared, parameters: &Value) -> Result<Value, Refusal> {
    let number = |name: &str| parameters.get(name).and_then(Value::as_u64);
    let limit = usize::try_from(number("limit").unwrap_or(100).clamp(1, 100)).unwrap();
    let deadline = Duration::from_secs(number("timeout").unwrap_or(0));
    let mine = {
        let mut state = shared.state();
        if let Some(offset) = parameters.get("offset").and_then(Value::as_i64) {
            state.updates.retain(|update| update["update_id"].as_i64().is_none_or(|number| number >= offset));
        }
        if let Some(allowed) = parameters.get("allowed_updates").and_then(Value::as_array) {
            state.allowed = Some(allowed.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect());
        }
        state.poll += 1;
        state.polling = true;
        state.poll
    };
    shared.bell.notify_waiters();
    shared.seen.notify_all();
    let result = tokio::time::timeout(deadline, wait(shared, mine, limit)).await;
    let mut state = shared.state();
    let ended = state.poll != mine;
    if !ended {
        state.polling = false;
    }
    match result {
        _ if ended => {
            let why =
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
            Err((409, why.to_owned()))
        }
        Ok(updates) => Ok(updates),
        Err(_) => Ok(state.hand_out(limit)),
    }
}

async fn wait(shared: &Shared, mine: u64, limit: usize) -> Value {
    loop {
        let bell = shared.bell.notified();
        {
            let mut state = shared.state();
            if state.poll != mine {
                return Value::Null;
            }
            if !state.updates.is_empty() {
                return state.hand_out(limit);
            }
        }
        bell.await;
    }
}

async fn download(shared: &Shared, path: &str) -> Answer {
    let (fault, bytes) = {
        let mut state = shared.state();
        let id = path.strip_prefix("documents/").and_then(|name| name.strip_suffix(".bin")).unwrap_or_default();
        (state.fault("file"), state.files.get(id).cloned())
    };
    match fault {
        Some(Fault::DropBefore | Fault::DropAfter) => Err(Dropped),
        Some(Fault::Answer(status, body)) => Ok(answer(status, body)),
        Some(Fault::Refuse(code, why)) => Ok(refuse((code, why.to_owned()))),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            Ok(answer(200, bytes.unwrap_or_default()))
        }
        Some(Fault::TooMany(_) | Fault::Redirect(_)) | None => {
            Ok(bytes.map_or_else(|| refuse((404, "Not Found".to_owned())), |bytes| answer(200, bytes)))
        }
    }
}

/// Serves on a thread of its own until `stop`.
pub(crate) fn start(shared: Arc<Shared>, stop: CancellationToken) -> (std::thread::JoinHandle<()>, String) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let served: Result<(), Infallible> = runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            tell.send(format!("http://{}", listener.local_addr().unwrap())).unwrap();
            serve(listener, shared, stop).await;
            Ok(())
        });
        let Ok(()) = served;
        runtime.shutdown_background();
    });
    let url = told.recv().unwrap();
    (thread, url)
}
