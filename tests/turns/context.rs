//! What a model is shown when not everything has room: results are shortened, the older part is summed
//! up or left out, and nothing is called when not even a person's words fit.

use castoff::domain::model::{FailureKind, ModelFailure, ModelMessage, ModelRequest};
use castoff::domain::turn::{Body, TurnOutcome};
use castoff::engine::{Effect, Event};

use crate::world::{FREE, PRICED, World, called, calls_model, exec, results};

const CUT: &str = "left out here to make room";
const LEFT_OUT: &str = "(A part of this conversation after that is left out.)";

/// Bytes of the messages that a model reads of a request.
fn bytes(request: &ModelRequest) -> usize {
    let message = |message: &ModelMessage| match message {
        ModelMessage::Person(text) | ModelMessage::Tool { text, .. } => text.len(),
        ModelMessage::Model { text, calls } => text.len() + serde_json::to_string(calls).unwrap().len(),
    };
    request.messages.iter().map(message).sum()
}

/// Whether prompt and reply have room in so many tokens, of messages that are as dense as hexadecimal numbers, with two
/// bytes to one.
fn fits(request: &ModelRequest, context_tokens: usize) -> bool {
    let tools: usize = request.tools.iter().map(|tool| tool.description.len() + tool.schema.to_string().len()).sum();
    let own = (request.system.len() + tools).div_ceil(3);
    own + bytes(request).div_ceil(2) + request.output_tokens_max as usize <= context_tokens
}

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

fn too_long(world: &mut World, request: &ModelRequest) -> Vec<Effect> {
    fails(world, request, FailureKind::TooLong)
}

fn fails(world: &mut World, request: &ModelRequest, kind: FailureKind) -> Vec<Effect> {
    let failure = ModelFailure { kind, why: "said the provider".to_owned(), may_cost: false, usage: None };
    world.step(Event::ModelFailed { call: request.call.clone(), failure })
}

/// Words and a reply to them, so many times; every call is a reply's.
fn talk(world: &mut World, times: usize) {
    for number in 0..times {
        let (_, effects) = world.say("owner", &format!("{number} {}", "word ".repeat(200)));
        let request = called(&effects).clone();
        assert!(!request.tools.is_empty(), "a summary at {number}");
        world.reply(&request.call, "ok", Vec::new());
    }
}

/// The same, until the model is asked for a summary: that call.
fn talk_until_crowded(world: &mut World) -> ModelRequest {
    for number in 0..40 {
        let (_, effects) = world.say("owner", &format!("{number} {}", "word ".repeat(200)));
        let request = called(&effects).clone();
        if request.tools.is_empty() {
            return request;
        }
        world.reply(&request.call, "ok", Vec::new());
    }
    panic!("it never came to a summary");
}

fn first(request: &ModelRequest) -> String {
    format!("{:?}", request.messages.first())
}

#[test]
fn long_results_of_a_turn_are_shortened_oldest_first_and_the_question_stays() {
    let mut world = World::new(FREE, 16_384);
    let (turn, mut effects) = world.say("owner", "QUESTION");
    for round in 0..12 {
        let request = called(&effects).clone();
        assert!(fits(&request, 16_384), "{} bytes in round {round}", bytes(&request));
        assert_eq!(request.messages[0], ModelMessage::Person("QUESTION".to_owned()), "round {round}");
        let told = results(&request);
        assert_eq!(told.len(), round);
        if round > 2 {
            let (oldest, newest) = (&told[0].0, &told[round - 1].0);
            assert!(oldest.contains(CUT) && !newest.contains(CUT), "{oldest}\n\n{newest}");
            assert!(oldest.starts_with("exit code 0\nline 0\n") && oldest.ends_with("line 999"), "{oldest}");
        }
        effects = world.reply(&request.call, "", vec![exec("1", &format!("echo {round}"))]);
        effects = world.run_it(&effects, &lines(1000), 0);
    }
    let call = called(&effects).call.clone();
    world.reply(&call, "ANSWER", Vec::new());
    assert_eq!(world.outcome(&turn), TurnOutcome::Replied { text: "ANSWER".to_owned() });
    for message in &world.messages {
        let Body::Tool { text, .. } = &message.body else { continue };
        assert!(text.len() > 7000 && !text.contains(CUT), "the original is on record: {text}");
    }
}

#[test]
fn a_cut_is_never_in_the_middle_of_a_character() {
    let mut world = World::new(FREE, 8192);
    let (_, mut effects) = world.say("owner", "QUESTION");
    for round in 0..4 {
        let call = called(&effects).call.clone();
        effects = world.reply(&call, "", vec![exec("1", &format!("echo {round}"))]);
        effects = world.run_it(&effects, &format!("{}{}", "a".repeat(round), "€".repeat(2000)), 0);
    }
    let request = called(&effects).clone();
    assert!(fits(&request, 8192) && results(&request)[0].0.contains(CUT));
    assert!(results(&request).iter().all(|(text, _)| !text.contains('\u{fffd}')));
}

#[test]
fn words_that_have_no_room_are_refused_without_a_call_and_the_next_ones_are_heard() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", &"word ".repeat(128 * 1024 / 5));
    assert!(!calls_model(&effects) && world.ledger.is_empty());
    let TurnOutcome::Failed { why } = world.outcome(&turn) else { panic!("it ended otherwise") };
    assert!(why.contains("more than `ollama/llama3.3` takes") && why.contains("say it in parts"), "{why}");
    let (_, effects) = world.say("owner", "short");
    let summary = called(&effects).clone();
    assert!(summary.tools.is_empty() && fits(&summary, 32_768), "{} bytes to sum up", bytes(&summary));
    let effects = world.reply(&summary.call, "SUMMARY", Vec::new());
    let request = called(&effects).clone();
    assert!(first(&request).contains("SUMMARY"), "{}", first(&request));
    assert_eq!(request.messages.last(), Some(&ModelMessage::Person("short".to_owned())));
}

#[test]
fn a_turn_that_called_more_than_has_room_ends_with_what_helps() {
    let mut world = World::new(FREE, 8192);
    let (turn, effects) = world.say("owner", "go");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", &format!("echo {}", "x".repeat(40_000)))]);
    let effects = world.run_it(&effects, "x\n", 0);
    assert!(!calls_model(&effects));
    let TurnOutcome::Failed { why } = world.outcome(&turn) else { panic!("it ended otherwise") };
    assert!(why.contains("say `go on`"), "{why}");
    let (_, effects) = world.say("owner", "go on");
    assert!(called(&effects).tools.is_empty() && fits(called(&effects), 8192));
}

#[test]
fn what_a_provider_calls_too_long_goes_without_its_older_half_once() {
    let mut world = World::new(FREE, 32_768);
    talk(&mut world, 10);
    let (turn, effects) = world.say("owner", "NOW");
    let request = called(&effects).clone();
    assert_eq!(request.messages.len(), 21);
    let effects = too_long(&mut world, &request);
    let shorter = called(&effects).clone();
    assert!(shorter.messages.len() < 14 && first(&shorter).contains(LEFT_OUT), "{:#?}", shorter.messages);
    assert_eq!(shorter.messages.last(), Some(&ModelMessage::Person("NOW".to_owned())));
    assert!(!calls_model(&too_long(&mut world, &shorter)), "it is tried once more alone");
    assert_eq!(world.outcome(&turn), TurnOutcome::Failed { why: "said the provider".to_owned() });
    let said = world.messages.iter().filter(|message| matches!(message.body, Body::Person { .. })).count();
    assert_eq!(said, 11, "the originals are on record");
}

#[test]
fn a_turn_that_a_provider_calls_too_long_goes_on_with_shorter_results() {
    let mut world = World::new(FREE, 8192);
    let (turn, mut effects) = world.say("owner", "QUESTION");
    for _ in 0..2 {
        let call = called(&effects).call.clone();
        effects = world.reply(&call, "", vec![exec("1", "seq 1000")]);
        effects = world.run_it(&effects, &lines(1000), 0);
    }
    let request = called(&effects).clone();
    let effects = too_long(&mut world, &request);
    let shorter = called(&effects).clone();
    let size = |request: &ModelRequest| results(request).iter().map(|(text, _)| text.len()).sum::<usize>();
    assert!(size(&shorter) < size(&request) * 7 / 10, "{} of {} bytes", size(&shorter), size(&request));
    assert_eq!(shorter.messages[0], ModelMessage::Person("QUESTION".to_owned()));
    world.reply(&shorter.call, "ANSWER", Vec::new());
    assert_eq!(world.outcome(&turn), TurnOutcome::Replied { text: "ANSWER".to_owned() });
}

#[test]
fn a_summary_that_fails_is_left_out_and_an_earlier_one_stays() {
    let mut world = World::new(FREE, 8192);
    let summary = talk_until_crowded(&mut world);
    let effects = world.reply(&summary.call, "FIRST SUMMARY", Vec::new());
    let call = called(&effects).call.clone();
    world.reply(&call, "ok", Vec::new());
    // One fails, one says nothing.
    for answer in [true, false] {
        let summary = talk_until_crowded(&mut world);
        let effects = match answer {
            true => fails(&mut world, &summary, FailureKind::Broken),
            false => world.reply(&summary.call, " ", Vec::new()),
        };
        let request = called(&effects).clone();
        assert!(!request.tools.is_empty() && fits(&request, 8192), "{:#?}", request.messages);
        let text = first(&request);
        assert!(text.contains("FIRST SUMMARY") && text.matches(LEFT_OUT).count() == 1, "{text}");
        world.reply(&request.call, "ok", Vec::new());
    }
}

#[test]
fn a_summary_that_no_budget_pays_for_is_not_called_for() {
    let limits = "rate_limits: { anthropic: { daily_budget: \"$100\", background_daily: \"$0\" } }\n";
    let mut world = World::with(&[("limits.yaml", limits)], PRICED, 8192);
    talk(&mut world, 15);
    let (_, effects) = world.say("owner", "NOW");
    let request = called(&effects).clone();
    assert!(fits(&request, 8192) && first(&request).contains(LEFT_OUT), "{:#?}", request.messages);
    assert_eq!(request.messages.last(), Some(&ModelMessage::Person("NOW".to_owned())));
    assert!(world.ledger.iter().all(|entry| !entry.background));
}
