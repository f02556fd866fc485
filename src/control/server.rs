//! The server of the control socket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::wire::{AuditLine, Failure, Question, Serving, Status, Verified};
use super::{backup, chat, policy, runs};
use crate::domain::ids::PersonId;
use crate::domain::principal::{Principal, Trust};
use crate::engine::Stopping;
use crate::runtime::handle::Handle;
use crate::runtime::{COMMIT, IMAGE};
use crate::store::{Actor, Store, StoreError};

/// Longest request body: a script, standard input as base64, and room.
const BODY_BYTES_MAX: usize = 24 << 20;
/// How long requests may take to end when the core stops.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// Serves the control socket below `home` until told to stop.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve(home: &Path, handle: Handle, stop: CancellationToken) -> anyhow::Result<()> {
    let socket = home.join("run/control/castoff.sock");
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to remove the old `{}`", socket.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("failed to listen at `{}`", socket.display()))?;
    // Anybody may connect: the peer's uid decides what they may do.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))
        .with_context(|| format!("failed to set the mode of `{}`", socket.display()))?;
    let router = Router::new()
        .route("/status", get(status))
        .route("/version", get(version))
        .route("/approvals", get(approvals))
        .route("/approvals/{id}", post(runs::answer))
        .route("/runs", get(runs::list).post(runs::run))
        .route("/runs/{id}", get(runs::show))
        .route("/runs/{id}/output", get(runs::output))
        .route("/runs/{id}/follow", get(runs::follow))
        .route("/runs/{id}/diff", get(runs::diff))
        .route("/runs/{id}/stop", post(runs::stop))
        .route("/runs/{id}/apply", post(runs::apply))
        .route("/runs/{id}/drop", post(runs::drop_changes))
        .route("/runs/{id}/undo", post(runs::undo))
        .route("/chat", get(chat::history).post(chat::say))
        .route("/chat/stop", post(chat::stop))
        .route("/budget", get(chat::budget))
        .route("/model", get(chat::model))
        .route("/model/notice", post(chat::notice))
        .route("/models", post(chat::models))
        .route("/settings", post(chat::set))
        .route("/pair", get(chat::paired).post(chat::pair))
        .route("/reload", post(chat::reload))
        .route("/policy", get(policy::show))
        .route("/policy/learned/{id}/revoke", post(policy::revoke))
        .route("/policy/diff", post(policy::diff))
        .route("/policy/suggest", post(policy::suggest))
        .route("/rights", post(policy::rights))
        .route("/backup", post(backup::make))
        .route("/audit", get(audit))
        .route("/audit/verify", get(verify))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(handle);
    let app = router.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(CLOSE_TIME_MAX).await;
    };
    // Whoever follows a run would keep us for ever.
    tokio::select! {
        ended = served.into_future() => Ok(ended?),
        () = late => Ok(()),
    }
}

/// The uid at the other end of the socket; `None` when the kernel does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

/// The person behind a request.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Principal);

impl FromRequestParts<Handle> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, handle: &Handle) -> Result<Self, Problem> {
        let ConnectInfo(Peer(uid)) = ConnectInfo::<Peer>::from_request_parts(parts, handle)
            .await
            .map_err(|error| Problem::new(70, format!("the caller cannot be told: {error}")))?;
        let uid = uid.ok_or_else(|| Problem::new(77, "the kernel does not say who is calling".to_owned()))?;
        let policy = handle.view().policy;
        match policy.principal_of_uid(uid) {
            Some(person) if person.trust >= Trust::Limited => Ok(Self(person)),
            Some(_) => Err(Problem::new(77, "you are blocked".to_owned())),
            None if uid == 65534 => Err(Problem::new(
                77,
                "you are uid 65534, which stands for anybody\n\
                 hint: a user namespace lies between you and Castoff; call it from outside"
                    .to_owned(),
            )),
            None => Err(Problem::new(
                77,
                format!(
                    "uid {uid} is not on the list\nhint: the owner adds `local: [{uid}]` to a person in users.yaml"
                ),
            )),
        }
    }
}

/// A request that is refused.
#[derive(Debug)]
pub(super) struct Problem(Failure);

impl Problem {
    pub(super) fn new(code: u8, why: String) -> Self {
        Self(Failure { code, why })
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(74, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(self.0)).into_response()
    }
}

/// Reads from the store off the async threads.
pub(super) async fn read<T: Send + 'static>(
    handle: &Handle,
    reading: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store: Arc<Store> = handle.store();
    match tokio::task::spawn_blocking(move || reading(&store)).await {
        Ok(read) => Ok(read?),
        Err(error) => Err(Problem::new(70, format!("reading failed: {error}"))),
    }
}

/// Whose records `caller` sees: the owner everybody's, others their own.
pub(super) fn scope(caller: &Principal) -> Option<PersonId> {
    (caller.trust != Trust::Owner).then(|| caller.person.clone())
}

async fn status(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<Status>, Problem> {
    let view = handle.view();
    let entries = read(&handle, Store::audit_head).await?;
    let questions = open_questions(&handle, &caller).await?.len();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        person: caller.person.to_string(),
        home: view.policy.home(&caller.person).display().to_string(),
        runner: view.runner,
        live: view.load.0,
        queued: view.load.1,
        under_way: view.under_way,
        stopping: view.stopping != Stopping::No,
        questions,
        audit_entries: entries.entries,
    }))
}

async fn version(State(handle): State<Handle>, Caller(_): Caller) -> Json<Serving> {
    let images = handle.view().runner.map(|runner| runner.images).unwrap_or_default();
    Json(Serving {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: COMMIT.map(str::to_owned),
        started_at_ms: handle.started().as_ms(),
        image: std::env::var(IMAGE).ok(),
        images: images.into_iter().map(|image| (image.name, image.id)).collect(),
        store_form: crate::store::SCHEMA,
    })
}

async fn open_questions(handle: &Handle, caller: &Principal) -> Result<Vec<Question>, Problem> {
    let scope = scope(caller);
    read(handle, move |store| {
        let mut questions = Vec::new();
        for approval in store.approvals(true)? {
            let theirs = scope.as_ref().is_none_or(|person| *person == approval.person);
            if let Some(run) = store.run(&approval.run)?.filter(|_| theirs) {
                questions.push(Question { approval, run });
            }
        }
        Ok(questions)
    })
    .await
}

async fn approvals(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<Vec<Question>>, Problem> {
    Ok(Json(open_questions(&handle, &caller).await?))
}

#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    pub(super) limit: Option<usize>,
}

/// Refuses everybody but the owner; `what` is what only he does.
pub(super) fn owner_only(caller: &Principal, what: &str) -> Result<(), Problem> {
    if caller.trust == Trust::Owner { Ok(()) } else { Err(Problem::new(77, format!("only the owner {what}"))) }
}

async fn audit(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Vec<AuditLine>>, Problem> {
    owner_only(&caller, "reads the audit log")?;
    let entries = read(&handle, move |store| store.audit_list(limit.unwrap_or(50))).await?;
    let lines = entries.into_iter().map(|entry| {
        let (run, mut detail) = entry.body.map_or((None, serde_json::Value::Null), |body| (body.run, body.detail));
        // Of others the owner sees programs and verdict, not the words.
        if let (Actor::Person(person), Some(fields)) = (&entry.actor, detail.as_object_mut())
            && *person != caller.person
        {
            ["script", "file"].into_iter().for_each(|name| drop(fields.remove(name)));
        }
        AuditLine {
            seq: entry.seq,
            at_ms: entry.at.as_ms(),
            what: entry.what,
            person: match entry.actor {
                Actor::Castoff => None,
                Actor::Person(person) => Some(person.to_string()),
                Actor::Forgotten => Some("(forgotten)".to_owned()),
            },
            run: run.map(|run| run.to_string()),
            detail,
        }
    });
    Ok(Json(lines.collect()))
}

async fn verify(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Json<Verified>, Problem> {
    owner_only(&caller, "reads the audit log")?;
    Ok(Json(match read(&handle, |store| Ok(store.audit_verify())).await? {
        Ok(verified) => {
            Verified { intact: true, entries: verified.entries, head: Some(verified.head.to_string()), broken: None }
        }
        Err(broken) => Verified { intact: false, entries: 0, head: None, broken: Some(broken.to_string()) },
    }))
}
