//! What is known about programs and variables without any file: the basics, what destroys systems,
//! what changes files. Part of the policy's digest.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::facts::Command;

/// Changes whenever these tables change a decision.
pub(crate) const VERSION: &str = "castoff tables 5";

/// Names of programs.
#[derive(Debug)]
pub(crate) struct Names(LazyLock<HashSet<&'static str>>);

/// Names separated by white space; `#` starts a comment.
macro_rules! names {
    ($file:literal) => {
        Names::new(std::sync::LazyLock::new(|| {
            let lines = include_str!($file).lines().map(|line| line.split('#').next().unwrap_or_default());
            lines.flat_map(str::split_whitespace).collect()
        }))
    };
}
pub(super) use names;

impl Names {
    /// The names of a table.
    pub(super) const fn new(names: LazyLock<HashSet<&'static str>>) -> Self {
        Self(names)
    }

    /// Whether `name` is among them.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Builtins of the shell that need no entry.
pub(crate) static BUILTINS: Names = names!("tables/builtins.txt");
/// Programs that may run when there is no list.
pub(crate) static BASICS: Names = names!("tables/basics.txt");
/// System programs that are refused unless a list names them; they have the effect `system`.
pub(crate) static DESTRUCTIVE: Names = names!("tables/destructive.txt");
/// More programs that are about the machine rather than files: they have the effect `system`.
pub(crate) static SYSTEM: Names = names!("tables/system.txt");
/// Programs that build other programs.
pub(crate) static BUILDERS: Names = names!("tables/builders.txt");
/// Programs that only read the files that they name.
pub(crate) static READERS: Names = names!("tables/readers.txt");
/// Parts of npm, by their whole names.
pub(crate) static NPM: Names = names!("tables/npm.txt");
/// Parts of git that come with it; any other is an alias or an extension.
pub(crate) static GIT: Names = names!("tables/git.txt");
/// Programs that run others in ways that are not looked into.
pub(crate) static OPAQUE: Names = names!("tables/opaque.txt");
/// Programs that reach the network whatever they are told.
pub(crate) static OUTGOING: Names = names!("tables/outgoing.txt");

/// What a command does to files, as effects of the policy's `require_approval`.
pub(crate) fn effects(command: &Command) -> Vec<&'static str> {
    let words = command.positionals();
    let first = words.first().map_or("", |word| word.fixed.as_str());
    let has = |text: &str| command.arguments().iter().any(|word| word.fixed == text);
    let recursive = command.has_option('r', "recursive") || command.has_option('R', "recursive");
    let discards = |word: &str| matches!(word, "--hard" | "--merge" | "--keep");
    let second = words.get(1).map_or("", |word| word.fixed.as_str());
    match command.name().unwrap_or_default() {
        name if SYSTEM.contains(name) || DESTRUCTIVE.contains(name) && name != "shred" => vec!["system"],
        "shred" => vec!["bulk", "delete"],
        "git" if first == "reset" && command.arguments().iter().any(|word| discards(&word.fixed)) => {
            vec!["bulk", "overwrite"]
        }
        "git" if matches!(first, "clean" | "filter-branch" | "filter-repo" | "prune") => vec!["bulk", "delete"],
        "git" if first == "stash" && matches!(second, "drop" | "clear") => vec!["bulk", "delete"],
        "git" if first == "reflog" && matches!(second, "expire" | "delete") => vec!["bulk", "delete"],
        "git" if first == "branch" && (command.has_option('D', "") || command.has_option('d', "delete")) => {
            vec!["bulk", "delete"]
        }
        "git" if first == "checkout" && (has("--") || command.has_option('f', "force")) => {
            vec!["bulk", "overwrite"]
        }
        "rm" if recursive => vec!["bulk", "delete"],
        "rm" | "rmdir" | "unlink" | "rimraf" => vec!["delete"],
        "find" if has("-delete") => vec!["bulk", "delete"],
        "git" if first == "rm" => vec!["delete"],
        "git" if matches!(first, "checkout" | "restore" | "reset" | "stash") => vec!["overwrite"],
        "rsync" if command.arguments().iter().any(|word| word.fixed.starts_with("--del")) => vec!["bulk", "delete"],
        "chmod" | "chown" | "chgrp" if recursive => vec!["bulk"],
        "mv" | "cp" | "tee" | "truncate" | "dd" | "install" | "ln" => vec!["overwrite"],
        "sed" if command.has_option('i', "in-place") => vec!["overwrite"],
        _ => Vec::new(),
    }
}

/// A suggestion, with the programs that it names.
type Suggestion = (&'static [&'static str], &'static str);

/// The nearest things that do the same, for people, the best one first.
pub(crate) fn suggestions(name: &str) -> &'static [Suggestion] {
    match name {
        "sudo" | "doas" | "su" => &[(&[], "run the command without it: a run may change every file that it sees")],
        "vi" | "vim" | "nano" | "emacs" | "ed" => &[
            (&["sed", "python3"], "change the file with `sed -i` or `python3`"),
            (&["sed"], "change the file with `sed -i`"),
            (&["python3"], "change the file with `python3`"),
        ],
        "python" | "python2" => &[(&["python3"], "python3")],
        "ag" | "ack" => &[(&["rg"], "rg"), (&["grep"], "grep -rn")],
        "wget" => &[(&["curl"], "curl")],
        "yarn" | "pnpm" => &[(&["npm"], "npm")],
        "docker" | "podman" => &[(&[], "a run is already in a container of its own")],
        "apt" | "apt-get" | "yum" | "dnf" | "apk" | "brew" => &[(&[], "the workbench image has the usual tools")],
        _ => &[],
    }
}
