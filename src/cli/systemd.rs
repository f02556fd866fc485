//! `castoff setup --systemd`: a unit for a host without Compose. It serves with the rights of whoever
//! installs, and leaves stopping to `castoff serve`, which lets what is under way end.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::args::SystemdChoice;
use super::manage::print;
use super::outcome::{BAD_INPUT, UNAVAILABLE};
use crate::control::client::Refused;

const UNIT: &str = "/etc/systemd/system/castoff.service";
/// Longer than a stop in good order takes: 28 s for what is under way, then 45 s for the runner to end.
const STOP_S: u32 = 80;

/// Prints the unit, or installs it. Returns the exit code.
///
/// # Errors
/// A path that no unit can name; no right to write it.
pub(super) fn systemd(home: &Path, config: &Path, choice: SystemdChoice) -> anyhow::Result<u8> {
    let program = std::env::current_exe().context("the place of this program is not known")?;
    let unit = unit(&program, home, config)?;
    match choice {
        SystemdChoice::Print => print(unit.trim_end())?,
        SystemdChoice::Install => {
            std::fs::write(UNIT, unit).map_err(|error| {
                let why = format!("failed to write `{UNIT}`: {error}\nhint: it needs root, and a host with systemd");
                Refused { code: UNAVAILABLE, why }
            })?;
            print(&format!(
                "wrote {UNIT}; to start it now and at every boot:\n  systemctl daemon-reload && systemctl enable --now castoff"
            ))?;
        }
    }
    Ok(0)
}

fn unit(program: &Path, home: &Path, config: &Path) -> anyhow::Result<String> {
    let (program, home, config) = (word(program)?, word(home)?, word(config)?);
    Ok(format!(
        "# Castoff without Compose: the core, and the runner as its child. From `castoff setup --systemd`.\n\
         [Unit]\n\
         Description=Castoff, a self-hosted assistant that runs every command in a container of its own\n\
         Wants=network-online.target docker.service\n\
         After=network-online.target docker.service\n\
         \n\
         [Service]\n\
         ExecStart={program} --home {home} --config {config} serve\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         # The first signal is for the core alone; it ends the runner.\n\
         KillMode=mixed\n\
         TimeoutStopSec={STOP_S}\n\
         UMask=0022\n\
         NoNewPrivileges=yes\n\
         ProtectKernelTunables=yes\n\
         ProtectKernelModules=yes\n\
         ProtectClock=yes\n\
         RestrictRealtime=yes\n\
         RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

/// A path as one word of a unit (systemd.service(5), "Command lines").
fn word(path: &Path) -> anyhow::Result<String> {
    let path: PathBuf = std::path::absolute(path)?;
    let text = path.to_str().filter(|text| !text.chars().any(|c| c.is_control() || "\"'\\%$".contains(c)));
    let text = text.ok_or_else(|| {
        let why = format!("`{}` cannot stand in a systemd unit\nhint: choose a plain path", path.display());
        Refused { code: BAD_INPUT, why }
    })?;
    Ok(if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text.to_owned() })
}
