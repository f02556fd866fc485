//! Processes of the host, read from /proc.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::command;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// The bytes of one of its files in /proc.
    pub(crate) fn read(self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap_or_default()
    }

    /// The program that it runs; `None` once it has ended.
    pub(crate) fn program(self) -> Option<PathBuf> {
        fs::read_link(self.file("exe")).ok()
    }

    /// Its arguments.
    pub(crate) fn arguments(self) -> Vec<String> {
        let bytes = self.read("cmdline");
        bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// Processes that it started and that are still there.
    pub(crate) fn children(self) -> Vec<Process> {
        let parent = |process: Process| {
            let stat = String::from_utf8_lossy(&process.read("stat")).into_owned();
            // The name in parentheses may hold anything; the state and the parent follow.
            let (_, rest) = stat.rsplit_once(')')?;
            rest.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        all().into_iter().filter(|process| parent(*process) == Some(self.0)).collect()
    }

    /// Inodes of the sockets that it has open.
    pub(crate) fn sockets(self) -> BTreeSet<u64> {
        let links = fs::read_dir(self.file("fd")).into_iter().flatten().flatten();
        let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
        let inode = |link: PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
        links.filter_map(inode).collect()
    }
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Process).collect()
}

/// Everything that a process started, and what that started.
pub(crate) fn descendants(of: Process) -> Vec<Process> {
    let children = of.children();
    let further: Vec<Process> = children.iter().flat_map(|child| descendants(*child)).collect();
    [children, further].concat()
}

/// Sends a signal by name; a process that has ended is no error.
pub(crate) fn kill(pid: u32, signal: &str) {
    let script = format!("kill -s {signal} {pid} 2>/dev/null || true");
    assert!(command("sh").args(["-c", &script]).status().unwrap().success());
}
