//! The core's state and every decision about it. Pure: events in, records and effects out; no async,
//! clock, file system or network.
//!
//! A run's life (a run that was never permitted ends as `Refused`; one that nothing is there to run,
//! without engine or runner, as `Done` with the reason for its ending):
//!
//! ```text
//!            deny, cannot be planned
//!  Planning ───────────────────────────▶ Refused
//!     │  ╲ ask                              ▲
//!     │   ╲──▶ Asking ── no, expired, void ─┘
//!  allow        │ yes: planned again, judged again, same digest
//!     ▼         ▼
//!   Queued ◀────┘        one live container a person
//!     ▼
//!  Running ─── ended by itself, not risky ───▶ Applying ── all landed ──▶ Done
//!     │                                          ▲   ╲── conflicts ──▶ Held
//!     └─ risky, stopped, interrupted ──▶ Held ───┘ yes, `apply`
//!                                          ╲── no, `drop` ──▶ Dropping ──▶ Done
//!  Done (applied) ── `undo` ──▶ Undoing ──▶ Done (undone)
//! ```
//!
//! INVARIANT: an effect's cause is on record before the effect starts: the caller commits a step's
//! records, then starts its effects. A late or doubled event changes nothing.

mod approve;
mod ask;
mod land;
mod permit;
pub mod plan;
mod recover;
pub mod risk;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::ids::{ApprovalId, PersonId, RunId, TurnId};
use crate::domain::plan::Review;
use crate::domain::principal::Principal;
use crate::domain::record::{ApprovalRecord, AuditEntry, OutputPiece, Record, RunRecord, RunState};
use crate::domain::run::Stream;
use crate::domain::time::Timestamp;
use crate::policy::{Decision, Parsed, Policy};
use crate::protocol::runner::{FromRunner, Readiness, ToRunner};

pub use permit::{Launch, Permit};

/// How long a question about a plan stays open.
pub const ASK_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a question about changes stays open; the changes stay held after it.
pub const REVIEW_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Runs that one person may have waiting for their live one.
pub const QUEUE_MAX: usize = 32;
/// Output is put on record when this much has come (or at the next tick).
const PIECE_BYTES: usize = 64 * 1024;

/// What a person asks to run.
#[derive(Debug)]
pub struct Ask {
    /// Fresh ids: the run's, its turn's, and those of the questions it may raise.
    pub ids: FreshIds,
    /// Who asks.
    pub caller: Principal,
    /// With whose rights it is judged.
    pub rights: Principal,
    /// The script and its facts.
    pub parsed: Parsed,
    /// Standard input, when some is passed on.
    pub stdin: Option<Vec<u8>>,
    /// Where the caller stands.
    pub workdir: Option<PathBuf>,
    /// The caller's review choice.
    pub review: Option<Review>,
    /// The caller answers yes to what he could answer at the prompt.
    pub yes: bool,
}

/// Ids drawn at the edge, since the engine has no randomness.
#[derive(Debug, Clone)]
pub struct FreshIds {
    /// Of the run.
    pub run: RunId,
    /// Of its turn.
    pub turn: TurnId,
    /// Of the question about its plan.
    pub plan: ApprovalId,
    /// Of the question about its changes.
    pub changes: ApprovalId,
}

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    /// A person asks to run a script.
    Asked(Box<Ask>),
    /// A person answers a question.
    Answered {
        /// Which.
        approval: ApprovalId,
        /// Who.
        by: Principal,
        /// Yes or no.
        yes: bool,
    },
    /// A person wants a run stopped, or its question withdrawn.
    StopAsked {
        /// Which.
        run: RunId,
        /// Who.
        by: Principal,
    },
    /// A person wants held changes to land.
    ApplyAsked {
        /// The run as it is on record.
        record: Box<RunRecord>,
        /// Who.
        by: Principal,
        /// Absolute paths; `None` for all.
        paths: Option<Vec<PathBuf>>,
    },
    /// A person wants held changes dropped.
    DropAsked {
        /// The run as it is on record.
        record: Box<RunRecord>,
        /// Who.
        by: Principal,
    },
    /// A person wants landed changes taken back.
    UndoAsked {
        /// The run as it is on record.
        record: Box<RunRecord>,
        /// Who.
        by: Principal,
    },
    /// The runner says something.
    Runner(FromRunner),
    /// The connection to the runner broke.
    RunnerGone,
    /// Another policy is in force.
    PolicyLoaded(Arc<Policy>),
    /// A second has passed.
    Tick,
}

/// What the caller is to do once the records are committed.
#[derive(Debug)]
pub enum Effect {
    /// Say something to the runner that is no launch.
    Tell(ToRunner),
    /// Start a permitted run.
    Run {
        /// Its id.
        run: RunId,
        /// Plan and permit.
        launch: Box<Launch>,
        /// Standard input.
        stdin: Vec<u8>,
    },
    /// Show a run as it now stands to those who watch it.
    Show(Box<RunRecord>),
    /// Say why a person's wish about a run came to nothing.
    Decline {
        /// The run.
        run: RunId,
        /// Why, and what helps.
        why: String,
    },
}

/// What one event led to.
#[derive(Debug)]
pub struct Step {
    /// The time of the event.
    now: Timestamp,
    /// To commit, all or none, before any effect starts.
    pub records: Vec<Record>,
    /// To start then, in order.
    pub effects: Vec<Effect>,
}

impl Step {
    fn at(now: Timestamp) -> Self {
        Self { now, records: Vec::new(), effects: Vec::new() }
    }
}

/// A run that is not over.
#[derive(Debug)]
struct Live {
    record: RunRecord,
    ids: FreshIds,
    caller: Principal,
    rights: Principal,
    parsed: Parsed,
    decision: Decision,
    stdin: Option<Vec<u8>>,
    /// Who said yes to its plan, while it is planned again.
    granted_by: Option<Principal>,
    output: Pending,
}

/// Output that is not on record yet.
#[derive(Debug, Default)]
struct Pending {
    number: u32,
    parts: Vec<(Stream, Vec<u8>)>,
    bytes: usize,
}

/// The core's state.
#[derive(Debug)]
pub struct Engine {
    policy: Arc<Policy>,
    runner: Option<Readiness>,
    runs: BTreeMap<RunId, Live>,
    approvals: BTreeMap<ApprovalId, ApprovalRecord>,
    /// Each person's live run, and those that wait for it.
    live: BTreeMap<PersonId, RunId>,
    queues: BTreeMap<PersonId, VecDeque<RunId>>,
    /// Runs whose fate the runner has to tell.
    lost: Vec<RunId>,
}

impl Engine {
    /// An engine with nothing going on.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            runner: None,
            runs: BTreeMap::new(),
            approvals: BTreeMap::new(),
            live: BTreeMap::new(),
            queues: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What the runner can do; `None` while it is not connected.
    pub fn readiness(&self) -> Option<&Readiness> {
        self.runner.as_ref()
    }

    /// How many runs are in their containers, and how many wait for one.
    pub fn load(&self) -> (usize, usize) {
        (self.live.len(), self.queues.values().map(VecDeque::len).sum())
    }

    /// Takes one event. `now` is the time of the event.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Step {
        let mut step = Step::at(now);
        match event {
            Event::Asked(ask) => self.asked(*ask, &mut step),
            Event::Answered { approval, by, yes } => self.answered(&approval, &by, yes, &mut step),
            Event::StopAsked { run, by } => self.stop_asked(&run, &by, &mut step),
            Event::ApplyAsked { record, by, paths } => self.apply_asked(&record, &by, paths, &mut step),
            Event::DropAsked { record, by } => self.drop_asked(&record, &by, &mut step),
            Event::UndoAsked { record, by } => self.undo_asked(*record, &by, &mut step),
            Event::Runner(message) => self.runner_said(message, &mut step),
            Event::RunnerGone => self.runner_gone(),
            Event::PolicyLoaded(policy) => self.policy = policy,
            Event::Tick => self.tick(&mut step),
        }
        step
    }

    fn runner_said(&mut self, message: FromRunner, step: &mut Step) {
        match message {
            FromRunner::Ready(readiness) => self.runner_ready(readiness, step),
            FromRunner::Surveyed { run, covers, unusable } => self.surveyed(&run, &covers, &unusable, step),
            FromRunner::Output { run, stream, bytes } => self.output(&run, stream, bytes.into_vec(), step),
            FromRunner::Ended { run, end } => self.ended(&run, *end, step),
            FromRunner::Applied { run, landings } => self.applied(&run, landings, step),
            FromRunner::Undone { run, landings } => self.undone(&run, landings, step),
            FromRunner::Dropped { run } => self.dropped(&run, step),
            FromRunner::Recalled { runs } => self.recalled(runs, step),
            FromRunner::Trouble { run, request, why } => self.trouble(&run, request, why, step),
            // Shown by the caller as they come; nothing to decide.
            FromRunner::Progress { .. } | FromRunner::Started { .. } | FromRunner::Diffed { .. } => {}
        }
    }

    fn tick(&mut self, step: &mut Step) {
        let with_output: Vec<RunId> =
            self.runs.iter().filter(|(_, live)| live.output.bytes > 0).map(|(run, _)| run.clone()).collect();
        for run in with_output {
            self.put_output_on_record(&run, step);
        }
        self.expire(step);
    }

    fn output(&mut self, run: &RunId, stream: Stream, bytes: Vec<u8>, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Running) else { return };
        live.output.bytes += bytes.len();
        match live.output.parts.last_mut() {
            Some((last, text)) if *last == stream => text.extend(bytes),
            Some(_) | None => live.output.parts.push((stream, bytes)),
        }
        if live.output.bytes >= PIECE_BYTES {
            self.put_output_on_record(run, step);
        }
    }

    fn put_output_on_record(&mut self, run: &RunId, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.output.bytes > 0) else { return };
        let number = live.output.number;
        let parts = std::mem::take(&mut live.output.parts);
        live.output = Pending { number: number + 1, ..Pending::default() };
        let piece = OutputPiece { run: run.clone(), person: live.record.person.clone(), number, parts };
        step.records.push(Record::Output(piece));
    }
}

/// Puts a run's new state on record and before the eyes of those who watch it.
fn keep(record: &RunRecord, step: &mut Step) {
    step.records.push(Record::Run(Box::new(record.clone())));
    step.effects.push(Effect::Show(Box::new(record.clone())));
}

/// Adds an audit entry about a run.
fn audit(step: &mut Step, by: Option<&Principal>, what: &'static str, about: (&RunId, serde_json::Value)) {
    let (run, detail) = about;
    step.records.push(Record::Audit(AuditEntry {
        at: step.now,
        person: by.map(|by| by.person.clone()),
        trust: by.map(|by| by.trust),
        what,
        run: Some(run.clone()),
        detail,
    }));
}
