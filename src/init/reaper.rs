//! Ends and reaps processes: all of them, always. PID 1 is the one process that its own signals do not reach.

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
