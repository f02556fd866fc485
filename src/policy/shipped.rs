//! Files that virtual environments and `node_modules` bring with them, which stand for themselves, unless the script
//! may have written them.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::facts::{Command, Facts, Unknown};
use super::word::Word;

/// Where they keep their programs.
const PLACES: [&str; 4] = [".venv/bin", "venv/bin", "env/bin", "node_modules/.bin"];
/// Programs that write to files which their words name.
const WRITERS: &[&str] = &[
    "cp", "mv", "ln", "install", "dd", "tee", "rsync", "sed", "patch", "git", "curl", "wget", "scp", "sort", "uniq",
    "split", "shuf", "csplit", "xxd", "gzip", "gunzip", "bzip2", "bunzip2", "xz", "unxz", "zstd", "unzstd", "iconv",
    "openssl", "dos2unix", "xmllint",
];
/// Programs that write to files which texts among their words name.
const SCRIPTED: &[&str] = &["awk", "gawk", "mawk", "nawk", "sqlite3"];
/// Programs that write to files which others name.
const UNPACKERS: &[&str] = &["tar", "bsdtar", "unzip", "cpio", "7z", "7za"];
/// Most files of one script that are looked at.
const FILES_MAX: usize = 16;

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
    let mut files: BTreeMap<&str, &Command> = BTreeMap::new();
    for command in &facts.commands {
        let sourced = matches!(command.name(), Some("source" | "."));
        let file = command.arguments().first().filter(|word| sourced && is_activation(word)).and_then(Word::text);
        let file = file.or_else(|| command.program().filter(|program| name(program).is_some()));
        if let Some(file) = file {
            files.entry(file).or_insert(command);
        }
    }
    let many = files.len() > FILES_MAX;
    let found = files.into_iter().find(|(file, _)| many || writes(facts, file));
    let unknown = found.map(|(file, command)| Unknown {
        what: format!("what the file `{file}` runs, which this script may write"),
        span: command.span.clone(),
    });
    facts.unknowns.extend(unknown);
}

/// Whether the script may write to `file`, or to a directory that it lies in.
fn writes(facts: &Facts, file: &str) -> bool {
    let mut parts = parts(file).rev();
    let (Some(name), Some(_), Some(directory)) = (parts.next(), parts.next(), parts.next()) else { return true };
    let is_one = |part: &str| part == name || part == directory;
    // As written too, where a part of it is not known.
    let names = |word: &Word| self::parts(&word.fixed).chain(self::parts(word.raw.trim_matches('"'))).any(is_one);
    let goes = |command: &&Command| matches!(command.name(), Some("cd" | "pushd"));
    let goals = || facts.commands.iter().filter(goes).flat_map(Command::arguments);
    let (inside, anywhere) = (goals().any(names), goals().any(|word| word.text().is_none()));
    let copies = |command: &Command| {
        let words = command.arguments();
        let program = command.name().unwrap_or_default();
        if UNPACKERS.contains(&program) {
            let first = words.first().map_or("", |word| word.fixed.as_str());
            let packs = first.contains(['c', 't']) && !first.contains('x') && !first.starts_with("--");
            return !(program == "tar" && (packs || matches!(first, "--create" | "--list")));
        }
        if SCRIPTED.contains(&program) {
            return words.iter().any(|word| word.fixed.contains(name));
        }
        let target = words.last().is_some_and(|word| is_open(word) || anywhere && is_here(word));
        WRITERS.contains(&program) && (inside || target || words.iter().any(names))
    };
    let redirected = facts.redirects.iter().filter(|redirect| redirect.writes);
    redirected.map(|redirect| &redirect.target).any(|target| names(target) || is_open(target))
        || facts.commands.iter().any(copies)
}

/// The last part of a path as written.
fn last(word: &Word) -> &str {
    word.raw.rsplit('/').next().unwrap_or_default().trim_matches('"')
}

/// Whether the last part of a path may be any.
fn is_open(word: &Word) -> bool {
    word.text().is_none() && (last(word).is_empty() || last(word).contains(['$', '`', '*', '?', '[', '(']))
}

/// Whether a path is a directory in which what is copied keeps its name.
fn is_here(word: &Word) -> bool {
    matches!(last(word), "." | ".." | "")
}

/// The names that a path is made of.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    Path::new(path).components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    })
}
