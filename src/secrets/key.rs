//! Secret keys. A key has no way out: it cannot be cloned, shown or written but by its owner module.

use std::fmt;
use std::path::Path;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::SecretsError;
use super::file;
use super::{KEY_FILE, MASTER_KEY_FILE};

/// Length of every key, in bytes.
pub(super) const KEY_BYTES: usize = 32;

/// Names a key in an envelope; random, says nothing about whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyId(pub(super) u64);

/// The name of the master key in envelopes; there is only one.
pub(super) const MASTER_KEY_ID: KeyId = KeyId(0);

/// 32 secret bytes, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct SecretKey([u8; KEY_BYTES]);

impl SecretKey {
    pub(super) fn generate() -> Result<Self, SecretsError> {
        let mut key = Self([0; KEY_BYTES]);
        getrandom::fill(&mut key.0).map_err(|source| SecretsError::NoRandom { source })?;
        Ok(key)
    }

    /// `None` when there are not exactly 32 bytes.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; KEY_BYTES]>::try_from(bytes).ok().map(Self)
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

/// The key that wraps all others; in a file of its own, so that a backup of the data without it
/// tells nothing.
pub struct MasterKey(pub(super) SecretKey);

impl MasterKey {
    /// The master key in `dir`; made when there is none and nothing is there that it should open.
    ///
    /// # Errors
    /// [`SecretsError::MasterKeyMissing`] when data or a key file is there without it; otherwise
    /// when the file cannot be read or made, is not 32 bytes long or not private.
    pub fn open_or_make(dir: &Path, data_exists: bool) -> Result<Self, SecretsError> {
        let path = dir.join(MASTER_KEY_FILE);
        if let Some(bytes) = file::read_private(&path)? {
            return SecretKey::from_slice(&bytes)
                .map(Self)
                .ok_or_else(|| SecretsError::Damaged { path, why: format!("{} bytes instead of 32", bytes.len()) });
        }
        if data_exists || file::exists(&dir.join(KEY_FILE))? {
            return Err(SecretsError::MasterKeyMissing { path });
        }
        let key = SecretKey::generate()?;
        file::write_private(dir, MASTER_KEY_FILE, &Zeroizing::new(key.expose().to_vec()))?;
        Ok(Self(key))
    }
}

/// Whether `dir` has a master key, and another one than the file `other`.
///
/// # Errors
/// When the one in `dir` cannot be read.
pub fn is_another_master_key(dir: &Path, other: &Path) -> Result<bool, SecretsError> {
    let path = dir.join(MASTER_KEY_FILE);
    Ok(file::exists(&path)? && {
        let present = file::read(&path)?;
        // What is wrong with the other one is said when it is adopted.
        file::read(other).is_ok_and(|other| *other != *present)
    })
}

/// Puts a copy of the master key at `from` into `dir`.
///
/// # Errors
/// When there is none, or it is no master key, or `dir` has one already that cannot be replaced.
pub fn adopt_master_key(from: &Path, dir: &Path) -> Result<(), SecretsError> {
    if !file::exists(from)? {
        return Err(SecretsError::MasterKeyMissing { path: from.to_owned() });
    }
    let bytes = file::read(from)?;
    if SecretKey::from_slice(&bytes).is_none() {
        return Err(SecretsError::Damaged {
            path: from.to_owned(),
            why: format!("{} bytes instead of 32", bytes.len()),
        });
    }
    file::write_private(dir, MASTER_KEY_FILE, &bytes)
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}
