//! Globs that are no words: with `nullglob`, one that fits no file goes away, and the words behind it move up. A part
//! of `walk`.

use super::carry::is_shell;
use super::facts::Command;
use super::walk::Walk;
use super::word::Word;

/// Most globs of one command each of which may go away.
const GLOBS_MAX: usize = 3;

/// Whether a command makes globs go away that fit nothing, as far as its words are known.
pub(super) fn may_drop(command: &Command) -> bool {
    let words = command.arguments();
    match command.name() {
        Some("shopt") => words.iter().any(|word| word.text().is_none_or(|text| text == "nullglob")),
        Some(name) => is_shell(name) && words.iter().any(|word| word.fixed == "nullglob"),
        None => false,
    }
}

impl Walk {
    /// The commands that `words` also may be, since some of their globs fit nothing.
    pub(super) fn fewer(&mut self, words: &[Word]) -> Vec<Vec<Word>> {
        let globs: Vec<usize> = words.iter().enumerate().filter(|(_, word)| word.glob).map(|(at, _)| at).collect();
        if globs.len() > GLOBS_MAX {
            self.unknown("which of so many globs are words, with `nullglob`");
            return Vec::new();
        }
        let without = |gone: usize| {
            let kept = |at: usize| globs.iter().position(|glob| *glob == at).is_none_or(|bit| gone & (1 << bit) == 0);
            words.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, word)| word.clone()).collect::<Vec<Word>>()
        };
        (1..1_usize << globs.len()).map(without).filter(|words| !words.is_empty()).collect()
    }
}
