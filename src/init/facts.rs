//! What the container really has, read before anything of a person's is known here.
//!
//! A fact that decides about safety and cannot be read is an error, or reads as the worst.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::process::{DumpableBehavior, dumpable_behavior};
use sha2::{Digest as _, Sha256};

use super::{InitError, mount};
use crate::domain::ids::Digest;
use crate::protocol::init::{MountInfo, Probed, Ready};

/// Longest fact file that is read, in bytes.
const FACT_BYTES_MAX: u64 = 4 << 20;

/// Where limits stand under `/sys/fs/cgroup`: cgroup v2, then v1.
const CGROUP_FILES: [&str; 12] = [
    "memory.max",
    "memory.swap.max",
    "pids.max",
    "cpu.max",
    "cpu.weight",
    "memory/memory.limit_in_bytes",
    "memory/memory.memsw.limit_in_bytes",
    "pids/pids.max",
    "cpu/cpu.cfs_quota_us",
    "cpu/cpu.cfs_period_us",
    "cpu/cpu.shares",
    "cpuset/cpuset.cpus",
];

/// Everything for the ready frame.
pub(super) fn gather() -> Result<Ready, InitError> {
    let status = text("/proc/self/status")?;
    let status: HashMap<&str, &str> = status.lines().filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| status.get(name).map_or("", |value| value.trim());
    let unclear = InitError::Unclear("/proc/self/status");
    let (Some(uids), Some(gids)) = (ids(field("Uid")), ids(field("Gid"))) else {
        return Err(unclear);
    };
    // A set that is not told counts as full.
    let set = |name| u64::from_str_radix(field(name), 16).unwrap_or(u64::MAX);
    Ok(Ready {
        digest: own_digest()?,
        pid: std::process::id(),
        uids,
        gids,
        groups: field("Groups").split_whitespace().filter_map(|group| group.parse().ok()).collect(),
        capabilities: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(set),
        no_new_privs: field("NoNewPrivs") == "1",
        seccomp: field("Seccomp").parse().unwrap_or(0),
        not_dumpable: matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)),
        rlimits: parse_limits(&text_or_empty("/proc/self/limits")),
        mounts: mounts()?,
        interfaces: interfaces()?,
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        cgroup: cgroup(),
        resolv_conf: text_or_empty("/etc/resolv.conf"),
    })
}

/// What stands at `path`; a symbolic link is not followed.
pub(super) fn probe(path: &Path) -> Result<Probed, InitError> {
    let place = fs::symlink_metadata(path)
        .map_err(|source| InitError::Unreadable { path: path.display().to_string(), source })?;
    let target = path.to_string_lossy();
    Ok(Probed {
        uid: place.uid(),
        gid: place.gid(),
        mode: place.mode(),
        device: place.dev(),
        inode: place.ino(),
        // The last one lies on top.
        mount: mounts()?.into_iter().rfind(|mount| mount.target == target),
    })
}

/// Where the cgroup counts what it refused: cgroup v2, then v1.
const MEMORY_KILLS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory.events", "oom_kill"), ("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill")];
const STARTS_REFUSED: [(&str, &str); 2] =
    [("/sys/fs/cgroup/pids.events", "max"), ("/sys/fs/cgroup/pids/pids.events", "max")];
/// In microseconds, then in nanoseconds.
const CPU_WAITED: [(&str, &str); 2] =
    [("/sys/fs/cgroup/cpu.stat", "throttled_usec"), ("/sys/fs/cgroup/cpu/cpu.stat", "throttled_time")];

/// What the cgroup refused the script, opened before it starts.
#[derive(Debug)]
pub(super) struct Refused {
    memory_kills: Counter,
    starts: Counter,
    cpu_waited: Counter,
}

impl Refused {
    pub(super) fn open() -> Self {
        let open = Counter::open;
        Self { memory_kills: open(MEMORY_KILLS), starts: open(STARTS_REFUSED), cpu_waited: open(CPU_WAITED) }
    }

    /// Out-of-memory kills since.
    pub(super) fn memory_kills(&self) -> u64 {
        self.memory_kills.since()
    }

    /// Processes and threads that were not started since.
    pub(super) fn starts(&self) -> u64 {
        self.starts.since()
    }

    /// Milliseconds that processes were held back since.
    pub(super) fn cpu_waited_ms(&self) -> u64 {
        self.cpu_waited.since() / if self.cpu_waited.key == CPU_WAITED[0].1 { 1_000 } else { 1_000_000 }
    }
}

/// A number in a file of the cgroup. Where there is none, nothing is ever counted.
#[derive(Debug)]
struct Counter {
    file: Option<File>,
    key: &'static str,
    before: u64,
}

impl Counter {
    fn open(places: [(&str, &'static str); 2]) -> Self {
        let mut found = places.into_iter().filter_map(|(path, key)| Some((File::open(path).ok()?, key)));
        let (file, key) = found.next().map_or((None, ""), |(file, key)| (Some(file), key));
        let mut counter = Self { file, key, before: 0 };
        counter.before = counter.since();
        counter
    }

    /// How much it has grown. Reads the open file again, from its start: no new descriptor.
    fn since(&self) -> u64 {
        let mut buffer = [0; 1024];
        let length = self.file.as_ref().and_then(|file| file.read_at(&mut buffer, 0).ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        let value = text.lines().find_map(|line| line.strip_prefix(self.key)?.strip_prefix(' ')?.trim().parse().ok());
        value.unwrap_or(0_u64).saturating_sub(self.before)
    }
}

fn own_digest() -> Result<Digest, InitError> {
    let path = "/proc/self/exe";
    let unreadable = |source| InitError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Ok(length) => hash.update(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

fn mounts() -> Result<Vec<MountInfo>, InitError> {
    mount::parse(&text("/proc/self/mountinfo")?).ok_or(InitError::Unclear("/proc/self/mountinfo"))
}

fn interfaces() -> Result<Vec<String>, InitError> {
    if let Ok(table) = text("/proc/net/dev") {
        // Two lines of heading.
        let names = table.lines().skip(2).filter_map(|line| line.split_once(':'));
        return Ok(names.map(|(name, _)| name.trim().to_owned()).collect());
    }
    let path = "/sys/class/net";
    let unreadable = |source| InitError::Unreadable { path: path.to_owned(), source };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(path).and_then(|entries| entries.map(name).collect()).map_err(unreadable)
}

fn cgroup() -> Vec<(String, String)> {
    let read = |file: &&str| {
        let value = text(&format!("/sys/fs/cgroup/{file}")).ok()?;
        let name = file.rsplit('/').next().unwrap_or(file);
        Some((name.to_owned(), value.trim().to_owned()))
    };
    CGROUP_FILES.iter().filter_map(read).collect()
}

/// Four numbers.
fn ids(field: &str) -> Option<[u32; 4]> {
    let ids: Option<Vec<u32>> = field.split_whitespace().map(|id| id.parse().ok()).collect();
    ids?.try_into().ok()
}

/// The columns of proc_pid_limits(5): names hold spaces, so the widths count (25, 20 and 20 with a space between).
fn parse_limits(table: &str) -> Vec<(String, u64, u64)> {
    let value = |column: Option<&str>| match column?.trim() {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    let line = |line: &str| {
        let name = line.get(..25)?.trim().to_owned();
        let hard = line.get(47..67).or_else(|| line.get(47..));
        Some((name, value(line.get(26..46))?, value(hard)?))
    };
    table.lines().skip(1).filter_map(line).collect()
}

fn text_or_empty(path: &str) -> String {
    text(path).unwrap_or_default()
}

fn text(path: &str) -> Result<String, InitError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(FACT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|source| InitError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_column() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max cpu time              unlimited            unlimited            seconds   \n\
                     Max open files            1024                 4096                 files     \n\
                     Max nice priority         0                    0                    \n";
        let limits =
            [("Max cpu time", u64::MAX, u64::MAX), ("Max open files", 1024, 4096), ("Max nice priority", 0, 0)];
        assert_eq!(parse_limits(table), limits.map(|(name, soft, hard)| (name.to_owned(), soft, hard)));
    }
}
