//! The image's shell: found, primed, and made into the script's command. The only module that starts programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::reaper;
use crate::protocol::init::Request;

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

/// The script's command, without its streams.
///
/// # Errors
/// A sentence for people: no shell, no working directory.
pub(super) fn script(request: &Request) -> Result<Command, String> {
    let workdir = &request.workdir;
    match fs::metadata(workdir) {
        Ok(place) if place.is_dir() => {}
        Ok(_) => return Err(format!("the working directory `{workdir}` is not a directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("the working directory `{workdir}` does not exist"));
        }
        Err(error) => return Err(format!("the working directory `{workdir}` cannot be reached: {error}")),
    }
    let mut command = command()?;
    command
        // A script that begins with a dash is a script all the same.
        .args(["-c", "--", &request.script])
        .env_clear()
        .envs(request.env.iter().map(|(name, value)| (name, value)))
        .current_dir(workdir)
        .process_group(0);
    Ok(command)
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
