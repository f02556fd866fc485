//! From shell text to facts: walks the syntax tree and re-reads what nested shells would run.
//! Refuses to guess: an error of the parser, or a place where it is known to be wrong, is an unknown.

use brush_parser::ast::{
    AndOr, AndOrList, AssignmentName, AssignmentValue, Command as Node, CommandPrefixOrSuffixItem as Item,
    CompoundCommand, CompoundList, CompoundListItem, ExtendedTestExpr, IoFileRedirectKind, IoFileRedirectTarget,
    IoRedirect, Pipeline, RedirectList, SimpleCommand,
};
use brush_parser::word;
use brush_parser::{Parser, ParserOptions};

use super::carry::{self, Carried};
use super::facts::{Assignment, Command, Facts, Feed, Redirect};
use super::word::Word;

/// Deepest nesting of sources and words inside one another.
pub(super) const DEPTH_MAX: usize = 32;
/// Most substitutions in a here-document that are looked at.
const HEREDOC_SUBSTITUTIONS_MAX: usize = 6;
/// Most commands of one script that are looked at.
const COMMANDS_MAX: usize = 4096;

/// The facts of `source`.
pub(crate) fn facts(source: &str) -> Facts {
    let mut walk = Walk { facts: Facts::default(), depth: 0, options: ParserOptions::default(), source: String::new() };
    if let Some(line) = source.strip_prefix("#!").and_then(|rest| rest.lines().next()) {
        let interpreter =
            line.split(['/', ' ', '\\']).find(|part| !matches!(*part, "" | "usr" | "bin" | "env" | "local"));
        if !interpreter.is_some_and(carry::is_shell) {
            walk.unknown(format!("what a script for `{}` does in a shell", excerpt(line)));
        }
    }
    walk.source(source);
    walk.facts.unknowns.dedup();
    walk.facts
}

pub(super) struct Walk {
    facts: Facts,
    pub(super) depth: usize,
    pub(super) options: ParserOptions,
    source: String,
}

impl Walk {
    pub(super) fn unknown(&mut self, what: impl Into<String>) {
        self.facts.unknowns.push(what.into());
    }

    pub(super) fn source(&mut self, source: &str) {
        if source.trim().is_empty() {
            return;
        }
        if self.depth >= DEPTH_MAX || self.facts.commands.len() > COMMANDS_MAX {
            return self.unknown("more is nested here than is looked at");
        }
        // INVARIANT: the parser never sees text that did not pass the nesting guards.
        if let Err(error) = crate::domain::script::Script::new(source.to_owned()) {
            return self.unknown(error.to_string());
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.source, source.to_owned());
        match Parser::new(source.as_bytes(), &self.options).parse_program() {
            Ok(program) => program.complete_commands.iter().for_each(|list| self.list(list)),
            Err(_) => self.unknown(format!("`{}` cannot be parsed", excerpt(source))),
        }
        self.source = outer;
        self.depth -= 1;
    }

    fn list(&mut self, list: &CompoundList) {
        for CompoundListItem(item, _) in &list.0 {
            self.and_or(item);
        }
    }

    fn and_or(&mut self, list: &AndOrList) {
        self.pipeline(&list.first);
        for item in &list.additional {
            match item {
                AndOr::And(pipeline) | AndOr::Or(pipeline) => self.pipeline(pipeline),
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        let start = self.facts.commands.len();
        for (index, command) in pipeline.seq.iter().enumerate() {
            let before = self.facts.commands.len();
            self.command(command);
            if index > 0 {
                self.facts.feeds.push(Feed { from: start..before, to: before..self.facts.commands.len() });
            }
        }
    }

    fn command(&mut self, command: &Node) {
        match command {
            Node::Simple(simple) => self.simple(simple),
            Node::Compound(compound, redirects) => {
                self.compound(compound);
                self.redirects(redirects.as_ref());
            }
            Node::Function(function) => {
                let name = function.fname.value.clone();
                let before = self.facts.commands.len();
                self.compound(&function.body.0);
                self.redirects(function.body.1.as_ref());
                let body = self.facts.commands.get(before..).unwrap_or_default();
                if body.iter().any(|command| command.program() == Some(&name)) {
                    self.unknown(format!("function `{name}` calls itself"));
                }
                self.facts.functions.push(name);
            }
            Node::ExtendedTest(test, redirects) => {
                self.test(&test.expr);
                self.redirects(redirects.as_ref());
            }
        }
    }

    fn test(&mut self, test: &ExtendedTestExpr) {
        match test {
            ExtendedTestExpr::And(left, right) | ExtendedTestExpr::Or(left, right) => {
                self.test(left);
                self.test(right);
            }
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => self.test(inner),
            ExtendedTestExpr::UnaryTest(_, word) => self.tested(&word.value),
            ExtendedTestExpr::BinaryTest(_, left, right) => {
                self.tested(&left.value);
                self.tested(&right.value);
            }
        }
    }

    /// A word of `[[ … ]]`, which may be evaluated as arithmetic, subscripts with commands included.
    fn tested(&mut self, raw: &str) {
        if raw.contains('[') && (raw.contains("$(") || raw.contains('`')) {
            self.unknown(format!("what `{}` runs as a subscript", excerpt(raw)));
        }
        self.word(raw);
    }

    fn compound(&mut self, compound: &CompoundCommand) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                // brush-parser 0.4.0 calls `( ( cmd ) )` and `((cmd) )` arithmetic; bash runs them.
                let (start, end) = (arithmetic.loc.start.index, arithmetic.loc.end.index);
                let text: String = self.source.chars().skip(start).take(end.saturating_sub(start)).collect();
                if !(text.starts_with("((") && text.ends_with("))")) {
                    self.unknown(format!("`{}` may be arithmetic or commands", excerpt(&text)));
                    // What it runs if they are commands: two parentheses less, one at a time.
                    let inner = text.strip_prefix('(').and_then(|text| text.trim_end().strip_suffix(')'));
                    if let Some(inner) = inner.map(str::to_owned) {
                        self.source(&inner);
                    }
                }
                self.word(&arithmetic.expr.value);
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten() {
                    self.word(&part.value);
                }
                self.list(&clause.body.list);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(subshell) => self.list(&subshell.list),
            CompoundCommand::ForClause(clause) => {
                clause.values.iter().flatten().for_each(|word| self.word(&word.value));
                self.assign(&clause.variable_name, None, String::new());
                self.list(&clause.body.list);
            }
            CompoundCommand::CaseClause(clause) => {
                self.word(&clause.value.value);
                for case in &clause.cases {
                    case.patterns.iter().for_each(|pattern| self.word(&pattern.value));
                    case.cmd.iter().for_each(|list| self.list(list));
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition);
                self.list(&clause.then);
                for part in clause.elses.iter().flatten() {
                    part.condition.iter().for_each(|list| self.list(list));
                    self.list(&part.body);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.list(&clause.0);
                self.list(&clause.1.list);
            }
            CompoundCommand::Coprocess(coprocess) => {
                self.unknown("`coproc` talks to a command in the background");
                self.command(&coprocess.body);
            }
        }
    }

    fn redirects(&mut self, redirects: Option<&RedirectList>) {
        redirects.into_iter().flat_map(|list| &list.0).for_each(|redirect| self.redirect(redirect));
    }

    fn redirect(&mut self, redirect: &IoRedirect) {
        match redirect {
            IoRedirect::File(_, kind, target) => {
                let writes = !matches!(kind, IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput);
                match target {
                    IoFileRedirectTarget::Filename(word) => self.file(&word.value, writes),
                    IoFileRedirectTarget::Duplicate(word) => {
                        if !word.value.trim_end_matches('-').bytes().all(|byte| byte.is_ascii_digit()) {
                            self.file(&word.value, writes);
                        }
                    }
                    IoFileRedirectTarget::ProcessSubstitution(_, shell) => self.list(&shell.list),
                    IoFileRedirectTarget::Fd(_) => {}
                }
            }
            // brush-parser 0.4.0 backtracks exponentially over substitutions that a body leaves open.
            IoRedirect::HereDocument(_, document)
                if document.requires_expansion && nested_openers(&document.doc.value) > HEREDOC_SUBSTITUTIONS_MAX =>
            {
                self.unknown("what the many substitutions of a here-document run");
            }
            IoRedirect::HereDocument(_, document) if document.requires_expansion => {
                match word::parse_heredoc(&document.doc.value, &self.options) {
                    Ok(pieces) => self.pieces(pieces),
                    Err(_) => self.unknown("a here-document cannot be parsed"),
                }
            }
            IoRedirect::HereDocument(..) => {}
            IoRedirect::HereString(_, word) => self.word(&word.value),
            IoRedirect::OutputAndError(word, _) => self.file(&word.value, true),
        }
    }

    fn file(&mut self, raw: &str, writes: bool) {
        self.word(raw);
        for target in Word::read(raw, &self.options) {
            self.facts.redirects.push(Redirect { target, writes });
        }
    }

    fn assign(&mut self, name: &str, value: Option<String>, raw: String) {
        self.facts.assignments.push(Assignment { name: name.to_owned(), value, raw });
    }

    fn assignment(&mut self, assignment: &brush_parser::ast::Assignment) {
        let name = match &assignment.name {
            AssignmentName::VariableName(name) => name,
            AssignmentName::ArrayElementName(name, index) => {
                self.word(index);
                name
            }
        };
        let value = match &assignment.value {
            AssignmentValue::Scalar(word) => {
                self.word(&word.value);
                let mut words = Word::read(&word.value, &self.options);
                words.pop().filter(|_| words.is_empty()).and_then(|word| word.known.then_some(word.fixed))
            }
            AssignmentValue::Array(items) => {
                for (key, value) in items {
                    key.iter().for_each(|key| self.word(&key.value));
                    self.word(&value.value);
                }
                None
            }
        };
        let raw = match &assignment.value {
            AssignmentValue::Scalar(word) => word.value.clone(),
            AssignmentValue::Array(_) => String::new(),
        };
        self.assign(name, value, raw);
    }

    fn item(&mut self, item: &Item, words: &mut Vec<Word>, prefix: bool) {
        match item {
            Item::IoRedirect(redirect) => self.redirect(redirect),
            Item::Word(word) => {
                self.word(&word.value);
                words.extend(Word::read(&word.value, &self.options));
            }
            Item::AssignmentWord(assignment, word) => {
                // After a program only the builtins that declare variables take it as an assignment.
                if prefix || words.first().and_then(Word::text).is_some_and(declares) {
                    self.assignment(assignment);
                } else {
                    self.word(&word.value);
                }
                if !prefix {
                    words.extend(Word::read(&word.value, &self.options));
                }
            }
            Item::ProcessSubstitution(kind, shell) => {
                words.push(Word::unknown(&format!("{kind}(…)")));
                self.list(&shell.list);
            }
        }
    }

    fn simple(&mut self, simple: &SimpleCommand) {
        let before = self.facts.commands.len();
        let mut words = Vec::new();
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            self.item(item, &mut words, true);
        }
        if let Some(word) = &simple.word_or_name {
            self.word(&word.value);
            words.extend(Word::read(&word.value, &self.options));
        }
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            self.item(item, &mut words, false);
        }
        let own = self.facts.commands.len();
        let items = simple.prefix.iter().flat_map(|prefix| &prefix.0);
        let input = items.chain(simple.suffix.iter().flat_map(|suffix| &suffix.0)).find_map(input);
        if !words.is_empty() {
            self.words(words, input);
        }
        let after = self.facts.commands.len();
        if own > before && after > own {
            self.facts.feeds.push(Feed { from: before..own, to: own..after });
        }
    }

    /// Records a command and everything that it runs in turn.
    fn words(&mut self, words: Vec<Word>, input: Option<String>) {
        if self.depth >= DEPTH_MAX || self.facts.commands.len() > COMMANDS_MAX {
            return self.unknown("more is nested here than is looked at");
        }
        self.depth += 1;
        let mut command = Command { words, carrier: false, input };
        if command.program().is_none() {
            let raw = command.words.first().map_or("", |word| word.raw.as_str());
            self.unknown(format!("which program `{}` is", excerpt(raw)));
        }
        let carried = carry::carried(&command);
        command.carrier = carry::is_carrier(&command) && carried.iter().any(|item| *item != Carried::Nothing);
        let command_input = command.input.clone();
        self.facts.commands.push(command);
        for item in carried {
            match item {
                Carried::Command(words) => self.words(words, command_input.clone()),
                Carried::Source(source) => self.source(&source),
                Carried::Assignment(name, value) => self.assign(&name, value, String::new()),
                Carried::Writes(target) => self.facts.redirects.push(Redirect { target, writes: true }),
                Carried::Unknown(what) => self.unknown(what),
                Carried::Nothing => {}
            }
        }
        self.depth -= 1;
    }
}

/// Openers that may hold others: all but a plain `${NAME}`.
fn nested_openers(text: &str) -> usize {
    let plain = |rest: &str| {
        rest.split_once('}').is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
    };
    let braces = text.split("${").skip(1).filter(|rest| !plain(rest)).count();
    braces + text.matches("$(").count() + text.matches("$[").count() + text.matches('`').count()
}

/// The text that a redirection makes the input of a command.
fn input(item: &Item) -> Option<String> {
    match item {
        Item::IoRedirect(IoRedirect::HereDocument(_, document)) => Some(document.doc.value.clone()),
        Item::IoRedirect(IoRedirect::HereString(_, word)) => Some(word.value.clone()),
        Item::IoRedirect(IoRedirect::File(..) | IoRedirect::OutputAndError(..))
        | Item::Word(_)
        | Item::AssignmentWord(..)
        | Item::ProcessSubstitution(..) => None,
    }
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
