//! Claims about what is kept, from outside: promises 14 and 16, and section 8 of the design.
#![cfg(test)]

mod backup;
mod full;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use castoff::domain::ids::{ApprovalId, Digest, PersonId, RunId, TurnId};
use castoff::domain::principal::Trust;
use castoff::domain::record::{
    ApprovalRecord, ApprovalState, AuditEntry, Outcome, OutputPiece, Record, RunRecord, RunState, Subject,
};
use castoff::domain::run::Stream;
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::domain::time::Timestamp;
use castoff::secrets::{KEY_FILE, MASTER_KEY_FILE, SecretsError};
use castoff::store::{Actor, AuditBody, DATA_FILE, Store, StoreError};
use serde_json::json;

fn private_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn person(name: &str) -> PersonId {
    PersonId::try_from(name.to_owned()).unwrap()
}

fn run(number: u8, who: &str, state: RunState) -> RunRecord {
    RunRecord {
        run: RunId::from_random([number; 11]),
        turn: TurnId::from_random([number / 2; 11]),
        person: person(who),
        rights_of: person(who),
        asked_at: Timestamp::from_ms(1000 + u64::from(number)),
        task: Task::Script(Script::new(format!("echo marzipan-{number}")).unwrap()),
        workdir: Some("/srv/work".into()),
        review: None,
        yes: false,
        verdict: None,
        plan: None,
        digest: Some(Digest::of(&[number])),
        state,
        end: None,
        landing: None,
        landings: Vec::new(),
        undone: Vec::new(),
        chat: None,
        stop_asked: false,
    }
}

fn approval(run: &RunRecord, state: ApprovalState) -> ApprovalRecord {
    ApprovalRecord {
        approval: ApprovalId::from_random([9; 11]),
        run: run.run.clone(),
        person: run.person.clone(),
        subject: Subject::Plan { digest: Digest::of(b"plan") },
        asked_at: Timestamp::from_ms(7),
        expires_at: Timestamp::from_ms(8),
        state,
    }
}

fn piece(run: &RunRecord, number: u32) -> OutputPiece {
    let parts = vec![(Stream::Stdout, b"nougat\xff".to_vec()), (Stream::Stderr, vec![0, 1])];
    OutputPiece { run: run.run.clone(), person: run.person.clone(), number, parts }
}

fn entry(who: Option<&str>) -> AuditEntry {
    AuditEntry {
        at: Timestamp::from_ms(1),
        person: who.map(person),
        trust: who.map(|_| Trust::Owner),
        what: "run.asked",
        run: Some(RunId::from_random([1; 11])),
        detail: json!({ "cake": "baumkuchen" }),
    }
}

fn kept(record: &RunRecord) -> [Record; 2] {
    [Record::Run(Box::new(record.clone())), Record::Audit(entry(Some(record.person.as_str())))]
}

/// The error, and what the directory holds before and after: nothing may be overwritten.
fn refused(dir: &Path) -> StoreError {
    let snapshot = || {
        let names = [DATA_FILE, KEY_FILE, MASTER_KEY_FILE];
        names.map(|name| std::fs::read(dir.join(name)).ok())
    };
    let before = snapshot();
    let error = Store::open(dir).expect_err("it must be refused");
    assert!(before == snapshot(), "a refusal changed a file");
    assert!(error.hint().is_some(), "no hint: {error}");
    error
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let dir = private_dir();
    let asking = RunState::Asking { approval: ApprovalId::from_random([9; 11]) };
    let (ann, bob) = (run(2, "ann", asking), run(3, "bob", RunState::Done { changes: Outcome::None }));
    let pending = approval(&ann, ApprovalState::Pending);
    let store = Store::open(dir.path()).unwrap();
    store.commit(&kept(&bob)).unwrap();
    store
        .commit(&[
            Record::Run(Box::new(ann.clone())),
            Record::Approval(pending.clone()),
            Record::Input { run: ann.run.clone(), person: ann.person.clone(), bytes: Some(b"stdin".to_vec()) },
            Record::Audit(entry(None)),
        ])
        .unwrap();
    store.commit(&[Record::Output(piece(&ann, 0)), Record::Output(piece(&ann, 1))]).unwrap();
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.runs(None, 10).unwrap(), [bob.clone(), ann.clone()]);
    assert_eq!(store.runs(None, 1).unwrap(), std::slice::from_ref(&bob));
    assert_eq!(store.runs(Some(&ann.person), 10).unwrap(), std::slice::from_ref(&ann));
    assert_eq!(store.runs(Some(&person("eve")), 10).unwrap(), []);
    assert_eq!(store.run(&bob.run).unwrap(), Some(bob.clone()));
    assert_eq!(store.open_runs().unwrap(), std::slice::from_ref(&ann));
    let prefix: String = ann.run.as_str().chars().take(3).collect();
    assert_eq!(store.find_run(&prefix).unwrap(), std::slice::from_ref(&ann.run));
    assert_eq!(store.find_run("r").unwrap().len(), 2);
    assert_eq!(store.find_run("x").unwrap(), []);
    assert_eq!(store.runs_of_turn(&ann.turn).unwrap().len(), 2);
    assert_eq!(store.approvals(true).unwrap(), std::slice::from_ref(&pending));
    assert_eq!(store.approval(&pending.approval).unwrap(), Some(pending.clone()));
    assert_eq!(store.run_of_approval(&pending.approval).unwrap(), Some(ann.clone()));
    assert_eq!(store.input(&ann.run).unwrap(), Some(b"stdin".to_vec()));
    assert_eq!(store.output(&ann.run, 0).unwrap(), [piece(&ann, 0), piece(&ann, 1)]);
    assert_eq!(store.output(&ann.run, 1).unwrap(), [piece(&ann, 1)]);

    let listed = store.audit_list(10).unwrap();
    let told: Vec<_> = listed.iter().map(|entry| (entry.seq, entry.actor.clone())).collect();
    assert_eq!(told, [(1, Actor::Castoff), (0, Actor::Person(bob.person))]);
    let body = AuditBody { trust: None, run: entry(None).run, detail: entry(None).detail };
    assert_eq!(listed[0].body, Some(body));
    assert_eq!(store.audit_verify().unwrap(), store.audit_head().unwrap());
    assert_eq!(store.audit_head().unwrap().entries, 2);
}

#[test]
fn a_newer_state_replaces_the_row_and_its_indexes() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let mut record = run(1, "ann", RunState::Running);
    store.commit(&kept(&record)).unwrap();
    record.state = RunState::Done { changes: Outcome::Applied };
    store.commit(&kept(&record)).unwrap();
    assert_eq!(store.open_runs().unwrap(), []);
    assert_eq!(store.runs(None, 10).unwrap(), std::slice::from_ref(&record));
    let input = |bytes| {
        let input = Record::Input { run: record.run.clone(), person: record.person.clone(), bytes };
        store.commit(&[input, Record::Audit(entry(None))]).unwrap();
        store.input(&record.run).unwrap()
    };
    assert_eq!(input(Some(vec![1])), Some(vec![1]));
    assert_eq!(input(None), None);
}

#[test]
fn a_settled_approval_is_never_pending_again() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let record = run(1, "ann", RunState::Planning);
    let keep = |state| store.commit(&[Record::Approval(approval(&record, state)), Record::Audit(entry(None))]);
    keep(ApprovalState::Pending).unwrap();
    keep(ApprovalState::Pending).unwrap();
    keep(ApprovalState::Expired).unwrap();
    assert!(matches!(keep(ApprovalState::Pending), Err(StoreError::Reopened { .. })));
    assert_eq!(store.approvals(true).unwrap(), []);
    assert_eq!(store.approvals(false).unwrap(), [approval(&record, ApprovalState::Expired)]);
    // Of the refused commit nothing was kept, the audit entry neither.
    assert_eq!(store.audit_verify().unwrap().entries, 3);
}

#[test]
fn nothing_but_output_is_kept_without_an_audit_entry() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let record = run(1, "ann", RunState::Planning);
    let unaudited = [Record::Run(Box::new(record.clone())), Record::Output(piece(&record, 0))];
    assert!(matches!(store.commit(&unaudited), Err(StoreError::Unaudited)));
    assert_eq!(store.run(&record.run).unwrap(), None);
    assert_eq!(store.output(&record.run, 0).unwrap(), []);
    store.commit(&[]).unwrap();
}

#[test]
fn no_word_and_no_name_can_be_read_in_any_file() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let record = run(1, "gwendolyn", RunState::Planning);
    store.commit(&kept(&record)).unwrap();
    let input =
        Record::Input { run: record.run.clone(), person: record.person.clone(), bytes: Some(b"praline".into()) };
    store.commit(&[input, Record::Output(piece(&record, 0)), Record::Audit(entry(Some("gwendolyn")))]).unwrap();
    drop(store);
    for name in [DATA_FILE, KEY_FILE] {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        for word in ["marzipan", "nougat", "praline", "baumkuchen", "gwendolyn", "/srv/work"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "`{word}` in {name}");
        }
    }
    for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_core_is_refused_until_the_first_is_gone() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let StoreError::Locked { by, .. } = refused(dir.path()) else { panic!("another refusal") };
    let us = format!("process {} on ", std::process::id());
    assert!(by.starts_with(&us) && by.contains(", since 20"), "it does not name the first: {by}");
    // A note that cannot be read changes nothing.
    std::fs::write(dir.path().join("in-use"), "\u{1b}[2J").unwrap();
    let StoreError::Locked { by, .. } = refused(dir.path()) else { panic!("another refusal") };
    assert!(!by.contains(char::is_control), "{by:?}");
    drop(store);
    assert!(!dir.path().join("in-use").exists());
    // What a crash left is not in the way.
    std::fs::write(dir.path().join("in-use"), "process 1 on elsewhere").unwrap();
    Store::open(dir.path()).unwrap();
}

#[test]
fn wrong_and_missing_keys_are_refused() {
    let other = private_dir();
    drop(Store::open(other.path()).unwrap());
    let with = |change: &dyn Fn(&Path)| {
        let dir = private_dir();
        Store::open(dir.path()).unwrap().commit(&kept(&run(1, "ann", RunState::Planning))).unwrap();
        change(dir.path());
        refused(dir.path())
    };
    let take = |dir: &Path, name: &str| {
        std::fs::copy(other.path().join(name), dir.join(name)).unwrap();
    };
    let error = with(&|dir| take(dir, MASTER_KEY_FILE));
    assert!(matches!(error, StoreError::Keys(SecretsError::WrongMasterKey { .. })), "{error}");
    let error = with(&|dir| [MASTER_KEY_FILE, KEY_FILE].iter().for_each(|name| take(dir, name)));
    assert!(matches!(error, StoreError::WrongKeys { .. }), "{error}");
    let error = with(&|dir| std::fs::remove_file(dir.join(MASTER_KEY_FILE)).unwrap());
    assert!(matches!(error, StoreError::Keys(SecretsError::MasterKeyMissing { .. })), "{error}");
    let error = with(&|dir| std::fs::remove_file(dir.join(KEY_FILE)).unwrap());
    assert!(matches!(error, StoreError::Keys(SecretsError::KeyFileMissing { .. })), "{error}");
    let error = with(&|dir| std::fs::write(dir.join(MASTER_KEY_FILE), b"short").unwrap());
    assert!(matches!(error, StoreError::Keys(SecretsError::Damaged { .. })), "{error}");
    let error = with(&|dir| {
        std::fs::set_permissions(dir.join(MASTER_KEY_FILE), std::fs::Permissions::from_mode(0o640)).unwrap();
    });
    assert!(matches!(error, StoreError::Keys(SecretsError::NotPrivate { .. })), "{error}");
}

#[test]
fn a_key_file_that_is_cut_off_or_changed_anywhere_is_refused_by_its_name() {
    let dir = private_dir();
    Store::open(dir.path()).unwrap().commit(&kept(&run(1, "ann", RunState::Planning))).unwrap();
    let key_file = dir.path().join(KEY_FILE);
    for name in [KEY_FILE, MASTER_KEY_FILE] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        let cuts = (0..whole.len()).map(|at| (at, whole[..at].to_vec()));
        let flips = (0..whole.len()).map(|at| {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            (at, changed)
        });
        for (at, bytes) in cuts.chain(flips) {
            std::fs::write(&path, &bytes).unwrap();
            let error = refused(dir.path());
            assert!(matches!(error, StoreError::Keys(_)), "{name}, byte {at}: {error:?}");
            let said = error.explained();
            // Of two files that do not fit each other nobody can say which one was changed.
            let named = [&path, &key_file].iter().any(|path| said.contains(&format!("`{}`", path.display())));
            assert!(named && said.contains("restore"), "{name}, byte {at}: {said}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    let whole = std::fs::read_to_string(&key_file).unwrap();
    std::fs::write(&key_file, whole.replace("\"version\": 1", "\"version\": 0")).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, StoreError::Keys(SecretsError::Damaged { .. })), "no newer one: {error}");
    std::fs::write(&key_file, whole).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().runs(None, 9).unwrap().len(), 1);
}

#[test]
fn foreign_and_torn_files_and_open_directories_are_refused() {
    let with = |change: &dyn Fn(&Path)| {
        let dir = private_dir();
        Store::open(dir.path()).unwrap().commit(&kept(&run(1, "ann", RunState::Planning))).unwrap();
        change(dir.path());
        refused(dir.path())
    };
    let error = with(&|dir| std::fs::write(dir.join(DATA_FILE), "not a database".repeat(1000)).unwrap());
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let error = with(&|dir| std::fs::write(dir.join(DATA_FILE), "").unwrap());
    assert!(matches!(error, StoreError::Foreign { .. } | StoreError::Torn { .. }), "{error}");
    for thousandths in [0, 1, 10, 100, 500, 900, 999] {
        let error = with(&|dir| {
            let file = std::fs::OpenOptions::new().write(true).open(dir.join(DATA_FILE)).unwrap();
            file.set_len(1 + file.metadata().unwrap().len() * thousandths / 1000).unwrap();
        });
        let fits = matches!(error, StoreError::Torn { .. } | StoreError::Foreign { .. });
        assert!(fits, "{thousandths}/1000 left: {error:?}");
    }
    let error = with(&|dir| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o750)).unwrap());
    assert!(matches!(error, StoreError::NotPrivate { .. }), "{error}");
}

#[test]
fn a_core_that_is_killed_keeps_every_commit_that_returned() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    for number in 1..=20 {
        store.commit(&kept(&run(number, "ann", RunState::Planning))).unwrap();
        // What a kill at this point leaves: the files as they are, never closed.
        let left = private_dir();
        for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
            std::fs::copy(dir.path().join(name), left.path().join(name)).unwrap();
        }
        let reopened = Store::open(left.path()).unwrap();
        assert_eq!(reopened.runs(None, 100).unwrap().len(), usize::from(number));
        assert_eq!(reopened.audit_verify().unwrap(), store.audit_head().unwrap());
    }
}

#[test]
fn what_a_crash_left_half_made_is_no_hindrance() {
    let dir = private_dir();
    for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
        std::fs::write(dir.path().join(format!("{name}.new")), "half").unwrap();
    }
    drop(Store::open(dir.path()).unwrap());
    // Killed after the keys, before the data file.
    std::fs::remove_file(dir.path().join(DATA_FILE)).unwrap();
    drop(Store::open(dir.path()).unwrap());
}

#[test]
fn a_data_file_that_is_lost_is_missed() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    store.commit(&kept(&run(1, "ann", RunState::Planning))).unwrap();
    drop(store);
    std::fs::rename(dir.path().join(DATA_FILE), dir.path().join("away")).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Missing { .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("castoff restore --force"));
    assert!(!dir.path().join(DATA_FILE).exists(), "nothing is made in its place");
    std::fs::rename(dir.path().join("away"), dir.path().join(DATA_FILE)).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().runs(None, 5).unwrap().len(), 1);
}

#[test]
fn a_damaged_page_is_refused_at_the_start_or_was_not_in_use() {
    let dir = private_dir();
    let (record, path) = (run(1, "ann", RunState::Planning), dir.path().join(DATA_FILE));
    let store = Store::open(dir.path()).unwrap();
    store.commit(&kept(&record)).unwrap();
    // What a crash leaves needs a repair before it can be read.
    let crashed = std::fs::read(&path).unwrap();
    drop(store);
    let closed = std::fs::read(&path).unwrap();
    assert!(crashed != closed);
    let page_bytes = 4096;
    for whole in [crashed, closed] {
        let mut refusals = 0;
        for page in 0..whole.len() / page_bytes {
            let mut damaged = whole.clone();
            let bytes = &mut damaged[page * page_bytes..(page + 1) * page_bytes];
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            std::fs::write(&path, &damaged).unwrap();
            match Store::open(dir.path()) {
                Ok(store) => {
                    assert_eq!(store.runs(None, 5).unwrap(), std::slice::from_ref(&record), "page {page}");
                    assert_eq!(store.audit_verify().unwrap().entries, 1, "page {page}");
                }
                Err(error) => {
                    let fits = matches!(error, StoreError::Torn { .. } | StoreError::Foreign { .. });
                    assert!(fits, "page {page}: {error}");
                    assert!(std::fs::read(&path).unwrap() == damaged, "page {page}: the refused file was changed");
                    refusals += 1;
                }
            }
        }
        assert!(refusals > 5, "{refusals} refusals");
    }
}
