//! Steps: what is done to single paths of the host, as the journal holds them. A deleted directory
//! is one change but many steps. A step turned round is what takes it back.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Digest;

use super::files::Stamp;

/// One path of the host, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// Relative to the workspace.
    pub(super) path: String,
    /// The path of the change that this is part of: a change lands as a whole.
    pub(super) change: String,
    pub(super) from: Option<Thing>,
    pub(super) to: Option<Thing>,
    /// The before-image of the host's file: its number in the run's `before` directory.
    pub(super) image: Option<u64>,
    /// The host's file when the step was decided.
    pub(super) seen: Option<Stamp>,
}

/// What stands at a path, with its content by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Thing {
    pub(super) kind: ThingKind,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ThingKind {
    File { bytes: u64, digest: Digest },
    Directory,
    Symlink { target: String },
}

impl Step {
    /// The step that takes this one back, given what the host's file looked like once it had landed.
    pub(super) fn reversed(&self, landed: Option<Stamp>) -> Self {
        Self {
            path: self.path.clone(),
            change: self.change.clone(),
            from: self.to.clone(),
            to: self.from.clone(),
            image: self.image,
            seen: landed,
        }
    }

    pub(super) fn is_from_directory(&self) -> bool {
        self.from.as_ref().is_some_and(Thing::is_directory)
    }

    pub(super) fn is_to_directory(&self) -> bool {
        self.to.as_ref().is_some_and(Thing::is_directory)
    }
}

impl Thing {
    pub(super) fn is_directory(&self) -> bool {
        self.kind == ThingKind::Directory
    }
}
