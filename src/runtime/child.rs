//! On a bare host the core starts the runner as a child of its own: the same binary, over the same
//! sockets. The only place that starts a process on the host, and it starts nothing else.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Child;

/// Starts `castoff runner` from our own binary. It ends when its standard input ends, so it never
/// outlives the core, however that dies.
///
/// # Errors
/// When the process cannot be made.
#[expect(clippy::disallowed_methods, reason = "our own binary, by /proc/self/exe")]
pub fn start_runner(home: &Path, config: &Path) -> std::io::Result<Child> {
    tokio::process::Command::new("/proc/self/exe")
        .arg("--home")
        .arg(home)
        .arg("--config")
        .arg(config)
        .args(["runner", "--child"])
        .stdin(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
}
