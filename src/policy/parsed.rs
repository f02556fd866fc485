//! A script with its facts, made once. Owns the thread on which the parser runs: 64 MiB of stack,
//! and a panic of the parser is an unknown, not a crash.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::domain::script::{BadScript, Script};

use super::facts::{Command, Facts, Unknown};
use super::walk;

/// Stack of the parsing thread, in bytes; the nesting guards of [`Script`] are sized for it.
const STACK_BYTES: usize = 64 << 20;

/// A script and what it says.
#[derive(Debug, Clone)]
pub struct Parsed {
    script: Script,
    facts: Facts,
    programs: Vec<String>,
}

impl Parsed {
    /// Parses `script` on a thread of its own.
    ///
    /// # Errors
    /// [`BadScript`] when the script is nested too deeply. What cannot be parsed is no error: the
    /// decision says that it cannot be told.
    pub fn new(script: Script) -> Result<Self, BadScript> {
        // The guards again, for a script that was made before they were known.
        let script = Script::new(script.into())?;
        let text = script.as_str();
        let read = || catch_unwind(AssertUnwindSafe(|| walk::facts(text))).ok();
        let facts = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("parse".to_owned()).stack_size(STACK_BYTES);
            thread.spawn_scoped(scope, read).ok().and_then(|thread| thread.join().ok()).flatten()
        });
        let facts = facts.unwrap_or_else(|| {
            let unknown = Unknown { what: "the script cannot be parsed".to_owned(), span: None };
            Facts { unknowns: vec![unknown], ..Facts::default() }
        });
        let mut programs: Vec<String> = Vec::new();
        for name in facts.commands.iter().filter_map(Command::program) {
            if !programs.iter().any(|known| known == name) {
                programs.push(name.to_owned());
            }
        }
        Ok(Self { script, facts, programs })
    }

    /// The script, byte for byte.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The programs that the script names, each once, in their order; builtins too.
    pub fn programs(&self) -> &[String] {
        &self.programs
    }

    /// Words and redirection targets that look like paths: with a `/`, or starting with `~` or `.`.
    pub fn paths(&self) -> Vec<String> {
        let words = self.facts.commands.iter().flat_map(Command::arguments);
        let targets = self.facts.redirects.iter().map(|redirect| &redirect.target);
        let mut paths: Vec<String> = words
            .filter(|word| word.fixed.contains('/') || word.fixed.starts_with(['~', '.']))
            .chain(targets)
            .map(|word| word.fixed.clone())
            .filter(|path| !path.is_empty())
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }
}
