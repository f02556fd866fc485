//! castoff-init: PID 1 of every run. One request in, frames out, and nothing left alive.
//!
//! ```text
//!  hide (not dumpable) ─▶ gather facts, prime the shell ─▶ Ready ─▶ wait for Run
//!        ─▶ descriptors and threads ─▶ start the shell ─▶ Started ─▶ Stdout*, Stderr*
//!        ─▶ the shell ends, or is stopped: SIGTERM, grace, SIGKILL
//!        ─▶ kill all, reap all, drain the pipes ─▶ Exit
//! ```
//!
//! For want of memory the kernel kills it last: what it starts is first in the queue.
//!
//! It owns its three standard streams and the life of every process in its container. The script runs
//! under the same user id and may attack it.
//!
//! INVARIANT: from the start of the script on, nothing here needs a new descriptor or a new thread: the
//! script may take both away (prlimit(2), a fork bomb).
//!
//! INVARIANT: every thread here has an id of at most [`OWN_ID_BITS`](crate::protocol::init::OWN_ID_BITS), and every
//! process of the script one above: the seccomp profile refuses what changes a process by its id for the ids below.
//!
//! It refuses to be anything but process 1: it kills every process that it can see. Two verbs are no process 1:
//! `probe` looks at a path, and `file` serves one file request as a child of process 1, in the shell's stead.

mod facts;
mod files;
pub mod mount;
mod output;
mod reaper;
mod script;
mod shell;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::protocol::codec::{self, FrameError};
use crate::protocol::init::{FromInit, ToInit};

/// The argument with which castoff-init starts itself, to serve a file request.
const FILE_VERB: &str = "file";

/// Why castoff-init ended without an exit frame.
#[derive(Debug, thiserror::Error)]
enum InitError {
    /// It is not PID 1.
    #[error("castoff-init runs as the first process of a container only, this is process {0}")]
    NotFirst(i32),
    /// It can be traced and read by the script.
    #[error("castoff-init cannot be hidden from the script: {0}")]
    Visible(io::Error),
    /// A fact about the container cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Unreadable { path: String, source: io::Error },
    /// A fact about the container does not have the expected form.
    #[error("`{0}` is not understood")]
    Unclear(&'static str),
    /// The runner speaks otherwise.
    #[error("the runner is not understood: {0}")]
    Frame(#[from] FrameError),
    /// A standard stream is missing.
    #[error("a standard stream is missing: {0}")]
    Stream(io::Error),
    /// The command line.
    #[error("usage: castoff-init [--version | probe PATH | file]")]
    Usage,
}

/// Runs castoff-init with the arguments of the process, the program's name first.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match args.skip(1).collect::<Vec<_>>().as_slice() {
        [] => serve(),
        [flag] if flag == "--version" => version(),
        [verb, path] if verb == "probe" => probe(Path::new(path)),
        [verb] if verb == FILE_VERB => return files::main(),
        _ => Err(InitError::Usage),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone too.
            writeln!(io::stderr(), "castoff-init: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn version() -> Result<(), InitError> {
    writeln!(io::stdout(), "castoff-init {}", env!("CARGO_PKG_VERSION")).map_err(InitError::Stream)
}

fn probe(path: &Path) -> Result<(), InitError> {
    let probed = facts::probe(path)?;
    Ok(codec::write(&mut io::stdout(), &FromInit::Probed(Box::new(probed)))?)
}

/// Serves one run, from the ready frame to the exit frame.
fn serve() -> Result<(), InitError> {
    // A process that is hidden may not open its own.
    let rank = reaper::MemoryRank::open();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| InitError::Visible(error.into()))?;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    if pid != 1 {
        return Err(InitError::NotFirst(pid));
    }
    // SIGPIPE is ignored by Rust's start-up code; of the other signals PID 1 gets only those it handles.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(InitError::Stream)?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(InitError::Stream)?);
    let ready = facts::gather()?;
    let refused = facts::Refused::open();
    shell::prime();
    codec::write(&mut output, &FromInit::Ready(Box::new(ready)))?;
    let exit = match codec::read(&mut input)? {
        None => return Ok(()),
        Some(ToInit::Stop { cause, .. }) => script::never_started(Some(cause), None),
        Some(ToInit::Run(request)) => {
            let channel = script::Channel { input, output: output.try_clone().map_err(InitError::Stream)? };
            script::run(request, channel, (&refused, &rank))
        }
    };
    // INVARIANT: every process is dead and no thread writes any more.
    codec::write(&mut output, &FromInit::Exit(exit))?;
    Ok(())
}
