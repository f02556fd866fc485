//! What files hold: their digests, copies and comparison. A copy has the holes of the original: a run may make
//! a file that is far longer than the disk is large.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::room::{self, Room};
use crate::domain::ids::Digest;

/// Bytes that are read or compared at once.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes that are copied between two looks at the room that is left.
const PIECE_BYTES: u64 = 8 << 20;

/// The digest of what a file holds from here on.
pub(super) fn digest(file: &mut File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        hash.update(block.get(..length).unwrap_or_default());
    }
}

/// Copies all of `from` into the new file `to`: by sharing blocks where the file system can, else without what is
/// a hole.
pub(super) fn copy(from: &mut File, to: &mut File, room: Room) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(&*to, &*from).is_ok() {
        return Ok(());
    }
    let bytes = from.metadata()?.len();
    let mut next = data_from(from, 0, bytes)?;
    while let Some(data) = next {
        copy_range(from, to, &data, room)?;
        next = data_from(from, data.end, bytes)?;
    }
    to.set_len(bytes)
}

/// The first piece of a file at or after an offset that is no hole (lseek(2), `SEEK_DATA`).
fn data_from(file: &File, offset: u64, bytes: u64) -> io::Result<Option<Range<u64>>> {
    if offset >= bytes {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => Ok(Some(start..rustix::fs::seek(file, SeekFrom::Hole(start))?)),
        Err(Errno::NXIO) => Ok(None),
        // A file system that knows of no holes.
        Err(Errno::INVAL) => Ok(Some(offset..bytes)),
        Err(error) => Err(error.into()),
    }
}

fn copy_range(from: &mut File, to: &mut File, data: &Range<u64>, room: Room) -> io::Result<()> {
    from.seek(io::SeekFrom::Start(data.start))?;
    to.seek(io::SeekFrom::Start(data.start))?;
    let mut left = data.end.saturating_sub(data.start);
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        match room {
            Room::Spare => room::check(&*to, piece)?,
            Room::All => {}
        }
        let copied = io::copy(&mut from.by_ref().take(piece), to)?;
        if copied == 0 {
            // It became shorter meanwhile, which shows in its change time.
            return Ok(());
        }
        left -= copied;
    }
    Ok(())
}

/// Whether two files hold the same bytes.
pub(super) fn same_bytes(one: &mut File, other: &mut File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    loop {
        let (a, b) = (fill(one, &mut left)?, fill(other, &mut right)?);
        if left.get(..a) != right.get(..b) {
            return Ok(false);
        }
        if a == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}
