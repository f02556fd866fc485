//! After a restart of the core, or of the runner: intents without results.

use std::sync::Arc;

use serde_json::json;

use super::ask::{NO_RUNNER, never_started};
use super::budget::{Budget, Recovered};
use super::land::{held_because, is_unread};
use super::memory::Conversation;
use super::turn::LiveTurn;
use super::{Called, Effect, Engine, ModelInUse, Step, audit, keep};
use crate::domain::ids::{PersonId, RunId, TurnId};
use crate::domain::learned::LearnedRule;
use crate::domain::model::{ToolCall, ToolSpec};
use crate::domain::money::{LedgerEntry, Money};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{ApprovalRecord, ApprovalState, Outcome, Record, RunRecord, RunState};
use crate::domain::run::{Ending, RunEnd, StopCause, Stream};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Message, Post, TurnOutcome, TurnRecord, TurnState};
use crate::policy::Policy;
use crate::protocol::runner::{Fate, Readiness, ToRunner};

/// How long a runner that is away may be one that is being started anew, in milliseconds.
const AWAY_MS: u64 = 20_000;
/// Between two questions for changes that could not be read, in milliseconds.
const ASK_AGAIN_MS: u64 = 30_000;
/// Stands at the end of what is on record of a run whose core was gone meanwhile.
const CUT_OFF: &[u8] = b"\ncastoff: Castoff was interrupted here; later output of this run is not on record\n";

/// What is on record when an engine starts.
pub struct Past<'a> {
    /// Runs that were not over.
    pub runs: Vec<RunRecord>,
    /// Open questions.
    pub approvals: Vec<ApprovalRecord>,
    /// Turns that were not over, oldest first.
    pub turns: Vec<TurnRecord>,
    /// Conversations, as far as prompts need them.
    pub conversations: Vec<(PersonId, Vec<Message>)>,
    /// Posts that wait, and those of open turns and questions.
    pub posts: Vec<Post>,
    /// The ledger of this month and the one before.
    pub ledger: Vec<LedgerEntry>,
    /// Standard input of a waiting run.
    pub input: &'a dyn Fn(&RunId) -> Option<Vec<u8>>,
    /// Reads a tool call.
    pub read: &'a dyn Fn(ToolCall) -> Called,
    /// The model in use.
    pub model: Option<ModelInUse>,
    /// What was allowed always.
    pub learned: Vec<LearnedRule>,
    /// Daily budgets that the owner set, by provider.
    pub daily_budgets: Vec<(String, Money)>,
    /// Whether all of it was just restored: what was under way may have been done since.
    pub restored: bool,
}

impl std::fmt::Debug for Past<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Past").field("runs", &self.runs.len()).field("turns", &self.turns.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that goes on where the last one was cut.
    ///
    /// A run that had not begun is refused, since nobody waits for it any more; a run that was in its
    /// container is asked for at the runner; questions and held changes stay as they were. A model call
    /// that was under way is booked as if it had cost what was reserved, and made once more.
    pub fn recover(policy: Arc<Policy>, toolbox: Vec<ToolSpec>, past: Past<'_>, now: Timestamp) -> (Self, Step) {
        let mut engine = Self::new(policy, toolbox);
        engine.away_since = now;
        let mut step = Step::at(now);
        let Past { runs, approvals, turns, conversations, posts, ledger, .. } = past;
        let Past { input, read, model, learned, daily_budgets, restored, .. } = past;
        engine.learned = learned.into_iter().map(|one| (one.rule.clone(), one)).collect();
        engine.lay_over(&Arc::clone(&engine.policy));
        engine.model = model;
        engine.daily_budgets = daily_budgets.into_iter().collect();
        let Recovered { budget, cut_off, alerts } = Budget::recover(engine.terms(), ledger, now);
        engine.budget = budget;
        engine.conversations =
            conversations.into_iter().map(|(person, messages)| (person, Conversation::new(messages))).collect();
        if let Some(turn) = cut_off.last().map(|entry| entry.turn.clone()) {
            engine.alert(&alerts, &turn, &mut step);
        }
        step.records.extend(cut_off.into_iter().map(|entry| Record::Ledger(Box::new(entry))));
        for approval in approvals {
            engine.approvals.insert(approval.approval.clone(), approval);
        }
        for record in &turns {
            engine.revive_turn(record, read);
        }
        engine.recover_posts(posts, restored, &mut step);
        engine.recover_runs(runs, input, &mut step);
        engine.advance(&mut step);
        if restored {
            engine.end_turns_of_before(&turns, &mut step);
        } else {
            engine.resume_turns(turns, &mut step);
        }
        engine.advance(&mut step);
        engine.post_news(&mut step);
        (engine, step)
    }

    fn revive_turn(&mut self, record: &TurnRecord, read: &dyn Fn(ToolCall) -> Called) {
        let caller = self.policy.principal(record.person.as_str()).unwrap_or_else(|| Principal {
            person: record.person.clone(),
            name: record.person.to_string(),
            trust: Trust::Blocked,
        });
        let mut live = LiveTurn::new(record.clone(), caller);
        match &record.state {
            TurnState::Queued => {
                self.waiting.entry(record.person.clone()).or_default().push_back(record.turn.clone());
            }
            TurnState::Working { rest, .. } => {
                live.calls = rest.iter().cloned().map(read).collect();
                self.talking.insert(record.person.clone(), record.turn.clone());
            }
            TurnState::Thinking { .. } | TurnState::Summarising { .. } | TurnState::Done { .. } => {
                self.talking.insert(record.person.clone(), record.turn.clone());
            }
        }
        self.turns.insert(record.turn.clone(), live);
    }

    /// Ends turns of which nobody knows here how far they came.
    fn end_turns_of_before(&mut self, turns: &[TurnRecord], step: &mut Step) {
        // Or the end of one would begin the next.
        self.waiting.clear();
        for TurnRecord { turn, .. } in turns {
            let why = "Castoff went back to a backup in which this was under way; say it again if it is still open";
            self.end_turn(turn, TurnOutcome::Failed { why: why.to_owned() }, step);
        }
    }

    /// Lets turns go on: a model call that was cut off is made again once.
    fn resume_turns(&mut self, turns: Vec<TurnRecord>, step: &mut Step) {
        for TurnRecord { turn, person, state, .. } in turns {
            match state {
                TurnState::Thinking { .. } | TurnState::Summarising { .. } => self.think_again(&turn, step),
                TurnState::Working { .. } => self.resume_working(&turn, step),
                TurnState::Queued | TurnState::Done { .. } => {}
            }
            self.next_turn(&person, step);
        }
    }

    fn think_again(&mut self, turn: &TurnId, step: &mut Step) {
        let Some(live) = self.turns.get_mut(turn) else { return };
        live.record.retries += 1;
        if live.record.retries > 1 {
            let why = "Castoff was interrupted twice while the model was thinking; say it again".to_owned();
            return self.end_turn(turn, TurnOutcome::Failed { why }, step);
        }
        self.think(turn, step);
    }

    fn recover_runs(&mut self, open: Vec<RunRecord>, input: &dyn Fn(&RunId) -> Option<Vec<u8>>, step: &mut Step) {
        let engine = self;
        for record in open {
            let run = record.run.clone();
            let Some(mut live) = engine.revive(record) else { continue };
            live.stdin = input(&run);
            let questions: Vec<_> = engine.approvals.values().filter(|one| one.run == run).cloned().collect();
            for question in questions {
                match question.subject {
                    crate::domain::record::Subject::Plan { .. } => live.ids.plan = question.approval,
                    crate::domain::record::Subject::Changes { .. } => live.ids.changes = question.approval,
                }
            }
            let state = live.record.state.clone();
            let person = live.record.person.clone();
            engine.runs.insert(run.clone(), live);
            match state {
                RunState::Planning | RunState::Queued => {
                    let why = "Castoff stopped before it began; nothing of it ran".to_owned();
                    engine.refuse(&run, why, step);
                }
                RunState::Running => {
                    engine.live.insert(person, run.clone());
                }
                RunState::Applying
                | RunState::Dropping
                | RunState::Undoing
                | RunState::Asking { .. }
                | RunState::Held { .. }
                | RunState::Refused { .. }
                | RunState::Done { .. } => {}
            }
        }
    }

    pub(super) fn runner_ready(&mut self, readiness: Readiness, step: &mut Step) {
        let is_ready = readiness.problems.is_empty();
        self.runner = Some(readiness);
        if !is_ready {
            // Without its engine it could read no changes, and what is not seen would be taken for nothing.
            return;
        }
        if std::mem::take(&mut self.away) {
            self.lost = self.waiting_for_runner();
        }
        self.ask_for_lost(step);
    }

    /// Asks again for what could not be read, whatever kept a runner that is ready from it: now and then.
    pub(super) fn tick_lost(&mut self, step: &mut Step) {
        let is_ready = self.runner.as_ref().is_some_and(|runner| runner.problems.is_empty());
        if is_ready && !self.lost.is_empty() && step.now >= self.lost_asked_at.plus_ms(ASK_AGAIN_MS) {
            self.ask_for_lost(step);
        }
    }

    fn ask_for_lost(&mut self, step: &mut Step) {
        self.lost_asked_at = step.now;
        let lost = std::mem::take(&mut self.lost);
        let mut running = Vec::new();
        for run in lost {
            match self.runs.get(&run).map(|live| live.record.state.clone()) {
                Some(RunState::Running) => running.push(run),
                Some(RunState::Held { .. }) if self.holds_unread(&run) => running.push(run),
                // A yes that was being looked at is looked at anew.
                Some(RunState::Asking { .. }) => self.survey(&run, step),
                // The keeper's journal makes these safe to ask for again.
                Some(RunState::Applying) => {
                    let paths = self.runs.get(&run).and_then(|live| live.record.landing.clone());
                    step.effects.push(Effect::Tell(ToRunner::Apply { run, paths }));
                }
                Some(RunState::Dropping) => step.effects.push(Effect::Tell(ToRunner::Drop { run })),
                Some(RunState::Undoing) => step.effects.push(Effect::Tell(ToRunner::Undo { run })),
                // Nothing of it began: it is planned anew.
                Some(RunState::Planning) => {
                    audit(step, None, "run.planned-anew", (&run, json!({})));
                    self.survey(&run, step);
                }
                Some(RunState::Queued) => self.fail(&run, "the runner stopped before it began".to_owned(), step),
                Some(_) | None => {}
            }
        }
        if !running.is_empty() {
            step.effects.push(Effect::Tell(ToRunner::Recall { runs: running }));
        }
    }

    /// Nobody answered to an undo: what was begun of it, the next keeper finishes. Until one says so it is under way.
    pub(super) fn undo_unanswered(&mut self, run: &RunId, why: &str, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Undoing) else { return };
        if !std::mem::replace(&mut live.unanswered, true) {
            audit(step, None, "runner.trouble", (run, json!({ "why": why })));
            let why = format!("{why}; the undo stays under way, and is asked for again until it is done");
            step.effects.push(Effect::Decline { run: run.clone(), why });
        }
        if !self.lost.contains(run) {
            self.lost.push(run.clone());
        }
        // Not at once: a keeper that dies of it takes a while to start.
        self.lost_asked_at = step.now;
    }

    pub(super) fn runner_gone(&mut self, step: &Step) {
        self.runner = None;
        self.away = true;
        self.away_since = step.now;
    }

    /// Whether the runner has been away for longer than one that is only started anew.
    pub(super) fn runner_stays_away(&self, now: Timestamp) -> bool {
        self.runner.is_none() && now >= self.away_since.plus_ms(AWAY_MS)
    }

    /// Ends what waits to be planned by a runner that stays away.
    pub(super) fn tick_away(&mut self, step: &mut Step) {
        if !self.runner_stays_away(step.now) {
            return;
        }
        let planned = self.runs.iter().filter(|(_, live)| live.record.state == RunState::Planning);
        let planned: Vec<RunId> = planned.map(|(run, _)| run.clone()).collect();
        planned.iter().for_each(|run| self.fail(run, NO_RUNNER.to_owned(), step));
    }

    /// Runs that go on only with the runner's answer.
    fn waiting_for_runner(&self) -> Vec<RunId> {
        let waiting = self.runs.iter().filter(|(run, live)| match live.record.state {
            RunState::Running | RunState::Applying | RunState::Dropping | RunState::Undoing | RunState::Planning => {
                true
            }
            RunState::Asking { .. } => live.granted.is_some(),
            RunState::Held { .. } => self.holds_unread(run),
            RunState::Queued | RunState::Refused { .. } | RunState::Done { .. } => false,
        });
        waiting.map(|(run, _)| run.clone()).collect()
    }

    pub(super) fn recalled(&mut self, runs: Vec<(RunId, Fate)>, step: &mut Step) {
        for (run, fate) in runs {
            match fate {
                Fate::Ended(end) | Fate::Interrupted(end) if self.holds_unread(&run) => {
                    self.read_again(&run, *end, step);
                }
                Fate::Ended(end) => {
                    self.output(&run, Stream::Stderr, CUT_OFF.to_vec(), step);
                    self.ended(&run, *end, step);
                }
                Fate::Interrupted(end) => self.interrupted(&run, *end, step),
                Fate::NeverSeen => self.never_began(&run, step),
            }
        }
    }

    /// Whether a run holds what nobody could read, since the engine was gone.
    fn holds_unread(&self, run: &RunId) -> bool {
        let record = self.runs.get(run).map(|live| &live.record);
        record.is_some_and(|record| {
            matches!(record.state, RunState::Held { .. }) && record.end.as_ref().is_some_and(|end| is_unread(end))
        })
    }

    /// What could not be read has been. It stays held, as people were told; now they can see it.
    fn read_again(&mut self, run: &RunId, found: RunEnd, step: &mut Step) {
        if is_unread(&found) {
            return self.lost.push(run.clone());
        }
        let Some(live) = self.runs.get_mut(run) else { return };
        let question = live.ids.changes.clone();
        let Some(end) = live.record.end.as_deref_mut() else { return };
        end.changes = found.changes;
        let any = end.changes.iter().any(|set| !set.changes.is_empty());
        let why = held_because(&end.ending);
        audit(step, None, "changes.read-again", (run, json!({ "any": any })));
        let asks = self.approvals.get(&question).is_some_and(|asked| asked.state == ApprovalState::Pending);
        match (any, asks) {
            (true, true) => self.hold(run, &why, step),
            (true, false) => {
                live.record.state = RunState::Held { approval: None, why };
                keep(&live.record, step);
            }
            (false, asks) => {
                if asks {
                    let why = "it changed nothing".to_owned();
                    self.settle_approval(&question, ApprovalState::Void { why }, None, step);
                }
                self.nothing_to_land(run, step);
            }
        }
    }

    fn interrupted(&mut self, run: &RunId, end: RunEnd, step: &mut Step) {
        if self.runs.get(run).is_none_or(|live| live.record.state != RunState::Running) {
            return;
        }
        self.output(run, Stream::Stderr, CUT_OFF.to_vec(), step);
        audit(step, None, "run.interrupted", (run, json!({})));
        let end = RunEnd { ending: Ending::Stopped { cause: StopCause::Lost }, ..end };
        self.ended(run, end, step);
    }

    /// Permitted, but the runner never saw it: nobody waits for it any more, so it does not start.
    fn never_began(&mut self, run: &RunId, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run).filter(|live| live.record.state == RunState::Running) else { return };
        live.record.state = RunState::Done { changes: Outcome::None };
        let why = "Castoff stopped before it began; nothing of it ran".to_owned();
        live.record.end = Some(Box::new(never_started(why, step.now)));
        audit(step, None, "run.never-began", (run, json!({})));
        keep(&live.record, step);
        let person = live.record.person.clone();
        self.runs.remove(run);
        self.live.remove(&person);
        self.start_next(&person, step);
    }
}
