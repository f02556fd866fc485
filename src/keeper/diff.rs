//! Unified diffs in the style of git, for people. Names and what cannot be shown are told, never
//! interpreted; what is cut says so.

use std::fmt::Write as _;
use std::time::Duration;

use similar::TextDiff;

use super::files::{Seen, SeenKind, Tree};
use super::scan::{Item, Pair};

/// Longest file that is compared line by line, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Longest diff, in bytes.
const DIFF_BYTES_MAX: usize = 1 << 20;
/// How long two files may be compared before a coarser diff does.
const TIME_MAX: Duration = Duration::from_millis(500);

/// One side of a file.
enum Side {
    None,
    Text(String),
    Binary,
    TooLong(u64),
    Unreadable,
}

/// The diff of some changes, from the host's files to the overlay's.
pub(super) fn of<'a>(host: &Tree, upper: &Tree, items: impl Iterator<Item = &'a Item>) -> String {
    let mut text = String::new();
    let mut cut = 0_usize;
    for pair in items.flat_map(|item| &item.pairs) {
        // Nor is the rest compared: a run could make it take hours.
        if cut > 0 {
            cut += 1;
            continue;
        }
        let part = of_pair(host, upper, pair);
        if text.len() + part.len() > DIFF_BYTES_MAX {
            cut += 1;
        } else {
            text += &part;
        }
    }
    if cut > 0 {
        text += &format!("… {cut} more changed paths are not shown: a diff is at most {DIFF_BYTES_MAX} bytes long\n");
    }
    text
}

fn of_pair(host: &Tree, upper: &Tree, pair: &Pair) -> String {
    let Pair { path, lower, upper: after } = pair;
    let name = shown(path);
    let mut head = format!("diff --git a/{name} b/{name}\n");
    let line = match (lower, after) {
        (Some(old), Some(new)) if mode(old) != mode(new) => {
            format!("old mode {:06o}\nnew mode {:06o}\n", mode(old), mode(new))
        }
        (Some(old), None) => format!("deleted file mode {:06o}\n", mode(old)),
        (None, Some(new)) => format!("new file mode {:06o}\n", mode(new)),
        _ => String::new(),
    };
    head += &line;
    let old_name =
        lower.as_ref().filter(|seen| !seen.is_directory()).map_or("/dev/null".to_owned(), |_| format!("a/{name}"));
    let new_name =
        after.as_ref().filter(|seen| !seen.is_directory()).map_or("/dev/null".to_owned(), |_| format!("b/{name}"));
    match (side(host, path, lower.as_ref()), side(upper, path, after.as_ref())) {
        (Side::Binary, _) | (_, Side::Binary) => head + &format!("Binary file {name} differs\n"),
        (Side::TooLong(bytes), _) | (_, Side::TooLong(bytes)) => {
            head + &format!("File {name} differs; it is not shown, being {bytes} bytes long\n")
        }
        (Side::Unreadable, _) | (_, Side::Unreadable) => head + &format!("File {name} cannot be read\n"),
        (old, new) => head + &lines(old.text(), new.text(), (&old_name, &new_name)),
    }
}

impl Side {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::None | Self::Binary | Self::TooLong(_) | Self::Unreadable => "",
        }
    }
}

fn lines(old: &str, new: &str, (old_name, new_name): (&str, &str)) -> String {
    let diff = TextDiff::configure().timeout(TIME_MAX).diff_lines(old, new);
    diff.unified_diff().context_radius(3).header(old_name, new_name).to_string()
}

fn side(tree: &Tree, path: &str, seen: Option<&Seen>) -> Side {
    let Some(seen) = seen else { return Side::None };
    match seen.kind {
        SeenKind::Directory => Side::None,
        SeenKind::Symlink => tree.link_text(path).map_or(Side::Unreadable, Side::Text),
        SeenKind::File => match tree.read_all(path, FILE_BYTES_MAX) {
            Err(_unreadable) => Side::Unreadable,
            Ok(None) => Side::TooLong(seen.bytes),
            Ok(Some(bytes)) if bytes.contains(&0) => Side::Binary,
            Ok(Some(bytes)) => String::from_utf8(bytes).map_or(Side::Binary, Side::Text),
        },
        SeenKind::Whiteout | SeenKind::Other(_) => Side::Unreadable,
    }
}

/// The mode as git writes it, the type included.
fn mode(seen: &Seen) -> u32 {
    let kind = match seen.kind {
        SeenKind::Directory => 0o040_000,
        SeenKind::Symlink => return 0o120_000,
        SeenKind::File | SeenKind::Whiteout | SeenKind::Other(_) => 0o100_000,
    };
    kind | seen.mode
}

/// A name that cannot be mistaken for a line of a diff.
fn shown(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for letter in path.chars() {
        let written =
            if letter.is_control() { write!(text, "{}", letter.escape_default()) } else { write!(text, "{letter}") };
        // Writing to a String cannot fail.
        if written.is_err() {
            return String::new();
        }
    }
    text
}
