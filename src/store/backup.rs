//! Making a backup: one tar file with all that a store is, but for the master key, without which the
//! rest tells nothing to whoever finds it.
//!
//! ```text
//! castoff-backup.json   what it is: its form, the store's schema, who made it, when
//! keys                  the key file
//! castoff.redb          the data file
//! SHA256SUMS            of the three, as `sha256sum -c` reads it; a file without it was cut off
//! ```
//!
//! What is copied is checked before it is given away: a backup that could not be restored is none.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};

use redb::ReadableDatabase as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::{StoreError, database};
use super::opening::{self, io};
use super::{DATA_FILE, Store, entries, meta};
use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;
use crate::secrets::KEY_FILE;

/// The form of the tar file; raised when it changes.
pub const BACKUP_FORM: u32 = 1;
/// The first entry.
pub(super) const ABOUT: &str = "castoff-backup.json";
/// The last entry.
pub(super) const SUMS: &str = "SHA256SUMS";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its form, see [`BACKUP_FORM`].
    pub form: u32,
    /// The schema of the data file.
    pub schema: u32,
    /// The version of the Castoff that made it.
    pub version: String,
    /// When.
    pub made_at: Timestamp,
}

/// The store as it stood at one moment.
pub struct Snapshot {
    about: About,
    keys: Zeroizing<Vec<u8>>,
    /// Without a name: nothing of it is left when this is dropped, or the process killed.
    data: File,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Store {
    /// A copy of everything that is committed, checked as at a start. While the data file is copied
    /// (not while the copy is checked) commits wait. The copy takes as much room again beside it.
    ///
    /// # Errors
    /// No room, or a store that could not be restored: a damaged page, a broken audit chain.
    pub fn snapshot(&self, made_at: Timestamp) -> Result<Snapshot, StoreError> {
        let path = self.dir.join(DATA_FILE);
        let keys = self.keys();
        // In the order of `commit`, which takes both too.
        let still = opening::write(&self.database)?;
        let key_file = keys.file()?;
        let mut data = tempfile::tempfile_in(&self.dir).map_err(|error| io(&self.dir, error))?;
        File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut data)).map_err(|error| io(&path, error))?;
        still.abort().map_err(database)?;
        let copy = data.try_clone().map_err(|error| io(&path, error))?;
        opening::unharmed(|| {
            let copy = opening::rehearsed(&path, &keys, copy)?;
            Ok(entries::verify(&copy.begin_read().map_err(database)?, &keys)?)
        })?;
        let about =
            About { form: BACKUP_FORM, schema: meta::SCHEMA, version: env!("CARGO_PKG_VERSION").to_owned(), made_at };
        Ok(Snapshot { about, keys: key_file, data })
    }
}

impl Snapshot {
    /// Writes the backup, and flushes it.
    ///
    /// # Errors
    /// What `out` says; then what was written is no backup.
    pub fn write_to(mut self, out: impl Write) -> std::io::Result<()> {
        use std::io::Seek as _;
        let about = serde_json::to_vec(&self.about)?;
        let data_bytes = self.data.metadata()?.len();
        self.data.rewind()?;
        let mut tar = Tar { builder: tar::Builder::new(out), sums: String::new(), at: self.about.made_at };
        tar.add(ABOUT, about.as_slice(), about.len() as u64)?;
        tar.add(KEY_FILE, self.keys.as_slice(), self.keys.len() as u64)?;
        tar.add(DATA_FILE, &self.data, data_bytes)?;
        let sums = std::mem::take(&mut tar.sums);
        tar.add(SUMS, sums.as_bytes(), sums.len() as u64)?;
        tar.builder.into_inner()?.flush()
    }
}

struct Tar<W: Write> {
    builder: tar::Builder<W>,
    sums: String,
    at: Timestamp,
}

impl<W: Write> Tar<W> {
    fn add(&mut self, name: &str, bytes: impl Read, length: u64) -> std::io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(0o600);
        header.set_mtime(self.at.as_ms() / 1000);
        let mut summed = Summed::new(bytes.take(length));
        self.builder.append_data(&mut header, name, &mut summed)?;
        if summed.bytes != length {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, format!("`{name}` became shorter")));
        }
        self.sums.push_str(&sum_line(name, summed));
        Ok(())
    }
}

/// A line of `SHA256SUMS`.
pub(super) fn sum_line<R>(name: &str, summed: Summed<R>) -> String {
    format!("{}  {name}\n", Digest::from_bytes(summed.sum.finalize().into()))
}

/// What was read so far, and its sum.
pub(super) struct Summed<R> {
    inner: R,
    sum: Sha256,
    pub(super) bytes: u64,
}

impl<R> Summed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, sum: Sha256::new(), bytes: 0 }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(into)?;
        self.sum.update(into.get(..length).unwrap_or_default());
        self.bytes += length as u64;
        Ok(length)
    }
}
