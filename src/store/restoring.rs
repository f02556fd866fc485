//! Restoring a backup: unpacked beside the data, opened as at a start, verified, and only then put in
//! place. What was there before is kept, under another name.
//!
//! ```text
//!  lock ─▶ restore-XXXX/ ◀─ unpacked, sums compared ─▶ opened, audit chain walked, entry added
//!            │ old files linked into before-restore-TIME-XXXX/
//!            └─ renamed: data file, key file, master key
//! ```
//! INVARIANT: cut between two of the renames, what stands there opens whole (the key file of later has
//! every key of earlier) or is refused, naming the keys: never a new store in the place of a lost one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::backup::{ABOUT, About, BACKUP_FORM, SUMS, Summed, sum_line};
use super::error::StoreError;
use super::opening::{self, io};
use super::{DATA_FILE, Store};
use crate::audit::Verified;
use crate::domain::record::{AuditEntry, Record};
use crate::domain::time::Timestamp;
use crate::secrets::{KEY_FILE, MASTER_KEY_FILE, SecretsError, adopt_master_key, is_another_master_key};

/// Longest entry but the data file; more than the longest key file.
const SMALL_BYTES_MAX: u64 = 8 << 20;
/// Where a backup is unpacked.
const STAGING: &str = "restore-";
/// Where what was there before is kept.
const ASIDE: &str = "before-restore-";

/// What the audit log says of a restoring.
const RESTORED: &str = "store.restored";

impl Store {
    /// Whether nothing has happened since it was restored.
    pub fn was_just_restored(&self) -> Result<bool, StoreError> {
        Ok(self.audit_list(1)?.first().is_some_and(|last| last.what == RESTORED))
    }
}

/// What becomes of data that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldData {
    /// It is a reason to refuse.
    Stays,
    /// It is put aside.
    Aside,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub about: About,
    /// Its audit chain, with the entry about the restoring.
    pub audit: Verified,
    /// Where the data of before lies, if there was any.
    pub aside: Option<PathBuf>,
}

/// Puts the backup that `from` reads into `dir`, a directory that is ours with mode 0700. The master key
/// is the one in `dir`, or a copy of the file `master_key`.
///
/// # Errors
/// Everything that makes a backup unfit, another core, data that would be replaced unasked, no room.
/// What is in `dir` is untouched then.
pub fn restore(
    dir: &Path,
    from: impl Read,
    master_key: Option<&Path>,
    old: OldData,
    now: Timestamp,
) -> Result<Restored, StoreError> {
    let _ours = opening::lock(dir)?;
    let present = |name: &&str| dir.join(name).symlink_metadata().is_ok();
    // A master key alone may be all that opens another backup.
    let loses_key = master_key.map_or(Ok(false), |other| is_another_master_key(dir, other))?;
    let is_occupied = loses_key || [DATA_FILE, KEY_FILE].iter().any(present);
    if is_occupied && old == OldData::Stays {
        return Err(StoreError::Occupied { path: dir.to_owned() });
    }
    remove_leftovers(dir)?;
    let staging = private_dir_in(dir, STAGING)?;
    let about = unpack(from, staging.path())?;
    let key = master_key.map_or_else(|| dir.join(MASTER_KEY_FILE), Path::to_owned);
    adopt_master_key(&key, staging.path())?;
    let audit = open_and_note(staging.path(), &about, now).map_err(|error| {
        // Which is not the backup's fault.
        let full = matches!(error, StoreError::DiskFull);
        if full { error } else { StoreError::Unrestorable { source: Box::new(error) } }
    })?;
    let aside = if is_occupied { Some(put_aside(dir, now)?) } else { None };
    // INVARIANT: in this order, see above.
    for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
        let place = dir.join(name);
        std::fs::rename(staging.path().join(name), &place).map_err(|error| io(&place, error))?;
        sync(dir)?;
    }
    Ok(Restored { about, audit, aside })
}

/// What a restore that was killed left.
fn remove_leftovers(dir: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(dir).map_err(|error| io(dir, error))? {
        let path = entry.map_err(|error| io(dir, error))?.path();
        let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(STAGING));
        if is_ours && path.is_dir() {
            std::fs::remove_dir_all(&path).map_err(|error| io(&path, error))?;
        }
    }
    Ok(())
}

/// Opens the data as a core would at its start, walks the audit chain, and notes the restoring in it.
fn open_and_note(dir: &Path, about: &About, now: Timestamp) -> Result<Verified, StoreError> {
    let store = Store::open(dir)?;
    store.audit_verify()?;
    let detail = json!({ "made_at": about.made_at.to_string(), "version": about.version });
    let what = RESTORED;
    store.commit(&[Record::Audit(AuditEntry { at: now, person: None, trust: None, what, run: None, detail })])?;
    store.audit_head()
}

/// Gives the present files a second name; where they are, they stay until they are replaced.
fn put_aside(dir: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let prefix = format!("{ASIDE}{now}-");
    let aside = private_dir_in(dir, &prefix)?.keep();
    for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
        match std::fs::hard_link(dir.join(name), aside.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&aside, error)),
            Ok(()) | Err(_) => {}
        }
    }
    sync(&aside)?;
    sync(dir)?;
    Ok(aside)
}

fn private_dir_in(dir: &Path, prefix: &str) -> Result<tempfile::TempDir, StoreError> {
    let mode = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(prefix).permissions(mode).tempdir_in(dir).map_err(|error| io(dir, error))
}

fn sync(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io(dir, error))
}

/// Writes key file and data file of the backup into `to`.
fn unpack(from: impl Read, to: &Path) -> Result<About, StoreError> {
    let mut archive = tar::Archive::new(from);
    // Raw: an extension of the format is an entry of its own then, which no backup has.
    let mut entries = archive.entries().map_err(|error| unreadable(&error))?.raw(true);
    let mut sums = String::new();
    let mut take = |name: &str, kept: Kept<'_>| -> Result<Vec<u8>, StoreError> {
        let Some(entry) = entries.next() else { return Err(cut_off()) };
        let entry = entry.map_err(|error| unreadable(&error))?;
        let is_it = entry.header().entry_type().is_file() && *entry.path_bytes() == *name.as_bytes();
        if !is_it {
            return Err(if name == ABOUT { foreign() } else { damaged("its entries are not those of a backup") });
        }
        let length = entry.header().size().map_err(|error| unreadable(&error))?;
        let mut summed = Summed::new(entry);
        let bytes = keep(&mut summed, length, kept)?;
        if summed.bytes != length {
            return Err(cut_off());
        }
        if name != SUMS {
            sums.push_str(&sum_line(name, summed));
        } else if bytes != sums.as_bytes() {
            return Err(damaged("its sums do not fit"));
        }
        Ok(bytes)
    };
    let about = take(ABOUT, Kept::InMemory)?;
    // The form first: the rest of a newer one may look different.
    let form: Form = serde_json::from_slice(&about).map_err(|_other| foreign())?;
    if form.form != BACKUP_FORM {
        return Err(StoreError::NewerBackup { found: form.form, known: BACKUP_FORM });
    }
    let about: About = serde_json::from_slice(&about).map_err(|error| damaged(&error.to_string()))?;
    take(KEY_FILE, Kept::At(&to.join(KEY_FILE)))?;
    take(DATA_FILE, Kept::At(&to.join(DATA_FILE)))?;
    take(SUMS, Kept::InMemory)?;
    Ok(about)
}

#[derive(serde::Deserialize)]
struct Form {
    form: u32,
}

#[derive(Clone, Copy)]
enum Kept<'a> {
    InMemory,
    At(&'a Path),
}

fn keep(from: &mut impl Read, length: u64, kept: Kept<'_>) -> Result<Vec<u8>, StoreError> {
    let Kept::At(path) = kept else {
        if length > SMALL_BYTES_MAX {
            return Err(damaged("an entry is too long"));
        }
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        return Ok(bytes);
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| io(path, error))?;
    // What cannot be read is the backup's fault, what cannot be written is not.
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = from.read(&mut buffer).map_err(|error| unreadable(&error))?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        std::io::Write::write_all(&mut file, bytes).map_err(|error| io(path, error))?;
    }
    file.sync_all().map_err(|error| io(path, error))?;
    Ok(Vec::new())
}

fn damaged(why: &str) -> StoreError {
    StoreError::BadBackup { why: format!("it is damaged: {why}") }
}

fn foreign() -> StoreError {
    StoreError::BadBackup { why: "it was not made by `castoff backup`".to_owned() }
}

fn cut_off() -> StoreError {
    StoreError::BadBackup { why: "it is not whole: its end is missing".to_owned() }
}

/// What the tar format's reader says.
fn unreadable(error: &std::io::Error) -> StoreError {
    if error.kind() == ErrorKind::UnexpectedEof {
        cut_off()
    } else if error.raw_os_error().is_some() {
        StoreError::BadBackup { why: format!("it cannot be read: {error}") }
    } else {
        damaged(&error.to_string())
    }
}

impl StoreError {
    /// Whether a backup is what is wrong.
    pub fn is_about_a_backup(&self) -> bool {
        matches!(self, Self::BadBackup { .. } | Self::NewerBackup { .. } | Self::Unrestorable { .. })
            || matches!(self, Self::Keys(SecretsError::MasterKeyMissing { .. }))
    }
}
