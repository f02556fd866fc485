//! sqlite3: what its dot-commands and functions run, on the command line and on its input.

use super::carry::Carried;
use super::facts::Command;

/// Options that take the next word; the second of `-lookaside` and `-pagecache` is a number too.
const VALUED: &[&str] =
    &["-cmd", "-maxsize", "-mmap", "-newline", "-nonce", "-nullvalue", "-separator", "-vfs", "-escape"];

/// What a `sqlite3` runs.
pub(super) fn sqlite(command: &Command, found: &mut Vec<Carried>) {
    let mut unknown = |what: &str| found.push(Carried::Unknown(what.to_owned()));
    let mut words = command.arguments().iter();
    let mut given = 0;
    let mut opened = true;
    while let Some(word) = words.next() {
        let option = word.fixed.replacen("--", "-", 1);
        if word.text().is_none_or(runs) {
            return unknown("what dot-commands or functions of `sqlite3` run");
        }
        match option.as_str() {
            "-init" | "-lookaside" | "-pagecache" | "-sessionlimit" | "-unsafe-testing" => {
                return unknown("what the file given to `sqlite3` runs");
            }
            "-version" | "-help" => opened = false,
            _ if VALUED.contains(&option.as_str()) => {
                if words.next().is_some_and(|word| word.text().is_none_or(runs)) {
                    return unknown("what dot-commands or functions of `sqlite3` run");
                }
            }
            _ if option.starts_with('-') => {}
            _ => given += 1,
        }
    }
    // Without commands among its words it reads them.
    let read = command.input.as_deref().filter(|text| command.exact || !text.contains(['$', '`']));
    if opened && given < 2 && read.is_none_or(|text| text.trim_matches(['\'', '"']).lines().any(runs)) {
        unknown("what the input makes `sqlite3` run");
    }
}

/// Whether it is a command that may do more than show, or calls what loads or runs a program.
fn runs(text: &str) -> bool {
    const SHOW: &[&str] = &[
        ".tables",
        ".schema",
        ".headers",
        ".mode",
        ".databases",
        ".indexes",
        ".dump",
        ".width",
        ".help",
        ".quit",
        ".exit",
        ".timer",
        ".nullvalue",
        ".separator",
        ".bail",
        ".changes",
        ".echo",
        ".print",
    ];
    let text = text.trim();
    let name = text.split_whitespace().next().unwrap_or_default();
    let dot =
        name.starts_with('.') && !name.starts_with("./") && (text.contains(['\n', '|', ';']) || !SHOW.contains(&name));
    let lower = text.to_ascii_lowercase();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let edits = lower.split("edit").skip(1).any(|rest| !rest.starts_with(part) && rest.contains('('));
    dot || lower.contains("load_extension") || edits
}
