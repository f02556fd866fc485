//! One connection: its requests come in order and are served side by side; a run belongs to the
//! connection that asked for it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::lifecycle::{self, Order};
use super::state::{Link, Runner, locked};
use super::{changes, fit, keeper, survey};
use crate::domain::ids::RunId;
use crate::domain::run::{Ending, RunEnd, StopCause, Usage};
use crate::domain::time::Timestamp;
use crate::protocol::codec;
use crate::protocol::runner::{Fate, Fault, FromRunner, Request, ToRunner};

/// Messages that wait for a slow reader before the runs wait too.
const WAITING_MAX: usize = 64;

/// Serves a connection until it ends.
pub(super) async fn serve(runner: Arc<Runner>, stream: UnixStream) {
    let (mut from, to) = stream.into_split();
    let (out, messages) = mpsc::channel(WAITING_MAX);
    let link = Link { out, gone: CancellationToken::new() };
    runner.tracker.spawn(write(to, messages, link.gone.clone()));
    runner.tracker.spawn(tell_state(Arc::clone(&runner), link.clone()));
    loop {
        let request = tokio::select! {
            request = codec::receive::<ToRunner>(&mut from) => request,
            () = link.gone.cancelled() => break,
            // Its runs end for that reason, and are told over it.
            () = runner.stop.cancelled() => return,
        };
        match request {
            Ok(Some(request)) => dispatch(&runner, &link, request),
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "a connection is closed: what came in was no request");
                break;
            }
        }
    }
    link.gone.cancel();
}

async fn write(mut to: OwnedWriteHalf, mut messages: mpsc::Receiver<FromRunner>, gone: CancellationToken) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = fit::send(&mut to, message).await {
            tracing::debug!(%error, "a connection ended");
            gone.cancel();
            return;
        }
    }
}

/// Sends the readiness, at once and when it changes, and what takes long.
async fn tell_state(runner: Arc<Runner>, link: Link) {
    let mut readiness = runner.readiness();
    let mut news = runner.news();
    readiness.mark_changed();
    loop {
        let message = tokio::select! {
            Ok(()) = readiness.changed() => FromRunner::Ready(readiness.borrow_and_update().clone()),
            text = news.recv() => match text {
                Ok(text) => FromRunner::Progress { run: None, text },
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = link.gone.cancelled() => return,
            () = runner.stop.cancelled() => return,
        };
        link.send(message).await;
    }
}

fn dispatch(runner: &Arc<Runner>, link: &Link, request: ToRunner) {
    let (runner, link) = (Arc::clone(runner), link.clone());
    let tracker = runner.tracker.clone();
    match request {
        ToRunner::Run { run, plan, digest, stdin } => {
            let order = Order { run, plan: *plan, permitted: digest, stdin };
            lifecycle::start(&runner, order, link);
        }
        ToRunner::Stop { run, cause } => stop(&runner, &run, cause),
        ToRunner::Settled { run } => {
            if let Err(error) = locked(&runner.journal).settle(&run) {
                tracing::warn!(%error, %run, "a settled run could not be noted");
            }
        }
        ToRunner::Recall { runs } => {
            tracker.spawn(async move {
                // Each by itself: together their changes may be longer than a frame.
                for run in runs {
                    let fate = recall(&runner, &run).await;
                    link.send(FromRunner::Recalled { runs: vec![(run, fate)] }).await;
                }
            });
        }
        ToRunner::Survey { .. }
        | ToRunner::Diff { .. }
        | ToRunner::Apply { .. }
        | ToRunner::Drop { .. }
        | ToRunner::Undo { .. } => {
            tracker.spawn(async move { link.send(answer(&runner, request).await).await });
        }
    }
}

fn stop(runner: &Runner, run: &RunId, cause: StopCause) {
    if let Some(live) = runner.live(run)
        && live.stops.try_send(cause).is_err()
    {
        tracing::debug!(%run, "a run ends already");
    }
}

/// Serves a request about one run.
async fn answer(runner: &Arc<Runner>, request: ToRunner) -> FromRunner {
    let (run, kind, answered) = match request {
        ToRunner::Survey { run, person, mounts } => {
            let surveyed = async {
                let engine = runner.engine()?;
                survey::survey(runner, &engine, &runner.rules()?, &person, &mounts).await
            };
            let told = surveyed.await.map(|found| {
                let (covers, unusable) = (found.covers, found.unusable);
                FromRunner::Surveyed { run: run.clone(), covers, unusable }
            });
            (run, Request::Survey, told)
        }
        ToRunner::Diff { run } => {
            ended(runner, &run).await;
            let told = changes::diff(runner, &run).await.map(|text| FromRunner::Diffed { run: run.clone(), text });
            (run, Request::Diff, told)
        }
        ToRunner::Apply { run, paths } => {
            let landings = apply(runner, &run, paths).await;
            let told = landings.map(|landings| FromRunner::Applied { run: run.clone(), landings });
            (run, Request::Apply, told)
        }
        ToRunner::Drop { run } => {
            ended(runner, &run).await;
            let told = changes::forget(runner, &run).await.map_err(keeper::Fault::why);
            let told = told.map(|landings| FromRunner::Dropped { run: run.clone(), landings });
            (run, Request::Drop, told)
        }
        ToRunner::Undo { run } => {
            ended(runner, &run).await;
            return match changes::undo(runner, &run).await {
                Ok(landings) => FromRunner::Undone { run, landings },
                Err(keeper::Fault::Died(why)) => trouble(run, Request::Undo, Fault::Unanswered, why),
                Err(refused @ keeper::Fault::Refused(_)) => trouble(run, Request::Undo, Fault::Refused, refused.why()),
            };
        }
        ToRunner::Run { run, .. } | ToRunner::Stop { run, .. } | ToRunner::Settled { run } => {
            (run, Request::Survey, Err("this request has no answer".to_owned()))
        }
        ToRunner::Recall { .. } => return FromRunner::Recalled { runs: Vec::new() },
    };
    // What an apply or a drop left half-done, the next request about the run finishes.
    answered.unwrap_or_else(|why| trouble(run, kind, Fault::Refused, why))
}

fn trouble(run: RunId, request: Request, fault: Fault, why: String) -> FromRunner {
    FromRunner::Trouble { run, request, fault, why }
}

async fn apply(
    runner: &Arc<Runner>,
    run: &RunId,
    paths: Option<Vec<PathBuf>>,
) -> Result<Vec<crate::domain::change::Landing>, String> {
    ended(runner, run).await;
    changes::apply(runner, run, paths.as_deref()).await
}

/// Waits until a run is over: before, its changes are nobody's to touch.
async fn ended(runner: &Runner, run: &RunId) {
    if let Some(live) = runner.live(run) {
        live.over.cancelled().await;
    }
}

/// What became of a run. One that is still under way is waited for: its connection is gone, so it ends.
async fn recall(runner: &Arc<Runner>, run: &RunId) -> Fate {
    ended(runner, run).await;
    let Some(entry) = locked(&runner.journal).get(run).cloned() else { return Fate::NeverSeen };
    let changes = changes::read(runner, run, entry.begun.claimed_ns, &entry.begun.workspaces).await;
    match entry.end {
        Some(end) => Fate::Ended(Box::new(RunEnd { changes, ..end })),
        None => {
            let began = Timestamp::from_ms(entry.begun.claimed_ns / 1_000_000);
            Fate::Interrupted(Box::new(RunEnd {
                ending: Ending::Stopped { cause: StopCause::Lost },
                started: began,
                ended: runner.now(),
                enforced: None,
                usage: Usage::default(),
                changes,
            }))
        }
    }
}
