//! Options and small languages of ordinary programs that run other programs or write files:
//! `git -c`, `sort --compress-program`, `tar --to-command`, awk's `system`, sed's `e` and `w`.

use super::carry::Carried;
use super::facts::{Command, long_matches};
use super::word::Word;

/// Long options that execute, by program; abbreviations count.
const LONG: [(&str, &[&str]); 15] = [
    ("sort", &["compress-program"]),
    (
        "tar",
        &[
            "to-command",
            "checkpoint-action",
            "use-compress-program",
            "rsh-command",
            "rmt-command",
            "info-script",
            "new-volume-script",
        ],
    ),
    (
        "git",
        &[
            "upload-pack",
            "receive-pack",
            "exec",
            "exec-path",
            "config-env",
            "ext-diff",
            "open-files-in-pager",
            "extcmd",
            "tool",
            "textconv",
        ],
    ),
    ("rg", &["pre", "hostname-bin"]),
    ("fd", &["exec", "exec-batch"]),
    ("fdfind", &["exec", "exec-batch"]),
    ("split", &["filter"]),
    ("zip", &["unzip-command"]),
    ("diff3", &["diff-program"]),
    ("sdiff", &["diff-program"]),
    ("cpio", &["rsh-command", "to-command"]),
    ("rsync", &["rsh", "rsync-path"]),
    ("man", &["pager", "html"]),
    ("node", &["require", "import", "loader", "experimental-loader"]),
    ("install", &["strip-program"]),
];

/// Short options that execute, by program.
const SHORT: [(&str, &str); 9] = [
    ("tar", "IF"),
    ("git", ""),
    ("zip", ""),
    ("rsync", "e"),
    ("fd", "xX"),
    ("fdfind", "xX"),
    ("man", "PH"),
    ("scp", "SoF"),
    ("ssh", "oF"),
];

/// What `command` runs or writes through its options.
pub(crate) fn executing(name: &str, command: &Command) -> Vec<Carried> {
    let mut found = Vec::new();
    let long = LONG.iter().filter(|(program, _)| *program == name).flat_map(|(_, long)| *long);
    for option in long {
        let hit = command.arguments().iter().take_while(|word| word.fixed != "--").any(|word| {
            word.fixed.strip_prefix("--").is_some_and(|text| {
                let exact_only = matches!(*option, "tool" | "exec" | "pre" | "html" | "import" | "require");
                let written = text.split_once('=').map_or(text, |(name, _)| name);
                if exact_only { written == *option } else { written.len() > 2 && long_matches(text, option) }
            })
        });
        if hit {
            found.push(Carried::Unknown(format!("what `{name} --{option}` runs")));
        }
    }
    let short = SHORT.iter().find(|(program, _)| *program == name).map_or("", |(_, letters)| *letters);
    if let Some(letter) = short.chars().find(|letter| command.has_option(*letter, "")) {
        found.push(Carried::Unknown(format!("what `{name} -{letter}` runs")));
    }
    match name {
        "git" => git(command, &mut found),
        "awk" | "gawk" | "mawk" | "nawk" => awk(command, &mut found),
        "sed" => sed(command, &mut found),
        "sqlite3" => {
            if command.arguments().iter().any(|word| !word.known || word.fixed.trim_start().starts_with('.')) {
                found.push(Carried::Unknown("what dot-commands of `sqlite3` run".to_owned()));
            }
        }
        "zip" if command.has_option('\0', "unzip-command") || has_word(command, "-TT") => {
            found.push(Carried::Unknown("what `zip -TT` runs".to_owned()));
        }
        _ => {}
    }
    found
}

fn has_word(command: &Command, text: &str) -> bool {
    command.arguments().iter().any(|word| word.fixed == text)
}

/// Settings of git that run nothing.
fn harmless_setting(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.split_once('=').map_or(key.as_str(), |(key, _)| key);
    ["user.", "color.", "advice.", "log.", "author.", "committer.", "status.", "column."]
        .iter()
        .any(|p| key.starts_with(p))
        || matches!(
            key,
            "init.defaultbranch"
                | "core.quotepath"
                | "core.autocrlf"
                | "core.eol"
                | "core.filemode"
                | "core.ignorecase"
                | "pull.rebase"
                | "pull.ff"
                | "push.default"
                | "push.autosetupremote"
                | "merge.conflictstyle"
                | "commit.gpgsign"
                | "tag.gpgsign"
                | "diff.renames"
                | "diff.algorithm"
                | "rerere.enabled"
                | "fetch.prune"
                | "safe.directory"
                | "gc.auto"
        )
}

fn git(command: &Command, found: &mut Vec<Carried>) {
    let mut unknown = |what: &str| found.push(Carried::Unknown(what.to_owned()));
    let words = command.positionals();
    let part = |index: usize| words.get(index).and_then(|word| word.pattern()).unwrap_or_default();
    let subcommand = words.first().and_then(|word| word.text());
    let mut arguments = command.arguments().iter();
    while let Some(word) = arguments.next() {
        if !word.known && word.fixed.is_empty() && subcommand.is_none() {
            break;
        }
        if word.fixed == "-c" && !matches!(subcommand, Some("commit" | "switch" | "log" | "diff" | "show"))
            || word.fixed == "-c" && std::ptr::eq(word, command.arguments().first().unwrap_or(word))
        {
            let setting = arguments.next();
            if !setting.is_some_and(|setting| harmless_setting(&setting.fixed)) {
                unknown("what a setting given by `git -c` runs");
            }
        }
        if word.fixed.starts_with("ext::") || word.fixed.starts_with("fd::") {
            unknown("what git runs for an `ext::` address");
        }
    }
    match subcommand {
        Some("config") => {
            let key = words.iter().skip(1).find(|word| !word.known || word.fixed.contains('.'));
            let reads = command.has_option('l', "list")
                || ["get", "get-all", "get-regexp", "unset", "unset-all"]
                    .iter()
                    .any(|o| has_word(command, &format!("--{o}")))
                || words.len() <= 2 && !command.has_option('e', "edit")
                || matches!(part(1), "get" | "list");
            if !reads && !key.is_some_and(|key| key.known && harmless_setting(&key.fixed)) {
                unknown("what this setting of git runs later");
            }
        }
        Some("bisect") if part(1) == "run" => {
            let start = command.arguments().iter().position(|word| word.fixed == "run").map_or(0, |at| at + 1);
            let rest: Vec<Word> = command.arguments().iter().skip(start).cloned().collect();
            found.push(Carried::Command(rest));
        }
        Some("rebase") if command.has_option('x', "exec") => unknown("what `git rebase --exec` runs"),
        Some("submodule") if part(1) == "foreach" => unknown("what `git submodule foreach` runs"),
        Some("filter-branch" | "difftool" | "mergetool" | "instaweb" | "hook" | "maintenance" | "daemon" | "shell") => {
            unknown("what this part of git runs");
        }
        Some("grep") if command.has_option('O', "open-files-in-pager") => unknown("what `git grep -O` runs"),
        Some("clone" | "fetch" | "ls-remote" | "pull")
            if command.has_option('u', "upload-pack") && subcommand == Some("clone") =>
        {
            unknown("what `git clone -u` runs");
        }
        Some(name) if !GIT.contains(&name) => unknown(&format!("what `git {name}` runs (an alias or an extension)")),
        None if !words.is_empty() => unknown("which part of git runs"),
        Some(_) | None => {}
    }
}

const GIT: &[&str] = &[
    "add",
    "am",
    "annotate",
    "apply",
    "archive",
    "bisect",
    "blame",
    "branch",
    "bundle",
    "cat-file",
    "check-attr",
    "check-ignore",
    "check-mailmap",
    "checkout",
    "checkout-index",
    "cherry",
    "cherry-pick",
    "clean",
    "clone",
    "column",
    "commit",
    "commit-graph",
    "commit-tree",
    "config",
    "count-objects",
    "describe",
    "diff",
    "diff-files",
    "diff-index",
    "diff-tree",
    "fast-export",
    "fast-import",
    "fetch",
    "for-each-ref",
    "format-patch",
    "fsck",
    "gc",
    "grep",
    "hash-object",
    "help",
    "index-pack",
    "init",
    "interpret-trailers",
    "log",
    "ls-files",
    "ls-remote",
    "ls-tree",
    "merge",
    "merge-base",
    "merge-file",
    "merge-tree",
    "mktag",
    "mktree",
    "mv",
    "name-rev",
    "notes",
    "pack-objects",
    "pack-refs",
    "prune",
    "pull",
    "push",
    "range-diff",
    "read-tree",
    "rebase",
    "reflog",
    "remote",
    "repack",
    "replace",
    "request-pull",
    "rerere",
    "reset",
    "restore",
    "rev-list",
    "rev-parse",
    "revert",
    "rm",
    "send-email",
    "shortlog",
    "show",
    "show-branch",
    "show-ref",
    "sparse-checkout",
    "stage",
    "stash",
    "status",
    "stripspace",
    "submodule",
    "switch",
    "symbolic-ref",
    "tag",
    "unpack-file",
    "unpack-objects",
    "update-index",
    "update-ref",
    "var",
    "verify-commit",
    "verify-pack",
    "verify-tag",
    "version",
    "whatchanged",
    "worktree",
    "write-tree",
];

fn awk(command: &Command, found: &mut Vec<Carried>) {
    let mut unknown = |what: &str| found.push(Carried::Unknown(what.to_owned()));
    let mut words = command.arguments().iter();
    let mut program_seen = false;
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        match text {
            "-F" | "-v" | "--assign" | "--field-separator" => drop(words.next()),
            _ if text.starts_with("-f")
                || text.starts_with("--file")
                || text.starts_with("-i")
                || text.starts_with("-l") =>
            {
                return unknown("what the awk program in a file runs");
            }
            _ if text.starts_with("-e") || text.starts_with("--source") => {
                return unknown("what `awk --source` runs");
            }
            _ if text.starts_with('-') && text.len() > 1 => {}
            _ if !program_seen => {
                program_seen = true;
                if !word.known {
                    return unknown("what this awk program runs");
                }
                let pipes = text.replace("||", "").contains('|');
                if text.contains("system") || text.contains('@') && text.contains("load") || pipes {
                    return unknown("what this awk program runs");
                }
            }
            _ => {}
        }
    }
}

fn sed(command: &Command, found: &mut Vec<Carried>) {
    let mut scripts = Vec::new();
    let mut words = command.arguments().iter();
    let (mut first, mut given) = (None, false);
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        let value =
            text.strip_prefix("--expression=").or_else(|| text.strip_prefix("-e").filter(|rest| !rest.is_empty()));
        if let Some(value) = value {
            given = true;
            scripts.push((value.to_owned(), word.known));
        } else if text == "--expression" || text.starts_with('-') && !text.starts_with("--") && text.ends_with('e') {
            given = true;
            scripts.extend(words.next().map(|word| (word.fixed.clone(), word.known)));
        } else if text.starts_with("--file") || text.starts_with('-') && !text.starts_with("--") && text.contains('f') {
            return found.push(Carried::Unknown("what the sed script in a file runs".to_owned()));
        } else if !text.starts_with('-') && first.is_none() {
            first = Some((text.to_owned(), word.known));
        }
    }
    if !given {
        scripts.extend(first);
    }
    for (script, known) in scripts {
        match super::sed::effects(&script) {
            // A dynamic part inside one `s` may still hold a flag, but the text before it is plain.
            Some(_) if !known && !script.starts_with('s') => {
                found.push(Carried::Unknown("what this sed script runs".to_owned()));
            }
            Some(files) => found.extend(files.iter().map(|file| Carried::Writes(Word::of(file)))),
            None if !known && script.starts_with('s') => {}
            None => found.push(Carried::Unknown("what this sed script runs".to_owned())),
        }
    }
}
