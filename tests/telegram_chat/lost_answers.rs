//! Telegram does not answer, or too late, or answers that somebody has to wait: nothing is lost, and
//! nothing is said or done twice in silence.

use std::time::Duration;

use serde_json::json;

use crate::common::eventually;
use crate::place::botapi::Fault;
use crate::place::{OWNER, PARTNER, Place, exec, reply};

/// No fault for the next one.
const WELL: Fault = Fault::Slow(Duration::ZERO);
const CONFLICT: &str =
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";

/// The bot's messages with this text, in order.
fn with(place: &Place, person: i64, text: &str) -> Vec<String> {
    let chat = place.api.chat(person);
    chat.iter().filter(|one| one.by_bot && one.text.contains(text)).map(|one| one.text.clone()).collect()
}

/// Faults of the next messages that are sent, in order.
fn sending(place: &Place, faults: impl IntoIterator<Item = Fault>) {
    faults.into_iter().for_each(|fault| place.api.fail("sendMessage", fault));
}

/// A turn with a card, so that its reply is a message of its own, the third one.
fn card_and(text: &str) -> serde_json::Value {
    json!([exec("", "echo hi >> a.txt"), reply(text)])
}

/// Another turn, to its reply: whatever was to come before it has come.
fn goes_on(place: &Place, person: i64, text: &str) {
    place.script(&json!([reply(text)]));
    place.api.say(person, "go on");
    place.sees(person, &[text]);
}

#[test]
fn a_message_whose_answer_was_lost_comes_once_more_and_says_so() {
    let place = Place::new();
    place.script(&card_and("The reply."));
    sending(&place, [WELL, WELL, Fault::DropAfter]);
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["(may repeat)"]);
    goes_on(&place, OWNER, "Next.");
    assert_eq!(with(&place, OWNER, "The reply."), ["The reply.", "(may repeat)\nThe reply."]);

    // What may be there twice is not tried a third time.
    place.script(&card_and("Another."));
    sending(&place, [WELL, WELL, Fault::DropAfter, Fault::DropAfter]);
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["(may repeat)\n  Another."]);
    goes_on(&place, OWNER, "And next.");
    assert_eq!(with(&place, OWNER, "Another."), ["Another.", "(may repeat)\nAnother."]);

    // Nobody can know that this one was not taken.
    place.script(&card_and("A third."));
    sending(&place, [WELL, WELL, Fault::DropBefore]);
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["A third."]);
    goes_on(&place, OWNER, "Last.");
    assert_eq!(with(&place, OWNER, "A third."), ["(may repeat)\nA third."]);
}

#[test]
fn of_a_long_reply_only_the_part_in_doubt_comes_again() {
    let place = Place::new();
    let text: String =
        (0..1200).map(|word| format!("word{word:04}{}", if word % 100 == 99 { "\n\n" } else { " " })).collect();
    place.script(&json!([reply(&text)]));
    // The draft becomes the first message; the second one's answer is lost.
    sending(&place, [WELL, Fault::DropAfter]);
    place.api.say(OWNER, "tell me");
    place.sees(OWNER, &["word1199"]);
    goes_on(&place, OWNER, "Next.");
    let mut parts = with(&place, OWNER, "word");
    let again = parts.iter().position(|part| part.starts_with("(may repeat)")).expect("one says that it may repeat");
    assert_eq!(parts.remove(again), format!("(may repeat)\n{}", parts[again - 1]));
    let shown: Vec<&str> = parts.iter().flat_map(|part| part.split_whitespace()).collect();
    assert_eq!(shown, text.split_whitespace().collect::<Vec<_>>());
    assert!(parts.len() >= 3, "{} parts", parts.len());
}

#[test]
fn an_edit_is_never_doubled_and_is_made_in_the_end() {
    let place = Place::new();
    place.script(&json!([exec("", "sleep 3"), reply("The reply.")]));
    for fault in [Fault::DropAfter, Fault::DropBefore, Fault::Refuse(502, "Bad Gateway"), Fault::DropAfter] {
        place.api.fail("editMessageText", fault);
    }
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["The reply."]);
    goes_on(&place, OWNER, "Next.");
    assert_eq!(with(&place, OWNER, "The reply."), ["The reply."]);
    assert!(!place.api.screen(OWNER).contains("(may repeat)"), "{}", place.api.screen(OWNER));
}

#[test]
fn what_cannot_have_arrived_is_sent_again_as_it_is() {
    let place = Place::new();
    place.script(&json!([exec("", "sleep 2; echo hi > a.txt"), reply("The reply.")]));
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["command: sleep 2"]);
    place.api.be_away(true);
    eventually("the turn is over", || {
        let audit = place.castoff.castoff(&["audit", "list", "-n", "20"]).ended(0).stdout;
        audit.contains("turn.done").then_some(())
    });
    eventually("the card is tried", || place.castoff.log().contains("cannot be reached").then_some(()));
    place.api.be_away(false);
    place.sees(OWNER, &["exit 0", "The reply."]);
    goes_on(&place, OWNER, "Next.");
    assert_eq!(with(&place, OWNER, "The reply."), ["The reply."]);
    assert_eq!(with(&place, OWNER, "exit 0").len(), 1);
    assert!(!place.api.screen(OWNER).contains("(may repeat)"), "{}", place.api.screen(OWNER));
}

#[test]
fn who_has_to_wait_waits_and_holds_up_nobody_else() {
    const SECONDS: u64 = 6;
    let place = Place::new();
    place.api.say(PARTNER, "/status");
    place.sees(PARTNER, &["runner: ready"]);
    place.script(&card_and("The reply."));
    sending(&place, [WELL, WELL, Fault::TooMany(SECONDS)]);
    place.api.say(OWNER, "do it");
    eventually("Telegram said to wait", || (place.api.requests("sendMessage").len() == 4).then_some(()));
    goes_on(&place, PARTNER, "Hello Ben.");
    assert!(!place.api.screen(OWNER).contains("The reply."), "Telegram was not obeyed");
    place.sees(OWNER, &["The reply."]);
    let to_owner: Vec<_> = place
        .api
        .requests("sendMessage")
        .iter()
        .zip(place.api.arrivals("sendMessage"))
        .filter(|(request, _)| request["chat_id"] == OWNER)
        .map(|(_, arrived)| arrived)
        .collect();
    assert!(to_owner[3] - to_owner[2] >= Duration::from_secs(SECONDS), "{:?}", to_owner[3] - to_owner[2]);
    assert_eq!(with(&place, OWNER, "The reply."), ["The reply."]);

    // An answer to a command is no less than a reply.
    sending(&place, [Fault::TooMany(1)]);
    place.api.say(OWNER, "/budget");
    place.sees(OWNER, &["today: "]);
    sending(&place, [Fault::DropAfter]);
    place.api.say(OWNER, "/model");
    place.sees(OWNER, &["(may repeat)\n  mock/model-x"]);
    assert_eq!(with(&place, OWNER, "mock/model-x").len(), 2);
}

#[test]
fn a_reply_comes_also_when_its_draft_was_deleted() {
    let place = Place::new();
    place.script(&json!([exec("", "sleep 3"), reply("The reply.")]));
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["command: sleep 3"]);
    place.api.clear(OWNER);
    place.sees(OWNER, &["The reply."]);
    goes_on(&place, OWNER, "Next.");
    assert_eq!(with(&place, OWNER, "The reply."), ["The reply."]);
}

#[test]
fn a_reply_that_is_refused_comes_plain_and_what_cannot_come_is_said() {
    let place = Place::new();
    const REFUSED: Fault = Fault::Refuse(400, "Bad Request: ENTITY_BOUNDS_INVALID");
    place.script(&card_and("**The** reply."));
    sending(&place, [WELL, WELL, REFUSED]);
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["The reply."]);
    place.script(&card_and("Another."));
    sending(&place, [WELL, WELL, REFUSED, REFUSED]);
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["a message could not be sent: Telegram refused it (400): Bad Request: ENTITY_BOUNDS_INVALID"]);
    goes_on(&place, OWNER, "Next.");
}

#[test]
fn what_a_bot_has_not_shown_is_shown_by_the_next_one() {
    let place = Place::new();
    let chooses = |owner: i64| place.castoff.castoff(&["config", "--owner-telegram-id", &owner.to_string()]).ended(0);
    place.script(&json!([exec("", "echo hi > a.txt"), reply("The reply.")]));
    // The card has to wait for long, and the reply waits behind it.
    sending(&place, [WELL, Fault::TooMany(3600)]);
    place.api.say(OWNER, "do it");
    eventually("the turn is over", || {
        let audit = place.castoff.castoff(&["audit", "list", "-n", "50"]).ended(0).stdout;
        audit.contains("turn.done").then_some(())
    });
    eventually("the card is tried", || (place.api.requests("sendMessage").len() == 2).then_some(()));
    chooses(OWNER);
    place.sees(OWNER, &["exit 0", "The reply."]);
    goes_on(&place, OWNER, "Next.");
    let screen = place.api.screen(OWNER);
    assert!(screen.find("exit 0") < screen.find("The reply.") && !screen.contains("(may repeat)"), "{screen}");
    assert_eq!((with(&place, OWNER, "exit 0").len(), with(&place, OWNER, "The reply.").len()), (1, 1), "{screen}");

    // What was on its way may have come.
    place.script(&card_and("Another."));
    sending(&place, [WELL, WELL, Fault::Slow(Duration::from_secs(600))]);
    place.api.say(OWNER, "do it");
    place.sees(OWNER, &["Another."]);
    chooses(OWNER + 1);
    place.sees(OWNER, &["(may repeat)\n  Another."]);
    goes_on(&place, OWNER, "Last.");
    assert_eq!(with(&place, OWNER, "Another.").len(), 2);
}

#[test]
fn that_somebody_else_takes_the_messages_is_told_to_the_owner_once() {
    let place = Place::new();
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["runner: ready"]);
    for _ in 0..4 {
        place.api.fail("getUpdates", Fault::Refuse(409, CONFLICT));
    }
    // Whatever waits is taken up by the next poll.
    place.api.say(OWNER, "/help");
    place.sees(OWNER, &["somebody else takes this bot's messages"]);
    place.api.say(OWNER, "/approvals");
    place.sees(OWNER, &["no open questions"]);
    assert_eq!(with(&place, OWNER, "somebody else").len(), 1, "{}", place.api.screen(OWNER));
}

#[test]
fn a_poll_that_is_never_answered_is_given_up_and_nothing_is_lost() {
    let place = Place::new();
    let calls = place.model_calls();
    place.script(&json!([reply("The reply.")]));
    // The update is handed out, and the answer does not arrive.
    place.api.fail("getUpdates", Fault::DropAfter);
    place.api.fail("getUpdates", Fault::Slow(Duration::from_secs(600)));
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["runner: ready"]);
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["The reply."]);
    assert_eq!(place.model_calls(), calls + 1);
    assert_eq!(with(&place, OWNER, "The reply.").len(), 1);
}

#[test]
fn updates_that_come_again_do_nothing_again() {
    let place = Place::new();
    place.script(&json!([exec("", "git --version >> a.txt"), reply("The reply.")]));
    place.api.say(OWNER, "do it");
    place.presses(OWNER, "Allow once");
    place.sees(OWNER, &["The reply."]);
    place.api.say(OWNER, "/run echo once >> a.txt");
    place.sees(OWNER, &["◀ echo once >> a.txt"]);
    let counts = || {
        let (_, runs) = place.castoff.json(&["runs"]);
        (runs.as_array().unwrap().len(), place.model_calls(), with(&place, OWNER, "The reply.").len())
    };
    let before = counts();
    place.api.redeliver();
    place.all_taken();
    assert_eq!(counts(), before);
    place.crash_and_serve();
    place.api.redeliver();
    place.all_taken();
    goes_on(&place, OWNER, "Next.");
    assert_eq!(counts(), (before.0, before.1 + 1, before.2));
}

#[test]
fn a_command_that_changes_the_settings_is_taken_once() {
    let place = Place::new();
    let calls = place.model_calls();
    // The answer takes so long that the settings have changed when the next poll would acknowledge it.
    sending(&place, [Fault::Slow(Duration::from_secs(1))]);
    place.api.say(OWNER, "/model mock/model-y");
    place.sees(OWNER, &["mock/model-y answers"]);
    goes_on(&place, OWNER, "Next.");
    place.api.say(OWNER, "/model");
    place.sees(OWNER, &["tokens of context"]);
    assert_eq!(with(&place, OWNER, "mock/model-y answers").len(), 1, "{}", place.api.screen(OWNER));
    assert!(place.model_calls() <= calls + 2, "it was tried over and over");
}
