//! The keeper itself: its places, what it recorded of earlier runs, and the requests that only read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::crash::{self, Point};
use crate::domain::change::{Change, ChangeSet, Landing};
use crate::domain::ids::RunId;
use crate::domain::plan::Cover;
use crate::protocol::keeper::{FromKeeper, Places};

use super::files::{Stamp, Tree, is_absence};
use super::journal::{CLAIM, Claim, JOURNAL, Outcome, RunState};
use super::paths::denied_within;
use super::scan::{Rules, Scan, scan};
use super::{KeeperError, covers, cut, diff, mount};

/// How long an earlier keeper may take to end, which the engine did not kill: tries, and the pause between two.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The keeper of one workspace.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) places: Places,
    pub(super) host: Tree,
    pub(super) state: Tree,
    overlays: Tree,
    /// Change times of the host's files that were this keeper's own doing.
    own: HashMap<String, u64>,
}

impl Keeper {
    /// Opens the places and finishes what a crash had cut. A run with which that fails is refused by itself, whenever
    /// it is asked about: what one run left closes no workspace.
    pub(super) fn open(places: Places) -> Result<Self, KeeperError> {
        crash::look_in(&places.state);
        let host = Tree::open(&places.workspace).map_err(KeeperError::place("the workspace cannot be opened"))?;
        let state = Tree::open(&places.state).map_err(KeeperError::place("the keeper's state cannot be opened"))?;
        wait_for_the_only_lock(&state, &places.state)?;
        let overlays = Tree::open(&places.overlays).map_err(KeeperError::place("the overlays cannot be opened"))?;
        let mut keeper = Self { places, host, state, overlays, own: HashMap::new() };
        let names = keeper.state.all_names().map_err(KeeperError::place("the keeper's state cannot be read"))?;
        for run in names.into_iter().filter_map(|name| RunId::try_from(name).ok()) {
            let run = match keeper.run(&run) {
                Ok(run) => run,
                Err(error) if cut::happened() => return Err(error),
                Err(_) => continue,
            };
            for outcome in run.batches.iter().filter_map(|batch| batch.landed.as_ref()) {
                keeper.remember(outcome);
            }
        }
        crash::point(Point::KeeperOpened);
        Ok(keeper)
    }

    pub(super) fn remember(&mut self, outcome: &Outcome) {
        for (path, Stamp { ctime_ns, .. }) in &outcome.stamps {
            let newest = self.own.entry(path.clone()).or_default();
            *newest = (*newest).max(*ctime_ns);
        }
    }

    pub(super) fn ready(&self) -> Result<FromKeeper, KeeperError> {
        let root = self.host.look("").map_err(|error| KeeperError::read("", error))?;
        Ok(FromKeeper::Ready {
            device: self.host.device().map_err(|error| KeeperError::read("", error))?,
            inode: root.map_or(0, |seen| seen.stamp.inode),
            mount: mount::of(&self.places.workspace),
        })
    }

    pub(super) fn covers(&self, denied: &[PathBuf]) -> Result<Vec<Cover>, KeeperError> {
        covers::existing(&self.host, &self.places.workspace, denied)
    }

    /// What is known of a run, once nothing of it is half-done: while an apply is open, its before-images may be all
    /// that is left of the originals.
    pub(super) fn run(&mut self, id: &RunId) -> Result<RunState, KeeperError> {
        let opened = RunState::open(&self.state, id);
        let mut run = opened.map_err(|source| KeeperError::Journal { run: id.clone(), source })?;
        self.recover(&mut run).map_err(|source| KeeperError::HalfDone { run: id.clone(), source: Box::new(source) })?;
        Ok(run)
    }

    /// Whether anything is on record of a run: its overlay was read, or something of it landed. Its directory alone
    /// says nothing: a diff makes it.
    pub(super) fn knows(&self, id: &RunId) -> Result<bool, KeeperError> {
        for name in [CLAIM, JOURNAL] {
            let found = self.state.look(&format!("{id}/{name}"));
            if found.map_err(KeeperError::place("the keeper's state cannot be read"))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The overlay of a run; `None` when there is none (any more).
    pub(super) fn upper(&self, run: &RunId) -> Result<Option<Tree>, KeeperError> {
        match self.overlays.subtree(&format!("{run}/upper")) {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(source) => Err(KeeperError::Place { what: "the overlay of the run cannot be opened", source }),
        }
    }

    /// Reads an overlay, and remembers what it is measured against.
    pub(super) fn changes(
        &mut self,
        id: &RunId,
        claimed_ns: u64,
        denied: &[PathBuf],
    ) -> Result<ChangeSet, KeeperError> {
        let upper = self.upper(id)?.ok_or_else(|| KeeperError::NotHeld(id.clone()))?;
        let mut denied_paths = denied_within(&self.places.workspace, denied);
        // What a denied link points to is denied too.
        let targets: Vec<PathBuf> = self.covers(denied)?.into_iter().map(|cover| cover.path).collect();
        denied_paths.extend(denied_within(&self.places.workspace, &targets));
        denied_paths.sort();
        denied_paths.dedup();
        let claim = Claim { claimed_ns, denied: denied_paths };
        let mut run = self.run(id)?;
        run.set_claim(&claim).map_err(KeeperError::place("the claim cannot be recorded"))?;
        let Scan { items, refused } = self.scan(&mut run, &upper, &claim)?;
        let changes: Vec<Change> = items.into_iter().map(|item| item.change).collect();
        Ok(ChangeSet { workspace: self.places.workspace.clone(), changes, refused })
    }

    pub(super) fn scan(&self, run: &mut RunState, upper: &Tree, claim: &Claim) -> Result<Scan, KeeperError> {
        let settled = run.settled();
        let rules = Rules {
            claimed_ns: claim.claimed_ns,
            denied: &claim.denied,
            own: &self.own,
            settled: &settled,
            uid: rustix::process::geteuid().as_raw(),
        };
        scan(upper, &self.host, &rules, run)
    }

    /// What is held, with the overlay that it is in; `None` when nothing is.
    pub(super) fn held(&self, run: &mut RunState) -> Result<Option<(Tree, Scan)>, KeeperError> {
        let claim = run.claim().map_err(KeeperError::place("the claim cannot be read"))?;
        let (Some(claim), Some(upper)) = (claim, self.upper(&run.id)?) else { return Ok(None) };
        let scan = self.scan(run, &upper, &claim)?;
        Ok(Some((upper, scan)))
    }

    /// A diff of what is held, else of what landed.
    pub(super) fn diff(&mut self, id: &RunId) -> Result<String, KeeperError> {
        let mut run = self.run(id)?;
        if let Some((upper, scan)) = self.held(&mut run)?
            && !scan.items.is_empty()
        {
            return Ok(diff::of(&self.host, &upper, scan.items.iter()));
        }
        let landed =
            run.batches.iter().filter(|batch| batch.verb == super::journal::Verb::Apply && batch.landed.is_some());
        let mut text = String::new();
        for batch in landed {
            text += &run.diff(batch.number).map_err(KeeperError::place("the diff of what landed cannot be read"))?;
        }
        Ok(text)
    }

    /// Forgets what is held; what landed can still be undone, and is returned.
    pub(super) fn drop_held(&mut self, id: &RunId) -> Result<Landing, KeeperError> {
        let run = self.run(id)?;
        if let Some(upper) = self.upper(id)? {
            upper.empty().map_err(KeeperError::place("the overlay cannot be emptied"))?;
        }
        if run.batches.iter().any(|batch| batch.landed.is_some()) {
            run.forget_claim().map_err(KeeperError::place("the claim cannot be removed"))?;
        } else {
            let failed = KeeperError::place("the journal of the run cannot be removed");
            run.files.empty().and_then(|()| self.state.remove_directory(id.as_str())).map_err(failed)?;
        }
        let mut done: Vec<String> = run.in_place().into_iter().collect();
        done.sort();
        Ok(Landing { workspace: self.places.workspace.clone(), done, conflicts: Vec::new() })
    }
}

/// INVARIANT: one keeper for each workspace works, whatever the engine still runs: two would take the same steps at
/// once, and each the other's temporary files.
fn wait_for_the_only_lock(state: &Tree, path: &Path) -> Result<(), KeeperError> {
    for tried in 0..=LOCK_TRIES {
        if state.lock().map_err(KeeperError::place("the keeper's state cannot be locked"))? {
            return Ok(());
        }
        if tried < LOCK_TRIES {
            std::thread::sleep(LOCK_PAUSE);
        }
    }
    Err(KeeperError::Second { state: path.to_owned() })
}
