//! Rules that ask, one by one, and the policy without what one of them asks.

use super::lint::permits_all_of;
use super::listing::RuleLine;
use super::pattern::Match;
use super::policy::{Approval, Policy, Rule};
use super::request::ParsedTask;
use crate::domain::record::Verdict;

/// A rule that asks, and what would stand there if it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskingRule {
    /// The rule.
    pub line: RuleLine,
    /// Its entry of `exec: allow:` without the question; `None` when its line would be removed: since it
    /// does nothing but ask, or another rule permits the same.
    pub without: Option<String>,
    rule: Rule,
}

impl AskingRule {
    fn of(verdict: Verdict, rule: &Rule, without: Option<String>) -> Self {
        Self { line: RuleLine::of(verdict, rule), without, rule: rule.clone() }
    }

    /// Whether it matches anything of a task, as far as can be told.
    pub fn asks_about(&self, task: &ParsedTask) -> bool {
        let ParsedTask::Script(parsed) = task else { return false };
        self.rule.pattern.matches_any(parsed.facts()) != Match::No
    }
}

impl Policy {
    /// Every rule that asks, in the order of the files.
    pub fn asking_rules(&self) -> Vec<AskingRule> {
        let allowed = self.spec.allow.iter().flatten().filter(|rule| rule.approval == Some(Approval::Always));
        let elsewhere = |rule: &Rule| {
            let others = self.spec.allow.iter().flatten().filter(|other| *other != rule);
            others.into_iter().any(|other| permits_all_of(&other.pattern, &rule.pattern))
        };
        let without = |rule: &Rule| Some(entry(rule)).filter(|entry| entry.starts_with('{') || !elsewhere(rule));
        let allowed = allowed.map(|rule| AskingRule::of(Verdict::Allow, rule, without(rule)));
        let others = self.spec.others.iter().filter(|(verdict, _)| *verdict == Verdict::Ask);
        let others = others.map(|(verdict, rule)| AskingRule::of(*verdict, rule, None));
        allowed.chain(others).collect()
    }

    /// The same policy, in which `asking` does not ask. Learned rules stay.
    #[must_use]
    pub fn without_asking(&self, asking: &AskingRule) -> Self {
        let mut spec = self.spec.clone();
        spec.others.retain(|(verdict, rule)| *verdict != Verdict::Ask || *rule != asking.rule);
        for rule in spec.allow.iter_mut().flatten().filter(|rule| **rule == asking.rule) {
            rule.approval = None;
        }
        Self::new(spec).with_learned(self.learned().to_vec())
    }
}

/// An entry of `exec: allow:` as YAML, without its question.
fn entry(rule: &Rule) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let network = rule
        .network
        .iter()
        .map(|hosts| format!("network: [{}]", hosts.iter().map(|host| quoted(host)).collect::<Vec<_>>().join(", ")));
    let review = rule.review.iter().map(|review| format!("review: {review}"));
    let why = rule.why.iter().map(|why| format!("why: {}", quoted(why)));
    let more: Vec<String> = network.chain(review).chain(why).collect();
    let run = quoted(rule.pattern.text());
    if more.is_empty() { run } else { format!("{{ run: {run}, {} }}", more.join(", ")) }
}
