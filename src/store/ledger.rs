//! The table `ledger`: what models cost, a row for each call, by the day that it counts for.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::domain::money::LedgerEntry;
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "ledger";
const LEDGER: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new(TABLE);

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(LEDGER).map(|_| ()).map_err(database)
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, entry: &LedgerEntry) -> Result<(), StoreError> {
    let id = entry.call.as_str();
    let sealed = Row { table: TABLE, key: id }.seal_json(keys, None, entry)?;
    tx.open_table(LEDGER).map_err(database)?.insert((entry.day, id), &sealed[..]).map_err(database)?;
    Ok(())
}

/// From the day `since` on.
pub(super) fn since(tx: &ReadTransaction, keys: &Keys, since: u32) -> Result<Vec<LedgerEntry>, StoreError> {
    let table = tx.open_table(LEDGER).map_err(database)?;
    let rows = table.range((since, "")..).map_err(database)?;
    rows.map(|row| {
        let (key, sealed) = row.map_err(database)?;
        Row { table: TABLE, key: key.value().1 }.open_json(keys, sealed.value())
    })
    .collect()
}
