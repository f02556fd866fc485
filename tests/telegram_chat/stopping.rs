//! Castoff is stopped while people wait: what ends soon ends by itself, the rest is cut, and each is told;
//! after the next start turns go on where they were.

use serde_json::json;

use crate::common::processes::kill;
use crate::common::{Castoff, eventually};
use crate::model::{Model, runs, says};
use crate::place::{OWNER, Place, exec, reply};

const TOLD: &str = "Castoff is being stopped: what is under way has 15 s to end";

/// Asks the core to end, in good order.
fn ask_to_stop(castoff: &Castoff) {
    kill(castoff.core_process().0, "TERM");
}

fn is_draining(castoff: &Castoff) {
    eventually("it is being stopped", || castoff.log().contains("stopping: what is under way").then_some(()));
}

fn ending(castoff: &Castoff) -> serde_json::Value {
    let (_, all) = castoff.json(&["runs"]);
    all[0]["ending"].clone()
}

#[test]
fn what_ends_soon_ends_by_itself_and_nothing_new_begins() {
    let castoff = Castoff::start(&[]);
    let live = castoff.begin(&["run", "--", "sleep 4; echo done > done.txt; echo it is done"]);
    castoff.live_container();
    ask_to_stop(&castoff);
    is_draining(&castoff);
    castoff.run("true").ended(69).says(&["Castoff is being stopped", "hint:"]);
    castoff.castoff(&["chat", "hello"]).ended(69).says(&["Castoff is being stopped"]);
    castoff.castoff(&["status", "--health"]).ended(69);
    let said = castoff.castoff(&["status"]).ended(69).stdout;
    assert!(said.contains("problem: Castoff is being stopped") && said.contains("runs: 1 live"), "{said}");
    let (code, status) = castoff.json(&["status"]);
    assert_eq!((code, &status["stopping"], &status["under_way"]), (69, &json!(true), &json!(1)), "{status:#}");
    let answer = live.finish().ended(0);
    assert!(answer.stdout.contains("it is done") && answer.stderr.contains(TOLD), "{}", answer.stderr);
    assert!(castoff.own().join("done.txt").exists(), "its change landed");
    castoff.stop();
    castoff.no_run_container_is_left();
    castoff.serve();
    assert_eq!(castoff.json(&["status"]).1["stopping"], json!(false));
    castoff.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn what_takes_longer_is_cut_and_says_so() {
    let castoff = Castoff::start(&[]);
    let live = castoff.begin(&["run", "--", "echo begun > begun.txt; sleep 300"]);
    castoff.live_container();
    castoff.stop();
    let answer = live.finish().ended(69);
    assert!(answer.stderr.contains(TOLD) && answer.stderr.contains("Castoff was shut down"), "{}", answer.stderr);
    castoff.no_run_container_is_left();
    castoff.serve();
    assert_eq!(ending(&castoff)["stopped"]["cause"], "shutdown");
    assert!(!castoff.own().join("begun.txt").exists(), "what was cut landed by itself");
}

#[test]
fn a_second_signal_stops_at_once() {
    let castoff = Castoff::start(&[]);
    let live = castoff.begin(&["run", "--", "sleep 300"]);
    castoff.live_container();
    let core = castoff.core_process().0;
    ask_to_stop(&castoff);
    is_draining(&castoff);
    kill(core, "TERM");
    castoff.stop();
    assert!(castoff.log().contains("stopping at once"), "{}", castoff.log());
    assert_ne!(live.finish().code, 0);
    castoff.no_run_container_is_left();
    castoff.serve();
    assert!(ending(&castoff)["stopped"].is_object(), "{}", ending(&castoff));
}

#[test]
fn a_turn_that_is_cut_goes_on_after_the_next_start() {
    let model = Model::start();
    let place = Place::thinking_at(model.url());
    let before = model.calls();
    model.then([runs("echo begun; sleep 300"), says("It was cut.")]);
    place.api.say(OWNER, "do it");
    place.castoff.live_container();
    place.sees(OWNER, &["command: echo begun"]);
    place.castoff.stop();
    place.sees(OWNER, &[TOLD, "a turn goes on when Castoff is back"]);
    assert_eq!(model.calls(), before + 1, "it was called while Castoff stopped");
    // What is said meanwhile is not lost.
    model.then([says("Hello too.")]);
    place.api.say(OWNER, "hello?");
    place.castoff.serve();
    place.sees(OWNER, &["It was cut.", "Hello too."]);
    assert!(model.asked().iter().any(|asked| asked.contains("Castoff was shut down")), "{:?}", model.asked());
    let (_, all) = place.castoff.json(&["runs"]);
    assert_eq!(all.as_array().unwrap().len(), 1, "{all:#}");
    place.castoff.castoff(&["audit", "verify"]).ended(0);
}

#[test]
fn a_turn_that_ends_soon_is_answered_before_castoff_stops() {
    let place = Place::new();
    place.script(&json!([exec("", "sleep 3; echo slept"), reply("It slept.")]));
    place.api.say(OWNER, "sleep");
    place.castoff.live_container();
    place.castoff.stop();
    place.sees(OWNER, &[TOLD, "It slept."]);
}
