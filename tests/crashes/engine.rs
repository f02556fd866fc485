//! The engine itself is stopped and started in the middle of runs. It is one of the test's own, made by
//! `scripts/crashes engine`, which says in `CASTOFF_CRASHES_ENGINE` how to stop, kill and start it.

use crate::checks::Outcome::{Held, Interrupted, Landed, NeverRan};
use crate::common::{command, eventually};
use crate::stage::Stage;

fn engine(what: &str) {
    let script = std::env::var_os("CASTOFF_CRASHES_ENGINE").expect("`scripts/crashes engine` sets it");
    assert!(command(script).arg(what).status().unwrap().success(), "the engine does not {what}");
}

/// What a script has said when the engine goes away; the last is its end.
const MOMENTS: [&str; 3] = ["begun", "half", "whole"];

#[test]
#[ignore = "it needs an engine that it may stop: scripts/crashes engine"]
fn an_engine_that_stops_in_the_middle_of_runs_loses_and_leaves_nothing() {
    let times = std::env::var("CASTOFF_CRASHES_TIMES").map_or(1, |times| times.parse().unwrap());
    let stage = Stage::set();
    for (end, moment) in ["stop", "kill"].iter().flat_map(|end| MOMENTS.map(|moment| (*end, moment))) {
        let mut outcomes = Vec::new();
        for time in 0..times {
            let token = format!("e{end}{moment}{time:02}");
            let mut live = stage.castoff().begin(&["run", "--", &stage.script(&token)]);
            live.until(&format!("{moment}\n"));
            engine(end);
            let answer = live.finish();
            let is_well = || stage.castoff().castoff(&["status", "--health"]).code == 0;
            eventually("it says that it is not well", || (!is_well()).then_some(()));
            engine("start");
            stage.comes_to_rest();
            eventually("what was not read is read", || stage.is_all_read().then_some(()));
            let outcome = stage.outcome(&token).unwrap();
            assert!([NeverRan, Interrupted, Held, Landed].contains(&outcome), "{outcome:?}, {answer:?}");
            stage.is_in_order();
            stage.castoff().run("echo next").ended(0);
            outcomes.push(outcome);
        }
        println!("engine {end} at `{moment}` {times} times: {outcomes:?}");
    }
    stage.ends_clean();
}
