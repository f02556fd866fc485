//! Changes that are held, and those that have landed: who may decide about them in a chat, and what their cards
//! say then.

use serde_json::json;

use crate::common::eventually;
use crate::common::processes::kill;
use crate::place::botapi::Fault;
use crate::place::botapi::Shown;
use crate::place::{OWNER, PARTNER, Place, exec, reply};

const STRANGER: i64 = 6_666;

/// The last message of a chat with these two buttons beside each other: its number, and their data.
fn card(place: &Place, person: i64, buttons: [&str; 2]) -> (i32, [String; 2]) {
    place.api.until(&format!("{buttons:?}"), person, |shown| {
        let rows = shown.iter().rev().flat_map(|one| one.keyboard.iter().map(move |row| (one.id, row)));
        let mut found = rows.filter(|(_, row)| row.iter().map(|(text, _)| text).eq(buttons.iter()));
        found.next().map(|(id, row)| (id, [row[0].1.clone(), row[1].1.clone()]))
    })
}

/// The bot's messages that begin with this line.
fn cards(place: &Place, person: i64, line: &str) -> Vec<Shown> {
    let begins = |one: &Shown| one.by_bot && one.text.lines().next() == Some(line);
    place.api.chat(person).into_iter().filter(begins).collect()
}

/// Whether somebody was told this after a press.
fn is_told(place: &Place, text: &str) {
    eventually(&format!("{text} is told"), || {
        let told = place.api.notifications();
        told.iter().any(|(_, said)| said.as_deref().is_some_and(|said| said.contains(text))).then_some(())
    });
}

/// A run of a person that is stopped behind its first command; its changes are held.
fn stopped(place: &Place, person: i64, command: &str, word: &str) -> String {
    let script = format!("{command}; echo {word}; sleep 300");
    place.api.say(person, &format!("/run {script}"));
    eventually("it has begun", || {
        place.api.say(person, "/log");
        place.all_taken();
        place.api.screen(person).contains(&format!("\n  {word}")).then_some(())
    });
    place.api.say(person, "/stop");
    eventually("it is stopped", || {
        cards(place, person, &script).pop().filter(|one| one.text.contains("1 change held"))
    });
    script
}

#[test]
fn the_question_about_changes_is_the_owners() {
    let place = Place::new();
    // Everybody has a chat to press in.
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["castoff 0"]);
    let strange = place.api.say(STRANGER, "hi");
    place.api.say(PARTNER, "/run echo a > a.txt; echo b > b.txt");
    place.sees(PARTNER, &["2 changes applied"]);
    let below = place.api.chat(PARTNER).last().unwrap().id;
    let home = place.castoff.home().join("people/ben");

    place.api.say(PARTNER, "/run rm a.txt");
    place.sees(PARTNER, &["1 change held, waits for the owner's answer"]);
    place.sees(OWNER, &["May these changes land?", "a.txt"]);
    let (_, [yes, no]) = card(&place, OWNER, ["Apply", "Discard"]);
    place.api.press_data(PARTNER, (PARTNER, below), &yes);
    for data in [&yes, &no] {
        place.api.press_data(STRANGER, (STRANGER, strange), data);
    }
    is_told(&place, "only the owner may answer this");
    place.all_taken();
    assert!(home.join("a.txt").exists(), "somebody else let them land");
    place.presses(OWNER, "Apply");
    place.sees(OWNER, &["Applied: allowed by Ann"]);
    eventually("it lands", || (!home.join("a.txt").exists()).then_some(()));
    place.sees(PARTNER, &["1 change applied"]);

    place.api.say(PARTNER, "/run rm b.txt");
    let (_, [yes, _]) = card(&place, OWNER, ["Apply", "Discard"]);
    place.presses(OWNER, "Discard");
    place.sees(OWNER, &["Discarded by Ann"]);
    place.sees(PARTNER, &["1 change dropped"]);
    // Too late.
    let below = place.api.chat(OWNER).last().unwrap().id;
    place.api.press_data(OWNER, (OWNER, below), &yes);
    is_told(&place, "it is answered already");
    assert!(home.join("b.txt").exists(), "it was not dropped");
    for command in ["rm a.txt", "rm b.txt"] {
        assert_eq!(cards(&place, PARTNER, command).len(), 1, "{}", place.api.screen(PARTNER));
    }
}

#[test]
fn what_a_stopped_run_holds_is_decided_below_its_card_also_after_a_crash() {
    let place = Place::new();
    place.api.say(PARTNER, "/status");
    place.sees(PARTNER, &["runner: ready"]);
    let below = place.api.chat(PARTNER).last().unwrap().id;
    let script = stopped(&place, OWNER, "echo x > c.txt", "begun");
    let (message, data) = card(&place, OWNER, ["Apply", "Discard"]);
    for data in &data {
        place.api.press_data(PARTNER, (PARTNER, below), data);
    }
    is_told(&place, "there is no run");
    place.all_taken();
    let file = place.castoff.own().join("c.txt");
    assert!(!file.exists());
    place.crash_and_serve();
    place.presses(OWNER, "Apply");
    place.sees(OWNER, &["1 change applied"]);
    assert!(file.exists());

    let script2 = stopped(&place, OWNER, "echo y > d.txt", "anew");
    place.presses(OWNER, "Discard");
    place.sees(OWNER, &["1 change dropped"]);
    assert!(!place.castoff.own().join("d.txt").exists());

    // His own he may drop, and not let land.
    let his = stopped(&place, PARTNER, "echo z > e.txt", "his");
    place.presses(PARTNER, "Apply");
    is_told(&place, "only the owner may decide");
    place.presses(PARTNER, "Discard");
    place.sees(PARTNER, &["1 change dropped"]);
    assert!(!place.castoff.home().join("people/ben/e.txt").exists());

    let first = cards(&place, OWNER, &script);
    assert_eq!((first.len(), first[0].id), (1, message), "{}", place.api.screen(OWNER));
    assert_eq!((cards(&place, OWNER, &script2).len(), cards(&place, PARTNER, &his).len()), (1, 1));
}

#[test]
fn a_card_says_what_became_of_its_run_also_when_that_is_decided_elsewhere() {
    let place = Place::new();
    place.script(&json!([exec("", "echo hello > a.txt"), reply("Done.")]));
    place.api.say(OWNER, "make a.txt");
    place.sees(OWNER, &["1 change applied", "Done."]);
    place.api.say(OWNER, "/run echo hello > b.txt");
    eventually("its card", || cards(&place, OWNER, "echo hello > b.txt").pop());
    let runs = place.castoff.json(&["runs"]).1;
    for run in runs.as_array().unwrap() {
        place.castoff.castoff(&["undo", run["run"].as_str().unwrap()]).ended(0);
    }
    for command in ["echo hello > a.txt", "echo hello > b.txt"] {
        eventually("the card says so", || {
            let all = cards(&place, OWNER, command);
            assert_eq!(all.len(), 1, "{}", place.api.screen(OWNER));
            let offers = |button: &str| all[0].keyboard.iter().flatten().any(|(text, _)| text == button);
            (all[0].text.contains("1 change taken back") && offers("Log") && !offers("Undo")).then_some(())
        });
    }
}

#[test]
fn a_card_with_a_file_says_also_below_it_what_became_of_the_changes() {
    let place = Place::new();
    place.api.say(OWNER, "/run seq 3000 > a.txt");
    place.sees(OWNER, &["1 change applied"]);
    place.api.say(OWNER, "/run rm a.txt");
    let (message, _) = card(&place, OWNER, ["Apply", "Discard"]);
    let shown = || place.api.chat(OWNER).into_iter().find(|one| one.id == message).unwrap();
    let diff = shown().document.expect("the diff is a file").1;
    place.presses(OWNER, "Discard");
    place.sees(OWNER, &["Discarded by Ann"]);
    assert!(shown().text.contains("Discarded by Ann") && shown().keyboard.is_empty(), "{}", shown());
    assert_eq!(shown().document.map(|(_, bytes)| bytes), Some(diff));
    assert!(place.castoff.own().join("a.txt").exists());
}

#[test]
fn a_diff_that_cannot_be_shown_is_not_passed_over() {
    let place = Place::new();
    place.api.say(OWNER, "/run echo one > a.txt");
    place.sees(OWNER, &["1 change applied"]);
    let before = place.api.requests("sendMessage").len();
    // Once more after a while; by then nobody answers.
    place.api.fail("sendMessage", Fault::TooMany(4));
    place.api.say(OWNER, "/run rm a.txt");
    eventually("it is tried", || (place.api.requests("sendMessage").len() > before).then_some(()));
    let runner = place.castoff.runner_process();
    kill(runner.0, "STOP");
    let screen = place.sees(OWNER, &["May these changes land?"]);
    kill(runner.0, "CONT");
    assert!(screen.contains("the diff cannot be shown: the runner did not answer in time"), "{screen}");
    place.presses(OWNER, "Discard");
    place.sees(OWNER, &["Discarded by Ann"]);
}

#[test]
fn a_bare_apply_or_drop_decides_nothing_and_lists_what_is_held() {
    let place = Place::new();
    place.api.say(OWNER, "/apply");
    place.sees(OWNER, &["which run?", "no changes are held"]);
    let script = stopped(&place, OWNER, "echo x > f.txt", "bare");
    let (_, runs) = place.castoff.json(&["runs"]);
    let id = runs[0]["run"].as_str().unwrap();
    for command in ["/apply", "/drop"] {
        place.api.say(OWNER, command);
        let listed = format!("{command} ID");
        let says = |one: &Shown| one.by_bot && one.text.contains(&listed) && one.text.contains(id);
        place.api.until("it lists what is held", OWNER, |shown| shown.iter().any(says).then_some(()));
    }
    place.all_taken();
    assert!(cards(&place, OWNER, &script)[0].text.contains("1 change held"), "{}", place.api.screen(OWNER));
    assert!(!place.castoff.own().join("f.txt").exists());
    place.api.say(OWNER, &format!("/apply {id}"));
    place.sees(OWNER, &["1 change applied"]);
    assert!(place.castoff.own().join("f.txt").exists());
}
