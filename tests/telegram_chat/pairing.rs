//! `castoff setup` at a terminal, and the code that makes a Telegram account the owner's.

use serde_json::json;

use crate::common::{Live, eventually};
use crate::place::{OWNER, Place, reply};

const STRANGER: i64 = 6_666;

/// Answers the questions up to the code, and returns it.
fn until_the_code(place: &Place, setup: &mut Live) -> String {
    setup.until("1, 2, 3 or Enter");
    setup.types(b"\r");
    setup.until("Bot token");
    setup.types(format!("{}\r", place.api.token()).as_bytes());
    setup.until("Send this code to @castoff_test_bot");
    setup.until("waiting; Ctrl-C skips");
    let said = setup.said();
    assert!(!said.contains(place.api.token()), "the token stands on the screen: {said}");
    let rest = said.split_once("Send this code").unwrap().1;
    let code = rest.split(|letter: char| !letter.is_ascii_digit()).find(|word| word.len() == 8);
    code.unwrap_or_else(|| panic!("no code: {said}")).to_owned()
}

/// Leaves the questions after it unanswered.
fn skip_the_rest(mut setup: Live) -> String {
    setup.until("Directory (Enter");
    setup.types(b"\r");
    setup.until("Daily cap (Enter");
    setup.types(b"\r");
    setup.finish().ended(0).stdout
}

fn another(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:08}", (number + 1) % 100_000_000)
}

#[test]
fn whoever_sends_the_code_of_the_terminal_is_the_owner_and_nobody_else() {
    let place = Place::unpaired();
    let calls = place.model_calls();
    let mut setup = place.castoff.at_terminal(&["setup"]);
    let code = until_the_code(&place, &mut setup);
    assert_eq!(place.api.requests("getMe").len(), 2, "the token is tried before it is kept, and the bot's name asked");

    // Nobody is the owner yet, and a wrong code changes nothing.
    place.api.say(STRANGER, &another(&code));
    place.all_taken();
    assert!(setup.is_under_way(), "a stranger's wrong code ended the setup: {}", setup.said());
    place.api.say(OWNER, &code);
    setup.until(&format!("{OWNER}"));
    place.sees(OWNER, &["You are the owner"]);
    let said = skip_the_rest(setup);
    println!("{said}");

    // The code was no message to the model, also when Telegram brings it again.
    place.api.redeliver();
    place.all_taken();
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["runner: ready"]);
    assert_eq!(place.model_calls(), calls, "the code went to the model");

    // It counts once.
    place.api.say(STRANGER, &code);
    place.all_taken();
    place.script(&json!([reply("Hello Ann.")]));
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["Hello Ann."]);
    assert!(place.api.chat(STRANGER).iter().all(|one| !one.by_bot), "{}", place.api.screen(STRANGER));
    let audit = place.castoff.castoff(&["audit", "list", "-n", "200"]).ended(0).stdout;
    assert!(audit.contains("telegram.stranger") && audit.contains(&STRANGER.to_string()), "{audit}");
    assert!(!audit.contains(&code), "the code is in the log");

    // By the numeric id, and for good. The code is no message to the model either when it comes again after a crash.
    let calls = place.model_calls();
    place.crash_and_serve();
    place.api.redeliver();
    place.all_taken();
    assert_eq!(place.model_calls(), calls, "what came again went to the model");
    place.script(&json!([reply("Still you.")]));
    place.api.say(OWNER, "and now?");
    place.sees(OWNER, &["Still you."]);
    place.castoff.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn codes_cannot_be_tried_out_and_setup_says_so() {
    let place = Place::unpaired();
    let mut setup = place.castoff.at_terminal(&["setup"]);
    let code = until_the_code(&place, &mut setup);
    let mut wrong = another(&code);
    for _ in 0..12 {
        place.api.say(STRANGER, &wrong);
        wrong = another(&wrong);
    }
    setup.until("wrong codes");
    // The right one comes too late, and the other questions are asked all the same.
    place.api.say(OWNER, &code);
    place.all_taken();
    skip_the_rest(setup);
    assert!(place.api.chat(OWNER).iter().all(|one| !one.by_bot), "{}", place.api.screen(OWNER));
    // Another setup, another code.
    let mut setup = place.castoff.at_terminal(&["setup"]);
    let again = until_the_code(&place, &mut setup);
    assert_ne!(again, code);
    // As the link to the bot sends it.
    place.api.say(OWNER, &format!("/start {again}"));
    place.sees(OWNER, &["You are the owner"]);
    skip_the_rest(setup);
    // And once more, from the same account.
    let mut setup = place.castoff.at_terminal(&["setup"]);
    let once_more = until_the_code(&place, &mut setup);
    place.api.say(OWNER, &once_more);
    eventually("the owner is the owner still", || setup.said().contains("is the owner's now").then_some(()));
    skip_the_rest(setup);
}

#[test]
fn a_wrong_token_is_said_and_not_kept() {
    let place = Place::unpaired();
    let mut setup = place.castoff.at_terminal(&["setup"]);
    setup.until("1, 2, 3 or Enter");
    setup.types(b"\r");
    setup.until("Bot token");
    setup.types(b"123456:AAwrong-token_that-nobody_has-ever-had\r");
    setup.until("does not know this bot token");
    // Without a bot nobody is asked to send a code.
    assert!(!skip_the_rest(setup).contains("Send this code"));
    assert_eq!(place.api.requests("getUpdates").len(), 0);
}
