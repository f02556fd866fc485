//! What the record of a run keeps of the decision: by which policy it was, and no more reasons than anybody
//! reads.

use std::sync::Arc;

use castoff::domain::ids::{RunId, TurnId};
use castoff::domain::record::{Record, RunRecord, RunState};
use castoff::domain::script::Script;
use castoff::domain::time::Timestamp;
use castoff::engine::{Ask, Engine, Event, FreshIds};
use castoff::policy::{Parsed, ParsedTask, Policy};

use super::policy;

/// The record of a run that asks for `script`.
fn record(policy: &Arc<Policy>, script: &str) -> RunRecord {
    let owner = policy.principal("owner").unwrap();
    let parsed = Parsed::new(Script::new(script.to_owned()).unwrap()).unwrap();
    let ask = Ask {
        ids: FreshIds::of_run(RunId::from_random([1; 11]), TurnId::from_random([2; 11])),
        caller: owner.clone(),
        rights: owner,
        task: ParsedTask::Script(parsed),
        stdin: None,
        workdir: None,
        review: None,
        yes: false,
    };
    let mut engine = Engine::new(Arc::clone(policy), Vec::new());
    let step = engine.step(Event::Asked(Box::new(ask)), Timestamp::from_ms(1_800_000_000_000));
    let of_run = step.records.into_iter().find_map(|record| {
        let Record::Run(record) = record else { return None };
        Some(*record)
    });
    of_run.expect("a run that is asked for is on record")
}

#[test]
fn a_verdict_names_the_policy_that_it_is_by() {
    let tools = "exec: { allow: [git] }";
    let (one, other) = (Arc::new(policy(tools)), Arc::new(policy("exec: { allow: [git, npm] }")));
    assert_ne!(one.digest(), other.digest());
    for policy in [&one, &other] {
        assert_eq!(record(policy, "make").verdict.unwrap().policy, policy.digest());
    }
    assert_eq!(policy(tools).digest(), one.digest(), "the same files, the same digest");
}

#[test]
fn a_refusal_of_many_programs_stays_short() {
    let names: Vec<String> = (0..30).map(|at| format!("tool{at}")).collect();
    let policy = Arc::new(policy(&format!("exec: {{ allow: [{}] }}", names.join(", "))));
    let script = |count: usize| (0..count).map(|at| format!("other{at} a\n")).collect::<String>();
    for (count, more) in [(1, None), (3, None), (4, Some("; and 1 more (")), (2000, Some("; and 1997 more ("))] {
        let found = record(&policy, &script(count));
        let RunState::Refused { why } = &found.state else { panic!("{:?}", found.state) };
        assert!(why.starts_with("`other0` is not on the list for owner; allowed: `tool0`, `tool1`,"), "{why}");
        assert_eq!(why.matches("allowed: ").count(), 1, "{why}");
        assert!(why.len() < 700, "{why}");
        match more {
            Some(more) => assert!(why.contains(more), "{why}"),
            None => assert!(!why.contains(" more ("), "{why}"),
        }
        assert!(why.ends_with("or the owner adds `- other0` below `allow:` in tools.yaml)"), "{why}");
        let reasons = found.verdict.unwrap().reasons;
        assert!(reasons.len() <= 21, "{}", reasons.len());
        if count == 2000 {
            assert_eq!(reasons.last().unwrap().text, "and 1980 more");
        }
    }
}

#[test]
fn a_program_that_is_named_twice_is_refused_once() {
    for tools in ["exec: { allow: [git] }", ""] {
        let RunState::Refused { why } = record(&Arc::new(policy(tools)), "nmap a; nmap b; $(nmap c)").state else {
            panic!()
        };
        assert_eq!(why.matches("`nmap` is ").count(), 1, "{why}");
    }
}

#[test]
fn with_the_basics_alone_a_refusal_says_how_the_owner_adds_a_program() {
    let policy = Arc::new(policy(""));
    let RunState::Refused { why } = record(&policy, "terraform apply").state else { panic!() };
    assert!(why.contains("`terraform` is not among the basic tools"), "{why}");
    assert!(why.contains("with `- terraform`, below `exec: allow:` in tools.yaml)"), "{why}");
}
