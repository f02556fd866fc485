//! The table `meta`: the schema's version in clear, a seal that only the right keys open, and the
//! head of the audit chain, sealed, so that nobody without the keys can shorten or rewrite the chain.
//!
//! What the seal does not show: that a whole earlier state was put back, head and entries together.
//! That is what the head outside is for, the one that the owner is sent.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::audit::Chain;
use crate::domain::ids::Digest;
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

/// Raised when a table's meaning changes, with a migration.
pub(super) const SCHEMA: u32 = 1;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const SCHEMA_ROW: &str = "schema";
const SEAL: Row<'_> = Row { table: "meta", key: "seal" };
const HEAD: Row<'_> = Row { table: "meta", key: "audit-head" };

#[derive(Serialize, Deserialize)]
struct Head {
    entries: u64,
    hash: Digest,
}

/// The rows of a new file.
pub(super) fn found(tx: &WriteTransaction, keys: &Keys) -> Result<(), StoreError> {
    {
        let mut table = tx.open_table(META).map_err(database)?;
        table.insert(SCHEMA_ROW, &SCHEMA.to_be_bytes()[..]).map_err(database)?;
        table.insert(SEAL.key, &SEAL.seal(keys, None, b"castoff")?[..]).map_err(database)?;
    }
    set_head(tx, keys, &Chain::empty())
}

/// The schema's version; `None` when this is not our file.
pub(super) fn schema(tx: &ReadTransaction) -> Result<Option<u32>, StoreError> {
    let table = match tx.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::Storage(error)) => return Err(database(error)),
        // No such table, or one of other types: another program's file.
        Err(_) => return Ok(None),
    };
    let row = table.get(SCHEMA_ROW).map_err(database)?;
    Ok(row.and_then(|row| row.value().try_into().ok()).map(u32::from_be_bytes))
}

/// Whether these keys are the ones that the file was made with.
pub(super) fn is_sealed_with(tx: &ReadTransaction, keys: &Keys) -> Result<bool, StoreError> {
    let table = tx.open_table(META).map_err(database)?;
    let row = table.get(SEAL.key).map_err(database)?;
    Ok(row.is_some_and(|row| SEAL.open(keys, row.value()).is_ok()))
}

pub(super) fn head(tx: &ReadTransaction, keys: &Keys) -> Result<Chain, StoreError> {
    read_head(&tx.open_table(META).map_err(database)?, keys)
}

pub(super) fn head_to_append(tx: &WriteTransaction, keys: &Keys) -> Result<Chain, StoreError> {
    read_head(&tx.open_table(META).map_err(database)?, keys)
}

pub(super) fn set_head(tx: &WriteTransaction, keys: &Keys, chain: &Chain) -> Result<(), StoreError> {
    let head = Head { entries: chain.entries(), hash: chain.head() };
    let mut table = tx.open_table(META).map_err(database)?;
    table.insert(HEAD.key, &HEAD.seal_json(keys, None, &head)?[..]).map_err(database)?;
    Ok(())
}

fn read_head(table: &impl ReadableTable<&'static str, &'static [u8]>, keys: &Keys) -> Result<Chain, StoreError> {
    let row = table.get(HEAD.key).map_err(database)?.ok_or_else(|| HEAD.tampered())?;
    let head: Head = HEAD.open_json(keys, row.value())?;
    Ok(Chain::resume(head.entries, head.hash))
}
