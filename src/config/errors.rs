//! Load errors: the file, the line and column, the line itself with a caret, and a hint.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest message and hint, in characters: the owner may read them in a chat.
const TEXT_CHARS_MAX: usize = 400;
/// Most characters of a line that are shown, on each side of the mistake.
const BESIDE_CHARS_MAX: usize = 80;
/// Most mistakes that are shown.
const SHOWN_MAX: usize = 30;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadError {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; 0 when it is about the whole file.
    pub line: u64,
    /// Counted from 1.
    pub column: u64,
    /// What is wrong, for people.
    pub message: String,
    /// The line in question with a caret below; empty when there is none.
    pub snippet: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.snippet.is_empty() {
            write!(f, "\n{}", self.snippet)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// All mistakes of a directory's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadErrors(pub Vec<LoadError>);

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for LoadErrors {}

/// A file's text, for pointing into it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The file's name without its directory.
    pub(super) fn name(&self) -> String {
        self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// An error at a place of this file.
    pub(super) fn error(&self, place: Option<(u64, u64)>, message: impl Into<String>, hint: Option<&str>) -> LoadError {
        let (line, column) = place.unwrap_or((0, 0));
        LoadError {
            file: self.file.clone(),
            line,
            column,
            message: cut(&message.into()),
            snippet: self.snippet(line, column).unwrap_or_default(),
            hint: hint.map(cut),
        }
    }

    fn snippet(&self, line: u64, column: u64) -> Option<String> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let text = self.text.lines().nth(index)?;
        let before = usize::try_from(column).ok()?.saturating_sub(1);
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let count = text.chars().count();
        let left = if count > 2 * BESIDE_CHARS_MAX { before.saturating_sub(BESIDE_CHARS_MAX) } else { 0 };
        let shown: String = text.chars().skip(left).take(2 * BESIDE_CHARS_MAX).collect();
        let cut = |is_cut: bool| if is_cut { "…" } else { "" };
        let (front, end) = (cut(left > 0), cut(count > left + 2 * BESIDE_CHARS_MAX));
        let space = " ".repeat(before - left + front.chars().count());
        Some(format!("{number} | {front}{shown}{end}\n{margin} | {space}^"))
    }
}

/// The text, or its front and end when it is too long.
fn cut(text: &str) -> String {
    let count = text.chars().count();
    if count <= TEXT_CHARS_MAX {
        return text.to_owned();
    }
    let front: String = text.chars().take(TEXT_CHARS_MAX - BESIDE_CHARS_MAX).collect();
    let end: String = text.chars().skip(count - BESIDE_CHARS_MAX).collect();
    format!("{front} … {end}")
}

/// An error about a file that could not be read.
pub(super) fn unreadable(file: &Path, message: String, hint: Option<String>) -> LoadError {
    LoadError { file: file.to_owned(), line: 0, column: 0, message, snippet: String::new(), hint }
}
