//! Answers to questions: who may give them, what they lead to, and when they come too late.

use serde_json::json;

use super::ask::explain;
use super::{Effect, Engine, Grant, Step, audit, keep};
use crate::domain::ids::{ApprovalId, RunId};
use crate::domain::plan::Plan;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{ApprovalState, Record, RunState, Subject, Verdict};
use crate::domain::run::StopCause;
use crate::protocol::runner::ToRunner;

impl Engine {
    pub(super) fn answered(&mut self, approval: &ApprovalId, by: &Principal, yes: bool, step: &mut Step) {
        let Some(asked) = self.approvals.get(approval) else { return };
        let (run, subject, person) = (asked.run.clone(), asked.subject, asked.person.clone());
        if asked.state != ApprovalState::Pending {
            return;
        }
        let own =
            by.person == person && (!yes || matches!(subject, Subject::Plan { .. }) && self.may_answer_own(&run, by));
        if by.trust != Trust::Owner && !own {
            let why = "only the owner may answer this; he sees it with `castoff approvals`".to_owned();
            audit(step, Some(by), "approval.not-theirs", (&run, json!({ "approval": approval.as_str() })));
            step.effects.push(Effect::Decline { run, why });
            return;
        }
        if step.now >= asked.expires_at {
            self.expire(step);
            return;
        }
        match (subject, yes) {
            (Subject::Plan { .. }, true) => self.grant_plan(&run, by, step),
            (Subject::Plan { .. }, false) => {
                self.settle_approval(approval, ApprovalState::Refused { by: by.person.clone() }, Some(by), step);
                self.refuse(&run, format!("{} said no", by.name), step);
            }
            (Subject::Changes { digest }, yes) => {
                let state = self.changes_answer(&run, digest, yes, by);
                let granted = matches!(state, ApprovalState::Granted { .. });
                self.settle_approval(approval, state, Some(by), step);
                match (granted, yes) {
                    (true, _) => self.start_applying(&run, None, by, step),
                    (false, false) => self.start_dropping(&run, by, step),
                    (false, true) => {}
                }
            }
        }
    }

    /// Whether a rule lets whoever asked for the run answer the question about its plan.
    fn may_answer_own(&self, run: &RunId, by: &Principal) -> bool {
        // By the policy of now, not of when it was asked.
        let by = self.as_of_now(by);
        self.runs
            .get(run)
            .and_then(|live| live.record.verdict.as_ref())
            .is_some_and(|verdict| verdict.may_answer_own(&by))
    }

    fn changes_answer(
        &self,
        run: &RunId,
        digest: crate::domain::ids::Digest,
        yes: bool,
        by: &Principal,
    ) -> ApprovalState {
        let sets = self.runs.get(run).and_then(|live| live.record.end.as_deref()).map(|end| &end.changes);
        let same = sets.is_some_and(|sets| super::land::digest_of(sets) == digest);
        match (same, yes) {
            (false, _) => ApprovalState::Void { why: "the changes are not the ones that were shown".to_owned() },
            (true, true) => ApprovalState::Granted { by: by.person.clone(), always: None },
            (true, false) => ApprovalState::Refused { by: by.person.clone() },
        }
    }

    /// A yes to a plan: it is planned and judged again before it counts.
    fn grant_plan(&mut self, run: &RunId, by: &Principal, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        if live.granted.is_some() {
            return;
        }
        live.granted = Some(Grant { by: by.clone(), always: false });
        self.survey(run, step);
    }

    /// The second judgement of a granted plan: void unless the decision is the same or looser and the
    /// plan is the very same.
    pub(super) fn redeem(&mut self, run: &RunId, drafted: Result<Plan, String>, step: &mut Step) {
        let Some(Grant { by, always }) = self.runs.get_mut(run).and_then(|live| live.granted.take()) else { return };
        let learnable = self.learnable(run);
        let Some(live) = self.runs.get(run) else { return };
        let approval = live.ids.plan.clone();
        let decision = self.decide(&self.as_of_now(&live.rights), &live.task, live.stdin.as_deref());
        // What asks no longer needs no rule.
        let always = always && decision.verdict == Verdict::Ask;
        let offered = live.record.verdict.as_ref().map(|verdict| verdict.always.as_slice()).unwrap_or_default();
        let void = match drafted {
            Err(why) => Some(why),
            Ok(_) if decision.verdict == Verdict::Deny => Some(format!("the policy changed: {}", explain(&decision))),
            Ok(_) if decision.verdict > live.decision.verdict => Some("the policy became stricter".to_owned()),
            Ok(plan) if Some(plan.digest()) != live.record.digest => {
                Some("what would run is no longer what was shown; ask again".to_owned())
            }
            Ok(_) if always && learnable != offered => {
                Some("what would be allowed always is no longer what was shown; ask again".to_owned())
            }
            Ok(_) => None,
        };
        match void {
            Some(why) => {
                self.settle_approval(&approval, ApprovalState::Void { why: why.clone() }, Some(&by), step);
                self.refuse(run, why, step);
            }
            None => {
                let rule = if always { self.learn(run, &by, step) } else { None };
                if let Some(live) = self.runs.get_mut(run) {
                    live.decision = decision;
                }
                let state = ApprovalState::Granted { by: by.person.clone(), always: rule };
                self.settle_approval(&approval, state, Some(&by), step);
                self.queue_granted(run, step);
            }
        }
    }

    /// Puts an approval's final state on record.
    pub(super) fn settle_approval(
        &mut self,
        approval: &ApprovalId,
        state: ApprovalState,
        by: Option<&Principal>,
        step: &mut Step,
    ) {
        let Some(asked) = self.approvals.get_mut(approval) else { return };
        let what = match &state {
            ApprovalState::Granted { .. } => "approval.granted",
            ApprovalState::Refused { .. } => "approval.refused",
            ApprovalState::Expired => "approval.expired",
            ApprovalState::Void { .. } | ApprovalState::Pending => "approval.void",
        };
        asked.state = state;
        let yes_flag = self.runs.get(&asked.run).is_some_and(|live| live.record.yes);
        let detail = json!({ "approval": approval.as_str(), "beforehand": yes_flag });
        audit(step, by, what, (&asked.run, detail));
        step.records.push(Record::Approval(asked.clone()));
    }

    pub(super) fn expire(&mut self, step: &mut Step) {
        let due: Vec<(ApprovalId, RunId, Subject)> = self
            .approvals
            .values()
            .filter(|asked| asked.state == ApprovalState::Pending && step.now >= asked.expires_at)
            .map(|asked| (asked.approval.clone(), asked.run.clone(), asked.subject))
            .collect();
        for (approval, run, subject) in due {
            self.settle_approval(&approval, ApprovalState::Expired, None, step);
            match subject {
                Subject::Plan { .. } => self.refuse(&run, "nobody answered in time".to_owned(), step),
                Subject::Changes { .. } => self.forget_question(&run, step),
            }
        }
    }

    /// The question about held changes is gone; the changes stay held.
    fn forget_question(&mut self, run: &RunId, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        if let RunState::Held { approval, .. } = &mut live.record.state {
            *approval = None;
            keep(&live.record, step);
        }
    }

    pub(super) fn all_stop_asked(&mut self, by: &Principal, step: &mut Step) {
        self.turn_stop_asked((&by.person, None), by, step);
        let own = self.runs.values().filter(|live| live.record.person == by.person);
        let open: Vec<RunId> = own.map(|live| live.record.run.clone()).collect();
        for run in open {
            self.stop_asked(&run, by, step);
        }
    }

    pub(super) fn stop_asked(&mut self, run: &RunId, by: &Principal, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        if by.trust != Trust::Owner && by.person != live.record.person {
            return;
        }
        match &live.record.state {
            RunState::Running => {
                if !std::mem::replace(&mut live.record.stop_asked, true) {
                    keep(&live.record, step);
                }
                audit(step, Some(by), "run.stop-asked", (run, json!({})));
                let stop = ToRunner::Stop { run: run.clone(), cause: StopCause::Asked };
                step.effects.push(Effect::Tell(stop));
            }
            RunState::Planning | RunState::Queued => {
                audit(step, Some(by), "run.stop-asked", (run, json!({})));
                self.refuse(run, format!("{} stopped it before it began", by.name), step);
            }
            RunState::Asking { approval } => {
                let approval = approval.clone();
                self.answered(&approval, by, false, step);
            }
            RunState::Held { .. }
            | RunState::Applying
            | RunState::Dropping
            | RunState::Undoing
            | RunState::Refused { .. }
            | RunState::Done { .. } => {}
        }
    }
}
