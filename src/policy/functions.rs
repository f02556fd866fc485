//! Which uses of a name are those of a function that the script defines: the rest are programs. A part of `walk`.

use std::ops::Range;

use brush_parser::ast::CompoundList;

use super::facts::{Command, Facts};
use super::walk::Walk;
use super::word::Word;

/// Most functions that call one another.
const CALLS_MAX: usize = 8;

/// A function that the script defines; what it runs is among the commands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Function {
    /// The name.
    pub(crate) name: String,
    /// The commands of its body.
    pub(crate) body: Range<usize>,
    /// The shell that certainly has it from there on: not one of a condition, a pipeline or another function.
    pub(crate) shell: Option<usize>,
}

/// The shell whose text is walked; a shell that another one starts knows none of its functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shell {
    /// Which one.
    pub(super) at: usize,
    /// Sources, branches and repetitions that stand around where it begins.
    around: (usize, usize, usize),
}

impl Shell {
    /// The one of the script itself.
    pub(super) fn of_script() -> Self {
        Self { at: 0, around: (1, 0, 0) }
    }
}

impl Walk {
    fn around(&self) -> (usize, usize, usize) {
        (self.sources, self.written.branches, self.written.repeats)
    }

    /// Walks what a process substitution runs in a shell of its own.
    pub(super) fn apart(&mut self, list: &CompoundList) {
        self.written.branches += 1;
        self.list(list);
        self.written.branches -= 1;
    }

    /// Notes the function `name` whose body are the commands since `first`.
    pub(super) fn define(&mut self, name: &str, first: usize) {
        let certain = self.shell.around == self.around();
        let shell = certain.then_some(self.shell.at);
        let body = first..self.facts.commands.len();
        self.facts.functions.push(Function { name: name.to_owned(), body, shell });
    }

    /// Another shell, or a program that is no shell, from here on; returns the one until now.
    pub(super) fn enter(&mut self, by: Option<&str>) -> Shell {
        let outer = self.shell;
        // What these run, the shell itself runs.
        if !matches!(by, Some("eval" | "trap" | "." | "source")) {
            self.shells += 1;
            let (sources, branches, repeats) = self.around();
            self.shell = Shell { at: self.shells, around: (sources + 1, branches, repeats) };
        }
        outer
    }
}

/// Whether the command at `at` surely runs the function of its name.
pub(super) fn stands_for(facts: &Facts, at: usize) -> bool {
    let Some(command) = facts.commands.get(at) else { return false };
    let Some(name) = command.program() else { return false };
    let defined =
        facts.functions.iter().filter(|function| function.name == name && function.shell == Some(command.shell));
    let from = defined.map(|function| function.body.end).min();
    let forgets = |command: &Command| {
        let gone =
            |word: &Word| !word.known || word.fixed == name || word.fixed.starts_with('-') && word.fixed.contains('f');
        command.arguments().iter().any(gone)
    };
    let mut unsets = facts.unsets.iter().filter_map(|at| facts.commands.get(*at));
    // A function with a path for a name is one to bash alone.
    let plain = !name.contains('/');
    plain && from.is_some_and(|from| runs_after(facts, at, from, CALLS_MAX)) && !unsets.any(forgets)
}

/// Whether the command at `at` runs only when all before `from` has run: it stands there, or in a function all of whose
/// uses do.
fn runs_after(facts: &Facts, at: usize, from: usize, depth: usize) -> bool {
    if at >= from {
        return true;
    }
    let around = facts.functions.iter().filter(|function| function.body.contains(&at));
    let Some(function) = around.min_by_key(|function| function.body.len()).filter(|_| depth > 0) else { return false };
    let uses = facts.commands.iter().enumerate().filter(|(_, command)| command.program() == Some(&function.name));
    let mut outside = uses.map(|(at, _)| at).filter(|at| !function.body.contains(at));
    outside.all(|at| runs_after(facts, at, from, depth - 1))
}
