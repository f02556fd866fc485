//! The table `audit`: the entries of the audit chain. Its rows are the chain's own bytes; what is
//! sealed in them is who it was about in words, the run, the trust level and the details.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::audit::{Broken, Chain, Header, Link, Verified};
use crate::domain::ids::{Digest, PersonId, RunId};
use crate::domain::principal::Trust;
use crate::domain::record::AuditEntry;
use crate::domain::time::Timestamp;
use crate::secrets::{Keys, Pseudonym};

use super::error::{StoreError, database};
use super::meta;
use super::row::Row;

const TABLE: &str = "audit";
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(TABLE);

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Castoff itself.
    Castoff,
    /// A person.
    Person(PersonId),
    /// Somebody who was forgotten since.
    Forgotten,
}

/// An entry of the audit chain, as it can be read today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Counted from 0.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub what: String,
    /// Who did it.
    pub actor: Actor,
    /// The sealed part; `None` when its key was destroyed.
    pub body: Option<AuditBody>,
    /// Of this entry and all before it.
    pub hash: Digest,
}

/// The sealed part of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBody {
    /// Trust level of the person at that time.
    pub trust: Option<Trust>,
    /// The run it is about, if any.
    pub run: Option<RunId>,
    /// Details.
    pub detail: serde_json::Value,
}

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(AUDIT).map(|_| ()).map_err(database)
}

/// Puts `entries` at the end of the chain, and moves the head.
pub(super) fn append<'a>(
    tx: &WriteTransaction,
    keys: &Keys,
    entries: impl Iterator<Item = &'a AuditEntry>,
) -> Result<(), StoreError> {
    let mut chain = meta::head_to_append(tx, keys)?;
    let mut table = tx.open_table(AUDIT).map_err(database)?;
    let last = table.last().map_err(database)?.map(|(seq, bytes)| (seq.value(), bytes.value().to_vec()));
    is_last(&chain, last.as_ref().map(|(seq, bytes)| (*seq, bytes.as_slice())))?;
    for entry in entries {
        let seq = chain.entries();
        let body = AuditBody { trust: entry.trust, run: entry.run.clone(), detail: entry.detail.clone() };
        let name = seq.to_string();
        let body = Row { table: TABLE, key: &name }.seal_json(keys, entry.person.as_ref(), &body)?;
        let pseudonym = entry.person.as_ref().and_then(|person| keys.pseudonym(person)).map(Pseudonym::as_number);
        let header = Header { seq, at: entry.at, what: entry.what.to_owned(), pseudonym };
        let bytes = chain.append(&header, &body)?;
        table.insert(seq, &bytes[..]).map_err(database)?;
    }
    meta::set_head(tx, keys, &chain)
}

/// The newest entries, newest first.
pub(super) fn newest(tx: &ReadTransaction, keys: &Keys, limit: usize) -> Result<Vec<Audited>, StoreError> {
    let table = tx.open_table(AUDIT).map_err(database)?;
    let rows = table.iter().map_err(database)?.rev().take(limit);
    rows.map(|row| row.map_err(database).and_then(|(seq, bytes)| read(keys, seq.value(), bytes.value()))).collect()
}

/// Walks all entries, and compares with the head in `meta`.
pub(super) fn verify(tx: &ReadTransaction, keys: &Keys) -> Result<Verified, Broken> {
    let mut chain = Chain::empty();
    let unreadable = |chain: &Chain, error: &StoreError| Broken { seq: chain.entries(), why: error.to_string() };
    let kept = meta::head(tx, keys).map_err(|error| unreadable(&chain, &error))?;
    let table = tx.open_table(AUDIT).map_err(|error| unreadable(&chain, &database(error)))?;
    for row in table.iter().map_err(|error| unreadable(&chain, &database(error)))? {
        let (seq, bytes) = row.map_err(|error| unreadable(&chain, &database(error)))?;
        chain.check(seq.value(), bytes.value())?;
    }
    chain.ends_at(&kept)
}

/// Whether the last kept entry is the one that the chain goes on from.
fn is_last(chain: &Chain, last: Option<(u64, &[u8])>) -> Result<(), Broken> {
    let broken = |seq: u64| Broken { seq, why: "it is not the one that the head was kept of".to_owned() };
    match (chain.entries().checked_sub(1), last) {
        (None, None) => Ok(()),
        (Some(seq), Some((key, bytes)))
            if key == seq && Link::parse(bytes).is_some_and(|link| link.hash == chain.head()) =>
        {
            Ok(())
        }
        (seq, _) => Err(broken(seq.unwrap_or(0))),
    }
}

fn read(keys: &Keys, seq: u64, bytes: &[u8]) -> Result<Audited, StoreError> {
    let name = seq.to_string();
    let row = Row { table: TABLE, key: &name };
    let Link { header, body, hash } = Link::parse(bytes).ok_or_else(|| row.tampered())?;
    let actor = match header.pseudonym {
        None => Actor::Castoff,
        Some(pseudonym) => {
            keys.person(Pseudonym::from_number(pseudonym)).cloned().map_or(Actor::Forgotten, Actor::Person)
        }
    };
    let body = if actor == Actor::Forgotten { None } else { Some(row.open_json(keys, &body)?) };
    Ok(Audited { seq, at: header.at, what: header.what, actor, body, hash })
}
