//! From the first message to the reply: cards, commands, files.

use std::fs;

use serde_json::json;

use crate::common::eventually;
use crate::model::{Model, is_busy, says, says_and_runs, says_for, says_slowly};
use crate::place::botapi::Fault;
use crate::place::{OWNER, PARTNER, Place, exec, reply};

#[test]
fn a_conversation_with_an_approval_a_refusal_a_diff_and_an_undo() {
    let place = Place::new();
    place.script(&json!([
        exec("I make it.", "echo hello > a.txt"),
        exec("", "nmap localhost"),
        exec("", "git --version"),
        reply("**Done**: `a.txt` is there & <fine>."),
    ]));
    place.api.say(OWNER, "make a.txt");
    // The whole plan is on the card, and nothing runs before the answer.
    let screen = place.sees(OWNER, &["git --version", "Allow once", "Refuse", "a.txt"]);
    assert!(!screen.contains("Done"), "{screen}");
    place.presses(OWNER, "Allow once");
    let screen = place.sees(OWNER, &["Done: a.txt is there & <fine>.", "by Ann"]);
    assert!(!screen.contains("Allow once"), "an answered card has no buttons:\n{screen}");
    let file = place.castoff.own().join("a.txt");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello\n");
    // The run card: diff, then undo.
    place.presses(OWNER, "Diff");
    place.sees(OWNER, &["+hello"]);
    place.presses(OWNER, "Undo");
    eventually("the file is gone", || (!file.exists()).then_some(()));
    place.sees(OWNER, &["taken back"]);
    assert!(place.api.typing(OWNER) > 0);
    // The same conversation goes on at the terminal.
    place.script(&json!([reply("As I said in Telegram.")]));
    let answer = place.castoff.run_in(place.castoff.root(), &["chat", "and?"]).ended(0);
    assert_eq!(answer.stdout, "As I said in Telegram.\n");
    println!("{}", place.api.screen(OWNER));
}

#[test]
fn a_reply_is_shown_as_it_grows_and_ends_as_one_message() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    model.then([says_slowly(&["One", " two", " three", " four."])]);
    place.api.say(OWNER, "count");
    for (shown, not_yet) in [("One", "three"), ("One two", "four"), ("One two three", "four.")] {
        let screen = place.sees(OWNER, &[shown]);
        assert!(!screen.contains(not_yet), "{screen}");
    }
    let screen = place.sees(OWNER, &["One two three four."]);
    assert_eq!(screen.matches("One").count(), 1, "{screen}");
}

#[test]
fn what_a_longer_wait_is_for_is_said() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    model.then([is_busy(8), says("At last.")]);
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["thinking…", "asking again in"]);
    let screen = place.sees(OWNER, &["At last."]);
    assert!(!screen.contains("asking again"), "{screen}");
}

#[test]
fn commands_work_without_the_model() {
    let place = Place::new();
    let calls = place.model_calls();
    place.api.say(OWNER, "/run echo from the chat");
    place.sees(OWNER, &["echo from the chat", "exit 0"]);
    place.presses(OWNER, "Log");
    place.sees(OWNER, &["from the chat\n"]);
    place.api.say(OWNER, "/run nmap localhost");
    place.sees(OWNER, &["nmap", "refused"]);
    for (command, text) in [
        ("/runs", "echo from the chat"),
        ("/budget", "today: $0.00"),
        ("/status", "runner: ready"),
        ("/model", "mock/model-x"),
        ("/approvals", "no open questions"),
        ("/help", "/undo"),
        ("/nonsense", "there is no /nonsense"),
    ] {
        place.api.say(OWNER, command);
        place.sees(OWNER, &[text]);
    }
    assert_eq!(place.model_calls(), calls);
    let offers = |person: i64, command: &str| place.api.commands(person).iter().any(|(name, _)| name == command);
    eventually("the owner's menu", || offers(OWNER, "undo").then_some(()));
    assert!(
        offers(PARTNER + 1, "help") && !offers(PARTNER + 1, "undo"),
        "who may run nothing is offered nothing that runs"
    );
}

#[test]
fn files_come_into_the_inbox_and_go_out_again() {
    let place = Place::new();
    let call = |name: &str, path: &str| json!({ "name": name, "arguments": { "path": path } });
    place.script(&json!([
        { "type": "reply", "text": "", "tool_calls": [call("read_file", "inbox/notes.txt"), call("send_file", "inbox/notes.txt")] },
        reply("Here it is again."),
    ]));
    place.api.send_document(OWNER, "notes.txt", b"milk and bread\n", "what does it say?");
    place.sees(OWNER, &["receive inbox/notes.txt", "Here it is again."]);
    assert_eq!(fs::read(place.castoff.own().join("inbox/notes.txt")).unwrap(), b"milk and bread\n");
    let sent = place
        .api
        .until("the file", OWNER, |shown| shown.iter().filter(|one| one.by_bot).find_map(|one| one.document.clone()));
    assert_eq!(sent, ("notes.txt".to_owned(), b"milk and bread\n".to_vec()));
    // The second one of a name gets a number.
    place.script(&json!([reply("Seen.")]));
    place.api.send_document(OWNER, "notes.txt", b"eggs\n", "");
    place.sees(OWNER, &["Seen."]);
    assert_eq!(fs::read(place.castoff.own().join("inbox/notes-2.txt")).unwrap(), b"eggs\n");
}

#[test]
fn a_file_that_cannot_be_sent_is_said_to_the_model_or_to_the_person() {
    let place = Place::new();
    place.api.say(OWNER, "/run : > empty.txt; echo hi > full.txt");
    place.sees(OWNER, &["2 changes applied"]);
    let call = |path: &str| json!({ "name": "send_file", "arguments": { "path": path } });
    place.script(&json!([
        { "type": "reply", "text": "", "tool_calls": [call("empty.txt"), call("full.txt")] },
        reply("Here they are."),
    ]));
    for _ in 0..2 {
        place.api.fail("sendDocument", Fault::Refuse(400, "Bad Request: no"));
    }
    place.api.say(OWNER, "send both");
    place.sees(OWNER, &["`full.txt` could not be sent: Telegram refused it (400): Bad Request: no", "Here they are."]);
    let told = place.asked().to_string();
    assert!(told.contains("`empty.txt` is empty; an empty file cannot be sent"), "{told}");
}

#[test]
fn a_command_below_a_file_is_what_was_written() {
    let place = Place::new();
    place.api.send_document(OWNER, "notes.txt", b"milk and bread\n", "/run cat inbox/notes.txt");
    place.sees(OWNER, &["receive inbox/notes.txt", "◀ cat inbox/notes.txt\n  ✅ exit 0"]);
    place.api.say(OWNER, "/log");
    place.sees(OWNER, &["milk and bread"]);
}

#[test]
fn what_is_said_beside_commands_stays() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    let texts = ["First I look.", "Then I look again.", "That is all."];
    let commands = ["echo hi > a.txt", "echo ho > b.txt"];
    model.then([says_and_runs(texts[0], commands[0]), says_and_runs(texts[1], commands[1]), says(texts[2])]);
    place.api.say(OWNER, "look");
    let screen = place.sees(OWNER, &texts);
    let places = texts.map(|text| screen.find(text));
    assert!(places.is_sorted() && texts.iter().all(|text| screen.matches(text).count() == 1), "{screen}");
    // Also when nothing comes behind it.
    model.then([says_and_runs("I begin.", "sleep 300")]);
    place.api.say(OWNER, "begin");
    place.castoff.live_container();
    place.api.say(OWNER, "/stop");
    let screen = place.sees(OWNER, &["Stopped."]);
    assert!(screen.contains("◀ I begin.\n") && screen.find("I begin.") < screen.find("Stopped."), "{screen}");
}

#[test]
fn a_photo_lands_in_the_inbox_and_the_model_is_told() {
    let place = Place::new();
    place.script(&json!([reply("A cat.")]));
    let message = place.api.send_photo(OWNER, b"jpeg");
    place.sees(OWNER, &["A cat."]);
    let name = format!("inbox/photo-{message}.jpg");
    assert_eq!(fs::read(place.castoff.own().join(&name)).unwrap(), b"jpeg");
    assert!(place.asked().to_string().contains(&format!("[I sent you a file: {name}]")));
}

#[test]
fn a_long_log_and_a_long_diff_come_as_files() {
    let place = Place::new();
    let numbers: String = (1..=2000).map(|number| format!("{number}\n")).collect();
    place.api.say(OWNER, "/run seq 2000 > numbers.txt; cat numbers.txt");
    place.sees(OWNER, &["1 change applied"]);
    let document = |ending: &str| {
        place.api.until(ending, OWNER, |shown| {
            shown.iter().filter_map(|one| one.document.clone()).find(|(name, _)| name.ends_with(ending))
        })
    };
    place.api.say(OWNER, "/log");
    assert_eq!(String::from_utf8(document(".txt").1).unwrap(), numbers);
    place.presses(OWNER, "Diff");
    let diff = String::from_utf8(document(".diff").1).unwrap();
    assert_eq!(diff.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++")).count(), 2000, "{diff}");
}

#[test]
fn a_menu_offers_what_its_person_may_do() {
    let place = Place::new();
    let menu = |person: i64| place.api.commands(person).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    // Nobody has written, so all are offered what everybody may.
    let least = ["help", "stop", "budget", "rights"];
    eventually("the menu of all", || (menu(PARTNER) == least).then_some(()));
    place.api.say(PARTNER, "/help");
    let more = ["run", "runs", "log", "diff", "undo", "approvals", "model", "status", "apply", "drop"];
    eventually("the partner's menu", || (menu(PARTNER) == [&least[..], &more[..]].concat()).then_some(()));
    assert_eq!(menu(OWNER), least, "it is another chat's");
}

#[test]
fn most_of_a_budget_spent_is_told_to_the_owner_once() {
    let model = Model::start();
    let users = format!(
        "owner: {{ name: Ann, telegram_id: \"{OWNER}\" }}\nusers:\n  - {{ id: ben, name: Ben, trust_level: trusted, \
         telegram_id: \"{PARTNER}\" }}\n"
    );
    let limits = "rate_limits: { mock: { daily_budget: \"$0.15\", alert_at: \"80%\" } }\n".to_owned();
    let place = Place::with(model.url(), &[("users.yaml", users), ("limits.yaml", limits)]);
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["castoff 0"]);
    // 2.7 and 10.5 cents.
    model.then([says_for("It is dear.", 9000, 7000)]);
    place.api.say(PARTNER, "think");
    place.sees(PARTNER, &["It is dear."]);
    place.sees(OWNER, &["of $0.1500 spent: over 80 % of the daily budget"]);
    place.api.say(PARTNER, "think more");
    eventually("the second turn ends", || {
        let audit = place.castoff.castoff(&["audit", "list", "-n", "200"]).ended(0).stdout;
        (audit.matches("turn.done").count() == 2)
            .then(|| assert_eq!(audit.matches("budget.alert").count(), 1, "{audit}"))
    });
    assert_eq!(place.api.screen(OWNER).matches("over 80 %").count(), 1);
    assert!(!place.api.screen(PARTNER).contains("over 80 %"), "it is the owner's");
}
