//! What one turn may take, and how much a person may ask for at once.

use castoff::domain::ids::{RunId, TurnId};
use castoff::domain::model::{FailureKind, ModelFailure, ModelMessage, TokenUsage};
use castoff::domain::money::Money;
use castoff::domain::record::RunState;
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::domain::turn::TurnOutcome;
use castoff::engine::{Ask, Effect, Event, FreshIds};
use castoff::policy::ParsedTask;
use castoff::protocol::runner::{FromRunner, ToRunner};

use crate::world::{FREE, PRICED, World, called, calls_model, exec, surveyed};

/// A day's money that no turn comes near.
const RICH: (&str, &str) = ("limits.yaml", "rate_limits: { anthropic: { daily_budget: \"$100\" } }\n");
/// Seconds of a turn's own.
const SECONDS: u32 = 30 * 60;

fn why(world: &World, turn: &TurnId) -> String {
    match world.outcome(turn) {
        TurnOutcome::Failed { why } => why,
        other => panic!("it ended otherwise: {other:?}"),
    }
}

/// Lets seconds pass; everything that comes of them.
fn ticks(world: &mut World, count: u32) -> Vec<Effect> {
    (0..count).flat_map(|_| world.step(Event::Tick)).collect()
}

fn is_live(world: &World, turn: &TurnId) -> bool {
    !world.turns.iter().find(|one| one.turn == *turn).unwrap().state.is_over()
}

#[test]
fn a_turn_has_a_limit_of_rounds() {
    let mut world = World::new(FREE, 200_000);
    let (turn, mut effects) = world.say("owner", "loop");
    let mut rounds = 0;
    while calls_model(&effects) {
        let call = called(&effects).call.clone();
        effects = world.reply(&call, "", vec![exec("1", "nmap")]);
        rounds += 1;
        assert!(rounds < 100, "it never ends");
    }
    assert_eq!(rounds, 30);
    let why = why(&world, &turn);
    assert!(why.contains("rounds") && why.contains("go on"), "{why}");
}

#[test]
fn a_turn_has_a_limit_of_time_and_what_it_does_is_broken_off() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "think");
    let call = called(&effects).call.clone();
    ticks(&mut world, SECONDS);
    assert!(is_live(&world, &turn));
    let effects = ticks(&mut world, 1);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::CancelModel(other) if *other == call)), "{effects:?}");
    assert!(why(&world, &turn).contains("longer than 30 minutes"));

    // A command of a turn is stopped; the next message does not wait for it.
    let (turn, effects) = world.say("owner", "work");
    let call = called(&effects).call.clone();
    let (next, _) = world.say("owner", "and then?");
    let effects = world.reply(&call, "", vec![exec("1", "sleep 9999")]);
    let run = surveyed(&effects).unwrap();
    world.step(Event::Runner(FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() }));
    let effects = ticks(&mut world, SECONDS + 1);
    let stops = |effect: &Effect| matches!(effect, Effect::Tell(ToRunner::Stop { run: other, .. }) if *other == run);
    assert!(effects.iter().any(stops), "{effects:?}");
    assert!(why(&world, &turn).contains("longer than 30 minutes"));
    assert_eq!(called(&effects).turn, next);
}

#[test]
fn a_turn_does_not_grow_old_while_it_waits_for_people_or_its_turn() {
    let mut world = World::with(&[("tools.yaml", "require_approval: [\"factor\"]\n")], FREE, 32_768);
    let (turn, effects) = world.say("owner", "work");
    let (next, _) = world.say("owner", "and then?");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", "factor 12")]);
    let run = surveyed(&effects).unwrap();
    world.step(Event::Runner(FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() }));
    let state = &world.runs.iter().find(|one| one.run == run).unwrap().state;
    assert!(matches!(state, RunState::Asking { .. }), "{state:?}");
    ticks(&mut world, SECONDS * 2);
    assert!(is_live(&world, &turn) && is_live(&world, &next));
}

#[test]
fn a_restart_does_not_make_a_turn_young_again() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "think");
    let call = called(&effects).call.clone();
    ticks(&mut world, SECONDS - 10);
    // Its state changes, and so its time is on record.
    let effects = world.reply(&call, "", vec![exec("1", "nmap")]);
    assert!(calls_model(&effects) && calls_model(&world.crash()));
    ticks(&mut world, 10);
    assert!(is_live(&world, &turn));
    ticks(&mut world, 1);
    assert!(why(&world, &turn).contains("longer than 30 minutes"));
}

#[test]
fn a_turn_never_costs_more_than_it_may_and_says_how_to_go_on() {
    let mut world = World::with(&[RICH], PRICED, 200_000);
    let most = Money::from_micros(2_000_000);
    let (turn, mut effects) = world.say("owner", &"x".repeat(69_000));
    let mut shortest = u32::MAX;
    while calls_model(&effects) {
        let request = called(&effects).clone();
        shortest = shortest.min(request.output_tokens_max);
        // The provider counts all that was reserved.
        let entry = world.ledger.last().unwrap().clone();
        let rest = entry.reserved.as_micros() - u64::from(request.output_tokens_max) * 15;
        let (cache_write, output) = (rest * 100 / 375, request.output_tokens_max.into());
        let usage = TokenUsage { cache_write, output, ..TokenUsage::default() };
        effects = world.replied(&request.call, ("", usage), vec![exec("1", "nmap")]);
        let cost = world.turns.iter().find(|one| one.turn == turn).unwrap().cost;
        assert!(cost <= most, "{cost}");
    }
    assert!((1000..8192).contains(&shortest), "the last reply was not bounded by what was left: {shortest}");
    let text = why(&world, &turn);
    assert!(text.contains("$2.00") && text.contains("say `go on`"), "{text}");
    let (_, effects) = world.say("owner", "go on");
    assert!(calls_model(&effects), "the next turn has money of its own");
}

#[test]
fn a_conversation_that_no_day_pays_for_goes_without_its_older_half() {
    let mut world = World::new(PRICED, 200_000);
    for _ in 0..2 {
        let (_, effects) = world.say("owner", &"x".repeat(100_000));
        let call = called(&effects).call.clone();
        world.reply(&call, "ok", Vec::new());
    }
    let (_, effects) = world.say("owner", &format!("NOW {}", "x".repeat(100_000)));
    let request = called(&effects).clone();
    let texts: Vec<usize> = request.messages.iter().map(|message| format!("{message:?}").len()).collect();
    assert!(texts.iter().sum::<usize>() < 220_000, "{texts:?}");
    assert!(matches!(request.messages.last(), Some(ModelMessage::Person(text)) if text.starts_with("NOW")));

    // Where nothing may be spent at all, nothing is forgotten either.
    let limits = "rate_limits: { anthropic: { daily_budget: \"$0\" } }\n";
    let mut world = World::with(&[("limits.yaml", limits)], PRICED, 200_000);
    let (first, _) = world.say("owner", "one");
    let (second, _) = world.say("owner", "two");
    assert!(why(&world, &first).contains("raise `daily_budget`"));
    assert!(why(&world, &second).contains("raise `daily_budget`"));
    assert!(world.messages.iter().all(|message| !format!("{:?}", message.body).contains("left out")));
}

#[test]
fn messages_beyond_thirty_a_minute_are_not_heard() {
    let mut world = World::new(FREE, 32_768);
    world.pause_ms = 10;
    let mut refused = Vec::new();
    for number in 0..32 {
        let (turn, effects) = world.say("owner", "hello");
        if calls_model(&effects) {
            let call = called(&effects).call.clone();
            world.reply(&call, "hi", Vec::new());
        } else {
            assert!(why(&world, &turn).contains("more than 30 messages within a minute"));
            refused.push(number);
        }
    }
    assert_eq!(refused, [30, 31]);
    let (_, effects) = world.say("bob", "hello");
    assert!(calls_model(&effects), "other people are heard");
    world.pause_ms = 60_000;
    let (_, effects) = world.say("owner", "hello");
    assert!(calls_model(&effects), "a minute later");
}

#[test]
fn eight_messages_wait_at_the_most_and_are_answered_in_order() {
    let mut world = World::new(FREE, 32_768);
    let (_, effects) = world.say("owner", "0");
    let mut call = called(&effects).call.clone();
    let waiting: Vec<TurnId> = (1..=8).map(|number| world.say("owner", &number.to_string()).0).collect();
    let (ninth, _) = world.say("owner", "9");
    let text = why(&world, &ninth);
    assert!(text.contains("8 of your messages wait already") && text.contains("/stop"), "{text}");
    assert!(waiting.iter().all(|turn| is_live(&world, turn)));
    let (_, effects) = world.say("bob", "hello");
    assert!(calls_model(&effects), "other people do not wait");
    for turn in waiting {
        let failure = ModelFailure { kind: FailureKind::Broken, why: "no".to_owned(), may_cost: false, usage: None };
        let effects = world.step(Event::ModelFailed { call, failure });
        assert_eq!(called(&effects).turn, turn);
        call = called(&effects).call.clone();
    }
}

#[test]
fn runs_beyond_five_hundred_an_hour_are_refused() {
    let mut world = World::new(FREE, 32_768);
    world.pause_ms = 1_000;
    let ask = |world: &mut World, who: &str, number: u16| {
        let id = |what: &str| format!("{who} {what} {number}");
        let ids = FreshIds::of_run(RunId::derived(&id("run"), ""), TurnId::derived(&id("turn"), ""));
        let (caller, rights) = (world.person(who), world.person(who));
        let task = ParsedTask::new(Task::Script(Script::new("ls".to_owned()).unwrap())).unwrap();
        let ask = Ask { ids, caller, rights, task, stdin: None, workdir: None, review: None, yes: false };
        world.step(Event::Asked(Box::new(ask)))
    };
    for number in 0..500 {
        let effects = ask(&mut world, "owner", number);
        world.run_it(&effects, "", 0);
    }
    let effects = ask(&mut world, "owner", 500);
    assert!(surveyed(&effects).is_none());
    let RunState::Refused { why } = &world.runs.last().unwrap().state else { panic!("{:?}", world.runs.last()) };
    assert!(why.contains("more than 500 of your runs within an hour"), "{why}");
    let effects = ask(&mut world, "bob", 0);
    assert!(surveyed(&effects).is_some(), "other people's runs are their own");
    world.pause_ms = 3_600_000;
    let effects = ask(&mut world, "owner", 501);
    assert!(surveyed(&effects).is_some(), "an hour later");
}
