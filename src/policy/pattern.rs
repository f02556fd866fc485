//! Patterns: shell fragments that are compiled to matchers on facts. `git push` matches a prefix of
//! words, `rm -rf` flags in any spelling, `curl | bash` whatever feeds whatever.

use super::carry::is_shell;
use super::facts::{Command, Facts, Feed, base_name, is_option};
use super::parsed::Parsed;
use super::word::Word;
use crate::domain::script::{BadScript, Script};
use crate::domain::text::visible_line;

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
    /// Whether a `--` stands in it.
    ended: bool,
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
    why: String,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`BadPattern`] when it is anything but one plain command, or several that feed one another.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let stages: Result<Vec<Stage>, String> = text.split('|').map(|part| Stage::new(part.trim())).collect();
        match stages {
            Ok(stages) => Ok(Self { text: text.to_owned(), stages }),
            Err(why) => Err(BadPattern { text: visible_line(text), why }),
        }
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

    /// The program that it names first, as written.
    pub(crate) fn program(&self) -> &str {
        self.stages.first().map_or("", |stage| stage.program.as_str())
    }

    /// The name of the program that it names first.
    pub(crate) fn name(&self) -> &str {
        base_name(self.program())
    }

    /// The first of its words that is no flag.
    pub(crate) fn first_word(&self) -> Option<&str> {
        self.stages.first().and_then(|stage| stage.words.first()).map(String::as_str)
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
        self.feed(facts).map_or(Match::No, |(_, surely)| surely)
    }

    /// Where each stage of a pipeline feeds the next in `facts`: the last of those feeds, and how surely
    /// all of them match.
    pub(crate) fn feed<'a>(&self, facts: &'a Facts) -> Option<(&'a Feed, Match)> {
        let pairs = self.stages.iter().zip(self.stages.iter().skip(1));
        let fed = |(first, second): (&Stage, &Stage)| {
            let surely = |feed: &Feed| {
                let of = |range: &std::ops::Range<usize>| facts.commands.get(range.clone()).unwrap_or_default();
                let from = of(&feed.from).iter().map(|command| first.matches(command, Manner::Wide)).max();
                let runs = feed.runs && is_shell(&second.program);
                let to = of(&feed.to).iter().map(|command| second.consumes(command)).max();
                from.unwrap_or(Match::No).min(if runs { Match::Yes } else { to.unwrap_or(Match::No) })
            };
            let all = facts.feeds.iter().map(|feed| (feed, surely(feed))).filter(|(_, surely)| *surely > Match::No);
            all.reduce(|best, one| if one.1 > best.1 { one } else { best })
        };
        let all = pairs.map(fed).collect::<Option<Vec<_>>>()?;
        let surely = all.iter().map(|(_, surely)| *surely).min()?;
        all.last().map(|(feed, _)| (*feed, surely))
    }
}

impl Stage {
    /// Of one command and nothing beside it: no second one, no redirection, no assignment, no comment.
    fn new(text: &str) -> Result<Self, String> {
        let parsed = match Script::new(text.to_owned()).and_then(Parsed::new) {
            Ok(parsed) => parsed,
            Err(BadScript::Empty) => return Err("a program is missing".to_owned()),
            Err(bad) => return Err(bad.to_string()),
        };
        let facts = parsed.facts();
        let beside = !facts.redirects.is_empty() || !facts.assignments.is_empty() || !facts.functions.is_empty();
        let whole = |command: &&Command| command.span == Some(0..text.chars().count()) && !beside;
        let command = facts.commands.first().filter(whole);
        let command = command.ok_or("it must be one command with words and flags, or several joined by `|`")?;
        let stage = facts.feeds.is_empty().then(|| Self::of(command)).flatten();
        stage.ok_or_else(|| "its words must be plain text".to_owned())
    }

    fn of(command: &Command) -> Option<Self> {
        let program = command.program()?.to_owned();
        let mut stage = Self { program, words: Vec::new(), short: Vec::new(), long: Vec::new(), ended: false };
        for word in command.arguments() {
            let text = word.pattern()?;
            match (text.strip_prefix("--"), text.strip_prefix('-')) {
                _ if stage.ended => stage.words.push(text.to_owned()),
                (Some(""), _) => stage.ended = true,
                (Some(long), _) => stage.long.push(long.to_owned()),
                (None, Some(cluster)) if !cluster.is_empty() => stage.short.extend(cluster.chars()),
                (None, _) => stage.words.push(text.to_owned()),
            }
        }
        Some(stage)
    }

    /// Like a wide match, but any shell stands for a shell.
    fn consumes(&self, command: &Command) -> Match {
        let name = command.name().unwrap_or_default();
        if is_shell(&self.program) && (is_shell(name) || matches!(name, "eval" | "source" | ".")) {
            return Match::Yes;
        }
        self.matches(command, Manner::Wide)
    }

    fn matches(&self, command: &Command, manner: Manner) -> Match {
        let named = match manner {
            Manner::Strict => [command.installed_name(), command.program()].contains(&Some(self.program.as_str())),
            Manner::Wide => [command.name(), interpreted(command)].contains(&Some(base_name(&self.program))),
        };
        if !named {
            return Match::No;
        }
        let positionals = command.positionals();
        // A `--` may be the value of an option, and then ends nothing.
        let perhaps = command.before_end("");
        let options = match manner {
            Manner::Strict => command.arguments().split(|word| word.fixed == "--").next().unwrap_or_default(),
            Manner::Wide => perhaps,
        };
        let (flags, words) = (self.has_flags(options, command, manner), self.has_words(&positionals, manner, is_text));
        if flags && words {
            return Match::Yes;
        }
        // A word that is not known may be a flag, or any word; without quotes it may be several.
        let flags = flags || self.has_flags(perhaps, command, manner) || perhaps.iter().any(may_be_flag);
        let several = match manner {
            Manner::Strict => {
                let front = positionals.iter().zip(&self.words).take_while(|(given, word)| may_be(given, word, true));
                front.into_iter().any(|(given, _)| splits(given))
            }
            Manner::Wide => command.arguments().iter().any(splits),
        };
        let words = words || several || self.has_words(&positionals, manner, may_be);
        if flags && words { Match::Maybe } else { Match::No }
    }

    /// Whether the flags are among `options` of the command.
    fn has_flags(&self, options: &[Word], command: &Command, manner: Manner) -> bool {
        let has = |short: char, long: &str| options.iter().any(|word| is_option(word, short, long));
        let short = |letter: &char| {
            has(*letter, long_of(&self.program, *letter))
                || (self.program == "rm" && letter.eq_ignore_ascii_case(&'r') && has('R', "recursive"))
        };
        let as_written = |text: &str| command.arguments().iter().any(|word| word.text() == Some(text));
        let long = |long: &String| match manner {
            Manner::Strict if long.contains('=') => as_written(&format!("--{long}")),
            Manner::Strict | Manner::Wide => has(short_of(&self.program, long), long),
        };
        let ended = !self.ended || manner == Manner::Wide || as_written("--");
        self.short.iter().all(short) && self.long.iter().all(long) && ended
    }

    /// Whether the words are among `given` in their order, or at its front, where `is` says of a given word
    /// whether it is this one, which would stand at its very place.
    fn has_words(&self, given: &[&Word], manner: Manner, is: impl Fn(&Word, &str, bool) -> bool) -> bool {
        if manner == Manner::Strict {
            let pairs = self.words.iter().zip(given);
            return given.len() >= self.words.len() && pairs.into_iter().all(|(word, given)| is(given, word, true));
        }
        let mut given = given.iter().enumerate();
        let mut words = self.words.iter().enumerate();
        words.all(|(place, word)| given.any(|(at, given)| is(given, word, at == place)))
    }
}

fn is_text(given: &Word, word: &str, _: bool) -> bool {
    given.text() == Some(word)
}

/// Whether the shell may make `word` of what is given. A glob of wildcards alone counts at the very place
/// only: else every `*` would be every word.
fn may_be(given: &Word, word: &str, in_place: bool) -> bool {
    const WILD: [char; 5] = ['*', '?', '[', ']', ')'];
    let (head, tail) = match (given.glob, given.known) {
        (false, true) => return given.fixed == word,
        (false, false) => (given.fixed.as_str(), ""),
        (true, known) => (given.front(), if known { given.fixed.rsplit(WILD).next().unwrap_or_default() } else { "" }),
    };
    let anything = given.known && head.is_empty() && tail.is_empty();
    word.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)) && (in_place || !anything) || splits(given)
}

/// Whether the shell may make a flag of a word.
fn may_be_flag(word: &Word) -> bool {
    let dash = word.fixed.starts_with('-');
    !word.known && (word.fixed.is_empty() || dash) || word.glob && dash || splits(word)
}

/// Whether a word may become several: it is not known, and a part of it stands outside of quotes, or is a
/// list of words.
fn splits(word: &Word) -> bool {
    let raw = word.raw.as_str();
    if word.known || !raw.contains(['$', '`']) {
        return !word.known && word.fixed.is_empty();
    }
    let (mut single, mut double, mut escaped) = (false, false, false);
    let outside = raw.chars().any(|c| {
        let plain = !std::mem::take(&mut escaped);
        match c {
            '\\' if plain && !single => escaped = true,
            '\'' if plain && !double => single = !single,
            '"' if plain && !single => double = !double,
            '$' | '`' => return plain && !single && !double,
            _ => {}
        }
        false
    });
    outside || raw.contains('@')
}

/// The name of the file that a shell or another interpreter is told to run.
pub(crate) fn interpreted(command: &Command) -> Option<&str> {
    let interprets = matches!(command.unversioned()?, "python" | "node" | "ruby" | "perl" | "php" | "lua");
    if !interprets && !is_shell(command.name()?) && !matches!(command.name()?, "source" | ".") {
        return None;
    }
    command.positionals().first().and_then(|word| word.text()).map(base_name)
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
