//! The table `learned`: what people allowed always, each sealed with the key of the person for whom it
//! counts.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::domain::ids::RuleId;
use crate::domain::learned::LearnedRule;
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "learned";
const LEARNED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(LEARNED).map(|_| ()).map_err(database)
}

pub(super) fn put(
    tx: &WriteTransaction,
    keys: &Keys,
    rule: &RuleId,
    kept: Option<&LearnedRule>,
) -> Result<(), StoreError> {
    let id = rule.as_str();
    let mut table = tx.open_table(LEARNED).map_err(database)?;
    match kept {
        Some(kept) => {
            let sealed = Row { table: TABLE, key: id }.seal_json(keys, Some(&kept.person), kept)?;
            table.insert(id, &sealed[..]).map_err(database)?;
        }
        None => {
            table.remove(id).map_err(database)?;
        }
    }
    Ok(())
}

/// Oldest first.
pub(super) fn list(tx: &ReadTransaction, keys: &Keys) -> Result<Vec<LearnedRule>, StoreError> {
    let table = tx.open_table(LEARNED).map_err(database)?;
    let mut rules = Vec::new();
    for row in table.iter().map_err(database)? {
        let (id, sealed) = row.map_err(database)?;
        rules.push(Row { table: TABLE, key: id.value() }.open_json(keys, sealed.value())?);
    }
    rules.sort_by_key(|rule: &LearnedRule| rule.at);
    Ok(rules)
}
