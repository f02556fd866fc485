//! Runner ↔ castoff-init, over the attached streams of a run's container.
//!
//! ```text
//!  init   ── Ready ──▶ runner      what it really got, before anything of a person's is known to it
//!  runner ── Run ────▶ init        once
//!  init   ── Started, Stdout*, Stderr* ──▶ runner     no more than `output_bytes` in all
//!  runner ── Stop ───▶ init        asks the script to end, then kills
//!  init   ── LeftOut ▶ runner      at most once, when there was more output: its end follows
//!  init   ── Exit ───▶ runner      the last frame; every process of the run is dead by then
//! ```
//! End of input at any time: init kills everything and ends.
//!
//! `castoff-init probe PATH` writes one [`FromInit::Probed`] and ends.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::domain::ids::Digest;
use crate::domain::run::StopCause;
use crate::domain::task::FileRequest;

/// To castoff-init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToInit {
    /// The one thing to do.
    Run(Request),
    /// End it: SIGTERM to all, after `grace_ms` SIGKILL. Reported back in the exit frame.
    Stop {
        /// Why.
        cause: StopCause,
        /// Milliseconds between asking and killing.
        grace_ms: u64,
    },
}

/// What to do and what it starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is run.
    pub work: Work,
    /// Standard input of a script (empty: it reads end of file), or what a file request receives.
    pub stdin: ByteBuf,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub workdir: String,
    /// Wall time, in milliseconds, after which the script is stopped.
    pub wall_time_ms: u64,
    /// Bytes of output that are passed on; after more it is stopped.
    pub output_bytes: u64,
}

/// What a run does in its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Shell text; run by `bash -c`, or `sh -c` where there is no bash.
    Script(String),
    /// Served by castoff-init itself, in a process of its own that is limited, stopped and heard like a
    /// script. Exit code 0, or 1 with the reason on standard error.
    File(FileRequest),
}

/// What the process that serves a file request is told on its standard input; what it is to receive
/// comes after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOrder {
    /// The request.
    pub request: FileRequest,
    /// What `~` is; `None` where the run has no home.
    pub home: Option<String>,
    /// Bytes that it may write to standard output.
    pub output_bytes: u64,
}

/// The ids of castoff-init's own threads have no bit from this one on, and those of all that a script starts do: what
/// tells them apart for the system call filter.
pub const OWN_ID_BITS: u32 = 5;

/// Most bytes of output in a frame.
pub const OUTPUT_PIECE_BYTES_MAX: usize = 64 << 10;

/// From castoff-init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromInit {
    /// What it really got.
    Ready(Box<Ready>),
    /// The script's process exists.
    Started,
    /// Output, as it came; at most [`OUTPUT_PIECE_BYTES_MAX`].
    Stdout(ByteBuf),
    /// Likewise.
    Stderr(ByteBuf),
    /// Here this many bytes of output are left out.
    LeftOut(u64),
    /// The end.
    Exit(Exit),
    /// Answer of the probe.
    Probed(Box<Probed>),
}

/// What a process in the container really has: read from `/proc/self/status`, `/proc/self/limits`,
/// `/proc/self/mountinfo`, `/sys/class/net` or `/proc/net/dev`, and the cgroup files, where they can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// SHA-256 of castoff-init's own file (`/proc/self/exe`).
    pub digest: Digest,
    /// Its process id: 1.
    pub pid: u32,
    /// Real, effective, saved and file-system user ids.
    pub uids: [u32; 4],
    /// Group ids likewise.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Inheritable, permitted, effective, bounding and ambient capability sets.
    pub capabilities: [u64; 5],
    /// `NoNewPrivs` of proc_pid_status(5).
    pub no_new_privs: bool,
    /// `Seccomp` of proc_pid_status(5): 2 is filter mode.
    pub seccomp: u32,
    /// Whether PR_GET_DUMPABLE says 0.
    pub not_dumpable: bool,
    /// Resource limits by the names of proc_pid_limits(5), soft and hard; `u64::MAX` is unlimited.
    pub rlimits: Vec<(String, u64, u64)>,
    /// Every mount.
    pub mounts: Vec<MountInfo>,
    /// Every network interface.
    pub interfaces: Vec<String>,
    /// Host name.
    pub hostname: String,
    /// Cgroup limits that could be read, by file name (`memory.max` or `memory.limit_in_bytes`, `pids.max`, `cpu.max`, …).
    pub cgroup: Vec<(String, String)>,
    /// `/etc/resolv.conf` as the run sees it; empty where there is none.
    pub resolv_conf: String,
}

/// One line of proc_pid_mountinfo(5), unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountInfo {
    /// `major:minor`.
    pub device: String,
    /// Which part of its file system is mounted.
    pub root: String,
    /// Where.
    pub target: String,
    /// Mount options.
    pub options: String,
    /// Optional fields (`shared:…`, `master:…`), empty for a private mount.
    pub propagation: String,
    /// File system type.
    pub fs_type: String,
    /// Source.
    pub source: String,
    /// Super block options.
    pub super_options: String,
}

/// How the run ended. Everything that it had started is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code of the shell, when it ended by itself.
    pub code: Option<u8>,
    /// The signal that ended it, when one did.
    pub signal: Option<u8>,
    /// Why it was stopped, when it was.
    pub stopped: Option<StopCause>,
    /// Why it could not be started, for people, when it could not.
    pub failed: Option<String>,
    /// Out-of-memory kills that the cgroup counted.
    pub memory_kills: u64,
    /// Processes and threads that it refused to start.
    pub starts_refused: u64,
    /// How long it held back processes that had used their share of the processor, in milliseconds.
    pub cpu_waited_ms: u64,
    /// Processor time of all children, in milliseconds.
    pub cpu_ms: u64,
    /// Peak memory of the largest child, in KiB.
    pub memory_kib_max: u64,
    /// Bytes of stdout passed on.
    pub stdout_bytes: u64,
    /// Bytes of stderr passed on.
    pub stderr_bytes: u64,
}

/// What stands at a path that was bound into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Owner of the directory.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode, with the file type bits (`st_mode`).
    pub mode: u32,
    /// Its device number (`st_dev`).
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// The mount's line, when the path is a mount point.
    pub mount: Option<MountInfo>,
}
