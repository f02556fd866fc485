//! Opening: the directory's lock first, then the keys, then the data file. Everything that is not
//! as it should be is refused before anything is written.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase as _, WriteTransaction};
use rustix::fs::FlockOperation;

use crate::domain::time::Timestamp;
use crate::secrets::{Keys, Presence};

use super::error::{StoreError, database};
use super::rehearsal::Rehearsal;
use super::{
    DATA_FILE, approvals, entries, inputs, learned, ledger, messages, meta, output, posts, runs, settings, turns,
};

/// Names the process that has the directory.
const LOCK_NOTE: &str = "in-use";
/// What the database may keep in memory while it is checked.
const REHEARSAL_CACHE_BYTES: usize = 64 << 20;
/// Pages that the store keeps in memory. Unasked, redb takes a gigabyte, all that the core has; what is on disk is in the
/// kernel's cache anyway.
const CACHE_BYTES: usize = 2 << 20;

/// Everything that an open store holds.
pub(super) struct Opened {
    /// Held for as long as the store is open.
    pub(super) lock: Lock,
    pub(super) keys: Keys,
    pub(super) database: Database,
}

pub(super) fn open(dir: &Path) -> Result<Opened, StoreError> {
    let lock = lock(dir)?;
    let path = dir.join(DATA_FILE);
    let presence = match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => Presence::Data,
        Ok(_) => return Err(StoreError::Foreign { path }),
        Err(error) if error.kind() == ErrorKind::NotFound => Presence::Nothing,
        Err(error) => return Err(io(&path, error)),
    };
    let keys = Keys::open_or_make(dir, presence)?;
    if presence == Presence::Nothing && keys.has_people() {
        return Err(StoreError::Missing { path });
    }
    let database = match presence {
        Presence::Data => unharmed(|| existing(&path, &keys))?,
        Presence::Nothing => new(dir, &path, &keys)?,
    };
    Ok(Opened { lock, keys, database })
}

/// A write transaction that is on the disk, or not there at all, once it is committed. Two phases,
/// since the database's checksums alone do not hold against somebody who chooses the values.
pub(super) fn write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut tx = database.begin_write().map_err(super::error::database)?;
    tx.set_durability(Durability::Immediate).map_err(super::error::database)?;
    tx.set_two_phase_commit(true);
    Ok(tx)
}

/// The directory, ours alone until this is dropped, or the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    /// Says who we are to another that comes; nothing depends on it.
    note: PathBuf,
    /// Released after the note is gone.
    _directory: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that stays is read by nobody who gets the lock.
        drop(std::fs::remove_file(&self.note));
    }
}

pub(super) fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let directory = File::open(dir).map_err(|error| io(dir, error))?;
    let metadata = directory.metadata().map_err(|error| io(dir, error))?;
    let us = rustix::process::geteuid().as_raw();
    let not_private = |why: String| Err(StoreError::NotPrivate { path: dir.to_owned(), why });
    if !metadata.is_dir() {
        return not_private("it is not a directory".to_owned());
    }
    if metadata.uid() != us {
        return not_private(format!("it belongs to uid {}, and this is uid {us}", metadata.uid()));
    }
    if metadata.mode() & 0o777 != 0o700 {
        return not_private(format!("its mode is {:o}, not 700", metadata.mode() & 0o777));
    }
    let note = dir.join(LOCK_NOTE);
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StoreError::Locked { path: dir.to_owned(), by: holder(&note) });
        }
        Err(errno) => return Err(io(dir, errno.into())),
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // On a full disk another one learns less; the lock holds all the same.
    drop(std::fs::write(&note, format!("process {} on {host}", std::process::id())));
    Ok(Lock { note, _directory: directory })
}

/// Who holds the lock, by its own note, and since when.
fn holder(note: &Path) -> String {
    let text = std::fs::read_to_string(note).unwrap_or_default();
    let since = std::fs::metadata(note).ok().and_then(|found| u64::try_from(found.mtime()).ok());
    let fits = text.len() < 200 && !text.is_empty() && !text.contains(char::is_control);
    match since.filter(|_| fits) {
        Some(since) => format!("{text}, since {}", Timestamp::from_ms(since.saturating_mul(1000))),
        None => "a process that left no note of itself".to_owned(),
    }
}

fn existing(path: &Path, keys: &Keys) -> Result<Database, StoreError> {
    // Opening for writing marks the file, and a repair after a crash changes it. Both are rehearsed
    // first: a file that is refused stays as it was found.
    rehearsed(path, keys, File::open(path).map_err(|error| io(path, error))?)?;
    let file = Database::builder().set_cache_size(CACHE_BYTES).open(path).map_err(|error| not_opened(path, error))?;
    // A file of an earlier version lacks the tables that came later.
    let tx = write(&file)?;
    tables(&tx)?;
    tx.commit().map_err(database)?;
    Ok(file)
}

/// The data in `file`, opened and checked without a change to it; `path` is for what is said of it.
pub(super) fn rehearsed(path: &Path, keys: &Keys, file: File) -> Result<Database, StoreError> {
    let file = Rehearsal::of(file).map_err(|error| io(path, error))?;
    let opened = Database::builder().set_cache_size(REHEARSAL_CACHE_BYTES).create_with_backend(file);
    let mut opened = opened.map_err(|error| not_opened(path, error))?;
    is_ours(path, keys, &opened.begin_read().map_err(database)?)?;
    // All checksums, once: a damaged page that is met later would end the core in the middle of its work.
    match opened.check_integrity() {
        Ok(true) => Ok(opened),
        Ok(false) => Err(StoreError::Torn { what: "its checksums do not match".to_owned() }),
        Err(error) => Err(not_opened(path, error)),
    }
}

/// What `open` gives; redb panics on some damaged pages where it should refuse them (4.6.0).
pub(super) fn unharmed<T>(open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    match std::panic::catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened,
        Err(_) => Err(StoreError::Torn { what: "a page of it cannot be read".to_owned() }),
    }
}

fn is_ours(path: &Path, keys: &Keys, tx: &ReadTransaction) -> Result<(), StoreError> {
    match meta::schema(tx)? {
        None => Err(StoreError::Foreign { path: path.to_owned() }),
        Some(found) if found != meta::SCHEMA => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: meta::SCHEMA })
        }
        Some(_) if !meta::is_sealed_with(tx, keys)? => Err(StoreError::WrongKeys { path: path.to_owned() }),
        Some(_) => Ok(()),
    }
}

/// Makes the file under another name and moves it when it is complete: a crash in between leaves no
/// half-made data file.
fn new(dir: &Path, path: &Path, keys: &Keys) -> Result<Database, StoreError> {
    let fresh = dir.join(format!("{DATA_FILE}.new"));
    match std::fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io(&fresh, error)),
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(|error| io(&fresh, error))?;
    let file = FileBackend::new(file)
        .and_then(|backend| Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend))
        .map_err(|error| not_opened(&fresh, error))?;
    let tx = write(&file)?;
    meta::found(&tx, keys)?;
    tables(&tx)?;
    tx.commit().map_err(database)?;
    std::fs::rename(&fresh, path).map_err(|error| io(path, error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io(dir, error))?;
    Ok(file)
}

/// Makes the tables that are not there yet.
fn tables(tx: &WriteTransaction) -> Result<(), StoreError> {
    runs::found(tx)?;
    output::found(tx)?;
    approvals::found(tx)?;
    inputs::found(tx)?;
    learned::found(tx)?;
    messages::found(tx)?;
    turns::found(tx)?;
    ledger::found(tx)?;
    posts::found(tx)?;
    settings::found(tx)?;
    entries::found(tx)
}

fn not_opened(path: &Path, error: DatabaseError) -> StoreError {
    if matches!(error, DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) {
        let by = "a program that is no Castoff, or an older one".to_owned();
        return StoreError::Locked { path: path.to_owned(), by };
    }
    if matches!(error, DatabaseError::RepairAborted) {
        return StoreError::Torn { what: error.to_string() };
    }
    if matches!(error, DatabaseError::UpgradeRequired(_)) || is_no_database(&error) {
        return StoreError::Foreign { path: path.to_owned() };
    }
    database(error)
}

/// redb reports a file without its magic number as invalid data.
fn is_no_database(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() == ErrorKind::InvalidData)
}

pub(super) fn io(path: &Path, source: std::io::Error) -> StoreError {
    if source.kind() == ErrorKind::StorageFull {
        return StoreError::DiskFull;
    }
    StoreError::Io { path: PathBuf::from(path), source }
}
