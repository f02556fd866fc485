//! After a restart of the core, or of the runner: intents without results.

use std::sync::Arc;

use serde_json::json;

use super::ask::never_started;
use super::{Effect, Engine, Step, audit, keep};
use crate::domain::ids::RunId;
use crate::domain::record::{ApprovalRecord, Outcome, RunRecord, RunState};
use crate::domain::run::{Ending, RunEnd, StopCause};
use crate::domain::time::Timestamp;
use crate::policy::Policy;
use crate::protocol::runner::{Fate, Readiness, ToRunner};

impl Engine {
    /// An engine that goes on where the last one was cut: `open` are the runs that were not over,
    /// `pending` the open questions; `input` gives a waiting run's standard input.
    ///
    /// A run that had not begun is refused, since nobody waits for it any more; a run that was in its
    /// container is asked for at the runner; questions and held changes stay as they were.
    pub fn recover(
        policy: Arc<Policy>,
        open: Vec<RunRecord>,
        pending: Vec<ApprovalRecord>,
        input: impl Fn(&RunId) -> Option<Vec<u8>>,
        now: Timestamp,
    ) -> (Self, Step) {
        let mut engine = Self::new(policy);
        let mut step = Step::at(now);
        for approval in pending {
            engine.approvals.insert(approval.approval.clone(), approval);
        }
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
                    engine.refuse(&run, why, &mut step);
                }
                RunState::Running => {
                    engine.live.insert(person, run.clone());
                    engine.lost.push(run);
                }
                RunState::Applying | RunState::Dropping | RunState::Undoing => engine.lost.push(run),
                RunState::Asking { .. } | RunState::Held { .. } | RunState::Refused { .. } | RunState::Done { .. } => {}
            }
        }
        (engine, step)
    }

    pub(super) fn runner_ready(&mut self, readiness: Readiness, step: &mut Step) {
        let is_ready = readiness.problems.is_empty();
        self.runner = Some(readiness);
        if !is_ready {
            // Without its engine it could read no changes, and what is not seen would be taken for nothing.
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        let mut running = Vec::new();
        for run in lost {
            match self.runs.get(&run).map(|live| live.record.state.clone()) {
                Some(RunState::Running) => running.push(run),
                // The keeper's journal makes these safe to ask for again.
                Some(RunState::Applying) => {
                    let paths = self.runs.get(&run).and_then(|live| live.record.landing.clone());
                    step.effects.push(Effect::Tell(ToRunner::Apply { run, paths }));
                }
                Some(RunState::Dropping) => step.effects.push(Effect::Tell(ToRunner::Drop { run })),
                Some(RunState::Undoing) => step.effects.push(Effect::Tell(ToRunner::Undo { run })),
                Some(RunState::Planning | RunState::Queued) => {
                    self.fail(&run, "the runner stopped before it began".to_owned(), step);
                }
                Some(_) | None => {}
            }
        }
        if !running.is_empty() {
            step.effects.push(Effect::Tell(ToRunner::Recall { runs: running }));
        }
    }

    pub(super) fn runner_gone(&mut self) {
        self.runner = None;
        let under_way = self.runs.iter().filter(|(_, live)| {
            matches!(
                live.record.state,
                RunState::Running | RunState::Applying | RunState::Dropping | RunState::Undoing | RunState::Planning
            )
        });
        self.lost = under_way.map(|(run, _)| run.clone()).collect();
        for live in self.runs.values_mut() {
            live.granted_by = None;
        }
    }

    pub(super) fn recalled(&mut self, runs: Vec<(RunId, Fate)>, step: &mut Step) {
        for (run, fate) in runs {
            match fate {
                Fate::Ended(end) => self.ended(&run, *end, step),
                Fate::Interrupted(end) => self.interrupted(&run, *end, step),
                Fate::NeverSeen => self.never_began(&run, step),
            }
        }
    }

    fn interrupted(&mut self, run: &RunId, end: RunEnd, step: &mut Step) {
        if self.runs.get(run).is_none_or(|live| live.record.state != RunState::Running) {
            return;
        }
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
