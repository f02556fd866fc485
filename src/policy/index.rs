//! Which rules may fit a command, by its program and its words: ten thousand rules cost no more than ten, also where all
//! are about one program.

use std::collections::{HashMap, HashSet};

use super::facts::Command;
use super::pattern::{Pattern, interpreted};
use super::policy::Spec;
use super::word::Word;

/// Positions of rules, by the names of their programs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    allow: Programs,
    others: Programs,
    /// The names of programs that rules permit, also of those that a rule names by a path.
    named: HashSet<String>,
    /// Rules about pipelines among the others.
    pub(crate) pipelines: Vec<usize>,
}

/// Positions of rules, by a name of their program and the first word of their pattern.
#[derive(Debug, Clone, Default)]
pub(super) struct Programs(HashMap<String, ByWord>);

#[derive(Debug, Clone, Default)]
struct ByWord {
    all: Vec<usize>,
    /// Those that name no word.
    wordless: Vec<usize>,
    by_word: HashMap<String, Vec<usize>>,
}

impl Programs {
    /// Adds the rule at the position `at`, whose program goes by `name`.
    pub(super) fn add(&mut self, name: &str, pattern: &Pattern, at: usize) {
        let rules = self.0.entry(name.to_owned()).or_default();
        rules.all.push(at);
        match pattern.first_word() {
            Some(word) => rules.by_word.entry(word.to_owned()).or_default().push(at),
            None => rules.wordless.push(at),
        }
    }

    /// The rules of the program `name` that may match where `words` are what the first word of a pattern may be: all
    /// of them where such a word is not known.
    pub(super) fn fitting(&self, name: &str, words: &[&Word]) -> Vec<usize> {
        let Some(rules) = self.0.get(name) else { return Vec::new() };
        if rules.by_word.is_empty() {
            return rules.wordless.clone();
        }
        let Some(words) = words.iter().map(|word| word.text()).collect::<Option<HashSet<&str>>>() else {
            return rules.all.clone();
        };
        let worded = words.into_iter().filter_map(|word| rules.by_word.get(word)).flatten();
        let mut found: Vec<usize> = rules.wordless.iter().chain(worded).copied().collect();
        found.sort_unstable();
        found
    }
}

impl Index {
    /// The index of the rules of `spec`.
    pub(crate) fn of(spec: &Spec) -> Self {
        let mut index = Self::default();
        for (at, rule) in spec.allow.iter().flatten().enumerate() {
            index.allow.add(rule.pattern.program(), &rule.pattern, at);
            index.named.insert(rule.pattern.name().to_owned());
        }
        for (at, (_, rule)) in spec.others.iter().enumerate() {
            if rule.pattern.is_pipeline() {
                index.pipelines.push(at);
            } else {
                index.others.add(rule.pattern.name(), &rule.pattern, at);
            }
        }
        index
    }

    /// Rules that permit, whose program is that of `command`, by its name or as written. Their words stand in front.
    pub(crate) fn allow(&self, command: &Command) -> Vec<usize> {
        let as_written = command.program().filter(|program| program.contains('/'));
        let names = command.installed_name().into_iter().chain(as_written);
        let first: Vec<&Word> = command.positionals().into_iter().take(1).collect();
        names.flat_map(|name| self.allow.fitting(name, &first)).collect()
    }

    /// Rules that refuse or ask, whose program is that of `command`, or the file that it interprets. Their words stand
    /// anywhere.
    pub(crate) fn others(&self, command: &Command) -> Vec<usize> {
        fitting_anywhere(&self.others, command)
    }

    /// Whether any rule that permits names the program.
    pub(crate) fn names(&self, program: &str) -> bool {
        self.named.contains(program)
    }
}

/// The rules whose program is that of `command`, or the file that it interprets, and whose words may be any of its own.
pub(super) fn fitting_anywhere(rules: &Programs, command: &Command) -> Vec<usize> {
    let words: Vec<&Word> = command.arguments().iter().collect();
    let names = command.name().into_iter().chain(interpreted(command));
    names.flat_map(|name| rules.fitting(name, &words)).collect()
}
