//! Two people at once: their turns run side by side, and neither sees or stops what is the other's.

use std::time::Duration;

use serde_json::json;

use crate::common::eventually;
use crate::model::{Model, begins, says};
use crate::place::botapi::Fault;
use crate::place::{OWNER, PARTNER, Place, exec, reply};

/// The id of the last run that a person's chat shows.
fn run_of(place: &Place, person: i64, script: &str) -> String {
    place.api.until("the run's card", person, |shown| {
        let card = shown.iter().rev().find(|one| one.by_bot && one.text.contains(script))?;
        let (_, data) = card.keyboard.iter().flatten().find(|(text, _)| text == "Log")?;
        Some(data.strip_prefix("l:").unwrap().to_owned())
    })
}

fn live(place: &Place) -> usize {
    place.castoff.json(&["status"]).1["live"].as_u64().map_or(0, |live| usize::try_from(live).unwrap())
}

#[test]
fn turns_run_side_by_side_and_stop_is_for_ones_own() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    model.then([begins("Ann's thought")]);
    place.api.say(OWNER, "the owner's words");
    place.sees(OWNER, &["Ann's thought"]);
    model.then([begins("Ben's thought")]);
    place.api.say(PARTNER, "the partner's words");
    place.sees(PARTNER, &["Ben's thought"]);
    assert!(!place.api.screen(OWNER).contains("Ben") && !place.api.screen(PARTNER).contains("Ann"));
    let asked = model.asked();
    let (ann, ben) = (&asked[asked.len() - 2], &asked[asked.len() - 1]);
    assert!(ann.contains("the owner's words") && !ann.contains("the partner's words"), "{ann}");
    assert!(ben.contains("the partner's words") && !ben.contains("the owner's words"), "{ben}");

    // A second message waits, and says so.
    place.api.say(PARTNER, "more words");
    place.sees(PARTNER, &["queued until the turn before it is over"]);
    model.then([says("Done, Ben.")]);
    place.api.say(PARTNER, "/stop");
    place.sees(PARTNER, &["Stopped.", "Done, Ben."]);
    let screen = place.api.screen(OWNER);
    assert!(screen.contains("Ann's thought") && !screen.contains("Stopped"), "{screen}");
    place.api.say(OWNER, "/stop");
    place.sees(OWNER, &["Stopped."]);
    model.then([says("Done, Ann.")]);
    place.api.say(OWNER, "again");
    place.sees(OWNER, &["Done, Ann."]);
    let last = model.asked().pop().unwrap();
    assert!(!last.contains("the partner's words") && !last.contains("Ben"), "{last}");
}

#[test]
fn runs_of_the_other_are_not_there() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    place.api.say(OWNER, "/run echo the owner\\'s > hers.txt; echo \"the owner's output\"");
    let hers = run_of(&place, OWNER, "echo the owner");
    place.api.say(PARTNER, "/run echo \"the partner's output\"");
    let his = run_of(&place, PARTNER, "the partner's output");

    for what in ["log", "diff", "undo", "apply", "drop"] {
        place.api.say(PARTNER, &format!("/{what} {hers}"));
        eventually("it is unknown", || {
            let unknown = place.api.screen(PARTNER).matches(&format!("there is no run {hers}")).count();
            let asked = place.api.screen(PARTNER).matches("▶ /").count();
            (unknown + 1 == asked).then_some(())
        });
    }
    let below = place.api.chat(PARTNER).last().unwrap().id;
    for letter in ["l", "d", "u", "p", "x"] {
        place.api.press_data(PARTNER, (PARTNER, below), &format!("{letter}:{hers}"));
    }
    place.all_taken();
    place.api.say(PARTNER, "/runs");
    let screen = place.sees(PARTNER, &[&format!("{his} ✅")]);
    assert!(!screen.contains("the owner's output") && !screen.contains(&format!("{hers} ")), "{screen}");
    assert!(place.castoff.own().join("hers.txt").exists(), "a partner took it back");
    place.api.say(OWNER, &format!("/log {his}"));
    let screen = place.sees(OWNER, &["this run is ben's"]);
    assert!(!screen.contains("the partner's output"), "{screen}");

    // Both at once, and each stops their own.
    place.api.say(OWNER, "/run echo long; sleep 300");
    place.api.say(PARTNER, "/run echo longer; sleep 300");
    eventually("both run", || (live(&place) == 2).then_some(()));
    eventually("Ben's command has begun", || {
        place.api.say(PARTNER, "/log");
        place.all_taken();
        place.api.screen(PARTNER).contains("\n  longer").then_some(())
    });
    place.api.say(PARTNER, "/stop");
    place.sees(PARTNER, &["a person stopped it"]);
    assert_eq!(live(&place), 1);
    assert!(!place.api.screen(OWNER).contains("stopped"), "{}", place.api.screen(OWNER));
    place.api.say(OWNER, "/stop");
    place.sees(OWNER, &["a person stopped it"]);
    // Also what has hardly been asked for.
    place.api.say(OWNER, "/run sleep 301");
    place.api.say(OWNER, "/stop");
    place.all_taken();
    eventually("nothing runs", || (live(&place) == 0).then_some(()));
}

#[test]
fn a_file_that_comes_slowly_keeps_nobody_else_waiting() {
    let place = Place::new();
    place.api.fail("file", Fault::Slow(Duration::from_secs(10)));
    place.api.send_document(OWNER, "slow.txt", b"slow", "");
    eventually("it is fetched", || (!place.api.requests("getFile").is_empty()).then_some(()));
    place.api.say(OWNER, "/help");
    place.api.say(PARTNER, "/help");
    place.sees(PARTNER, &["/undo"]);
    let slow = place.castoff.own().join("inbox/slow.txt");
    assert!(!slow.exists(), "it was no slow one");
    // One's own messages keep their order.
    assert!(!place.api.screen(OWNER).contains("/undo"), "{}", place.api.screen(OWNER));
    place.sees(OWNER, &["/undo"]);
    assert_eq!(std::fs::read(slow).unwrap(), b"slow");
    place.all_taken();
}

#[test]
fn who_waits_for_the_owners_answer_is_told_so() {
    let place = Place::new();
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["castoff 0"]);
    place.script(&json!([exec("", "git --version"), reply("Then not.")]));
    place.api.say(PARTNER, "which git?");
    place.sees(PARTNER, &["command: git --version… waits for the owner's answer"]);
    place.presses(OWNER, "Refuse");
    let screen = place.sees(PARTNER, &["Then not."]);
    assert!(!screen.contains("waits for"), "{screen}");

    // A command of one's own has a card that says so, and then how it went.
    place.api.say(PARTNER, "/run git --version");
    place.sees(PARTNER, &["⏳ waits for the owner's answer"]);
    place.presses(OWNER, "Allow once");
    let screen = place.sees(PARTNER, &["✅ exit 0"]);
    assert!(!screen.contains("waits for") && screen.matches("◀ git --version").count() == 1, "{screen}");
}
