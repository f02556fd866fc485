//! Promise 16: the log is chained, one command verifies it, and a change to the file is noticed.

use std::collections::BTreeSet;
use std::fs;

use castoff::store::DATA_FILE;

use crate::common::{Castoff, USUAL, text};

fn story(castoff: &Castoff) {
    castoff.run("echo one > one").ended(0);
    castoff.run("nmap").ended(125);
    let (_, asked) = castoff.run_json("factor 12");
    castoff.castoff(&["approve", text(&asked["run"])]).ended(0);
    let (_, refused) = castoff.run_json("factor 12");
    castoff.castoff(&["refuse", text(&refused["run"])]).ended(0);
    let (_, held) = castoff.run_json("rm one");
    castoff.castoff(&["apply", text(&held["run"])]).ended(0);
    castoff.castoff(&["undo", text(&held["run"])]).ended(0);
    let (_, dropped) = castoff.run_json("rm one");
    castoff.castoff(&["drop", text(&dropped["run"])]).ended(0);
}

#[test]
fn everything_that_happened_is_on_record_and_the_chain_holds() {
    let castoff = Castoff::start(USUAL);
    story(&castoff);
    let (code, verified) = castoff.json(&["audit", "verify"]);
    assert_eq!((code, &verified["intact"], &verified["broken"]), (0, &true.into(), &serde_json::Value::Null));
    let (_, entries) = castoff.json(&["audit", "list", "-n", "1000"]);
    let entries = entries.as_array().unwrap();
    assert_eq!(Some(entries.len() as u64), verified["entries"].as_u64(), "every entry is listed");
    let found: BTreeSet<&str> = entries.iter().map(|entry| text(&entry["what"])).collect();
    let expected = [
        "core.started",
        "run.asked",
        "run.refused",
        "run.permitted",
        "run.ended",
        "approval.asked",
        "approval.granted",
        "approval.refused",
        "changes.held",
        "changes.applied",
        "changes.undone",
        "changes.drop-asked",
    ];
    let missing: Vec<_> = expected.iter().filter(|what| !found.contains(**what)).collect();
    assert!(missing.is_empty(), "{missing:?} of {found:?}");
    castoff.stop();
    castoff.serve();
    let (_, again) = castoff.json(&["audit", "verify"]);
    assert!(again["entries"].as_u64() > verified["entries"].as_u64(), "{again}");
    assert_eq!(again["intact"], true);
    let text = castoff.castoff(&["audit", "verify"]).ended(0).stdout;
    assert!(text.starts_with("intact: "), "{text}");
}

#[test]
fn a_changed_entry_keeps_the_core_from_starting() {
    let castoff = Castoff::start(USUAL);
    story(&castoff);
    castoff.stop();
    let path = castoff.home().join("state/core").join(DATA_FILE);
    let honest = fs::read(&path).unwrap();
    // What happened stands in an entry in clear: the same length, another story.
    let mut forged = honest.clone();
    let word = b"run.refused";
    let places: Vec<usize> = (0..forged.len() - word.len()).filter(|at| forged[*at..].starts_with(word)).collect();
    assert!(!places.is_empty(), "no entry was found in the file");
    for at in places {
        forged[at + 4] ^= 1;
    }
    fs::write(&path, &forged).unwrap();
    let refused = castoff.castoff(&["serve"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    refused.says(&["data file"]);
    assert!(fs::read(&path).unwrap() == forged, "the refused file was changed");
    fs::write(&path, &honest).unwrap();
    castoff.serve();
    castoff.castoff(&["audit", "verify"]).ended(0);
}
