//! The world around the engine: people, policies, a runner that may say anything, and the store, which
//! is the model's copy of what was committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use castoff::config::load_policy;
use castoff::domain::change::{Change as Changed, ChangeSet, Landing, Node, NodeKind, Trouble};
use castoff::domain::ids::{ApprovalId, RunId, TurnId};
use castoff::domain::plan::Image;
use castoff::domain::principal::Principal;
use castoff::domain::record::{RunRecord, RunState};
use castoff::domain::run::{self, RunEnd, StopCause, Stream, Usage};
use castoff::domain::script::Script;
use castoff::domain::time::Timestamp;
use castoff::engine::{Ask, Called, Engine, Event, FreshIds, Past};
use castoff::policy::{Parsed, ParsedTask, Policy};
use castoff::protocol::runner::{Fate, Fault, FromRunner, IMAGES, Readiness, Request, Unusable};
use serde_bytes::ByteBuf;

use crate::model::Model;

/// One thing that happens. A run is named by its place in the order of asking; beyond the last is one
/// that the engine never heard of. People: 0 the owner, 1 Bob, 2 somebody else.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Ask { by: usize, script: usize, yes: bool },
    Next { run: usize, change: Change },
    Answer { run: usize, by: usize, yes: bool },
    Stop { run: usize, by: usize },
    Apply { run: usize, by: usize, part: bool },
    Drop { run: usize, by: usize },
    Undo { run: usize, by: usize },
    Surveyed { run: usize, fit: bool },
    Output { run: usize },
    Ended { run: usize, ending: Ending, change: Change },
    Applied { run: usize, done: usize },
    Dropped { run: usize },
    Undone { run: usize },
    Trouble { run: usize, request: usize },
    Recalled { run: usize, fate: usize, change: Change },
    Ready { well: bool },
    Gone,
    Tick { days: i64 },
    Crash { committed: bool },
    Policy { policy: usize },
    Always { run: usize, by: usize },
    Revoke { by: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Safe,
    Risky,
    Unread,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    ByItself,
    Stopped,
    Lost,
    Failed,
}

const WORK: &str = "/work";
const USERS: &str = "owner: { name: Ann }\nusers: [{ id: bob, name: Bob, trust_level: trusted, local: [1001] }]\n";
/// The usual policy, a stricter and a looser one.
const TOOLS: [&str; 3] = [
    "require_approval: [\"delete\", \"factor\"]\nfiles: { allowed_paths: [\"/work\"] }\n",
    "exec: { deny: [\"factor\"] }\nrequire_approval: [\"delete\"]\nfiles: { allowed_paths: [\"/work\"] }\n",
    "require_approval: [\"delete\"]\nfiles: { allowed_paths: [\"/work\"] }\n",
];
/// Allowed, asked about, denied, and one that wants the network.
const SCRIPTS: [&str; 4] = ["echo 1", "factor 12", "nmap", "curl https://example.com"];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(crate) struct World {
    engine: Engine,
    policy: Arc<Policy>,
    now: Timestamp,
    pub(crate) model: Model,
}

fn policy(which: usize) -> Arc<Policy> {
    static ALL: OnceLock<Vec<Arc<Policy>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        TOOLS
            .iter()
            .map(|tools| {
                let dir = tempfile::tempdir().unwrap();
                std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n")
                    .unwrap();
                std::fs::write(dir.path().join("users.yaml"), USERS).unwrap();
                std::fs::write(dir.path().join("tools.yaml"), tools).unwrap();
                Arc::new(load_policy(dir.path(), Path::new("/srv/castoff")).unwrap())
            })
            .collect()
    });
    Arc::clone(&all[which])
}

fn person(which: usize) -> Principal {
    let known = policy(0);
    match which {
        0 => known.principal("owner").unwrap(),
        1 => known.principal("bob").unwrap(),
        _ => Principal { person: "carol".to_owned().try_into().unwrap(), ..known.principal("bob").unwrap() },
    }
}

/// The id of the `number`th run, and those that come with it.
fn ids(number: usize) -> FreshIds {
    let number = u8::try_from(number % 250).unwrap();
    FreshIds {
        run: RunId::from_random([number; 11]),
        turn: TurnId::from_random([number; 11]),
        plan: ApprovalId::from_random([number, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        changes: ApprovalId::from_random([number, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    }
}

fn changes(change: Change) -> Vec<ChangeSet> {
    let file = Node { kind: NodeKind::File { bytes: 1 }, mode: 0o644 };
    let (new, gone) = (
        |path: &str| Changed { path: path.to_owned(), before: None, after: Some(file.clone()) },
        Changed { path: "gone".to_owned(), before: Some(file.clone()), after: None },
    );
    let set = |changes, refused| vec![ChangeSet { workspace: WORK.into(), changes, refused }];
    match change {
        Change::None => Vec::new(),
        Change::Safe => set(vec![new("a"), new("b")], Vec::new()),
        Change::Risky => set(vec![new("a"), gone], Vec::new()),
        Change::Unread => set(Vec::new(), vec![Trouble { path: ".".to_owned(), why: "it cannot be read".to_owned() }]),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let policy = policy(0);
        let engine = Engine::new(Arc::clone(&policy), Vec::new());
        Self { engine, policy, now: Timestamp::from_ms(1_800_000_000_000), model: Model::default() }
    }

    /// Lets it happen, once or twice, and checks what comes of it.
    pub(crate) fn take(&mut self, op: &Op, twice: bool) {
        self.now = self.now.plus_ms(1);
        match op {
            Op::Crash { committed } => return self.crash(*committed),
            Op::Tick { days } => {
                let now = i64::try_from(self.now.as_ms()).unwrap() + days * DAY_MS;
                self.now = Timestamp::from_ms(u64::try_from(now).unwrap());
            }
            Op::Policy { policy: which } => self.policy = policy(*which),
            _ => {}
        }
        let number = self.model.asked.len();
        let Some(event) = self.event(op, number) else { return };
        if let Op::Ask { .. } = op {
            self.model.asked.push(ids(number).run);
        }
        let before = self.model.stored.clone();
        let step = self.engine.step(event, self.now);
        self.model.check(op, &before, step, self.now);
        if !twice || !self.can_come_twice(op, number) {
            return;
        }
        let again = match self.event_again(op, number, &before) {
            Some(event) => self.engine.step(event, self.now),
            None => return,
        };
        self.model.check_again(op, &again);
    }

    /// Not a wish whose run was over at once, since its id is never drawn again; nor a survey while the
    /// next one is under way, for which it stands just as well.
    fn can_come_twice(&self, op: &Op, number: usize) -> bool {
        match op {
            Op::Ask { .. } => self.model.stored.open().any(|record| record.run == self.model.asked[number]),
            Op::Next { run, .. } | Op::Surveyed { run, .. } => {
                self.record(*run).is_none_or(|record| !record.yes || !matches!(record.state, RunState::Asking { .. }))
            }
            _ => true,
        }
    }

    /// The core is killed, perhaps with a step on its way to the disk, and starts again.
    fn crash(&mut self, committed: bool) {
        if !committed {
            // This step was taken and not committed: neither its records nor its effects ever were.
            drop(self.engine.step(Event::Tick, self.now.plus_ms(2 * u64::try_from(DAY_MS).unwrap())));
        }
        let stored = &self.model.stored;
        let inputs = stored.inputs.clone();
        let past = Past {
            runs: stored.open().cloned().collect(),
            approvals: stored.pending().cloned().collect(),
            turns: Vec::new(),
            conversations: Vec::new(),
            posts: Vec::new(),
            ledger: Vec::new(),
            input: &|run: &RunId| inputs.get(run).cloned(),
            read: &|call| Called { call, wanted: Err("no model is under way here".to_owned()) },
            model: None,
            learned: stored.learned.values().cloned().collect(),
            daily_budgets: Vec::new(),
            restored: false,
        };
        let (engine, step) = Engine::recover(Arc::clone(&self.policy), Vec::new(), past, self.now);
        self.engine = engine;
        let before = self.model.stored.clone();
        self.model.check(&Op::Crash { committed }, &before, step, self.now);
    }

    fn run(&self, which: usize) -> RunId {
        self.model.asked.get(which).cloned().unwrap_or_else(|| RunId::from_random([255; 11]))
    }

    fn record(&self, which: usize) -> Option<&RunRecord> {
        self.model.stored.runs.get(&self.run(which))
    }

    /// The same event once more: with the record as it was for who read it before.
    fn event_again(&self, op: &Op, number: usize, before: &crate::model::Stored) -> Option<Event> {
        match op {
            // What a run waits for has changed; the same news is what came before.
            Op::Next { run, change } => next(before.runs.get(&self.run(*run))?, *change),
            Op::Undo { .. } => None,
            _ => self.event(op, number),
        }
    }

    fn event(&self, op: &Op, number: usize) -> Option<Event> {
        let record = |run: usize| self.record(run).cloned().map(Box::new);
        Some(match op {
            Op::Ask { by, script, yes } => Event::Asked(Box::new(ask(number, *by, *script, *yes))),
            Op::Next { run, change } => next(self.record(*run)?, *change)?,
            Op::Answer { run, by, yes } => {
                let approval = self.model.stored.question(&self.run(*run))?;
                Event::Answered { approval, by: person(*by), yes: *yes }
            }
            Op::Always { run, by } => {
                let approval = self.model.stored.question(&self.run(*run))?;
                let shown = self.record(*run)?.verdict.as_ref()?.always.clone();
                Event::AllowedAlways { approval, by: person(*by), shown }
            }
            Op::Revoke { by } => {
                let rule = self.model.stored.learned.keys().next()?.clone();
                Event::RevokeAsked { rule, by: person(*by) }
            }
            Op::Stop { run, by } => Event::StopAsked { run: self.run(*run), by: person(*by) },
            Op::Apply { run, by, part } => {
                let paths = part.then(|| vec![PathBuf::from(WORK).join("a")]);
                Event::ApplyAsked { record: record(*run)?, by: person(*by), paths }
            }
            Op::Drop { run, by } => Event::DropAsked { record: record(*run)?, by: person(*by) },
            Op::Undo { run, by } => Event::UndoAsked { record: record(*run)?, by: person(*by), card: None },
            Op::Gone => Event::RunnerGone,
            Op::Tick { .. } => Event::Tick,
            Op::Policy { .. } => Event::PolicyLoaded(Arc::clone(&self.policy)),
            Op::Crash { .. } => return None,
            _ => Event::Runner(self.news(op)?),
        })
    }

    fn news(&self, op: &Op) -> Option<FromRunner> {
        Some(match op {
            Op::Surveyed { run, fit } => {
                let unusable = Unusable { path: "/srv/castoff/people".into(), why: "it is gone".to_owned() };
                let unusable = if *fit { Vec::new() } else { vec![unusable] };
                FromRunner::Surveyed { run: self.run(*run), covers: Vec::new(), unusable }
            }
            Op::Output { run } => FromRunner::Output {
                run: self.run(*run),
                stream: Stream::Stdout,
                bytes: ByteBuf::from(vec![b'x'; 40_000]),
            },
            Op::Ended { run, ending, change } => {
                FromRunner::Ended { run: self.run(*run), end: Box::new(end(*ending, *change, self.now)) }
            }
            Op::Applied { run, done } => FromRunner::Applied { run: self.run(*run), landings: landings(*done) },
            Op::Dropped { run } => FromRunner::Dropped { run: self.run(*run), landings: vec![] },
            Op::Undone { run } => FromRunner::Undone { run: self.run(*run), landings: landings(2) },
            Op::Trouble { run, request } => {
                // The last one had no answer.
                let fault = if *request < 4 { Fault::Refused } else { Fault::Unanswered };
                let all = [Request::Survey, Request::Apply, Request::Drop, Request::Undo, Request::Undo];
                let why = "the keeper is gone".to_owned();
                FromRunner::Trouble { run: self.run(*run), request: all[*request], fault, why }
            }
            Op::Recalled { run, fate, change } => {
                let end = |ending| Box::new(end(ending, *change, self.now));
                let fate = match fate {
                    0 => Fate::NeverSeen,
                    1 => Fate::Ended(end(Ending::ByItself)),
                    _ => Fate::Interrupted(end(Ending::ByItself)),
                };
                FromRunner::Recalled { runs: vec![(self.run(*run), fate)] }
            }
            Op::Ready { well } => FromRunner::Ready(readiness(*well)),
            _ => return None,
        })
    }
}

fn ask(number: usize, by: usize, script: usize, yes: bool) -> Ask {
    let parsed = Parsed::new(Script::new(SCRIPTS[script].to_owned()).unwrap()).unwrap();
    // Half of them get input, which no learned rule covers.
    let (caller, stdin) = (person(by), number.is_multiple_of(2).then(|| vec![b'i'; 3]));
    let task = ParsedTask::Script(parsed);
    Ask { ids: ids(number), rights: caller.clone(), caller, task, stdin, workdir: None, review: None, yes }
}

/// What a run in this state waits for.
fn next(record: &RunRecord, change: Change) -> Option<Event> {
    let run = record.run.clone();
    Some(match &record.state {
        RunState::Planning => Event::Runner(FromRunner::Surveyed { run, covers: Vec::new(), unusable: Vec::new() }),
        // A yes, and in the same breath the survey that follows it.
        RunState::Asking { approval } if change == Change::Risky => {
            Event::Answered { approval: approval.clone(), by: person(0), yes: true }
        }
        RunState::Asking { .. } => {
            Event::Runner(FromRunner::Surveyed { run, covers: Vec::new(), unusable: Vec::new() })
        }
        RunState::Running => {
            let end = Box::new(end(Ending::ByItself, change, Timestamp::from_ms(1_800_000_000_000)));
            Event::Runner(FromRunner::Ended { run, end })
        }
        RunState::Applying => Event::Runner(FromRunner::Applied { run, landings: landings(2) }),
        RunState::Dropping => Event::Runner(FromRunner::Dropped { run, landings: vec![] }),
        RunState::Undoing => Event::Runner(FromRunner::Undone { run, landings: landings(2) }),
        RunState::Queued | RunState::Held { .. } | RunState::Refused { .. } | RunState::Done { .. } => return None,
    })
}

fn end(ending: Ending, change: Change, at: Timestamp) -> RunEnd {
    let ending = match ending {
        Ending::ByItself => run::Ending::Exited { code: 0 },
        Ending::Stopped => run::Ending::Stopped { cause: StopCause::Asked },
        Ending::Lost => run::Ending::Stopped { cause: StopCause::Lost },
        Ending::Failed => run::Ending::Failed { why: "the image is gone".to_owned() },
    };
    RunEnd { ending, started: at, ended: at, enforced: None, usage: Usage::default(), changes: changes(change) }
}

/// The landing of this many of a run's two changes; the others conflict.
fn landings(done: usize) -> Vec<Landing> {
    let trouble = |path: &str| Trouble { path: path.to_owned(), why: "it changed".to_owned() };
    let paths = ["a", "b"];
    vec![Landing {
        workspace: WORK.into(),
        done: paths[..done].iter().map(|path| (*path).to_owned()).collect(),
        conflicts: paths[done..].iter().map(|path| trouble(path)).collect(),
    }]
}

fn readiness(well: bool) -> Readiness {
    let images = IMAGES.iter().map(|name| Image { name: (*name).to_owned(), id: format!("sha256:{name}") }).collect();
    let problems = if well { Vec::new() } else { vec!["the engine does not answer".to_owned()] };
    Readiness { images, problems, ..Readiness::default() }
}

/// Inputs by run.
pub(crate) type Inputs = BTreeMap<RunId, Vec<u8>>;
