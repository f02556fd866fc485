//! A script under way: output flows out, stops flow in, and one of them ends it.
//!
//! Two halves work side by side, so that a slow reader of the output delays no stop:
//!
//! ```text
//!  output  Started, Stdout*, Stderr* ─▶ core;  ends at the exit frame, the end of the stream, or the
//!          first frame that is out of place
//!  input   Stop ◀── core, disk, backstop;  closed when the connection or the runner ends: init kills all
//!          and after GRACE, whatever init does, the engine kills the container
//! ```
//! INVARIANT: it ends only once the engine says that the container is dead: an exit frame may be a lie of who took
//! init's place and goes on writing, and what is read then is what is judged, reviewed and landed.

use std::time::Duration;

use bollard::errors::Error as EngineError;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::attach::{Attached, Frames, Input};
use super::disk::Disk;
use super::heard::{Heard, Said};
use super::lifecycle::Order;
use super::state::{Engine, Link, Runner};
use crate::crash::{self, Point};
use crate::domain::run::{Ending, Enforced, RunEnd, StopCause, Stream, Usage};
use crate::domain::time::Timestamp;
use crate::protocol::codec::{self, FrameError};
use crate::protocol::init::{Exit, FromInit, ToInit};
use crate::protocol::runner::FromRunner;

/// Between asking a script to end and killing it, in milliseconds.
const GRACE_MS: u64 = 2000;
/// How long init may take to read what is sent to it: the script with its input, or a stop.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
const STOP_SEND_TIME_MAX: Duration = Duration::from_secs(1);
/// What init gets beyond a limit before the engine kills the container.
const BACKSTOP: Duration = Duration::from_secs(10);
/// Between two looks at the disk.
const DISK_INTERVAL: Duration = Duration::from_millis(50);
/// How long after its exit frame a container may take to die by itself.
const EXIT_TIME_MAX: Duration = Duration::from_millis(200);
/// How long an engine may be gone that is to say that a container is dead.
const DEATH_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two tries to kill a container that lives on.
const KILL_INTERVAL: Duration = Duration::from_secs(1);
/// How long the engine may take to answer to one.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

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
    let order = script.order;
    let mut driver = Driver { runner, link, stops, input, order, asked: None, disk: None };
    let mut heard = Heard::new(order.plan.limits.output_bytes);
    let enforced = script.enforced.clone();
    // Asked from the beginning, so that the answer is there at once.
    let death = runner.tracker.spawn(death(engine.clone(), script.container.to_owned()));
    let outcome = match driver.send_script(&script.request).await {
        Err(ending) => Outcome::Unsent(ending),
        Ok(()) => tokio::select! {
            outcome = output(&mut frames, &mut heard, link, &script) => outcome,
            // Returns when init did not end in time.
            () = driver.drive() => Outcome::Late,
        },
    };
    // The engine takes a container for dead once its output is read, or nobody is attached any more.
    drop(frames);
    driver.input = Box::pin(tokio::io::sink());
    let (ending, mut usage) = match outcome {
        Outcome::Exit(exit) => {
            if !matches!(timeout(EXIT_TIME_MAX, death).await, Ok(Ok(true))) {
                tracing::warn!(run = %order.run, "a container did not end with its exit frame and is killed");
                bury(engine, script.container).await;
            }
            told(&exit)
        }
        other @ (Outcome::Unsent(_) | Outcome::Gone | Outcome::Broken | Outcome::Late) => {
            let memory_killed = bury(engine, script.container).await;
            (driver.cut_short(other, memory_killed), Usage::default())
        }
    };
    usage.left_out_bytes = heard.left_out_bytes();
    (usage.disk_bytes, usage.disk_files) = driver.disk_used();
    RunEnd { ending, started, ended: runner.now(), enforced: Some(enforced), usage, changes: Vec::new() }
}

/// How the following of a script ended.
enum Outcome {
    /// With its exit frame.
    Exit(Exit),
    /// It was not sent.
    Unsent(Ending),
    /// The stream ended before the exit frame.
    Gone,
    /// What came was not what castoff-init says.
    Broken,
    /// It did not come to its end in its time.
    Late,
}

/// Passes output on until the exit frame, the end of the stream or the first frame out of place.
async fn output(frames: &mut Frames, heard: &mut Heard, link: &Link, script: &Script<'_>) -> Outcome {
    let run = &script.order.run;
    let piece = |stream, bytes| FromRunner::Output { run: run.clone(), stream, bytes };
    loop {
        let frame = match frames.next::<FromInit>().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Outcome::Gone,
            Err(error) => {
                tracing::warn!(%run, %error, "the stream of a run broke");
                return if matches!(error, FrameError::Io(_)) { Outcome::Gone } else { Outcome::Broken };
            }
        };
        match heard.take(frame) {
            Ok(Said::Started) => {
                let enforced = Box::new(script.enforced.clone());
                link.send(FromRunner::Started { run: run.clone(), enforced }).await;
            }
            Ok(Said::Output(stream, bytes)) => {
                link.send(piece(stream, bytes)).await;
                crash::point(Point::OutputHalfRead);
            }
            Ok(Said::LeftOut(bytes)) => {
                let text = format!("\ncastoff: {bytes} bytes of output are left out here\n");
                link.send(piece(Stream::Stderr, text.into_bytes().into())).await;
            }
            Ok(Said::Exit(exit)) => {
                crash::point(Point::ExitFrame);
                return Outcome::Exit(exit);
            }
            Err(error) => {
                tracing::warn!(%run, %error, "what came out of a container was not castoff-init's");
                return Outcome::Broken;
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
    /// The highest cause that it was asked to stop for.
    asked: Option<StopCause>,
    /// Since the script was sent.
    disk: Option<Disk>,
}

impl Driver<'_> {
    /// Sends the script, unless the run was stopped before.
    async fn send_script(&mut self, request: &ToInit) -> Result<(), Ending> {
        if let Ok(cause) = self.stops.try_recv() {
            return Err(Ending::Stopped { cause });
        }
        if self.link.gone.is_cancelled() || self.runner.stop.is_cancelled() {
            return Err(self.lost());
        }
        let failed = |why: String| Ending::Failed { why };
        self.disk = Some(Disk::look(&self.runner.state()).map_err(|error| failed(error.to_string()))?);
        match timeout(SEND_TIME_MAX, codec::send(&mut self.input, request)).await {
            Ok(Ok(())) => {
                crash::point(Point::RequestSent);
                Ok(())
            }
            Ok(Err(error)) => Err(failed(format!("the script could not be sent: {error}"))),
            Err(_) => Err(failed("castoff-init did not take the script in time".to_owned())),
        }
    }

    /// Stops the script when something says so; returns when init had its time and the engine must kill it.
    async fn drive(&mut self) {
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
                    if let Some(cause) = self.disk.as_mut().and_then(|disk| disk.look_again(limits)) {
                        full = true;
                        deadline = deadline.min(self.stop(cause).await);
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
                () = tokio::time::sleep_until(deadline) => {
                    // Its wall time was over long ago, unless it was asked to end before.
                    self.asked.get_or_insert(if ending { StopCause::Lost } else { StopCause::Timeout });
                    return;
                }
            }
        }
    }

    /// Asks init to end the script; says when its time is over.
    async fn stop(&mut self, cause: StopCause) -> Instant {
        self.asked = self.asked.max(Some(cause));
        let grace_ms = match cause {
            // What goes on writing meanwhile takes the room of others.
            StopCause::DiskCap | StopCause::FilesCap | StopCause::DiskReserve => 0,
            StopCause::Timeout
            | StopCause::OutputCap
            | StopCause::MemoryCap
            | StopCause::Asked
            | StopCause::Shutdown
            | StopCause::Lost
            | StopCause::Broken => GRACE_MS,
        };
        let stop = ToInit::Stop { cause, grace_ms };
        let sent = timeout(STOP_SEND_TIME_MAX, codec::send(&mut self.input, &stop)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!(run = %self.order.run, "a stop could not be sent");
        }
        Instant::now() + Duration::from_millis(grace_ms) + BACKSTOP
    }

    /// Ends the script with its runner or its connection: by a stop, so that the record says why, or
    /// by closing init's input, which kills everything.
    async fn end(&mut self) -> Instant {
        if !self.link.gone.is_cancelled() {
            return self.stop(StopCause::Shutdown).await;
        }
        // A stream that is broken is closed too.
        drop(timeout(STOP_SEND_TIME_MAX, self.input.shutdown()).await);
        Instant::now() + BACKSTOP
    }

    fn lost(&self) -> Ending {
        // What ended first is the reason: a runner that stops keeps its connections.
        let stops = self.runner.stop.is_cancelled() && !self.link.gone.is_cancelled();
        let cause = if stops { StopCause::Shutdown } else { StopCause::Lost };
        Ending::Stopped { cause }
    }

    /// The ending of a script without an exit frame.
    fn cut_short(&self, outcome: Outcome, memory_killed: bool) -> Ending {
        match (outcome, self.asked) {
            (Outcome::Unsent(ending), _) => ending,
            (Outcome::Broken, _) => Ending::Stopped { cause: StopCause::Broken },
            (_, Some(cause)) => Ending::Stopped { cause },
            (_, None) if memory_killed => Ending::Stopped { cause: StopCause::MemoryCap },
            (_, None) => self.lost(),
        }
    }

    /// Bytes and files that the disk had less, at the most.
    fn disk_used(&mut self) -> (u64, u64) {
        let Some(disk) = &mut self.disk else { return (0, 0) };
        disk.look_again(&self.order.plan.limits);
        disk.used()
    }
}

/// Waits until a container is dead; `false` when the engine does not come to say it.
async fn death(engine: Engine, container: String) -> bool {
    let mut waited = std::pin::pin!(engine.docker.wait_container(&container, None));
    match waited.next().await {
        Some(Ok(said)) => said.error.is_none(),
        // So it is told that it exited with another code than 0.
        Some(Err(EngineError::DockerContainerWaitError { error, .. })) => error.is_empty(),
        Some(Err(_)) | None => false,
    }
}

/// Kills a container that does not end by itself, until the engine says that it is dead: only then may its
/// changes be read. Returns whether it was dead before, for want of memory.
async fn bury(engine: &Engine, container: &str) -> bool {
    let deadline = Instant::now() + DEATH_TIME_MAX;
    let mut kill_at = Instant::now();
    let mut killed = false;
    let out_of_memory = loop {
        // An engine that was just starting, or busy, did not do it.
        if Instant::now() >= kill_at {
            match timeout(KILL_TIME_MAX, engine.docker.kill_container(container, None)).await {
                Ok(Ok(())) => killed = true,
                Ok(Err(error)) => tracing::debug!(%error, "a container was dead before it was killed, or lives on"),
                Err(_) => tracing::warn!(container, "the engine does not answer to the killing of a container"),
            }
            kill_at = Instant::now() + KILL_INTERVAL;
        }
        match engine.docker.inspect_container(container, None).await.map(|found| found.state) {
            // However long it takes: its changes are not to be read before.
            Ok(Some(state)) if state.running == Some(true) => {}
            Ok(Some(state)) => break state.oom_killed == Some(true),
            Ok(None) | Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => return false,
            // An engine that is gone has no keepers either, nor containers when it is back.
            Err(error) if Instant::now() >= deadline => {
                tracing::error!(container, %error, "the engine does not say that a container is dead");
                return false;
            }
            Err(_) => {}
        }
        tokio::time::sleep(DISK_INTERVAL).await;
    };
    out_of_memory && !killed
}

fn told(exit: &Exit) -> (Ending, Usage) {
    let ending = match exit {
        Exit { failed: Some(why), .. } => Ending::Failed { why: why.clone() },
        Exit { stopped: Some(cause), .. } => Ending::Stopped { cause: *cause },
        Exit { signal: Some(signal), memory_kills, .. } => {
            Ending::Signalled { signal: *signal, out_of_memory: *memory_kills > 0 }
        }
        Exit { code: Some(code), .. } => Ending::Exited { code: *code },
        Exit { .. } => Ending::Stopped { cause: StopCause::Lost },
    };
    let usage = Usage {
        cpu_ms: exit.cpu_ms,
        memory_kib_max: exit.memory_kib_max,
        stdout_bytes: exit.stdout_bytes,
        stderr_bytes: exit.stderr_bytes,
        memory_kills: exit.memory_kills,
        starts_refused: exit.starts_refused,
        cpu_waited_ms: exit.cpu_waited_ms,
        ..Usage::default()
    };
    (ending, usage)
}
