//! The disk limit of runs, as well as it can be held from outside.
//!
//! The runner cannot look into an upper directory (it has no right to), so it watches the file system:
//! what became less since the script was sent counts as the run's, whoever wrote it. So a run may be
//! stopped for what others wrote meanwhile (its changes are held, nothing is lost), and it may
//! overshoot by what the disk takes in the 50 ms between two looks: how much it was is told. Below the
//! reserve nothing starts and everything stops.

use std::io;
use std::path::Path;

use crate::domain::change::{ChangeSet, NodeKind};
use crate::domain::limits::Limits;
use crate::domain::run::{StopCause, Usage};

/// The reserve is a twentieth of the file system,
const RESERVE_SHARE: u64 = 20;
/// but no more than this many bytes
const RESERVE_BYTES_MAX: u64 = 1 << 30;
/// and files.
const RESERVE_FILES_MAX: u64 = 1 << 14;
/// What has less than this share of what is missing is not worth throwing away.
const ROOM_SHARE: u64 = 16;
/// Nor what is less than this share of what the disk lost while its run was under way: others took it.
const OWN_SHARE: u64 = 2;

/// A look at a file system, and what became of it since.
#[derive(Debug)]
pub(super) struct Disk {
    directory: rustix::fd::OwnedFd,
    before: Free,
    reserve: Free,
    /// The least that was seen.
    least: Free,
}

/// Bytes, and files or directories, that others than root may still write. A file system without a fixed number
/// of files says 0 free of 0, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    bytes: u64,
    files: u64,
}

impl Disk {
    /// Looks at the file system that holds `directory`.
    pub(super) fn look(directory: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let directory =
            rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let found = rustix::fs::fstatvfs(&directory)?;
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let reserve = Free {
            bytes: (total / RESERVE_SHARE).min(RESERVE_BYTES_MAX),
            files: (found.f_files / RESERVE_SHARE).min(RESERVE_FILES_MAX),
        };
        let before = Free::of(&found);
        Ok(Self { directory, before, reserve, least: before })
    }

    /// Whether a run may start; why not, and what helps, when not.
    pub(super) fn room(&self) -> Result<(), String> {
        let hint = "hint: make room below CASTOFF_HOME; `castoff drop` forgets changes that are held";
        if self.before.bytes <= self.reserve.bytes {
            let (free, kept) = (self.before.bytes >> 20, self.reserve.bytes >> 20);
            return Err(format!("the disk is nearly full ({free} MiB free, {kept} MiB are kept free); {hint}"));
        }
        if self.reserve.files > 0 && self.before.files <= self.reserve.files {
            let (free, kept) = (self.before.files, self.reserve.files);
            return Err(format!("the disk has room for {free} more files, and {kept} are kept free; {hint}"));
        }
        Ok(())
    }

    /// Looks again: what a run must be stopped for, if anything.
    pub(super) fn look_again(&mut self, limits: &Limits) -> Option<StopCause> {
        let Ok(found) = rustix::fs::fstatvfs(&self.directory) else { return Some(StopCause::DiskReserve) };
        let now = Free::of(&found);
        self.least = Free { bytes: self.least.bytes.min(now.bytes), files: self.least.files.min(now.files) };
        let (used_bytes, used_files) = self.used();
        if self.is_short(now) {
            Some(StopCause::DiskReserve)
        } else if used_bytes > limits.disk_bytes {
            Some(StopCause::DiskCap)
        } else {
            (used_files > limits.disk_files).then_some(StopCause::FilesCap)
        }
    }

    /// The most bytes and files that there were more than at first.
    pub(super) fn used(&self) -> (u64, u64) {
        let Free { bytes, files } = self.before;
        (bytes.saturating_sub(self.least.bytes), files.saturating_sub(self.least.files))
    }

    /// Whether the disk is short of its reserve, and throwing this away would help; `usage` is that of the run which
    /// left it. Who merely was there when others filled the disk keeps what he has.
    pub(super) fn wants_back(&self, sets: &[ChangeSet], usage: &Usage) -> bool {
        let missing = Free {
            bytes: self.reserve.bytes.saturating_sub(self.before.bytes),
            files: self.reserve.files.saturating_sub(self.before.files),
        };
        let helps = |held: u64, missing: u64, lost: u64| {
            let is_most_of_it = lost > 0 && held.saturating_mul(OWN_SHARE) >= lost;
            missing > 0 && held.saturating_mul(ROOM_SHARE) >= missing && is_most_of_it
        };
        helps(held_bytes(sets), missing.bytes, usage.disk_bytes)
            || helps(held_files(sets), missing.files, usage.disk_files)
    }

    fn is_short(&self, now: Free) -> bool {
        now.bytes < self.reserve.bytes || now.files < self.reserve.files
    }
}

impl Free {
    fn of(found: &rustix::fs::StatVfs) -> Self {
        Self { bytes: found.f_bavail.saturating_mul(found.f_frsize), files: found.f_favail }
    }
}

/// Bytes of the files that these changes hold.
fn held_bytes(sets: &[ChangeSet]) -> u64 {
    let nodes = sets.iter().flat_map(|set| &set.changes).filter_map(|change| change.after.as_ref());
    nodes.map(|node| if let NodeKind::File { bytes } = node.kind { bytes } else { 0 }).fold(0, u64::saturating_add)
}

/// How many changes they are.
pub(super) fn held_files(sets: &[ChangeSet]) -> u64 {
    sets.iter().map(|set| set.changes.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::{Change, Node};

    fn disk(before: Free, reserve: Free) -> Disk {
        let directory = tempfile::tempdir().unwrap();
        Disk { before, reserve, least: before, ..Disk::look(directory.path()).unwrap() }
    }

    const NONE: Free = Free { bytes: 0, files: 0 };
    const ALL: Free = Free { bytes: u64::MAX, files: u64::MAX };

    #[test]
    fn what_is_written_after_the_look_counts_and_each_limit_has_its_name() {
        let limits = |disk_bytes, disk_files| Limits { disk_bytes, disk_files, ..Limits::default() };
        assert_eq!(disk(NONE, NONE).look_again(&limits(0, 0)), None);
        assert_eq!(disk(ALL, NONE).look_again(&limits(1, u64::MAX)), Some(StopCause::DiskCap));
        assert_eq!(disk(ALL, NONE).look_again(&limits(u64::MAX, 1)), Some(StopCause::FilesCap));
        assert_eq!(disk(ALL, NONE).look_again(&limits(u64::MAX, u64::MAX)), None);
        assert_eq!(disk(NONE, ALL).look_again(&limits(1, 1)), Some(StopCause::DiskReserve));
    }

    #[test]
    fn below_either_reserve_there_is_no_room_and_it_is_said_what_helps() {
        for (before, reserve, says) in [
            (Free { bytes: 5 << 20, files: 9 }, Free { bytes: 6 << 20, files: 0 }, "5 MiB free, 6 MiB are kept"),
            (Free { bytes: 5 << 20, files: 9 }, Free { bytes: 0, files: 10 }, "9 more files, and 10 are kept"),
        ] {
            let why = disk(before, reserve).room().unwrap_err();
            assert!(why.contains(says) && why.contains("hint"), "{why}");
        }
        assert_eq!(disk(Free { bytes: 1, files: 0 }, NONE).room(), Ok(()));
    }

    #[test]
    fn only_what_would_help_is_thrown_away() {
        let set = |bytes: u64| {
            let after = Some(Node { kind: NodeKind::File { bytes }, mode: 0o644 });
            let change = Change { path: "f".to_owned(), before: None, after };
            [ChangeSet { workspace: "/w".into(), changes: vec![change], refused: Vec::new() }]
        };
        let lost = |disk_bytes, disk_files| Usage { disk_bytes, disk_files, ..Usage::default() };
        let short = disk(Free { bytes: 0, files: 100 }, Free { bytes: 1600, files: 10 });
        let own = lost(100, 1);
        assert!(short.wants_back(&set(100), &own) && !short.wants_back(&set(99), &own) && !short.wants_back(&[], &own));
        assert!(!disk(ALL, NONE).wants_back(&set(u64::MAX), &own));
        let few_files = disk(Free { bytes: 100, files: 0 }, Free { bytes: 10, files: 16 });
        assert!(few_files.wants_back(&set(0), &own));
        // Most of what is gone is somebody else's.
        assert!(short.wants_back(&set(100), &lost(200, 1)) && !short.wants_back(&set(100), &lost(201, 1)));
        assert!(few_files.wants_back(&set(0), &lost(0, 2)) && !few_files.wants_back(&set(0), &lost(0, 3)));
        assert!(!short.wants_back(&set(100), &lost(0, 0)));
    }
}
