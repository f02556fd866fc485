//! The engine against everything that may happen to it, in any order: wishes, answers, news from the
//! runner that come late, twice or about somebody else's run, a connection that breaks, a clock that
//! jumps, and crashes before and after a commit. A small model holds what must be true after each step.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a check names the events that it is about")]

#[path = "engine_model/model.rs"]
mod model;
#[path = "engine_model/world.rs"]
mod world;

use castoff::domain::record::{Outcome, RunState};
use proptest::prelude::*;

use world::{Change, Ending, Op, World};

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![Just(Change::None), Just(Change::Safe), Just(Change::Risky), Just(Change::Unread)]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![4 => Just(Ending::ByItself), 1 => Just(Ending::Stopped), 1 => Just(Ending::Lost), 1 => Just(Ending::Failed)]
}

fn op() -> impl Strategy<Value = Op> {
    let (run, by) = (0..4_usize, 0..3_usize);
    prop_oneof![
        6 => (0..2_usize, 0..4_usize, any::<bool>()).prop_map(|(by, script, yes)| Op::Ask { by, script, yes }),
        // What the run waits for: without it hardly any would come far.
        12 => (run.clone(), change()).prop_map(|(run, change)| Op::Next { run, change }),
        2 => (run.clone(), by.clone(), any::<bool>()).prop_map(|(run, by, yes)| Op::Answer { run, by, yes }),
        2 => (run.clone(), by.clone()).prop_map(|(run, by)| Op::Always { run, by }),
        1 => by.clone().prop_map(|by| Op::Revoke { by }),
        2 => (run.clone(), by.clone()).prop_map(|(run, by)| Op::Stop { run, by }),
        2 => (run.clone(), by.clone(), any::<bool>()).prop_map(|(run, by, part)| Op::Apply { run, by, part }),
        1 => (run.clone(), by.clone()).prop_map(|(run, by)| Op::Drop { run, by }),
        1 => (run.clone(), by).prop_map(|(run, by)| Op::Undo { run, by }),
        2 => (run.clone(), any::<bool>()).prop_map(|(run, fit)| Op::Surveyed { run, fit }),
        1 => run.clone().prop_map(|run| Op::Output { run }),
        2 => (run.clone(), ending(), change()).prop_map(|(run, ending, change)| Op::Ended { run, ending, change }),
        1 => (run.clone(), 0..3_usize).prop_map(|(run, done)| Op::Applied { run, done }),
        1 => run.clone().prop_map(|run| Op::Dropped { run }),
        1 => run.clone().prop_map(|run| Op::Undone { run }),
        1 => (run.clone(), 0..5_usize).prop_map(|(run, request)| Op::Trouble { run, request }),
        2 => (run, 0..3_usize, change()).prop_map(|(run, fate, change)| Op::Recalled { run, fate, change }),
        3 => prop::bool::weighted(0.8).prop_map(|well| Op::Ready { well }),
        1 => Just(Op::Gone),
        1 => (-3..9_i64).prop_map(|days| Op::Tick { days }),
        1 => any::<bool>().prop_map(|committed| Op::Crash { committed }),
        1 => (0..3_usize).prop_map(|policy| Op::Policy { policy }),
    ]
}

/// Mostly one thing; a break is often followed by its end.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let ready = || Op::Ready { well: true };
    prop_oneof![
        24 => op().prop_map(|op| vec![op]),
        1 => Just(vec![Op::Gone, ready()]),
        1 => any::<bool>().prop_map(move |committed| vec![Op::Crash { committed }, ready()]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn whatever_happens_in_whatever_order_the_promises_hold(ops in prop::collection::vec((ops(), prop::bool::weighted(0.3)), 1..60)) {
        let mut world = World::new();
        world.take(&Op::Ready { well: true }, false);
        for (ops, twice) in ops {
            for op in ops {
                world.take(&op, twice);
            }
        }
    }
}

/// The way that most runs go, so that the model is known to let it pass, and to see launches and landings.
#[test]
fn the_usual_way_is_seen_from_question_to_undo() {
    let mut world = World::new();
    world.take(&Op::Ready { well: true }, false);
    world.take(&Op::Ask { by: 0, script: 1, yes: false }, false);
    let plan_yes_survey_end = [Change::None, Change::Risky, Change::None, Change::Risky];
    for change in plan_yes_survey_end {
        world.take(&Op::Next { run: 0, change }, true);
    }
    world.take(&Op::Apply { run: 0, by: 0, part: false }, false);
    world.take(&Op::Next { run: 0, change: Change::None }, true);
    world.take(&Op::Undo { run: 0, by: 0 }, false);
    world.take(&Op::Next { run: 0, change: Change::None }, true);
    let seen = (world.model.launches(), world.model.landings(), world.model.undos());
    assert_eq!(seen, (1, 1, 1), "{:?}", world.model);
}

#[test]
fn a_yes_and_an_undo_while_the_runner_is_away_count_when_it_is_back() {
    let mut world = World::new();
    world.take(&Op::Ready { well: true }, false);
    world.take(&Op::Ask { by: 0, script: 1, yes: false }, false);
    world.take(&Op::Next { run: 0, change: Change::None }, true);
    world.take(&Op::Gone, false);
    world.take(&Op::Answer { run: 0, by: 0, yes: true }, false);
    world.take(&Op::Ready { well: false }, false);
    let before = world.model.surveys();
    world.take(&Op::Ready { well: true }, false);
    assert_eq!(world.model.surveys(), before + 1);
    for change in [Change::None, Change::Safe, Change::None] {
        world.take(&Op::Next { run: 0, change }, true);
    }
    world.take(&Op::Gone, false);
    world.take(&Op::Undo { run: 0, by: 0 }, false);
    world.take(&Op::Ready { well: true }, false);
    world.take(&Op::Next { run: 0, change: Change::None }, true);
    assert_eq!((world.model.launches(), world.model.landings()), (1, 1), "{:?}", world.model);
    assert!(world.model.undos() > 0, "{:?}", world.model);
}

/// What a keeper had begun of it when it died, the next one finishes.
#[test]
fn an_undo_that_nobody_answers_is_under_way_and_asked_for_again_until_somebody_does() {
    let mut world = World::new();
    world.take(&Op::Ready { well: true }, false);
    world.take(&Op::Ask { by: 0, script: 0, yes: false }, false);
    for change in [Change::None, Change::Safe, Change::None] {
        world.take(&Op::Next { run: 0, change }, true);
    }
    let state = |world: &World| world.model.stored.runs.values().next().unwrap().state.clone();
    assert_eq!(state(&world), RunState::Done { changes: Outcome::Applied });
    world.take(&Op::Undo { run: 0, by: 0 }, false);
    for asked in 1..4 {
        assert_eq!((state(&world), world.model.undos()), (RunState::Undoing, asked));
        // Without an answer.
        world.take(&Op::Trouble { run: 0, request: 4 }, true);
        assert_eq!((state(&world), world.model.undos()), (RunState::Undoing, asked));
        world.take(&Op::Tick { days: 1 }, true);
    }
    world.take(&Op::Crash { committed: true }, false);
    world.take(&Op::Ready { well: true }, false);
    assert_eq!((state(&world), world.model.undos()), (RunState::Undoing, 5));
    world.take(&Op::Next { run: 0, change: Change::None }, true);
    assert_eq!(state(&world), RunState::Done { changes: Outcome::Undone });
    // Of one that is refused nothing goes on.
    world.take(&Op::Ask { by: 0, script: 0, yes: false }, false);
    for change in [Change::None, Change::Safe, Change::None] {
        world.take(&Op::Next { run: 1, change }, true);
    }
    world.take(&Op::Undo { run: 1, by: 0 }, false);
    world.take(&Op::Trouble { run: 1, request: 3 }, true);
    assert!(world.model.stored.open().next().is_none());
}

/// So that the model is known to see rules that are learned, used and taken back.
#[test]
fn what_is_allowed_always_asks_no_more_until_it_is_revoked() {
    let mut world = World::new();
    world.take(&Op::Ready { well: true }, false);
    let ask = Op::Ask { by: 0, script: 1, yes: false };
    let survey = |run| Op::Next { run, change: Change::None };
    let answer = Op::Always { run: 1, by: 0 };
    // The first one has input, so that nothing can be learned of it.
    for op in [&ask, &survey(0), &ask, &survey(1), &Op::Always { run: 1, by: 1 }, &answer, &survey(1)] {
        world.take(op, false);
    }
    assert_eq!((world.model.stored.learned.len(), world.model.launches()), (1, 1));
    for op in [&survey(1), &ask, &survey(2), &ask, &survey(3), &Op::Crash { committed: true }] {
        world.take(op, false);
    }
    assert_eq!((world.model.stored.learned.len(), world.model.launches()), (1, 2));
    world.take(&Op::Revoke { by: 1 }, false);
    assert_eq!(world.model.stored.learned.len(), 1);
    world.take(&Op::Revoke { by: 0 }, true);
    assert_eq!(world.model.stored.learned.len(), 0);
}

/// Chance finds this in one of a few thousand ways.
#[test]
fn a_landing_of_some_paths_that_breaks_off_goes_on_with_those_paths_alone() {
    for broken in [Op::Gone, Op::Crash { committed: true }] {
        let mut world = World::new();
        let ready = Op::Ready { well: true };
        world.take(&ready, false);
        world.take(&Op::Ask { by: 0, script: 0, yes: false }, false);
        for change in [Change::None, Change::Risky] {
            world.take(&Op::Next { run: 0, change }, false);
        }
        for op in [Op::Apply { run: 0, by: 0, part: true }, broken, ready] {
            world.take(&op, false);
        }
        assert_eq!(world.model.landings(), 2, "it was asked for again");
    }
}
