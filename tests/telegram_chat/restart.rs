//! The core is killed in the middle of a turn, wherever that hurts: the person gets one reply, money is
//! booked, and nothing is done twice.

use std::time::Duration;

use serde_json::json;

use crate::common::eventually;
use crate::model::{Model, begins, runs, says};
use crate::place::botapi::Fault;
use crate::place::{OWNER, Place, exec, reply};

/// The owner's daily cap of a provider without limits: a dollar.
const CAP_MICROS: u64 = 1_000_000;
/// Less than what was reserved for one call, more than what one costs.
const ONE_CALL_MICROS: u64 = 5_000;

/// What of the bot's messages has this text.
fn with(place: &Place, text: &str) -> Vec<String> {
    let chat = place.api.chat(OWNER);
    chat.iter().filter(|one| one.by_bot && one.text.contains(text)).map(|one| one.text.clone()).collect()
}

/// The reply stands there once, or once more and says so.
fn is_there_once(place: &Place, text: &str) {
    let all = with(place, text);
    let plain = all.iter().filter(|one| !one.starts_with("(may repeat)")).count();
    assert!(plain <= 1 && all.len() - plain <= 1 && !all.is_empty(), "{text}: {}", place.api.screen(OWNER));
}

fn check_books(place: &Place) {
    assert!(place.spent_micros() <= CAP_MICROS);
    place.castoff.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn a_model_call_that_was_cut_is_booked_and_made_once_more() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    let before = model.calls();
    model.then([begins("I am thin"), says("Here I am.")]);
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["I am thin"]);
    place.crash_and_serve();
    place.sees(OWNER, &["Here I am."]);
    assert_eq!(model.calls(), before + 2);
    assert_eq!(place.api.chat(OWNER).iter().filter(|one| one.by_bot).count(), 1, "{}", place.api.screen(OWNER));
    assert_eq!(with(&place, "Here I am.").len(), 1);
    let spent = place.spent_micros();
    assert!(spent > ONE_CALL_MICROS, "the cut call was not booked: {spent}");
    check_books(&place);

    // Cut twice, the turn ends with a word, and nothing more is called.
    model.then([begins("I am thin"), begins("Once more I am thin"), says("never")]);
    place.api.say(OWNER, "and now?");
    eventually("the model is asked", || (model.calls() == before + 3).then_some(()));
    place.crash_and_serve();
    eventually("the model is asked again", || (model.calls() == before + 4).then_some(()));
    place.crash_and_serve();
    place.sees(OWNER, &["interrupted twice"]);
    place.crash_and_serve();
    assert_eq!(model.calls(), before + 4);
    assert_eq!(with(&place, "interrupted twice").len(), 1);
    check_books(&place);
}

#[test]
fn a_command_that_was_cut_is_not_run_again_and_the_model_is_told() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    let before = model.calls();
    model.then([runs("echo x >> times.txt; echo begun; sleep 300"), says("It was cut.")]);
    place.api.say(OWNER, "do it");
    place.castoff.live_container();
    place.sees(OWNER, &["command: echo x"]);
    let runner = place.castoff.runner_process();
    place.castoff.crash();
    eventually("the runner ends", || runner.program().is_none().then_some(()));
    place.castoff.no_run_container_is_left();
    place.castoff.serve();
    place.sees(OWNER, &["It was cut."]);
    is_there_once(&place, "It was cut.");
    assert_eq!(model.calls(), before + 2);
    assert!(model.asked().last().unwrap().contains("it was interrupted"), "{:?}", model.asked().last());
    assert!(!place.castoff.own().join("times.txt").exists(), "it landed by itself");
    let (_, all) = place.castoff.json(&["runs"]);
    assert_eq!(all.as_array().unwrap().len(), 1, "{all:#}");
    place.castoff.no_run_container_is_left();
    check_books(&place);
}

#[test]
fn a_reply_whose_confirmation_was_lost_in_a_crash_is_not_said_twice_in_silence() {
    let place = Place::new();
    // In place of the draft.
    place.script(&json!([reply("First reply.")]));
    place.api.fail("editMessageText", Fault::Slow(Duration::from_secs(600)));
    place.api.say(OWNER, "one");
    place.sees(OWNER, &["First reply."]);
    let calls = place.model_calls();
    place.crash_and_serve();
    place.script(&json!([exec("", "echo hi > a.txt"), reply("Second reply.")]));
    // Below the card of a run: the draft and the card go well, the third message's answer never comes.
    for time in [0, 0, 600] {
        place.api.fail("sendMessage", Fault::Slow(Duration::from_secs(time)));
    }
    place.api.say(OWNER, "two");
    place.sees(OWNER, &["Second reply."]);
    place.crash_and_serve();
    place.script(&json!([reply("Third reply.")]));
    place.api.say(OWNER, "three");
    place.sees(OWNER, &["Third reply."]);
    for text in ["First reply.", "Second reply.", "Third reply."] {
        is_there_once(&place, text);
    }
    assert_eq!(with(&place, "First reply.").len(), 1, "an edit was doubled");
    assert_eq!(place.model_calls(), calls + 3);
    check_books(&place);
}

#[test]
fn a_file_that_landed_before_a_crash_is_not_taken_again_and_its_caption_becomes_a_turn() {
    let place = Place::new();
    place.script(&json!([reply("Both are here.")]));
    // The first of two files lands, then the core dies; it has a runner again before the second comes.
    for time in [0, 600, 30] {
        place.api.fail("file", Fault::Slow(Duration::from_secs(time)));
    }
    place.api.post(OWNER, "what are these?", Some(("notes.txt".to_owned(), b"milk\n".to_vec())), |message| {
        let id = message["document"]["file_id"].clone();
        message["photo"] = json!([{ "file_id": id, "file_unique_id": "one", "width": 9, "height": 9 }]);
    });
    place.sees(OWNER, &["receive inbox/notes.txt", "2 changes applied"]);
    eventually("the second is fetched", || (place.api.requests("getFile").len() == 2).then_some(()));
    place.crash_and_serve();
    let screen = place.sees(OWNER, &["Both are here."]);
    assert!(!screen.contains("was not taken"), "{screen}");
    let asked = place.asked().to_string();
    assert!(asked.contains("what are these?") && asked.contains("[I sent you a file: inbox/notes.txt]"), "{asked}");
    let inbox = place.castoff.own().join("inbox");
    assert_eq!(std::fs::read_dir(&inbox).unwrap().count(), 2);
    // What is on record of its run is what it was.
    let (_, runs) = place.castoff.json(&["runs"]);
    let runs = runs.as_array().unwrap();
    let of_notes = |run: &&serde_json::Value| run["changes"].to_string().contains("inbox/notes.txt");
    let run = runs.iter().find(of_notes).unwrap_or_else(|| panic!("{runs:#?}"));
    assert_eq!(runs.len(), 2);
    let undone = place.castoff.castoff(&["undo", run["run"].as_str().unwrap()]);
    assert!(!inbox.join("notes.txt").exists(), "it cannot be taken back: {undone:?}");
    check_books(&place);
}

#[test]
fn a_command_that_comes_again_after_a_crash_is_known_and_an_answer_that_did_not_come_comes() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    place.api.say(OWNER, "/budget");
    place.sees(OWNER, &["today: "]);
    place.api.say(OWNER, "/stop");
    place.sees(OWNER, &["◀ stopped"]);
    model.then([begins("I am thin"), says("Here I am.")]);
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["I am thin"]);
    // Nobody has to know that it was ever asked for.
    let sent = place.api.requests("sendMessage").len();
    place.api.fail("sendMessage", Fault::TooMany(3600));
    place.api.say(OWNER, "/approvals");
    eventually("its answer is tried", || (place.api.requests("sendMessage").len() > sent).then_some(()));
    place.all_taken();
    place.crash_and_serve();
    place.api.redeliver();
    place.sees(OWNER, &["Here I am.", "no open questions"]);
    place.all_taken();
    let once = ["today: ", "stopped", "no open questions", "Here I am."].map(|text| with(&place, text).len());
    assert_eq!(once, [1; 4], "{}", place.api.screen(OWNER));
    check_books(&place);
}
