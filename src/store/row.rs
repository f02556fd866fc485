//! Rows: a version byte, then a sealed envelope. Every table's values have this form.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::ids::PersonId;
use crate::secrets::{Keys, Opened, Place};

use super::error::StoreError;

const VERSION: u8 = 1;

/// Which row of which table.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'a str,
}

impl Row<'_> {
    pub(super) fn seal(self, keys: &Keys, person: Option<&PersonId>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let sealed = keys.seal(person, self.place(), plain)?;
        Ok([&[VERSION][..], &sealed].concat())
    }

    pub(super) fn seal_json(
        self,
        keys: &Keys,
        person: Option<&PersonId>,
        value: &impl Serialize,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value).map_err(|error| self.unreadable(&error))?;
        self.seal(keys, person, &zeroize::Zeroizing::new(plain))
    }

    pub(super) fn open(self, keys: &Keys, bytes: &[u8]) -> Result<Opened, StoreError> {
        match bytes.split_first() {
            Some((&VERSION, sealed)) => keys.open(self.place(), sealed).ok_or_else(|| self.tampered()),
            Some((version, _)) => Err(self.unreadable(&format!("its version is {version}"))),
            None => Err(self.tampered()),
        }
    }

    pub(super) fn open_json<T: DeserializeOwned>(self, keys: &Keys, bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(&self.open(keys, bytes)?.plain).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn unreadable(self, why: &impl ToString) -> StoreError {
        StoreError::Unreadable { table: self.table, row: self.key.to_owned(), why: why.to_string() }
    }

    pub(super) fn tampered(self) -> StoreError {
        StoreError::Tampered { table: self.table, row: self.key.to_owned() }
    }

    fn place(&self) -> Place<'_> {
        Place { table: self.table, key: self.key.as_bytes() }
    }
}
