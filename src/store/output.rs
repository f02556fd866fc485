//! The table `output`: pieces of runs' output, as they came. How much is kept is the caller's to say.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::domain::ids::RunId;
use crate::domain::record::OutputPiece;
use crate::domain::run::Stream;
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "output";
const OUTPUT: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new(TABLE);

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(OUTPUT).map(|_| ()).map_err(database)
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, piece: &OutputPiece) -> Result<(), StoreError> {
    let name = name(piece.run.as_str(), piece.number);
    let row = Row { table: TABLE, key: &name };
    // Not JSON: it would make four bytes of each one.
    let plain = postcard::to_stdvec(&piece.parts).map_err(|error| row.unreadable(&error))?;
    let sealed = row.seal(keys, Some(&piece.person), &zeroize::Zeroizing::new(plain))?;
    let mut table = tx.open_table(OUTPUT).map_err(database)?;
    table.insert((piece.run.as_str(), piece.number), &sealed[..]).map_err(database)?;
    Ok(())
}

/// The pieces of `run` from number `from` on, in order.
pub(super) fn from(tx: &ReadTransaction, keys: &Keys, run: &RunId, from: u32) -> Result<Vec<OutputPiece>, StoreError> {
    let table = tx.open_table(OUTPUT).map_err(database)?;
    let rows = table.range((run.as_str(), from)..=(run.as_str(), u32::MAX)).map_err(database)?;
    let piece = |number: u32, sealed: &[u8]| -> Result<OutputPiece, StoreError> {
        let name = name(run.as_str(), number);
        let row = Row { table: TABLE, key: &name };
        let opened = row.open(keys, sealed)?;
        let parts: Vec<(Stream, Vec<u8>)> =
            postcard::from_bytes(&opened.plain).map_err(|error| row.unreadable(&error))?;
        let person = opened.person.ok_or_else(|| row.tampered())?;
        Ok(OutputPiece { run: run.clone(), person, number, parts })
    };
    let mut pieces = Vec::new();
    for row in rows {
        let (key, sealed) = row.map_err(database)?;
        pieces.push(piece(key.value().1, sealed.value())?);
    }
    Ok(pieces)
}

fn name(run: &str, number: u32) -> String {
    format!("{run}/{number}")
}
