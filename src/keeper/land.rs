//! Takes steps on the host's files. Every step may be taken twice, so that a crash is answered by
//! taking all of them again; a file that is neither what the journal expects nor what it wants is
//! left alone.
//!
//! New content is complete in temporary files beside its targets (`.castoff-RUN-N`), and on disk,
//! before the first file is replaced: a full disk is found while nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};

use rustix::fs::{Mode, Timespec, Timestamps};

use crate::crash::{self, Point};
use crate::domain::change::Trouble;
use crate::domain::ids::RunId;

use super::content::{copy, digest};
use super::files::{Seen, SeenKind, Stamp, Tree, is_absence};
use super::journal::Outcome;
use super::room::Room;
use super::step::{Step, Thing, ThingKind};
use super::{KeeperError, cut};

/// Where the content of new files comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// The overlay, by path.
    Upper(&'a Tree),
    /// Before-images, by number.
    Images(&'a Tree),
}

impl Source<'_> {
    fn room(self) -> Room {
        match self {
            Self::Upper(_) => Room::Spare,
            Self::Images(_) => Room::All,
        }
    }
}

/// Takes `steps` (a directory stands before what is in it); returns how the host looks then.
pub(super) fn land(host: &Tree, source: Source<'_>, run: &RunId, steps: &[Step]) -> Result<Outcome, KeeperError> {
    let mut landing = Landing {
        host,
        source,
        run,
        left: BTreeMap::new(),
        done: BTreeSet::new(),
        put: BTreeSet::new(),
        judged: BTreeMap::new(),
        opened: BTreeMap::new(),
    };
    let result = landing.go(steps);
    if result.is_err() && !cut::happened() {
        // The roll-back that follows finds the rest; a second error would hide the first.
        drop(landing.remove_temporaries(steps));
    }
    let stamps = result?;
    host.sync().map_err(|error| KeeperError::write("", error))?;
    let left = landing.left.into_iter().map(|(path, why)| Trouble { path, why }).collect();
    Ok(Outcome { stamps, left })
}

struct Landing<'a> {
    host: &'a Tree,
    source: Source<'a>,
    run: &'a RunId,
    /// Changes that were left alone, with the reason.
    left: BTreeMap<String, String>,
    /// Paths that are as asked already.
    done: BTreeSet<String>,
    /// Paths whose temporary file has been renamed away.
    put: BTreeSet<String>,
    /// Files and links as they were judged.
    judged: BTreeMap<String, Option<Stamp>>,
    /// Directories that their owner could not use, with the modes they had.
    opened: BTreeMap<String, u32>,
}

/// How the host's file stands to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is what the step starts from.
    Before,
    /// It is what the step makes.
    After,
    /// It is something else.
    Foreign,
}

impl Landing<'_> {
    fn go(&mut self, steps: &[Step]) -> Result<BTreeMap<String, Stamp>, KeeperError> {
        // A cut apply may have closed directories already, that still have to be looked into.
        for step in steps.iter().filter(|step| step.is_from_directory() || step.is_to_directory()) {
            self.attempt(step, Self::open_up)?;
        }
        self.judge(steps);
        cut::point()?;
        for step in steps.iter().filter(|step| step.is_to_directory() && !step.is_from_directory()) {
            self.attempt(step, Self::make_directory)?;
        }
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| is_content(step)) {
            self.attempt(step, |landing, step| landing.stage(number, step))?;
        }
        self.host.sync().map_err(|error| KeeperError::write("", error))?;
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| is_content(step) && !step.is_from_directory())
        {
            self.attempt(step, |landing, step| landing.put(number, step))?;
        }
        for step in steps.iter().rev().filter(|step| step.to.is_none() || step.is_from_directory()) {
            self.attempt(step, Self::remove)?;
        }
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| is_content(step) && step.is_from_directory())
        {
            self.attempt(step, |landing, step| landing.put(number, step))?;
        }
        // Both before modes are set, which may forbid their owner to look.
        self.remove_temporaries(steps)?;
        let stamps = self.stamps(steps);
        for step in steps.iter().rev().filter(|step| step.is_from_directory() || step.is_to_directory()) {
            if self.left.contains_key(&step.change) {
                self.close(step)?;
            } else {
                self.attempt(step, Self::set_mode)?;
            }
        }
        Ok(stamps)
    }

    /// How the files and links look that are now as asked.
    fn stamps(&self, steps: &[Step]) -> BTreeMap<String, Stamp> {
        let stays = |step: &&Step| is_content(step) && !self.left.contains_key(&step.change);
        let stamp = |step: &Step| Some((step.path.clone(), self.host.look(&step.path).ok()??.stamp));
        steps.iter().filter(stays).filter_map(stamp).collect()
    }

    /// Gives a directory that is left alone the mode that it had.
    fn close(&self, step: &Step) -> Result<(), KeeperError> {
        let Some(mode) = self.opened.get(&step.path) else { return Ok(()) };
        match self.host.chmod(&step.path, *mode) {
            Err(error) if !is_of_the_host(&error) => Err(KeeperError::write(&step.path, error)),
            _ => Ok(()),
        }
    }

    /// Finds what is done already, and what must be left alone.
    fn judge(&mut self, steps: &[Step]) {
        for step in steps {
            // Looked at before it is compared, so that a write in between shows.
            let looked = self.host.look(&step.path);
            match standing(self.host, step) {
                Ok(Standing::Before) => {
                    let seen = looked.ok().flatten().filter(|seen| !seen.is_directory());
                    self.judged.insert(step.path.clone(), stamp(seen.as_ref()));
                }
                Ok(Standing::After) => {
                    self.done.insert(step.path.clone());
                }
                Ok(Standing::Foreign) => self.leave(step, "it was changed on the host in between"),
                Err(error) => self.leave(step, &format!("`{}` cannot be read on the host: {error}", step.path)),
            }
        }
    }

    fn leave(&mut self, step: &Step, why: &str) {
        self.left.entry(step.change.clone()).or_insert_with(|| why.to_owned());
    }

    /// Takes one part of a step, unless its change is left alone; what lies in the host's file itself
    /// makes it left alone, what lies in the disk or the overlay fails the whole.
    fn attempt(
        &mut self,
        step: &Step,
        part: impl FnOnce(&mut Self, &Step) -> io::Result<()>,
    ) -> Result<(), KeeperError> {
        if self.left.contains_key(&step.change) {
            return Ok(());
        }
        match part(self, step) {
            Ok(()) => cut::point(),
            Err(error) if is_of_the_host(&error) => {
                self.leave(step, &format!("`{}` cannot be written: {error}", step.path));
                Ok(())
            }
            Err(error) => Err(KeeperError::write(&step.path, error)),
        }
    }

    fn open_up(&mut self, step: &Step) -> io::Result<()> {
        match self.host.look(&step.path)? {
            Some(seen) if seen.is_directory() && seen.mode & 0o700 != 0o700 => {
                self.host.chmod(&step.path, seen.mode | 0o700)?;
                self.opened.entry(step.path.clone()).or_insert(seen.mode);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn make_directory(&mut self, step: &Step) -> io::Result<()> {
        match self.host.look(&step.path)? {
            Some(seen) if seen.is_directory() => return self.open_up(step),
            Some(_) => self.host.remove(&step.path)?,
            None => {}
        }
        self.look_for_room()?;
        self.host.make_directory(&step.path)
    }

    fn look_for_room(&self) -> io::Result<()> {
        match self.source.room() {
            Room::Spare => self.host.has_room(),
            Room::All => Ok(()),
        }
    }

    /// Writes the new content beside its target.
    fn stage(&mut self, number: usize, step: &Step) -> io::Result<()> {
        if self.done.contains(&step.path) {
            return Ok(());
        }
        self.look_for_room()?;
        let temporary = self.temporary(number, step);
        let Some(thing) = &step.to else { return Ok(()) };
        let expected = match &thing.kind {
            ThingKind::Symlink { target } => {
                self.host.remove(&temporary)?;
                return self.host.make_link(target, &temporary);
            }
            ThingKind::Directory => return Ok(()),
            ThingKind::File { digest, .. } => digest,
        };
        let mut from = match (self.source, step.image) {
            (Source::Upper(upper), _) => upper.read(&step.path),
            (Source::Images(images), Some(image)) => images.read(&image.to_string()),
            (Source::Images(_), None) => Err(io::Error::other("there is no before-image")),
        }
        .map_err(|error| io::Error::other(format!("the new content cannot be read: {error}")))?;
        let mut to = match self.host.create(&temporary) {
            // Left by a crash.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.host.remove(&temporary)?;
                self.host.create(&temporary)?
            }
            result => result?,
        };
        copy(&mut from, &mut to, self.source.room())?;
        if digest(&to)? != *expected {
            return Err(io::Error::other("the new content is not what the journal names"));
        }
        if let Source::Upper(upper) = self.source {
            keep_time(upper, step, &to)?;
        }
        rustix::fs::fchmod(&to, Mode::from_raw_mode(thing.mode & 0o777))?;
        to.flush()
    }

    fn put(&mut self, number: usize, step: &Step) -> io::Result<()> {
        if self.done.contains(&step.path) {
            return Ok(());
        }
        self.check_again(step)?;
        self.host.rename(&self.temporary(number, step), &step.path)?;
        self.put.insert(step.path.clone());
        crash::point(match self.source {
            Source::Upper(_) => Point::HalfApplied,
            Source::Images(_) => Point::UndoHalfDone,
        });
        Ok(())
    }

    /// That the host's file is still the one that was judged.
    fn check_again(&self, step: &Step) -> io::Result<()> {
        let seen = self.host.look(&step.path)?.filter(|seen| !seen.is_directory());
        if self.judged.get(&step.path).is_some_and(|judged| *judged == stamp(seen.as_ref())) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "it was changed on the host in between"))
    }

    fn remove(&mut self, step: &Step) -> io::Result<()> {
        match self.host.look(&step.path)? {
            Some(seen) if seen.is_directory() => {
                if step.is_from_directory() && !step.is_to_directory() {
                    return self.host.remove_directory(&step.path);
                }
                Ok(())
            }
            Some(_) if step.to.is_none() => {
                self.check_again(step)?;
                self.host.remove(&step.path)
            }
            _ => Ok(()),
        }
    }

    fn set_mode(&mut self, step: &Step) -> io::Result<()> {
        let Some(thing) = &step.to else { return Ok(()) };
        match self.host.look(&step.path)? {
            Some(seen) if seen.is_directory() && seen.mode != thing.mode => self.host.chmod(&step.path, thing.mode),
            _ => Ok(()),
        }
    }

    fn temporary(&self, number: usize, step: &Step) -> String {
        let directory = step.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        super::paths::join(directory, &format!(".castoff-{}-{number}", self.run))
    }

    fn remove_temporaries(&self, steps: &[Step]) -> Result<(), KeeperError> {
        let may_have_one = |step: &Step| is_content(step) && !self.put.contains(&step.path);
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| may_have_one(step)) {
            let temporary = self.temporary(number, step);
            match self.host.remove(&temporary) {
                Err(error) if !is_of_the_host(&error) => return Err(KeeperError::write(&temporary, error)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_content(step: &Step) -> bool {
    step.to.is_some() && !step.is_to_directory()
}

/// Build tools compare times: what lands is as old as the run's file.
fn keep_time(upper: &Tree, step: &Step, to: &std::fs::File) -> io::Result<()> {
    if let Some(seen) = upper.look(&step.path)? {
        let (tv_sec, tv_nsec) = seen.modified;
        let time = Timespec { tv_sec, tv_nsec: tv_nsec.into() };
        rustix::fs::futimens(to, &Timestamps { last_access: time, last_modification: time })?;
    }
    Ok(())
}

/// Whether an error concerns one path of the host, not the disk or the overlay.
fn is_of_the_host(error: &io::Error) -> bool {
    use io::ErrorKind;
    is_absence(error)
        || matches!(
            error.kind(),
            ErrorKind::PermissionDenied
                | ErrorKind::DirectoryNotEmpty
                | ErrorKind::AlreadyExists
                | ErrorKind::IsADirectory
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::CrossesDevices
                | ErrorKind::ResourceBusy
                | ErrorKind::InvalidFilename
        )
}

/// How the host's file stands to a step.
pub(super) fn standing(host: &Tree, step: &Step) -> io::Result<Standing> {
    let seen = host.look(&step.path)?;
    if let Some(seen) = seen.as_ref().filter(|seen| !seen.is_directory())
        && step.from.is_some()
        && step.seen == Some(seen.stamp)
    {
        return Ok(Standing::Before);
    }
    if is_thing(host, &step.path, seen.as_ref(), step.to.as_ref())? {
        return Ok(Standing::After);
    }
    if is_thing(host, &step.path, seen.as_ref(), step.from.as_ref())? {
        return Ok(Standing::Before);
    }
    // A directory has to go before a file can take its place, and the other way round.
    let between = seen.is_none()
        && step.from.is_some()
        && step.to.is_some()
        && step.is_from_directory() != step.is_to_directory();
    Ok(if between { Standing::Before } else { Standing::Foreign })
}

fn is_thing(host: &Tree, path: &str, seen: Option<&Seen>, thing: Option<&Thing>) -> io::Result<bool> {
    let (Some(seen), Some(thing)) = (seen, thing) else { return Ok(seen.is_none() && thing.is_none()) };
    Ok(match (&thing.kind, seen.kind) {
        // Its mode is set at the end, whatever it is on the way.
        (ThingKind::Directory, SeenKind::Directory) => true,
        (ThingKind::Symlink { target }, SeenKind::Symlink) => host.link_text(path)? == *target,
        (ThingKind::File { bytes, digest: wanted }, SeenKind::File) => {
            seen.mode == thing.mode && seen.bytes == *bytes && digest(&host.read(path)?)? == *wanted
        }
        _ => false,
    })
}

/// The stamp that a step starts from.
pub(super) fn stamp(seen: Option<&Seen>) -> Option<Stamp> {
    seen.map(|seen| seen.stamp)
}
