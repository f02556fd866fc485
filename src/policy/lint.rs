//! Rules that can never matter: what another refuses first, what another already says, and what is
//! refused anyway since it is not on the list. Judges no script.

use std::collections::BTreeSet;

use super::carry::is_carrier;
use super::index::{Programs, fitting_anywhere};
use super::parsed::Parsed;
use super::pattern::{Manner, Match, Pattern};
use super::policy::Rule;
use super::tables;
use crate::domain::record::Verdict;
use crate::domain::script::Script;

/// A rule with what its pattern says, read as a script.
struct Read<'a> {
    at: usize,
    verdict: Verdict,
    rule: &'a Rule,
    parsed: Parsed,
}

/// Rules that can never matter, by their position among `allow` and `others` after one another, each with
/// the reason for people. Without `allow` the basics are the list.
pub fn idle(allow: Option<&[Rule]>, others: &[(Verdict, Rule)]) -> Vec<(usize, String)> {
    let allowed = allow.unwrap_or_default().iter().map(|rule| (Verdict::Allow, rule));
    let all = allowed.chain(others.iter().map(|(verdict, rule)| (*verdict, rule))).enumerate();
    let read = all.filter_map(|(at, (verdict, rule))| {
        let parsed = Parsed::new(Script::new(rule.pattern.text().to_owned()).ok()?).ok()?;
        Some(Read { at, verdict, rule, parsed })
    });
    let read: Vec<Read<'_>> = read.collect();
    let mut by_name = Programs::default();
    let (mut pipelines, mut listed) = (Vec::new(), BTreeSet::new());
    for (index, one) in read.iter().enumerate() {
        if one.rule.pattern.is_pipeline() {
            pipelines.push(one);
        } else {
            by_name.add(one.rule.pattern.name(), &one.rule.pattern, index);
        }
        if one.verdict == Verdict::Allow {
            listed.insert(one.rule.pattern.name());
        }
    }
    let reason = |one: &Read<'_>| {
        if one.verdict == Verdict::Allow && one.rule.pattern.is_pipeline() {
            return Some(format!("`{}` permits nothing: list its programs one by one", one.rule.pattern.text()));
        }
        let commands = &one.parsed.facts().commands;
        let named = commands.iter().flat_map(|command| fitting_anywhere(&by_name, command));
        let named: BTreeSet<usize> = named.collect();
        let named = named.into_iter().filter_map(|index| read.get(index));
        let mut beside = named.chain(pipelines.iter().copied()).filter(|other| other.at != one.at);
        beside.find_map(|other| one.idle_beside(other)).or_else(|| one.unlisted(allow.is_some(), &listed))
    };
    read.iter().filter_map(|one| Some((one.at, reason(one)?))).collect()
}

/// Whether a rule of `wide` permits all that one of `narrow` permits.
pub(super) fn permits_all_of(wide: &Pattern, narrow: &Pattern) -> bool {
    let parsed = Script::new(narrow.text().to_owned()).and_then(Parsed::new);
    parsed.is_ok_and(|parsed| permits(wide, &parsed))
}

fn permits(wide: &Pattern, narrow: &Parsed) -> bool {
    let command = narrow.facts().commands.first();
    command.is_some_and(|command| wide.matches(command, Manner::Strict) == Match::Yes)
}

impl Read<'_> {
    /// Why this rule never matters beside another one.
    fn idle_beside(&self, other: &Read<'_>) -> Option<String> {
        let (this, that) = (self.rule.pattern.text(), &other.rule.label);
        let earlier = other.at < self.at;
        if self.verdict == other.verdict && self.rule.pattern.text().trim() == other.rule.pattern.text().trim() {
            return earlier.then(|| format!("`{this}` is on the list twice: also at `{that}`"));
        }
        // Of two rules that say the same in other words the later one is named.
        let fits = || other.fits(self) && (earlier || !self.fits(other));
        let permits = || other.permits(self) && (earlier || !self.permits(other));
        let does = match (self.verdict, other.verdict) {
            (Verdict::Allow | Verdict::Ask, Verdict::Deny) if other.fits(self) => "refuses",
            (Verdict::Deny, Verdict::Deny) if self.rule.why.is_none() && fits() => "refuses",
            (Verdict::Ask, Verdict::Ask) if self.adds_no_question(other) && fits() => "asks about",
            (Verdict::Allow, Verdict::Allow) if self.is_plain() && permits() => "allows",
            _ => return None,
        };
        Some(format!("`{this}` can never matter: `{that}` {does} all that it matches"))
    }

    /// Whether this rule, which refuses or asks, matches what `narrow` matches.
    fn fits(&self, narrow: &Read<'_>) -> bool {
        self.rule.pattern.fits(&narrow.parsed)
    }

    /// Whether this rule permits what `narrow` permits.
    fn permits(&self, narrow: &Read<'_>) -> bool {
        permits(&self.rule.pattern, &narrow.parsed)
    }

    /// Whether it says nothing but that its commands may run.
    fn is_plain(&self) -> bool {
        let Rule { label: _, pattern: _, network, approval, review, approvers, image, secrets, why } = self.rule;
        network.is_none()
            && (approval.is_none(), review.is_none(), image.is_none(), why.is_none()) == (true, true, true, true)
            && approvers.is_empty()
            && secrets.is_empty()
    }

    /// Whether those who may answer it are no fewer than with `other` alone, and it gives no reason of its own.
    fn adds_no_question(&self, other: &Read<'_>) -> bool {
        let answers = |person| self.rule.approvers.contains(person);
        self.rule.why.is_none() && other.rule.approvers.iter().all(answers)
    }

    /// Why a rule that asks never does: its program may not run at all.
    fn unlisted(&self, has_list: bool, listed: &BTreeSet<&str>) -> Option<String> {
        let commands = self.parsed.facts().commands.iter().filter(|command| !is_carrier(command));
        let names = commands.filter_map(|command| command.program());
        // What a script builds or a virtual environment has needs no entry.
        let mut names = names.filter(|name| !name.contains('/') && !tables::BUILTINS.contains(name));
        let name = names.find(|name| if has_list { !listed.contains(name) } else { !tables::BASICS.contains(name) });
        let name = name.filter(|_| self.verdict == Verdict::Ask)?;
        let list = if has_list { "on the list `allow:`" } else { "among the basic tools" };
        Some(format!("`{}` can never matter: `{name}` is not {list}, so it is refused", self.rule.pattern.text()))
    }
}
