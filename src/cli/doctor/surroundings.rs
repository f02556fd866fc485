//! What the doctor sees without a container: programs, configuration, file system, key, daemon.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Finding, Report, Row};
use crate::config::load_policy;
use crate::control::client::Client;
use crate::control::wire::Status;

/// Looks at the installation at `home`.
pub(super) async fn look(home: &Path, config: &Path) -> Report {
    let mut report = Report::default();
    let state = existing(home);
    let kind = file_system(state).unwrap_or_else(|| "unknown".to_owned());
    report.facts.push(("home".to_owned(), home.display().to_string()));
    report.facts.push(("file system of the home".to_owned(), kind));
    report.facts.push(("daemon".to_owned(), daemon(home).await));
    report.facts.push(("master key".to_owned(), key(home)));
    report.rows.push(programs());
    report.rows.push(policy(home, config));
    report
}

/// The nearest ancestor that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

/// The kind of the file system that holds `path` (proc_pid_mountinfo(5)).
pub(super) fn file_system(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (place, kind) = line.split_once(" - ")?;
        let (Some(point), Some(kind)) = (place.split(' ').nth(4), kind.split(' ').next()) else { continue };
        // A later mount lies over an earlier one at the same place.
        if path.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

async fn daemon(home: &Path) -> String {
    let asked = async { Client::connect(home).await?.get::<Status>("/status").await };
    match asked.await {
        Ok(Status { stopping: true, .. }) => "runs, but is being stopped".to_owned(),
        Ok(Status { runner: Some(runner), .. }) if runner.obstacles().next().is_none() => {
            "runs, and is healthy".to_owned()
        }
        Ok(Status { runner: Some(runner), .. }) => {
            format!("runs; {}", runner.obstacles().collect::<Vec<_>>().join("; "))
        }
        Ok(_) => "runs, but its runner is not connected".to_owned(),
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn key(home: &Path) -> String {
    const NOTE: &str = "protects a copied data file, not the disk";
    match std::fs::symlink_metadata(home.join("state/core/key")) {
        Ok(found) => format!("mode {:04o} of uid {}; {NOTE}", found.mode() & 0o7777, found.uid()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("not made yet; {NOTE}"),
        Err(error) => format!("cannot be seen ({error}); {NOTE}"),
    }
}

fn policy(home: &Path, config: &Path) -> Row {
    let (name, tried) = ("configuration loads", config.display().to_string());
    match load_policy(config, home) {
        Ok(_) if !config.exists() => Row::new(name, &tried, Finding::Held, "there is none yet: the defaults hold"),
        Ok(_) => Row::new(name, &tried, Finding::Held, ""),
        Err(errors) => Row::new(name, &tried, Finding::NotHeld, errors.to_string().replace('\n', "; ")),
    }
}

/// Runs and keepers start from images without a loader.
fn programs() -> Row {
    let (name, tried) = ("static programs", "headers of castoff and castoff-init");
    let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let directory = own.parent().unwrap_or(Path::new("/"));
    let wrong: Vec<String> = ["castoff", "castoff-init"]
        .into_iter()
        .filter_map(|program| {
            let path = directory.join(program);
            match is_static(&path) {
                Ok(Some(true)) => None,
                Ok(Some(false)) => Some(format!("`{}` needs a loader", path.display())),
                Ok(None) => Some(format!("`{}` is no 64-bit ELF program", path.display())),
                Err(error) => Some(format!("`{}`: {error}", path.display())),
            }
        })
        .collect();
    match wrong.is_empty() {
        true => Row::of(name, tried, true, ""),
        false => Row::of(name, tried, false, format!("{}; hint: scripts/build-static", wrong.join("; "))),
    }
}

/// Whether an ELF program names no interpreter; `None` when it is not a 64-bit little-endian one
/// (System V ABI, "Program Header").
fn is_static(path: &Path) -> std::io::Result<Option<bool>> {
    use std::io::Read as _;
    /// Program headers follow the file header closely.
    const HEAD_BYTES: u64 = 64 * 1024;
    const INTERPRETER: u64 = 3;
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(None);
    }
    let number = |at: u64, bytes: usize| {
        let at = usize::try_from(at).ok()?;
        let field = head.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte)))
    };
    let fields = (number(32, 8), number(54, 2), number(56, 2));
    let (Some(start), Some(size), Some(count)) = fields else { return Ok(None) };
    let kinds: Option<Vec<u64>> =
        (0..count).map(|index| number(start.checked_add(index.checked_mul(size)?)?, 4)).collect();
    Ok(kinds.map(|kinds| !kinds.contains(&INTERPRETER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_program_and_proc_is_no_disk() {
        assert_eq!(is_static(Path::new("/proc/self/status")).unwrap(), None);
        assert_eq!(file_system(Path::new("/proc/self")).as_deref(), Some("proc"));
    }
}
