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
    /// It wanted more memory than it may have, and castoff-init was killed with it.
    MemoryCap,
    /// It wrote more to disk than it may.
    DiskCap,
    /// It made more files on disk than it may.
    FilesCap,
    /// The disk is nearly full.
    DiskReserve,
    /// A person stopped it.
    Asked,
    /// Castoff is shutting down.
    Shutdown,
    /// The runner, the core or the container vanished while it ran.
    Lost,
    /// What came out of its container was not what castoff-init says.
    Broken,
}

impl StopCause {
    /// Why, for people: a clause with the run as "it".
    pub fn because(self) -> &'static str {
        match self {
            Self::Timeout => "it took longer than it may",
            Self::OutputCap => "it wrote more output than it may",
            Self::MemoryCap => "it wanted more memory than it may have",
            Self::DiskCap => "it wrote more to disk than it may",
            Self::FilesCap => "it made more files than it may",
            Self::DiskReserve => "the disk is nearly full",
            Self::Asked => "a person stopped it",
            Self::Shutdown => "Castoff was shut down",
            Self::Lost => "it was interrupted: Castoff or its container died",
            Self::Broken => "what came out of its container was not castoff-init's; the container was killed",
        }
    }
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

/// The exit code with which a shell says that a signal ended its last command, less the signal.
const CODE_OF_SIGNAL: u8 = 128;
/// SIGXFSZ of signal(7): a file would have become larger than it may.
const FILE_TOO_LARGE: u8 = 25;
/// Waiting for the processor that is worth a word, in milliseconds.
const CPU_WAITED_MS_MIN: u64 = 1000;

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

impl RunEnd {
    /// The limits that it ran into, for people, a sentence each without its full stop. What stopped it is told by
    /// its ending.
    pub fn reached(&self, limits: &Limits) -> Vec<String> {
        let usage = &self.usage;
        let mib = |bytes: u64| bytes >> 20;
        let mut said = Vec::new();
        if usage.memory_kills > 0 && !matches!(self.ending, Ending::Signalled { out_of_memory: true, .. }) {
            let most = mib(limits.memory_bytes);
            said.push(format!("out of memory: it wanted more than {most} MiB, and the largest process was killed"));
        }
        if usage.starts_refused > 0 {
            let (most, refused) = (limits.pids, usage.starts_refused);
            said.push(format!("it had {most} processes, as many as it may: {refused} more were not started"));
        }
        if self.ended_by(FILE_TOO_LARGE) {
            said.push(format!("a file would have become larger than {} MiB", mib(limits.file_bytes)));
        }
        if usage.cpu_waited_ms >= CPU_WAITED_MS_MIN {
            let (cores, seconds) = (f64::from(limits.cpu_millis) / 1000.0, usage.cpu_waited_ms / 1000);
            said.push(format!("it had {cores:.1} cores and wanted more: its processes waited {seconds} s for them"));
        }
        if usage.left_out_bytes > 0 {
            said.push(format!("{} bytes between beginning and end of its output are left out", usage.left_out_bytes));
        }
        if let Ending::Stopped { cause: StopCause::DiskCap | StopCause::FilesCap | StopCause::DiskReserve } =
            self.ending
        {
            let (written, files) = (mib(usage.disk_bytes), usage.disk_files);
            said.push(format!("the disk had {written} MiB and {files} files more when it had ended"));
        }
        if usage.thrown_away > 0 {
            said.push(format!("its {} changes were thrown away to make room", usage.thrown_away));
        }
        said
    }

    /// Whether this signal ended it, or its last command.
    fn ended_by(&self, signal: u8) -> bool {
        match self.ending {
            Ending::Signalled { signal: by, .. } => by == signal,
            Ending::Exited { code } => code == CODE_OF_SIGNAL + signal,
            Ending::Stopped { .. } | Ending::Failed { .. } => false,
        }
    }
}

/// What a run used, and which limits it reached without being stopped.
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
    /// Bytes of output between its beginning and its end that were not passed on.
    #[serde(default)]
    pub left_out_bytes: u64,
    /// Processes that the kernel killed since there was no more memory for them all.
    #[serde(default)]
    pub memory_kills: u64,
    /// Processes and threads that could not be started since there were as many as there may be.
    #[serde(default)]
    pub starts_refused: u64,
    /// How long its processes waited since they had used the processor as much as they may, in milliseconds.
    #[serde(default)]
    pub cpu_waited_ms: u64,
    /// Bytes that the disk had less, at the most, while it ran: others' writes count too.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Files and directories that the disk had room for less, likewise.
    #[serde(default)]
    pub disk_files: u64,
    /// Changes of its that were thrown away at once, to make room on a disk that was nearly full.
    #[serde(default)]
    pub thrown_away: u64,
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
