//! A script under way: output flows out, stops flow in, and one of them ends it.
//!
//! Two halves work side by side, so that a slow reader of the output delays no stop:
//!
//! ```text
//!  output  Started, Stdout*, Stderr* ─▶ core;  ends at the exit frame or the end of the stream
//!  input   Stop ◀── core, disk, backstop;  closed when the connection or the runner ends: init kills all
//!          and after GRACE, whatever init does, the engine kills the container
//! ```

use std::time::Duration;

use bollard::errors::Error as EngineError;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::attach::{Attached, Frames, Input};
use super::disk::Disk;
use super::lifecycle::Order;
use super::state::{Engine, Link, Runner};
use crate::crash::{self, Point};
use crate::domain::run::{Ending, Enforced, RunEnd, StopCause, Stream, Usage};
use crate::domain::time::Timestamp;
use crate::protocol::codec;
use crate::protocol::init::{Exit, FromInit, ToInit};
use crate::protocol::runner::FromRunner;

/// Between asking a script to end and killing it, in milliseconds.
const GRACE_MS: u64 = 2000;
/// What init gets beyond a limit before the engine kills the container.
const BACKSTOP: Duration = Duration::from_secs(10);
/// Between two looks at the disk.
const DISK_INTERVAL: Duration = Duration::from_millis(50);
/// How long the engine may take to say that a container is dead.
const DEATH_TIME_MAX: Duration = Duration::from_secs(30);

/// What is sent to a container that was confirmed.
pub(super) struct Script<'a> {
    pub(super) request: ToInit,
    pub(super) order: &'a Order,
    pub(super) enforced: Enforced,
    /// The engine's id.
    pub(super) container: &'a str,
}

/// Sends the script and follows it to its end.
pub(super) async fn live(
    runner: &Runner,
    engine: &Engine,
    link: &Link,
    stops: mpsc::Receiver<StopCause>,
    (attached, script, started): (Attached, Script<'_>, Timestamp),
) -> RunEnd {
    let Attached { input, mut frames } = attached;
    let mut driver = Driver { runner, link, stops, input, order: script.order };
    let enforced = script.enforced.clone();
    let (ending, usage) = match driver.send_script(&script.request).await {
        Err(ending) => (ending, Usage::default()),
        Ok(disk) => {
            let outcome = tokio::select! {
                outcome = output(&mut frames, link, &script) => outcome,
                // Returns when init did not end in time.
                () = driver.drive(disk) => None,
            };
            match outcome {
                Some(exit) => told(&exit),
                None => {
                    bury(engine, script.container).await;
                    (driver.lost(), Usage::default())
                }
            }
        }
    };
    RunEnd { ending, started, ended: runner.now(), enforced: Some(enforced), usage, changes: Vec::new() }
}

/// Passes output on until the exit frame; `None` when there is none.
async fn output(frames: &mut Frames, link: &Link, script: &Script<'_>) -> Option<Exit> {
    let run = &script.order.run;
    let piece = |stream, bytes| FromRunner::Output { run: run.clone(), stream, bytes };
    loop {
        match frames.next::<FromInit>().await {
            Ok(Some(FromInit::Started)) => {
                let enforced = Box::new(script.enforced.clone());
                link.send(FromRunner::Started { run: run.clone(), enforced }).await;
            }
            Ok(Some(FromInit::Stdout(bytes))) => {
                link.send(piece(Stream::Stdout, bytes)).await;
                crash::point(Point::OutputHalfRead);
            }
            Ok(Some(FromInit::Stderr(bytes))) => link.send(piece(Stream::Stderr, bytes)).await,
            Ok(Some(FromInit::Exit(exit))) => {
                crash::point(Point::ExitFrame);
                return Some(exit);
            }
            Ok(Some(FromInit::Ready(_) | FromInit::Probed(_))) => {
                tracing::warn!(%run, "castoff-init broke the protocol");
                return None;
            }
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(%run, %error, "the stream of a run broke");
                return None;
            }
        }
    }
}

struct Driver<'a> {
    runner: &'a Runner,
    link: &'a Link,
    stops: mpsc::Receiver<StopCause>,
    input: Input,
    order: &'a Order,
}

impl Driver<'_> {
    /// Sends the script, unless the run was stopped before.
    async fn send_script(&mut self, request: &ToInit) -> Result<Disk, Ending> {
        if let Ok(cause) = self.stops.try_recv() {
            return Err(Ending::Stopped { cause });
        }
        if self.link.gone.is_cancelled() || self.runner.stop.is_cancelled() {
            return Err(self.lost());
        }
        let failed = |why: String| Ending::Failed { why };
        let disk = Disk::look(&self.runner.state()).map_err(|error| failed(error.to_string()))?;
        let sent = codec::send(&mut self.input, request).await;
        sent.map_err(|error| failed(format!("the script could not be sent: {error}")))?;
        crash::point(Point::RequestSent);
        Ok(disk)
    }

    /// Stops the script when something says so; returns when init had its time and the engine must kill it.
    async fn drive(&mut self, disk: Disk) {
        let limits = &self.order.plan.limits;
        let mut deadline = Instant::now() + Duration::from_millis(limits.wall_time_ms) + BACKSTOP;
        let mut looks = tokio::time::interval(DISK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ending = false;
        let mut full = false;
        loop {
            tokio::select! {
                Some(cause) = self.stops.recv() => deadline = deadline.min(self.stop(cause).await),
                _ = looks.tick(), if !full => {
                    if disk.is_spent(limits) {
                        full = true;
                        deadline = deadline.min(self.stop(StopCause::DiskCap).await);
                    }
                }
                () = self.link.gone.cancelled(), if !ending => {
                    ending = true;
                    deadline = deadline.min(self.end().await);
                }
                () = self.runner.stop.cancelled(), if !ending => {
                    ending = true;
                    deadline = deadline.min(self.end().await);
                }
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }

    /// Asks init to end the script; says when its time is over.
    async fn stop(&mut self, cause: StopCause) -> Instant {
        let stop = ToInit::Stop { cause, grace_ms: GRACE_MS };
        if let Err(error) = codec::send(&mut self.input, &stop).await {
            tracing::warn!(run = %self.order.run, %error, "a stop could not be sent");
        }
        Instant::now() + Duration::from_millis(GRACE_MS) + BACKSTOP
    }

    /// Ends the script with its runner or its connection: by a stop, so that the record says why, or
    /// by closing init's input, which kills everything.
    async fn end(&mut self) -> Instant {
        if self.runner.stop.is_cancelled() {
            return self.stop(StopCause::Shutdown).await;
        }
        // A stream that is broken is closed too.
        drop(self.input.shutdown().await);
        Instant::now() + BACKSTOP
    }

    fn lost(&self) -> Ending {
        let cause = if self.runner.stop.is_cancelled() { StopCause::Shutdown } else { StopCause::Lost };
        Ending::Stopped { cause }
    }
}

/// Kills a container without an exit frame, and waits until the engine says that it is dead: only then
/// may its changes be read.
async fn bury(engine: &Engine, container: &str) {
    if let Err(error) = engine.docker.kill_container(container, None).await {
        tracing::debug!(%error, "a container was dead before it was killed");
    }
    let dead = async {
        loop {
            let state = engine.docker.inspect_container(container, None).await.map(|found| found.state);
            match state {
                Ok(Some(state)) if state.running == Some(true) => tokio::time::sleep(DISK_INTERVAL).await,
                Ok(_) | Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => return,
                // An engine that is gone says nothing of its containers.
                Err(_) => tokio::time::sleep(DISK_INTERVAL).await,
            }
        }
    };
    if timeout(DEATH_TIME_MAX, dead).await.is_err() {
        tracing::error!(container, "the engine cannot kill a container");
    }
}

fn told(exit: &Exit) -> (Ending, Usage) {
    let ending = match exit {
        Exit { failed: Some(why), .. } => Ending::Failed { why: why.clone() },
        Exit { stopped: Some(cause), .. } => Ending::Stopped { cause: *cause },
        Exit { signal: Some(signal), out_of_memory, .. } => {
            Ending::Signalled { signal: *signal, out_of_memory: *out_of_memory }
        }
        Exit { code: Some(code), .. } => Ending::Exited { code: *code },
        Exit { .. } => Ending::Stopped { cause: StopCause::Lost },
    };
    let usage = Usage {
        cpu_ms: exit.cpu_ms,
        memory_kib_max: exit.memory_kib_max,
        stdout_bytes: exit.stdout_bytes,
        stderr_bytes: exit.stderr_bytes,
    };
    (ending, usage)
}
