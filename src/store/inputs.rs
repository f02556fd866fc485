//! The table `inputs`: standard input of runs that wait for an approval.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::domain::ids::{PersonId, RunId};
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "inputs";
const INPUTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(INPUTS).map(|_| ()).map_err(database)
}

/// Keeps the bytes, or removes them.
pub(super) fn put(
    tx: &WriteTransaction,
    keys: &Keys,
    (run, person): (&RunId, &PersonId),
    bytes: Option<&[u8]>,
) -> Result<(), StoreError> {
    let mut table = tx.open_table(INPUTS).map_err(database)?;
    if let Some(bytes) = bytes {
        let sealed = Row { table: TABLE, key: run.as_str() }.seal(keys, Some(person), bytes)?;
        table.insert(run.as_str(), &sealed[..]).map_err(database)?;
    } else {
        table.remove(run.as_str()).map_err(database)?;
    }
    Ok(())
}

pub(super) fn get(tx: &ReadTransaction, keys: &Keys, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
    let table = tx.open_table(INPUTS).map_err(database)?;
    let Some(sealed) = table.get(run.as_str()).map_err(database)? else { return Ok(None) };
    let opened = Row { table: TABLE, key: run.as_str() }.open(keys, sealed.value())?;
    Ok(Some(opened.plain.to_vec()))
}
