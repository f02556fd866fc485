//! Requests about runs: start, watch, read, decide.

use std::path::PathBuf;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc;

use super::server::{Caller, Limit, Problem, read, scope};
use super::wire::{Answer, Apply, Line, RunRequest};
use crate::domain::ids::{ApprovalId, RunId, TurnId};
use crate::domain::model::Delta;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{RunRecord, RunState};
use crate::domain::script::Script;
use crate::engine::{Ask, Event, FreshIds};
use crate::policy::{Parsed, ParsedTask};
use crate::runtime::handle::{Handle, News};

/// Runs listed when the caller does not say how many.
const LIST_DEFAULT: usize = 20;

fn random() -> Result<[u8; 11], Problem> {
    let mut bytes = [0; 11];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::new(71, format!("the kernel has no random bytes: {error}")))?;
    Ok(bytes)
}

pub(super) fn random_turn() -> Result<TurnId, Problem> {
    Ok(TurnId::from_random(random()?))
}

fn fresh() -> Result<FreshIds, Problem> {
    Ok(FreshIds {
        run: RunId::from_random(random()?),
        turn: random_turn()?,
        plan: ApprovalId::from_random(random()?),
        changes: ApprovalId::from_random(random()?),
    })
}

pub(super) async fn run(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Json(request): Json<RunRequest>,
) -> Result<Response, Problem> {
    open(&handle)?;
    let policy = handle.view().policy;
    let rights = match &request.user {
        None => caller.clone(),
        Some(_) if caller.trust != Trust::Owner => {
            return Err(Problem::new(77, "only the owner may run with another person's rights".to_owned()));
        }
        Some(name) => policy.principal(name).ok_or_else(|| {
            let known: Vec<String> = policy.people().iter().map(|person| person.person.to_string()).collect();
            Problem::new(64, format!("`{name}` is not on the list (there is: {})", known.join(", ")))
        })?,
    };
    let stdin = request.stdin.map(|text| BASE64_STANDARD.decode(text)).transpose();
    let stdin = stdin.map_err(|error| Problem::new(65, format!("standard input is not base64: {error}")))?;
    let parsed = tokio::task::spawn_blocking(move || Script::new(request.script).and_then(Parsed::new))
        .await
        .map_err(|error| Problem::new(70, format!("parsing failed: {error}")))?
        .map_err(|error| Problem::new(65, error.to_string()))?;
    let ids = fresh()?;
    let run = ids.run.clone();
    let news = handle.watch(&run);
    let (workdir, review, yes) = (request.workdir.map(PathBuf::from), request.review, request.yes);
    let ask =
        Ask { ids, caller: caller.clone(), rights, task: ParsedTask::Script(parsed), stdin, workdir, review, yes };
    send(&handle, Event::Asked(Box::new(ask))).await?;
    Ok(stream(&handle, &caller, Vec::new(), news, is_over))
}

/// Refuses new work while Castoff stops.
pub(super) fn open(handle: &Handle) -> Result<(), Problem> {
    if handle.is_closing() {
        return Err(Problem::new(69, "Castoff is being stopped\nhint: ask again when it is back".to_owned()));
    }
    Ok(())
}

pub(super) async fn send(handle: &Handle, event: Event) -> Result<(), Problem> {
    if handle.send(event).await { Ok(()) } else { Err(Problem::new(69, "Castoff is shutting down".to_owned())) }
}

/// The lines that a watcher sees, up to the one that is the last.
pub(super) fn stream(
    handle: &Handle,
    caller: &Principal,
    first: Vec<Line>,
    news: mpsc::UnboundedReceiver<News>,
    is_over: fn(&Line) -> bool,
) -> Response {
    let state = (handle.clone(), caller.clone(), std::collections::VecDeque::from(first), Some((news, true)));
    let lines = futures_util::stream::unfold(state, move |(handle, caller, mut first, news)| async move {
        if let Some(line) = first.pop_front() {
            return Some((text(&line), (handle, caller, first, news)));
        }
        let (mut news, mut own) = news?;
        let mut heard = news.recv().await?;
        // Who only decided about a run does not read what it says.
        while !own && matches!(heard, News::Output(..)) {
            heard = news.recv().await?;
        }
        if let News::Record(record) = &heard {
            own = record.person == caller.person;
        }
        let line = line(&handle, &caller, heard);
        let over = is_over(&line);
        Some((text(&line), (handle, caller, first, (!over).then_some((news, own)))))
    });
    Body::from_stream(lines).into_response()
}

fn text(line: &Line) -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(Bytes::from(text))
}

fn line(handle: &Handle, caller: &Principal, news: News) -> Line {
    match news {
        News::Record(record) => Line::Run {
            may_answer: caller.trust == Trust::Owner || may_answer_own(&record, caller),
            home: handle.view().policy.home(&record.person).display().to_string(),
            record: Box::new(readable(*record, caller)),
        },
        News::Output(stream, bytes) => Line::Output { stream, bytes: BASE64_STANDARD.encode(bytes) },
        News::Progress(text) => Line::Progress(text),
        News::Declined(why) => Line::Declined(why),
        News::Turn(record) => Line::Turn(record),
        // Of posts and models, which nobody watches here.
        News::Posted(_) | News::Tried(_) => Line::Progress(String::new()),
        News::Delta(Delta::Text(text)) => Line::Text(text),
        News::Delta(Delta::Tool(name)) => Line::Tool(name),
        News::Delta(Delta::Waiting(text)) => Line::Progress(text),
    }
}

/// Whether a rule lets the caller answer the question about the plan of a run of their own.
fn may_answer_own(record: &RunRecord, caller: &Principal) -> bool {
    let asks = matches!(record.state, RunState::Asking { .. }) && record.person == caller.person;
    asks && record.verdict.as_ref().is_some_and(|verdict| verdict.may_answer_own(caller))
}

fn is_over(line: &Line) -> bool {
    match line {
        Line::Run { record, .. } => record.state.is_over(),
        Line::Declined(_) => true,
        Line::Output { .. } | Line::Progress(_) | Line::Turn(_) | Line::Text(_) | Line::Tool(_) => false,
    }
}

/// The run that `id` (or its beginning, or its turn) names, when the caller may see it.
async fn find(handle: &Handle, caller: &Principal, id: String) -> Result<RunRecord, Problem> {
    let scope = scope(caller);
    let shown = id.clone();
    let found = read(handle, move |store| {
        let runs = match TurnId::try_from(id.clone()) {
            Ok(turn) => store.runs_of_turn(&turn)?,
            Err(_) => store.find_run(&id)?,
        };
        let mut records = Vec::new();
        for run in runs {
            records.extend(store.run(&run)?.filter(|run| scope.as_ref().is_none_or(|person| *person == run.person)));
        }
        Ok(records)
    })
    .await?;
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (None, _) => Err(Problem::new(66, format!("there is no run `{shown}`\nhint: `castoff runs` lists them"))),
        (Some(_), Some(_)) => Err(Problem::new(66, format!("more than one run begins with `{shown}`"))),
    }
}

pub(super) async fn list(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Vec<RunRecord>>, Problem> {
    let scope = scope(&caller);
    let runs = read(&handle, move |store| store.runs(scope.as_ref(), limit.unwrap_or(LIST_DEFAULT))).await?;
    Ok(Json(runs.into_iter().map(|record| readable(record, &caller)).collect()))
}

pub(super) async fn show(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<RunRecord>, Problem> {
    Ok(Json(readable(find(&handle, &caller, id).await?, &caller)))
}

/// A run as `caller` may see it.
fn readable(mut record: RunRecord, caller: &Principal) -> RunRecord {
    // What only the owner may do is offered to nobody else.
    if let Some(verdict) = record.verdict.as_mut().filter(|_| caller.trust != Trust::Owner) {
        verdict.always.clear();
    }
    if record.is_readable_by(caller) { record } else { record.without_content() }
}

/// As [`find`], for its content.
async fn find_to_read(handle: &Handle, caller: &Principal, id: String) -> Result<RunRecord, Problem> {
    let record = find(handle, caller, id).await?;
    if record.is_readable_by(caller) {
        return Ok(record);
    }
    let why = format!("this run is {}'s; the owner sees what it says only while he has to judge it", record.person);
    Err(Problem::new(77, why))
}

async fn output_lines(handle: &Handle, record: &RunRecord) -> Result<Vec<Line>, Problem> {
    let run = record.run.clone();
    let pieces = read(handle, move |store| store.output(&run, 0)).await?;
    let parts = pieces.into_iter().flat_map(|piece| piece.parts);
    Ok(parts.map(|(stream, bytes)| Line::Output { stream, bytes: BASE64_STANDARD.encode(bytes) }).collect())
}

/// What is on record, and then the run as it stands.
pub(super) async fn output(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let record = find_to_read(&handle, &caller, id).await?;
    let mut lines = output_lines(&handle, &record).await?;
    lines.push(line(&handle, &caller, News::Record(Box::new(record))));
    let (_, closed) = mpsc::unbounded_channel();
    Ok(stream(&handle, &caller, lines, closed, is_over))
}

/// What is on record, and then what comes. Output that is not on record yet when the caller arrives
/// may be missing for at most a second.
pub(super) async fn follow(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let record = find_to_read(&handle, &caller, id).await?;
    let news = handle.watch(&record.run);
    let mut lines = output_lines(&handle, &record).await?;
    let last = line(&handle, &caller, News::Record(Box::new(record)));
    let over = is_over(&last);
    lines.push(last);
    if over {
        let (_, closed) = mpsc::unbounded_channel();
        return Ok(stream(&handle, &caller, lines, closed, is_over));
    }
    Ok(stream(&handle, &caller, lines, news, is_over))
}

pub(super) async fn diff(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<String>, Problem> {
    let record = find_to_read(&handle, &caller, id).await?;
    if record.end.as_ref().is_none_or(|end| end.changes.iter().all(|set| set.changes.is_empty())) {
        return Ok(Json(String::new()));
    }
    handle.diff(&record.run).await.map(Json).map_err(|why| Problem::new(69, why))
}

/// Sends an event about a run and streams what follows.
async fn about(handle: &Handle, caller: &Principal, run: &RunId, event: Event) -> Result<Response, Problem> {
    let news = handle.watch(run);
    send(handle, event).await?;
    Ok(stream(handle, caller, Vec::new(), news, is_over))
}

pub(super) async fn stop(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<()>, Problem> {
    let record = find(&handle, &caller, id).await?;
    send(&handle, Event::StopAsked { run: record.run, by: caller }).await?;
    Ok(Json(()))
}

pub(super) async fn apply(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Json(Apply { paths }): Json<Apply>,
) -> Result<Response, Problem> {
    let record = Box::new(find(&handle, &caller, id).await?);
    let run = record.run.clone();
    let paths = paths.map(|paths| paths.into_iter().map(PathBuf::from).collect());
    about(&handle, &caller, &run, Event::ApplyAsked { record, by: caller.clone(), paths }).await
}

pub(super) async fn drop_changes(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let record = Box::new(find(&handle, &caller, id).await?);
    let run = record.run.clone();
    about(&handle, &caller, &run, Event::DropAsked { record, by: caller.clone() }).await
}

pub(super) async fn undo(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let record = find(&handle, &caller, id).await?;
    let run = record.run.clone();
    about(&handle, &caller, &run, handle.undo(record, caller.clone())).await
}

/// Answers a question: by the approval's id or its beginning, or by its run's.
pub(super) async fn answer(
    State(handle): State<Handle>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Json(Answer { yes, always }): Json<Answer>,
) -> Result<Response, Problem> {
    let scope = scope(&caller);
    let shown = id.clone();
    let open = read(&handle, move |store| store.approvals(true)).await?;
    let mut open = open
        .into_iter()
        .filter(|one| scope.as_ref().is_none_or(|person| *person == one.person))
        .filter(|one| id.len() >= 3 && (one.approval.as_str().starts_with(&id) || one.run.as_str().starts_with(&id)));
    let approval = match (open.next(), open.next()) {
        (Some(approval), None) => approval,
        (None, _) => {
            let why = format!("there is no open question `{shown}`\nhint: `castoff approvals` lists them");
            return Err(Problem::new(66, why));
        }
        (Some(_), Some(_)) => return Err(Problem::new(66, format!("more than one question begins with `{shown}`"))),
    };
    let (by, approval_id) = (caller.clone(), approval.approval);
    let event = if yes && !always.is_empty() {
        Event::AllowedAlways { approval: approval_id, by, shown: always }
    } else {
        Event::Answered { approval: approval_id, by, yes }
    };
    about(&handle, &caller, &approval.run, event).await
}
