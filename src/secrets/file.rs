//! Private files: read only when nobody else can read them, written whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::error::SecretsError;

/// Longest key file, in bytes: some 10,000 people.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The bytes of a file that only we can read; `None` when there is no such file.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
    let file = match OpenOptions::new().read(true).custom_flags(nofollow()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path, error)),
    };
    let metadata = file.metadata().map_err(|error| io(path, error))?;
    let us = rustix::process::geteuid().as_raw();
    let not_private = |why: String| Err(SecretsError::NotPrivate { path: path.to_owned(), why });
    if !metadata.is_file() {
        return Err(SecretsError::Damaged { path: path.to_owned(), why: "not a regular file".to_owned() });
    }
    if metadata.uid() != us {
        return not_private(format!("it belongs to uid {}, and this is uid {us}", metadata.uid()));
    }
    if metadata.mode() & 0o077 != 0 {
        return not_private(format!("its mode is {:o}", metadata.mode() & 0o777));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(SecretsError::Damaged { path: path.to_owned(), why: format!("it has {} bytes", metadata.len()) });
    }
    bytes_of(file, metadata.len()).map(Some).map_err(|error| io(path, error))
}

/// The bytes of a file wherever it lies, whoever can read it; of a long one only the beginning.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    File::open(path).and_then(|file| bytes_of(file, FILE_BYTES_MAX)).map_err(|error| io(path, error))
}

fn bytes_of(file: File, length: u64) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once, so that no half-read copy is left behind in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn exists(path: &Path) -> Result<bool, SecretsError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io(path, error)),
    }
}

/// Puts `bytes` at `name` in `dir`: after a crash there is the old file or the new one, whole.
/// The caller holds the directory's lock.
pub(super) fn write_private(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), SecretsError> {
    let path = dir.join(name);
    let fresh = dir.join(format!("{name}.new"));
    match std::fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io(&fresh, error)),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(nofollow())
        .open(&fresh)
        .map_err(|error| io(&fresh, error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| io(&fresh, error))?;
    std::fs::rename(&fresh, &path).map_err(|error| io(&path, error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io(dir, error))
}

fn nofollow() -> i32 {
    // Open flags are a C int; these two fit.
    i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or(0)
}

fn io(path: &Path, source: std::io::Error) -> SecretsError {
    SecretsError::Io { path: path.to_owned(), source }
}
