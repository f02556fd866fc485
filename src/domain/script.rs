//! The shell text of an exec call. Checked once, when it is made; its bytes never change afterwards.

use serde::{Deserialize, Serialize};

/// Longest script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 64 * 1024;

/// Shell text that holds nothing which a reader could miss: no NUL, no control characters but tab
/// and newline, no bidirectional or zero-width characters, at most [`SCRIPT_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Script(String);

/// Why a text is not a script. Bad input (exit code 65), never a question to a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScript {
    /// Nothing but white space.
    #[error("the script is empty")]
    Empty,
    /// More than [`SCRIPT_BYTES_MAX`] bytes.
    #[error("the script has {bytes} bytes; at most {SCRIPT_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A character that a reader could miss.
    #[error("line {line} of the script holds {what} (U+{code:04X}), which nobody can see")]
    Invisible {
        /// Counted from 1.
        line: usize,
        /// What it is, for people.
        what: &'static str,
        /// The code point.
        code: u32,
    },
    /// Nested deeper than the parser may follow.
    #[error("the script is nested too deeply ({what}, at most {most})")]
    TooDeep {
        /// What is nested.
        what: &'static str,
        /// The limit.
        most: usize,
    },
}

impl Script {
    /// The script of `text`.
    ///
    /// # Errors
    /// [`BadScript`] when the text is empty, too long or holds invisible characters.
    pub fn new(text: String) -> Result<Self, BadScript> {
        if text.len() > SCRIPT_BYTES_MAX {
            return Err(BadScript::TooLong { bytes: text.len() });
        }
        if text.trim().is_empty() {
            return Err(BadScript::Empty);
        }
        for (index, line) in text.split('\n').enumerate() {
            if let Some((character, what)) = line.chars().find_map(|c| invisible(c).map(|what| (c, what))) {
                return Err(BadScript::Invisible { line: index + 1, what, code: u32::from(character) });
            }
        }
        Ok(Self(text))
    }

    /// The text, byte for byte as it will run.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Script {
    type Error = BadScript;

    fn try_from(text: String) -> Result<Self, BadScript> {
        Self::new(text)
    }
}

impl From<Script> for String {
    fn from(script: Script) -> Self {
        script.0
    }
}

/// What a character is, when it is one that a reader could miss (Unicode 16, general categories Cc
/// and Cf, and the fillers).
fn invisible(character: char) -> Option<&'static str> {
    match character {
        '\t' | '\n' => None,
        '\0' => Some("a NUL"),
        '\r' => Some("a carriage return"),
        '\u{1b}' => Some("an escape character"),
        c if c.is_control() => Some("a control character"),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            Some("a bidirectional control")
        }
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{ad}' | '\u{180e}' | '\u{34f}' => {
            Some("a zero-width character")
        }
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' => Some("a blank filler"),
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => Some("an invisible tag"),
        _ => None,
    }
}
