//! The table `posts`: what people are shown in their chats, and what of it is not shown yet.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::domain::turn::{Post, PostState};
use crate::secrets::Keys;

use super::error::{StoreError, database};
use super::row::Row;

const TABLE: &str = "posts";
const POSTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);
/// Where a post came in the order of all.
const ORDER: TableDefinition<'_, &str, u64> = TableDefinition::new("posts_order");
const OPEN: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("posts_open");

pub(super) fn found(tx: &WriteTransaction) -> Result<(), StoreError> {
    tx.open_table(POSTS).map_err(database)?;
    tx.open_table(ORDER).map_err(database)?;
    tx.open_table(OPEN).map_err(database)?;
    Ok(())
}

pub(super) fn put(tx: &WriteTransaction, keys: &Keys, post: &Post) -> Result<(), StoreError> {
    let id = post.post.as_str();
    let sealed = Row { table: TABLE, key: id }.seal_json(keys, Some(&post.person), post)?;
    let mut posts = tx.open_table(POSTS).map_err(database)?;
    let mut order = tx.open_table(ORDER).map_err(database)?;
    let mut open = tx.open_table(OPEN).map_err(database)?;
    let known = order.get(id).map_err(database)?.map(|place| place.value());
    let place = match known {
        Some(place) => place,
        None => {
            let place = redb::ReadableTableMetadata::len(&posts).map_err(database)?;
            order.insert(id, place).map_err(database)?;
            place
        }
    };
    posts.insert(id, &sealed[..]).map_err(database)?;
    match post.state {
        PostState::Waiting | PostState::Sending => open.insert((place, id), ()).map_err(database)?,
        PostState::Shown | PostState::Lost => open.remove((place, id)).map_err(database)?,
    };
    Ok(())
}

pub(super) fn get(tx: &ReadTransaction, keys: &Keys, id: &str) -> Result<Option<Post>, StoreError> {
    let table = tx.open_table(POSTS).map_err(database)?;
    let Some(sealed) = table.get(id).map_err(database)? else { return Ok(None) };
    Row { table: TABLE, key: id }.open_json(keys, sealed.value()).map(Some)
}

/// Not shown as they are to be, in the order in which they came.
pub(super) fn open(tx: &ReadTransaction, keys: &Keys) -> Result<Vec<Post>, StoreError> {
    let table = tx.open_table(OPEN).map_err(database)?;
    let mut posts = Vec::new();
    for row in table.iter().map_err(database)? {
        let (place, _) = row.map_err(database)?;
        let id = place.value().1;
        posts.push(get(tx, keys, id)?.ok_or_else(|| Row { table: TABLE, key: id }.tampered())?);
    }
    Ok(posts)
}
