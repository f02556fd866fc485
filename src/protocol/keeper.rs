//! Runner ↔ keeper, over the attached streams of the keeper's container: one answer to each
//! request, in order. At end of input the keeper finishes the file in hand, syncs its journal and ends.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::change::{ChangeSet, Landing};
use crate::domain::ids::RunId;
use crate::domain::plan::Cover;
use crate::protocol::init::MountInfo;

/// To a keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// The first request: answered by [`FromKeeper::Ready`] once the journal is consistent (an apply
    /// that was cut is finished or rolled back).
    Open(Places),
    /// Which of these absolute paths exist in the workspace: [`FromKeeper::Covers`], symbolic links as
    /// what they point to.
    Covers {
        /// Denied paths, absolute.
        denied: Vec<PathBuf>,
    },
    /// Reads the overlay of a run whose processes are dead: [`FromKeeper::Changes`].
    Read {
        /// The run.
        run: RunId,
        /// When its container claimed the workspace: nanoseconds since the epoch.
        claimed_ns: u64,
        /// Denied paths, absolute: entries at or below one are refused.
        denied: Vec<PathBuf>,
    },
    /// A unified diff of what is still held, or of what landed: [`FromKeeper::Diff`].
    Diff {
        /// The run.
        run: RunId,
    },
    /// Lands changes that are held: [`FromKeeper::Landed`]. Paths that are not named stay held.
    Apply {
        /// The run.
        run: RunId,
        /// Paths relative to the workspace; `None` for all.
        paths: Option<Vec<String>>,
    },
    /// Forgets what is held and empties the overlay: [`FromKeeper::Landed`], with what had landed of the run before.
    Drop {
        /// The run.
        run: RunId,
    },
    /// Takes back what landed: [`FromKeeper::Landed`].
    Undo {
        /// The run.
        run: RunId,
    },
}

/// Where a keeper's things are, as it sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The workspace: the same path as on the host.
    pub workspace: PathBuf,
    /// `state/runner/overlays/WORKSPACE`: a directory `RUN/upper` for each run.
    pub overlays: PathBuf,
    /// `state/keeper/WORKSPACE`: journal and before-images.
    pub state: PathBuf,
}

/// From a keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeeper {
    /// It is consistent and may be asked.
    Ready {
        /// Device of the workspace's root (`st_dev`).
        device: u64,
        /// Inode of the workspace's root.
        inode: u64,
        /// The mount it sees the workspace through.
        mount: Option<MountInfo>,
    },
    /// What exists of the denied paths.
    Covers(Vec<Cover>),
    /// What the run changed.
    Changes(ChangeSet),
    /// A unified diff; binary files are named, long ones cut with a line that says so.
    Diff(String),
    /// How it went, path by path.
    Landed(Landing),
    /// The request could not be served; nothing was changed.
    Failed {
        /// Why, for people.
        why: String,
        /// The same for logs: without the name of any file.
        logged: String,
    },
}
