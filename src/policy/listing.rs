//! The policy as a list, for people: every rule with the line that it stands in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::policy::{Approval, Policy, Rule};
use crate::domain::ids::{Digest, PersonId};
use crate::domain::plan::{Mount, Review};
use crate::domain::principal::Principal;
use crate::domain::record::Verdict;

/// Everything that the files say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// What decisions under it name.
    pub digest: Digest,
    /// Whether the basic tools stand in for a list of allowed programs.
    pub basics: bool,
    /// In the order of the files: those that permit, refuse, ask.
    pub rules: Vec<RuleLine>,
    /// Effects and file tools that ask, or whose changes are reviewed.
    pub effects: Vec<String>,
    /// What happens when it cannot be told what a script runs.
    pub cannot_tell: Verdict,
    /// Which changes are reviewed unless a rule says more.
    pub review: Review,
    /// Directories of the host.
    pub paths: Vec<Mount>,
    /// Paths that no run sees.
    pub denied: Vec<PathBuf>,
    /// The owner first.
    pub people: Vec<Principal>,
}

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLine {
    /// File and line.
    pub place: String,
    /// What it leads to.
    pub verdict: Verdict,
    /// What it matches.
    pub pattern: String,
    /// Hosts that it grants.
    pub network: Option<Vec<String>>,
    /// `always` or `never`, if it says so.
    pub approval: Option<String>,
    /// Which changes it has reviewed.
    pub review: Option<Review>,
    /// Who may answer for themselves when it asks, beside the owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PersonId>,
    /// In which image its commands run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Secrets that it names; no command is given any yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// For people.
    pub why: Option<String>,
}

impl RuleLine {
    pub(super) fn of(verdict: Verdict, rule: &Rule) -> Self {
        let pattern = rule.pattern.text().to_owned();
        let approval = rule.approval.map(|approval| match approval {
            Approval::Always => "always".to_owned(),
            Approval::Never => "never".to_owned(),
        });
        Self {
            place: rule.label.strip_suffix(&pattern).unwrap_or(&rule.label).trim_end().to_owned(),
            verdict,
            pattern,
            network: rule.network.clone(),
            approval,
            review: rule.review,
            approvers: rule.approvers.clone(),
            image: rule.image.clone(),
            secrets: rule.secrets.clone(),
            why: rule.why.clone(),
        }
    }
}

impl Policy {
    /// The policy as a list.
    pub fn listing(&self) -> Listing {
        let spec = &self.spec;
        let allowed = spec.allow.iter().flatten().map(|rule| RuleLine::of(Verdict::Allow, rule));
        let others = spec.others.iter().map(|(verdict, rule)| RuleLine::of(*verdict, rule));
        Listing {
            digest: self.digest(),
            basics: spec.allow.is_none(),
            rules: allowed.chain(others).collect(),
            effects: spec.effects.clone(),
            cannot_tell: spec.cannot_tell,
            review: spec.review,
            paths: spec.allowed.clone(),
            denied: spec.denied.clone(),
            people: self.people(),
        }
    }
}
