//! The decision about one script of one person: the strictest of everything that matches, with its
//! reasons. Only [`Policy::judge`] makes a [`Judged`].

use std::collections::HashSet;
use std::path::PathBuf;

use crate::domain::ids::PersonId;
use crate::domain::plan::Review;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{Reason, Verdict};
use crate::domain::script::Script;

use super::facts::Span;
use super::image::smallest_image;
use super::inline::{self, Doubt};
use super::parsed::Parsed;
use super::policy::{Policy, Rule};
use super::variables::Variables;

/// A script with the decision about it; nobody passes them side by side.
#[derive(Debug, Clone)]
pub struct Judged {
    parsed: Parsed,
    decision: Decision,
}

impl Judged {
    /// The script.
    pub fn script(&self) -> &Script {
        self.parsed.script()
    }

    /// The script with its facts.
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The decision.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

/// A verdict with its reasons, and what follows from the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The strictest of all.
    pub verdict: Verdict,
    /// Those that led to the verdict first.
    pub reasons: Vec<Reason>,
    /// For each reason the part of the script that it is about, in characters; `None` for all of it.
    pub places: Vec<Option<Span>>,
    /// The programs that the script names.
    pub programs: Vec<String>,
    /// `delete`, `overwrite`, `bulk`, `network`, `obeyed`.
    pub effects: Vec<String>,
    /// What the run may reach.
    pub network: Network,
    /// Which changes wait for a person.
    pub review: Review,
    /// Whether each deletion is one of them, whatever it is of.
    pub deletions: bool,
    /// The smallest image that has the programs.
    pub image: String,
    /// The nearest allowed thing, for a refusal.
    pub suggestion: Option<String>,
    /// Who may answer for themselves when it asks, beside the owner: whom every rule that asks names.
    pub approvers: Vec<PersonId>,
}

/// What a run may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    Off,
    /// What a person grants.
    Ask,
    /// These hosts.
    Hosts(Vec<String>),
}

impl Policy {
    /// Decides about `parsed` for `principal`.
    pub fn judge(&self, principal: &Principal, parsed: Parsed) -> Judged {
        let area = self.area(principal);
        let mut draft = Draft::new(self, principal);
        draft.rights(&["exec"]);
        if self.asks_each_time() {
            draft.add(Verdict::Ask, "require_approval", "`exec` asks first");
        }
        let facts = parsed.facts();
        let mut variables = Variables::new(facts);
        draft.stand(facts, &mut variables);
        for (at, command) in facts.commands.iter().enumerate() {
            draft.span.clone_from(&command.span);
            draft.command(at, command, facts);
            match inline::doubt(command, facts.feeds.iter().any(|feed| feed.to.contains(&at) && !feed.runs)) {
                Some(Doubt::Asked(what)) if !draft.granted(command) => draft.cannot_tell(&what),
                Some(Doubt::Unread(what)) => draft.unread(&what),
                Some(Doubt::Asked(_)) | None => {}
            }
            draft.arguments(command, facts, &mut variables, &area);
        }
        draft.span = None;
        draft.whole(facts);
        draft.redirects(facts, &mut variables, &area);
        draft.asked_effects();
        let decision = draft.decision(parsed.programs(), ("on the list", "everything that it runs is on the list"));
        Judged { parsed, decision }
    }
}

pub(super) struct Draft<'a> {
    pub(super) policy: &'a Policy,
    pub(super) principal: &'a Principal,
    found: Vec<(Verdict, Reason, Option<Span>)>,
    /// Rule and text of each of them.
    known: HashSet<(String, String)>,
    effects: Vec<(String, Option<Span>)>,
    pub(super) network: Network,
    pub(super) review: Review,
    pub(super) suggestion: Option<String>,
    /// The image that rules want.
    pub(super) image: &'static str,
    /// Whom all that asks so far names; `None` while nothing asks.
    approvers: Option<Vec<PersonId>>,
    /// What is being judged.
    pub(super) span: Option<Span>,
    /// Where the script goes, as far as something may be obeyed there.
    pub(super) places: Vec<PathBuf>,
    /// Whether changes may land without a review.
    pub(super) unreviewed: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(policy: &'a Policy, principal: &'a Principal) -> Self {
        let review = policy.spec.review;
        Self {
            policy,
            principal,
            found: Vec::new(),
            known: HashSet::new(),
            effects: Vec::new(),
            network: Network::Off,
            review,
            suggestion: None,
            image: "base",
            approvers: None,
            span: None,
            places: Vec::new(),
            unreviewed: false,
        }
    }

    /// A rule asks; whom it names may answer for themselves.
    pub(super) fn asked_by(&mut self, rule: &Rule, text: impl Into<String>) {
        self.found_one(Verdict::Ask, &rule.label, text.into(), &rule.approvers);
    }

    pub(super) fn add(&mut self, verdict: Verdict, rule: &str, text: impl Into<String>) {
        self.found_one(verdict, rule, text.into(), &[]);
    }

    /// Whether a reason of this rule was found already that starts so.
    pub(super) fn has(&self, rule: &str, start: &str) -> bool {
        self.found.iter().any(|(_, reason, _)| reason.rule == rule && reason.text.starts_with(start))
    }

    fn found_one(&mut self, verdict: Verdict, rule: &str, text: String, approvers: &[PersonId]) {
        if verdict == Verdict::Ask {
            match &mut self.approvers {
                Some(all) => all.retain(|person| approvers.contains(person)),
                None => self.approvers = Some(approvers.to_vec()),
            }
        }
        if self.known.insert((rule.to_owned(), text.clone())) {
            self.found.push((verdict, Reason { rule: rule.to_owned(), text }, self.span.clone()));
        }
    }

    pub(super) fn effect(&mut self, effect: &str) {
        if !self.effects.iter().any(|(known, _)| known == effect) {
            self.effects.push((effect.to_owned(), self.span.clone()));
        }
    }

    pub(super) fn cannot_tell(&mut self, what: &str) {
        let trusted = self.principal.trust >= Trust::Trusted;
        let verdict = if trusted { self.policy.spec.cannot_tell } else { Verdict::Deny };
        self.add(verdict, "cannot tell", what);
    }

    /// A doubt that matters only where every doubt is a refusal.
    pub(super) fn unread(&mut self, what: &str) {
        if self.policy.spec.cannot_tell == Verdict::Deny {
            self.cannot_tell(what);
        }
    }

    pub(super) fn review_at_least(&mut self, review: Review) {
        self.review = self.review.max(review);
    }

    /// Refuses people who run nothing, and those who have none of the `needed` tools.
    pub(super) fn rights(&mut self, needed: &[&str]) {
        let name = &self.principal.name;
        match self.principal.trust {
            Trust::Blocked | Trust::Limited => {
                let trust = self.principal.trust;
                self.add(Verdict::Deny, "trust level", format!("{name} is {trust}: {trust} people run nothing"));
            }
            Trust::Trusted | Trust::Owner => {}
        }
        let tools = self.policy.person(&self.principal.person).and_then(|person| person.tools.as_ref());
        if let Some(tools) = tools.filter(|tools| !tools.iter().any(|tool| needed.contains(&tool.as_str()))) {
            let first = needed.first().copied().unwrap_or_default();
            self.add(Verdict::Deny, "tools", format!("{name} has no `{first}`, only: {}", tools.join(", ")));
        }
    }

    /// What the text shows asks before the run; deletions and other changes are asked about when they
    /// are known, by the review.
    pub(super) fn asked_effects(&mut self) {
        let policy = self.policy;
        for effect in &policy.spec.effects {
            let review = match effect.as_str() {
                "delete" | "bulk" | "obeyed" => Review::Risky,
                "overwrite" => Review::Changes,
                _ => Review::Never,
            };
            self.review_at_least(review);
            let what = match effect.as_str() {
                "network" => "what reaches the network asks first",
                "bulk" => "what changes many files at once asks first",
                "secrets" => "what names keys and passwords asks first",
                "obeyed" => "what other programs obey asks first",
                "system" => "what is about the machine rather than files asks first",
                _ => continue,
            };
            if let Some((_, span)) = self.effects.iter().find(|(known, _)| known == effect) {
                self.span.clone_from(span);
                self.add(Verdict::Ask, &format!("require_approval {effect}"), what);
            }
        }
    }

    /// The decision; `fine` is rule and reason of an allowed one.
    pub(super) fn decision(mut self, programs: &[String], fine: (&str, &str)) -> Decision {
        self.found.sort_by_key(|(verdict, ..)| std::cmp::Reverse(*verdict));
        let verdict = self.found.first().map_or(Verdict::Allow, |(verdict, ..)| *verdict);
        if verdict == Verdict::Allow {
            self.add(Verdict::Allow, fine.0, fine.1);
        }
        if let Network::Hosts(hosts) = &mut self.network {
            hosts.sort();
            hosts.dedup();
        }
        Decision {
            verdict,
            places: self.found.iter().map(|(.., span)| span.clone()).collect(),
            reasons: self.found.into_iter().map(|(_, reason, _)| reason).collect(),
            programs: programs.to_vec(),
            effects: self.effects.into_iter().map(|(effect, _)| effect).collect(),
            network: self.network,
            review: self.review,
            deletions: self.policy.asks_about_deletions(),
            image: if self.image == "base" { smallest_image(programs) } else { self.image }.to_owned(),
            suggestion: self.suggestion.filter(|_| verdict == Verdict::Deny),
            approvers: self.approvers.filter(|_| verdict == Verdict::Ask).unwrap_or_default(),
        }
    }
}
