//! How a run ended, and what was really enforced while it ran.

use serde::{Deserialize, Serialize};

use super::change::ChangeSet;
use super::limits::Limits;
use super::time::Timestamp;

/// Why a run was stopped before its script ended; the order is by rank, the highest cause wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// Its wall time was over.
    Timeout,
    /// It wrote more output than it may.
    OutputCap,
    /// It wrote more to disk than it may, or the disk is nearly full.
    DiskCap,
    /// A person stopped it.
    Asked,
    /// Castoff is shutting down.
    Shutdown,
    /// The runner, the core or the container vanished while it ran.
    Lost,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// By itself, with this exit code.
    Exited {
        /// 0 to 255.
        code: u8,
    },
    /// By a signal that Castoff did not send.
    Signalled {
        /// The signal's number.
        signal: u8,
        /// Whether the kernel ended it for want of memory.
        out_of_memory: bool,
    },
    /// Stopped by Castoff.
    Stopped {
        /// Why.
        cause: StopCause,
    },
    /// It never started.
    Failed {
        /// Why, for people.
        why: String,
    },
}

impl Ending {
    /// Whether the script ran to its own end, so that its changes may land.
    pub fn by_itself(&self) -> bool {
        matches!(self, Self::Exited { .. } | Self::Signalled { .. })
    }
}

/// The life of one container, as the runner tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// How the script ended.
    pub ending: Ending,
    /// When the script was sent.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What held while it ran.
    pub enforced: Option<Enforced>,
    /// What it used.
    pub usage: Usage,
    /// What it changed, a set for each workspace with changes.
    pub changes: Vec<ChangeSet>,
}

/// What a run used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of all its processes, in milliseconds.
    pub cpu_ms: u64,
    /// Peak memory of its largest process, in KiB (getrusage(2)).
    pub memory_kib_max: u64,
    /// Bytes of stdout that were passed on.
    pub stdout_bytes: u64,
    /// Bytes of stderr that were passed on.
    pub stderr_bytes: u64,
}

/// What castoff-init found in place before the script was sent: facts, not intentions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// The limits, read back.
    pub limits: Limits,
    /// User and group id of the script.
    pub uid: u32,
    /// See `uid`.
    pub gid: u32,
    /// `runc`, `crun`, `runsc`, …; empty for the engine's default.
    pub runtime: String,
    /// The engine's container id.
    pub container: String,
    /// Names of network interfaces: `lo` alone.
    pub interfaces: Vec<String>,
    /// What a wall does not hold on this engine, for people.
    pub missing: Vec<String>,
}

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
