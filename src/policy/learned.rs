//! Learned rules: what "allow always" lifts, and what it can never lift.
//!
//! A rule is laid over a decision that asks, and over no other. It lifts the asking of `ask:`,
//! `require_approval:` and `approval: always` from commands whose words are exactly the rule's, when all
//! else about the script is allowed anyway. It knows no refusal, doubt, network or review, covers no
//! program that runs others, and none that is given input, since what comes in is not among the words.

use std::sync::Arc;

use super::carry::{Carried, carried};
use super::facts::{Command, Facts};
use super::judge::{Decision, Network};
use super::parsed::Parsed;
use super::pattern::{Manner, Match};
use super::policy::{Approval, Policy, Rule, Spec};
use super::word::Word;
use crate::domain::ids::Digest;
use crate::domain::learned::{LearnedRule, Words, lines};
use crate::domain::principal::Principal;
use crate::domain::record::{Reason, Verdict};

/// Most commands of one rule.
const COMMANDS_MAX: usize = 8;
/// Longest text of a rule, in bytes: it must be shown whole.
const TEXT_BYTES_MAX: usize = 1000;

/// The rules of an installation, and its policy without what they may lift.
#[derive(Debug)]
pub(crate) struct Learned {
    rules: Vec<LearnedRule>,
    unasking: Policy,
    digest: Digest,
}

impl Learned {
    /// Of the files' digest and the rules.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}

impl Policy {
    /// The same files with these rules laid over them, and no others.
    #[must_use]
    pub fn with_learned(&self, rules: Vec<LearnedRule>) -> Self {
        let spec = &self.spec;
        let ids: Vec<u8> =
            rules.iter().flat_map(|rule| Digest::of(rule.rule.as_str().as_bytes()).as_bytes().to_vec()).collect();
        let digest = if rules.is_empty() {
            spec.digest
        } else {
            Digest::of(&[spec.digest.as_bytes().as_slice(), &ids].concat())
        };
        let learned = Learned { rules, unasking: Self::new(unasking(spec)), digest };
        Self { learned: Some(Arc::new(learned)), ..self.clone() }
    }

    /// The rules that are laid over the files.
    pub fn learned(&self) -> &[LearnedRule] {
        self.learned.as_ref().map(|learned| learned.rules.as_slice()).unwrap_or_default()
    }

    /// The exact commands that "allow always" would cover of a script that asks.
    ///
    /// # Errors
    /// Why it covers none, for people.
    pub fn learnable(&self, principal: &Principal, parsed: &Parsed) -> Result<Vec<Words>, String> {
        let fresh;
        let unasking = match &self.learned {
            Some(learned) => &learned.unasking,
            None => {
                fresh = Self::new(unasking(&self.spec));
                &fresh
            }
        };
        let rest = unasking.judge(principal, parsed.clone()).decision().clone();
        if rest.verdict != Verdict::Allow || rest.network != Network::Off {
            let reason = rest.reasons.first().map_or("it reaches the network", |reason| reason.text.as_str());
            return Err(format!("no rule lifts this: {reason}"));
        }
        let mut commands: Vec<Words> = Vec::new();
        for words in self.asking(parsed)? {
            if !commands.contains(&words) && self.rule_for(principal, &words).is_none() {
                commands.push(words);
            }
        }
        if commands.is_empty() {
            return Err("it does not ask".to_owned());
        }
        if commands.len() > COMMANDS_MAX || lines(&commands).len() > TEXT_BYTES_MAX {
            return Err("it is too long to be shown whole".to_owned());
        }
        Ok(commands)
    }

    /// What a decision comes to under the learned rules.
    pub(crate) fn lifted(&self, principal: &Principal, parsed: &Parsed, decision: Decision) -> Decision {
        let Some(learned) = self.learned.as_ref().filter(|learned| !learned.rules.is_empty()) else { return decision };
        if decision.verdict != Verdict::Ask || decision.network != Network::Off {
            return decision;
        }
        let Ok(asking) = self.asking(parsed) else { return decision };
        let mut reasons = Vec::new();
        for words in &asking {
            let Some(rule) = self.rule_for(principal, words) else { return decision };
            let reason =
                Reason { rule: format!("learned {}", rule.rule), text: format!("`{words}` was allowed always") };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let rest = learned.unasking.judge(principal, parsed.clone()).decision().clone();
        if reasons.is_empty() || rest.verdict != Verdict::Allow || rest.network != Network::Off {
            return decision;
        }
        // INVARIANT: only verdict and reasons are another than without the rule.
        Decision { verdict: Verdict::Allow, reasons, ..decision }
    }

    fn rule_for(&self, principal: &Principal, words: &Words) -> Option<&LearnedRule> {
        self.learned().iter().find(|rule| rule.person == principal.person && rule.commands.contains(words))
    }

    /// The commands that rules ask about, each with its exact words.
    fn asking(&self, parsed: &Parsed) -> Result<Vec<Words>, String> {
        let facts = parsed.facts();
        let mut all = Vec::new();
        for (index, command) in facts.commands.iter().enumerate() {
            let name = command.program().unwrap_or("a command").to_owned();
            match self.asks_about(command) {
                Match::No => continue,
                Match::Maybe => return Err(format!("it cannot be told which words `{name}` gets")),
                Match::Yes => {}
            }
            if parsed.script().as_str().contains('<') || !facts.assignments.is_empty() {
                return Err("it reads a file or text, or sets a variable, which no rule can hold to".to_owned());
            }
            all.push(exact(command, index, facts).ok_or_else(|| {
                format!("`{name}` runs another program, gets what others write, or its words are not all plain")
            })?);
        }
        Ok(all)
    }

    /// How surely a rule asks about this command.
    fn asks_about(&self, command: &Command) -> Match {
        let asks = self.spec.others.iter().filter(|(verdict, rule)| is_lifted(*verdict, rule));
        let wide = asks.map(|(_, rule)| rule.pattern.matches(command, Manner::Wide));
        let always = self.spec.allow.iter().flatten().filter(|rule| rule.approval == Some(Approval::Always));
        let strict = always.map(|rule| rule.pattern.matches(command, Manner::Strict));
        wide.chain(strict).max().unwrap_or(Match::No)
    }
}

/// Whether learned rules lift what this rule asks.
fn is_lifted(verdict: Verdict, rule: &Rule) -> bool {
    verdict == Verdict::Ask && !rule.pattern.is_pipeline()
}

/// The files without what learned rules may lift.
fn unasking(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    spec.others.retain(|(verdict, rule)| !is_lifted(*verdict, rule));
    for rule in spec.allow.iter_mut().flatten() {
        rule.approval = rule.approval.filter(|approval| *approval != Approval::Always);
    }
    spec
}

/// All words of a command that is nothing but these words.
fn exact(command: &Command, index: usize, facts: &Facts) -> Option<Words> {
    let is_fed = facts.feeds.iter().any(|feed| feed.to.contains(&index));
    let is_function =
        command.program().is_some_and(|name| facts.functions.iter().any(|function| function.name == name));
    let runs = |carried: &Carried| match carried {
        Carried::Command(_) | Carried::Source(_) | Carried::Fed(_) | Carried::File(..) => true,
        Carried::Assignment(..) | Carried::Writes(_) | Carried::Unread(_) | Carried::Unknown(_) | Carried::Nothing => {
            false
        }
    };
    let is_carrier = command.carrier || carried(command).iter().any(runs);
    if is_carrier || command.input.is_some() || is_fed || is_function {
        return None;
    }
    // Two spellings of one text may be two words to the shell: a home, and a `~` in quotes.
    let is_plain = |word: &Word| !word.raw.contains('$') && !word.fixed.starts_with('~');
    let plain = |word: &Word| word.text().filter(|_| is_plain(word)).map(str::to_owned);
    let words: Option<Vec<String>> = command.words.iter().map(plain).collect();
    Words::new(words?)
}
