//! Claims about the data file against somebody who can write to it but has no key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::json;

use super::*;
use crate::domain::principal::Trust;
use crate::domain::record::{AuditEntry, RunState, VerdictRecord};
use crate::domain::script::Script;
use crate::domain::task::Task;
use crate::domain::time::Timestamp;

const RUNS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("runs");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn private_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn run(number: u8, person: &str) -> RunRecord {
    RunRecord {
        run: RunId::from_random([number; 11]),
        turn: TurnId::from_random([number; 11]),
        person: PersonId::try_from(person.to_owned()).unwrap(),
        rights_of: PersonId::owner(),
        asked_at: Timestamp::from_ms(u64::from(number)),
        task: Task::Script(Script::new(format!("echo {number}")).unwrap()),
        workdir: None,
        review: None,
        yes: false,
        verdict: None::<VerdictRecord>,
        plan: None,
        digest: None,
        state: RunState::Planning,
        end: None,
        landing: None,
        landings: Vec::new(),
        undone: Vec::new(),
        chat: None,
        stop_asked: false,
    }
}

fn audited(person: &str) -> Record {
    Record::Audit(AuditEntry {
        at: Timestamp::from_ms(5),
        person: Some(PersonId::try_from(person.to_owned()).unwrap()),
        trust: Some(Trust::Trusted),
        what: "run.asked",
        run: None,
        detail: json!({ "note": "hidden" }),
    })
}

/// A closed store with two people's runs and three audit entries.
fn filled() -> tempfile::TempDir {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    for (number, person) in [(1, "ann"), (2, "bob"), (3, "ann")] {
        store.commit(&[Record::Run(Box::new(run(number, person))), audited(person)]).unwrap();
    }
    dir
}

/// Changes the file as somebody without keys would.
fn tamper(dir: &Path, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::open(dir.join(DATA_FILE)).unwrap();
    let tx = database.begin_write().unwrap();
    change(&tx);
    tx.commit().unwrap();
}

fn entry(dir: &Path, seq: u64) -> Vec<u8> {
    let database = Database::open(dir.join(DATA_FILE)).unwrap();
    let tx = database.begin_read().unwrap();
    let table = tx.open_table(AUDIT).unwrap();
    table.get(seq).unwrap().unwrap().value().to_vec()
}

#[test]
fn a_row_that_was_changed_or_moved_does_not_open() {
    let (first, second) = (run(1, "ann").run, run(3, "ann").run);
    let moved = |tx: &WriteTransaction| {
        let mut table = tx.open_table(RUNS).unwrap();
        let bytes = table.get(second.as_str()).unwrap().unwrap().value().to_vec();
        table.insert(first.as_str(), &bytes[..]).unwrap();
    };
    let changed = |tx: &WriteTransaction| {
        let mut table = tx.open_table(RUNS).unwrap();
        let mut bytes = table.get(first.as_str()).unwrap().unwrap().value().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        table.insert(first.as_str(), &bytes[..]).unwrap();
    };
    for change in [&moved as &dyn Fn(&WriteTransaction), &changed] {
        let dir = filled();
        tamper(dir.path(), change);
        let store = Store::open(dir.path()).unwrap();
        let error = store.run(&first).unwrap_err();
        assert!(matches!(&error, StoreError::Tampered { table: "runs", row } if row == first.as_str()), "{error}");
        assert!(error.hint().is_some());
        assert!(store.runs(None, 10).is_err());
        assert!(store.run(&second).unwrap().is_some());
    }
}

#[test]
fn a_tampered_audit_table_is_found_and_nothing_more_is_kept() {
    type Change = fn(&WriteTransaction, &[Vec<u8>]);
    let cases: [(&str, Change); 6] = [
        ("changed", |tx, rows| {
            let mut bytes = rows[1].clone();
            bytes[20] ^= 1;
            tx.open_table(AUDIT).unwrap().insert(1, &bytes[..]).unwrap();
        }),
        ("removed", |tx, _| {
            tx.open_table(AUDIT).unwrap().remove(1).unwrap();
        }),
        ("swapped", |tx, rows| {
            let mut table = tx.open_table(AUDIT).unwrap();
            table.insert(0, &rows[1][..]).unwrap();
            table.insert(1, &rows[0][..]).unwrap();
        }),
        ("cut off", |tx, _| {
            tx.open_table(AUDIT).unwrap().remove(2).unwrap();
        }),
        ("emptied", |tx, _| tx.open_table(AUDIT).unwrap().retain(|_, _| false).unwrap()),
        ("added", |tx, rows| {
            tx.open_table(AUDIT).unwrap().insert(3, &rows[2][..]).unwrap();
        }),
    ];
    for (name, change) in cases {
        let dir = filled();
        let rows: Vec<_> = (0..3).map(|seq| entry(dir.path(), seq)).collect();
        tamper(dir.path(), |tx| change(tx, &rows));
        let store = Store::open(dir.path()).unwrap();
        assert!(store.audit_verify().is_err(), "{name}");
        if ["cut off", "emptied", "added"].contains(&name) {
            let error = store.commit(&[audited("ann")]).unwrap_err();
            assert!(matches!(error, StoreError::Chain(_)), "{name}: {error}");
        }
    }
}

#[test]
fn a_head_that_was_changed_is_found_and_nothing_more_is_kept() {
    let dir = filled();
    tamper(dir.path(), |tx| {
        let mut table = tx.open_table(META).unwrap();
        let mut bytes = table.get("audit-head").unwrap().unwrap().value().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        table.insert("audit-head", &bytes[..]).unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    assert!(store.audit_verify().is_err());
    assert!(store.commit(&[audited("ann")]).is_err());
}

#[test]
fn a_newer_file_and_another_programs_database_are_refused() {
    let dir = filled();
    tamper(dir.path(), |tx| {
        tx.open_table(META).unwrap().insert("schema", &9_u32.to_be_bytes()[..]).unwrap();
    });
    let before = std::fs::read(dir.path().join(DATA_FILE)).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9, known: 1, .. }), "{error}");
    assert!(before == std::fs::read(dir.path().join(DATA_FILE)).unwrap(), "the refusal changed the file");

    let dir = filled();
    tamper(dir.path(), |tx| {
        tx.delete_table(META).unwrap();
    });
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn the_chain_holds_when_a_persons_key_is_gone() {
    let dir = filled();
    let path = dir.path().join(crate::secrets::KEY_FILE);
    let mut keys: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // Castoff's own key, ann's, bob's.
    keys["keys"].as_array_mut().unwrap().remove(1);
    std::fs::write(&path, serde_json::to_vec(&keys).unwrap()).unwrap();

    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.audit_verify().unwrap(), store.audit_head().unwrap());
    let told: Vec<_> = store.audit_list(9).unwrap().into_iter().map(|e| (e.actor, e.body.is_some())).collect();
    let bob = Actor::Person(PersonId::try_from("bob".to_owned()).unwrap());
    assert_eq!(told, [(Actor::Forgotten, false), (bob, true), (Actor::Forgotten, false)]);
    assert!(matches!(store.run(&run(1, "ann").run), Err(StoreError::Tampered { .. })));
}
