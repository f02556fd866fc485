//! The table `settings`: what was set at the command line or in a chat, keys of providers too. Sealed
//! with the installation's key.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::domain::record::SettingName;
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "settings";
const SETTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(SETTINGS).map(|_| ()).map_err(database)
}

pub(super) fn put(
    tx: &WriteTransaction,
    keys: &Keys,
    name: &SettingName,
    value: Option<&str>,
) -> Result<(), StoreError> {
    let key = name.key();
    let mut table = tx.open_table(SETTINGS).map_err(database)?;
    match value {
        Some(value) => {
            let sealed = Row { table: TABLE, key: &key }.seal(keys, None, value.as_bytes())?;
            table.insert(key.as_str(), &sealed[..]).map_err(database)?;
        }
        None => {
            table.remove(key.as_str()).map_err(database)?;
        }
    }
    Ok(())
}

pub(super) fn get(tx: &ReadTransaction, keys: &Keys, name: &SettingName) -> Result<Option<String>, StoreError> {
    let key = name.key();
    let table = tx.open_table(SETTINGS).map_err(database)?;
    let Some(sealed) = table.get(key.as_str()).map_err(database)? else { return Ok(None) };
    let row = Row { table: TABLE, key: &key };
    let opened = row.open(keys, sealed.value())?;
    String::from_utf8(opened.plain.to_vec()).map(Some).map_err(|error| row.unreadable(&error))
}

/// Those whose key begins with `prefix`: the rest of the key, and the value.
pub(super) fn below(tx: &ReadTransaction, keys: &Keys, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
    let table = tx.open_table(SETTINGS).map_err(database)?;
    let mut found = Vec::new();
    for row in table.range(prefix..).map_err(database)? {
        let (key, sealed) = row.map_err(database)?;
        let Some(rest) = key.value().strip_prefix(prefix) else { break };
        let row = Row { table: TABLE, key: key.value() };
        let opened = row.open(keys, sealed.value())?;
        let value = String::from_utf8(opened.plain.to_vec()).map_err(|error| row.unreadable(&error))?;
        found.push((rest.to_owned(), value));
    }
    Ok(found)
}
