//! Files that virtual environments and `node_modules` bring with them, which stand for themselves, unless the script may
//! have written them.

use std::path::{Component, Path};

use super::facts::{Command, Facts, Unknown};
use super::word::Word;

/// Where they keep their programs.
const PLACES: [&str; 4] = [".venv/bin", "venv/bin", "env/bin", "node_modules/.bin"];
/// Programs that write to files which their words name.
const WRITERS: &[&str] = &[
    "cp", "mv", "ln", "install", "dd", "tee", "rsync", "sed", "patch", "git", "curl", "wget", "scp", "sort", "uniq",
    "split", "shuf", "csplit", "xxd",
];
/// Programs that write to files which others name.
const UNPACKERS: &[&str] = &["tar", "bsdtar", "unzip", "cpio", "7z", "7za"];

/// The name of a program that stands there.
pub(super) fn name(program: &str) -> Option<&str> {
    let (place, name) = program.rsplit_once('/')?;
    let above = program.split('/').any(|part| part == "..");
    (!above && PLACES.iter().any(|shipped| place.ends_with(shipped))).then_some(name)
}

/// Whether a file is the one that every virtual environment of Python has.
pub(super) fn is_activation(word: &Word) -> bool {
    word.text().is_some_and(|path| path.ends_with("/bin/activate") && !path.split('/').any(|part| part == ".."))
}

/// Adds what such files run that the script may have written.
pub(super) fn doubts(facts: &mut Facts) {
    let runs = |command: &Command| {
        let sourced = matches!(command.name(), Some("source" | "."));
        let file = command.arguments().first().filter(|word| sourced && is_activation(word));
        let file = file.and_then(Word::text).or_else(|| command.program().filter(|program| name(program).is_some()))?;
        writes(facts, file).then(|| Unknown {
            what: format!("what the file `{file}` runs, which this script may write"),
            span: command.span.clone(),
        })
    };
    let found: Vec<Unknown> = facts.commands.iter().filter_map(runs).take(1).collect();
    facts.unknowns.extend(found);
}

/// Whether the script may write to `file`, or to a directory that it lies in.
fn writes(facts: &Facts, file: &str) -> bool {
    let mut parts = parts(file).rev();
    let (Some(name), Some(_), Some(directory)) = (parts.next(), parts.next(), parts.next()) else { return true };
    let names = |word: &Word| self::parts(&word.fixed).any(|part| part == name || part == directory);
    // Of a word that is not known the last part may be.
    let last = |word: &Word| word.raw.rsplit('/').next().unwrap_or_default().trim_matches('"').to_owned();
    let open = |word: &Word| {
        word.text().is_none() && (last(word).is_empty() || last(word).contains(['$', '`', '*', '?', '[', '(']))
    };
    let here = |word: &Word| matches!(last(word).as_str(), "." | ".." | "");
    let goes = |known: bool| {
        facts.commands.iter().filter(|command| matches!(command.name(), Some("cd" | "pushd"))).any(|command| {
            command.arguments().iter().any(|word| if known { names(word) } else { word.text().is_none() })
        })
    };
    let (inside, anywhere) = (goes(true), goes(false));
    let copies = |command: &Command| {
        let words = command.arguments();
        match command.name() {
            Some(writer) if WRITERS.contains(&writer) => {
                let target = words.last().is_some_and(|word| open(word) || anywhere && here(word));
                inside || words.iter().any(names) || target
            }
            Some(unpacker) if UNPACKERS.contains(&unpacker) => {
                let first = words.first().map_or("", |word| word.fixed.as_str());
                !(unpacker == "tar" && first.contains(['c', 't']) && !first.contains('x'))
            }
            Some(_) | None => false,
        }
    };
    let redirected = facts.redirects.iter().filter(|redirect| redirect.writes);
    redirected.map(|redirect| &redirect.target).any(|target| names(target) || open(target))
        || facts.commands.iter().any(copies)
}

/// The names that a path is made of.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    Path::new(path).components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    })
}
