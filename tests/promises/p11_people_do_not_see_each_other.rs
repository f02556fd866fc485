//! Promise 11: people do not see each other's conversation and outputs; the owner sees content only in an
//! approval that he must judge.

use serde_json::json;

use crate::common::eventually;
use crate::place::{OWNER, PARTNER, Place, exec, reply};

#[test]
fn a_partners_turn_is_granted_by_the_owner_and_shown_to_the_partner_alone() {
    let place = Place::new();
    // A bot can write to nobody who has not written to it.
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["runner: ready"]);
    place.script(&json!([exec("", "git --version"), reply("It is git.")]));
    place.api.say(PARTNER, "which git?");
    place.sees(OWNER, &["git --version", "Allow once", "Ben"]);
    // A button of somebody else's chat does nothing for whoever sends its data.
    let card = place.api.until("the card", OWNER, |shown| {
        shown.iter().rev().find(|one| !one.keyboard.is_empty()).map(|one| (one.id, one.keyboard[0][0].1.clone()))
    });
    place.api.press_data(PARTNER, (OWNER, card.0), &card.1);
    eventually("the press is taken", || (place.api.unacknowledged() == 0).then_some(()));
    assert!(place.api.screen(OWNER).contains("Allow once"), "a partner granted his own wish");
    place.castoff.crash();
    place.castoff.serve();
    place.api.until_polled();
    place.presses(OWNER, "Allow once");
    place.sees(PARTNER, &["It is git."]);
    assert!(!place.api.screen(OWNER).contains("It is git."), "the owner saw another's reply");
    // It is judged: from here on the owner sees who, when and which programs, and not the words.
    let (_, runs) = place.castoff.json(&["runs"]);
    let run = runs.as_array().unwrap().iter().find(|run| run["person"] == "ben").unwrap();
    assert_eq!((run["script"].as_str(), run["plan"].is_null()), (Some("# git"), true), "{run:#}");
    let id = run["run"].as_str().unwrap();
    for what in ["logs", "diff"] {
        let answer = place.castoff.castoff(&[what, id]).ended(77).says(&["ben"]);
        assert_eq!(answer.stdout, "");
    }
    let audit = place.castoff.castoff(&["audit", "list", "-n", "100"]).ended(0).stdout;
    assert!(audit.contains("run.asked") && !audit.contains("git --version"), "{audit}");
    place.api.say(OWNER, &format!("/log {id}"));
    place.sees(OWNER, &["this run is ben's"]);
}
