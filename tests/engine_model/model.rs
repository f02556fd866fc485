//! What must hold, whatever happens: the store as committed, what was ever launched, and which runs a
//! person's yes or a harmless end lets land.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use castoff::domain::ids::{ApprovalId, PersonId, RuleId, RunId};
use castoff::domain::learned::LearnedRule;
use castoff::domain::record::{ApprovalRecord, ApprovalState, Record, RunRecord, RunState, Subject, Verdict};
use castoff::domain::time::Timestamp;
use castoff::engine::{Effect, Step, risk};
use castoff::protocol::runner::ToRunner;

use crate::world::{Inputs, Op};

/// What was committed.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stored {
    pub(crate) runs: BTreeMap<RunId, RunRecord>,
    approvals: BTreeMap<ApprovalId, ApprovalRecord>,
    pub(crate) inputs: Inputs,
    pub(crate) learned: BTreeMap<RuleId, LearnedRule>,
}

impl Stored {
    /// Runs that are not over.
    pub(crate) fn open(&self) -> impl Iterator<Item = &RunRecord> {
        let over = |state: &RunState| matches!(state, RunState::Done { .. } | RunState::Refused { .. });
        self.runs.values().filter(move |record| !over(&record.state))
    }

    /// Open questions.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &ApprovalRecord> {
        self.approvals.values().filter(|approval| approval.state == ApprovalState::Pending)
    }

    /// The newest question about a run, open or not.
    pub(crate) fn question(&self, run: &RunId) -> Option<ApprovalId> {
        let about = self.approvals.values().filter(|approval| approval.run == *run);
        about.max_by_key(|approval| approval.asked_at).map(|approval| approval.approval.clone())
    }

    fn keep(&mut self, record: Record) {
        match record {
            Record::Run(run) => drop(self.runs.insert(run.run.clone(), *run)),
            Record::Approval(approval) => {
                let old = self.approvals.insert(approval.approval.clone(), approval.clone());
                let settled = old.filter(|old| old.state != ApprovalState::Pending);
                assert!(settled.is_none_or(|old| old == approval), "a settled question changed: {approval:?}");
            }
            Record::Input { run, bytes: Some(bytes), .. } => drop(self.inputs.insert(run, bytes)),
            Record::Input { run, bytes: None, .. } => drop(self.inputs.remove(&run)),
            Record::Learned { rule, kept: Some(kept), .. } => {
                let offered = self.runs.values().filter_map(|run| run.verdict.as_ref());
                assert!(offered.clone().any(|verdict| verdict.always == kept.commands), "nobody saw {kept:?}");
                assert_eq!(kept.by, PersonId::owner(), "{kept:?}");
                self.learned.insert(rule, *kept);
            }
            Record::Learned { rule, kept: None, .. } => drop(self.learned.remove(&rule)),
            Record::Output(_) | Record::Audit(_) => {}
            other => panic!("nobody said anything: {other:?}"),
        }
    }
}

/// Which paths of a run may land: all, or these.
type May = Option<BTreeSet<PathBuf>>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) stored: Stored,
    /// Runs in the order of asking.
    pub(crate) asked: Vec<RunId>,
    launched: BTreeSet<RunId>,
    may_land: BTreeMap<RunId, May>,
    landed: usize,
    undone: usize,
    surveyed: usize,
}

impl Model {
    pub(crate) fn launches(&self) -> usize {
        self.launched.len()
    }

    pub(crate) fn landings(&self) -> usize {
        self.landed
    }

    pub(crate) fn undos(&self) -> usize {
        self.undone
    }

    pub(crate) fn surveys(&self) -> usize {
        self.surveyed
    }

    /// Commits a step and checks it and its effects.
    pub(crate) fn check(&mut self, op: &Op, before: &Stored, step: Step, now: Timestamp) {
        let audited = step.records.iter().any(|record| matches!(record, Record::Audit(_)));
        let only_output = step.records.iter().all(|record| matches!(record, Record::Output(_)));
        assert!(only_output || audited, "{op:?} is not in the audit log: {:?}", step.records);
        for record in step.records {
            self.stored.keep(record);
        }
        self.note_answers(op, before, now);
        for effect in &step.effects {
            self.check_effect(op, effect);
        }
        self.check_learned(before);
        self.check_people();
        self.check_questions(op);
    }

    /// The same event again: a runner's news and a second answer change nothing; a second wish is only
    /// answered.
    pub(crate) fn check_again(&self, op: &Op, step: &Step) {
        let news = matches!(
            op,
            Op::Next { .. }
                | Op::Surveyed { .. }
                | Op::Ended { .. }
                | Op::Applied { .. }
                | Op::Dropped { .. }
                | Op::Undone { .. }
                | Op::Trouble { .. }
                | Op::Recalled { .. }
                | Op::Ready { .. }
                | Op::Gone
                | Op::Tick { .. }
                | Op::Ask { .. }
        );
        let told = step.effects.iter().filter(|effect| !matches!(effect, Effect::Decline { .. }));
        let told = told.filter(|effect| !matches!(effect, Effect::Tell(ToRunner::Stop { .. }))).collect::<Vec<_>>();
        assert!(told.is_empty(), "{op:?} again: {told:?}");
        let kept = step.records.iter().filter(|record| !matches!(record, Record::Output(_)));
        let kept = kept.filter(|record| news || !matches!(record, Record::Audit(_))).collect::<Vec<_>>();
        assert!(kept.is_empty(), "{op:?} again: {kept:?}");
    }

    /// Which runs may land now: one that ended by itself and harmlessly, or that an owner said yes to.
    fn note_answers(&mut self, op: &Op, before: &Stored, now: Timestamp) {
        for (id, record) in &self.stored.runs {
            let was = before.runs.get(id).map(|record| &record.state);
            let Some(end) = record.end.as_deref().filter(|_| was == Some(&RunState::Running)) else { continue };
            let plan = record.plan.as_ref().unwrap();
            let reasons = risk::reasons(&end.changes, plan.review, plan.deletions, &BTreeSet::new());
            let owner = record.person == PersonId::owner();
            if end.ending.by_itself() && !record.stop_asked && (reasons.is_empty() || record.yes && owner) {
                self.may_land.insert(id.clone(), None);
            }
        }
        match op {
            Op::Apply { run, by: 0, part } => {
                let record = self.asked.get(*run).and_then(|run| before.runs.get(run));
                let held = record.filter(|record| matches!(record.state, RunState::Held { .. }));
                if let Some(record) = held {
                    let only = part.then(|| BTreeSet::from([PathBuf::from("/work/a")]));
                    self.may_land.insert(record.run.clone(), only);
                }
            }
            Op::Answer { run, by: 0, yes: true } => {
                let Some(run) = self.asked.get(*run) else { return };
                let open = before.pending().find(|approval| approval.run == *run && now < approval.expires_at);
                if open.is_some_and(|approval| matches!(approval.subject, Subject::Changes { .. })) {
                    self.may_land.insert(run.clone(), None);
                }
            }
            _ => {}
        }
    }

    fn check_effect(&mut self, op: &Op, effect: &Effect) {
        match effect {
            Effect::Run { run, .. } => {
                assert!(self.launched.insert(run.clone()), "{op:?} launches {run} a second time");
                let record = &self.stored.runs[run];
                assert_eq!(record.state, RunState::Running, "{op:?}");
                let digest = record.plan.as_ref().unwrap().digest();
                assert_eq!(record.digest, Some(digest), "{op:?}");
                let allowed = record.verdict.as_ref().unwrap().verdict == Verdict::Allow;
                let granted = self.stored.approvals.values().any(|approval| {
                    let by_owner =
                        matches!(&approval.state, ApprovalState::Granted { by, .. } if *by == PersonId::owner());
                    approval.run == *run && by_owner && approval.subject == Subject::Plan { digest }
                });
                assert!(allowed || granted, "{op:?} launches {run} without a yes");
            }
            Effect::Tell(ToRunner::Apply { run, paths }) => {
                let may = self.may_land.get(run).unwrap_or_else(|| panic!("{op:?} lands {run} without a yes"));
                if let Some(may) = may {
                    let paths = paths.as_ref().unwrap_or_else(|| panic!("{op:?} lands more of {run} than was said"));
                    assert!(paths.iter().all(|path| may.contains(path)), "{op:?} lands {paths:?} of {run}");
                }
                self.landed += 1;
            }
            Effect::Tell(ToRunner::Undo { .. }) => self.undone += 1,
            Effect::Tell(ToRunner::Survey { .. }) => self.surveyed += 1,
            Effect::Tell(_) | Effect::Show(_) | Effect::Decline { .. } => {}
            other => panic!("nobody said anything: {other:?}"),
        }
    }

    /// What is allowed by a learned rule is allowed by one that is kept, and the person's own.
    fn check_learned(&self, before: &Stored) {
        let asked = self.stored.runs.iter().filter(|(id, _)| !before.runs.contains_key(*id)).map(|(_, record)| record);
        for record in asked {
            for reason in record.verdict.iter().flat_map(|verdict| &verdict.reasons) {
                let Some(rule) = reason.rule.strip_prefix("learned ") else { continue };
                let kept = self.stored.learned.values().find(|kept| kept.rule.as_str() == rule);
                assert!(kept.is_some_and(|kept| kept.person == record.person), "{record:?}");
            }
        }
    }

    /// One live container a person, and nobody waits for nothing.
    fn check_people(&self) {
        let mut live = BTreeSet::new();
        for record in self.stored.open() {
            if record.state == RunState::Running {
                assert!(live.insert(record.person.clone()), "two runs of {} are live", record.person);
            }
        }
        for record in self.stored.open().filter(|record| record.state == RunState::Queued) {
            let mut others = self.stored.open().filter(|other| other.person == record.person);
            let busy = others.any(|other| matches!(other.state, RunState::Running | RunState::Applying));
            assert!(busy, "{} waits for nothing", record.run);
        }
    }

    /// A question is about a run that waits for it.
    fn check_questions(&self, op: &Op) {
        for question in self.stored.pending() {
            let state = &self.stored.runs[&question.run].state;
            let waits = match state {
                RunState::Asking { approval } | RunState::Held { approval: Some(approval), .. } => {
                    *approval == question.approval
                }
                _ => false,
            };
            assert!(waits, "{op:?}: {question:?} is about a run that is {state:?}");
        }
        for record in self.stored.open() {
            if let RunState::Asking { approval } | RunState::Held { approval: Some(approval), .. } = &record.state {
                let asked = self.stored.pending().any(|question| question.approval == *approval);
                assert!(asked, "{op:?}: nobody can answer {record:?}");
            }
        }
    }
}
