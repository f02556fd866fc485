//! What takes long keeps waiting neither others nor what the same person sends next.

use std::time::Duration;

use serde_json::json;

use crate::common::eventually;
use crate::common::processes::kill;
use crate::place::botapi::Fault;
use crate::place::{OWNER, PARTNER, Place, reply};

/// More than Telegram hands out unless asked for more.
const MESSAGES: usize = 30;

#[test]
fn who_sends_much_behind_a_file_that_comes_slowly_keeps_nobody_else_waiting() {
    let place = Place::new();
    place.api.fail("file", Fault::Slow(Duration::from_secs(40)));
    place.api.send_document(OWNER, "slow.txt", b"slow", "");
    eventually("it is fetched", || (!place.api.requests("getFile").is_empty()).then_some(()));
    for _ in 0..MESSAGES {
        place.api.say(OWNER, "/approvals");
    }
    place.api.say(PARTNER, "/help");
    place.sees(PARTNER, &["/undo"]);
    assert!(!place.castoff.own().join("inbox/slow.txt").exists(), "he was heard when it had come");
}

#[test]
fn a_file_that_waits_for_a_command_lands_later_and_its_text_becomes_a_turn() {
    let place = Place::new();
    place.api.say(OWNER, "/run sleep 80");
    place.castoff.live_container();
    place.script(&json!([reply("I shall look.")]));
    place.api.send_document(OWNER, "notes.txt", b"milk\n", "what does it say?");
    let why = "it lands when the command before it is over";
    place.sees(OWNER, &[&format!("`notes.txt` is not in the inbox yet: {why}"), "I shall look."]);
    let asked = place.asked().to_string();
    assert!(asked.contains("what does it say?") && asked.contains(why), "{asked}");
    eventually("it lands", || place.castoff.own().join("inbox/notes.txt").exists().then_some(()));
}

#[test]
fn a_stop_ends_the_wait_for_a_file() {
    let place = Place::new();
    place.api.fail("file", Fault::Slow(Duration::from_secs(600)));
    place.api.send_document(OWNER, "slow.txt", b"slow", "read it");
    eventually("it is fetched", || (!place.api.requests("getFile").is_empty()).then_some(()));
    place.api.say(OWNER, "/stop");
    place.sees(OWNER, &["slow.txt` was not taken: stopped", "◀ stopped"]);
    place.all_taken();
    assert!(place.castoff.json(&["runs"]).1.as_array().unwrap().is_empty());
}

#[test]
fn a_decision_that_waits_for_the_runner_goes_on_and_is_shown() {
    let place = Place::new();
    place.api.say(OWNER, "/run echo hi > a.txt");
    place.sees(OWNER, &["1 change applied"]);
    let runner = place.castoff.runner_process();
    kill(runner.0, "STOP");
    place.presses(OWNER, "Undo");
    let told = place.sees(OWNER, &["this takes longer and goes on"]);
    assert!(!told.contains("taken back"), "{told}");
    place.api.say(OWNER, "/budget");
    place.sees(OWNER, &["today: "]);
    kill(runner.0, "CONT");
    place.sees(OWNER, &["1 change taken back", "✅ exit 0 · 1 change taken back"]);
    eventually("the file is gone", || (!place.castoff.own().join("a.txt").exists()).then_some(()));
    place.all_taken();
}
