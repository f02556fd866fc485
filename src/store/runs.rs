//! The table `runs`, and what finds its rows: by time, by person, by turn, and those that are open.
//! The index rows hold random ids, times and pseudonyms, and no word of anybody's.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::domain::ids::{RunId, TurnId};
use crate::domain::record::RunRecord;
use crate::secrets::{Keys, Pseudonym};

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "runs";
const RUNS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);
/// Where a run stands in the indexes below: pseudonym and time.
const PLACES: TableDefinition<'_, &str, (u128, u64)> = TableDefinition::new("runs_places");
const BY_TIME: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("runs_by_time");
const BY_PERSON: TableDefinition<'_, (u128, u64, &str), ()> = TableDefinition::new("runs_by_person");
const BY_TURN: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("runs_by_turn");
const OPEN: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("runs_open");

/// Sorts after every id.
const LAST: &str = "~";

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(RUNS).map_err(database)?;
    tx.open_table(PLACES).map_err(database)?;
    tx.open_table(BY_TIME).map_err(database)?;
    tx.open_table(BY_PERSON).map_err(database)?;
    tx.open_table(BY_TURN).map_err(database)?;
    tx.open_table(OPEN).map_err(database)?;
    Ok(())
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, record: &RunRecord) -> Result<(), StoreError> {
    let id = record.run.as_str();
    let row = Row { table: TABLE, key: id };
    let sealed = row.seal_json(keys, Some(&record.person), record)?;
    let who = keys.pseudonym(&record.person).ok_or_else(|| row.tampered())?.as_number();
    let at = record.asked_at.as_ms();
    tx.open_table(RUNS).map_err(database)?.insert(id, &sealed[..]).map_err(database)?;

    let mut by_time = tx.open_table(BY_TIME).map_err(database)?;
    let mut by_person = tx.open_table(BY_PERSON).map_err(database)?;
    let mut open = tx.open_table(OPEN).map_err(database)?;
    let mut places = tx.open_table(PLACES).map_err(database)?;
    let before = places.insert(id, (who, at)).map_err(database)?.map(|place| place.value());
    if let Some((who, at)) = before {
        by_time.remove((at, id)).map_err(database)?;
        by_person.remove((who, at, id)).map_err(database)?;
        open.remove((at, id)).map_err(database)?;
    }
    by_time.insert((at, id), ()).map_err(database)?;
    by_person.insert((who, at, id), ()).map_err(database)?;
    if !record.state.is_over() {
        open.insert((at, id), ()).map_err(database)?;
    }
    tx.open_table(BY_TURN).map_err(database)?.insert((record.turn.as_str(), id), ()).map_err(database)?;
    Ok(())
}

pub(super) fn get(tx: &ReadTransaction, keys: &Keys, run: &str) -> Result<Option<RunRecord>, StoreError> {
    let table = tx.open_table(RUNS).map_err(database)?;
    let Some(sealed) = table.get(run).map_err(database)? else { return Ok(None) };
    Row { table: TABLE, key: run }.open_json(keys, sealed.value()).map(Some)
}

/// Newest first.
pub(super) fn newest(
    tx: &ReadTransaction,
    keys: &Keys,
    who: Option<Pseudonym>,
    limit: usize,
) -> Result<Vec<RunRecord>, StoreError> {
    let mut runs = Vec::new();
    if let Some(who) = who.map(Pseudonym::as_number) {
        let table = tx.open_table(BY_PERSON).map_err(database)?;
        for row in table.range((who, 0, "")..=(who, u64::MAX, LAST)).map_err(database)?.rev().take(limit) {
            runs.push(indexed(tx, keys, row.map_err(database)?.0.value().2)?);
        }
    } else {
        let table = tx.open_table(BY_TIME).map_err(database)?;
        for row in table.iter().map_err(database)?.rev().take(limit) {
            runs.push(indexed(tx, keys, row.map_err(database)?.0.value().1)?);
        }
    }
    Ok(runs)
}

/// Asked for at `since_ms` or later, newest first.
pub(super) fn since(
    tx: &ReadTransaction,
    keys: &Keys,
    since_ms: u64,
    limit: usize,
) -> Result<Vec<RunRecord>, StoreError> {
    let table = tx.open_table(BY_TIME).map_err(database)?;
    let rows = table.range((since_ms, "")..).map_err(database)?.rev().take(limit);
    rows.map(|row| indexed(tx, keys, row.map_err(database)?.0.value().1)).collect()
}

/// Neither done nor refused, oldest first.
pub(super) fn open(tx: &ReadTransaction, keys: &Keys) -> Result<Vec<RunRecord>, StoreError> {
    let table = tx.open_table(OPEN).map_err(database)?;
    let rows = table.iter().map_err(database)?;
    rows.map(|row| indexed(tx, keys, row.map_err(database)?.0.value().1)).collect()
}

pub(super) fn of_turn(tx: &ReadTransaction, turn: &TurnId) -> Result<Vec<RunId>, StoreError> {
    let table = tx.open_table(BY_TURN).map_err(database)?;
    let rows = table.range((turn.as_str(), "")..=(turn.as_str(), LAST)).map_err(database)?;
    rows.map(|row| run_id(row.map_err(database)?.0.value().1)).collect()
}

/// Ids that start with `prefix`, at most `limit`.
pub(super) fn find(tx: &ReadTransaction, prefix: &str, limit: usize) -> Result<Vec<RunId>, StoreError> {
    let table = tx.open_table(RUNS).map_err(database)?;
    let mut found = Vec::new();
    for row in table.range(prefix..).map_err(database)?.take(limit) {
        let (id, _) = row.map_err(database)?;
        if !id.value().starts_with(prefix) {
            break;
        }
        found.push(run_id(id.value())?);
    }
    Ok(found)
}

/// A run that an index names: it must be there.
fn indexed(tx: &ReadTransaction, keys: &Keys, run: &str) -> Result<RunRecord, StoreError> {
    get(tx, keys, run)?.ok_or_else(|| Row { table: TABLE, key: run }.tampered())
}

fn run_id(text: &str) -> Result<RunId, StoreError> {
    RunId::try_from(text.to_owned()).map_err(|error| Row { table: TABLE, key: text }.unreadable(&error))
}
