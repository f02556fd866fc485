//! Turns, on the engine alone: what each event leads to, and what a restart does to them.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a check names what it is about")]

#[path = "turns/context.rs"]
mod context;
#[path = "turns/limits.rs"]
mod limits;
#[path = "turns/place.rs"]
mod place;
#[path = "turns/stops.rs"]
mod stops;
#[path = "turns/world.rs"]
mod world;

use std::path::Path;
use std::sync::Arc;

use castoff::config::load_policy;
use castoff::domain::change::{Change, Landing, Node, NodeKind};
use castoff::domain::ids::TurnId;
use castoff::domain::model::{FailureKind, ModelFailure, ModelMessage, ModelRequest, ToolCall};
use castoff::domain::plan::Image;
use castoff::domain::run::{Ending, RunEnd, StopCause, Usage};
use castoff::domain::turn::{Body, Channel, PostState, TurnOutcome, TurnState};
use castoff::engine::post::Posted;
use castoff::engine::{Effect, Event, Saying};
use castoff::protocol::runner::{FromRunner, IMAGES, Readiness, ToRunner};
use castoff::tools;
use serde_json::json;

use world::{FREE, PRICED, World, applies, called, calls_model, exec, results, surveyed};

#[test]
fn a_message_becomes_a_call_and_its_reply_ends_the_turn() {
    let mut world = World::new(PRICED, 200_000);
    let (turn, effects) = world.say("owner", "hello");
    let request = called(&effects).clone();
    assert_eq!(request.messages, [ModelMessage::Person("hello".to_owned())]);
    assert!(request.system.contains("Ann") && request.system.contains("/srv/castoff/people/owner"));
    assert_eq!(request.tools.len(), tools::specs().len());
    let reserved = world.ledger[0].clone();
    assert_eq!((reserved.settled, &reserved.call), (None, &request.call), "reserved with the call");
    let effects = world.reply(&request.call, "hi Ann", Vec::new());
    assert!(!calls_model(&effects));
    assert_eq!(world.outcome(&turn), TurnOutcome::Replied { text: "hi Ann".to_owned() });
    let paid = world.ledger[0].settled.unwrap();
    assert!(paid < reserved.reserved && paid.as_micros() > 0, "{paid} of {}", reserved.reserved);
    assert_eq!(world.turns[0].cost, paid);
    // The next turn knows what was said.
    let (_, effects) = world.say("owner", "and now?");
    assert_eq!(called(&effects).messages.len(), 3);
}

#[test]
fn tool_calls_run_one_after_the_other_and_go_back_to_the_model() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "what is there?");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "I look.", vec![exec("1", "ls"), exec("2", "nmap localhost"), exec("3", "pwd")]);
    assert!(!calls_model(&effects), "not before all calls are served");
    let effects = world.run_it(&effects, "a.txt\n", 0);
    // The second is refused at once, and the third is planned.
    let effects = world.run_it(&effects, "/home\n", 0);
    let request = called(&effects).clone();
    let results = results(&request);
    assert_eq!(results[0], ("exit code 0\na.txt".to_owned(), false));
    assert!(results[1].0.starts_with("not run:") && results[1].0.contains("nmap") && results[1].1, "{results:?}");
    assert_eq!(results[2], ("exit code 0\n/home".to_owned(), false));
    world.reply(&request.call, "a.txt", Vec::new());
    assert_eq!(world.outcome(&turn), TurnOutcome::Replied { text: "a.txt".to_owned() });
    assert!(world.runs.iter().all(|run| run.turn == turn));
}

#[test]
fn a_turn_may_delete_again_what_it_made_and_nothing_else() {
    let mut world = World::new(FREE, 32_768);
    let (_, effects) = world.say("owner", "tidy up");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", "touch a"), exec("2", "rm a"), exec("3", "rm b")]);
    let file = Some(Node { kind: NodeKind::File { bytes: 1 }, mode: 0o644 });
    let change = |path: &str, before: Option<&Node>, after: Option<&Node>| {
        vec![Change { path: path.to_owned(), before: before.cloned(), after: after.cloned() }]
    };
    let run = surveyed(&effects).unwrap();
    let effects = world.run_and_change(&effects, ("", 0), change("a", None, file.as_ref()));
    assert!(applies(&effects), "{effects:?}");
    let landed = |path: &str| Landing { workspace: "/work".into(), done: vec![path.to_owned()], conflicts: Vec::new() };
    let effects = world.step(Event::Runner(FromRunner::Applied { run, landings: vec![landed("a")] }));
    let run = surveyed(&effects).unwrap();
    let effects = world.run_and_change(&effects, ("", 0), change("a", file.as_ref(), None));
    assert!(applies(&effects), "the turn's own file: {effects:?}");
    let effects = world.step(Event::Runner(FromRunner::Applied { run, landings: vec![landed("a")] }));
    let effects = world.run_and_change(&effects, ("", 0), change("b", file.as_ref(), None));
    assert!(!applies(&effects), "somebody's file waits: {effects:?}");
}

#[test]
fn a_call_that_is_none_is_answered_with_what_is() {
    let mut world = World::new(FREE, 32_768);
    let (_, effects) = world.say("owner", "go");
    let call = called(&effects).call.clone();
    let bad = |name: &str, arguments| ToolCall { id: name.to_owned(), name: name.to_owned(), arguments };
    let calls = vec![
        bad("rm_everything", json!({})),
        bad("exec", json!({ "command": "ls", "as_root": true })),
        bad("exec", json!("{\"command\": \"l")),
        bad("exec", json!({ "command": 7 })),
    ];
    let effects = world.reply(&call, "", calls);
    let results = results(called(&effects));
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(|(text, failed)| *failed && text.starts_with("not done:")), "{results:?}");
    assert!(results[0].0.contains("There is: exec"), "{results:?}");
    assert!(results[1].0.contains("as_root"), "{results:?}");
    assert!(world.runs.is_empty(), "nothing ran");
}

#[test]
fn people_who_may_run_nothing_are_offered_no_tools() {
    let mut world = World::new(FREE, 32_768);
    let (_, effects) = world.say("lea", "run ls");
    let request = called(&effects).clone();
    assert!(request.tools.is_empty() && request.system.contains("no tools"));
    // A model that calls one all the same is refused.
    let effects = world.reply(&request.call, "", vec![exec("1", "ls")]);
    let results = results(called(&effects));
    assert!(results[0].1 && results[0].0.contains("limited"), "{results:?}");
}

#[test]
fn a_second_message_waits_for_the_first_and_other_people_do_not() {
    let mut world = World::new(FREE, 32_768);
    let (first, effects) = world.say("owner", "one");
    let call = called(&effects).call.clone();
    let (second, effects) = world.say("owner", "two");
    assert!(!calls_model(&effects));
    let (_, effects) = world.say("bob", "hello");
    let bobs = called(&effects).clone();
    assert_eq!(bobs.messages.len(), 1, "he sees nothing of hers");
    let effects = world.reply(&call, "done", Vec::new());
    assert!(matches!(world.outcome(&first), TurnOutcome::Replied { .. }));
    assert_eq!(called(&effects).turn, second);
    assert_eq!(called(&effects).messages.len(), 3);
}

#[test]
fn a_stopped_turn_breaks_its_call_off_and_a_late_reply_is_only_paid() {
    let mut world = World::new(PRICED, 200_000);
    let (turn, effects) = world.say("owner", "think long");
    let call = called(&effects).call.clone();
    let owner = world.person("owner");
    let effects = world.step(Event::TurnStopAsked { person: owner.person.clone(), turn: None, by: owner });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::CancelModel(other) if *other == call)));
    assert_eq!(world.outcome(&turn), TurnOutcome::Stopped);
    assert!(world.ledger[0].settled.is_none(), "nobody knows yet what it cost");
    let effects = world.reply(&call, "late", vec![exec("1", "ls")]);
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::Tell(_) | Effect::CallModel(_))), "{effects:?}");
    assert!(world.ledger[0].settled.is_some());
    assert!(world.reply(&call, "twice", Vec::new()).is_empty(), "a doubled event does nothing");
    // Nobody but the owner stops another's turn.
    let (bobs, _) = world.say("owner", "again");
    let bob = world.person("bob");
    let owner = world.person("owner").person;
    world.step(Event::TurnStopAsked { person: owner, turn: None, by: bob });
    assert!(!matches!(world.turns.iter().find(|one| one.turn == bobs).unwrap().state, TurnState::Done { .. }));
}

#[test]
fn stopping_a_turn_by_its_id_ends_no_other_and_none_of_somebody_else() {
    let mut world = World::new(FREE, 32_768);
    let (first, effects) = world.say("owner", "one");
    let call = called(&effects).call.clone();
    let (second, _) = world.say("owner", "two");
    let (third, _) = world.say("owner", "three");
    let stop = |world: &mut World, who: &str, turn: &TurnId| {
        let by = world.person(who);
        world.step(Event::TurnStopAsked { person: by.person.clone(), turn: Some(turn.clone()), by })
    };
    assert!(stop(&mut world, "bob", &second).is_empty(), "it is not his");
    let effects = stop(&mut world, "owner", &second);
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::CancelModel(_))), "{effects:?}");
    assert_eq!(world.outcome(&second), TurnOutcome::Stopped);
    assert!(stop(&mut world, "owner", &second).is_empty(), "a doubled event does nothing");
    let effects = world.reply(&call, "done", Vec::new());
    assert!(matches!(world.outcome(&first), TurnOutcome::Replied { .. }));
    assert_eq!(called(&effects).turn, third, "the one that waits is next");
}

#[test]
fn stopping_while_a_command_runs_stops_it_and_leaves_the_conversation_whole() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "go");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", "sleep 100"), exec("2", "ls")]);
    let run = surveyed(&effects).unwrap();
    world.step(Event::Runner(FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() }));
    let owner = world.person("owner");
    let effects = world.step(Event::TurnStopAsked { person: owner.person.clone(), turn: None, by: owner });
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Tell(ToRunner::Stop { run: other, .. }) if *other == run))
    );
    assert_eq!(world.outcome(&turn), TurnOutcome::Stopped);
    let (_, effects) = world.say("owner", "and?");
    let results = results(called(&effects));
    assert_eq!(results.len(), 2, "both calls have a result");
    assert!(results.iter().all(|(text, failed)| *failed && text.contains("the turn ended")));
}

#[test]
fn a_budget_that_is_spent_ends_the_turn_with_the_reason() {
    let mut world = World::new(PRICED, 200_000);
    let mut spent = 0;
    let outcome = loop {
        let (turn, effects) = world.say("owner", &"x".repeat(60_000));
        if !calls_model(&effects) {
            break world.outcome(&turn);
        }
        let call = called(&effects).call.clone();
        // The provider never says what it counted: all that was reserved is booked.
        let failure = ModelFailure {
            kind: FailureKind::Broken,
            why: "the stream broke off".to_owned(),
            may_cost: true,
            usage: None,
        };
        world.step(Event::ModelFailed { call, failure });
        spent = world.ledger.iter().map(|entry| entry.settled.unwrap().as_micros()).sum();
        assert!(spent <= 1_000_000, "{spent}");
    };
    let TurnOutcome::Failed { why } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("daily_budget") || why.contains("day"), "{why}");
    assert!(spent > 500_000, "it was refused far below the cap: {spent}");
}

#[test]
fn a_call_that_a_crash_cut_off_is_booked_and_made_once_more() {
    let mut world = World::new(PRICED, 200_000);
    let (turn, effects) = world.say("owner", "hello");
    let first = called(&effects).call.clone();
    let effects = world.crash();
    let second = called(&effects).call.clone();
    assert_ne!(first, second);
    assert_eq!(world.ledger[0].settled, Some(world.ledger[0].reserved), "the first is booked");
    assert!(world.reply(&first, "from before", Vec::new()).is_empty(), "its answer comes too late");
    assert!(!calls_model(&world.crash()), "not a third time");
    let TurnOutcome::Failed { why } = world.outcome(&turn) else { panic!("it ended otherwise") };
    assert!(why.contains("interrupted twice"), "{why}");
    assert_eq!(world.ledger.iter().filter(|entry| entry.settled.is_none()).count(), 0);
}

#[test]
fn a_turn_whose_command_a_crash_cut_off_goes_on_with_that() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "go");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", "ls"), exec("2", "pwd")]);
    surveyed(&effects).unwrap();
    world.crash();
    // The planned run is refused, and the next call is being planned; once the runner is back it can run.
    let images = IMAGES.map(|name| Image { name: name.to_owned(), id: format!("sha256:{name}") });
    world.step(Event::Runner(FromRunner::Ready(Readiness { images: images.to_vec(), ..Readiness::default() })));
    let text: Vec<String> = world
        .messages
        .iter()
        .filter_map(|message| if let Body::Tool { text, .. } = &message.body { Some(text.clone()) } else { None })
        .collect();
    assert!(text[0].contains("Castoff stopped before it began"), "{text:?}");
    let last = world.turns.iter().find(|one| one.turn == turn).unwrap();
    assert!(!matches!(last.state, TurnState::Done { .. }), "{:?}", last.state);
}

#[test]
fn a_crowded_conversation_is_summarised_and_keeps_its_originals() {
    let mut world = World::new(FREE, 8192);
    let mut summaries = 0;
    for number in 0..40 {
        let (_, mut effects) = world.say("owner", &format!("{number} {}", "word ".repeat(200)));
        if called(&effects).tools.is_empty() {
            summaries += 1;
            let call = called(&effects).call.clone();
            effects = world.reply(&call, "SUMMARY", Vec::new());
        }
        let request = called(&effects).clone();
        let bytes: usize = request.messages.iter().map(|message| format!("{message:?}").len()).sum();
        assert!(bytes < 8192 * 3, "{bytes} bytes at message {number}");
        assert!(matches!(request.messages.first(), Some(ModelMessage::Person(_))));
        if summaries > 0 {
            assert!(format!("{:?}", request.messages[0]).contains("SUMMARY"));
        }
        world.reply(&request.call, "ok", Vec::new());
    }
    assert!(summaries > 0, "it never came to a summary");
    let said = world.messages.iter().filter(|message| matches!(message.body, Body::Person { .. })).count();
    assert_eq!(said, 40, "the originals are on record");
}

#[test]
fn without_a_model_the_reply_says_so() {
    let mut world = World::new(FREE, 32_768);
    world.step(Event::ModelChosen(None));
    let (turn, _) = world.say("owner", "hello");
    let TurnOutcome::Failed { why } = world.outcome(&turn) else { panic!("it ended otherwise") };
    assert!(why.contains("no model is set") && why.contains("castoff setup"), "{why}");
}

#[test]
fn a_small_model_is_told_less_of_long_output() {
    // Of the shorter one everything was kept.
    for last in [2999, 8999] {
        let mut world = World::new(FREE, 6000);
        let (_, effects) = world.say("owner", "show it");
        let call = called(&effects).call.clone();
        let effects = world.reply(&call, "", vec![exec("1", "seq 100000")]);
        let long: String = (0..=last).map(|number| format!("{number}\n")).collect();
        let effects = world.run_it(&effects, &long, 0);
        let (text, _) = results(called(&effects)).remove(0);
        assert!(text.len() < 6200, "{} bytes", text.len());
        assert!(text.contains("\n0\n1\n") && text.contains("bytes left out"), "{text}");
        assert!(text.ends_with(&format!("\n{last}")), "{text}");
    }
}

#[test]
fn who_is_no_longer_on_the_list_costs_nothing_more() {
    let mut world = World::new(FREE, 32_768);
    let bob = world.person("bob");
    let (_, effects) = world.say("bob", "one");
    let call = called(&effects).call.clone();
    world.say("bob", "two");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    world.step(Event::PolicyLoaded(Arc::new(load_policy(dir.path(), Path::new("/srv/castoff")).unwrap())));
    let effects = world.reply(&call, "done", Vec::new());
    assert!(!calls_model(&effects), "the model was called for {}", bob.name);
    let last = world.turns.last().unwrap().turn.clone();
    let TurnOutcome::Failed { why } = world.outcome(&last) else { panic!("it ended otherwise") };
    assert!(why.contains("not on the list"), "{why}");
}

#[test]
fn a_reply_that_replaced_its_draft_on_the_way_may_repeat_after_a_crash() {
    let mut world = World::new(FREE, 8_192);
    world.step(Event::TelegramChosen { on: true, owner: Some(7) });
    let turn = TurnId::derived("test", "telegram");
    let channel = Channel::Telegram { chat: 7, message: 1 };
    let saying = Saying { turn, caller: world.person("owner"), channel, text: "hello".to_owned() };
    let effects = world.step(Event::Said(saying));
    let call = called(&effects).call.clone();
    let id = world.posts[0].post.clone();
    world.step(Event::Posted { post: id.clone(), what: Posted::Taken });
    // Whoever shows it may send the reply already; nobody said what became of it.
    world.reply(&call, "hi", Vec::new());
    assert!(world.posts[0].state == PostState::Waiting && world.posts[0].may_repeat, "{:?}", world.posts[0]);
    world.crash();
    assert!(world.posts[0].may_repeat);

    // Shown, it does not.
    world.step(Event::Posted { post: id.clone(), what: Posted::Taken });
    world.step(Event::Posted { post: id, what: Posted::Shown(5) });
    assert!(world.posts[0].state == PostState::Shown && !world.posts[0].may_repeat, "{:?}", world.posts[0]);
}

#[test]
fn what_a_bot_was_sending_waits_for_the_next_one_and_may_repeat() {
    let mut world = World::new(FREE, 8_192);
    world.step(Event::TelegramChosen { on: true, owner: Some(7) });
    world.step(Event::OwnerTold { text: "news".to_owned() });
    world.step(Event::OwnerTold { text: "more news".to_owned() });
    let sent = world.posts[0].post.clone();
    world.step(Event::Posted { post: sent.clone(), what: Posted::Taken });
    let effects = world.step(Event::TelegramChosen { on: true, owner: Some(8) });
    let mut woken: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Post { post, reported: None } if post.state == PostState::Waiting => {
                Some((post.post == sent, post.may_repeat))
            }
            _ => None,
        })
        .collect();
    woken.sort_unstable();
    assert_eq!(woken, [(false, false), (true, true)]);
    assert!(world.posts[0].state == PostState::Waiting && world.posts[0].may_repeat, "{:?}", world.posts[0]);
    // Without a bot they wait.
    let effects = world.step(Event::TelegramChosen { on: false, owner: None });
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Post { .. })), "{effects:?}");
}

#[test]
fn while_castoff_stops_nothing_begins_and_what_is_cut_goes_on_after_the_start() {
    let mut world = World::new(PRICED, 200_000);
    let (turn, effects) = world.say("owner", "do it");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", "echo hi"), exec("2", "echo ho")]);
    world.step(Event::StopBegun { time: std::time::Duration::from_secs(15) });
    // Somebody else's words wait for the next start.
    let (later, begun) = world.say("bob", "hello");
    assert!(!calls_model(&begun));
    let run = surveyed(&effects).unwrap();
    let event = FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() };
    let effects = world.step(Event::Runner(event));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Run { .. })), "a turn goes on: {effects:?}");
    let effects = world.step(Event::Cut);
    let stops = |effect: &Effect| matches!(effect, Effect::Tell(ToRunner::Stop { cause: StopCause::Shutdown, .. }));
    assert!(effects.iter().any(stops), "{effects:?}");
    let end = RunEnd {
        ending: Ending::Stopped { cause: StopCause::Shutdown },
        started: world.now,
        ended: world.now,
        enforced: None,
        usage: Usage::default(),
        changes: Vec::new(),
    };
    let effects = world.step(Event::Runner(FromRunner::Ended { run, end: Box::new(end) }));
    assert!(!calls_model(&effects) && surveyed(&effects).is_none(), "{effects:?}");
    assert_eq!((world.engine.under_way(), world.engine.runs_under_way()), (1, 0));
    assert!(world.ledger.iter().all(|entry| entry.settled.is_some()), "nothing is reserved for what is not called");

    let effects = world.crash();
    let calls: Vec<&ModelRequest> = effects
        .iter()
        .filter_map(|effect| if let Effect::CallModel(call) = effect { Some(&**call) } else { None })
        .collect();
    assert_eq!(calls.len(), 2, "both people's turns go on: {effects:?}");
    let own = calls.iter().find(|call| call.turn == turn).unwrap();
    assert!(calls.iter().any(|call| call.turn == later));
    let told = results(own);
    assert!(told[0].0.contains("Castoff was shut down") && told[1].0.contains("being stopped"), "{told:?}");
}
