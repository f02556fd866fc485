//! Ten people chat and run scripts while processes are killed at random.
//!
//! `CASTOFF_CRASHES_KILLS` says how many, `CASTOFF_CRASHES_SEED` which; both are printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use castoff::domain::ids::TurnId;
use castoff::domain::record::RunRecord;
use castoff::domain::turn::{TurnOutcome, TurnRecord, TurnState};
use castoff::store::Store;
use serde_json::{Value, json};

use crate::common::processes::kill;
use crate::mind;
use crate::stage::{PEOPLE, Stage};

/// In `make test`.
const KILLS: u64 = 8;
/// Between two kills, in milliseconds.
const PAUSE_MS_MIN: u64 = 200;
const PAUSE_MS_MAX: u64 = 5000;
/// How long a person waits for an answer before the next message, in looks of [`LOOK`].
const PATIENCE: usize = 60;
const LOOK: Duration = Duration::from_millis(250);

/// xorshift64*: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hello,
    Do,
    Run,
}

/// What was said, by token.
type Said = BTreeMap<String, (i64, Kind)>;

fn number(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).ok().map_or_else(otherwise, |text| text.parse().unwrap())
}

#[test]
fn whatever_dies_while_ten_people_work_nothing_is_lost_or_done_twice() {
    let kills = number("CASTOFF_CRASHES_KILLS", || KILLS);
    let seed = number("CASTOFF_CRASHES_SEED", || {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).unwrap();
        u64::from(u32::from_le_bytes(bytes))
    });
    println!("CASTOFF_CRASHES_SEED={seed} CASTOFF_CRASHES_KILLS={kills}");
    let stage = Stage::set();
    let over = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        let people: Vec<_> = PEOPLE
            .map(|person| {
                let dice = Dice(seed.wrapping_add(person.unsigned_abs()).wrapping_mul(97) | 1);
                let (stage, over) = (&stage, &over);
                scope.spawn(move || talks(stage, over, dice, person))
            })
            .collect();
        let died = kill_at_random(&stage, Dice(seed | 1), kills);
        println!("killed at random: {died:?}");
        over.store(true, Ordering::Relaxed);
        people.into_iter().flat_map(|person| person.join().unwrap()).collect::<Said>()
    });
    stage.castoff().crash();
    stage.castoff().serve();
    stage.comes_to_rest();
    stage.is_in_order();
    let held = all_told(&stage, &said);
    stage.castoff().serve();
    for (run, home) in &held {
        stage.holds_its_changes(run, Path::new(home));
    }
    stage.comes_to_rest();
    stage.is_in_order();
    stage.ends_clean();
}

/// Says something now and then, until it is over. Returns what was said.
fn talks(stage: &Stage, over: &AtomicBool, mut dice: Dice, person: i64) -> Said {
    let mut said = Said::new();
    while !over.load(Ordering::Relaxed) {
        let token = format!("p{person}n{:03}", said.len());
        let (kind, text) = match dice.below(3) {
            0 => (Kind::Hello, format!("hello {token}")),
            1 => (Kind::Do, format!("do {token}: {}", stage.script(&token))),
            _ => (Kind::Run, format!("/run {}", stage.script(&token))),
        };
        stage.place.api.say(person, &text);
        said.insert(token.clone(), (person, kind));
        for _ in 0..PATIENCE {
            let chat = stage.place.api.chat(person);
            let answered = chat.iter().any(|one| one.by_bot && one.text.contains(&token));
            if answered || over.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        std::thread::sleep(Duration::from_millis(dice.below(1500)));
    }
    said
}

/// Kills so many times; who died how often.
fn kill_at_random(stage: &Stage, mut dice: Dice, kills: u64) -> BTreeMap<&'static str, u64> {
    let castoff = stage.castoff();
    let mut died = BTreeMap::new();
    while died.values().sum::<u64>() < kills {
        std::thread::sleep(Duration::from_millis(PAUSE_MS_MIN + dice.below(PAUSE_MS_MAX - PAUSE_MS_MIN)));
        let runner = castoff.core_process().children().first().copied();
        let mut containers = castoff.pids();
        let at = usize::try_from(dice.below(1000)).unwrap() % containers.len().max(1);
        let who = match dice.below(8) {
            0..=2 => {
                castoff.crash();
                castoff.launch(&[]);
                "core"
            }
            3 | 4 if runner.is_some() => {
                kill(runner.unwrap().0, "KILL");
                "runner"
            }
            5 | 6 if !containers.is_empty() => {
                kill(containers.swap_remove(at), "KILL");
                "keeper or run"
            }
            7 => {
                runner.iter().map(|runner| runner.0).chain(containers).for_each(|pid| kill(pid, "KILL"));
                castoff.crash();
                castoff.launch(&[]);
                "all of them"
            }
            _ => continue,
        };
        *died.entry(who).or_default() += 1;
    }
    died
}

/// Stops Castoff and compares its records with what was said, what the chats show and what the files are.
/// Returns the runs that hold something, with the homes that they are about.
fn all_told(stage: &Stage, said: &Said) -> Vec<(Value, String)> {
    let castoff = stage.castoff();
    castoff.stop();
    let store = Store::open(&castoff.home().join("state/core")).unwrap();
    let runs = store.runs(None, 1_000_000).unwrap();
    let mut turns: BTreeMap<String, TurnRecord> = BTreeMap::new();
    for (person, update, text) in stage.place.api.updates() {
        let turn = store.turn(&TurnId::derived("telegram", &format!("{person} {update}"))).unwrap();
        turns.extend(turn.map(|turn| (text, turn)));
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut held = Vec::new();
    for (token, (person, kind)) in said {
        let home = castoff.home().join(format!("people/p{person}"));
        let of_token: Vec<&RunRecord> =
            runs.iter().filter(|run| run.task.script().is_some_and(|script| script.as_str().contains(token))).collect();
        let all: Vec<Value> = of_token.iter().map(|run| as_json(run)).collect();
        let outcome = stage.outcome_of(token, &home, &all);
        if let [run] = &all[..]
            && run["state"].get("held").is_some()
        {
            held.push((run.clone(), home.to_str().unwrap().to_owned()));
        }
        let told = match kind {
            Kind::Run => {
                assert!(outcome.is_some(), "the command {token} was lost");
                stage.is_shown_once(token, *person);
                "card".to_owned()
            }
            Kind::Hello | Kind::Do => {
                let turn = turns.iter().find(|(text, _)| text.contains(token)).map(|(_, turn)| turn);
                let turn = turn.unwrap_or_else(|| panic!("the message {token} was lost"));
                let TurnState::Done { outcome } = &turn.state else { panic!("{turn:?} is not over") };
                match outcome {
                    TurnOutcome::Replied { text } => {
                        assert_eq!(*text, mind::reply(token));
                        stage.is_answered_once(token, *person);
                        "replied".to_owned()
                    }
                    TurnOutcome::Failed { why } => {
                        // On a slow machine people write faster than they are answered.
                        let fits = why.contains("interrupted twice") || why.contains("wait already");
                        assert!(fits, "{token}: {why}");
                        stage.place.sees(*person, &[why]);
                        why.clone()
                    }
                    TurnOutcome::Stopped => panic!("nobody stopped {token}"),
                }
            }
        };
        *counts.entry(format!("{kind:?}: {outcome:?}, {told}")).or_default() += 1;
    }
    for (what, count) in counts {
        println!("{count:4} {what}");
    }
    held
}

/// As `castoff runs` tells its own person.
fn as_json(record: &RunRecord) -> Value {
    let sets = record.end.iter().flat_map(|end| &end.changes);
    let changes: Vec<Value> = sets
        .flat_map(|set| set.changes.iter().map(|change| json!({ "path": set.workspace.join(&change.path) })))
        .collect();
    json!({
        "run": record.run, "script": record.task.script(), "state": record.state,
        "ending": record.end.as_ref().map(|end| &end.ending), "changes": changes, "landings": record.landings,
    })
}
