//! What `find` runs and writes: `-exec` and its kin, and words that may turn out to be one of them.

use super::carry::{Carried, placeholder};
use super::word::Word;

/// Tests, actions and options that take the next word, whatever it looks like.
const VALUED: &[&str] = &[
    "-D",
    "-amin",
    "-anewer",
    "-atime",
    "-cmin",
    "-cnewer",
    "-context",
    "-ctime",
    "-fstype",
    "-gid",
    "-group",
    "-ilname",
    "-iname",
    "-inum",
    "-ipath",
    "-iregex",
    "-iwholename",
    "-links",
    "-lname",
    "-maxdepth",
    "-mindepth",
    "-mmin",
    "-mtime",
    "-name",
    "-path",
    "-perm",
    "-printf",
    "-regex",
    "-regextype",
    "-samefile",
    "-size",
    "-type",
    "-uid",
    "-used",
    "-user",
    "-wholename",
    "-xtype",
];

/// What a `find` with these words runs and writes.
pub(super) fn find(arguments: &[Word]) -> Vec<Carried> {
    let mut found = Vec::new();
    let mut words = arguments.iter().peekable();
    // Words that may be `-exec`, with a program behind them; and what that or others like it make unknown.
    let (mut open, mut unknown) = (false, false);
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        unknown |= word.splits || names_all(word) || word.text().is_none() && text.starts_with('-');
        match text {
            "-exec" | "-execdir" | "-ok" | "-okdir" if word.known => {
                let command = command(&mut words);
                unknown |= open || may_end_early(&command);
                found.push(placeholder(command, "{}", "find"));
            }
            "-fprintf" => {
                found.extend(words.next().cloned().map(Carried::Writes));
                words.next();
            }
            "-fprint" | "-fls" | "-fprint0" => found.extend(words.next().cloned().map(Carried::Writes)),
            _ if VALUED.contains(&text) || text.starts_with("-newer") => {
                unknown |= words.next().is_some_and(|value| value.splits || names_all(value));
            }
            ";" | "+" => unknown |= open,
            // Names from a file may begin with a `-`, which those of the command line do not.
            "-files0-from" => unknown = true,
            _ if word.may_be_option() => {
                open |= words.peek().is_some_and(|next| !next.fixed.starts_with('-'));
            }
            _ => {}
        }
    }
    if unknown {
        found.push(Carried::Unknown("what `find` runs where words are not known".to_owned()));
    }
    found
}

/// Whether a glob may become several words, one of them `-exec`.
fn names_all(word: &Word) -> bool {
    word.glob && word.may_be_option() && !keeps_dot(&word.fixed)
}

/// Whether whatever fits a glob has a dot in it, as no action has.
fn keeps_dot(glob: &str) -> bool {
    let mut rest = glob.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '.' => return true,
            '(' => return false,
            '[' => {
                rest.next_if(|c| matches!(c, '!' | '^'));
                rest.next_if_eq(&']');
                // A class inside of it has brackets of its own.
                if rest.by_ref().find(|c| matches!(c, ']' | '[')) != Some(']') {
                    return false;
                }
            }
            _ => {}
        }
    }
    false
}

/// The words up to the one that ends a command.
fn command<'a>(words: &mut impl Iterator<Item = &'a Word>) -> Vec<Word> {
    let mut command: Vec<Word> = Vec::new();
    for word in words {
        // A `+` ends it after `{}` alone.
        let marked = command.last().is_some_and(|last| last.fixed == "{}");
        if word.fixed == ";" || word.fixed == "+" && marked {
            break;
        }
        command.push(word.clone());
    }
    command
}

/// Whether a word of a command may be the `;` that ends it, with another one behind.
fn may_end_early(command: &[Word]) -> bool {
    let open = |word: &Word| !word.known && (word.splits || word.fixed.is_empty());
    let first = command.iter().position(open);
    let rest = first.and_then(|at| command.get(at + 1..)).unwrap_or_default();
    let another = |word: &Word| open(word) || word.fixed.starts_with("-exec") || word.fixed.starts_with("-ok");
    command.iter().any(|word| word.splits) || rest.iter().any(another)
}
