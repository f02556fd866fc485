//! From a wish to a launch: judged, planned, asked where the policy says so, queued.

use serde_json::json;

use super::pace;
use super::plan::{self, Wishes};
use super::stop::STOPS;
use super::{ASK_MS, Ask, Effect, Engine, Live, Pending, Permit, QUEUE_MAX, Step, Stopping, audit, keep};
use crate::domain::ids::{Digest, RunId};
use crate::domain::plan::{Cover, Input, Plan};
use crate::domain::record::{
    ApprovalRecord, ApprovalState, Outcome, Reason, Record, RunRecord, RunState, Subject, Verdict, VerdictRecord,
};
use crate::domain::run::{Ending, RunEnd, Usage};
use crate::domain::time::Timestamp;
use crate::policy::{Decision, Network};
use crate::protocol::runner::{ToRunner, Unusable};

/// Why a run fails that no runner is there for.
pub(super) const NO_RUNNER: &str = "the runner is not connected; hint: `castoff status` says more";

/// What keeps a run from being planned, with the reason for people.
enum Obstacle {
    /// It is not to run.
    Refusal(String),
    /// Nothing is there that could run it.
    Outage(String),
}

impl Engine {
    /// `chat` is where the run's card goes, when it was asked for in one by itself.
    pub(super) fn asked(&mut self, ask: Ask, chat: Option<i64>, step: &mut Step) {
        if self.runs.contains_key(&ask.ids.run) {
            return;
        }
        let Ask { ids, caller, rights, task, stdin, workdir, review, yes } = ask;
        let decision = self.decide(&rights, &task, stdin.as_deref());
        let record = RunRecord {
            run: ids.run.clone(),
            turn: ids.turn.clone(),
            person: caller.person.clone(),
            rights_of: rights.person.clone(),
            asked_at: step.now,
            task: task.task(),
            workdir,
            review,
            yes,
            verdict: Some(verdict_record(&decision, self.policy.digest())),
            plan: None,
            digest: None,
            state: RunState::Planning,
            end: None,
            landing: None,
            landings: Vec::new(),
            undone: Vec::new(),
            chat,
            stop_asked: false,
        };
        let run = ids.run.clone();
        let live = Live {
            record,
            ids,
            caller,
            rights,
            task,
            decision,
            stdin,
            granted: None,
            unanswered: false,
            output: Pending::default(),
        };
        // Of a request its line: the text that it writes is in the run's row.
        let file = live.record.task.file().map(ToString::to_string);
        let detail = json!({
            "script": live.record.task.script(),
            "file": file,
            "rights_of": live.record.rights_of.as_str(),
            "verdict": live.record.verdict.as_ref().map(|verdict| verdict.verdict),
            "programs": live.decision.programs,
        });
        audit(step, Some(&live.caller), "run.asked", (&run, detail));
        let mut why_not = self.why_not(&live, step.now);
        if why_not.is_none() && !self.ran_lately.may(&live.record.person, pace::RUNS, step.now) {
            let why = format!("more than {} of your runs within an hour; wait a little", pace::RUNS.most);
            why_not = Some(Obstacle::Refusal(why));
        }
        let asks = live.decision.verdict == Verdict::Ask;
        self.runs.insert(run.clone(), live);
        if asks {
            self.offer_always(&run);
        }
        match why_not {
            Some(Obstacle::Refusal(why)) => self.refuse(&run, why, step),
            Some(Obstacle::Outage(why)) => self.fail(&run, why, step),
            None => self.survey(&run, step),
        }
    }

    /// Why a run cannot even be planned; `None` when it can.
    fn why_not(&self, live: &Live, now: Timestamp) -> Option<Obstacle> {
        let goes_on = self.stopping == Stopping::Draining && self.turns.contains_key(&live.record.turn);
        if self.stopping != Stopping::No && !goes_on {
            return Some(Obstacle::Outage(STOPS.to_owned()));
        }
        if live.decision.verdict == Verdict::Deny {
            return Some(Obstacle::Refusal(explain(&live.decision)));
        }
        if live.decision.network != Network::Off {
            return Some(Obstacle::Refusal(format!(
                "there is no network yet: {}. Castoff runs every command without one; what works offline is allowed",
                explain(&live.decision)
            )));
        }
        let waiting = self.queues.get(&live.record.person).map_or(0, std::collections::VecDeque::len);
        if waiting >= QUEUE_MAX {
            let why = format!("{QUEUE_MAX} of your runs wait already; stop one with `castoff stop RUN`");
            return Some(Obstacle::Refusal(why));
        }
        match &self.runner {
            // It may be back in a moment: the survey is asked for again then, or the run fails.
            None if !self.runner_stays_away(now) => None,
            None => Some(Obstacle::Outage(NO_RUNNER.to_owned())),
            Some(readiness) if !readiness.problems.is_empty() => Some(Obstacle::Outage(readiness.problems.join("; "))),
            Some(_) => None,
        }
    }

    /// Asks the runner to prepare the mounts of a coming plan.
    pub(super) fn survey(&self, run: &RunId, step: &mut Step) {
        let Some(live) = self.runs.get(run) else { return };
        if live.record.state == RunState::Planning {
            keep(&live.record, step);
        }
        let mounts = plan::mounts(&self.policy, &live.record.person, &live.rights);
        let person = live.record.person.clone();
        step.effects.push(Effect::Tell(ToRunner::Survey { run: run.clone(), person, mounts }));
    }

    pub(super) fn surveyed(&mut self, run: &RunId, covers: &[Cover], unusable: &[Unusable], step: &mut Step) {
        let Some(live) = self.runs.get(run) else { return };
        match (&live.record.state, &live.granted) {
            (RunState::Planning, _) => match self.draft(live, covers, unusable) {
                Err(why) => self.refuse(run, why, step),
                Ok(plan) => self.planned(run, plan, step),
            },
            (RunState::Asking { .. }, Some(_)) => {
                let drafted = self.draft(live, covers, unusable);
                self.redeem(run, drafted, step);
            }
            // A late answer: the run has moved on.
            _ => {}
        }
    }

    fn draft(&self, live: &Live, covers: &[Cover], unusable: &[Unusable]) -> Result<Plan, String> {
        let input = live.stdin.as_ref().map(|bytes| Input { bytes: bytes.len() as u64, digest: Digest::of(bytes) });
        let wishes = Wishes {
            caller: &live.caller,
            rights: &live.rights,
            task: &live.record.task,
            stdin: input,
            workdir: live.record.workdir.as_deref(),
            review: live.record.review,
        };
        let most = self.policy.limits().stdin_bytes;
        if input.is_some_and(|input| input.bytes > most) {
            return Err(format!("standard input has more than {most} bytes; put it into a file of a workspace"));
        }
        let images = self.runner.as_ref().map(|runner| runner.images.as_slice()).unwrap_or_default();
        plan::draft(&self.policy, &live.decision, wishes, (covers, unusable), images)
    }

    fn planned(&mut self, run: &RunId, plan: Plan, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        let digest = plan.digest();
        live.record.digest = Some(digest);
        live.record.plan = Some(Box::new(plan));
        if live.decision.verdict == Verdict::Allow {
            self.queue(run, step);
            return;
        }
        let approval = ApprovalRecord {
            approval: live.ids.plan.clone(),
            run: run.clone(),
            person: live.record.person.clone(),
            subject: Subject::Plan { digest },
            asked_at: step.now,
            expires_at: step.now.plus_ms(ASK_MS),
            state: ApprovalState::Pending,
        };
        live.record.state = RunState::Asking { approval: approval.approval.clone() };
        // Kept with the question, so that a yes after a restart still has it.
        let bytes = live.stdin.clone();
        step.records.push(Record::Input { run: run.clone(), person: live.record.person.clone(), bytes });
        keep(&live.record, step);
        self.ask(approval, step);
    }

    /// Puts a question on record, and answers it at once when the caller said `--yes` and may.
    pub(super) fn ask(&mut self, approval: ApprovalRecord, step: &mut Step) {
        let Some(live) = self.runs.get(&approval.run) else { return };
        let detail = json!({ "approval": approval.approval.as_str() });
        audit(step, Some(&live.caller), "approval.asked", (&approval.run, detail));
        step.records.push(Record::Approval(approval.clone()));
        let (yes, caller, id) = (live.record.yes, live.caller.clone(), approval.approval.clone());
        self.approvals.insert(id.clone(), approval);
        if yes {
            self.answered(&id, &caller, true, step);
        }
    }

    /// Permits a run that the policy allows as it is, and starts it when the person has no live one.
    fn queue(&mut self, run: &RunId, step: &mut Step) {
        let Some(live) = self.runs.get_mut(run) else { return };
        live.record.state = RunState::Queued;
        keep(&live.record, step);
        let detail = json!({ "digest": live.record.digest, "policy": self.policy.digest() });
        audit(step, None, "run.permitted", (run, detail));
        self.queues.entry(live.record.person.clone()).or_default().push_back(run.clone());
        let person = live.record.person.clone();
        self.start_next(&person, step);
    }

    pub(super) fn queue_granted(&mut self, run: &RunId, step: &mut Step) {
        self.queue(run, step);
    }

    /// Starts the person's next run, if none is live.
    pub(super) fn start_next(&mut self, person: &crate::domain::ids::PersonId, step: &mut Step) {
        while !self.live.contains_key(person) {
            let Some(run) = self.queues.get_mut(person).and_then(std::collections::VecDeque::pop_front) else {
                self.queues.remove(person);
                return;
            };
            self.launch(&run, step);
        }
    }

    fn launch(&mut self, run: &RunId, step: &mut Step) {
        if self.stopping == Stopping::Cut {
            return self.refuse(run, STOPS.to_owned(), step);
        }
        if let Some(why) = self.became_stricter(run) {
            return self.refuse(run, why, step);
        }
        let Some(live) = self.runs.get_mut(run) else { return };
        let Some(plan) = live.record.plan.as_deref().cloned() else { return };
        let approval = self.approvals.get(&live.ids.plan);
        let permit = match approval {
            Some(approval) => Permit::of_approval(approval, &live.decision, &plan),
            None => Permit::of_judgement(&live.decision, &plan),
        };
        let Some(launch) = permit.and_then(|permit| permit.launch(plan)) else {
            self.refuse(run, "its permit does not fit its plan".to_owned(), step);
            return;
        };
        live.record.state = RunState::Running;
        self.live.insert(live.record.person.clone(), run.clone());
        keep(&live.record, step);
        audit(step, None, "run.started", (run, json!({ "digest": live.record.digest })));
        step.effects.push(Effect::Run {
            run: run.clone(),
            launch: Box::new(launch),
            stdin: live.stdin.take().unwrap_or_default(),
        });
    }

    /// Ends a run that is not to run.
    pub(super) fn refuse(&mut self, run: &RunId, why: String, step: &mut Step) {
        let Some(mut record) = self.forget(run, step) else { return };
        audit(step, None, "run.refused", (run, json!({ "why": why })));
        record.state = RunState::Refused { why };
        keep(&record, step);
    }

    /// Ends a run that nothing was there to run: a fault, not a refusal.
    pub(super) fn fail(&mut self, run: &RunId, why: String, step: &mut Step) {
        let Some(mut record) = self.forget(run, step) else { return };
        audit(step, None, "run.failed", (run, json!({ "why": why })));
        record.state = RunState::Done { changes: Outcome::None };
        record.end = Some(Box::new(never_started(why, step.now)));
        keep(&record, step);
    }

    /// Takes a run out that never ran, with its question and its standard input.
    fn forget(&mut self, run: &RunId, step: &mut Step) -> Option<RunRecord> {
        let question = self.runs.get(run)?.ids.plan.clone();
        if self.approvals.get(&question).is_some_and(|asked| asked.state == ApprovalState::Pending) {
            let state = ApprovalState::Void { why: "its run is over".to_owned() };
            self.settle_approval(&question, state, None, step);
        }
        let live = self.runs.remove(run)?;
        if let Some(queue) = self.queues.get_mut(&live.record.person) {
            queue.retain(|other| other != run);
        }
        self.approvals.remove(&live.ids.plan);
        step.records.push(Record::Input { run: run.clone(), person: live.record.person.clone(), bytes: None });
        Some(live.record)
    }
}

/// The end of a run whose script never started.
pub(super) fn never_started(why: String, at: Timestamp) -> RunEnd {
    RunEnd {
        ending: Ending::Failed { why },
        started: at,
        ended: at,
        enforced: None,
        usage: Usage::default(),
        changes: Vec::new(),
    }
}

/// Reasons in a line; the rest are counted.
const REASONS_SHOWN: usize = 3;

/// A decision in one line.
pub(super) fn explain(decision: &Decision) -> String {
    let shown: Vec<&str> = decision.reasons.iter().take(REASONS_SHOWN).map(|reason| reason.text.as_str()).collect();
    let more = decision.reasons.len().saturating_sub(REASONS_SHOWN);
    let reasons = shown.join("; ") + &if more > 0 { format!("; and {more} more") } else { String::new() };
    match &decision.suggestion {
        Some(suggestion) => format!("{reasons} ({suggestion})"),
        None => reasons,
    }
}

/// Most reasons in a record; how many more there are is the last one.
const REASONS_KEPT: usize = 20;

fn verdict_record(decision: &Decision, policy: Digest) -> VerdictRecord {
    let mut reasons = decision.reasons.clone();
    let more = reasons.len().saturating_sub(REASONS_KEPT);
    reasons.truncate(REASONS_KEPT);
    if more > 0 {
        reasons.push(Reason { rule: "more".to_owned(), text: format!("and {more} more") });
    }
    VerdictRecord {
        verdict: decision.verdict,
        reasons,
        programs: decision.programs.clone(),
        suggestion: decision.suggestion.clone(),
        policy,
        always: Vec::new(),
        approvers: decision.approvers.clone(),
    }
}
