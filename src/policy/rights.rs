//! What a person may do, in plain words. Says what the policy would do; decides nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::policy::{Approval, Policy, Rule};
use crate::domain::ids::PersonId;
use crate::domain::plan::{Access, Review};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::Verdict;

/// Names in a line; the rest are counted.
const NAMES_SHOWN: usize = 12;

/// The rights of one person, a short sentence each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Whose.
    pub person: PersonId,
    /// What people call them.
    pub name: String,
    /// Their trust level.
    pub trust: Trust,
    /// What they may do at once.
    pub may: Vec<String>,
    /// What waits for a yes.
    pub asks: Vec<String>,
    /// What is refused, whoever says yes.
    pub never: Vec<String>,
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.trust)?;
        let waits = if self.trust == Trust::Owner { "is asked first" } else { "waits for the owner's yes" };
        for (head, lines) in [("may", &self.may), (waits, &self.asks), ("may never", &self.never)] {
            if !lines.is_empty() {
                write!(f, "\n\n{head}:")?;
            }
            lines.iter().try_for_each(|line| write!(f, "\n- {line}"))?;
        }
        Ok(())
    }
}

impl Rights {
    /// The hosts that rules grant, and what else reaches the network.
    fn reach(&mut self, policy: &Policy) {
        let asks = |effect: &String| matches!(effect.as_str(), "network" | "exec");
        let granted = policy.spec.allow.iter().flatten().filter(|rule| rule.approval != Some(Approval::Always));
        let hosts: BTreeSet<&String> = granted.filter_map(|rule| rule.network.as_ref()).flatten().collect();
        let free = !hosts.is_empty() && !policy.spec.effects.iter().any(asks);
        if free {
            let hosts = named(hosts.into_iter().cloned());
            self.may.push(format!("reach, with the programs that a rule gives them: {hosts}"));
        }
        self.asks.push(format!("before anything {}that reaches the network", if free { "else " } else { "" }));
    }
}

impl Policy {
    /// What `principal` may do.
    pub fn rights(&self, principal: &Principal) -> Rights {
        let Principal { person, name, trust } = principal.clone();
        let mut rights = Rights { person, name, trust, may: Vec::new(), asks: Vec::new(), never: Vec::new() };
        if trust == Trust::Blocked {
            rights.never.push("be answered: every try is on record, nothing else happens".to_owned());
            return rights;
        }
        rights.may.push("talk with the assistant, stop it, and see what that has cost".to_owned());
        if trust == Trust::Limited {
            rights.never.push("run commands, or let the assistant do so".to_owned());
            rights.never.push("read or change files".to_owned());
            return rights;
        }
        let only = self.tools(&rights.person);
        let has = |tools: &[&str]| only.is_none_or(|only| only.iter().any(|tool| tools.contains(&tool.as_str())));
        let files = ["files", "read_file", "list_files", "search_files", "write_file", "edit_file", "send_file"];
        if has(&["exec"]) {
            self.programs(&mut rights);
        } else {
            rights.never.push("run commands".to_owned());
        }
        if has(&["exec"]) || has(&files) {
            self.places(principal, &mut rights);
        } else {
            rights.never.push("read or change files".to_owned());
        }
        if let Some(only) = only {
            rights.may.push(format!("use no other tools than: {}", named(only.iter().cloned())));
        }
        if trust == Trust::Owner {
            let text = "answer questions, also others'; change people, budgets, settings and the policy";
            rights.may.push(text.to_owned());
        }
        rights
    }

    fn programs(&self, rights: &mut Rights) {
        let text = |rule: &Rule| rule.pattern.text().to_owned();
        match &self.spec.allow {
            None => rights.may.push("run the usual tools (text tools, git, python3, node, build tools …)".to_owned()),
            Some(rules) => {
                let free = rules.iter().filter(|rule| rule.approval != Some(Approval::Always)).map(text);
                rights.may.push(format!("run: {}", named(free)));
            }
        }
        let of = |verdict| self.spec.others.iter().filter(move |(one, _)| *one == verdict).map(|(_, rule)| rule);
        let always = self.spec.allow.iter().flatten().filter(|rule| rule.approval == Some(Approval::Always));
        if self.asks_each_time() {
            rights.asks.push("before every script".to_owned());
        }
        let asked: Vec<String> = always.chain(of(Verdict::Ask)).map(text).collect();
        if !asked.is_empty() {
            rights.asks.push(format!("before: {}", named(asked.into_iter())));
        }
        rights.reach(self);
        match self.spec.cannot_tell {
            Verdict::Deny => rights.never.push("run what cannot be told from its text".to_owned()),
            Verdict::Allow | Verdict::Ask => {
                rights.asks.push("when it cannot be told what a command would run".to_owned());
            }
        }
        rights.asks.extend(self.landing());
        let denied: Vec<String> = of(Verdict::Deny).map(text).collect();
        if !denied.is_empty() {
            rights.never.push(format!("run: {}", named(denied.into_iter())));
        }
        rights.never.push("run anything that is not on the list".to_owned());
    }

    /// What of a run's changes waits; `None` when they land as they are.
    fn landing(&self) -> Option<String> {
        let asked = |effect: &str| self.spec.effects.iter().any(|known| known == effect);
        let text = match self.spec.review {
            Review::Changes => "before any change to a file lands",
            Review::Risky | Review::Never if asked("overwrite") => "before any change to a file lands",
            Review::Never if !["delete", "bulk", "obeyed"].into_iter().any(asked) => return None,
            Review::Risky | Review::Never if asked("delete") => {
                "before any deletion, changes to very many files, or to files that the computer obeys"
            }
            Review::Risky | Review::Never => {
                "before deletions, changes to very many files, or to files that the computer obeys"
            }
        };
        Some(text.to_owned())
    }

    fn places(&self, principal: &Principal, rights: &mut Rights) {
        let own = self.home(&principal.person);
        let shown = |path: &Path| if path == own { "the own home in Castoff".to_owned() } else { path_text(path) };
        let mounts = self.mounts(principal);
        let kinds = [
            (Access::Overlay, "read and change files in, with undo:"),
            (Access::Read, "read files in:"),
            (Access::Direct, "change files at once, WITHOUT undo, in:"),
        ];
        for (access, text) in kinds {
            let paths: Vec<String> =
                mounts.iter().filter(|mount| mount.access == access).map(|mount| shown(&mount.path)).collect();
            if !paths.is_empty() {
                rights.may.push(format!("{text} {}", named(paths.into_iter())));
            }
        }
        let denied = self.person(&principal.person).map(|person| person.denied.as_slice()).unwrap_or_default();
        let denied = denied.iter().chain(self.denied_paths()).map(|path| path_text(path));
        rights.never.push(format!("touch: {}", named(denied)));
        rights.never.push("reach files anywhere else".to_owned());
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// A list in one line.
fn named(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMES_SHOWN);
    names.truncate(NAMES_SHOWN);
    match (names.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, _) => format!("{} and {more} more", names.join(", ")),
    }
}
