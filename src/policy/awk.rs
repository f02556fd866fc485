//! awk: programs on the command line that run nothing, as far as their text shows it.

use super::carry::Carried;
use super::facts::Command;
use super::word::Word;

/// Long options of gawk that load nothing.
const LONG: &[&str] = &[
    "--assign",
    "--bignum",
    "--characters-as-bytes",
    "--csv",
    "--field-separator",
    "--help",
    "--lint",
    "--non-decimal-data",
    "--optimize",
    "--posix",
    "--re-interval",
    "--sandbox",
    "--traditional",
    "--use-lc-numeric",
    "--version",
];

/// What an `awk` of any make runs.
pub(super) fn awk(command: &Command, found: &mut Vec<Carried>) {
    let mut unknown = |what: &str| found.push(Carried::Unknown(what.to_owned()));
    let mut words = command.arguments().iter();
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        if !text.starts_with('-') || text == "-" || text == "--" {
            let program = if text == "--" { words.next() } else { Some(word) };
            if program.is_some_and(|program| !program.known || program.glob || runs(&program.fixed)) {
                unknown("what this awk program runs");
            }
            return;
        }
        if text.starts_with("--") {
            if word.glob {
                return unknown("what this awk program runs");
            }
            let (name, attached) = text.split_once('=').map_or((text, false), |(name, _)| (name, true));
            if !LONG.contains(&name) {
                return unknown("what an awk program in a file or behind an option runs");
            }
            if matches!(name, "--assign" | "--field-separator") && !attached && words.next().is_some_and(Word::is_loose)
            {
                return unknown("what this awk program runs");
            }
            continue;
        }
        // In mawk, `-W exec` names a file.
        let cluster =
            text.trim_start_matches(['-', 'b', 'c', 'C', 'k', 'M', 'n', 'N', 'O', 'P', 'r', 's', 'S', 't', 'V']);
        match (cluster.chars().next(), cluster.len()) {
            (None, _) => {}
            (Some('F' | 'v'), 1) if word.known => {
                if words.next().is_some_and(Word::is_loose) {
                    return unknown("what this awk program runs");
                }
            }
            // Whatever a glob is, its value stands in each word that it becomes: `-F[:]`.
            (Some('F' | 'v'), _) if !word.splits && (!word.glob || cluster.starts_with("F[")) => {}
            _ => return unknown("what an awk program in a file or behind an option runs"),
        }
    }
}

/// Whether the text of a program may run others, load a file, or call a function by its name.
fn runs(text: &str) -> bool {
    let pipes = text.replace("||", "").contains('|');
    let calls = text.split('@').skip(1).any(|rest| {
        let rest = rest.trim_start();
        let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let (name, rest) = rest.split_at_checked(name).unwrap_or_default();
        matches!(name, "include" | "load" | "nsinclude") || !name.is_empty() && rest.trim_start().starts_with('(')
    });
    text.contains("system") || calls || pipes
}
