//! What a run changed, as the keeper reads it from the run's overlay.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The changes of one run in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// The workspace's absolute path.
    pub workspace: PathBuf,
    /// Sorted by path; a directory before what is in it.
    pub changes: Vec<Change>,
    /// Entries of the overlay that never land, each with the reason.
    pub refused: Vec<Trouble>,
}

/// One path that a run added, modified or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Relative to the workspace, `/`-separated, without `.` or `..`.
    pub path: String,
    /// What was there; `None` when the path is new.
    pub before: Option<Node>,
    /// What is there afterwards; `None` when it was deleted.
    pub after: Option<Node>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// File, directory or symbolic link.
    pub kind: NodeKind,
    /// Permission bits, without setuid, setgid and sticky.
    pub mode: u32,
}

/// File, directory or symbolic link; nothing else is ever applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Its length.
        bytes: u64,
    },
    /// A directory. A deleted one stands for all that was in it.
    Directory {
        /// Files and directories below it, when it was deleted or replaced; else 0.
        entries: u64,
    },
    /// A symbolic link, never followed.
    Symlink {
        /// Its text.
        target: String,
    },
}

/// A path and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Relative to the workspace; lossy when the name is not UTF-8.
    pub path: String,
    /// The reason, for people.
    pub why: String,
}

/// How landing (or taking back) a change set went in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    /// The workspace's absolute path.
    pub workspace: PathBuf,
    /// Paths that are now as asked.
    pub done: Vec<String>,
    /// Paths that were left alone, since the host's file changed in between or cannot be written.
    pub conflicts: Vec<Trouble>,
}

/// How a change is shown in one letter, as `git status` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Content, mode, target or type differ.
    Modified,
    /// Gone.
    Deleted,
}

impl Change {
    /// Added, modified or deleted.
    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Added,
            (Some(_), Some(_)) => ChangeKind::Modified,
            (Some(_), None) => ChangeKind::Deleted,
        }
    }
}
