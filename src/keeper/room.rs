//! How much of a disk landing may take: what a run left may be larger than the room that its workspace, or the
//! keeper's state, has for the before-images.

use std::io;

use rustix::fd::AsFd;

/// The keeper keeps a fortieth of the file system free: half of what the runner keeps free of runs, so that what was
/// made above the runner's reserve can land;
const RESERVE_SHARE: u64 = 40;
/// but no more than this many bytes
const RESERVE_BYTES_MAX: u64 = 512 << 20;
/// and files.
const RESERVE_FILES_MAX: u64 = 1 << 13;

/// How much of the disk a copy may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// What is above the reserve.
    Spare,
    /// All of it: what puts back what was there before.
    All,
}

/// That the file system of `place` has more than its reserve even when so many bytes are written.
pub(super) fn check(place: impl AsFd, bytes: u64) -> io::Result<()> {
    let found = rustix::fs::fstatvfs(place)?;
    let of = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let (free, kept) = (of(found.f_bavail), (of(found.f_blocks) / RESERVE_SHARE).min(RESERVE_BYTES_MAX));
    let full = |why: String| Err(io::Error::new(io::ErrorKind::StorageFull, why));
    if free <= kept.saturating_add(bytes) {
        return full(format!("the disk is nearly full ({} MiB free, {} MiB are kept free)", free >> 20, kept >> 20));
    }
    // A file system without a fixed number of files says 0 of 0.
    let kept = (found.f_files / RESERVE_SHARE).min(RESERVE_FILES_MAX);
    if kept > 0 && found.f_favail <= kept {
        let free = found.f_favail;
        return full(format!("the disk has room for {free} more files, and {kept} are kept free"));
    }
    Ok(())
}
