//! `tools.yaml` to rules and paths, with every check that a rule can fail.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_yaml::Spanned;

use crate::domain::ids::PersonId;
use crate::domain::plan::{Access, Mount};
use crate::domain::principal::Trust;
use crate::domain::record::Verdict;
use crate::domain::script::Script;
use crate::policy::{Approval, IMAGES, Parsed, Pattern, Person, Rule, named, normal};

use super::errors::{LoadError, Source};
use super::raw::{ApprovalWord, Entry, Exec, Files, PathEntry, RuleMap, TextOrNumber};

const EFFECTS: [&str; 7] = ["delete", "overwrite", "bulk", "network", "secrets", "obeyed", "system"];
const TOOLS: [&str; 8] = ["send_email", "fetch", "search", "calendar", "reminders", "memory", "exec", "send_message"];
/// Tools that are asked about like effects: all of them, or one.
const FILE_TOOLS: [&str; 7] =
    ["files", "read_file", "list_files", "search_files", "write_file", "edit_file", "send_file"];

/// Where a value stands.
pub(super) fn place<T>(value: &Spanned<T>) -> Option<(u64, u64)> {
    let at = &value.referenced;
    (at.line() > 0).then(|| (at.line(), at.column()))
}

/// Rules of `exec:`.
#[derive(Debug, Default)]
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
    let deny = read(&exec.deny);
    let ask = read(&exec.ask);
    never_mattering(allow.as_deref().unwrap_or_default(), &deny, source, errors);
    never_mattering(&ask, &deny, source, errors);
    let mut rules =
        Rules { allow: allow.map(|rules| rules.into_iter().map(|(rule, _)| rule).collect()), ..Rules::default() };
    rules.others.extend(deny.into_iter().map(|(rule, _)| (Verdict::Deny, rule)));
    rules.others.extend(ask.into_iter().map(|(rule, _)| (Verdict::Ask, rule)));
    for entry in exec.require_approval.iter().chain(top) {
        let text = entry.value.as_str();
        if EFFECTS.contains(&text) || FILE_TOOLS.contains(&text) {
            rules.effects.push(text.to_owned());
        } else if !TOOLS.contains(&text) {
            let rule = Entry::Text(text.to_owned());
            let spanned = Spanned { value: rule, referenced: entry.referenced, defined: entry.defined };
            let made = self::rule(&spanned, people, source, errors);
            rules.others.extend(made.map(|(rule, _)| (Verdict::Ask, rule)));
        }
    }
    rules
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

/// A rule that a refusal always beats, or that stands there twice.
fn never_mattering(rules: &[Placed], deny: &[Placed], source: &Source, errors: &mut Vec<LoadError>) {
    let mut seen = HashSet::new();
    for (rule, at) in rules {
        if !seen.insert(rule.pattern.text()) {
            errors.push(source.error(
                *at,
                format!("`{}` is on the list twice", rule.pattern.text()),
                Some("remove one"),
            ));
        }
        let Some(own) = (!deny.is_empty()).then(|| parsed(rule.pattern.text())).flatten() else { continue };
        for (refusal, _) in deny.iter().filter(|(refusal, _)| refusal.pattern.fits(&own)) {
            let (this, that) = (rule.pattern.text(), &refusal.label);
            let message = format!("`{this}` can never matter: `{that}` refuses all that it matches");
            errors.push(source.error(*at, message, Some("remove one of the two")));
        }
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
