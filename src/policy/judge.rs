//! The decision about one script of one person: the strictest of everything that matches, with its
//! reasons. Only [`Policy::judge`] makes a [`Judged`].

use crate::domain::plan::Review;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{Reason, Verdict};
use crate::domain::script::Script;

use super::facts::{Command, Facts};
use super::image::smallest_image;
use super::inline;
use super::parsed::Parsed;
use super::pattern::{Manner, Match};
use super::policy::{Approval, Policy, Rule};
use super::tables;
use super::word::Word;
use super::{environment, outgoing};

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
    /// The programs that the script names.
    pub programs: Vec<String>,
    /// `delete`, `overwrite`, `bulk`, `network`, `obeyed`.
    pub effects: Vec<String>,
    /// What the run may reach.
    pub network: Network,
    /// Which changes wait for a person.
    pub review: Review,
    /// The smallest image that has the programs.
    pub image: String,
    /// The nearest allowed thing, for a refusal.
    pub suggestion: Option<String>,
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
        let home = self.home(&principal.person);
        let area = self.area(principal, &home);
        let mut draft = Draft::new(self, principal);
        draft.rights(&["exec"]);
        let facts = parsed.facts();
        let basics = self.spec.allow.is_none();
        for command in &facts.commands {
            draft.command(command, facts);
            if let Some(what) = inline::doubt(command).filter(|_| basics) {
                draft.cannot_tell(&what);
            }
            draft.arguments(command, facts, &area);
        }
        draft.whole(facts);
        draft.redirects(facts, &area);
        draft.asked_effects();
        let decision = draft.decision(parsed.programs(), ("on the list", "everything that it runs is on the list"));
        Judged { parsed, decision }
    }
}

pub(super) struct Draft<'a> {
    policy: &'a Policy,
    principal: &'a Principal,
    found: Vec<(Verdict, Reason)>,
    effects: Vec<String>,
    pub(super) network: Network,
    review: Review,
    suggestion: Option<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(policy: &'a Policy, principal: &'a Principal) -> Self {
        let review = policy.spec.review;
        Self {
            policy,
            principal,
            found: Vec::new(),
            effects: Vec::new(),
            network: Network::Off,
            review,
            suggestion: None,
        }
    }

    pub(super) fn add(&mut self, verdict: Verdict, rule: &str, text: impl Into<String>) {
        let reason = Reason { rule: rule.to_owned(), text: text.into() };
        if !self.found.iter().any(|(_, known)| *known == reason) {
            self.found.push((verdict, reason));
        }
    }

    pub(super) fn effect(&mut self, effect: &str) {
        if !self.effects.iter().any(|known| known == effect) {
            self.effects.push(effect.to_owned());
        }
    }

    pub(super) fn cannot_tell(&mut self, what: &str) {
        let trusted = self.principal.trust >= Trust::Trusted;
        let verdict = if trusted { self.policy.spec.cannot_tell } else { Verdict::Deny };
        self.add(verdict, "cannot tell", what);
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

    fn command(&mut self, command: &Command, facts: &Facts) {
        let Some(program) = command.program() else { return };
        let builtin = tables::BUILTINS.contains(&program);
        self.refused_or_asked(command);
        if facts.functions.iter().any(|function| function == program) {
            if builtin || tables::BASICS.contains(&program) || is_installed(program) {
                self.cannot_tell(&format!("function `{program}` stands in for the command of that name"));
            }
            return;
        }
        if builtin {
            return self.builtin(program, command);
        }
        for effect in tables::effects(command) {
            self.effect(effect);
        }
        if command.carrier {
            return;
        }
        let Some(rules) = self.allowing(command) else { return self.not_on_the_list(command, program) };
        self.outgoing(command, program, &rules);
        for rule in &rules {
            if rule.approval == Some(Approval::Always) {
                self.add(
                    Verdict::Ask,
                    &rule.label,
                    rule.why.clone().unwrap_or_else(|| format!("`{program}` asks each time")),
                );
            }
            self.review = self.review.max(rule.review.unwrap_or(Review::Never));
        }
    }

    /// Rules that permit the command, none for one of the basics; `None` when nothing permits it.
    fn allowing(&self, command: &Command) -> Option<Vec<Rule>> {
        let Some(rules) = &self.policy.spec.allow else {
            let basic = command.installed_name().is_some_and(|name| tables::BASICS.contains(&name));
            return basic.then(Vec::new);
        };
        let fits = |rule: &&Rule| rule.pattern.matches(command, Manner::Strict) == Match::Yes;
        let rules: Vec<Rule> = rules.iter().filter(fits).cloned().collect();
        (!rules.is_empty()).then_some(rules)
    }

    fn refused_or_asked(&mut self, command: &Command) {
        let policy = self.policy;
        for (verdict, rule) in &policy.spec.others {
            match rule.pattern.matches(command, Manner::Wide) {
                Match::No => {}
                Match::Maybe => {
                    self.cannot_tell(&format!("whether this is `{}`, since words are not known", rule.pattern.text()))
                }
                Match::Yes => {
                    let text = rule.why.clone().unwrap_or_else(|| match verdict {
                        Verdict::Deny => format!("`{}` is refused", rule.pattern.text()),
                        Verdict::Ask | Verdict::Allow => format!("`{}` asks first", rule.pattern.text()),
                    });
                    self.add(*verdict, &rule.label, text);
                    self.suggest(rule.pattern.program());
                }
            }
        }
        let name = command.name().unwrap_or_default();
        let named = policy.spec.allow.iter().flatten().any(|rule| rule.pattern.program() == name);
        if !named && (tables::DESTRUCTIVE.contains(&name) || name.starts_with("mkfs.")) {
            self.add(Verdict::Deny, "built in", format!("`{name}` changes the system, not files"));
            self.suggest(name);
        }
    }

    fn suggest(&mut self, name: &str) {
        if self.suggestion.is_none() {
            self.suggestion = tables::suggestion(name).map(str::to_owned);
        }
    }

    fn not_on_the_list(&mut self, command: &Command, program: &str) {
        let names: Vec<String> = match &self.policy.spec.allow {
            None => return self.not_basic(command, program),
            Some(rules) => rules.iter().map(|rule| format!("`{}`", rule.pattern.text())).collect(),
        };
        let more = if names.len() > 20 { ", …" } else { "" };
        let list: Vec<String> = names.into_iter().take(20).collect();
        self.add(
            Verdict::Deny,
            "not on the list",
            format!("`{program}` is not on the list, which has {}{more}", list.join(", ")),
        );
        self.suggest(program);
    }

    fn not_basic(&mut self, command: &Command, program: &str) {
        let path = command.installed_name().is_none();
        let what = if path { "is a file, not an installed program" } else { "is not among the basic tools" };
        self.add(
            Verdict::Deny,
            "not on the list",
            format!(
                "`{program}` {what}, which are the list as long as tools.yaml has no `exec: allow:` (coreutils, text tools, git, \
                 python3, node, npm, jq, rg …)"
            ),
        );
        self.suggest(program);
    }

    fn builtin(&mut self, program: &str, command: &Command) {
        let sets =
            matches!(program, "read" | "printf" | "mapfile" | "readarray" | "getopts" | "declare" | "local" | "export");
        let named = |word: &Word| environment::executes(&word.fixed, None);
        let subscript =
            |word: &Word| word.fixed.contains('[') && (word.fixed.contains("$(") || word.fixed.contains('`'));
        let evaluates = sets || matches!(program, "test" | "[" | "unset" | "let" | "wait" | "typeset" | "readonly");
        let calls_back = matches!(program, "mapfile" | "readarray") && command.has_option('C', "");
        if evaluates && command.arguments().iter().any(subscript) || calls_back {
            self.cannot_tell(&format!("what `{program}` evaluates"));
        }
        if sets && command.arguments().iter().any(named) {
            self.cannot_tell(&format!("what `{program}` puts into a variable that others obey"));
        }
    }

    fn outgoing(&mut self, command: &Command, program: &str, rules: &[Rule]) {
        if !outgoing::is_outgoing(command) {
            return;
        }
        self.effect("network");
        let hosts: Vec<String> = rules.iter().filter_map(|rule| rule.network.clone()).flatten().collect();
        if hosts.is_empty() {
            self.network = Network::Ask;
            self.add(
                Verdict::Ask,
                "outgoing",
                format!("`{program}` reaches the network, and no rule grants its hosts"),
            );
            return;
        }
        match &mut self.network {
            Network::Off => self.network = Network::Hosts(hosts),
            Network::Hosts(known) => known.extend(hosts),
            Network::Ask => {}
        }
    }

    fn whole(&mut self, facts: &Facts) {
        for unknown in &facts.unknowns {
            self.cannot_tell(unknown);
        }
        for assignment in &facts.assignments {
            let value = assignment.value.as_deref().unwrap_or_default();
            if value.contains("[$(") || value.contains("[`") {
                self.cannot_tell(&format!("what `{}` runs as a subscript", assignment.name));
            }
            if environment::executes(&assignment.name, assignment.value.as_deref()) {
                self.cannot_tell(&format!("what setting `{}` makes other programs do", assignment.name));
            }
        }
        let policy = self.policy;
        for (verdict, rule) in policy.spec.others.iter().filter(|(_, rule)| rule.pattern.is_pipeline()) {
            if rule.pattern.matches_any(facts) == Match::Yes {
                let text = rule
                    .why
                    .clone()
                    .unwrap_or_else(|| format!("`{}`, also through a substitution", rule.pattern.text()));
                self.add(*verdict, &rule.label, text);
            }
        }
    }

    /// Network asks before the run; deletions and other changes are asked about when they are
    /// known, by the review.
    pub(super) fn asked_effects(&mut self) {
        let policy = self.policy;
        for effect in &policy.spec.effects {
            let review = match effect.as_str() {
                "delete" | "bulk" | "obeyed" => Review::Risky,
                "overwrite" => Review::Changes,
                _ => Review::Never,
            };
            self.review_at_least(review);
            if effect == "network" && self.effects.contains(effect) {
                self.add(Verdict::Ask, "require_approval", "what reaches the network asks first");
            }
        }
    }

    /// The decision; `fine` is rule and reason of an allowed one.
    pub(super) fn decision(mut self, programs: &[String], fine: (&str, &str)) -> Decision {
        self.found.sort_by(|(left, _), (right, _)| right.cmp(left));
        let verdict = self.found.first().map_or(Verdict::Allow, |(verdict, _)| *verdict);
        if verdict == Verdict::Allow {
            self.add(Verdict::Allow, fine.0, fine.1);
        }
        if let Network::Hosts(hosts) = &mut self.network {
            hosts.sort();
            hosts.dedup();
        }
        Decision {
            verdict,
            reasons: self.found.into_iter().map(|(_, reason)| reason).collect(),
            programs: programs.to_vec(),
            effects: self.effects,
            network: self.network,
            review: self.review,
            image: smallest_image(programs).to_owned(),
            suggestion: self.suggestion.filter(|_| verdict == Verdict::Deny),
        }
    }
}

fn is_installed(program: &str) -> bool {
    super::image::has(program)
}
