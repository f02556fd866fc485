//! Which rules may fit a command, by its program: ten thousand rules cost no more than ten.

use std::collections::{HashMap, HashSet};

use super::facts::Command;
use super::pattern::interpreted;
use super::policy::Spec;

/// Positions of rules, by the names of their programs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    allow: HashMap<String, Vec<usize>>,
    others: HashMap<String, Vec<usize>>,
    /// The names of programs that rules permit, also of those that a rule names by a path.
    named: HashSet<String>,
    /// Rules about pipelines among the others.
    pub(crate) pipelines: Vec<usize>,
}

impl Index {
    /// The index of the rules of `spec`.
    pub(crate) fn of(spec: &Spec) -> Self {
        let mut index = Self::default();
        for (at, rule) in spec.allow.iter().flatten().enumerate() {
            index.allow.entry(rule.pattern.program().to_owned()).or_default().push(at);
            index.named.insert(rule.pattern.name().to_owned());
        }
        for (at, (_, rule)) in spec.others.iter().enumerate() {
            if rule.pattern.is_pipeline() {
                index.pipelines.push(at);
            } else {
                index.others.entry(rule.pattern.name().to_owned()).or_default().push(at);
            }
        }
        index
    }

    /// Rules that permit, whose program is that of `command`, by its name or as written.
    pub(crate) fn allow(&self, command: &Command) -> impl Iterator<Item = usize> {
        let as_written = command.program().filter(|program| program.contains('/'));
        let names = command.installed_name().into_iter().chain(as_written);
        names.filter_map(|name| self.allow.get(name)).flatten().copied()
    }

    /// Rules that refuse or ask, whose program is that of `command`, or the file that it interprets.
    pub(crate) fn others(&self, command: &Command) -> impl Iterator<Item = usize> {
        let names = command.name().into_iter().chain(interpreted(command));
        names.filter_map(|name| self.others.get(name)).flatten().copied()
    }

    /// Whether any rule that permits names the program.
    pub(crate) fn names(&self, program: &str) -> bool {
        self.named.contains(program)
    }
}
