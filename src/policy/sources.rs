//! The texts of a script: itself, and all that it runs in turn. Owns the guards before the parser, and where it may run.
//! Refuses to guess: an error of the parser, or a place where it is known to be wrong, is an unknown.

use std::panic::{AssertUnwindSafe, catch_unwind};

use brush_parser::parse_tokens;

use super::facts::{Command, Facts};
use super::usual::Unusual;
use super::walk::{COMMANDS_MAX, DEPTH_MAX, Walk, excerpt};
use super::{bounds, carry, evaluated, globs, misread, shipped, written};
use crate::domain::script::SCRIPT_BYTES_MAX;

/// Most bytes of all that is parsed for one script: a text that is run in many places is parsed in each.
const SOURCES_BYTES_MAX: usize = 8 * SCRIPT_BYTES_MAX;
/// Most sources inside one another that are read in a small room.
const SMALL_SOURCES_MAX: usize = 4;

/// Most parts of a text with a mistake in it that are looked at.
const PARTS_MAX: usize = 256;

/// How much stack there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// What any thread of ours has.
    Small,
    /// As much as any text may need.
    Ample,
}

/// The facts of `source`; `None` when it, or a text that it runs, needs more than a `Small` room.
pub(super) fn facts(source: &str, room: Room) -> Option<Facts> {
    let mut walk = walked(source, Walk::new(room));
    let (drops, unusual) = (walk.facts.commands.iter().any(globs::may_drop), Unusual::of(&walk.facts, walk.own_fields));
    if drops || unusual != Unusual::default() {
        walk = walked(source, Walk { drops, unusual, ..Walk::new(room) });
    }
    let commands = walk.facts.commands.iter().enumerate();
    walk.facts.unsets = commands.filter(|(_, command)| command.name() == Some("unset")).map(|(at, _)| at).collect();
    written::feeds(&mut walk.facts);
    shipped::doubts(&mut walk.facts);
    evaluated::doubts(&mut walk.facts);
    (!walk.cramped).then_some(walk.facts)
}

/// The `walk`, of all of `source`.
fn walked(source: &str, mut walk: Walk) -> Walk {
    if let Some(line) = source.strip_prefix("#!").and_then(|rest| rest.lines().next()) {
        let interpreter =
            line.split(['/', ' ', '\\']).find(|part| !matches!(*part, "" | "usr" | "bin" | "env" | "local"));
        if !interpreter.is_some_and(carry::is_shell) {
            walk.unknown(format!("what a script for `{}` does in a shell", excerpt(line)));
        }
    }
    walk.source(source);
    walk
}

/// A program that reads a part of its input and leaves the rest, unless it is told a file.
fn eater(command: &Command) -> Option<&str> {
    let name = command.name()?;
    let words = command.positionals();
    let files = words.iter().filter(|word| word.fixed.contains(|c: char| !c.is_ascii_digit())).count();
    let eats = match name {
        "read" | "mapfile" | "readarray" | "dd" => true,
        "head" => files == 0,
        "sed" | "grep" => files < 2,
        _ => false,
    };
    eats.then_some(name)
}

impl Walk {
    pub(super) fn source(&mut self, source: &str) {
        if source.trim().is_empty() {
            return;
        }
        if self.depth >= DEPTH_MAX || self.facts.commands.len() > COMMANDS_MAX {
            return self.unknown("more is nested here than is looked at");
        }
        self.read_bytes += source.len();
        if self.read_bytes > SOURCES_BYTES_MAX {
            return self.unknown("what so much text does that is run more than once");
        }
        // INVARIANT: the parser never sees text that did not pass the guards, whatever it is a part of.
        if let Some(what) = bounds::tangled(source) {
            return self.unknown(what);
        }
        if self.room == Room::Small && (self.sources >= SMALL_SOURCES_MAX || !bounds::is_small(source)) {
            self.cramped = true;
            return;
        }
        self.depth += 1;
        self.sources += 1;
        // A file that another shell writes may be elsewhere, or not be there.
        let inner = usize::from(self.sources > 1);
        self.written.inner += inner;
        let outer = std::mem::replace(&mut self.source, source.to_owned());
        if !self.read(source) {
            self.unknown(format!("`{}` cannot be parsed", excerpt(source)));
            self.parts(source);
        }
        self.source = outer;
        self.written.inner -= inner;
        self.sources -= 1;
        self.depth -= 1;
    }

    /// The text that a shell reads as its input: what runs first may read of it too, and then a later line begins
    /// elsewhere.
    pub(super) fn fed(&mut self, text: &str) {
        let before = self.facts.commands.len();
        self.source(text);
        if text.trim().lines().count() < 2 {
            return;
        }
        let facts = &self.facts;
        let own = |at: usize, command: &Command| {
            command.input.is_some()
                || facts.feeds.iter().any(|feed| feed.to.contains(&at))
                || facts.redirects.iter().any(|redirect| !redirect.writes && redirect.of.contains(&at))
        };
        let commands = facts.commands.iter().enumerate().skip(before);
        match commands.filter(|(at, command)| !own(*at, command)).find_map(|(_, command)| eater(command)) {
            Some(name) => self.unknown(format!("what `{name}` leaves of the input of the shell that runs it")),
            None => self.unread("what programs leave of the input of the shell that runs them"),
        }
    }

    /// Walks `source`, or returns `false` when it cannot be parsed.
    fn read(&mut self, source: &str) -> bool {
        let Some(tokens) = misread::tokens(source, &self.options) else { return false };
        if bounds::is_too_deep(&tokens) {
            self.unknown("what so many blocks inside one another do");
            return true;
        }
        let parse = || parse_tokens(&tokens, &self.options);
        let Ok(Ok(program)) = catch_unwind(AssertUnwindSafe(parse)) else { return false };
        misread::misread(source, &tokens).into_iter().for_each(|what| self.unknown(what));
        self.facts.evaluates |= evaluated::is_indirect(source);
        self.facts.substitutes |= evaluated::substitutes(source);
        program.complete_commands.iter().for_each(|list| self.list(list));
        true
    }

    /// What of a text with a mistake in it can be read by itself: a shell runs what stands before its mistake, and
    /// what is refused is refused beside a mistake too.
    fn parts(&mut self, source: &str) {
        self.sources += 1;
        for part in source.split([';', '&', '|', '\n']).take(PARTS_MAX) {
            if !part.trim().is_empty() && bounds::tangled(part).is_none() {
                part.clone_into(&mut self.source);
                self.read(part);
            }
        }
        self.sources -= 1;
    }
}
