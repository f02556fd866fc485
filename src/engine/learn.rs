//! "Allow always": a yes that leaves a rule behind, and taking such a rule back.

use std::sync::Arc;

use serde_json::json;

use super::turn::note;
use super::{Effect, Engine, Step, audit};
use crate::domain::ids::{ApprovalId, RuleId, RunId};
use crate::domain::learned::{LearnedRule, Words};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{Record, Subject};
use crate::policy::{Decision, ParsedTask, Policy};

impl Engine {
    /// The decision about a task. Learned rules do not count for one that gets standard input: it is not
    /// among the words that were allowed.
    pub(super) fn decide(&self, rights: &Principal, task: &ParsedTask, stdin: Option<&[u8]>) -> Decision {
        match (task, stdin) {
            (ParsedTask::Script(parsed), Some(_)) => self.policy.judge(rights, parsed.clone()).decision().clone(),
            (ParsedTask::Script(_) | ParsedTask::File(_), _) => self.policy.decide(rights, task),
        }
    }

    /// What "allow always" would cover of a run as it stands; nothing when it cannot be.
    pub(super) fn learnable(&self, run: &RunId) -> Vec<Words> {
        let Some(live) = self.runs.get(run) else { return Vec::new() };
        let rights = self.as_of_now(&live.rights);
        match &live.task {
            // With another's rights it would be the other's rule.
            ParsedTask::Script(parsed) if live.stdin.is_none() && live.caller.person == rights.person => {
                self.policy.learnable(&rights, parsed).unwrap_or_default()
            }
            ParsedTask::Script(_) | ParsedTask::File(_) => Vec::new(),
        }
    }

    /// Notes with a run that asks what "allow always" would cover.
    pub(super) fn offer_always(&mut self, run: &RunId) {
        let always = self.learnable(run);
        let verdict = self.runs.get_mut(run).and_then(|live| live.record.verdict.as_mut());
        if let Some(verdict) = verdict {
            verdict.always = always;
        }
    }

    /// A yes that leaves a rule behind: `shown` is what the answerer saw of it.
    pub(super) fn allowed_always(&mut self, approval: &ApprovalId, by: &Principal, shown: &[Words], step: &mut Step) {
        let Some(asked) = self.approvals.get(approval) else { return };
        let (run, about_plan) = (asked.run.clone(), matches!(asked.subject, Subject::Plan { .. }));
        let Some(live) = self.runs.get(&run) else { return };
        let offered = live.record.verdict.as_ref().map(|verdict| verdict.always.as_slice()).unwrap_or_default();
        let why = if by.trust != Trust::Owner {
            Some("only the owner allows something always")
        } else if !about_plan || shown.is_empty() || shown != offered {
            Some("this cannot be allowed always, or it is not what was shown; answer it once")
        } else {
            None
        };
        if let Some(why) = why {
            audit(step, Some(by), "approval.not-always", (&run, json!({ "approval": approval.as_str() })));
            step.effects.push(Effect::Decline { run, why: why.to_owned() });
            return;
        }
        if live.granted.is_some() {
            return;
        }
        self.answered(approval, by, true, step);
        if let Some(grant) = self.runs.get_mut(&run).and_then(|live| live.granted.as_mut()) {
            grant.always = true;
        }
    }

    /// Puts the rule of a granted question on record, and in force.
    pub(super) fn learn(&mut self, run: &RunId, by: &Principal, step: &mut Step) -> Option<RuleId> {
        let live = self.runs.get(run)?;
        let approval = live.ids.plan.clone();
        let person = live.record.person.clone();
        let commands = live.record.verdict.as_ref()?.always.clone();
        let rule = RuleId::derived(approval.as_str(), "always");
        let learned = LearnedRule {
            rule: rule.clone(),
            person: person.clone(),
            commands,
            approval,
            by: by.person.clone(),
            at: step.now,
        };
        // The words are in the rule's row, which the person's own key seals.
        let detail = json!({ "rule": rule, "for": person, "commands": learned.commands.len() });
        audit(step, Some(by), "rule.learned", (run, detail));
        step.records.push(Record::Learned { rule: rule.clone(), person, kept: Some(Box::new(learned.clone())) });
        self.learned.insert(rule.clone(), learned);
        self.lay_over(&Arc::clone(&self.policy));
        Some(rule)
    }

    /// The owner takes a rule back.
    pub(super) fn revoke_asked(&mut self, rule: &RuleId, by: &Principal, step: &mut Step) {
        if by.trust != Trust::Owner {
            return;
        }
        let Some(learned) = self.learned.remove(rule) else { return };
        note(step, Some(by), "rule.revoked", json!({ "rule": rule, "for": learned.person }));
        step.records.push(Record::Learned { rule: rule.clone(), person: learned.person, kept: None });
        self.lay_over(&Arc::clone(&self.policy));
    }

    /// Puts the files of `policy` in force, with the learned rules over them.
    pub(super) fn lay_over(&mut self, policy: &Policy) {
        self.policy = Arc::new(policy.with_learned(self.learned.values().cloned().collect()));
    }
}
