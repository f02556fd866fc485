//! What the runner reads itself of the policy and the installation, with the same loader as the core.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::RunnerPlaces;
use crate::config::{self, Installation};
use crate::domain::ids::PersonId;
use crate::domain::limits::Limits;
use crate::domain::plan::Mount;
use crate::domain::principal::Trust;
use crate::policy::Policy;

/// Owner and group of people's files when nothing tells another.
pub(super) const FILES_OWNER_DEFAULT: (u32, u32) = (10001, 10001);

/// The policy of the moment, as far as the runner needs it.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    policy: Arc<Policy>,
}

/// Reads the policy. The error is for people.
pub(super) fn read(places: &RunnerPlaces) -> Result<Rules, String> {
    let loaded = config::load_policy(&places.config, &places.home);
    let policy = loaded.map_err(|error| format!("the runner cannot read the policy: {error}"))?;
    Ok(Rules { policy: Arc::new(policy) })
}

impl Rules {
    /// What a person may mount, their own home included. The error is for people.
    pub(super) fn mounts_of(&self, person: &PersonId) -> Result<Vec<Mount>, String> {
        let people = self.policy.people();
        match people.iter().find(|principal| principal.person == *person) {
            Some(principal) if principal.trust >= Trust::Trusted => Ok(self.policy.mounts(principal)),
            Some(_) => Err(format!("`{person}` may run nothing: users.yaml trusts them too little")),
            None => Err(format!("users.yaml knows nobody with the id `{person}`")),
        }
    }

    /// A person's own home.
    pub(super) fn home_of(&self, person: &PersonId) -> PathBuf {
        self.policy.home(person)
    }

    /// Absolute paths that no run may see.
    pub(super) fn denied(&self) -> Vec<PathBuf> {
        self.policy.denied_paths().to_vec()
    }

    /// The most that a run may use.
    pub(super) fn limits(&self) -> Limits {
        self.policy.limits().clone()
    }

    /// Every path that the policy lets the owner mount beside a home, in its order.
    pub(super) fn listed_paths(&self) -> Vec<PathBuf> {
        let people = self.policy.people();
        let owner = people.iter().find(|principal| principal.trust == Trust::Owner);
        let mounts = owner.map(|owner| self.policy.mounts(owner)).unwrap_or_default();
        let homes: Vec<PathBuf> = people.iter().map(|principal| self.policy.home(&principal.person)).collect();
        mounts.into_iter().map(|mount| mount.path).filter(|path| !homes.contains(path)).collect()
    }
}

fn kept_path(places: &RunnerPlaces) -> PathBuf {
    places.home.join("state/runner/files-uid")
}

/// Owner and group of people's files, where the installation or an earlier start fixed them.
pub(super) fn kept_files_owner(places: &RunnerPlaces) -> Option<(u32, u32)> {
    let installation = Installation::load(&places.config).ok().flatten();
    if let Some(Installation { files_uid: Some(uid), files_gid, .. }) = installation {
        return not_root((uid, files_gid.unwrap_or(uid)));
    }
    let text = fs::read_to_string(kept_path(places)).ok()?;
    let (uid, gid) = text.trim().split_once(' ')?;
    not_root((uid.parse().ok()?, gid.parse().ok()?))
}

/// Keeps owner and group of people's files for later starts.
pub(super) fn keep_files_owner(places: &RunnerPlaces, (uid, gid): (u32, u32)) -> io::Result<()> {
    fs::write(kept_path(places), format!("{uid} {gid}\n"))
}

fn not_root((uid, gid): (u32, u32)) -> Option<(u32, u32)> {
    (uid != 0 && gid != 0).then_some((uid, gid))
}
