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
        // The old style: `tar xIf ./program a.tar`.
        "tar"
            if command
                .arguments()
                .first()
                .is_some_and(|word| !word.fixed.starts_with('-') && word.fixed.contains(['I', 'F'])) =>
        {
            found.push(Carried::Unknown("what `tar` runs".to_owned()))
        }
        "sed" => sed(command, &mut found),
        "sqlite3" if command.arguments().iter().any(|word| !word.known || word.fixed.trim_start().starts_with('.')) => {
            found.push(Carried::Unknown("what dot-commands of `sqlite3` run".to_owned()));
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
    let first = words.first().copied();
    let own: Vec<&Word> =
        command.arguments().iter().take_while(|w| !first.is_some_and(|f| std::ptr::eq(*w, f))).collect();
    for (option, setting) in own.iter().zip(own.iter().skip(1)) {
        if option.fixed == "-c" && !(setting.known && harmless_setting(&setting.fixed)) {
            unknown("what a setting given by `git -c` runs");
        }
    }
    if command.arguments().iter().any(|word| word.fixed.starts_with("ext::") || word.fixed.starts_with("fd::")) {
        unknown("what git runs for an `ext::` address");
    }
    let output = |word: &Word| word.fixed.strip_prefix("--output=").map(Word::of);
    let outputs: Vec<Word> = command.arguments().iter().filter_map(output).collect();
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
        Some("clone") if command.has_option('u', "upload-pack") => {
            unknown("what `git clone -u` runs");
        }
        Some(name) if !GIT.contains(&name) => unknown(&format!("what `git {name}` runs (an alias or an extension)")),
        None if !words.is_empty() => unknown("which part of git runs"),
        Some(_) | None => {}
    }
    found.extend(outputs.into_iter().map(Carried::Writes));
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
    let mut scripts: Vec<Word> = Vec::new();
    let mut first = None;
    let mut words = command.arguments().iter();
    while let Some(word) = words.next() {
        let text = word.fixed.as_str();
        let part = |text: &str| Word { fixed: text.to_owned(), ..word.clone() };
        if let Some(value) = text.strip_prefix("--expression=") {
            scripts.push(part(value));
        } else if text.starts_with("--e") {
            scripts.extend(words.next().cloned());
        } else if text.starts_with("--f") {
            return found.push(Carried::Unknown("what the sed script in a file runs".to_owned()));
        } else if let Some(cluster) = text.strip_prefix('-').filter(|rest| !rest.is_empty() && !rest.starts_with('-')) {
            let rest = cluster.trim_start_matches(['n', 'E', 'r', 's', 'u', 'z']);
            match (rest.strip_prefix('e'), rest.starts_with('f')) {
                (Some(""), _) => scripts.extend(words.next().cloned()),
                (Some(script), _) => scripts.push(part(script)),
                (None, true) => return found.push(Carried::Unknown("what the sed script in a file runs".to_owned())),
                (None, false) => {}
            }
        } else if !text.starts_with('-') && first.is_none() {
            first = Some(word.clone());
        }
    }
    if scripts.is_empty() {
        scripts.extend(first);
    }
    for script in scripts {
        let text = if script.known { Some(script.fixed.clone()) } else { blanked(&script.raw) };
        match text.and_then(|text| super::sed::effects(&text)) {
            Some(files) => found.extend(files.iter().map(|file| Carried::Writes(Word::of(file)))),
            None => found.push(Carried::Unknown("what this sed script runs".to_owned())),
        }
    }
}

/// A double-quoted text with an `x` for each variable; `None` when commands or more stand in it.
fn blanked(raw: &str) -> Option<String> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains("$(") || inner.contains(['`', '"', '\\']) {
        return None;
    }
    let mut parts = inner.split('$');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => {
                part.split_at_checked(part.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(part.len()))?
            }
        };
        text.push(if name.is_empty() { '$' } else { 'x' });
        text.push_str(rest);
    }
    Some(text)
}
