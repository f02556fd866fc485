//! The store: one redb file, owned by the core. The only user of redb.
//!
//! ```text
//! records of one step ─▶ commit ─▶ keys for new people ─▶ one transaction: rows, indexes, chain, head
//! ```
//!
//! A value that holds a person's words or a run's output is sealed with that person's key; what
//! stands in clear are random ids, times and pseudonyms. It owns the directory it is opened in
//! (the data file, and through `secrets` the keys). It refuses to keep anything without an audit
//! entry, to open a file that is not its own, and to overwrite what it does not understand.

mod approvals;
mod backup;
mod entries;
mod error;
mod inputs;
mod learned;
mod ledger;
mod messages;
mod meta;
mod opening;
mod output;
mod posts;
mod rehearsal;
mod restoring;
mod row;
mod runs;
mod settings;
#[cfg(test)]
mod tests;
mod turns;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadTransaction, ReadableDatabase as _, WriteTransaction};

use crate::audit::{Broken, Verified};
use crate::domain::ids::{ApprovalId, PersonId, PostId, RunId, TurnId};
use crate::domain::learned::LearnedRule;
use crate::domain::money::LedgerEntry;
use crate::domain::record::{ApprovalRecord, OutputPiece, Record, RunRecord, SettingName};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Message, Post, TurnRecord};
use crate::secrets::Keys;

pub use backup::{About, BACKUP_FORM, Snapshot};
pub use entries::{Actor, AuditBody, Audited};
pub use error::StoreError;
pub use restoring::{OldData, Restored, restore};

pub use crate::secrets::MASTER_KEY_FILE;

/// The version of the store's form: of what its tables mean.
pub const SCHEMA: u32 = meta::SCHEMA;
/// Name of the data file.
pub const DATA_FILE: &str = "castoff.redb";
/// Most ids that [`Store::find_run`] gives: more than one is a question to the person anyway.
pub const FOUND_RUNS_MAX: usize = 16;

/// All that Castoff remembers. Shared by reference: commits wait for each other, reads for nobody.
pub struct Store {
    dir: PathBuf,
    database: Database,
    keys: RwLock<Keys>,
    /// Released last, when the database is closed.
    _lock: opening::Lock,
}

impl Store {
    /// The store in `dir`, which must be ours with mode 0700; made when there is nothing in it yet.
    ///
    /// # Errors
    /// [`StoreError`] when another core has it, when a key is missing or wrong, or when the data
    /// file is foreign, newer or torn. Nothing is overwritten then.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let opening::Opened { lock, keys, database } = opening::open(dir)?;
        Ok(Self { dir: dir.to_owned(), database, keys: RwLock::new(keys), _lock: lock })
    }

    /// Keeps all `records`, or none. When this returns, they are on the disk.
    ///
    /// # Errors
    /// [`StoreError::Unaudited`] when something but output changes without an audit entry;
    /// otherwise when it cannot be written. After an error nothing of it is kept, and what was to
    /// follow must not be done.
    pub fn commit(&self, records: &[Record]) -> Result<(), StoreError> {
        let only_output = records.iter().all(|record| matches!(record, Record::Output(_)));
        let audited = records.iter().any(|record| matches!(record, Record::Audit(_)));
        if records.is_empty() {
            return Ok(());
        }
        if !only_output && !audited {
            return Err(StoreError::Unaudited);
        }
        self.ensure_keys(records)?;
        let keys = self.keys();
        let tx = opening::write(&self.database)?;
        for record in records {
            put(&tx, &keys, record)?;
        }
        if audited {
            entries::append(
                &tx,
                &keys,
                records.iter().filter_map(|record| if let Record::Audit(entry) = record { Some(entry) } else { None }),
            )?;
        }
        tx.commit().map_err(error::database)
    }

    /// At most `limit` runs, of `person` or of everybody, newest first.
    ///
    /// # Errors
    /// When a row cannot be read or was changed outside Castoff. So for all reads below.
    pub fn runs(&self, person: Option<&PersonId>, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        let keys = self.keys();
        let who = match person.map(|person| keys.pseudonym(person)) {
            // Nothing was ever kept of them.
            Some(None) => return Ok(Vec::new()),
            Some(who) => who,
            None => None,
        };
        runs::newest(&self.read()?, &keys, who, limit)
    }

    /// At most `limit` runs that were asked for at `since` or later, newest first.
    pub fn runs_since(&self, since: Timestamp, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        runs::since(&self.read()?, &self.keys(), since.as_ms(), limit)
    }

    /// One run.
    pub fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        runs::get(&self.read()?, &self.keys(), run.as_str())
    }

    /// Ids of runs that start with `prefix`, at most [`FOUND_RUNS_MAX`].
    pub fn find_run(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        runs::find(&self.read()?, prefix, FOUND_RUNS_MAX)
    }

    /// Runs that are neither done nor refused, oldest first.
    pub fn open_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        runs::open(&self.read()?, &self.keys())
    }

    /// The runs of a turn.
    pub fn runs_of_turn(&self, turn: &TurnId) -> Result<Vec<RunId>, StoreError> {
        runs::of_turn(&self.read()?, turn)
    }

    /// The run that an approval is about.
    pub fn run_of_approval(&self, approval: &ApprovalId) -> Result<Option<RunRecord>, StoreError> {
        let (tx, keys) = (self.read()?, self.keys());
        match approvals::get(&tx, &keys, approval.as_str())? {
            Some(record) => runs::get(&tx, &keys, record.run.as_str()),
            None => Ok(None),
        }
    }

    /// Approvals, oldest first: those that wait for an answer, or all.
    pub fn approvals(&self, pending_only: bool) -> Result<Vec<ApprovalRecord>, StoreError> {
        approvals::list(&self.read()?, &self.keys(), pending_only)
    }

    /// One approval.
    pub fn approval(&self, approval: &ApprovalId) -> Result<Option<ApprovalRecord>, StoreError> {
        approvals::get(&self.read()?, &self.keys(), approval.as_str())
    }

    /// Standard input that was kept for a run.
    pub fn input(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        inputs::get(&self.read()?, &self.keys(), run)
    }

    /// The pieces of a run's output from `from_number` on, in order.
    pub fn output(&self, run: &RunId, from_number: u32) -> Result<Vec<OutputPiece>, StoreError> {
        output::from(&self.read()?, &self.keys(), run, from_number)
    }

    /// Each person's conversation as a prompt needs it: the newest summary and what it does not cover,
    /// oldest first.
    pub fn conversations(&self) -> Result<Vec<(PersonId, Vec<Message>)>, StoreError> {
        messages::conversations(&self.read()?, &self.keys())
    }

    /// At most `limit` of the newest messages of `person`, oldest first.
    pub fn messages(&self, person: &PersonId, limit: usize) -> Result<Vec<Message>, StoreError> {
        let keys = self.keys();
        let Some(who) = keys.pseudonym(person) else { return Ok(Vec::new()) };
        messages::newest(&self.read()?, &keys, who, limit)
    }

    /// One turn.
    pub fn turn(&self, turn: &TurnId) -> Result<Option<TurnRecord>, StoreError> {
        turns::get(&self.read()?, &self.keys(), turn.as_str())
    }

    /// Turns that are not over, oldest first.
    pub fn open_turns(&self) -> Result<Vec<TurnRecord>, StoreError> {
        turns::open(&self.read()?, &self.keys())
    }

    /// The ledger from the day `since` (as `20261125`) on, in the order of days.
    pub fn ledger(&self, since: u32) -> Result<Vec<LedgerEntry>, StoreError> {
        ledger::since(&self.read()?, &self.keys(), since)
    }

    /// One post.
    pub fn post(&self, post: &PostId) -> Result<Option<Post>, StoreError> {
        posts::get(&self.read()?, &self.keys(), post.as_str())
    }

    /// Posts that are not shown as they are to be, in the order in which they came.
    pub fn open_posts(&self) -> Result<Vec<Post>, StoreError> {
        posts::open(&self.read()?, &self.keys())
    }

    /// A setting that was made at the command line or in a chat.
    pub fn setting(&self, name: &SettingName) -> Result<Option<String>, StoreError> {
        settings::get(&self.read()?, &self.keys(), name)
    }

    /// Daily budgets that the owner set, in micro-dollars, by provider.
    pub fn daily_budgets(&self) -> Result<Vec<(String, String)>, StoreError> {
        settings::below(&self.read()?, &self.keys(), "daily-budget/")
    }

    /// What people allowed always, oldest first.
    pub fn learned(&self) -> Result<Vec<LearnedRule>, StoreError> {
        learned::list(&self.read()?, &self.keys())
    }

    /// At most `limit` entries of the audit chain, newest first.
    pub fn audit_list(&self, limit: usize) -> Result<Vec<Audited>, StoreError> {
        entries::newest(&self.read()?, &self.keys(), limit)
    }

    /// Walks the whole audit chain.
    ///
    /// # Errors
    /// [`Broken`] at the first entry that does not hold, or cannot be read.
    pub fn audit_verify(&self) -> Result<Verified, Broken> {
        let tx = self.read().map_err(|error| Broken { seq: 0, why: error.to_string() })?;
        entries::verify(&tx, &self.keys())
    }

    /// Where the audit chain stands, without walking it.
    pub fn audit_head(&self) -> Result<Verified, StoreError> {
        let chain = meta::head(&self.read()?, &self.keys())?;
        Ok(Verified { entries: chain.entries(), head: chain.head() })
    }

    /// Makes keys for those of whom nothing was kept yet.
    fn ensure_keys(&self, records: &[Record]) -> Result<(), StoreError> {
        let people = || records.iter().filter_map(sealed_for);
        if people().all(|person| self.keys().knows(person)) {
            return Ok(());
        }
        Ok(self.keys.write().unwrap_or_else(PoisonError::into_inner).ensure(people())?)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        // A panic elsewhere does not change the keys: they change in one step.
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read().map_err(error::database)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Whose key seals a record.
fn sealed_for(record: &Record) -> Option<&PersonId> {
    match record {
        Record::Run(run) => Some(&run.person),
        Record::Output(piece) => Some(&piece.person),
        Record::Approval(approval) => Some(&approval.person),
        Record::Input { person, .. } | Record::Learned { person, .. } => Some(person),
        Record::Message(message) => Some(&message.person),
        Record::Turn(turn) => Some(&turn.person),
        Record::Post(post) => Some(&post.person),
        // The installation's: what was spent stays spent when a person is forgotten.
        Record::Ledger(_) | Record::Setting { .. } => None,
        Record::Audit(entry) => entry.person.as_ref(),
    }
}

fn put(tx: &WriteTransaction, keys: &Keys, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Run(run) => runs::put(tx, keys, run),
        Record::Output(piece) => output::put(tx, keys, piece),
        Record::Approval(approval) => approvals::put(tx, keys, approval),
        Record::Input { run, person, bytes } => inputs::put(tx, keys, (run, person), bytes.as_deref()),
        Record::Learned { rule, kept, .. } => learned::put(tx, keys, rule, kept.as_deref()),
        Record::Message(message) => messages::put(tx, keys, message),
        Record::Turn(turn) => turns::put(tx, keys, turn),
        Record::Ledger(entry) => ledger::put(tx, keys, entry),
        Record::Post(post) => posts::put(tx, keys, post),
        Record::Setting { name, value } => settings::put(tx, keys, name, value.as_deref()),
        // All at once, when the rows are in place.
        Record::Audit(_) => Ok(()),
    }
}
