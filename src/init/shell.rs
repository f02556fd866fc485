//! What a run's process is: the image's shell with the script, or castoff-init itself with a file request. The only
//! module that starts programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::reaper;
use crate::protocol::codec;
use crate::protocol::init::{FileOrder, Request, Work};

/// Where shells are looked for, the preferred first.
const SHELLS: [&str; 4] = ["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"];

/// Runs `true` in the shell, from `/`: the loader, libc and the shell are then in memory when the script
/// comes. Sees nothing but the image; that it fails tells nothing.
pub(super) fn prime() {
    let Ok(mut command) = command() else { return };
    let started = command
        .args(["-c", "true"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = started {
        child.wait().ok();
    }
    reaper::kill_all();
}

/// The command of the request, without its streams, and what its standard input is.
///
/// # Errors
/// A sentence for people: no shell, no working directory.
pub(super) fn work(request: Request) -> Result<(Command, Vec<u8>), String> {
    let workdir = &request.workdir;
    match fs::metadata(workdir) {
        Ok(place) if place.is_dir() => {}
        Ok(_) => return Err(format!("the working directory `{workdir}` is not a directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("the working directory `{workdir}` does not exist"));
        }
        Err(error) => return Err(format!("the working directory `{workdir}` cannot be reached: {error}")),
    }
    let (mut command, input) = match request.work {
        Work::Script(script) => {
            let mut command = command()?;
            // A script that begins with a dash is a script all the same.
            command.args(["-c", "--", &script]);
            (command, request.stdin.into_vec())
        }
        Work::File(file) => {
            let home = request.env.iter().find(|(name, _)| name == "HOME").map(|(_, home)| home.clone());
            let order = FileOrder { request: file, home, output_bytes: request.output_bytes };
            let mut input =
                codec::encode(&order).map_err(|error| format!("the request cannot be passed on: {error}"))?;
            // What is received comes after the order.
            input.extend(request.stdin.into_vec());
            (own(), input)
        }
    };
    command
        .env_clear()
        .envs(request.env.iter().map(|(name, value)| (name, value)))
        .current_dir(workdir)
        .process_group(0);
    Ok((command, input))
}

/// castoff-init as the server of one file request; needs nothing of the image.
#[expect(
    clippy::disallowed_methods,
    reason = "PID 1 of a container starts its own binary again; nothing is on the host"
)]
fn own() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(super::FILE_VERB);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "PID 1 of a container starts the container's shell; nothing is on the host"
)]
fn command() -> Result<Command, String> {
    let executable =
        |path: &&&str| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let shell = SHELLS.iter().find(executable).ok_or("the image has no shell")?;
    Ok(Command::new(shell))
}
