//! What files hold: their digests, copies and comparison. A run may make a file that is far longer than the disk is
//! large: a copy has the holes of the original, and nowhere is a hole read.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::room::{self, Room};
use crate::domain::ids::Digest;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes that count as a hole when they are zeros, at a multiple of as many.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes that are copied between two looks at the room that is left.
const PIECE_BYTES: u64 = 8 << 20;

/// The digest of what a file holds: SHA-256, or, where whole blocks are zeros, SHA-256 over that of all the others and
/// that of where they are. Which of them are holes does not matter.
pub(super) fn digest(file: &File) -> io::Result<Digest> {
    let bytes = file.metadata()?.len();
    let mut hash = Hash { data: Sha256::new(), places: Sha256::new(), told: 0 };
    let mut read = vec![0; READ_BYTES];
    let mut next = data_from(file, 0, bytes)?;
    while let Some(range) = next {
        let mut at = range.start - range.start % BLOCK_BYTES as u64;
        let end = range.end.next_multiple_of(BLOCK_BYTES as u64).min(bytes);
        while at < end {
            let most = usize::try_from(end - at).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let length = fill(file, at, read.get_mut(..most).unwrap_or_default())?;
            for block in read.get(..length).unwrap_or_default().chunks(BLOCK_BYTES) {
                if !is_hole(block) {
                    hash.tell(at, block);
                }
                at += block.len() as u64;
            }
            if length < most {
                // It became shorter meanwhile, which shows in its change time.
                break;
            }
        }
        next = data_from(file, end, bytes)?;
    }
    Ok(hash.of(bytes))
}

/// The digest of a file on the way.
struct Hash {
    data: Sha256,
    /// Where blocks were left out.
    places: Sha256,
    told: u64,
}

impl Hash {
    fn tell(&mut self, at: u64, block: &[u8]) {
        if at > self.told {
            self.places.update(self.told.to_be_bytes());
            self.places.update(at.to_be_bytes());
        }
        self.data.update(block);
        self.told = at + block.len() as u64;
    }

    fn of(mut self, bytes: u64) -> Digest {
        let tail = bytes - bytes % BLOCK_BYTES as u64;
        if self.told < bytes {
            let zeros = [0; BLOCK_BYTES];
            self.tell(tail, zeros.get(..usize::try_from(bytes - tail).unwrap_or_default()).unwrap_or_default());
        }
        let (data, places) = (self.data.finalize(), self.places.finalize());
        if places == Sha256::new().finalize() {
            return Digest::from_bytes(data.into());
        }
        let all = Sha256::new().chain_update(b"castoff holes 1").chain_update(data).chain_update(places);
        Digest::from_bytes(all.finalize().into())
    }
}

fn is_hole(block: &[u8]) -> bool {
    block.len() == BLOCK_BYTES && block.iter().all(|byte| *byte == 0)
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
pub(super) fn same_bytes(one: &File, other: &File) -> io::Result<bool> {
    let bytes = one.metadata()?.len();
    if bytes != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let mut at = 0;
    loop {
        let ranges = [data_from(one, at, bytes)?, data_from(other, at, bytes)?];
        let Some(first) = ranges.into_iter().flatten().min_by_key(|range| range.start) else { return Ok(true) };
        let most = usize::try_from(first.end - first.start).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let a = fill(one, first.start, left.get_mut(..most).unwrap_or_default())?;
        let b = fill(other, first.start, right.get_mut(..most).unwrap_or_default())?;
        if a != most || left.get(..a) != right.get(..b) {
            return Ok(false);
        }
        at = first.start + most as u64;
    }
}

/// Reads from `at` until `block` is full or the file ends; returns how much that is.
fn fill(file: &File, at: u64, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `bytes` zeros, holes where it can have them, with `pieces` written into it.
    fn file(bytes: u64, pieces: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        for (at, piece) in pieces {
            file.write_all_at(piece, *at).unwrap();
        }
        file
    }

    #[test]
    fn content_is_the_same_wherever_it_has_holes() {
        let zeros = vec![0; 40_000];
        for bytes in [1, 4096, 5000, 70_000, 200_001] {
            let end: &[(u64, &[u8])] = &[(bytes - 1, b"x")];
            for pieces in [&[], end, &[(0, b"a"), (bytes - 1, b"b")]] {
                let (holes, written) = (file(bytes, pieces), file(bytes, &[]));
                for at in (0..bytes).step_by(40_000) {
                    let most = usize::try_from((bytes - at).min(40_000)).unwrap();
                    written.write_all_at(&zeros[..most], at).unwrap();
                }
                for (at, piece) in pieces {
                    written.write_all_at(piece, *at).unwrap();
                }
                assert_eq!(digest(&holes).unwrap(), digest(&written).unwrap(), "{bytes} {pieces:?}");
                assert!(same_bytes(&holes, &written).unwrap() && same_bytes(&written, &holes).unwrap());
            }
        }
    }

    #[test]
    fn content_that_differs_anywhere_is_another() {
        let all = [
            file(0, &[]),
            file(1, &[]),
            file(4096, &[]),
            file(4097, &[]),
            file(8192, &[]),
            file(8192, &[(0, b"a")]),
            file(8192, &[(4096, b"a")]),
            file(12_288, &[(4096, b"a")]),
            file(12_288, &[(8192, b"a")]),
            file(1 << 20, &[(1 << 19, b"a")]),
            file(1 << 20, &[((1 << 19) + 1, b"a")]),
            file(1 << 20, &[((1 << 20) - 1, b"a")]),
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[..at] {
                assert_ne!(digest(one).unwrap(), digest(other).unwrap());
                assert!(!same_bytes(one, other).unwrap() && !same_bytes(other, one).unwrap());
            }
        }
        assert_eq!(digest(&file(3, &[(0, b"abc")])).unwrap(), Digest::of(b"abc"));
    }

    #[test]
    fn holes_are_not_read() {
        // To read it would take years.
        let (one, other) = (file(1 << 42, &[(1 << 41, b"a")]), file(1 << 42, &[(1 << 41, b"b")]));
        assert_ne!(digest(&one).unwrap(), digest(&other).unwrap());
        assert!(!same_bytes(&one, &other).unwrap());
    }
}
