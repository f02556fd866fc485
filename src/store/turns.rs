//! The table `turns`, and which of them are not over.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::domain::turn::TurnRecord;
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "turns";
const TURNS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);
const OPEN: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("turns_open");

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(TURNS).map_err(database)?;
    tx.open_table(OPEN).map_err(database)?;
    Ok(())
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, record: &TurnRecord) -> Result<(), StoreError> {
    let id = record.turn.as_str();
    let sealed = Row { table: TABLE, key: id }.seal_json(keys, Some(&record.person), record)?;
    tx.open_table(TURNS).map_err(database)?.insert(id, &sealed[..]).map_err(database)?;
    let mut open = tx.open_table(OPEN).map_err(database)?;
    let place = (record.asked_at.as_ms(), id);
    if record.state.is_over() {
        open.remove(place).map_err(database)?;
    } else {
        open.insert(place, ()).map_err(database)?;
    }
    Ok(())
}

pub(super) fn get(tx: &ReadTransaction, keys: &Keys, id: &str) -> Result<Option<TurnRecord>, StoreError> {
    let table = tx.open_table(TURNS).map_err(database)?;
    let Some(sealed) = table.get(id).map_err(database)? else { return Ok(None) };
    Row { table: TABLE, key: id }.open_json(keys, sealed.value()).map(Some)
}

/// Not over, oldest first.
pub(super) fn open(tx: &ReadTransaction, keys: &Keys) -> Result<Vec<TurnRecord>, StoreError> {
    let table = tx.open_table(OPEN).map_err(database)?;
    let mut turns = Vec::new();
    for row in table.iter().map_err(database)? {
        let (place, ()) = row.map(|(place, value)| (place, value.value())).map_err(database)?;
        let id = place.value().1;
        turns.push(get(tx, keys, id)?.ok_or_else(|| Row { table: TABLE, key: id }.tampered())?);
    }
    Ok(turns)
}
