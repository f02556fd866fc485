//! From a syntax tree to facts: walks it, and has `sources` read what nested shells would run.

use brush_parser::ParserOptions;
use brush_parser::ast::{
    AndOr, AndOrList, AssignmentName, AssignmentValue, Command as Node, CommandPrefixOrSuffixItem as Item,
    CompoundList, CompoundListItem, Pipeline, SeparatorOperator, SimpleCommand,
};

use super::carry::{self, Carried};
use super::dialect;
use super::facts::{Assignment, Command, Facts, Feed, Redirect, Span, Unknown};
use super::functions::Shell;
use super::redirect::{self, Input, word_of};
use super::sources::Room;
use super::usual::{self, Unusual};
use super::word::Word;
use super::written::Written;

/// Deepest nesting of sources and words inside one another.
pub(super) const DEPTH_MAX: usize = 32;
/// Most commands of one script that are looked at.
pub(super) const COMMANDS_MAX: usize = 4096;

pub(super) struct Walk {
    pub(super) facts: Facts,
    pub(super) depth: usize,
    pub(super) options: ParserOptions,
    /// Of the command of the script itself that is being read.
    pub(super) span: Option<Span>,
    pub(super) source: String,
    /// Sources inside one another; 1 in the script itself.
    pub(super) sources: usize,
    /// Bytes of all sources so far.
    pub(super) read_bytes: usize,
    pub(super) room: Room,
    /// Whether the room was too small.
    pub(super) cramped: bool,
    pub(super) written: Written,
    pub(super) shell: Shell,
    pub(super) shells: usize,
    /// Whether globs may be no words.
    pub(super) drops: bool,
    pub(super) unusual: Unusual,
    /// How many assignments to `IFS` are for what a `read` reads.
    pub(super) own_fields: usize,
    /// Whether the next command is the first behind `time`.
    pub(super) timed: bool,
}

impl Walk {
    pub(super) fn new(room: Room) -> Self {
        Self {
            facts: Facts::default(),
            depth: 0,
            options: ParserOptions::default(),
            span: None,
            source: String::new(),
            sources: 0,
            read_bytes: 0,
            room,
            cramped: false,
            written: Written::default(),
            shell: Shell::of_script(),
            shells: 0,
            drops: false,
            unusual: Unusual::default(),
            own_fields: 0,
            timed: false,
        }
    }

    pub(super) fn unknown(&mut self, what: impl Into<String>) {
        let unknown = Unknown { what: what.into(), span: self.span.clone() };
        if self.facts.unknowns.last() != Some(&unknown) {
            self.facts.unknowns.push(unknown);
        }
    }

    /// Something that only a strict policy minds.
    pub(super) fn unread(&mut self, what: impl Into<String>) {
        self.facts.unread.push(Unknown { what: what.into(), span: self.span.clone() });
    }

    /// Remembers where in the script itself the walk is; what is nested keeps the outer place.
    pub(super) fn stand(&mut self, place: Option<Span>) {
        if self.sources == 1 && place.is_some() {
            self.span = place;
        }
    }

    pub(super) fn list(&mut self, list: &CompoundList) {
        for CompoundListItem(item, separator) in &list.0 {
            // What runs in the background may change anything at any time.
            self.written.repeats += usize::from(matches!(separator, SeparatorOperator::Async));
            self.and_or(item);
        }
    }

    fn and_or(&mut self, list: &AndOrList) {
        self.pipeline(&list.first);
        for item in &list.additional {
            match item {
                AndOr::And(pipeline) | AndOr::Or(pipeline) => {
                    self.written.branches += 1;
                    self.pipeline(pipeline);
                    self.written.branches -= 1;
                }
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        let (start, watched) = (self.facts.commands.len(), self.written.watch());
        let several = usize::from(pipeline.seq.len() > 1);
        self.written.branches += several;
        for (index, command) in pipeline.seq.iter().enumerate() {
            let before = self.facts.commands.len();
            self.timed = index == 0 && pipeline.timed.is_some();
            self.command(command);
            if index > 0 {
                self.facts.feeds.push(Feed { from: start..before, to: before..self.facts.commands.len(), runs: false });
            }
        }
        self.written.branches -= several;
        if several > 0 && self.written.raced(watched) {
            self.unknown("what a file runs that the same pipeline may change");
        }
    }

    pub(super) fn command(&mut self, command: &Node) {
        match command {
            Node::Simple(simple) => self.simple(simple),
            Node::Compound(compound, redirects) => {
                let before = self.facts.commands.len();
                self.overwrites(redirects.as_ref());
                self.compound(compound);
                self.redirects_of(before, redirects.as_ref());
            }
            Node::Function(function) => {
                let name = function.fname.value.clone();
                let before = self.facts.commands.len();
                self.written.repeats += 1;
                self.compound(&function.body.0);
                self.redirects_of(before, function.body.1.as_ref());
                self.written.repeats -= 1;
                let body = self.facts.commands.get(before..).unwrap_or_default();
                if body.iter().any(|command| command.program() == Some(&name)) {
                    self.unknown(format!("function `{name}` calls itself"));
                }
                self.define(&name, before);
            }
            Node::ExtendedTest(test, redirects) => {
                self.overwrites(redirects.as_ref());
                self.test(&test.expr);
                self.redirects(redirects.as_ref());
            }
        }
    }

    pub(super) fn assign(&mut self, name: &str, value: Option<String>, raw: String, exported: bool) {
        let span = self.span.clone();
        self.facts.assignments.push(Assignment { name: name.to_owned(), value, raw, exported, span });
    }

    fn assignment(&mut self, assignment: &brush_parser::ast::Assignment, exported: bool) {
        let name = match &assignment.name {
            AssignmentName::VariableName(name) => name,
            AssignmentName::ArrayElementName(name, index) => {
                self.arithmetic(index);
                name
            }
        };
        let value = match &assignment.value {
            AssignmentValue::Scalar(word) => {
                self.word(&word.value);
                self.given(&word.value)
            }
            AssignmentValue::Array(items) => {
                for (key, value) in items {
                    key.iter().for_each(|key| self.arithmetic(&key.value));
                    self.word(&value.value);
                    self.hold(&value.value);
                }
                None
            }
        };
        let raw = match &assignment.value {
            AssignmentValue::Scalar(word) => word.value.clone(),
            AssignmentValue::Array(_) => String::new(),
        };
        self.assign(name, value, raw, exported);
    }

    fn item(&mut self, item: &Item, words: &mut Vec<Word>, prefix: bool) {
        match item {
            Item::IoRedirect(redirect) => self.redirect(redirect),
            Item::Word(word) => self.argument(word, words),
            Item::AssignmentWord(assignment, word) => {
                // After a program only the builtins that declare variables take it as an assignment.
                let declared = words.first().and_then(Word::text).filter(|program| declares(program));
                if prefix || declared.is_some() {
                    let options = words.get(1..).unwrap_or_default();
                    let exports = options.iter().any(|word| word.fixed.starts_with('-') && word.fixed.contains('x'));
                    self.assignment(assignment, declared == Some("export") || exports);
                } else {
                    self.word(&word.value);
                }
                if !prefix {
                    words.extend(Word::read(&word.value, &self.options));
                }
            }
            Item::ProcessSubstitution(kind, shell) => {
                self.written.repeats += 1;
                words.push(Word::unknown(&format!("{kind}(…)")));
                self.apart(&shell.list);
            }
        }
    }

    fn argument(&mut self, word: &brush_parser::ast::Word, words: &mut Vec<Word>) {
        if self.numbers_file(word) {
            if word.value.contains('[') {
                self.unknown(format!("what `{}` evaluates", excerpt(&word.value)));
            }
            let name = word.value.trim_matches(['{', '}']);
            return self.assign(name.split('[').next().unwrap_or_default(), None, String::new(), false);
        }
        self.broken_lines(word);
        self.word(&word.value);
        words.extend(Word::read(&word.value, &self.options));
    }

    fn simple(&mut self, simple: &SimpleCommand) {
        let outer = self.span.clone();
        self.stand(place(simple));
        self.simple_here(simple);
        self.span = outer;
    }

    fn simple_here(&mut self, simple: &SimpleCommand) {
        let (before, assigned) = (self.facts.commands.len(), self.facts.assignments.len());
        let redirected = self.facts.redirects.len();
        let mut words = Vec::new();
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            self.item(item, &mut words, true);
        }
        if let Some(word) = &simple.word_or_name {
            self.argument(word, &mut words);
        }
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            self.item(item, &mut words, false);
        }
        // Of `time -- a`, which brush-parser 0.4.0 takes for a program.
        if std::mem::take(&mut self.timed) && words.len() > 1 && words.first().and_then(Word::text) == Some("--") {
            words.remove(0);
        }
        let own = self.facts.commands.len();
        for redirect in self.facts.redirects.iter_mut().skip(redirected) {
            redirect.of = own..own + 1;
        }
        if !words.is_empty() {
            self.facts.assignments.iter_mut().skip(assigned).take(prefixed(simple)).for_each(|a| a.exported = true);
        }
        if words.first().and_then(Word::text) == Some("read") {
            self.own_fields += self.facts.assignments.iter().skip(assigned).filter(|a| usual::splits(a)).count();
        }
        let redirects = redirect::all(simple);
        // One whose number the shell chooses looks like one of the input.
        let numbered = simple.word_or_name.iter().chain(suffix_words(simple)).any(|word| self.numbers_file(word));
        let input = redirect::input(&redirects, &self.options).filter(|_| !numbered);
        let copied = redirect::copied(simple, &redirects).filter(|_| !numbered).and_then(|target| {
            let target = Word::read(&target.value, &self.options);
            target.first().and_then(Word::text).filter(|_| target.len() == 1).map(str::to_owned)
        });
        let copied = copied.zip(input.as_ref().filter(|input| input.exact).map(|input| input.text.clone()));
        self.written.command(&words, copied, self.facts.redirects.get(redirected..).unwrap_or_default());
        if !words.is_empty() {
            self.words(words, input);
        }
        let after = self.facts.commands.len();
        if own > before && after > own {
            self.facts.feeds.push(Feed { from: before..own, to: own..after, runs: false });
        }
    }

    /// Records a command and everything that it runs in turn.
    fn words(&mut self, mut words: Vec<Word>, input: Option<Input>) {
        if self.depth >= DEPTH_MAX || self.facts.commands.len() > COMMANDS_MAX {
            return self.unknown("more is nested here than is looked at");
        }
        self.depth += 1;
        self.loosen(&mut words);
        let fewer = if self.drops { self.fewer(&words) } else { Vec::new() };
        let command_input = input.clone();
        let (input, exact) = input.map_or((None, false), |input| (Some(input.text), input.exact));
        let mut command =
            Command { words, carrier: false, input, exact, shell: self.shell.at, span: self.span.clone() };
        if command.program().is_none() {
            let raw = command.words.first().map_or("", |word| word.raw.as_str());
            self.unknown(format!("which program `{}` is", excerpt(raw)));
        }
        let mut carried = carry::carried(&command);
        command.carrier = carry::is_carrier(&command) && carried.iter().any(|item| *item != Carried::Nothing);
        if let Some(own) = self.written.run(&command) {
            command.carrier = true;
            carried.push(own);
        }
        let outer = self.enter(command.name());
        self.facts.commands.push(command);
        for item in carried {
            match item {
                Carried::Command(words) => self.words(words, command_input.clone()),
                Carried::Source(source) => self.source(&source),
                Carried::Fed(source) => self.fed(&source),
                Carried::File(word, by) => match self.written.text(&word) {
                    Some(text) => {
                        dialect::differs(&by, &text).into_iter().for_each(|what| self.unknown(what));
                        self.unread(format!("whether `{}` could be written, which is run then", word.fixed));
                        let watched = self.written.rewritten();
                        self.source(&text);
                        if self.written.rewritten() != watched {
                            self.unknown(format!("what `{}` runs, which changes itself", word.fixed));
                        }
                    }
                    None => self.unknown(format!("what the file `{}` makes `{by}` run", word.fixed)),
                },
                Carried::Assignment(name, value) => self.assign(&name, value, String::new(), true),
                Carried::Writes(target) => {
                    let of = self.facts.commands.len().saturating_sub(1);
                    let span = self.span.clone();
                    self.facts.redirects.push(Redirect { target, writes: true, of: of..of + 1, span });
                }
                Carried::Unknown(what) => self.unknown(what),
                Carried::Unread(what) => self.unread(what),
                Carried::Nothing => {}
            }
        }
        self.shell = outer;
        let drops = std::mem::take(&mut self.drops);
        for words in fewer {
            self.words(words, command_input.clone());
        }
        self.drops = drops;
        self.depth -= 1;
    }
}

/// Where a command stands, from its first word to its last, redirections included.
fn place(simple: &SimpleCommand) -> Option<Span> {
    let before = simple.prefix.iter().flat_map(|prefix| &prefix.0);
    let items = before.chain(simple.suffix.iter().flat_map(|suffix| &suffix.0));
    let words = items.filter_map(|item| match item {
        Item::Word(word) | Item::AssignmentWord(_, word) => Some(word),
        Item::IoRedirect(redirect) => word_of(redirect),
        Item::ProcessSubstitution(..) => None,
    });
    let spans = words.chain(&simple.word_or_name).filter_map(span_of);
    spans.reduce(|all, one| all.start.min(one.start)..all.end.max(one.end))
}

/// Where a word stands in its source.
pub(super) fn span_of(word: &brush_parser::ast::Word) -> Option<Span> {
    word.loc.as_ref().map(|at| at.start.index..at.end.index)
}

fn suffix_words(simple: &SimpleCommand) -> impl Iterator<Item = &brush_parser::ast::Word> {
    let items = simple.suffix.iter().flat_map(|suffix| &suffix.0);
    items.filter_map(|item| if let Item::Word(word) = item { Some(word) } else { None })
}

/// How many assignments stand before the program.
fn prefixed(simple: &SimpleCommand) -> usize {
    let items = simple.prefix.iter().flat_map(|prefix| &prefix.0);
    items.filter(|item| matches!(item, Item::AssignmentWord(..))).count()
}

fn declares(program: &str) -> bool {
    matches!(program, "export" | "local" | "declare" | "typeset" | "readonly")
}

/// The first line of `text`, at most 60 characters.
pub(super) fn excerpt(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.trim().len() { format!("{short}…") } else { short }
}
