//! What the keeper knows of one run, in `state/RUN`: the claim, the journal, before-images, diffs of
//! what landed. Nothing of it lies in people's directories.
//!
//! The journal is a file of JSON lines; a line counts once its newline is on disk, so a torn one
//! never happened.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write as _};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::change::Trouble;
use crate::domain::ids::RunId;

use super::files::{Stamp, Tree, is_absence};
use super::scan::Modes;
use super::step::Step;

/// Longest journal or list of modes that is read, in bytes.
const JOURNAL_BYTES_MAX: u64 = 256 << 20;
pub(super) const JOURNAL: &str = "journal";
pub(super) const CLAIM: &str = "claim";
const MODES: &str = "modes";

/// What the runner said of a run when its overlay was first read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) claimed_ns: u64,
    /// Relative to the workspace.
    pub(super) denied: Vec<String>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// From here on the steps are taken, and a crash is answered by finishing them.
    Intent { batch: u64, verb: Verb, steps: Vec<Step> },
    /// All steps were taken and are on disk, but for the changes in `left`.
    Landed { batch: u64, stamps: BTreeMap<String, Stamp>, left: Vec<Trouble> },
    /// The steps were taken back: the intent never was.
    Cancelled { batch: u64 },
    /// What landed is gone from the overlay.
    Emptied { batch: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verb {
    Apply,
    Undo,
}

/// One intent and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) verb: Verb,
    pub(super) steps: Vec<Step>,
    pub(super) landed: Option<Outcome>,
    pub(super) is_cancelled: bool,
    pub(super) is_emptied: bool,
}

/// How a batch landed.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) stamps: BTreeMap<String, Stamp>,
    pub(super) left: Vec<Trouble>,
}

/// The state of one run.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) id: RunId,
    pub(super) files: Tree,
    pub(super) batches: Vec<Batch>,
    modes: BTreeMap<String, u32>,
}

impl RunState {
    /// Opens what is known of a run, or begins it.
    pub(super) fn open(state: &Tree, id: &RunId) -> io::Result<Self> {
        let files = state.make_subtree(id.as_str())?;
        let mut run = Self { id: id.clone(), files, batches: Vec::new(), modes: BTreeMap::new() };
        for entry in run.lines::<Entry>(JOURNAL)? {
            run.learn(entry);
        }
        run.modes = run.lines::<(String, u32)>(MODES)?.into_iter().collect();
        Ok(run)
    }

    fn lines<T: DeserializeOwned>(&self, name: &str) -> io::Result<Vec<T>> {
        let bytes = match self.files.read_all(name, JOURNAL_BYTES_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(io::Error::other(format!("`{name}` is too long"))),
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            self.files.append(name)?.set_len(whole as u64)?;
        }
        let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }

    fn append<T: Serialize>(
        &self,
        name: &str,
        line: &T,
        sync: impl FnOnce(&std::fs::File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let mut file = self.files.append(name)?;
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(&bytes).and_then(|()| sync(&file)) {
            // A torn line would swallow the next one, and a whole one would say what nobody acted on.
            file.set_len(before)?;
            return Err(error);
        }
        Ok(())
    }

    /// Adds a line to the journal; it is on disk when this returns.
    pub(super) fn write(&mut self, entry: Entry) -> io::Result<()> {
        self.append(JOURNAL, &entry, std::fs::File::sync_all)?;
        self.learn(entry);
        Ok(())
    }

    fn learn(&mut self, entry: Entry) {
        match entry {
            Entry::Intent { batch, verb, steps } => self.batches.push(Batch {
                number: batch,
                verb,
                steps,
                landed: None,
                is_cancelled: false,
                is_emptied: false,
            }),
            Entry::Landed { batch, stamps, left } => {
                if let Some(batch) = self.batch(batch) {
                    batch.landed = Some(Outcome { stamps, left });
                }
            }
            Entry::Cancelled { batch } => {
                if let Some(batch) = self.batch(batch) {
                    // One that could not be recorded for good was taken back.
                    batch.landed = None;
                    batch.is_cancelled = true;
                }
            }
            Entry::Emptied { batch } => {
                if let Some(batch) = self.batch(batch) {
                    batch.is_emptied = true;
                }
            }
        }
    }

    fn batch(&mut self, number: u64) -> Option<&mut Batch> {
        self.batches.iter_mut().find(|batch| batch.number == number)
    }

    /// Whether the journal does not say what became of a batch: its steps may have been taken.
    pub(super) fn is_open(&self, number: u64) -> bool {
        let is_open = |batch: &Batch| batch.landed.is_none() && !batch.is_cancelled;
        self.batches.iter().any(|batch| batch.number == number && is_open(batch))
    }

    /// A number that no batch of this run has.
    pub(super) fn next_batch(&self) -> u64 {
        self.batches.iter().map(|batch| batch.number + 1).max().unwrap_or(0)
    }

    /// Numbers of before-images are never used twice.
    pub(super) fn next_image(&self) -> u64 {
        let images = self.batches.iter().flat_map(|batch| &batch.steps).filter_map(|step| step.image);
        images.map(|image| image + 1).max().unwrap_or(0)
    }

    /// Changes that landed, whether or not they were taken back later.
    pub(super) fn settled(&self) -> HashSet<String> {
        self.changes_of(Verb::Apply)
    }

    /// Changes that were taken back.
    pub(super) fn undone(&self) -> HashSet<String> {
        self.changes_of(Verb::Undo)
    }

    /// Changes that landed and were not taken back.
    pub(super) fn in_place(&self) -> HashSet<String> {
        &self.settled() - &self.undone()
    }

    fn changes_of(&self, verb: Verb) -> HashSet<String> {
        let mut changes = HashSet::new();
        for batch in self.batches.iter().filter(|batch| batch.verb == verb) {
            if let Some(outcome) = &batch.landed {
                let left = |change: &str| outcome.left.iter().any(|trouble| trouble.path == change);
                changes.extend(batch.steps.iter().map(|step| step.change.clone()).filter(|change| !left(change)));
            }
        }
        changes
    }

    pub(super) fn claim(&self) -> io::Result<Option<Claim>> {
        match self.files.read_all(CLAIM, JOURNAL_BYTES_MAX) {
            Ok(Some(bytes)) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Ok(None) => Err(io::Error::other("the claim is too long")),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn set_claim(&self, claim: &Claim) -> io::Result<()> {
        self.write_whole(CLAIM, &serde_json::to_vec(claim)?)
    }

    pub(super) fn forget_claim(&self) -> io::Result<()> {
        self.files.remove(CLAIM)
    }

    /// The diff of a batch, kept when it lands.
    pub(super) fn diff(&self, batch: u64) -> io::Result<String> {
        let bytes = self.files.read_all(&format!("diff-{batch}"), JOURNAL_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    }

    pub(super) fn set_diff(&self, batch: u64, text: &str) -> io::Result<()> {
        self.write_whole(&format!("diff-{batch}"), text.as_bytes())
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = format!("{name}.new");
        self.files.remove(&fresh)?;
        let mut file = self.files.create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.files.rename(&fresh, name)
    }
}

impl Modes for RunState {
    fn original(&self, path: &str) -> Option<u32> {
        self.modes.get(path).copied()
    }

    fn record(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.append(MODES, &(path, mode), |_| Ok(()))?;
        self.modes.insert(path.to_owned(), mode);
        Ok(())
    }
}
