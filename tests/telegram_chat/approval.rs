//! A question is answered by the right person, once, on the same card, also after a crash.

use serde_json::{Value, json};

use crate::common::eventually;
use crate::place::botapi::Shown;
use crate::place::{OWNER, PARTNER, Place, exec, reply};

const STRANGER: i64 = 6_666;

/// The card that asks: its message, and the data of its two buttons.
fn card(place: &Place) -> (i32, String, String) {
    place.api.until("the card", OWNER, |shown| {
        let asks =
            shown.iter().rev().find(|one| one.keyboard.iter().flatten().any(|(text, _)| text == "Allow once"))?;
        Some((asks.id, asks.keyboard[0][0].1.clone(), asks.keyboard[0][1].1.clone()))
    })
}

fn runs(place: &Place) -> Vec<Value> {
    place.castoff.json(&["runs"]).1.as_array().unwrap().clone()
}

fn is_open(place: &Place) -> bool {
    place.castoff.json(&["approvals"]).1.as_array().unwrap().len() == 1
}

#[test]
fn only_the_right_person_answers_once_and_a_crash_changes_nothing_of_it() {
    let place = Place::new();
    // The strangers have a chat to press in, as everybody has who wrote to the bot.
    place.api.say(PARTNER, "/status");
    place.sees(PARTNER, &["runner: ready"]);
    let (theirs, strange) = (place.api.say(PARTNER, "/help"), place.api.say(STRANGER, "hi"));
    place.sees(PARTNER, &["/stop"]);
    place.script(&json!([exec("", "git --version > version.txt"), reply("Done once.")]));
    place.api.say(OWNER, "which git?");
    place.sees(OWNER, &["May this run?", "git --version > version.txt"]);
    let (message, yes, no) = card(&place);

    // The data of the buttons, pressed by others, below the card and elsewhere.
    for data in [&yes, &no] {
        for (person, chat) in [(PARTNER, (OWNER, message)), (PARTNER, (PARTNER, theirs))] {
            place.api.press_data(person, chat, data);
        }
        for person in [STRANGER, 777] {
            place.api.press_data(person, (STRANGER, strange), data);
            place.api.press_data(person, (OWNER, message), data);
        }
    }
    place.all_taken();
    assert!(is_open(&place), "somebody else answered it");
    let told = place.api.notifications();
    let of_partner: Vec<_> = told.iter().filter(|(_, text)| text.is_some()).collect();
    // Once each from his own chat; what comes out of another's is no press at all.
    assert_eq!((of_partner.len(), told.len()), (2, 2), "only the partner is told, and why not: {told:?}");
    assert!(of_partner.iter().all(|(_, text)| text.as_deref() == Some("only the owner may answer this")), "{told:?}");
    for data in ["y:aaaaaaaaaaaa", "y:", "q:whatever", "\u{202e}"] {
        place.api.press_data(OWNER, (OWNER, message), data);
    }
    place.all_taken();
    assert!(is_open(&place));

    place.crash_and_serve();
    assert_eq!(card(&place), (message, yes.clone(), no.clone()), "it is another card after the crash");
    assert_eq!(place.api.screen(OWNER).matches("May this run?").count(), 1);

    // A double tap.
    for data in [&yes, &yes] {
        place.api.press_data(OWNER, (OWNER, message), data);
    }
    let screen = place.sees(OWNER, &["Allowed once by Ann", "Done once."]);
    assert!(!screen.contains("May this run?"), "{screen}");
    let shown = place.api.chat(OWNER);
    let shown = shown.iter().find(|one| one.id == message).unwrap();
    assert!(shown.text.contains("Allowed once by Ann") && shown.keyboard.is_empty(), "{shown}");
    assert_eq!(runs(&place).len(), 1, "it ran twice");
    for data in [&yes, &no] {
        place.api.press_data(OWNER, (OWNER, message), data);
    }
    place.all_taken();
    eventually("a late press is answered", || {
        let told = place.api.notifications();
        let late = told.iter().filter(|(_, text)| text.as_deref() == Some("it is answered already"));
        (late.count() >= 2).then_some(())
    });
    assert_eq!(runs(&place).len(), 1, "it ran twice");
    let audit = place.castoff.castoff(&["audit", "list", "-n", "200"]).ended(0).stdout;
    assert_eq!(audit.matches("approval.granted").count(), 1, "{audit}");
    place.castoff.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn a_no_is_one_for_good_and_the_model_is_told() {
    let place = Place::new();
    place.script(&json!([exec("", "git --version"), reply("Then not.")]));
    place.api.say(OWNER, "which git?");
    let (message, yes, _) = card(&place);
    place.presses(OWNER, "Refuse");
    let screen = place.sees(OWNER, &["Refused by Ann", "Then not."]);
    assert!(!screen.contains("Allow once"), "{screen}");
    place.api.press_data(OWNER, (OWNER, message), &yes);
    place.all_taken();
    assert!(runs(&place)[0]["state"]["refused"].is_object(), "{:?}", runs(&place));
    assert!(place.asked().to_string().contains("Ann said no"));
}

#[test]
fn whom_a_rule_names_answers_for_themselves_and_nobody_else_does() {
    let place = Place::new();
    // Nobody is written to who never wrote.
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["castoff 0"]);
    let tools = "exec:\n  allow: [echo, cat]\n  ask:\n    - { run: echo, approvers: [Ben] }\n    - cat\n";
    place.castoff.configure("tools.yaml", tools);
    place.castoff.castoff(&["policy", "show"]).ended(0);
    eventually("the rules are in force", || {
        place.castoff.castoff(&["policy", "show"]).stdout.contains("ben may answer for themselves").then_some(())
    });
    let asking = |shown: &[Shown]| {
        shown.iter().rev().find_map(|one| {
            let pressed = one.keyboard.iter().flatten().find(|(text, _)| text == "Allow once")?;
            Some((one.id, pressed.1.clone(), one.keyboard.iter().flatten().count()))
        })
    };
    // Shown to both, without what only the owner may do.
    place.api.say(PARTNER, "/run echo mine");
    let (message, yes, buttons) = place.api.until("his card", PARTNER, asking);
    assert_eq!(buttons, 2, "{}", place.api.screen(PARTNER));
    place.api.until("her card", OWNER, asking);
    place.api.press_data(PARTNER, (PARTNER, message), &yes);
    place.sees(PARTNER, &["Allowed once by Ben", "mine"]);
    place.sees(OWNER, &["Allowed once by Ben"]);

    // Where another rule asks too, it is the owner's question.
    place.api.say(PARTNER, "/run echo mine | cat");
    let (below, yes, _) = place.api.until("her card", OWNER, asking);
    assert!(asking(&place.api.chat(PARTNER)).is_none(), "{}", place.api.screen(PARTNER));
    place.api.press_data(PARTNER, (PARTNER, message), &yes);
    place.all_taken();
    assert!(is_open(&place), "he answered it");
    place.api.press_data(OWNER, (OWNER, below), &yes);
    place.sees(OWNER, &["Allowed once by Ann"]);
}
