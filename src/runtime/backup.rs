//! Backups: on record first, so that the backup itself holds that it was made.

use serde_json::json;

use super::clock;
use crate::domain::principal::Principal;
use crate::domain::record::{AuditEntry, Record};
use crate::store::{Snapshot, Store, StoreError};

/// The store as it stands, checked; `by` is `None` where nobody but who may open the store asks.
///
/// # Errors
/// When the store cannot be written or copied, or could not be restored from such a copy.
pub fn snapshot(store: &Store, by: Option<&Principal>) -> Result<Snapshot, StoreError> {
    let now = clock::now();
    store.commit(&[Record::Audit(AuditEntry {
        at: now,
        person: by.map(|by| by.person.clone()),
        trust: by.map(|by| by.trust),
        what: "backup.asked",
        run: None,
        detail: json!({}),
    })])?;
    store.snapshot(now)
}
