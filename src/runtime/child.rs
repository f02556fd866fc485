//! On a bare host the core starts the runner as a child of its own: the same binary, over the same
//! sockets. The only place that starts a process on the host, and it starts nothing else.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;
use tokio_util::sync::CancellationToken;

/// Pause before a runner that ended is started again.
const RESTART: Duration = Duration::from_secs(1);
/// How long a runner may take to end its runs and keepers.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(45);

/// Keeps a runner going until told to stop, and waits for it to end then.
pub async fn keep_runner(home: PathBuf, config: PathBuf, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match start_runner(&home, &config, Stdio::inherit()) {
            Ok(mut runner) => {
                // Taken out, since waiting would close it.
                let input = runner.stdin.take();
                tokio::select! {
                    ended = runner.wait() => tracing::warn!("the runner ended ({ended:?}) and is started again"),
                    () = stop.cancelled() => {
                        drop(input);
                        end(runner).await;
                    }
                }
            }
            Err(error) => tracing::error!("the runner cannot be started: {error}"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RESTART) => {}
        }
    }
}

/// Waits for a runner whose standard input was closed; one that does not end is killed.
async fn end(mut runner: Child) {
    match tokio::time::timeout(CLOSE_TIME_MAX, runner.wait()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!("the runner cannot be waited for: {error}"),
        Err(_) => {
            if let Err(error) = runner.kill().await {
                tracing::warn!("the runner cannot be ended: {error}");
            }
        }
    }
}

/// Starts `castoff runner` from our own binary. It ends when its standard input ends, so it never
/// outlives the core, however that dies. A Ctrl-C at the terminal is for the core, which ends it.
/// What it logs goes to `log`.
///
/// # Errors
/// When the process cannot be made.
#[expect(clippy::disallowed_methods, reason = "our own binary, by /proc/self/exe")]
pub fn start_runner(home: &Path, config: &Path, log: Stdio) -> std::io::Result<Child> {
    tokio::process::Command::new("/proc/self/exe")
        .arg("--home")
        .arg(home)
        .arg("--config")
        .arg(config)
        .args(["runner", "--child"])
        .stdin(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
}
