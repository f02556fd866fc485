//! Claims about keeping an installation: what serves is told, and a backup comes back to a home that works. Needs what
//! `tests/common` needs.
#![cfg(test)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "what only the other tests use")]
mod common;
mod update;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use castoff::runtime::clock;
use serde_json::Value;

use common::{Castoff, USUAL, command, program, text};

/// Ben's uid.
const BEN: u32 = 4321;
const USERS: &str = "owner: { name: Ann }\nusers:\n  - { id: ben, name: Ben, trust_level: trusted, local: [4321] }\n";

fn prepared() -> Castoff {
    let castoff = Castoff::prepare(USUAL);
    castoff.configure("users.yaml", USERS);
    castoff
}

fn store_of(castoff: &Castoff) -> PathBuf {
    castoff.home().join("state/core")
}

/// The files of a store.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn runs(castoff: &Castoff) -> Vec<String> {
    let (_, runs) = castoff.json(&["runs"]);
    runs.as_array().unwrap().iter().map(|run| text(&run["run"]).to_owned()).collect()
}

#[test]
fn a_backup_that_a_serving_core_makes_comes_back_to_a_home_that_works() {
    let castoff = prepared();
    castoff.serve();
    let (_, before) = castoff.run_json("echo before > before; echo said");
    let before = text(&before["run"]);
    let file = castoff.root().join("castoff.backup");
    let backup = file.to_str().unwrap();
    let key = store_of(&castoff).join("master.key");
    let said = castoff.castoff(&["backup", backup]).ended(0).stdout;
    assert!(said.contains(backup) && said.contains(key.to_str().unwrap()), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let whole = fs::read(&file).unwrap();
    castoff.castoff(&["backup", backup]).ended(73).says(&["is there already", "hint: `--force`"]);
    assert!(fs::read(&file).unwrap() == whole, "a refused backup changed what is there");
    castoff.castoff(&["restore", "--force", backup]).ended(1).says(&["is in use by another Castoff", "hint: stop"]);

    let (_, after) = castoff.run_json("echo after > after");
    castoff.stop();
    let there = files(&store_of(&castoff));
    castoff.castoff(&["restore", backup]).ended(73).says(&["there is data in", "hint: with `--force`"]);
    assert!(files(&store_of(&castoff)) == there, "a refused restore changed what is there");
    let said = castoff.castoff(&["restore", "--force", backup]).ended(0).stdout;
    assert!(said.starts_with("restored: data of ") && said.contains("; the data of before is in `"), "{said}");

    castoff.serve();
    assert_eq!(runs(&castoff), [before], "{after}");
    castoff.castoff(&["audit", "verify"]).ended(0);
    assert_eq!(castoff.castoff(&["logs", before]).ended(0).stdout, "said\n");
    castoff.castoff(&["undo", before]).ended(0);
    assert!(!castoff.own().join("before").exists() && castoff.own().join("after").exists());
    assert_eq!(castoff.run("echo again > again; cat again").ended(0).stdout, "again\n");
    assert_eq!(runs(&castoff).len(), 2);
}

#[test]
fn only_the_owner_has_a_backup_sent_and_it_opens_a_home_that_has_nothing_yet() {
    let castoff = prepared();
    castoff.serve();
    let (_, run) = castoff.run_json("echo said");
    let answer = castoff.castoff_as(BEN, &["backup", "-"]).ended(77).says(&["only the owner makes backups"]);
    assert_eq!(answer.stdout, "");
    castoff.castoff_as(BEN + 1, &["backup", "-"]).ended(77).says(&["is not on the list"]);

    // From one program to the other, as over a network.
    let (new, key) = (prepared(), store_of(&castoff).join("master.key"));
    let piped = "\"$1\" --home \"$2\" backup - | \"$1\" --home \"$3\" restore - --master-key \"$4\"";
    let piped = command("sh").args(["-c", piped, "sh"]).arg(program()).args([castoff.home(), new.home(), key]).output();
    let piped = piped.unwrap();
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    castoff.stop();
    new.serve();
    assert_eq!(runs(&new), [text(&run["run"])]);
    assert_eq!(new.castoff(&["logs", text(&run["run"])]).ended(0).stdout, "said\n");
    assert_eq!(new.run("echo again").ended(0).stdout, "again\n");
    new.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn a_master_key_that_stands_alone_is_not_replaced_by_another_unasked() {
    let castoff = prepared();
    castoff.serve();
    castoff.run("echo said").ended(0);
    let file = castoff.root().join("castoff.backup");
    let backup = file.to_str().unwrap();
    castoff.castoff(&["backup", backup]).ended(0);
    castoff.stop();
    let (key, new) = (store_of(&castoff).join("master.key"), prepared());
    let own = store_of(&new).join("master.key");
    fs::create_dir_all(store_of(&new)).unwrap();
    fs::set_permissions(store_of(&new), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&own, [7; 32]).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    let restore = ["restore", backup, "--master-key", key.to_str().unwrap()];
    new.castoff(&restore).ended(73).says(&["there is data in", "hint: with `--force`"]);
    assert_eq!(fs::read(&own).unwrap(), [7; 32]);
    let said = new.castoff(&[&restore[..], &["--force"]].concat()).ended(0).stdout;
    let (_, aside) = said.split_once("; the data of before is in `").unwrap_or_else(|| panic!("{said}"));
    let aside = Path::new(aside.split('`').next().unwrap());
    assert_eq!(fs::read(aside.join("master.key")).unwrap(), [7; 32]);
    // The same key once more takes nothing away.
    for path in files(&store_of(&new)).into_keys().filter(|path| *path != own) {
        fs::remove_file(path).unwrap();
    }
    new.castoff(&restore).ended(0);
}

#[test]
fn without_a_core_a_backup_is_made_of_what_is_there_and_no_store_is_made_for_it() {
    let castoff = prepared();
    let file = castoff.root().join("castoff.backup");
    let backup = file.to_str().unwrap();
    castoff.castoff(&["backup", backup]).ended(69).says(&["hint:"]);
    assert!(!file.exists() && !store_of(&castoff).exists());
    castoff.serve();
    castoff.run("echo said").ended(0);
    castoff.stop();
    castoff.castoff(&["backup", backup]).ended(0);
    castoff.castoff(&["restore", "--force", backup]).ended(0);
    castoff.serve();
    assert_eq!(runs(&castoff).len(), 1);
}

#[test]
fn the_version_says_what_serves_and_since_when() {
    let castoff = prepared();
    let home = castoff.home();
    let nothing = format!("serving: nothing, at {}", home.display());
    let said = castoff.castoff(&["version"]).ended(0).stdout;
    let lines: Vec<&str> = said.lines().collect();
    let own = format!("castoff {}, ", env!("CARGO_PKG_VERSION"));
    assert!(lines[0].starts_with(&own) && lines[0].contains("commit") && lines[0].contains("store form "), "{said}");
    assert_eq!(lines[1..], [nothing.as_str()]);
    let (code, version) = castoff.json(&["version"]);
    assert_eq!((code, &version["version"], &version["serving"]), (0, &env!("CARGO_PKG_VERSION").into(), &Value::Null));

    let early = clock::now().as_ms();
    castoff.serve();
    let late = clock::now().as_ms();
    let (code, version) = castoff.json(&["version"]);
    let serving = &version["serving"];
    assert_eq!((code, &serving["version"], &serving["store_form"]), (0, &version["version"], &version["store_form"]));
    let since = serving["started_at_ms"].as_u64().unwrap();
    assert!((early..=late).contains(&since), "{early} {since} {late}");
    let said = castoff.castoff(&["version"]).ended(0).stdout;
    let since = castoff::domain::time::Timestamp::from_ms(since);
    let serving_line = format!("serving: {}, ", env!("CARGO_PKG_VERSION"));
    assert!(said.contains(&serving_line) && said.contains(&format!(", since {since} (")), "{said}");
    for image in ["base", "workbench"] {
        let id = text(&serving["images"][image]);
        assert!(said.contains(&format!("image of runs: {image} {id}\n")), "{said}\n{version}");
    }
    castoff.stop();
    assert!(castoff.castoff(&["version"]).ended(0).stdout.ends_with(&format!("{nothing}\n")));
}
