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
mod budget;
mod context;
mod event;
mod land;
mod learn;
mod limits;
mod memory;
mod pace;
mod permit;
mod place;
pub mod plan;
pub mod post;
mod recover;
mod reload;
pub mod risk;
mod serve;
mod settings;
mod stop;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::domain::ids::{ApprovalId, CallId, PersonId, PostId, RuleId, RunId, TurnId};
use crate::domain::learned::LearnedRule;
use crate::domain::model::ToolSpec;
use crate::domain::money::Money;
use crate::domain::principal::Principal;
use crate::domain::record::{ApprovalRecord, AuditEntry, OutputPiece, Record, RunRecord, RunState};
use crate::domain::run::Stream;
use crate::domain::time::Timestamp;
use crate::domain::turn::Post;
use crate::policy::{Decision, ParsedTask, Policy};
use crate::protocol::runner::{Fault, FromRunner, Readiness, Request};

pub use budget::{
    Alert, Budget, BudgetView, Cap, Need, NoMoney, OUTPUT_TOKENS_MIN, PROMPT_TOKENS_ADDED, ProviderView, Recovered,
    Reserved, Settled, Window,
};
pub use context::is_summary;
pub use event::{Ask, Effect, Event, FreshIds, ModelInUse};
pub use permit::{Launch, Permit};
pub use recover::Past;
pub use serve::Called;
pub use settings::{trial, tried};
pub use stop::Stopping;
pub use turn::Saying;

use memory::Conversation;
use pace::Lately;
use turn::LiveTurn;

/// How long a question about a plan stays open.
pub const ASK_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a question about changes stays open; the changes stay held after it.
pub const REVIEW_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Runs that one person may have waiting for their live one.
pub const QUEUE_MAX: usize = 32;
/// Context of a model of which nobody says how much it takes, in tokens.
pub const CONTEXT_TOKENS_DEFAULT: u64 = 32_768;
/// Output is put on record when this much has come (or at the next tick).
const PIECE_BYTES: usize = 64 * 1024;

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
    task: ParsedTask,
    decision: Decision,
    stdin: Option<Vec<u8>>,
    /// A yes to its plan, while it is planned again.
    granted: Option<Grant>,
    /// Whether its undo has had no answer yet, as people were told.
    unanswered: bool,
    output: Pending,
}

/// A yes that does not count yet.
#[derive(Debug, Clone)]
struct Grant {
    by: Principal,
    /// Whether it leaves a rule behind.
    always: bool,
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
    /// Runs that the runner is asked about again when it is ready.
    lost: Vec<RunId>,
    /// When it was asked last.
    lost_asked_at: Timestamp,
    /// Whether it was away, so that it has to be asked about every run that waits for it.
    away: bool,
    /// Since when, if it is.
    away_since: Timestamp,
    stopping: Stopping,
    turns: BTreeMap<TurnId, LiveTurn>,
    /// Each person's turn under way, and those that wait for it.
    talking: BTreeMap<PersonId, TurnId>,
    waiting: BTreeMap<PersonId, VecDeque<TurnId>>,
    conversations: BTreeMap<PersonId, Conversation>,
    /// Model calls that are not settled, and their turns.
    in_flight: BTreeMap<CallId, TurnId>,
    /// What a summary under way will cover.
    summary_through: BTreeMap<TurnId, u64>,
    budget: Budget,
    model: Option<ModelInUse>,
    /// Every tool that a model may be offered.
    toolbox: Vec<ToolSpec>,
    /// Posts that are not shown as they are to be, or whose subject may change.
    posts: BTreeMap<PostId, Post>,
    telegram: bool,
    owner_chat: Option<i64>,
    /// What the owner is to be told once it is known whether there is a chat; `None` from then on.
    untold: Option<Vec<String>>,
    said_lately: Lately,
    ran_lately: Lately,
    /// Whether the owner was told that the files are wrong.
    files_are_wrong: bool,
    /// What was allowed always.
    learned: BTreeMap<RuleId, LearnedRule>,
    /// Daily budgets that the owner set outside the files.
    daily_budgets: BTreeMap<String, Money>,
}

impl Engine {
    /// An engine with nothing going on.
    pub fn new(policy: Arc<Policy>, toolbox: Vec<ToolSpec>) -> Self {
        Self {
            turns: BTreeMap::new(),
            talking: BTreeMap::new(),
            waiting: BTreeMap::new(),
            conversations: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            summary_through: BTreeMap::new(),
            budget: Budget::new(Arc::clone(policy.terms())),
            model: None,
            toolbox,
            posts: BTreeMap::new(),
            telegram: false,
            owner_chat: None,
            untold: Some(Vec::new()),
            said_lately: Lately::default(),
            ran_lately: Lately::default(),
            files_are_wrong: false,
            learned: BTreeMap::new(),
            daily_budgets: BTreeMap::new(),
            policy,
            runner: None,
            runs: BTreeMap::new(),
            approvals: BTreeMap::new(),
            live: BTreeMap::new(),
            queues: BTreeMap::new(),
            lost: Vec::new(),
            lost_asked_at: Timestamp::from_ms(0),
            away: true,
            away_since: Timestamp::from_ms(0),
            stopping: Stopping::No,
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

    /// What was spent, and the caps.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The model in use.
    pub fn model(&self) -> Option<&ModelInUse> {
        self.model.as_ref()
    }

    /// Takes one event. `now` is the time of the event.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Step {
        let mut step = Step::at(now);
        match event {
            Event::Asked(ask) => self.asked(*ask, None, &mut step),
            Event::Answered { approval, by, yes } => self.answered(&approval, &by, yes, &mut step),
            Event::AllowedAlways { approval, by, shown } => self.allowed_always(&approval, &by, &shown, &mut step),
            Event::RevokeAsked { rule, by } => self.revoke_asked(&rule, &by, &mut step),
            Event::StopAsked { run, by } => self.stop_asked(&run, &by, &mut step),
            Event::ApplyAsked { record, by, paths } => self.apply_asked(&record, &by, paths, &mut step),
            Event::DropAsked { record, by } => self.drop_asked(&record, &by, &mut step),
            Event::UndoAsked { record, by, card } => {
                self.undo_asked(*record, &by, &mut step);
                self.know_card(card);
            }
            Event::Said(saying) => self.said(saying, &mut step),
            Event::AllStopAsked { by } => self.all_stop_asked(&by, &mut step),
            Event::TurnStopAsked { person, turn, by } => self.turn_stop_asked((&person, turn), &by, &mut step),
            Event::ModelReplied { call, reply, calls } => self.model_replied(&call, *reply, calls, &mut step),
            Event::ModelFailed { call, failure } => self.model_failed(&call, failure, &mut step),
            Event::TrialAsked { by, request } => self.trial_asked(&by, &request, &mut step),
            Event::SettingsAsked { by, settings } => self.settings_asked(&by, settings, &mut step),
            Event::Posted { post, what } => self.posted(&post, what, &mut step),
            Event::AskedIn { chat, ask } => self.asked(*ask, Some(chat), &mut step),
            Event::StrangerSeen { telegram_id } => {
                turn::note(&mut step, None, "telegram.stranger", serde_json::json!({ "telegram_id": telegram_id }));
            }
            Event::OwnerTold { text } => self.tell_owner(text, &mut step),
            Event::CommandAnswered { person, chat, turn, text } => {
                self.command_answered((&person, chat), (turn, text), &mut step);
            }
            Event::TelegramChosen { on, owner } => self.telegram_chosen(on, owner, &mut step),
            Event::ModelChosen(model) => self.model = model,
            Event::Runner(message) => self.runner_said(message, &mut step),
            Event::RunnerGone => self.runner_gone(&step),
            Event::PolicyLoaded(policy) => self.policy_loaded(&policy, &mut step),
            Event::PolicyRefused { why } => self.policy_refused(&why, &mut step),
            Event::StopBegun { time } => self.stop_begun(time, &mut step),
            Event::Cut => self.cut(&mut step),
            Event::Tick => self.tick(&mut step),
        }
        self.advance(&mut step);
        self.post_news(&mut step);
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
            FromRunner::Dropped { run, landings } => self.dropped(&run, landings, step),
            FromRunner::Recalled { runs } => self.recalled(runs, step),
            FromRunner::Trouble { run, request: Request::Undo, fault: Fault::Unanswered, why } => {
                self.undo_unanswered(&run, &why, step);
            }
            FromRunner::Trouble { run, request, fault: _, why } => self.trouble(&run, request, why, step),
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
        self.tick_lost(step);
        self.tick_away(step);
        self.tick_turns(step);
    }

    fn output(&mut self, run: &RunId, stream: Stream, bytes: Vec<u8>, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Running) else { return };
        live.output.bytes += bytes.len();
        if let Some(turn) = self.turns.get_mut(&live.record.turn) {
            turn.output.push(&bytes);
        }
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
