//! The table `approvals`, and which of them wait for an answer. An approval that was settled is
//! never pending again.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::domain::record::{ApprovalRecord, ApprovalState};
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "approvals";
const APPROVALS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);
const PENDING: TableDefinition<'_, &str, ()> = TableDefinition::new("approvals_pending");

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(APPROVALS).map_err(database)?;
    tx.open_table(PENDING).map_err(database)?;
    Ok(())
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, record: &ApprovalRecord) -> Result<(), StoreError> {
    let id = record.approval.as_str();
    let sealed = Row { table: TABLE, key: id }.seal_json(keys, Some(&record.person), record)?;
    let mut approvals = tx.open_table(APPROVALS).map_err(database)?;
    let mut pending = tx.open_table(PENDING).map_err(database)?;
    let known = approvals.insert(id, &sealed[..]).map_err(database)?.is_some();
    if record.state != ApprovalState::Pending {
        pending.remove(id).map_err(database)?;
        return Ok(());
    }
    let waits = pending.insert(id, ()).map_err(database)?.is_some();
    // INVARIANT: an approval leaves `Pending` once, and never comes back.
    if known && !waits { Err(StoreError::Reopened { approval: record.approval.clone() }) } else { Ok(()) }
}

pub(super) fn get(tx: &ReadTransaction, keys: &Keys, id: &str) -> Result<Option<ApprovalRecord>, StoreError> {
    let table = tx.open_table(APPROVALS).map_err(database)?;
    let Some(sealed) = table.get(id).map_err(database)? else { return Ok(None) };
    Row { table: TABLE, key: id }.open_json(keys, sealed.value()).map(Some)
}

/// Oldest first.
pub(super) fn list(tx: &ReadTransaction, keys: &Keys, pending_only: bool) -> Result<Vec<ApprovalRecord>, StoreError> {
    let mut records = Vec::new();
    if pending_only {
        let table = tx.open_table(PENDING).map_err(database)?;
        for row in table.iter().map_err(database)? {
            let (id, _) = row.map_err(database)?;
            let row = Row { table: TABLE, key: id.value() };
            records.push(get(tx, keys, id.value())?.ok_or_else(|| row.tampered())?);
        }
    } else {
        let table = tx.open_table(APPROVALS).map_err(database)?;
        for row in table.iter().map_err(database)? {
            let (id, sealed) = row.map_err(database)?;
            records.push(Row { table: TABLE, key: id.value() }.open_json(keys, sealed.value())?);
        }
    }
    records.sort_by_key(|record: &ApprovalRecord| record.asked_at);
    Ok(records)
}
