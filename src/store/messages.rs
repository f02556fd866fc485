//! The table `messages`: people's conversations. Its keys are pseudonyms and numbers.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::domain::ids::PersonId;
use crate::domain::turn::{Body, Message};
use crate::secrets::{Keys, Pseudonym};

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "messages";
const MESSAGES: TableDefinition<'_, (u128, u64), &[u8]> = TableDefinition::new(TABLE);

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(MESSAGES).map(|_| ()).map_err(database)
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, message: &Message) -> Result<(), StoreError> {
    let name = message.number.to_string();
    let row = Row { table: TABLE, key: &name };
    let sealed = row.seal_json(keys, Some(&message.person), message)?;
    let who = keys.pseudonym(&message.person).ok_or_else(|| row.tampered())?.as_number();
    tx.open_table(MESSAGES).map_err(database)?.insert((who, message.number), &sealed[..]).map_err(database)?;
    Ok(())
}

/// The newest of one person, oldest first.
pub(super) fn newest(
    tx: &ReadTransaction,
    keys: &Keys,
    who: Pseudonym,
    limit: usize,
) -> Result<Vec<Message>, StoreError> {
    let mut left = limit;
    backwards(tx, keys, who.as_number(), |_| {
        left = left.saturating_sub(1);
        left > 0
    })
}

/// Of everybody: the newest summary and what it does not cover, oldest first.
pub(super) fn conversations(tx: &ReadTransaction, keys: &Keys) -> Result<Vec<(PersonId, Vec<Message>)>, StoreError> {
    let table = tx.open_table(MESSAGES).map_err(database)?;
    let (mut found, mut from) = (Vec::new(), (0, 0));
    while let Some(row) = table.range(from..).map_err(database)?.next() {
        let (who, _) = row.map_err(database)?.0.value();
        // Of a person who was forgotten nothing can be read.
        if let Some(person) = keys.person(Pseudonym::from_number(who)).cloned() {
            let mut covered = None;
            let messages = backwards(tx, keys, who, |message| {
                if let (None, Body::Summary { through, .. }) = (covered, &message.body) {
                    covered = Some(*through);
                }
                covered.is_none_or(|through| message.number > through + 1)
            })?;
            let is_needed = |message: &Message| {
                let older_summary = matches!(message.body, Body::Summary { through, .. } if Some(through) != covered);
                covered.is_none_or(|through| message.number > through) && !older_summary
            };
            found.push((person, messages.into_iter().filter(is_needed).collect()));
        }
        let Some(next) = who.checked_add(1) else { break };
        from = (next, 0);
    }
    Ok(found)
}

/// Reads from the newest message on for as long as `more` says so; oldest first.
fn backwards(
    tx: &ReadTransaction,
    keys: &Keys,
    who: u128,
    mut more: impl FnMut(&Message) -> bool,
) -> Result<Vec<Message>, StoreError> {
    let table = tx.open_table(MESSAGES).map_err(database)?;
    let mut messages = Vec::new();
    for row in table.range((who, 0)..=(who, u64::MAX)).map_err(database)?.rev() {
        let (key, sealed) = row.map_err(database)?;
        let name = key.value().1.to_string();
        let message: Message = Row { table: TABLE, key: &name }.open_json(keys, sealed.value())?;
        let goes_on = more(&message);
        messages.push(message);
        if !goes_on {
            break;
        }
    }
    messages.reverse();
    Ok(messages)
}
