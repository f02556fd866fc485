//! One script, or one file request, from start to exit frame.
//!
//! ```text
//!  stdin thread ── Stop ─────────▶ ┐
//!  stream threads ── TooMuchOutput ▶ watch: SIGTERM, then SIGKILL when the grace is over
//!  reaper thread ── Ended ───────▶ ┘        (the wall time is watched here too)
//! ```
//! Frames of output go out from the stream threads, so a runner that reads slowly delays no stop. When the
//! runner is gone, [`abandon`] ends everything from whichever thread notices.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike as _;
use rustix::process::WaitStatus;

use super::facts::Refused;
use super::output::Outlet;
use super::reaper::{self, MemoryRank};
use super::shell;
use crate::domain::run::{StopCause, Stream};
use crate::protocol::codec;
use crate::protocol::init::{Exit, FromInit, OWN_ID_BITS, Request, ToInit};

/// Milliseconds between asking and killing when castoff-init itself stops the script.
const GRACE_MS: u64 = 2_000;
/// Longest single wait for an event, in milliseconds.
const WAIT_MS_MAX: u64 = 3_600_000;
/// Stack of a thread, in bytes.
const STACK_BYTES: usize = 256 << 10;

/// The streams to and from the runner.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) input: File,
    pub(super) output: File,
}

/// What the threads tell.
#[derive(Debug)]
pub(super) enum Event {
    /// The runner wants it stopped.
    Stop { cause: StopCause, grace_ms: u64 },
    /// The script wrote more than it may.
    TooMuchOutput,
    /// The shell ended like this, and every other process is dead too.
    Ended(Option<WaitStatus>),
}

/// Runs the script to its end, however that comes.
pub(super) fn run(request: Request, channel: Channel, (refused, rank): (&Refused, &MemoryRank)) -> Exit {
    let before = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
    let wall_time_ms = request.wall_time_ms;
    match start(request, channel, rank) {
        Err(why) => never_started(None, Some(why)),
        Ok(live) => {
            let (status, cause) = live.watch(wall_time_ms);
            let mut exit = live.close(status, cause);
            let after = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
            exit.cpu_ms = cpu_ms(after.as_ref()).saturating_sub(cpu_ms(before.as_ref()));
            exit.memory_kib_max = after.and_then(|usage| u64::try_from(usage.max_rss()).ok()).unwrap_or(0);
            exit.memory_kills = refused.memory_kills();
            exit.starts_refused = refused.starts();
            exit.cpu_waited_ms = refused.cpu_waited_ms();
            exit
        }
    }
}

/// The exit of a script that was stopped or failed before it started.
pub(super) fn never_started(stopped: Option<StopCause>, failed: Option<String>) -> Exit {
    Exit {
        code: None,
        signal: None,
        stopped,
        failed,
        memory_kills: 0,
        starts_refused: 0,
        cpu_waited_ms: 0,
        cpu_ms: 0,
        memory_kib_max: 0,
        stdout_bytes: 0,
        stderr_bytes: 0,
    }
}

/// Ends everything at once, without an exit frame: the runner is gone. The kernel kills what is left in the
/// container when PID 1 ends (pid_namespaces(7)).
///
/// INVARIANT: nothing is killed before that. A script that died first would be told in an exit frame as one that
/// ended by itself, and its changes would land.
#[expect(clippy::exit, reason = "the main thread may be blocked, and nothing is left to clean up but processes")]
pub(super) fn abandon() -> ! {
    std::process::exit(1)
}

/// A script that runs.
struct Live {
    events: Receiver<Event>,
    outlet: Arc<Outlet>,
    streams: [JoinHandle<()>; 2],
}

/// Makes every descriptor and thread, then starts the shell, or what serves the file request.
fn start(request: Request, channel: Channel, rank: &MemoryRank) -> Result<Live, String> {
    let output_bytes = request.output_bytes;
    let (mut command, input) = shell::work(request)?;
    let (told, events) = mpsc::channel();
    let outlet = Arc::new(Outlet::new(channel.output, output_bytes));
    let failed = |error: io::Error| format!("the script cannot be started: {error}");
    let (stdin, stdin_writer) = io::pipe().map_err(failed)?;
    let (stdout_reader, stdout) = io::pipe().map_err(failed)?;
    let (stderr_reader, stderr) = io::pipe().map_err(failed)?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let stream = |pipe: PipeReader, stream: Stream| {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let (outlet, told) = (Arc::clone(&outlet), told.clone());
        thread(move || outlet.pump(pipe, stream, &told))
    };
    let streams = [
        stream(stdout_reader, Stream::Stdout).map_err(failed)?,
        stream(stderr_reader, Stream::Stderr).map_err(failed)?,
    ];
    let (shell_told, shell_pid) = mpsc::channel();
    let ended = told.clone();
    thread(move || {
        if let Ok(pid) = shell_pid.recv() {
            ended.send(Event::Ended(reaper::outlive(pid))).ok();
        }
    })
    .map_err(failed)?;
    feed(stdin_writer, input).map_err(failed)?;
    thread(move || listen(channel.input, &told)).map_err(failed)?;
    use_up_own_ids().map_err(failed)?;
    // Held over the start: the first frame is that of the start.
    let mut gate = outlet.gate();
    let pid = rank.before_us(|| spawn(command)).map_err(|error| {
        let too_long = error.kind() == io::ErrorKind::ArgumentListTooLong;
        if too_long { "the script or its environment is too long for the system".to_owned() } else { failed(error) }
    })?;
    shell_told.send(pid).ok();
    gate.write(&FromInit::Started);
    drop(gate);
    Ok(Live { events, outlet, streams })
}

/// Starts it and lets go of our ends of its pipes. The child is the reaper's.
fn spawn(mut command: Command) -> io::Result<u32> {
    Ok(command.spawn()?.id())
}

/// Threads come and go until the next id is no longer one of ours. The kernel gives ids in order, and those below 300
/// never again once it has come to its last (`RESERVED_PIDS` of kernel/pid.c).
fn use_up_own_ids() -> io::Result<()> {
    const NEXT: u32 = 1 << OWN_ID_BITS;
    for _ in 0..NEXT {
        let id = Builder::new().stack_size(STACK_BYTES).spawn(|| rustix::thread::gettid().as_raw_nonzero().get())?;
        let id = id.join().ok().and_then(|id| u32::try_from(id).ok());
        if id.is_none_or(|id| id + 1 >= NEXT) {
            return Ok(());
        }
    }
    Ok(())
}

/// Gives the script its standard input, then end of file.
fn feed(mut pipe: PipeWriter, stdin: Vec<u8>) -> io::Result<()> {
    if stdin.is_empty() {
        return Ok(());
    }
    thread(move || {
        // A script need not read its input.
        pipe.write_all(&stdin).ok();
    })?;
    Ok(())
}

/// Hears the runner. Its silence is the end of everything.
fn listen(mut input: File, told: &Sender<Event>) {
    loop {
        match codec::read(&mut input) {
            Ok(Some(ToInit::Stop { cause, grace_ms })) => {
                told.send(Event::Stop { cause, grace_ms }).ok();
            }
            Ok(Some(ToInit::Run(_)) | None) | Err(_) => abandon(),
        }
    }
}

impl Live {
    /// Waits for the end, and brings it about when it must come.
    fn watch(&self, wall_time_ms: u64) -> (Option<WaitStatus>, Option<StopCause>) {
        let mut cause: Option<StopCause> = None;
        let mut wall = after_ms(wall_time_ms);
        let mut kill: Option<Instant> = None;
        loop {
            let (reason, grace_ms) = match self.events.recv_timeout(until(wall, kill)) {
                Ok(Event::Ended(status)) => return (status, cause),
                Ok(Event::Stop { cause, grace_ms }) => (cause, grace_ms),
                Ok(Event::TooMuchOutput) => (StopCause::OutputCap, GRACE_MS),
                Err(RecvTimeoutError::Timeout) if is_over(kill) => {
                    reaper::signal_all(Signal::SIGKILL);
                    kill = after_ms(GRACE_MS);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) if is_over(wall) => {
                    wall = None;
                    (StopCause::Timeout, GRACE_MS)
                }
                Err(RecvTimeoutError::Timeout) => continue,
                // The reaper is gone, which cannot be: end as if the runner were.
                Err(RecvTimeoutError::Disconnected) => abandon(),
            };
            cause = cause.max(Some(reason));
            reaper::signal_all(Signal::SIGTERM);
            kill = [kill, after_ms(grace_ms)].into_iter().flatten().min();
        }
    }

    /// Passes on what is left in the pipes and tells how it ended.
    fn close(self, status: Option<WaitStatus>, cause: Option<StopCause>) -> Exit {
        self.outlet.all_dead();
        for stream in self.streams {
            stream.join().ok();
        }
        let mut gate = self.outlet.gate();
        gate.pass_end();
        let cut = gate.is_over().then_some(StopCause::OutputCap);
        Exit {
            code: status.and_then(WaitStatus::exit_status).and_then(|code| u8::try_from(code).ok()),
            signal: status.and_then(WaitStatus::terminating_signal).and_then(|signal| u8::try_from(signal).ok()),
            stopped: cause.max(cut),
            stdout_bytes: gate.stdout_bytes,
            stderr_bytes: gate.stderr_bytes,
            ..never_started(None, None)
        }
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().stack_size(STACK_BYTES).spawn(work)
}

fn cpu_ms(usage: Option<&Usage>) -> u64 {
    let time = usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_milliseconds());
    u64::try_from(time).unwrap_or(0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "PID 1 times the script itself; the clock of the runtime is another process's"
)]
fn now() -> Instant {
    Instant::now()
}

/// `None`: later than the clock can tell.
fn after_ms(ms: u64) -> Option<Instant> {
    now().checked_add(Duration::from_millis(ms))
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= now())
}

fn until(wall: Option<Instant>, kill: Option<Instant>) -> Duration {
    let longest = Duration::from_millis(WAIT_MS_MAX);
    let next = [wall, kill].into_iter().flatten().min();
    next.map_or(longest, |next| next.saturating_duration_since(now()).min(longest))
}
