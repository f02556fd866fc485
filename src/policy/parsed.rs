//! A script with its facts, made once. Owns where the parser runs: what is small on the caller's stack, all else where
//! the program says, which is a process of its own. A panic of the parser is an unknown, not a crash.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

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

/// Has the facts of a script read in another process, by [`facts`]; or says why nothing came of it.
pub type Elsewhere = fn(&Script) -> Result<Vec<u8>, String>;

static ELSEWHERE: OnceLock<Elsewhere> = OnceLock::new();

/// From now on, what is not small is parsed elsewhere. Without it a thread does, whose overflow ends the process.
pub fn parse_elsewhere(elsewhere: Elsewhere) {
    ELSEWHERE.get_or_init(|| elsewhere);
}

/// The facts of `script` for another process, read on a thread with a large stack.
pub fn facts(script: &Script) -> Vec<u8> {
    postcard::to_stdvec(&on_a_thread(script)).unwrap_or_default()
}

fn read(script: &Script) -> Facts {
    // `None` for a text inside of it that needs more.
    if let Some(facts) = read_in(script, Room::Small) {
        return facts;
    }
    let Some(elsewhere) = ELSEWHERE.get() else { return on_a_thread(script) };
    let told = elsewhere(script)
        .and_then(|bytes| postcard::from_bytes(&bytes).map_err(|error| format!("its facts are none ({error})")));
    told.unwrap_or_else(|why| Facts::unknown(&format!("what this script does: {why}")))
}

fn read_in(script: &Script, room: Room) -> Option<Facts> {
    catch_unwind(AssertUnwindSafe(|| sources::facts(script.as_str(), room)))
        .unwrap_or_else(|_| Some(Facts::unknown("what this script does: it cannot be parsed")))
}

fn on_a_thread(script: &Script) -> Facts {
    let script = script.clone();
    let thread = std::thread::Builder::new().name("parse".to_owned()).stack_size(STACK_BYTES);
    let started = thread.spawn(move || read_in(&script, Room::Ample));
    let read = started.ok().and_then(|thread| thread.join().ok()).flatten();
    read.unwrap_or_else(|| Facts::unknown("what this script does: no thread could be had to parse it"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_tells_is_what_is_read_here() {
        let scripts = [
            "echo a",
            "f() { rm \"$x\" *; }; cat <<E | sh > out 2>&1\n$(id)\nE\nA=b env -i C=$D f && ((x))",
            "source file; sudo -u x $(cat y) [",
        ];
        for text in scripts {
            let script = Script::new(text.to_owned()).unwrap();
            let told: Facts = postcard::from_bytes(&facts(&script)).unwrap();
            assert_eq!(told, read(&script), "{text}");
        }
    }
}
