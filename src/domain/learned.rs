//! What "allow always" leaves behind: exact words that need no yes any more, for one person.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ApprovalId, PersonId, RuleId};
use super::text::visible_line;
use super::time::Timestamp;

/// The words of one simple command, the program first, as the shell hands them over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words(Vec<String>);

impl Words {
    /// Words that a reader can see whole; `None` when there is none, or a character that could be missed.
    pub fn new(words: Vec<String>) -> Option<Self> {
        let is_visible = |word: &String| visible_line(word) == *word;
        (!words.is_empty() && words.iter().all(is_visible)).then_some(Self(words))
    }

    /// Whether `words` are these, each and no more.
    pub fn are<'a>(&self, words: impl Iterator<Item = &'a str>) -> bool {
        self.0.iter().map(String::as_str).eq(words)
    }
}

impl fmt::Display for Words {
    /// As a person would type them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match shlex::try_join(self.0.iter().map(String::as_str)) {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// An amendment of the policy: these commands need no yes, while nothing else about them asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedRule {
    /// Its id.
    pub rule: RuleId,
    /// For whom it counts.
    pub person: PersonId,
    /// What it covers: every one of them by itself.
    pub commands: Vec<Words>,
    /// The question whose answer it was.
    pub approval: ApprovalId,
    /// Who gave it.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
}

/// Commands as people are shown them, a line each.
pub fn lines(commands: &[Words]) -> String {
    commands.iter().map(Words::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_so_that_none_is_taken_for_two() {
        let words = |list: &[&str]| Words::new(list.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(words(&["git", "commit", "-m", "a b"]).unwrap().to_string(), "git commit -m 'a b'");
        assert_ne!(words(&["echo", "a b"]).unwrap().to_string(), words(&["echo", "a", "b"]).unwrap().to_string());
        assert!(words(&["git", "log"]).unwrap().are(["git", "log"].into_iter()));
        assert!(!words(&["git", "log"]).unwrap().are(["git", "log", "-p"].into_iter()));
        for hidden in [&["echo", "a\nb"][..], &["echo", "\u{202e}"], &["ec\u{200b}ho"], &["echo", "a\u{a0}b"], &[]] {
            assert_eq!(words(hidden), None, "{hidden:?}");
        }
    }
}
