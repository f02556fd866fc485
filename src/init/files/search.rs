//! Searching files for a text. Symbolic links below the directory are not followed.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::pattern::Glob;
use super::{ANSWER_BYTES_MAX, FILE_BYTES_MAX, FileError, Place, binary, open};
use crate::domain::task::Literal;
use crate::domain::text::visible_line;

/// Most lines that are shown.
const HITS_MAX: usize = 200;
/// Most files and directories that are looked at.
const ENTRIES_MAX: usize = 100_000;
/// Characters of a line that are shown before the text, and from it on.
const BEFORE_CHARS: usize = 80;
const AFTER_CHARS: usize = 240;
/// Directories that programs fill; searched only when they are named.
const LEFT_OUT: [&str; 3] = [".git", "node_modules", "target"];

/// Writes `path:line: text` for every line that holds the text.
pub(super) fn search(
    place: &Place,
    text: &Literal,
    glob: Option<&Literal>,
    out: &mut impl Write,
) -> Result<Option<String>, FileError> {
    let glob = match glob.map(Literal::as_str) {
        None => None,
        Some(pattern) => Some(Glob::new(pattern).ok_or_else(|| FileError::Pattern(visible_line(pattern)))?),
    };
    let mut search = Search { text: text.as_str(), found: Vec::new(), bytes: 0, left_out: LeftOut::default() };
    let kind = place.look()?.file_type();
    if kind.is_dir() {
        // A directory that cannot be read at all is no empty one.
        fs::read_dir(&place.path).map_err(place.failed("search"))?;
        search.below(place, glob.as_ref());
    } else {
        place.open()?;
        search.file(&place.path, &place.shown, OFlags::empty());
    }
    for line in &search.found {
        writeln!(out, "{line}").map_err(FileError::Answer)?;
    }
    Ok(search.remark())
}

struct Search<'a> {
    text: &'a str,
    found: Vec<String>,
    bytes: usize,
    left_out: LeftOut,
}

/// What was not searched, by reason.
#[derive(Debug, Default)]
struct LeftOut {
    binary: usize,
    too_long: usize,
    unreadable: usize,
    /// There were more hits than fit.
    hits: bool,
    /// There were more files and directories than are looked at.
    entries: bool,
}

impl Search<'_> {
    fn below(&mut self, place: &Place, glob: Option<&Glob>) {
        let mut waiting: Vec<PathBuf> = vec![PathBuf::new()];
        let mut entries = 0;
        while let Some(relative) = waiting.pop().filter(|_| !self.left_out.hits) {
            let path = place.path.join(&relative);
            // The kind of an entry is that of the entry itself; only the first is followed.
            let is_first = relative.as_os_str().is_empty();
            let found = if is_first { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
            match found {
                Ok(found) if found.is_dir() => {
                    let most = ENTRIES_MAX.saturating_sub(entries);
                    let mut inside = self.names(&path, &relative, most);
                    self.left_out.entries |= inside.len() >= most;
                    entries += inside.len();
                    waiting.append(&mut inside);
                }
                Ok(found) if found.is_file() && glob.is_none_or(|glob| glob.fits(&relative)) => {
                    let shown = visible_line(&Path::new(&place.shown).join(&relative).to_string_lossy());
                    self.file(&path, &shown, OFlags::NOFOLLOW);
                }
                Ok(_) => {}
                Err(_) => self.left_out.unreadable += 1,
            }
        }
    }

    /// What is in a directory, the last first.
    fn names(&mut self, path: &Path, relative: &Path, most: usize) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(path) else {
            self.left_out.unreadable += 1;
            return Vec::new();
        };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        let wanted = names.filter(|name| !LEFT_OUT.iter().any(|left_out| name == OsStr::new(left_out)));
        let mut inside: Vec<PathBuf> = wanted.take(most).map(|name| relative.join(name)).collect();
        inside.sort();
        inside.reverse();
        inside
    }

    fn file(&mut self, path: &Path, shown: &str, flags: OFlags) {
        let mut bytes = Vec::new();
        let read = open(path, flags).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(_) => self.left_out.unreadable += 1,
            Ok(length) if length as u64 > FILE_BYTES_MAX => self.left_out.too_long += 1,
            Ok(_) if binary(bytes.get(..8192).unwrap_or(&bytes)).is_some() => self.left_out.binary += 1,
            Ok(_) => self.lines(&String::from_utf8_lossy(&bytes), shown),
        }
    }

    fn lines(&mut self, content: &str, shown: &str) {
        if !content.contains(self.text) {
            return;
        }
        for (index, line) in content.lines().enumerate() {
            let Some((before, after)) = line.find(self.text).and_then(|at| line.split_at_checked(at)) else { continue };
            let hit = format!("{shown}:{}: {}", index + 1, around(before, after));
            if self.found.len() >= HITS_MAX || self.bytes + hit.len() > ANSWER_BYTES_MAX {
                self.left_out.hits = true;
                return;
            }
            self.bytes += hit.len() + 1;
            self.found.push(hit);
        }
    }

    fn remark(&self) -> Option<String> {
        let LeftOut { binary, too_long, unreadable, hits, entries } = self.left_out;
        let mut remarks = Vec::new();
        if self.found.is_empty() {
            remarks.push("no line holds the text".to_owned());
        }
        if hits || entries {
            remarks.push("there may be more: narrow the path, the text or the pattern".to_owned());
        }
        for (count, what) in
            [(too_long, "files over 16 MiB"), (unreadable, "that cannot be read"), (binary, "that are no text")]
        {
            if count > 0 {
                remarks.push(format!("left out: {count} {what}"));
            }
        }
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

/// A line around the text, what was cut marked.
fn around(before: &str, after: &str) -> String {
    let skipped = before.chars().count().saturating_sub(BEFORE_CHARS);
    let start: String = before.chars().skip(skipped).collect();
    let end: String = after.chars().take(AFTER_CHARS).collect();
    let (left, right) = (if skipped > 0 { "… " } else { "" }, if end.len() < after.len() { " …" } else { "" });
    format!("{left}{}{right}", visible_line(&format!("{start}{end}")))
}
