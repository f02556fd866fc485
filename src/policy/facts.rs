//! What a script says, as facts: its commands (also those behind wrappers), redirections,
//! assignments, and what cannot be told. Owns no opinion: `judge` has those.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::functions::Function;
use super::word::Word;

/// Everything found in one script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Simple commands, in the order in which they were found.
    pub(crate) commands: Vec<Command>,
    /// Redirections to and from files.
    pub(crate) redirects: Vec<Redirect>,
    /// Assignments, also those of `env` and `export`.
    pub(crate) assignments: Vec<Assignment>,
    /// Commands whose output goes into others: pipelines and substitutions.
    pub(crate) feeds: Vec<Feed>,
    /// Functions that the script defines; their bodies are among the commands.
    pub(crate) functions: Vec<Function>,
    /// Which of the commands are `unset`.
    pub(crate) unsets: Vec<usize>,
    /// Whether it evaluates arithmetic or names, and so the texts that its variables hold.
    pub(crate) evaluates: bool,
    /// Whether the output of a command may become such a text.
    pub(crate) substitutes: bool,
    /// Whether one may be the name of a file, or another word, that the shell itself remembers.
    pub(crate) places: bool,
    /// Words and here-texts of no command that variables may come to hold.
    pub(crate) held: Vec<Word>,
    /// What cannot be told from the text.
    pub(crate) unknowns: Vec<Unknown>,
    /// What is plain enough to run in a container, but not what a strict policy takes for known.
    pub(crate) unread: Vec<Unknown>,
}

impl Facts {
    /// Of a script of which nothing is known.
    pub(crate) fn unknown(what: &str) -> Self {
        Self { unknowns: vec![Unknown { what: what.to_owned(), span: None }], ..Self::default() }
    }
}

/// Where in the script something stands: offsets in characters.
pub(crate) type Span = Range<usize>;

/// Something that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unknown {
    /// For people: `what the file of `source` runs`.
    pub(crate) what: String,
    /// Of the command of the script itself that leads to it.
    pub(crate) span: Option<Span>,
}

/// One simple command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Program first.
    pub(crate) words: Vec<Word>,
    /// Whether all that it does is to run another command, which is a fact of its own.
    pub(crate) carrier: bool,
    /// A here-document or -string that is its input, as written.
    pub(crate) input: Option<String>,
    /// Whether the shell changes nothing in it.
    pub(crate) exact: bool,
    /// The shell that starts it, or a number of its own for what another program starts.
    pub(crate) shell: usize,
    /// Of the command of the script itself that this is or that leads to it.
    pub(crate) span: Option<Span>,
}

/// A redirection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redirect {
    /// The file.
    pub(crate) target: Word,
    /// Whether it is written.
    pub(crate) writes: bool,
    /// The commands whose input or output it is.
    pub(crate) of: Range<usize>,
    /// As of a command.
    pub(crate) span: Option<Span>,
}

/// An assignment to a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// The variable.
    pub(crate) name: String,
    /// The value, if known.
    pub(crate) value: Option<String>,
    /// The value as written.
    pub(crate) raw: String,
    /// Whether programs see it.
    pub(crate) exported: bool,
    /// As of a command.
    pub(crate) span: Option<Span>,
}

/// Output of some commands (by index) goes into others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Feed {
    /// Who writes.
    pub(crate) from: Range<usize>,
    /// Who reads.
    pub(crate) to: Range<usize>,
    /// Whether the reader is itself what was written: a file that is run.
    pub(crate) runs: bool,
}

impl Command {
    /// A program without words.
    pub(crate) fn of(program: &str) -> Self {
        let words = vec![Word::of(program)];
        Self { words, carrier: false, input: None, exact: false, shell: 0, span: None }
    }

    /// The program as written, when it is known.
    pub(crate) fn program(&self) -> Option<&str> {
        self.words.first().and_then(Word::text)
    }

    /// The words after the program.
    pub(crate) fn arguments(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The last part of the program's path.
    pub(crate) fn name(&self) -> Option<&str> {
        self.program().map(base_name)
    }

    /// The name without a version: `python3.12` is `python`.
    pub(crate) fn unversioned(&self) -> Option<&str> {
        let name = self.name()?;
        let short = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        Some(if short.is_empty() { name } else { short })
    }

    /// The name, when it is plain or lies where an image keeps its programs.
    pub(crate) fn installed_name(&self) -> Option<&str> {
        let program = self.program()?;
        match program.rsplit_once('/') {
            None => Some(program),
            Some(("/bin" | "/usr/bin" | "/sbin" | "/usr/sbin" | "/usr/local/bin", name)) => Some(name),
            Some(_) => None,
        }
    }

    /// Words that are no options, before and after `--`; of git, without the values of its own options.
    pub(crate) fn positionals(&self) -> Vec<&Word> {
        let git = self.name() == Some("git");
        let (mut found, mut ended, mut skip) = (Vec::new(), false, false);
        for word in self.arguments() {
            let fixed = word.fixed.as_str();
            if std::mem::take(&mut skip) {
                continue;
            }
            if !ended && fixed.starts_with('-') && fixed.len() > 1 {
                ended |= fixed == "--";
                skip = git
                    && found.is_empty()
                    && matches!(fixed, "-C" | "-c" | "--git-dir" | "--work-tree" | "--namespace" | "--exec-path");
                continue;
            }
            found.push(word);
        }
        found
    }

    /// The words before the `--` that ends the options. Behind an option that is none of `flags` one may be its value.
    pub(crate) fn before_end(&self, flags: &str) -> &[Word] {
        let words = self.arguments();
        let flag = |word: &Word| {
            let letters = word.fixed.strip_prefix('-').filter(|letters| word.known && !letters.is_empty());
            letters.is_some_and(|letters| letters.chars().all(|letter| flags.contains(letter)))
        };
        let option = |word: &Word| word.may_be_option() || word.fixed.starts_with('-') && !flag(word);
        let ends = |at: &usize| {
            let before = at.checked_sub(1).and_then(|before| words.get(before));
            words.get(*at).is_some_and(|word| word.fixed == "--") && !before.is_some_and(option)
        };
        let end = (0..words.len()).find(ends).unwrap_or(words.len());
        words.get(..end).unwrap_or_default()
    }

    /// Whether one of the options is `short` (also inside a cluster) or `long` (also with a value).
    pub(crate) fn has_option(&self, short: char, long: &str) -> bool {
        self.before_end("").iter().any(|word| is_option(word, short, long))
    }
}

/// Whether a word looks like the option `short` or `long`.
pub(crate) fn is_option(word: &Word, short: char, long: &str) -> bool {
    match word.fixed.strip_prefix("--") {
        Some(name) => long_matches(name, long),
        None => word.fixed.strip_prefix('-').is_some_and(|cluster| short != '\0' && cluster.contains(short)),
    }
}

/// Whether `written` (without dashes, perhaps with `=value`) is `long` or an abbreviation of it.
pub(crate) fn long_matches(written: &str, long: &str) -> bool {
    let name = written.split_once('=').map_or(written, |(name, _)| name);
    !long.is_empty() && (name == long || (name.len() >= 2 && long.starts_with(name)))
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
