//! Files that a script writes and then runs: the text of a here-document that becomes a script, and
//! who wrote what is run (`curl -o x && sh x` is `curl | sh`).

use std::path::Path;

use super::carry::{Carried, is_shell};
use super::facts::{Command, Facts, Feed, Redirect, base_name};
use super::word::Word;

/// Most files that are followed.
const FILES_MAX: usize = 64;

/// Commands that change no file that was written before; after any other nothing is known.
const HARMLESS: &[&str] = &[
    "chmod", "mkdir", "ls", "echo", "printf", "export", "set", "true", ":", "pwd", "grep", "wc", "head", "tail",
    "date", "sleep", "test", "[", "cat", "bash", "sh", "dash", "which", "local", "return", "exit",
];

/// Commands that write to files which their words name.
const WRITERS: &[&str] = &["cp", "mv", "ln", "install", "dd", "sed", "tee", "rsync", "truncate"];

/// Modes of `chmod` with which a file can still be written.
const RUNNABLE: &[&str] =
    &["+x", "a+x", "u+x", "ug+x", "+rx", "u+rwx", "755", "0755", "700", "0700", "775", "777", "744", "750"];

/// The files whose text is known.
#[derive(Debug, Default)]
pub(super) struct Written {
    files: Vec<(String, String)>,
    /// How often something was forgotten.
    forgot: usize,
    /// How often one was written to whose text was known.
    rewritten: usize,
    /// How often a file was asked for.
    asked: usize,
    /// How many conditions, pipelines and the like stand around: what is written there may not be.
    pub(super) branches: usize,
    /// How many texts of other shells stand around: what is written there may be elsewhere.
    pub(super) inner: usize,
    /// How many loops, functions and the like stand around: what comes later may run before. And how much else may
    /// change files, or keep them from being written, for good.
    pub(super) repeats: usize,
}

impl Written {
    /// What to give to `raced` later.
    pub(super) fn watch(&self) -> (usize, usize) {
        (self.asked, self.forgot)
    }

    /// Whether something was run, and something may have changed, since `watch` gave `before`.
    pub(super) fn raced(&self, before: (usize, usize)) -> bool {
        self.asked != before.0 && self.forgot != before.1
    }

    /// How often something was written to a file whose text was known.
    pub(super) fn rewritten(&self) -> usize {
        self.rewritten
    }

    fn forget(&mut self, kept: impl Fn(&str) -> bool) {
        let known = self.files.len();
        self.files.retain(|(path, _)| kept(path));
        self.forgot += usize::from(self.files.len() != known);
    }

    /// Forgets the file `target`, which is written, wherever it may be said to lie.
    pub(super) fn changed(&mut self, target: &Word) {
        let (known, name) = (self.files.len(), target.text().map(last_name));
        self.forget(|path| name.is_some_and(|name| name != last_name(path)));
        self.rewritten += usize::from(self.files.len() != known);
    }

    /// Notes what a simple command writes, a text that it only `copied` above all, and forgets what it may change.
    pub(super) fn command(&mut self, words: &[Word], copied: Option<(String, String)>, redirects: &[Redirect]) {
        let name = words.first().and_then(Word::text).unwrap_or_default();
        let writes: Vec<&Word> = redirects.iter().filter(|one| one.writes).map(|one| &one.target).collect();
        writes.iter().for_each(|target| self.changed(target));
        let certain = self.branches + self.repeats + self.inner == 0 && self.files.len() < FILES_MAX;
        if let Some((path, text)) = copied.filter(|(path, _)| certain && is_kept(path)) {
            self.files.push((plain(&path).to_owned(), text));
        }
        if changes_shell(name, words, !writes.is_empty()) {
            self.repeats += 1;
        }
        match name {
            "cd" | "pushd" | "popd" => self.forget(|path| path.starts_with('/')),
            "tee" if words.iter().all(|word| word.text().is_some()) => {
                words.iter().for_each(|target| self.changed(target));
            }
            _ if HARMLESS.contains(&name) || words.first().is_none_or(|word| self.find(word).is_some()) => {}
            _ => {
                let writer = WRITERS.contains(&name);
                let named = |word: &Word| {
                    !word.known && writer || self.files.iter().any(|(path, _)| word.fixed.contains(last_name(path)))
                };
                self.rewritten += usize::from(words.iter().skip(1).any(named));
                self.forget(|_| false);
            }
        }
    }

    /// The text of the file `word`, when the script itself wrote it.
    pub(super) fn text(&mut self, word: &Word) -> Option<String> {
        let text = self.find(word).filter(|_| self.repeats == 0)?.to_owned();
        self.asked += 1;
        Some(text)
    }

    fn find(&self, word: &Word) -> Option<&str> {
        let path = plain(word.text()?);
        self.files.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str())
    }

    /// What `command` runs when its program is a file that the script itself wrote.
    pub(super) fn run(&mut self, command: &Command) -> Option<Carried> {
        let program = command.words.first()?;
        let text = self.text(program).filter(|_| program.fixed.contains('/'))?;
        let line = text.strip_prefix("#!").and_then(|rest| rest.lines().next());
        let parts: Vec<&str> = line.unwrap_or("/bin/sh").split_whitespace().collect();
        let interpreter = match parts.as_slice() {
            [env, name] if base_name(env) == "env" => base_name(name),
            [name] => base_name(name),
            _ => return Some(Carried::Unknown(format!("what runs `{}`", program.fixed))),
        };
        if is_shell(interpreter) {
            return Some(Carried::File(program.clone(), interpreter.to_owned()));
        }
        let mut words = vec![Word::of(interpreter)];
        words.extend(command.words.iter().cloned());
        Some(Carried::Command(words))
    }
}

fn plain(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

/// Whether a file holds what is written to it: those of devices and processes, wherever they are said to lie, do not.
fn is_kept(path: &str) -> bool {
    let name = last_name(path);
    let path = super::paths::normal(Path::new(path));
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    let device = matches!(name, "stdin" | "stdout" | "stderr" | "tty" | "null" | "zero" | "full" | "console" | "ptmx");
    !number && !device && !path.starts_with("/dev") && !path.starts_with("/proc")
}

/// The last part of a path that may be a directory.
fn last_name(path: &str) -> &str {
    base_name(path.trim_end_matches('/'))
}

/// Whether later files may not become what is written to them: they stay as they are, or others write to them.
fn changes_shell(name: &str, words: &[Word], writes: bool) -> bool {
    let known = |text: &str| {
        let letters = text.strip_prefix(['-', '+']);
        matches!(text, "pipefail" | "errexit" | "nounset" | "xtrace")
            || letters.is_some_and(|letters| letters.chars().all(|c| "euxov".contains(c)))
    };
    let arguments = words.iter().skip(1);
    match name {
        "exec" | "command" | "builtin" | "eval" => writes,
        "set" => !arguments.take_while(|word| word.fixed != "--").all(|word| word.text().is_some_and(known)),
        "trap" => arguments.skip(1).any(|word| !matches!(word.text(), Some("EXIT" | "0" | "INT" | "TERM" | "HUP"))),
        "chmod" => !words.get(1).and_then(Word::text).is_some_and(|mode| RUNNABLE.contains(&mode)),
        "cp" => words.iter().any(|word| word.fixed.starts_with('-') && word.fixed.contains(['l', 's', 'a', 'd', 'P'])),
        "ulimit" | "umask" | "ln" | "link" | "mkfifo" | "mount" | "chattr" | "setfacl" => true,
        _ => false,
    }
}

/// Adds a feed for each file that some commands write and a later one reads as a program.
pub(super) fn feeds(facts: &mut Facts) {
    let mut writers: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    let mut found = Vec::new();
    for (at, command) in facts.commands.iter().enumerate() {
        let name = command.name().unwrap_or_default();
        let by = |word: &Word| -> Vec<std::ops::Range<usize>> {
            let file = base_name(&word.fixed);
            let of = writers.iter().filter(|(known, _)| known == file && !file.is_empty());
            of.map(|(_, range)| range.clone()).collect()
        };
        let runs = command.words.first().into_iter().flat_map(by).map(|from| (from, true));
        let reads = command.arguments().iter().filter(|_| is_shell(name) || matches!(name, "source" | "."));
        let reads = reads.flat_map(by).map(|from| (from, false));
        found.extend(runs.chain(reads).map(|(from, runs)| Feed { from, to: at..at + 1, runs }));
        let moved = matches!(name, "cp" | "mv" | "ln" | "install" | "cat" | "tee");
        let passed: Vec<_> = command.arguments().iter().filter(|_| moved).flat_map(by).collect();
        let mut written = outputs(command);
        let targets = facts.redirects.iter().filter(|redirect| redirect.writes && redirect.of.contains(&at));
        written.extend(targets.map(|redirect| redirect.target.fixed.clone()));
        if moved && !passed.is_empty() {
            written.extend(command.positionals().last().map(|word| word.fixed.clone()));
        }
        let fed = facts.feeds.iter().filter(|feed| feed.to.contains(&at)).map(|feed| feed.from.clone());
        let sources: Vec<_> = fed.chain(passed).chain(std::iter::once(at..at + 1)).collect();
        for path in written.iter().filter(|path| !path.starts_with("/dev/")) {
            let file = base_name(path).to_owned();
            if writers.len() < FILES_MAX {
                writers.extend(sources.iter().take(8).map(|source| (file.clone(), source.clone())));
            }
        }
    }
    facts.feeds.extend(found);
}

/// Files that a command is told to write what it fetches or copies.
fn outputs(command: &Command) -> Vec<String> {
    let name = command.name().unwrap_or_default();
    let mut found = Vec::new();
    if name == "tee" {
        found.extend(command.positionals().iter().map(|word| word.fixed.clone()));
    }
    if !super::outgoing::is_outgoing(command) {
        return found;
    }
    let mut words = command.arguments().iter();
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        if let Some(path) = text.strip_prefix("--output=").or_else(|| text.strip_prefix("--output-document=")) {
            found.push(path.to_owned());
        } else if let Some(at) = text.find(['o', 'O']).filter(|_| text.starts_with('-') && !text.starts_with("--")) {
            match text.get(at + 1..).filter(|rest| !rest.is_empty()) {
                Some(path) => found.push(path.to_owned()),
                None => found.extend(words.clone().next().map(|word| word.fixed.clone())),
            }
        } else if matches!(text, "--output" | "--output-document" | "--out") {
            found.extend(words.next().map(|word| word.fixed.clone()));
        } else if !text.starts_with('-') && text.contains('/') {
            // Under the name that it has there.
            found.push(text.split(['?', '#']).next().unwrap_or_default().to_owned());
        }
    }
    found
}
