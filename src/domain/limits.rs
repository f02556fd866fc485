//! What one run may use. Every number has an end; reaching one is said, never a silent cut.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The limits of one run. All are enforced: by the engine (memory, CPU, processes, open files, file
/// size), by castoff-init (wall time, output) or by the runner's watcher (disk).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the first instruction of the script to the kill, in milliseconds.
    pub wall_time_ms: u64,
    /// Memory of all processes and `/tmp` together, in bytes; there is no swap.
    pub memory_bytes: u64,
    /// CPU, in thousandths of one core.
    pub cpu_millis: u32,
    /// Processes and threads at once.
    pub pids: u32,
    /// Open descriptors of each process.
    pub open_files: u32,
    /// Size of any one file, in bytes.
    pub file_bytes: u64,
    /// Output, stdout and stderr together, in bytes.
    pub output_bytes: u64,
    /// Standard input, in bytes.
    pub stdin_bytes: u64,
    /// What the run may write to its overlays, in bytes.
    pub disk_bytes: u64,
    /// Files and directories that the run may make in its overlays.
    pub disk_files: u64,
    /// Size of `/tmp`, in bytes.
    pub tmp_bytes: u64,
}

const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_time_ms: 5 * 60 * 1000,
            memory_bytes: 1024 * MIB,
            cpu_millis: 2000,
            pids: 256,
            open_files: 1024,
            file_bytes: 1024 * MIB,
            output_bytes: 16 * MIB,
            stdin_bytes: 4 * MIB,
            disk_bytes: 2048 * MIB,
            disk_files: 100_000,
            tmp_bytes: 256 * MIB,
        }
    }
}

/// The ones that people choose, for people.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s, {} MiB memory, {} MiB disk, {} processes, {}.{} cores, {} MiB output",
            self.wall_time_ms / 1000,
            self.memory_bytes / MIB,
            self.disk_bytes / MIB,
            self.pids,
            self.cpu_millis / 1000,
            self.cpu_millis % 1000 / 100,
            self.output_bytes / MIB
        )
    }
}

impl Limits {
    /// The first limit that is larger here than in `maxima`, by name; `None` when all fit.
    pub fn beyond(&self, maxima: &Self) -> Option<&'static str> {
        let pairs = [
            ("wall time", self.wall_time_ms, maxima.wall_time_ms),
            ("memory", self.memory_bytes, maxima.memory_bytes),
            ("cpu", self.cpu_millis.into(), maxima.cpu_millis.into()),
            ("pids", self.pids.into(), maxima.pids.into()),
            ("open files", self.open_files.into(), maxima.open_files.into()),
            ("file size", self.file_bytes, maxima.file_bytes),
            ("output", self.output_bytes, maxima.output_bytes),
            ("standard input", self.stdin_bytes, maxima.stdin_bytes),
            ("disk", self.disk_bytes, maxima.disk_bytes),
            ("files on disk", self.disk_files, maxima.disk_files),
            ("/tmp", self.tmp_bytes, maxima.tmp_bytes),
        ];
        pairs.iter().find(|(_, asked, most)| asked > most).map(|(name, _, _)| *name)
    }
}
