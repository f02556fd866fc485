//! Takes back what landed, and finishes what a crash had cut.

use std::collections::BTreeMap;

use crate::domain::change::{Landing, Trouble};
use crate::domain::ids::RunId;

use super::journal::{Batch, Entry, Outcome, RunState, Verb};
use super::land::{Source, land};
use super::step::Step;
use super::work::Keeper;
use super::{KeeperError, cut};

impl Keeper {
    /// Takes back all changes of a run that landed, but those whose file was changed since.
    pub(super) fn undo(&mut self, id: &RunId) -> Result<Landing, KeeperError> {
        let mut run = self.run(id)?;
        let mut done: Vec<String> = run.undone().into_iter().collect();
        let steps = backwards(&run);
        let mut conflicts = BTreeMap::new();
        if !steps.is_empty() {
            let batch = run.next_batch();
            let journal = || KeeperError::place("the journal cannot be written");
            run.write(Entry::Intent { batch, verb: Verb::Undo, steps: steps.clone() }).map_err(journal())?;
            cut::point()?;
            let outcome = self.finish_undo(&mut run, batch, &steps)?;
            conflicts.extend(outcome.left.into_iter().map(|trouble| (trouble.path, trouble.why)));
            done = run.undone().into_iter().collect();
        }
        done.sort();
        let conflicts = conflicts.into_iter().map(|(path, why)| Trouble { path, why }).collect();
        Ok(Landing { workspace: self.places.workspace.clone(), done, conflicts })
    }

    /// Takes the steps of an undo's intent. One that fails is over, as far as it came: asked for once more, it goes on.
    fn finish_undo(&mut self, run: &mut RunState, batch: u64, steps: &[Step]) -> Result<Outcome, KeeperError> {
        self.take_back(run, batch, steps).inspect_err(|_| {
            // On a disk that is full the next start of a keeper says it.
            if !cut::happened() {
                drop(run.write(Entry::Cancelled { batch }));
            }
        })
    }

    fn take_back(&mut self, run: &mut RunState, batch: u64, steps: &[Step]) -> Result<Outcome, KeeperError> {
        let images =
            run.files.make_subtree("before").map_err(KeeperError::place("the before-images cannot be read"))?;
        let outcome = land(&self.host, Source::Images(&images), &run.id, steps)?;
        cut::point()?;
        let entry = Entry::Landed { batch, stamps: outcome.stamps.clone(), left: outcome.left.clone() };
        run.write(entry).map_err(KeeperError::place("the journal cannot be written"))?;
        self.remember(&outcome);
        Ok(outcome)
    }

    /// Finishes or rolls back what the journal says was begun. An error leaves an apply open: nothing may be done
    /// about the run before it is over.
    pub(super) fn recover(&mut self, run: &mut RunState) -> Result<(), KeeperError> {
        for Batch { number, verb, steps, landed, is_cancelled, is_emptied } in run.batches.clone() {
            if is_cancelled {
                continue;
            }
            match (verb, landed) {
                (Verb::Undo, Some(_)) => {}
                // Its failure is nobody else's: the workspace has a keeper all the same.
                (Verb::Undo, None) => match self.finish_undo(run, number, &steps) {
                    Err(error) if cut::happened() => return Err(error),
                    Ok(_) | Err(_) => {}
                },
                (Verb::Apply, Some(_)) => {
                    if let Some(upper) = self.upper(&run.id)?.filter(|_| !is_emptied) {
                        match self.empty_landed(run, number, &upper) {
                            Err(error) if cut::happened() => return Err(error),
                            // What is left of it is not held any more, and in nobody's way.
                            Ok(()) | Err(_) => {}
                        }
                    }
                }
                (Verb::Apply, None) => self.recover_apply(run, number, &steps)?,
            }
        }
        Ok(())
    }

    fn recover_apply(&mut self, run: &mut RunState, batch: u64, steps: &[Step]) -> Result<(), KeeperError> {
        // Without its overlay an apply can only be rolled back; an empty tree makes it so.
        let empty = run.files.make_subtree("nothing").map_err(KeeperError::place("the state cannot be written"))?;
        let upper = self.upper(&run.id)?.unwrap_or(empty);
        match self.finish_or_roll_back(run, batch, steps, &upper) {
            Err(error) if cut::happened() || run.is_open(batch) => Err(error),
            // Rolled back: the journal says so, and the change is still held.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The steps that take back what landed and was not taken back yet, a directory before what is in it.
fn backwards(run: &RunState) -> Vec<Step> {
    let undone = run.undone();
    let mut steps = BTreeMap::new();
    for batch in run.batches.iter().filter(|batch| batch.verb == Verb::Apply) {
        let Some(outcome) = &batch.landed else { continue };
        for step in &batch.steps {
            let left = outcome.left.iter().any(|trouble| trouble.path == step.change);
            if !left && !undone.contains(&step.change) {
                let key: Vec<String> = step.path.split('/').map(str::to_owned).collect();
                steps.insert(key, step.reversed(outcome.stamps.get(&step.path).copied()));
            }
        }
    }
    steps.into_values().collect()
}
