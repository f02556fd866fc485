//! Core ↔ runner, over the Unix socket in `run/runner/`. Every message of one run carries its id.
//!
//! ```text
//!  runner ── Ready ─────────────────────▶ core      and again whenever images or problems change
//!  core   ── Survey ──▶ runner ── Surveyed ──▶ core
//!  core   ── Run ─────▶ runner ── Started, Output*, Ended ──▶ core
//!  core   ── Stop ────▶ runner
//!  core   ── Diff, Apply, Drop, Undo ──▶ runner ── Diffed, Landed, Dropped, Trouble ──▶ core
//!  core   ── Recall ──▶ runner ── Recalled ──▶ core       after a restart: intents without results
//!  core   ── Settled ─▶ runner                            core has it on record; the journal may forget
//! ```
//! When the connection ends, the runner closes the standard input of its live runs: init kills all.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::domain::change::Landing;
use crate::domain::ids::{Digest, PersonId, RunId};
use crate::domain::plan::{Cover, Image, Mount, Plan};
use crate::domain::run::{Enforced, RunEnd, StopCause, Stream};

/// To the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRunner {
    /// Prepares the mounts of a coming plan (home made, workspace probed) and says which denied paths
    /// exist in them.
    Survey {
        /// The run that is being planned.
        run: RunId,
        /// Whose.
        person: PersonId,
        /// The mounts it will have.
        mounts: Vec<Mount>,
    },
    /// Runs a plan, once for ever under this id.
    Run {
        /// The run.
        run: RunId,
        /// What was permitted.
        plan: Box<Plan>,
        /// Its digest as it was permitted; the runner computes it again.
        digest: Digest,
        /// Standard input.
        stdin: ByteBuf,
    },
    /// Stops a live run.
    Stop {
        /// The run.
        run: RunId,
        /// Why.
        cause: StopCause,
    },
    /// The unified diff of a run's changes.
    Diff {
        /// The run.
        run: RunId,
    },
    /// Lands held changes.
    Apply {
        /// The run.
        run: RunId,
        /// Absolute paths; `None` for all that are held.
        paths: Option<Vec<PathBuf>>,
    },
    /// Forgets held changes.
    Drop {
        /// The run.
        run: RunId,
    },
    /// Takes back what landed.
    Undo {
        /// The run.
        run: RunId,
    },
    /// Asks what became of runs whose results the core does not have.
    Recall {
        /// The runs.
        runs: Vec<RunId>,
    },
    /// The core has committed the result of a run.
    Settled {
        /// The run.
        run: RunId,
    },
}

/// From the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRunner {
    /// What it can do at the moment.
    Ready(Readiness),
    /// What it is doing, when that takes longer than a second.
    Progress {
        /// The run that waits for it, if one does.
        run: Option<RunId>,
        /// For people.
        text: String,
    },
    /// The mounts are ready.
    Surveyed {
        /// The run that is being planned.
        run: RunId,
        /// Denied paths that exist.
        covers: Vec<Cover>,
        /// Mounts that no run can have, each with the reason and the remedy; the others go on.
        unusable: Vec<Unusable>,
    },
    /// The script was sent.
    Started {
        /// The run.
        run: RunId,
        /// What is in place.
        enforced: Box<Enforced>,
    },
    /// Output, in order.
    Output {
        /// The run.
        run: RunId,
        /// Which stream.
        stream: Stream,
        /// At most 64 KiB.
        bytes: ByteBuf,
    },
    /// It is over, and its changes are read.
    Ended {
        /// The run.
        run: RunId,
        /// How.
        end: Box<RunEnd>,
    },
    /// The answer to `Diff`.
    Diffed {
        /// The run.
        run: RunId,
        /// Unified diff, all workspaces.
        text: String,
    },
    /// The answer to `Apply`, for every workspace of the run.
    Applied {
        /// The run.
        run: RunId,
        /// How it went.
        landings: Vec<Landing>,
    },
    /// The answer to `Undo`.
    Undone {
        /// The run.
        run: RunId,
        /// How it went.
        landings: Vec<Landing>,
    },
    /// The answer to `Drop`.
    Dropped {
        /// The run.
        run: RunId,
        /// What had landed of it before, also by an apply that was never answered.
        landings: Vec<Landing>,
    },
    /// The answer to `Recall`; one for each run that was asked for.
    Recalled {
        /// The run and what became of it.
        runs: Vec<(RunId, Fate)>,
    },
    /// A request about a run could not be served.
    Trouble {
        /// The run.
        run: RunId,
        /// What was asked.
        request: Request,
        /// Whether it may still be.
        fault: Fault,
        /// Why not, and what helps, for people.
        why: String,
    },
}

/// How a request about a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// It was refused: nothing of it goes on.
    Refused,
    /// Nobody answered: what was begun of it is finished by the next keeper, whenever one starts.
    Unanswered,
}

/// A directory that the policy lists and that cannot be mounted: missing, a symbolic link, owned by
/// somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// The mount's path.
    pub path: PathBuf,
    /// Why, and the line that helps, for people.
    pub why: String,
}

/// Which request a [`FromRunner::Trouble`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// `Survey`.
    Survey,
    /// `Diff`.
    Diff,
    /// `Apply`.
    Apply,
    /// `Drop`.
    Drop,
    /// `Undo`.
    Undo,
}

/// What the runner knows of a run after a restart of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Never begun: it may start.
    NeverSeen,
    /// It came to an exit frame; this is how.
    Ended(Box<RunEnd>),
    /// It began and did not come to an exit frame; what it changed is held.
    Interrupted(Box<RunEnd>),
}

/// What the runner can do at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Images that are built, by name.
    pub images: Vec<Image>,
    /// The engine, for `status`: version, API version, storage driver, runtimes, cgroup version.
    pub engine: Vec<(String, String)>,
    /// Why no run can start, for people; empty when one can.
    pub problems: Vec<String>,
    /// Why the disk has no room for a run, for people; no problem otherwise: what ran can be read, landed and undone.
    pub no_room: Option<Box<str>>,
    /// What is not as it should be though runs start, for people: an image that could not be built.
    pub warnings: Vec<String>,
    /// The uid that owns every writable workspace.
    pub files_uid: u32,
    /// Its group.
    pub files_gid: u32,
}

/// The images that runs start from.
pub const IMAGES: [&str; 2] = ["base", "workbench"];

impl Readiness {
    /// All that keeps every run from starting, for people.
    pub fn obstacles(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str).chain(self.no_room.as_deref())
    }

    /// Whether every run could start, whatever image it needs: this is what health means.
    pub fn is_complete(&self) -> bool {
        self.obstacles().next().is_none()
            && IMAGES.iter().all(|name| self.images.iter().any(|image| image.name == *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_complete_once_it_has_every_image_and_no_problem() {
        let image = |name: &str| Image { name: name.to_owned(), id: "sha256:1".to_owned() };
        let problem = || vec!["no engine".to_owned()];
        let cases = [
            (vec![], vec![], false),
            (vec![image("base")], vec![], false),
            (vec![image("workbench")], vec![], false),
            (vec![image("base"), image("workbench")], vec![], true),
            (vec![image("base"), image("workbench")], problem(), false),
        ];
        for (images, problems, expected) in cases {
            let readiness = Readiness { images, problems, ..Readiness::default() };
            assert_eq!(readiness.is_complete(), expected, "{readiness:?}");
            let full = Readiness { no_room: Some("the disk is nearly full".into()), ..readiness };
            assert!(!full.is_complete(), "{full:?}");
        }
    }
}
