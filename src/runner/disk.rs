//! The disk limit of runs, as well as it can be held from outside.
//!
//! The runner cannot look into an upper directory (it has no right to), so it watches the file system:
//! what became less since the script was sent counts as the run's, whoever wrote it. So a run may be
//! stopped for what others wrote meanwhile (its changes are held, nothing is lost), and it may
//! overshoot by what the disk takes in the 50 ms between two looks. Below the reserve nothing starts
//! and everything stops.

use std::io;
use std::path::Path;

use crate::domain::limits::Limits;

/// The reserve is a twentieth of the file system,
const RESERVE_SHARE: u64 = 20;
/// but no more than this many bytes.
const RESERVE_BYTES_MAX: u64 = 1 << 30;

/// A look at a file system.
#[derive(Debug)]
pub(super) struct Disk {
    directory: rustix::fd::OwnedFd,
    free_bytes: u64,
    free_files: u64,
    reserve_bytes: u64,
}

impl Disk {
    /// Looks at the file system that holds `directory`.
    pub(super) fn look(directory: &Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let directory =
            rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let found = rustix::fs::fstatvfs(&directory)?;
        let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let reserve_bytes = (total / RESERVE_SHARE).min(RESERVE_BYTES_MAX);
        Ok(Self { directory, free_bytes, free_files: found.f_favail, reserve_bytes })
    }

    /// Whether a run may start; why not, and what helps, when not.
    pub(super) fn room(&self) -> Result<(), String> {
        if self.free_bytes > self.reserve_bytes {
            return Ok(());
        }
        let (free, reserve) = (self.free_bytes >> 20, self.reserve_bytes >> 20);
        Err(format!(
            "the disk is nearly full ({free} MiB free, {reserve} MiB are kept free); hint: make room below CASTOFF_HOME"
        ))
    }

    /// Whether since this look more was used than the limits allow, or the reserve is touched.
    pub(super) fn is_spent(&self, limits: &Limits) -> bool {
        let Ok(now) = rustix::fs::fstatvfs(&self.directory) else { return true };
        let free_bytes = now.f_bavail.saturating_mul(now.f_frsize);
        // A file system without a fixed number of files says 0 free, always.
        let files = self.free_files.saturating_sub(now.f_favail);
        let bytes = self.free_bytes.saturating_sub(free_bytes);
        bytes > limits.disk_bytes || files > limits.disk_files || free_bytes < self.reserve_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_after_the_look_counts() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk { reserve_bytes: 0, ..Disk::look(directory.path()).unwrap() };
        assert!(!disk.is_spent(&Limits { disk_bytes: u64::MAX, disk_files: u64::MAX, ..Limits::default() }));
        let reserve_bytes = u64::MAX;
        let full = Disk { reserve_bytes, ..disk };
        assert!(full.is_spent(&Limits::default()));
        assert!(full.room().unwrap_err().contains("hint"));
    }
}
