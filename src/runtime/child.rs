//! What of our own binary runs beside us: on a bare host the runner, over the same sockets; and for each script that is
//! not small its parser. The only place that starts a process on the host, and it starts nothing else.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use crate::domain::script::Script;

/// Pause before a runner that ended is started again.
const RESTART: Duration = Duration::from_secs(1);
/// How long a runner may take to end its runs and keepers.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(45);
/// How long a parser may take that gets no processor, or does not end by itself.
const PARSE_TIME_MAX: Duration = Duration::from_secs(5);
/// How a parser ends that was on a processor for too long.
pub const PARSED_TOO_LONG: i32 = 124;
/// Longest facts that are taken, in bytes.
const FACTS_BYTES_MAX: u64 = 64 << 20;

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

/// The facts of `script`, as [`crate::policy::facts`] tells them in a process of its own: a text that overflows the
/// parser's stack, fills its memory or keeps it busy ends nothing but that.
///
/// # Errors
/// Why there are none, for people.
#[expect(clippy::disallowed_methods, reason = "our own binary, by /proc/self/exe")]
pub fn facts(script: &Script) -> Result<Vec<u8>, String> {
    let mut parser = Command::new("/proc/self/exe");
    parser.arg("parse");
    told(parser, script, PARSE_TIME_MAX)
}

fn told(mut parser: Command, script: &Script, most: Duration) -> Result<Vec<u8>, String> {
    let parser = parser.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut parser = parser.spawn().map_err(|error| format!("no process could be had to parse it ({error})"))?;
    if let Some(mut input) = parser.stdin.take() {
        // When it ended before it read all, its status says more.
        drop(input.write_all(script.as_str().as_bytes()));
    }
    let (done, read) = mpsc::channel();
    if let Some(output) = parser.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(FACTS_BYTES_MAX).read_to_end(&mut bytes);
            drop(done.send(read.map(|_| bytes)));
        });
    }
    let read = read.recv_timeout(most);
    if read.is_err() {
        // It may have ended by itself meanwhile.
        drop(parser.kill());
    }
    let ended = parser.wait().map_err(|error| format!("its parser cannot be waited for ({error})"))?;
    match read {
        Ok(Ok(bytes)) if ended.success() => Ok(bytes),
        Ok(_) if ended.code() == Some(PARSED_TOO_LONG) => Err("it takes too long to parse".to_owned()),
        Ok(_) => Err(format!("its parser failed ({ended})")),
        Err(_) => Err(format!("it takes more than {} s to parse", most.as_secs_f32())),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "programs that stand for a parser that fails")]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_fails_in_any_way_is_an_error_and_nothing_else() {
        let script = Script::new(format!("echo {}", "a ".repeat(30_000))).unwrap();
        let told = |program: &str, arguments: &[&str], most: Duration| {
            let mut parser = Command::new(program);
            parser.args(arguments);
            told(parser, &script, most)
        };
        let long = PARSE_TIME_MAX;
        for (how, says) in [
            ("kill -SEGV $$", "its parser failed (signal: 11"),
            ("exit 3", "its parser failed (exit status: 3"),
            ("cat; exit 1", "its parser failed (exit status: 1"),
            ("exit 124", "it takes too long to parse"),
        ] {
            let why = told("/bin/sh", &["-c", how], long).unwrap_err();
            assert!(why.contains(says), "{how}: {why}");
        }
        let why = told("/no/such/program", &[], long).unwrap_err();
        assert!(why.contains("no process could be had"), "{why}");
        let why = told("/bin/sh", &["-c", "cat; exec sleep 60"], Duration::from_millis(200)).unwrap_err();
        assert!(why.contains("more than 0.2 s"), "{why}");
        assert_eq!(told("/bin/cat", &[], long).unwrap(), script.as_str().as_bytes());
    }
}
