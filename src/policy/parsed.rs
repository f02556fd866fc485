//! A script with its facts, made once. Owns where the parser runs: what is small on the caller's stack,
//! all else on a thread with 64 MiB. A panic of the parser is an unknown, not a crash.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::domain::script::{BadScript, Script};

use super::facts::{Command, Facts};
use super::sources::{self, Room};

/// Stack of the parsing thread, in bytes; the nesting guards of [`Script`] are sized for it.
const STACK_BYTES: usize = 64 << 20;

/// A script and what it says.
#[derive(Debug, Clone)]
pub struct Parsed {
    script: Script,
    facts: Facts,
    programs: Vec<String>,
}

/// How long the parser may take, which its bounds make it never need.
const PARSE_MAX: Duration = Duration::from_secs(2);
/// Most parsers that may have passed it, for good: a thread cannot be stopped.
const RUNAWAYS_MAX: usize = 2;

/// The facts of `script`: on the caller's stack where that is proven to do, else on a thread of its own.
fn read(script: &Script) -> Facts {
    static RUNAWAYS: AtomicUsize = AtomicUsize::new(0);
    let facts = |text: &str, room: Room| {
        catch_unwind(AssertUnwindSafe(|| sources::facts(text, room)))
            .unwrap_or_else(|_| Some(Facts::unknown("what this script does: it cannot be parsed")))
    };
    // `None` for a text inside of it that needs more.
    if let Some(facts) = facts(script.as_str(), Room::Small) {
        return facts;
    }
    if RUNAWAYS.load(Ordering::Relaxed) >= RUNAWAYS_MAX {
        return Facts::unknown("what this script does: others took too long to parse");
    }
    let (text, (done, result)) = (script.clone(), mpsc::channel());
    let thread = std::thread::Builder::new().name("parse".to_owned()).stack_size(STACK_BYTES);
    let started = thread.spawn(move || drop(done.send(facts(text.as_str(), Room::Ample))));
    match started.map(|_| result.recv_timeout(PARSE_MAX)) {
        Ok(Ok(Some(facts))) => facts,
        Ok(Ok(None) | Err(_)) => {
            RUNAWAYS.fetch_add(1, Ordering::Relaxed);
            Facts::unknown("what this script does: it takes too long to parse")
        }
        Err(_) => Facts::unknown("what this script does: no thread could be had to parse it"),
    }
}

impl Parsed {
    /// Parses `script`.
    ///
    /// # Errors
    /// [`BadScript`] when the script is nested too deeply. What cannot be parsed is no error: the
    /// decision says that it cannot be told.
    pub fn new(script: Script) -> Result<Self, BadScript> {
        // The guards again, for a script that was made before they were known.
        let script = Script::new(script.into())?;
        let facts = read(&script);
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
