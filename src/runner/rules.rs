//! What the runner reads itself of the policy and the installation, with the same loader as the core.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RunnerPlaces;
use crate::domain::ids::PersonId;
use crate::domain::limits::Limits;
use crate::domain::plan::{Access, Mount};

/// Owner and group of people's files when nothing tells another.
pub(super) const FILES_OWNER_DEFAULT: (u32, u32) = (10001, 10001);

/// The policy of the moment, as far as the runner needs it.
#[derive(Debug)]
pub(super) struct Rules {
    mounts: Vec<Mount>,
    denied: Vec<PathBuf>,
}

/// Reads the policy. The error is for people.
pub(super) fn read(places: &RunnerPlaces) -> Result<Rules, String> {
    let text = fs::read_to_string(places.config.join("stub.json")).map_err(|e| e.to_string())?;
    let (mounts, denied) = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    Ok(Rules { mounts, denied })
}

impl Rules {
    /// What a person may mount, their own home included. The error is for people.
    pub(super) fn mounts_of(&self, _person: &PersonId, home: &Path) -> Result<Vec<Mount>, String> {
        let mut mounts = self.mounts.clone();
        mounts.push(Mount { path: home.to_owned(), access: Access::Overlay });
        Ok(mounts)
    }

    /// Absolute paths that no run may see.
    pub(super) fn denied(&self) -> Vec<PathBuf> {
        self.denied.clone()
    }

    /// The most that a run may use.
    pub(super) fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Every path that the policy lists, in its order.
    pub(super) fn listed_paths(&self) -> Vec<PathBuf> {
        self.mounts.iter().map(|mount| mount.path.clone()).collect()
    }
}

fn kept_path(places: &RunnerPlaces) -> PathBuf {
    places.home.join("state/runner/files-uid")
}

/// Owner and group of people's files, where the installation or an earlier start fixed them.
pub(super) fn kept_files_owner(places: &RunnerPlaces) -> Option<(u32, u32)> {
    let text = fs::read_to_string(kept_path(places)).ok()?;
    let (uid, gid) = text.trim().split_once(' ')?;
    let owner = (uid.parse().ok()?, gid.parse().ok()?);
    (owner.0 != 0 && owner.1 != 0).then_some(owner)
}

/// Keeps owner and group of people's files for later starts.
pub(super) fn keep_files_owner(places: &RunnerPlaces, (uid, gid): (u32, u32)) -> io::Result<()> {
    fs::write(kept_path(places), format!("{uid} {gid}\n"))
}
