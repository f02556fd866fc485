//! Claims about backups: what is restored is what was there, whenever the backup was made, and what is
//! no whole backup of a fit store changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use castoff::store::{BACKUP_FORM, OldData, Restored, restore};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);

fn backup_of(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot(Timestamp::from_ms(77)).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

/// A store with a run, its output and its question.
fn filled() -> tempfile::TempDir {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let asking = RunState::Asking { approval: ApprovalId::from_random([9; 11]) };
    let record = run(2, "ann", asking);
    store.commit(&kept(&record)).unwrap();
    store
        .commit(&[
            Record::Approval(approval(&record, ApprovalState::Pending)),
            Record::Output(piece(&record, 0)),
            Record::Audit(entry(Some("ann"))),
        ])
        .unwrap();
    dir
}

/// A directory with nothing but a copy of the master key of `of`.
fn with_key_of(of: &Path) -> tempfile::TempDir {
    let dir = private_dir();
    std::fs::copy(of.join(MASTER_KEY_FILE), dir.path().join(MASTER_KEY_FILE)).unwrap();
    dir
}

fn restored(dir: &Path, backup: &[u8], old: OldData) -> Result<Restored, StoreError> {
    restore(dir, backup, None, old, NOW)
}

/// Everything below a directory.
fn all(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(all(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The refusal of a backup by a directory with data that it opens and is told to replace: of which
/// nothing may change.
fn refusal(of: &tempfile::TempDir, backup: &[u8], what: &str) -> StoreError {
    let before = all(of.path());
    let error = restored(of.path(), backup, OldData::Aside).err().unwrap_or_else(|| panic!("{what}: it was restored"));
    assert!(before == all(of.path()), "{what}: the refusal changed something: {error}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{what}: no hint: {error}");
    error
}

#[test]
fn what_is_restored_is_what_was_there() {
    let old = filled();
    let store = Store::open(old.path()).unwrap();
    let backup = backup_of(&store);
    let new = with_key_of(old.path());
    let Restored { about, audit, aside } = restored(new.path(), &backup, OldData::Stays).unwrap();
    assert_eq!((about.form, about.made_at, aside), (BACKUP_FORM, Timestamp::from_ms(77), None));
    let again = Store::open(new.path()).unwrap();
    assert_eq!(again.runs(None, 9).unwrap(), store.runs(None, 9).unwrap());
    assert_eq!(again.approvals(false).unwrap(), store.approvals(false).unwrap());
    let record = run(2, "ann", RunState::Planning);
    assert_eq!(again.output(&record.run, 0).unwrap(), [piece(&record, 0)]);
    // One entry more: that it was restored.
    assert_eq!(again.audit_verify().unwrap(), audit);
    assert_eq!(audit.entries, store.audit_head().unwrap().entries + 1);
    assert_eq!(again.audit_list(1).unwrap()[0].what, "store.restored");
    assert!(again.was_just_restored().unwrap() && !store.was_just_restored().unwrap());
    drop(again);
    let names: Vec<_> =
        all(new.path()).into_keys().filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect();
    assert_eq!(names, [DATA_FILE, KEY_FILE, MASTER_KEY_FILE].map(std::ffi::OsString::from), "something is left");
    for path in all(new.path()).keys() {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn the_master_key_is_not_in_it_and_another_one_opens_nothing() {
    let old = filled();
    let backup = backup_of(&Store::open(old.path()).unwrap());
    let key = std::fs::read(old.path().join(MASTER_KEY_FILE)).unwrap();
    assert!(!backup.windows(key.len()).any(|window| window == key));

    let bare = private_dir();
    let error = restored(bare.path(), &backup, OldData::Stays).unwrap_err();
    assert!(matches!(error, StoreError::Keys(SecretsError::MasterKeyMissing { .. })), "{error}");
    assert!(error.is_about_a_backup() && all(bare.path()).is_empty());

    let other = private_dir();
    drop(Store::open(other.path()).unwrap());
    let error = refusal(&other, &backup, "another installation's");
    assert!(error.hint().unwrap().contains("--master-key"), "{error}: {:?}", error.hint());
    // With its key named it is restored there, and what was there is aside, its key too.
    let before = all(other.path());
    let copy = old.path().join(MASTER_KEY_FILE);
    let Restored { aside, .. } = restore(other.path(), &backup[..], Some(&copy), OldData::Aside, NOW).unwrap();
    assert_eq!(Store::open(other.path()).unwrap().runs(None, 9).unwrap().len(), 1);
    let aside = aside.unwrap();
    for (path, bytes) in before {
        assert!(std::fs::read(aside.join(path.file_name().unwrap())).unwrap() == bytes, "{}", path.display());
    }
    drop(Store::open(&aside).expect("what is aside is a store as before"));
}

#[test]
fn data_is_replaced_only_when_told_to_and_then_kept() {
    let dir = filled();
    let store = Store::open(dir.path()).unwrap();
    let backup = backup_of(&store);
    store.commit(&kept(&run(5, "ann", RunState::Planning))).unwrap();
    let error = restored(dir.path(), &backup, OldData::Aside).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(store);
    let before = all(dir.path());
    let error = restored(dir.path(), &backup, OldData::Stays).unwrap_err();
    assert!(matches!(error, StoreError::Occupied { .. }) && error.hint().is_some(), "{error}");
    assert!(before == all(dir.path()));
    // What a restore left that was killed while it unpacked.
    std::fs::create_dir(dir.path().join("restore-AbCdEf")).unwrap();
    let Restored { aside, .. } = restored(dir.path(), &backup, OldData::Aside).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().runs(None, 9).unwrap().len(), 1);
    assert_eq!(Store::open(&aside.unwrap()).unwrap().runs(None, 9).unwrap().len(), 2);
    assert!(!dir.path().join("restore-AbCdEf").exists());
    // A key file alone is data, too.
    std::fs::remove_file(dir.path().join(DATA_FILE)).unwrap();
    assert!(matches!(restored(dir.path(), &backup, OldData::Stays), Err(StoreError::Occupied { .. })));
}

#[test]
fn a_backup_in_the_middle_of_the_work_is_of_one_moment() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    store.commit(&kept(&run(0, "p0", RunState::Planning))).unwrap();
    let over = AtomicBool::new(false);
    let backups = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (1..=250).take_while(|_| !over.load(Ordering::Relaxed)) {
                // A new person each time: the key file changes with every commit.
                store.commit(&kept(&run(number, &format!("p{number}"), RunState::Planning))).unwrap();
            }
        });
        let backups: Vec<_> = (0..8).map(|_| backup_of(&store)).collect();
        over.store(true, Ordering::Relaxed);
        backups
    });
    let mut counts = Vec::new();
    for backup in backups {
        let new = with_key_of(dir.path());
        let Restored { audit, .. } = restored(new.path(), &backup, OldData::Stays).unwrap();
        let runs = Store::open(new.path()).unwrap().runs(None, 999).unwrap().len();
        assert_eq!(audit.entries, runs as u64 + 1, "a run without its entry, or the other way round");
        counts.push(runs);
    }
    assert!(counts.is_sorted() && counts.first() < counts.last(), "nothing went on meanwhile: {counts:?}");
}

#[test]
fn a_backup_that_is_cut_off_anywhere_is_refused() {
    let dir = filled();
    let backup = backup_of(&Store::open(dir.path()).unwrap());
    // The two last blocks are empty, and so may be missing.
    let sums_end = backup.len() - 1024;
    let cuts = [0, 1, 511, 512, 513, 1024, 1025, 1500, 1536, 2048, 4000];
    let cuts =
        cuts.into_iter().chain((1..12).map(|part| backup.len() * part / 12)).chain([sums_end - 512, sums_end - 513]);
    for cut in cuts {
        let error = refusal(&dir, &backup[..cut], &format!("{cut} of {} bytes", backup.len()));
        assert!(matches!(error, StoreError::BadBackup { .. }), "{cut}: {error}");
    }
}

#[test]
fn a_backup_with_one_bit_changed_is_refused_or_restores_the_very_same() {
    let dir = filled();
    let backup = backup_of(&Store::open(dir.path()).unwrap());
    let fresh = with_key_of(dir.path());
    let (mut refused, mut alike) = (0, 0);
    // Every part of the headers and of the small entries, and a sample of the data.
    let small = (0..6000).step_by(37);
    let large = (6000..backup.len()).step_by(backup.len() / 60);
    for at in small.chain(large).chain([backup.len() - 2048, backup.len() - 1700]) {
        let mut changed = backup.clone();
        changed[at] ^= 1 << (at % 8);
        match restored(fresh.path(), &changed, OldData::Aside) {
            Err(error) => {
                assert!(error.is_about_a_backup(), "byte {at}: {error}");
                refused += 1;
            }
            Ok(Restored { aside, .. }) => {
                // Between the entries, where nothing is.
                assert_eq!(Store::open(fresh.path()).unwrap().runs(None, 9).unwrap().len(), 1, "byte {at}");
                [DATA_FILE, KEY_FILE].iter().for_each(|name| std::fs::remove_file(fresh.path().join(name)).unwrap());
                aside.into_iter().for_each(|aside| std::fs::remove_dir_all(aside).unwrap());
                alike += 1;
            }
        }
    }
    assert!(refused > 3 * alike && refused > 100, "{refused} refused, {alike} alike");
}

/// A backup of these parts, with sums that fit.
fn made_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut sums = String::new();
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for (name, bytes) in parts {
        sums.push_str(&format!("{}  {name}\n", Digest::of(bytes)));
        add(name, bytes);
    }
    add("SHA256SUMS", sums.as_bytes());
    tar.into_inner().unwrap()
}

#[test]
fn foreign_newer_and_rearranged_files_are_refused() {
    let dir = filled();
    let file = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let (data, keys) = (file(DATA_FILE), file(KEY_FILE));
    let about = |form: u32| json!({ "form": form, "schema": 1, "version": "9.9.9", "made_at": 5 }).to_string();
    let (known, newer) = (about(BACKUP_FORM), about(BACKUP_FORM + 1));
    let first = ("castoff-backup.json", known.as_bytes());
    let whole = made_of(&[first, (KEY_FILE, &keys), (DATA_FILE, &data)]);
    let fresh = with_key_of(dir.path());
    restored(fresh.path(), &whole, OldData::Stays).expect("the test's own way to make one is right");

    let error = refusal(&dir, &made_of(&[("castoff-backup.json", newer.as_bytes())]), "a newer one");
    assert!(
        matches!(error, StoreError::NewerBackup { found, known: BACKUP_FORM } if found == BACKUP_FORM + 1),
        "{error}"
    );
    let zeros = vec![0; 4096];
    let text = b"not a backup".repeat(500);
    for (what, bytes) in [
        ("a text", text),
        ("zeros", zeros),
        ("another tar", made_of(&[("etc/passwd", b"root")])),
        ("a data file", data.clone()),
        ("only the first entry", made_of(&[first])),
        ("no key file", made_of(&[first, (DATA_FILE, &data)])),
        ("another order", made_of(&[first, (DATA_FILE, &data), (KEY_FILE, &keys)])),
        ("one entry too many", made_of(&[first, (KEY_FILE, &keys), (DATA_FILE, &data), ("x", b"")])),
        ("something else first", made_of(&[("castoff-backup.json", b"[]"), (KEY_FILE, &keys), (DATA_FILE, &data)])),
    ] {
        let error = refusal(&dir, &bytes, what);
        assert!(matches!(error, StoreError::BadBackup { .. }), "{what}: {error}");
    }
    for (what, keys, data) in [
        ("a torn data file", &keys, &data[..data.len() / 2].to_vec()),
        ("a foreign data file", &keys, &b"text".repeat(2000)),
        ("a foreign key file", &b"text".repeat(20), &data),
        ("an empty key file", &Vec::new(), &data),
    ] {
        let error = refusal(&dir, &made_of(&[first, (KEY_FILE, keys), (DATA_FILE, data)]), what);
        assert!(matches!(error, StoreError::Unrestorable { .. }), "{what}: {error}");
    }
}

#[test]
fn a_link_in_place_of_the_data_is_not_followed() {
    let dir = filled();
    let keys = std::fs::read(dir.path().join(KEY_FILE)).unwrap();
    let about = json!({ "form": BACKUP_FORM, "schema": 1, "version": "9.9.9", "made_at": 5 }).to_string();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = |kind: tar::EntryType, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        if kind == tar::EntryType::Symlink {
            tar.append_link(&mut header, name, "/etc/passwd").unwrap();
        } else {
            tar.append_data(&mut header, name, bytes).unwrap();
        }
    };
    header(tar::EntryType::Regular, "castoff-backup.json", about.as_bytes());
    header(tar::EntryType::Regular, KEY_FILE, &keys);
    header(tar::EntryType::Symlink, DATA_FILE, b"");
    let error = refusal(&dir, &tar.into_inner().unwrap(), "a link");
    assert!(matches!(error, StoreError::BadBackup { .. }), "{error}");
}
