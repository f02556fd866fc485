//! Words that are one only as things usually are: not where `IFS` splits them, or the name of the working directory has
//! a space. A part of `walk`.

use super::carry::is_shell;
use super::facts::{Assignment, Command, Facts};
use super::walk::Walk;
use super::word::Word;

/// What a script makes unusual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unusual {
    /// What words are split at.
    fields: bool,
    /// The name of the working directory.
    place: bool,
}

impl Unusual {
    /// What the commands and assignments of `facts` do, of which `own` are for what a `read` reads.
    pub(super) fn of(facts: &Facts, own: usize) -> Self {
        if !facts.commands.iter().any(|command| command.words.iter().any(|word| word.usual)) {
            return Self::default();
        }
        let fields = facts.assignments.iter().filter(|assignment| splits(assignment)).count() > own;
        Self { fields, place: fields || facts.commands.iter().any(moves) }
    }
}

/// Whether an assignment makes the shell split words at what is no space.
pub(super) fn splits(assignment: &Assignment) -> bool {
    let blank = |value: &String| value.chars().all(char::is_whitespace);
    assignment.name == "IFS" && !assignment.value.as_ref().is_some_and(blank)
}

/// Whether a command goes to a directory whose name may be several words, or a text that runs something.
pub(super) fn moves(command: &Command) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "_-./~+@%,:".contains(c);
    let odd = |word: &Word| !word.text().is_some_and(|text| text.chars().all(plain));
    // A link may lead to such a one.
    let physical = |word: &Word| word.fixed.starts_with('-') && word.fixed.contains('P') || word.fixed == "physical";
    let words = command.arguments();
    match command.name() {
        Some("cd" | "pushd") => words.iter().any(|word| odd(word) || physical(word)),
        Some("set") => words.iter().any(physical),
        Some("env") => command.has_option('C', "chdir"),
        // The directory itself may be the one that gets a name.
        Some("mv" | "ln") => words.iter().any(|word| word.fixed.contains(char::is_whitespace)),
        Some(name) if is_shell(name) => words.iter().any(physical),
        Some("find") => words.iter().any(|word| matches!(word.fixed.as_str(), "-execdir" | "-okdir")),
        Some(_) | None => false,
    }
}

impl Walk {
    /// The words of a command, each of which may be several where the script makes that unusual.
    pub(super) fn loosen(&self, words: &mut [Word]) {
        let Unusual { fields, place } = self.unusual;
        for word in words.iter_mut().filter(|word| word.usual) {
            if fields || place && word.raw.contains("PWD") {
                (word.known, word.splits) = (false, true);
            }
        }
    }
}
