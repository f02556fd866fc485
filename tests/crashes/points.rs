//! Each named moment: what is under way at it, who is killed, and what may come of it (DESIGN section 8).
//!
//! `CASTOFF_CRASHES_TIMES` says how often each victim dies at each point, `CASTOFF_CRASHES_POINT` at which
//! one alone. Without them each point is gone to once, with the victim that stands there.

use castoff::crash::Point;

use crate::checks::Outcome::{self, Interrupted, Landed, NeverRan, Undone};
use crate::common::engine::docker;
use crate::place::OWNER;
use crate::stage::Scenario::{self, Ask, Hello, Run, Slash, Undo, Work};
use crate::stage::Stage;
use crate::stage::Victim::{self, Core, Keeper, Runner};

const VICTIMS: [Victim; 3] = [Core, Runner, Keeper];

struct Case {
    point: Point,
    scenario: Scenario,
    /// Who stands at the point.
    stands: Victim,
    /// What may become of the script when core, runner and keeper die; nothing where there is none.
    allowed: [&'static [Outcome]; 3],
}

const fn case(point: Point, scenario: Scenario, stands: Victim, allowed: [&'static [Outcome]; 3]) -> Case {
    Case { point, scenario, stands, allowed }
}

/// A run is begun at most once; what is cut is held; from its end on it is ended, and what it changed lands.
const RUNS: &[Case] = &[
    case(Point::IntentCommitted, Run, Core, [&[NeverRan], &[NeverRan, Landed], &[Landed]]),
    case(Point::ContainerCreated, Run, Runner, [&[NeverRan], &[NeverRan], &[Landed]]),
    case(Point::ContainerStarted, Run, Runner, [&[NeverRan], &[NeverRan], &[Landed]]),
    case(Point::ReadyChecked, Run, Runner, [&[NeverRan], &[NeverRan], &[Landed]]),
    // It may be ended before its first command.
    case(Point::RequestSent, Run, Runner, [&[NeverRan, Interrupted], &[NeverRan, Interrupted], &[Landed]]),
    case(Point::OutputHalfRead, Run, Runner, [&[Interrupted], &[Interrupted], &[Landed]]),
    case(Point::ExitFrame, Run, Runner, [&[Landed], &[Interrupted], &[Landed]]),
];

/// From the exit frame on nothing is lost: an apply is finished, and so is an undo.
const LANDINGS: &[Case] = &[
    // One that dies as it comes to life is not the end of what it was to be asked: what the run changed, mostly.
    case(Point::KeeperOpened, Run, Keeper, [&[NeverRan, Landed], &[NeverRan, Landed], &[Landed]]),
    case(Point::ChangeSetRead, Run, Runner, [&[Landed], &[Landed], &[Landed]]),
    case(Point::ApplyJournalWritten, Run, Keeper, [&[Landed], &[Landed], &[Landed]]),
    case(Point::HalfApplied, Run, Keeper, [&[Landed], &[Landed], &[Landed]]),
    case(Point::AppliedNotCommitted, Run, Keeper, [&[Landed], &[Landed], &[Landed]]),
    case(Point::LandingNotCommitted, Run, Core, [&[Landed], &[Landed], &[Landed]]),
    case(Point::UndoHalfDone, Undo, Keeper, [&[Undone], &[Undone], &[Undone]]),
];

/// A message is answered once, a yes counts once, and the script runs once.
const CHATS: &[Case] = &[
    // With the runner gone it is told that nothing could run it.
    case(Point::UpdateNotCommitted, Slash, Core, [&[Landed], &[NeverRan, Landed], &[Landed]]),
    case(Point::OutputHalfRead, Slash, Runner, [&[Interrupted], &[Interrupted], &[Landed]]),
    case(Point::UpdateNotCommitted, Hello, Core, [&[], &[], &[]]),
    case(Point::CommittedNotAnswered, Hello, Core, [&[], &[], &[]]),
    case(Point::ReservedNotCalled, Hello, Core, [&[], &[], &[]]),
    case(Point::CallInFlight, Hello, Core, [&[], &[], &[]]),
    case(Point::ReservedNotSettled, Hello, Core, [&[], &[], &[]]),
    case(Point::CardNotRecorded, Ask, Core, [&[Landed], &[Landed], &[Landed]]),
    // The yes counts, and the runner that was to begin is gone: so it says.
    case(Point::TappedNotRedeemed, Ask, Core, [&[Landed], &[NeverRan, Landed], &[Landed]]),
    case(Point::ReplyNotConfirmed, Work, Core, [&[Landed], &[Landed], &[Landed]]),
];

/// Kills `victim` at the point, once, and looks at everything when it is over.
fn go(stage: &mut Stage, case: &Case, victim: Victim, token: &str) -> Option<Outcome> {
    let Case { point, scenario, stands, allowed } = case;
    if (victim == Keeper && *stands != Keeper) || *point == Point::KeeperOpened {
        stage.wake_keeper();
    }
    if *point == Point::KeeperOpened {
        stage.kill(Keeper);
    }
    let live = stage.play(*scenario, token, *point);
    stage.kill(victim);
    stage.release(*point);
    if victim == Core {
        stage.castoff().serve();
    }
    // Whoever waited hears how it ended, or that Castoff went away.
    let answer = live.map(crate::common::Live::finish);
    if *point == Point::CardNotRecorded {
        stage.tap(token);
    }
    match scenario {
        Run | Undo => {}
        Slash => stage.is_shown_once(token, OWNER),
        Hello | Work | Ask => {
            stage.is_answered_once(token, OWNER);
            // Each call once more, if it was cut off.
            let most = if *scenario == Hello { 2 } else { 3 };
            assert!(stage.mind.calls(token) <= most, "the model was called {} times", stage.mind.calls(token));
        }
    }
    stage.comes_to_rest();
    let allowed = allowed[VICTIMS.iter().position(|one| *one == victim).unwrap()];
    let outcome = if *scenario == Hello { None } else { stage.outcome(token) };
    assert!(
        outcome.map_or(allowed.is_empty(), |outcome| allowed.contains(&outcome)),
        "{outcome:?} where {allowed:?} may be; the caller heard {answer:?}"
    );
    stage.is_in_order();
    outcome
}

fn campaign(name: &str, cases: &[Case]) {
    let times = std::env::var("CASTOFF_CRASHES_TIMES").ok().map(|times| times.parse::<usize>().unwrap());
    let only = std::env::var("CASTOFF_CRASHES_POINT").unwrap_or_default();
    let mut stage = Stage::set();
    for case in cases.iter().filter(|case| format!("{:?}", case.point).contains(&only)) {
        let victims: &[Victim] = if times.is_some() { &VICTIMS } else { &[case.stands] };
        for victim in victims {
            let mut outcomes = Vec::new();
            for time in 0..times.unwrap_or(1) {
                let token = format!("{name}{:?}{:?}{victim:?}{time:02}", case.point, case.scenario).to_lowercase();
                eprintln!("{:?}: {victim:?} dies, {time}", case.point);
                outcomes.push(go(&mut stage, case, *victim, &token));
            }
            println!("{:?}: {victim:?} died {} times: {outcomes:?}", case.point, outcomes.len());
        }
    }
    stage.ends_clean();
}

#[test]
fn runs_that_are_cut_are_begun_at_most_once_and_nothing_of_them_lands_by_itself() {
    campaign("r", RUNS);
}

#[test]
fn what_has_ended_lands_whole_and_what_is_taken_back_is_gone_whole() {
    campaign("l", LANDINGS);
}

#[test]
fn messages_are_answered_once_and_a_yes_counts_once() {
    campaign("c", CHATS);
}

#[test]
fn a_stop_in_good_order_leaves_no_keeper_that_goes_on_behind_it() {
    let mut stage = Stage::set();
    stage.wake_keeper();
    let live = stage.play(Run, "stopped", Point::HalfApplied);
    let castoff = stage.castoff();
    castoff.stop();
    let label = format!("label=castoff.home={}", castoff.home().display());
    assert_eq!(docker(&["ps", "-aq", "--filter", &label]), "", "containers are left");
    drop(live.map(crate::common::Live::finish));
    castoff.serve();
    stage.comes_to_rest();
    assert_eq!(stage.outcome("stopped"), Some(Landed));
    stage.is_in_order();
    stage.ends_clean();
}

/// What the next keeper finishes was not taken for over before.
#[test]
fn an_undo_of_which_all_keepers_die_is_asked_for_again_and_done() {
    let mut stage = Stage::set();
    let token = "deadly";
    // So that a file is put back, and not only taken away.
    stage.whole_run(&stage.script("before"));
    let live = stage.play(Undo, token, Point::UndoHalfDone);
    // The next one has finished the undo as it opened, and nobody hears of it; nor from the one after it, the last.
    for _ in 0..2 {
        stage.arm(Point::KeeperOpened);
        stage.kill(Keeper);
        stage.is_reached_again(Point::KeeperOpened);
    }
    stage.kill(Keeper);
    stage.release(Point::KeeperOpened);
    let answer = live.unwrap().finish();
    assert!(answer.code != 0 && answer.stderr.contains("asked for again until it is done"), "{answer:?}");
    stage.comes_to_rest();
    assert_eq!(stage.outcome(token), Some(Undone));
    stage.is_in_order();
    stage.ends_clean();
}
