//! Ends and reaps processes: all of them, always. PID 1 is the one process that its own signals do not reach.
//! And puts them first where the kernel must end one for want of memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

/// Signals every process but PID 1. Atomic against fork(2): nobody slips through a kill.
pub(super) fn signal_all(signal: Signal) {
    // ESRCH: nobody is there, which is as good.
    kill(Pid::from_raw(-1), signal).ok();
}

/// Kills and reaps every process but PID 1; when it returns, none is left.
pub(super) fn kill_all() {
    loop {
        signal_all(Signal::SIGKILL);
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Reaps whatever ends until the process `shell` does, then kills and reaps the rest.
///
/// Returns how the shell ended; `None` when it was not to be found.
pub(super) fn outlive(shell: u32) -> Option<WaitStatus> {
    let status = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if is(pid, shell) && is_end(status) => break Some(status),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break None,
        }
    };
    kill_all();
    status
}

fn is(pid: rustix::process::Pid, id: u32) -> bool {
    u32::try_from(pid.as_raw_nonzero().get()) == Ok(id)
}

/// Not the stop of a process that made PID 1 its tracer (PTRACE_TRACEME of ptrace(2)).
fn is_end(status: WaitStatus) -> bool {
    status.exited() || status.signaled()
}

/// The rank among those that the kernel may kill for want of memory (`oom_score_adj` of proc_pid_oom_score_adj(5)).
#[derive(Debug)]
pub(super) struct MemoryRank(Option<(File, Vec<u8>)>);

/// The first to be killed.
const FIRST: &[u8] = b"1000";

impl MemoryRank {
    /// Opens that of this process. Where it cannot be had, all keep the rank that they have.
    pub(super) fn open() -> Self {
        let open = || {
            let mut file = File::options().read(true).write(true).open("/proc/self/oom_score_adj")?;
            let mut own = Vec::new();
            file.read_to_end(&mut own)?;
            io::Result::Ok((file, own))
        };
        Self(open().ok())
    }

    /// Does `start`, and what that starts is killed before this process.
    pub(super) fn before_us<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some((file, own)) = &self.0 else { return start() };
        // One may raise it, and lower it to where root set it: what fails changes nothing.
        file.write_all_at(FIRST, 0).ok();
        let started = start();
        file.write_all_at(own, 0).ok();
        started
    }
}
