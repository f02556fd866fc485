//! What git runs: settings on the command line, aliases, extensions, and options that execute.

use super::carry::Carried;
use super::facts::Command;
use super::options::has_word;
use super::tables::GIT;
use super::word::Word;

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
        Some(name) if !GIT.contains(name) => unknown(&format!("what `git {name}` runs (an alias or an extension)")),
        None if !words.is_empty() => unknown("which part of git runs"),
        Some(_) | None => {}
    }
    found.extend(outputs.into_iter().map(Carried::Writes));
}
