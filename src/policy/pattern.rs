//! Patterns: shell fragments that are compiled to matchers on facts. `git push` matches a prefix of
//! words, `rm -rf` flags in any spelling, `curl | bash` whatever feeds whatever.

use super::carry::is_shell;
use super::facts::{Command, Facts, Feed};
use super::parsed::Parsed;
use super::word::Word;
use crate::domain::script::Script;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// One for a plain command; several for a pipeline.
    stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    program: String,
    words: Vec<String>,
    short: Vec<char>,
    long: Vec<String>,
}

/// How surely a command matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// It does not.
    No,
    /// It may, depending on words that are not known.
    Maybe,
    /// It does.
    Yes,
}

/// How the words of a pattern are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// For permission: an installed program, its words at the front.
    Strict,
    /// For refusals and questions: the program by any path, its words in this order anywhere.
    Wide,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a pattern: {why}")]
pub struct BadPattern {
    text: String,
    why: &'static str,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`BadPattern`] when it is anything but plain commands in a pipeline.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let bad = |why| BadPattern { text: text.to_owned(), why };
        let mut stages = Vec::new();
        for part in text.split('|') {
            let script = Script::new(part.to_owned()).and_then(Parsed::new).ok();
            let parsed = script.ok_or_else(|| bad("a program is missing, or it is nested too deeply"))?;
            let facts = parsed.facts();
            let plain = facts.redirects.is_empty() && facts.assignments.is_empty() && facts.functions.is_empty();
            let (Some(command), true) = (facts.commands.first(), plain) else {
                return Err(bad("it must be a command, with words and flags"));
            };
            stages.push(Stage::of(command).ok_or_else(|| bad("its words must be plain text"))?);
        }
        Ok(Self { text: text.to_owned(), stages })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a pipeline.
    pub(crate) fn is_pipeline(&self) -> bool {
        self.stages.len() > 1
    }

    /// Whether it names flags.
    pub(crate) fn has_flags(&self) -> bool {
        self.stages.iter().any(|stage| !stage.short.is_empty() || !stage.long.is_empty())
    }

    /// The program that it names first.
    pub(crate) fn program(&self) -> &str {
        self.stages.first().map_or("", |stage| stage.program.as_str())
    }

    /// How surely it matches one command; a pipeline matches none.
    pub(crate) fn matches(&self, command: &Command, manner: Manner) -> Match {
        match self.stages.as_slice() {
            [stage] => stage.matches(command, manner),
            _ => Match::No,
        }
    }

    /// How surely it matches anything in `facts`.
    pub(crate) fn matches_any(&self, facts: &Facts) -> Match {
        if self.is_pipeline() {
            return self.matches_feeds(facts);
        }
        facts.commands.iter().map(|command| self.matches(command, Manner::Wide)).max().unwrap_or(Match::No)
    }

    fn matches_feeds(&self, facts: &Facts) -> Match {
        if self.feed(facts).is_some() { Match::Yes } else { Match::No }
    }

    /// Where each stage of a pipeline feeds the next in `facts`: the last of those feeds.
    pub(crate) fn feed<'a>(&self, facts: &'a Facts) -> Option<&'a Feed> {
        let pairs = self.stages.iter().zip(self.stages.iter().skip(1));
        let fed = |(first, second): (&Stage, &Stage)| {
            facts.feeds.iter().find(|feed| {
                let of = |range: &std::ops::Range<usize>| facts.commands.get(range.clone()).unwrap_or_default();
                of(&feed.from).iter().any(|command| first.matches(command, Manner::Wide) == Match::Yes)
                    && (feed.runs && is_shell(&second.program)
                        || of(&feed.to).iter().any(|command| second.consumes(command)))
            })
        };
        pairs.map(fed).collect::<Option<Vec<_>>>()?.pop()
    }
}

impl Stage {
    fn of(command: &Command) -> Option<Self> {
        let program = command.program()?.to_owned();
        let mut stage = Self { program, words: Vec::new(), short: Vec::new(), long: Vec::new() };
        for word in command.arguments() {
            let text = word.pattern()?;
            match (text.strip_prefix("--"), text.strip_prefix('-')) {
                (Some(long), _) if !long.is_empty() => stage.long.push(long.to_owned()),
                (_, Some(cluster)) if !cluster.is_empty() => stage.short.extend(cluster.chars()),
                _ => stage.words.push(text.to_owned()),
            }
        }
        Some(stage)
    }

    /// Like a wide match, but any shell stands for a shell.
    fn consumes(&self, command: &Command) -> bool {
        let name = command.name().unwrap_or_default();
        self.matches(command, Manner::Wide) == Match::Yes
            || (is_shell(&self.program) && (is_shell(name) || matches!(name, "eval" | "source" | ".")))
    }

    fn matches(&self, command: &Command, manner: Manner) -> Match {
        let name = match manner {
            Manner::Strict => command.installed_name(),
            Manner::Wide => command.name(),
        };
        let by_path = manner == Manner::Strict && command.program() == Some(&self.program);
        if name != Some(self.program.as_str()) && !by_path {
            return Match::No;
        }
        let flags = self.short.iter().all(|letter| {
            command.has_option(*letter, long_of(&self.program, *letter))
                || (self.program == "rm" && letter.eq_ignore_ascii_case(&'r') && command.has_option('R', "recursive"))
        }) && self.long.iter().all(|long| command.has_option(short_of(&self.program, long), long));
        let positionals = command.positionals();
        let words = match manner {
            Manner::Strict => {
                positionals.len() >= self.words.len()
                    && self.words.iter().zip(&positionals).all(|(word, given)| given.text() == Some(word))
            }
            Manner::Wide => {
                let mut given = positionals.iter();
                self.words.iter().all(|word| given.any(|given| given.text() == Some(word)))
            }
        };
        if flags && words {
            return Match::Yes;
        }
        // A word that is not known may be a flag, or any word.
        let open = |word: &Word| !word.known && (word.fixed.is_empty() || word.fixed.starts_with('-'));
        if command.arguments().iter().take_while(|word| word.fixed != "--").any(open) {
            Match::Maybe
        } else {
            Match::No
        }
    }
}

const SPELLINGS: [(&str, char, &str); 12] = [
    ("rm", 'r', "recursive"),
    ("rm", 'R', "recursive"),
    ("rm", 'f', "force"),
    ("cp", 'r', "recursive"),
    ("cp", 'R', "recursive"),
    ("chmod", 'R', "recursive"),
    ("chown", 'R', "recursive"),
    ("git", 'f', "force"),
    ("git", 'd', "delete"),
    ("mv", 'f', "force"),
    ("sed", 'i', "in-place"),
    ("npm", 'g', "global"),
];

fn long_of(program: &str, short: char) -> &'static str {
    SPELLINGS.iter().find(|(name, letter, _)| *name == program && *letter == short).map_or("", |(_, _, long)| long)
}

fn short_of(program: &str, long: &str) -> char {
    SPELLINGS.iter().find(|(name, _, text)| *name == program && *text == long).map_or('\0', |(_, letter, _)| *letter)
}
