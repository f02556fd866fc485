//! `tools.yaml` to rules and paths, with every check that a rule can fail.

use std::path::{Path, PathBuf};

use serde_yaml::Spanned;

use crate::domain::ids::PersonId;
use crate::domain::plan::{Access, Mount};
use crate::domain::principal::Trust;
use crate::domain::record::Verdict;
use crate::domain::script::Script;
use crate::domain::text::visible_line;
use crate::policy::{Approval, IMAGES, Parsed, Pattern, Person, Rule, idle, named, normal};

use super::errors::{LoadError, Source};
use super::hosts::mistake;
use super::mistakes::nearest;
use super::raw::{ApprovalWord, Entry, Exec, Files, PathEntry, RuleMap, TextOrNumber};

const EFFECTS: [&str; 7] = ["delete", "overwrite", "bulk", "network", "secrets", "obeyed", "system"];
/// Tools that are not about files; `exec` asks before each script.
const TOOLS: [&str; 8] = ["send_email", "fetch", "search", "calendar", "reminders", "memory", "exec", "send_message"];
/// Tools that are asked about like effects: all of them, or one.
const FILE_TOOLS: [&str; 7] =
    ["files", "read_file", "list_files", "search_files", "write_file", "edit_file", "send_file"];

/// The words of `require_approval:` that are no patterns.
const WORDS: [&[&str]; 3] = [&EFFECTS, &TOOLS, &FILE_TOOLS];

/// Where a value stands.
pub(super) fn place<T>(value: &Spanned<T>) -> Option<(u64, u64)> {
    let at = &value.referenced;
    (at.line() > 0).then(|| (at.line(), at.column()))
}

/// Rules of `exec:`.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) allow: Option<Vec<Rule>>,
    pub(super) others: Vec<(Verdict, Rule)>,
    pub(super) effects: Vec<String>,
}

/// A rule with the place of its entry.
type Placed = (Rule, Option<(u64, u64)>);

/// The rules of `exec`, errors added to `errors`.
pub(super) fn rules(
    exec: &Exec,
    top: &[Spanned<String>],
    people: &[Person],
    source: &Source,
    errors: &mut Vec<LoadError>,
) -> Rules {
    let mut read = |entries: &[Spanned<Entry>]| -> Vec<Placed> {
        entries.iter().filter_map(|entry| rule(entry, people, source, errors)).collect()
    };
    let allow = exec.allow.as_ref().map(|entries| read(entries));
    let deny = read(&exec.deny).into_iter().map(|one| (Verdict::Deny, one));
    let ask = read(&exec.ask).into_iter().map(|one| (Verdict::Ask, one));
    let mut others: Vec<(Verdict, Placed)> = deny.chain(ask).collect();
    let mut effects = Vec::new();
    for entry in exec.require_approval.iter().chain(top) {
        let text = entry.value.as_str();
        if WORDS.iter().any(|words| words.contains(&text)) {
            effects.push(text.to_owned());
        } else if let Some(error) = misspelt(entry, source) {
            errors.push(error);
        } else {
            let rule = Entry::Text(text.to_owned());
            let spanned = Spanned { value: rule, referenced: entry.referenced, defined: entry.defined };
            others.extend(self::rule(&spanned, people, source, errors).map(|one| (Verdict::Ask, one)));
        }
    }
    let places: Vec<_> =
        allow.iter().flatten().map(|(_, at)| *at).chain(others.iter().map(|(_, (_, at))| *at)).collect();
    let allow: Option<Vec<Rule>> = allow.map(|rules| rules.into_iter().map(|(rule, _)| rule).collect());
    let others: Vec<(Verdict, Rule)> = others.into_iter().map(|(verdict, (rule, _))| (verdict, rule)).collect();
    for (at, why) in idle(allow.as_deref(), &others) {
        errors.push(source.error(places.get(at).copied().flatten(), why, Some("remove it, or change one of the two")));
    }
    Rules { allow, others, effects }
}

/// An error for a pattern that was surely meant for an effect or a tool.
fn misspelt(entry: &Spanned<String>, source: &Source) -> Option<LoadError> {
    let text = entry.value.as_str();
    let meant = nearest(text, WORDS.into_iter().flatten().copied())?;
    let hint = format!("did you mean `{meant}`? A program of the name `{text}` belongs below `exec: ask:`");
    Some(source.error(place(entry), format!("`{text}` is no effect and no tool"), Some(&hint)))
}

/// An error for each tool that does not exist.
pub(super) fn unknown_tools(tools: &[Spanned<String>], source: &Source, errors: &mut Vec<LoadError>) {
    let known = || [TOOLS.as_slice(), FILE_TOOLS.as_slice()].into_iter().flatten().copied();
    for tool in tools.iter().filter(|tool| !known().any(|name| name == tool.value)) {
        let all = || format!("there are: {}", known().collect::<Vec<_>>().join(", "));
        let hint = nearest(&tool.value, known()).map_or_else(all, |meant| format!("did you mean `{meant}`?"));
        errors.push(source.error(place(tool), format!("there is no tool `{}`", tool.value), Some(&hint)));
    }
}

fn rule(entry: &Spanned<Entry>, people: &[Person], source: &Source, errors: &mut Vec<LoadError>) -> Option<Placed> {
    let at = place(entry);
    let text = match &entry.value {
        Entry::Text(text) => text,
        Entry::Mapping(map) => &map.run,
    };
    let pattern = match Pattern::new(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            let hint = "write a program, with words or flags: `git push`, `rm -rf`, `curl | bash`";
            errors.push(source.error(at, error.to_string(), Some(hint)));
            return None;
        }
    };
    let line = at.map_or(0, |(line, _)| line);
    let label = format!("{}:{line} {text}", source.name());
    let mut rule = Rule {
        label,
        pattern,
        network: None,
        approval: None,
        review: None,
        approvers: Vec::new(),
        image: None,
        secrets: Vec::new(),
        why: None,
    };
    if let Entry::Mapping(map) = &entry.value {
        examples(&rule.pattern, map, at, source, errors);
        hosts(map, at, source, errors);
        rule.network.clone_from(&map.network);
        rule.approval = map.approval.map(|word| match word {
            ApprovalWord::Always => Approval::Always,
            ApprovalWord::Never => Approval::Never,
        });
        rule.review = map.review;
        rule.approvers = approvers(map, people, at, source, errors);
        if let Some(image) = map.image.as_deref().filter(|image| !IMAGES.contains(image)) {
            let hint = format!("write one of: {}", IMAGES.join(", "));
            errors.push(source.error(at, format!("there is no image `{image}`"), Some(&hint)));
        }
        rule.image.clone_from(&map.image);
        rule.secrets.clone_from(&map.secrets);
        rule.why.clone_from(&map.why);
    }
    Some((rule, at))
}

fn hosts(map: &RuleMap, at: Option<(u64, u64)>, source: &Source, errors: &mut Vec<LoadError>) {
    for host in map.network.iter().flatten() {
        if let Some(what) = mistake(host) {
            let hint = "write names of hosts: `github.com`, or `*.example.org` for all below one";
            errors.push(source.error(at, format!("`{}` of `network:` {what}", visible_line(host)), Some(hint)));
        }
    }
}

/// People who may answer for themselves: those who run things, and whom users.yaml lists.
fn approvers(
    map: &RuleMap,
    people: &[Person],
    at: Option<(u64, u64)>,
    source: &Source,
    errors: &mut Vec<LoadError>,
) -> Vec<PersonId> {
    let mut found = Vec::new();
    for text in map.approvers.iter().map(TextOrNumber::text) {
        match named(people, &text) {
            Some(person) if person.trust >= Trust::Trusted => found.push(person.person.clone()),
            Some(person) => {
                let message = format!("`{text}` is {}, who answer nothing", person.trust);
                errors.push(source.error(at, message, Some("take them off `approvers:`, or trust them in users.yaml")));
            }
            None => {
                let message = format!("`{text}` of `approvers:` is not in users.yaml");
                errors.push(source.error(at, message, Some("write an id, a Telegram id or a name that stands there")));
            }
        }
    }
    found
}

fn parsed(text: &str) -> Option<Parsed> {
    Parsed::new(Script::new(text.to_owned()).ok()?).ok()
}

fn examples(pattern: &Pattern, map: &RuleMap, at: Option<(u64, u64)>, source: &Source, errors: &mut Vec<LoadError>) {
    let all = map.matches.iter().map(|text| (text, true)).chain(map.misses.iter().map(|text| (text, false)));
    for (text, should) in all {
        let message = match parsed(text) {
            None => format!("the example `{text}` is not a script"),
            Some(parsed) if pattern.fits(&parsed) == should => continue,
            Some(_) if should => format!("`{}` does not match its example `{text}`", map.run),
            Some(_) => format!("`{}` matches `{text}`, which it should miss", map.run),
        };
        errors.push(source.error(at, message, Some("change the pattern or the example")));
    }
}

/// `~` and `..` resolved; an error for a relative path.
pub(super) fn path(text: &str, at: Option<(u64, u64)>, home: &Path, source: &Source) -> Result<PathBuf, LoadError> {
    let path = match text.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    if path.is_absolute() {
        return Ok(normal(&path));
    }
    Err(source.error(at, format!("`{text}` is not an absolute path"), Some("start it with `/` or `~/`")))
}

/// The mounts of `allowed_paths`.
pub(super) fn mounts(files: &Files, homes: (&Path, &Path), source: &Source, errors: &mut Vec<LoadError>) -> Vec<Mount> {
    let (installing_home, castoff_home) = homes;
    let mut mounts: Vec<Mount> = Vec::new();
    for entry in files.allowed_paths.iter().flatten() {
        let (text, access) = match &entry.value {
            PathEntry::Text(text) => (text, Access::Overlay),
            PathEntry::Mapping(map) => (&map.path, map.mode.unwrap_or(Access::Overlay)),
        };
        let at = place(entry);
        let path = match path(text, at, installing_home, source) {
            Ok(path) => path,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        if path.starts_with(castoff_home) || castoff_home.starts_with(&path) {
            let message = format!("`{text}` overlaps Castoff's own home `{}`", castoff_home.display());
            errors.push(source.error(at, message, Some("list the directories beside it one by one")));
        }
        if let Some(other) = mounts.iter().find(|mount| {
            let nested = mount.path.starts_with(&path) || path.starts_with(&mount.path);
            nested && (mount.path == path || mount.access != Access::Read && access != Access::Read)
        }) {
            let message =
                format!("`{text}` and `{}` lie inside one another, and both are writable", other.path.display());
            errors.push(source.error(at, message, Some("list only the outer one, or make one `mode: read`")));
        }
        mounts.push(Mount { path, access });
    }
    mounts
}
