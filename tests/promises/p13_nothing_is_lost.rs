//! Promise 13: whatever process is killed, nothing lands by itself, nothing runs again, and what was
//! under way is on record.

use serde_json::Value;

use crate::common::processes::kill;
use crate::common::{Castoff, USUAL, eventually, text};

fn begin(castoff: &Castoff) -> (crate::common::Live, String) {
    let mut live = castoff.begin(&["run", "--", "echo half > half.txt; echo begun; sleep 300; echo whole > half.txt"]);
    live.until("begun");
    let run = text(&castoff.live_container()["Config"]["Labels"]["castoff.run"]).to_owned();
    (live, run)
}

fn interrupted(castoff: &Castoff, run: &str) -> Value {
    eventually("the run is on record as interrupted", || Some(castoff.record(run)).filter(is_interrupted))
}

/// A runner that sees the core vanish may still tell that it shut the run down.
fn is_interrupted(record: &Value) -> bool {
    ["lost", "shutdown"].contains(&record["stopped_by"].as_str().unwrap_or_default())
}

/// After the crash: held, named, nothing landed, never run again; and the changes are not lost.
fn check(castoff: &Castoff, run: &str) {
    let file = castoff.own().join("half.txt");
    let record = interrupted(castoff, run);
    assert!(record["state"]["held"].is_object(), "{record}");
    assert_eq!(record["state"]["held"]["approval"], Value::Null, "{record}");
    assert!(text(&record["changes"][0]["path"]).ends_with("/half.txt"), "{record}");
    assert!(!file.exists(), "it landed by itself");
    assert_eq!(castoff.run_containers(), Vec::<String>::new());
    assert_eq!(castoff.run("echo next").ended(0).stdout, "next\n");
    assert!(!file.exists(), "it landed by itself");
    castoff.no_run_container_is_left();
    assert!(is_interrupted(&castoff.record(run)), "it ran again");
    castoff.castoff(&["apply", run]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "half\n");
    castoff.castoff(&["undo", run]).ended(0);
    assert!(!file.exists());
    castoff.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn a_run_whose_core_was_killed_is_interrupted_and_its_changes_are_held() {
    let castoff = Castoff::start(USUAL);
    let (live, run) = begin(&castoff);
    let runner = castoff.runner_process();
    castoff.crash();
    assert_ne!(live.finish().code, 0);
    eventually("the runner ends", || runner.program().is_none().then_some(()));
    castoff.no_run_container_is_left();
    castoff.serve();
    check(&castoff, &run);
    let logs = castoff.castoff(&["logs", &run]);
    assert!(logs.stdout.contains("begun") || logs.stdout.is_empty(), "{logs:?}");
}

#[test]
fn a_run_whose_runner_was_killed_is_interrupted_and_its_changes_are_held() {
    let castoff = Castoff::start(USUAL);
    let (live, run) = begin(&castoff);
    kill(castoff.runner_process().0, "KILL");
    castoff.no_run_container_is_left();
    castoff.stop();
    assert_ne!(live.finish().code, 0);
    castoff.serve();
    check(&castoff, &run);
}

#[test]
fn questions_and_held_changes_outlive_a_crash() {
    let castoff = Castoff::start(USUAL);
    castoff.run("echo kept > kept.txt").ended(0);
    let (_, asked) = castoff.run_json("factor 12");
    let (_, held) = castoff.run_json("rm kept.txt");
    assert_eq!(held["exit_code"], 75, "{held}");
    castoff.crash();
    castoff.serve();
    let (_, open) = castoff.json(&["approvals"]);
    assert_eq!(open.as_array().unwrap().len(), 2, "{open}");
    assert_eq!(castoff.castoff(&["approve", text(&asked["run"])]).ended(0).stdout, "12: 2 2 3\n");
    assert!(castoff.own().join("kept.txt").exists());
    castoff.castoff(&["approve", text(&held["run"])]).ended(0);
    assert!(!castoff.own().join("kept.txt").exists());
}
