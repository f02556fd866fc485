//! What git runs: settings on the command line, aliases, extensions, and options that execute.

use super::carry::Carried;
use super::facts::{Command, base_name};
use super::tables::GIT;
use super::word::Word;

/// Options of git itself, all of whose values [`Command::positionals`] knows.
const OWN: &[&str] = &[
    "-C",
    "-c",
    "-p",
    "-P",
    "-v",
    "-h",
    "--git-dir",
    "--work-tree",
    "--namespace",
    "--exec-path",
    "--paginate",
    "--no-pager",
    "--no-replace-objects",
    "--no-lazy-fetch",
    "--no-optional-locks",
    "--no-advice",
    "--bare",
    "--literal-pathspecs",
    "--glob-pathspecs",
    "--noglob-pathspecs",
    "--icase-pathspecs",
    "--version",
    "--help",
    "--html-path",
    "--man-path",
    "--info-path",
];

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

/// Options of `git config` that take the next word.
const CONFIG_VALUED: &[&str] = &["-f", "--file", "--blob", "--default", "--type", "--comment", "--value", "--url"];
/// Options of `git config` that take none.
const CONFIG_FLAGS: &[&str] = &[
    "--global",
    "--system",
    "--local",
    "--worktree",
    "--replace-all",
    "--add",
    "--append",
    "--all",
    "--unset",
    "--unset-all",
    "--name-only",
    "--show-names",
    "--show-origin",
    "--show-scope",
    "-z",
    "--null",
    "--bool",
    "--int",
    "--bool-or-int",
    "--path",
    "--expiry-date",
    "--includes",
    "--no-includes",
    "--fixed-value",
    "--regexp",
];

/// Whether a `git config` with these words only reads, or sets what runs nothing.
fn sets_nothing_that_runs(arguments: &[Word]) -> bool {
    let (mut words, mut rest) = (Vec::new(), arguments.iter());
    let mut reads = false;
    while let Some(word) = rest.next() {
        let text = word.fixed.as_str();
        let name = text.split_once('=').map_or(text, |(name, _)| name);
        match text {
            _ if !text.starts_with('-') || words.len() > 1 => words.push(word),
            "-l" | "--list" | "--get" | "--get-all" | "--get-regexp" | "--get-urlmatch" | "--get-color"
            | "--get-colorbool" => reads = true,
            _ if CONFIG_FLAGS.contains(&text) => {}
            _ if CONFIG_VALUED.contains(&text) => drop(rest.next()),
            _ if CONFIG_VALUED.contains(&name) => {}
            _ => return false,
        }
    }
    let first = words.first().and_then(|word| word.text());
    match first {
        Some("get" | "list" | "unset") => return true,
        Some("edit" | "rename-section" | "remove-section") => return false,
        Some("set") => drop(words.remove(0)),
        Some(_) | None => {}
    }
    let key = words.first().and_then(|word| word.text());
    reads || words.len() <= 1 || key.is_some_and(harmless_setting)
}

/// Whether a part of git is told settings, templates or programs of its own.
fn is_told(subcommand: &str, command: &Command) -> bool {
    let arguments = command.arguments();
    let has = |options: &[&str]| {
        arguments.iter().any(|word| {
            let name = word.fixed.split_once('=').map_or(word.fixed.as_str(), |(name, _)| name);
            let long = name.len() > 3 && name.starts_with("--");
            options.iter().any(|option| name == *option || long && option.starts_with(name))
        })
    };
    let setting = |(at, option): (usize, &Word)| {
        let text = option.fixed.as_str();
        let attached = text.split_once('=').filter(|_| text.starts_with("--")).map(|(_, value)| value);
        let attached = attached.or_else(|| text.strip_prefix("-c").filter(|rest| !rest.is_empty()));
        let value = attached.or_else(|| arguments.get(at + 1).and_then(Word::text));
        (text.starts_with("-c") || text.starts_with("--conf")) && !value.is_some_and(harmless_setting)
    };
    match subcommand {
        "clone" => {
            command.has_option('u', "upload-pack") || has(&["--template"]) || arguments.iter().enumerate().any(setting)
        }
        "init" => has(&["--template"]),
        "send-email" => has(&["--sendmail-cmd", "--to-cmd", "--cc-cmd", "--header-cmd", "--smtp-server"]),
        _ => false,
    }
}

/// What `command` of git runs or writes through its settings, options and parts.
pub(super) fn git(command: &Command, found: &mut Vec<Carried>) {
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
    // The settings of another directory that stands for a repository.
    let repository = |path: Option<&str>| path.is_some_and(|path| base_name(path.trim_end_matches('/')) == ".git");
    let elsewhere = own.iter().enumerate().any(|(at, option)| match option.fixed.strip_prefix("--git-dir=") {
        Some(path) => !repository(Some(path).filter(|_| option.known)),
        None => option.fixed == "--git-dir" && !repository(own.get(at + 1).and_then(|value| value.text())),
    });
    if elsewhere {
        unknown("what the settings of the directory given by `git --git-dir` run");
    }
    let known = |word: &&&Word| {
        let name = word.fixed.split_once('=').map_or(word.fixed.as_str(), |(name, _)| name);
        OWN.contains(&name) || !word.fixed.starts_with('-')
    };
    if !own.iter().all(|word| known(&word)) {
        unknown("which part of git runs behind an option that is not known");
    }
    if command.arguments().iter().any(|word| word.fixed.starts_with("ext::") || word.fixed.starts_with("fd::")) {
        unknown("what git runs for an `ext::` address");
    }
    let output = |word: &Word| word.fixed.strip_prefix("--output=").map(Word::of);
    let outputs: Vec<Word> = command.arguments().iter().filter_map(output).collect();
    match subcommand {
        Some("config") => {
            let start = first.and_then(|first| command.arguments().iter().position(|word| std::ptr::eq(word, first)));
            if !sets_nothing_that_runs(start.and_then(|at| command.arguments().get(at + 1..)).unwrap_or_default()) {
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
        Some("bisect") if matches!(part(1), "visualize" | "view") && words.len() > 2 => {
            unknown("what `git bisect visualize` runs");
        }
        Some(name) if is_told(name, command) => unknown(&format!("what `git {name}` is told to run")),
        Some(name) if !GIT.contains(name) => unknown(&format!("what `git {name}` runs (an alias or an extension)")),
        None if !words.is_empty() => unknown("which part of git runs"),
        Some(_) | None => {}
    }
    found.extend(outputs.into_iter().map(Carried::Writes));
}
