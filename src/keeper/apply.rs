//! Lands what is held.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use crate::crash::{self, Point};
use crate::domain::change::{Landing, Trouble};
use crate::domain::ids::RunId;

use super::content::{copy, digest};
use super::files::{Seen, SeenKind, Tree};
use super::journal::{Entry, Outcome, RunState, Verb};
use super::land::{Source, land, stamp};
use super::paths::is_at_or_below;
use super::room::Room;
use super::scan::Item;
use super::step::{Step, Thing, ThingKind};
use super::work::Keeper;
use super::{KeeperError, cut, diff};

const BEFORE: &str = "before";

impl Keeper {
    /// Lands the changes at `paths` (all that are held for `None`), and names those that cannot.
    pub(super) fn apply(&mut self, id: &RunId, paths: Option<&[String]>) -> Result<Landing, KeeperError> {
        if self.upper(id)?.is_none() && !self.knows(id)? {
            return Ok(Landing { workspace: self.places.workspace.clone(), done: Vec::new(), conflicts: Vec::new() });
        }
        let mut run = self.run(id)?;
        // An answer that was lost is given again.
        let mut done: Vec<String> = run.in_place().into_iter().collect();
        done.retain(|path| paths.is_none_or(|paths| paths.contains(path)));
        let mut conflicts: BTreeMap<String, String> = BTreeMap::new();
        if let Some((upper, scan)) = self.held(&mut run)? {
            let chosen = choose(&scan.items, paths);
            let items = without_conflicts(&scan.items, &chosen, &mut conflicts);
            done.extend(self.land_items(&mut run, &upper, &items, &mut conflicts)?);
        } else if done.is_empty() {
            return Err(KeeperError::NotHeld(id.clone()));
        }
        for path in paths.unwrap_or_default() {
            if !done.contains(path) && !conflicts.contains_key(path) {
                conflicts.insert(path.clone(), "nothing is held of this path".to_owned());
            }
        }
        done.sort();
        let conflicts = conflicts.into_iter().map(|(path, why)| Trouble { path, why }).collect();
        Ok(Landing { workspace: self.places.workspace.clone(), done, conflicts })
    }

    fn land_items(
        &mut self,
        run: &mut RunState,
        upper: &Tree,
        items: &[&Item],
        conflicts: &mut BTreeMap<String, String>,
    ) -> Result<Vec<String>, KeeperError> {
        let first_image = run.next_image();
        let batch = run.next_batch();
        let steps = match self.prepare(run, upper, items, conflicts) {
            Ok(steps) if steps.is_empty() => return Ok(Vec::new()),
            Ok(steps) => steps,
            Err(error) => {
                if !cut::happened() {
                    forget_images(&run.files, first_image);
                }
                return Err(error);
            }
        };
        let written = run.write(Entry::Intent { batch, verb: Verb::Apply, steps: steps.clone() });
        written.map_err(KeeperError::place("the journal cannot be written"))?;
        cut::point()?;
        crash::point(Point::ApplyJournalWritten);
        let outcome = self.finish_or_roll_back(run, batch, &steps, upper)?;
        let left: HashSet<&String> = outcome.left.iter().map(|trouble| &trouble.path).collect();
        let mut done: Vec<String> = steps.iter().map(|step| step.change.clone()).collect();
        done.dedup();
        done.retain(|path| !left.contains(path));
        conflicts.extend(outcome.left.iter().map(|trouble| (trouble.path.clone(), trouble.why.clone())));
        Ok(done)
    }

    /// Decides what is to be done, and keeps what that replaces and how it differs: all but the intent.
    fn prepare(
        &self,
        run: &RunState,
        upper: &Tree,
        items: &[&Item],
        conflicts: &mut BTreeMap<String, String>,
    ) -> Result<Vec<Step>, KeeperError> {
        let images = run.files.make_subtree(BEFORE).map_err(KeeperError::place("no before-images can be kept"))?;
        let mut image = run.next_image();
        let mut steps = Vec::new();
        let mut landing = Vec::new();
        for item in items {
            match self.decide(item, upper, &images, &mut image) {
                Ok(taken) => {
                    steps.extend(taken);
                    landing.push(*item);
                }
                Err(Undecided::Host(why)) => {
                    conflicts.insert(item.change.path.clone(), why);
                }
                Err(Undecided::Fault(error)) => return Err(error),
            }
        }
        if !steps.is_empty() {
            cut::point()?;
            let journal = || KeeperError::place("the journal cannot be written");
            run.set_diff(run.next_batch(), &diff::of(&self.host, upper, landing.into_iter())).map_err(journal())?;
            run.files.sync().map_err(journal())?;
        }
        Ok(steps)
    }

    /// Takes the steps of an intent; when that fails, takes them back.
    pub(super) fn finish_or_roll_back(
        &mut self,
        run: &mut RunState,
        batch: u64,
        steps: &[Step],
        upper: &Tree,
    ) -> Result<Outcome, KeeperError> {
        let images = run.files.make_subtree(BEFORE).map_err(KeeperError::place("the before-images cannot be read"))?;
        let outcome = match self.finish(run, batch, steps, (upper, &images)) {
            Ok(outcome) => outcome,
            Err(error) if cut::happened() => return Err(error),
            Err(first) => {
                return Err(match self.roll_back(run, batch, steps, &images) {
                    Ok(()) => first,
                    Err(second) => KeeperError::Both { first: Box::new(first), second: Box::new(second) },
                });
            }
        };
        self.remember(&outcome);
        cut::point()?;
        match self.empty_landed(run, batch, upper) {
            Err(error) if cut::happened() => Err(error),
            // It landed all the same; the next request about the run goes on with the rest.
            Ok(()) | Err(_) => Ok(outcome),
        }
    }

    fn finish(
        &self,
        run: &mut RunState,
        batch: u64,
        steps: &[Step],
        (upper, images): (&Tree, &Tree),
    ) -> Result<Outcome, KeeperError> {
        let mut outcome = land(&self.host, Source::Upper(upper), &run.id, steps)?;
        self.restore_left(run, steps, images, &mut outcome)?;
        cut::point()?;
        crash::point(Point::AppliedNotCommitted);
        let entry = Entry::Landed { batch, stamps: outcome.stamps.clone(), left: outcome.left.clone() };
        run.write(entry).map_err(KeeperError::place("the journal cannot be written"))?;
        Ok(outcome)
    }

    /// Takes back the steps of an apply that failed. Its before-images go, unless something could not be taken back.
    fn roll_back(&mut self, run: &mut RunState, batch: u64, steps: &[Step], images: &Tree) -> Result<(), KeeperError> {
        let back: Vec<Step> = steps.iter().map(|step| step.reversed(None)).collect();
        let outcome = land(&self.host, Source::Images(images), &run.id, &back)?;
        run.write(Entry::Cancelled { batch }).map_err(KeeperError::place("the journal cannot be written"))?;
        self.remember(&outcome);
        if outcome.left.is_empty() {
            for image in steps.iter().filter_map(|step| step.image) {
                // What stays takes room, and no more.
                drop(images.remove(&image.to_string()));
            }
        }
        Ok(())
    }

    /// A change of several paths that got stuck on one of them is taken back as a whole.
    fn restore_left(
        &self,
        run: &RunState,
        steps: &[Step],
        images: &Tree,
        outcome: &mut Outcome,
    ) -> Result<(), KeeperError> {
        let is_left = |step: &&Step| outcome.left.iter().any(|trouble| trouble.path == step.change);
        let back: Vec<Step> = steps.iter().filter(is_left).map(|step| step.reversed(None)).collect();
        if !back.is_empty() {
            let restored = land(&self.host, Source::Images(images), &run.id, &back)?;
            outcome.stamps.extend(restored.stamps);
        }
        Ok(())
    }

    /// Removes what landed from the overlay; directories stay while something is held in them.
    pub(super) fn empty_landed(&self, run: &mut RunState, batch: u64, upper: &Tree) -> Result<(), KeeperError> {
        let landed = run.batches.iter().find(|known| known.number == batch);
        let Some((steps, outcome)) = landed.and_then(|known| Some((&known.steps, known.landed.as_ref()?))) else {
            return Ok(());
        };
        let failed = || KeeperError::place("the overlay cannot be emptied");
        for step in steps.iter().rev() {
            if outcome.left.iter().any(|trouble| trouble.path == step.change) {
                continue;
            }
            match upper.look(&step.path).map_err(failed())? {
                Some(seen) if seen.is_directory() => match upper.remove_directory(&step.path) {
                    Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(failed()(error)),
                    _ => {}
                },
                Some(_) => upper.remove(&step.path).map_err(failed())?,
                None => {}
            }
            cut::point()?;
        }
        run.write(Entry::Emptied { batch }).map_err(KeeperError::place("the journal cannot be written"))
    }

    /// The steps of one change, with before-images of all that it replaces or removes.
    fn decide(&self, item: &Item, upper: &Tree, images: &Tree, image: &mut u64) -> Result<Vec<Step>, Undecided> {
        let mut steps = Vec::new();
        for pair in &item.pairs {
            let of_host = |error: io::Error| Undecided::Host(format!("`{}` cannot be read: {error}", pair.path));
            let of_run = |error| Undecided::Fault(KeeperError::read(&pair.path, error));
            let to = pair.upper.as_ref().map(|seen| thing(upper, &pair.path, seen)).transpose().map_err(of_run)?;
            let mut from = pair.lower.as_ref().map(|seen| thing_without_digest(&self.host, &pair.path, seen));
            let mut kept = None;
            if pair.lower.as_ref().is_some_and(|seen| seen.kind == SeenKind::File) {
                let mut file = self.host.read(&pair.path).map_err(of_host)?;
                from = Some(keep(&mut file, images, *image, pair.lower.as_ref().map_or(0, |seen| seen.mode)));
                kept = Some(*image);
                *image += 1;
            }
            let from = from.transpose().map_err(|error| {
                Undecided::Fault(KeeperError::Place { what: "no before-image can be kept", source: error })
            })?;
            if stamp(self.host.look(&pair.path).map_err(of_host)?.as_ref()) != stamp(pair.lower.as_ref())
                && !pair.lower.as_ref().is_some_and(Seen::is_directory)
            {
                return Err(Undecided::Host("it was changed on the host since the run began".to_owned()));
            }
            let seen = stamp(pair.lower.as_ref());
            steps.push(Step { path: pair.path.clone(), change: item.change.path.clone(), from, to, image: kept, seen });
        }
        Ok(steps)
    }
}

/// Why a change has no steps.
enum Undecided {
    /// Because of the host's file: a conflict.
    Host(String),
    /// Because of anything else: nothing lands.
    Fault(KeeperError),
}

/// The items at `paths`, and the new directories that they lie in.
fn choose<'a>(items: &'a [Item], paths: Option<&[String]>) -> Vec<&'a Item> {
    let Some(paths) = paths else { return items.iter().collect() };
    let is_made = |item: &Item| {
        item.change.after.is_some()
            && item.pairs.first().is_some_and(|pair| {
                pair.upper.as_ref().is_some_and(Seen::is_directory)
                    && !pair.lower.as_ref().is_some_and(Seen::is_directory)
            })
    };
    let is_chosen = |item: &&Item| {
        let path = &item.change.path;
        paths.contains(path) || (is_made(item) && paths.iter().any(|below| is_at_or_below(below, path)))
    };
    items.iter().filter(is_chosen).collect()
}

/// Takes out what conflicts, and what lies in a directory that does.
fn without_conflicts<'a>(
    items: &[Item],
    chosen: &[&'a Item],
    conflicts: &mut BTreeMap<String, String>,
) -> Vec<&'a Item> {
    let by_path: HashMap<&str, &Item> = items.iter().map(|item| (item.change.path.as_str(), item)).collect();
    let inherited = |path: &str| {
        std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/')).find_map(|(above, _)| {
            let item = by_path.get(above)?;
            let made = !item
                .change
                .before
                .as_ref()
                .is_some_and(|node| matches!(node.kind, crate::domain::change::NodeKind::Directory { .. }));
            item.conflict.as_ref().filter(|_| made).map(|why| format!("its directory `{above}` cannot land: {why}"))
        })
    };
    let mut free = Vec::new();
    for item in chosen {
        match item.conflict.clone().or_else(|| inherited(&item.change.path)) {
            Some(why) => {
                conflicts.insert(item.change.path.clone(), why);
            }
            None => free.push(*item),
        }
    }
    free
}

fn thing(tree: &Tree, path: &str, seen: &Seen) -> io::Result<Thing> {
    if seen.kind == SeenKind::File {
        let digest = digest(&tree.read(path)?)?;
        return Ok(Thing { kind: ThingKind::File { bytes: seen.bytes, digest }, mode: seen.mode });
    }
    thing_without_digest(tree, path, seen)
}

fn thing_without_digest(tree: &Tree, path: &str, seen: &Seen) -> io::Result<Thing> {
    let kind = match seen.kind {
        SeenKind::Directory => ThingKind::Directory,
        SeenKind::Symlink => ThingKind::Symlink { target: tree.link_text(path)? },
        SeenKind::File => ThingKind::File { bytes: seen.bytes, digest: crate::domain::ids::Digest::of(b"") },
        SeenKind::Whiteout | SeenKind::Other(_) => return Err(io::Error::other("not a file, directory or link")),
    };
    Ok(Thing { kind, mode: seen.mode })
}

/// Removes the before-images from `first` on, of an apply that never came to its intent.
fn forget_images(run: &Tree, first: u64) {
    let Ok(images) = run.subtree(BEFORE) else { return };
    for image in first.. {
        let name = image.to_string();
        // What stays takes room, and no more.
        if !matches!(images.look(&name), Ok(Some(_))) || images.remove(&name).is_err() {
            return;
        }
    }
}

/// Copies the host's file among the before-images.
fn keep(file: &mut std::fs::File, images: &Tree, image: u64, mode: u32) -> io::Result<Thing> {
    let name = image.to_string();
    let mut copied = match images.create(&name) {
        // Left by an apply that never came to its intent.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            images.remove(&name)?;
            images.create(&name)?
        }
        result => result?,
    };
    copy(file, &mut copied, Room::Spare)?;
    let digest = digest(&copied)?;
    Ok(Thing { kind: ThingKind::File { bytes: copied.metadata()?.len(), digest }, mode })
}
