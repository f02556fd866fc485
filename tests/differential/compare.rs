//! What bash started against what the policy said of the script.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use castoff::domain::record::Verdict;
use castoff::domain::script::Script;
use castoff::policy::{Parsed, Policy};

use crate::bash::Seen;

/// What the policy says of one script.
#[derive(Debug)]
pub(crate) struct Said {
    /// The programs that the facts name.
    pub(crate) programs: Vec<String>,
    /// Whether anyone is asked, or it is refused, since it cannot be told what the script does.
    pub(crate) cannot_tell: bool,
}

impl Said {
    /// What `policy` says of `script`; `None` when that is refused before it is parsed.
    pub(crate) fn of(policy: &Policy, script: &str) -> Option<Self> {
        let parsed = Parsed::new(Script::new(script.to_owned()).ok()?).ok()?;
        let programs = parsed.programs().to_vec();
        let judged = policy.judge(&policy.principal("owner").unwrap(), parsed);
        // Another reason to ask, such as the network, hides nothing.
        let cannot_tell = judged.decision().reasons.iter().any(|reason| reason.rule == "cannot tell");
        Some(Self { programs, cannot_tell })
    }

    /// The programs that bash started and that were not judged, of a script that is said to be known: the facts do not
    /// name them, or a list `allows` the script that has all of these but the one.
    pub(crate) fn missed<'a>(&self, seen: &'a Seen, allows: impl Fn(&str) -> bool) -> BTreeSet<&'a str> {
        if self.cannot_tell {
            return BTreeSet::new();
        }
        let mut named: BTreeSet<&str> = self.programs.iter().map(|program| base_name(program)).collect();
        if named.contains("~") {
            // The home of a script is its directory.
            named.extend(seen.started.iter().filter_map(|words| words.first()?.strip_prefix("/work/")));
        }
        let started = seen.started.iter().filter(|words| !self.is_interpreter(words) && !self.is_inner(words));
        started
            .filter_map(|words| words.first())
            .map(String::as_str)
            .filter(|name| !self.is_cut(name))
            .filter(|name| !named.contains(base_name(name)) || !needs_no_entry(base_name(name)) && allows(name))
            .collect()
    }

    /// Whether it is the start of a program of the facts in whose name the trace of bash is not read to the end.
    fn is_cut(&self, name: &str) -> bool {
        let odd = |program: &&String| program.contains(|c: char| c.is_whitespace() || c == '\'');
        self.programs.iter().filter(odd).any(|program| program.starts_with(name))
    }

    /// Whether the kernel started it for a file that the facts name: `#!/bin/sh`.
    fn is_interpreter(&self, words: &[String]) -> bool {
        words.iter().skip(1).take(2).any(|word| word.contains('/') && self.programs.contains(word))
    }

    /// Whether a program of the facts starts it by itself.
    fn is_inner(&self, words: &[String]) -> bool {
        let names = |outer: &str| self.programs.iter().any(|program| base_name(program) == outer);
        let inner = |name: &&str| words.first().is_some_and(|program| base_name(program) == *name);
        INNER.iter().any(|(outer, all)| names(outer) && all.iter().any(inner))
    }
}

/// Programs, and what they start for a part of their own work, or for the text that the facts have read.
const INNER: &[(&str, &[&str])] = &[
    ("flock", &["bash", "sh"]),
    ("script", &["bash", "sh"]),
    ("watch", &["sh", "time"]),
    ("tar", &["sh", "gzip", "bzip2", "xz", "zstd"]),
    // Words of bash, programs for others: one runs the rest either way, the others are nowhere.
    ("sh", &["time", "function", "select"]),
    ("dash", &["time", "function", "select"]),
];

/// Programs that do nothing but run what is judged by itself.
const CARRIERS: &str = "sh bash dash env nice nohup timeout time stdbuf setsid ionice taskset chrt xargs";

/// Whether no list need have the program: a carrier, or what is a builtin of the shell.
fn needs_no_entry(name: &str) -> bool {
    let builtins = include_str!("../../src/policy/tables/builtins.txt").lines().skip(1);
    builtins.chain([CARRIERS]).flat_map(str::split_whitespace).any(|known| known == name)
}

/// Policies that are a list of programs each.
#[derive(Debug, Default)]
pub(crate) struct Lists(RefCell<BTreeMap<Vec<String>, Policy>>);

impl Lists {
    /// Whether `script` is allowed where all of `programs` are on the list but the one of that name.
    pub(crate) fn allow_without(&self, script: &str, programs: &[String], name: &str) -> bool {
        // What a script writes itself is judged by its text.
        let own = name.trim_start_matches("./");
        if script.contains(&format!(">{own}")) || script.contains(&format!("> {own}")) {
            return false;
        }
        // What a compiler on the list makes needs no entry, and is for `strict` to ask about; so in the run's own /tmp.
        let builders = include_str!("../../src/policy/tables/builders.txt").lines().skip(1);
        let builds = |program: &String| {
            builders.clone().flat_map(str::split_whitespace).any(|builder| builder == base_name(program))
        };
        let made = name.contains('/') && (!name.starts_with('/') || name.starts_with("/tmp/"));
        if made && programs.iter().any(builds) {
            return false;
        }
        let plain = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
                && base_name(name).starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        // A rule for what another allows could never matter.
        let allowed = |other: &str| other.contains('/') && programs.iter().any(|shorter| shorter == base_name(other));
        let listed = |other: &&String| {
            plain(other) && base_name(other) != base_name(name) && !needs_no_entry(other) && !allowed(other)
        };
        // In quotes, for what is named as a word of the shell.
        let quoted = programs.iter().filter(listed).map(|other| format!("'{other}'"));
        let mut list: Vec<String> = quoted.chain(["nothing".to_owned()]).collect();
        list.sort();
        list.dedup();
        let mut known = self.0.borrow_mut();
        let policy = known.entry(list.clone()).or_insert_with(|| {
            let dir = tempfile::tempdir().unwrap();
            let tools = serde_json::json!({ "exec": { "allow": list } });
            std::fs::write(dir.path().join("tools.yaml"), tools.to_string()).unwrap();
            crate::load(dir.path())
        });
        let parsed = Parsed::new(Script::new(script.to_owned()).unwrap()).unwrap();
        policy.judge(&policy.principal("owner").unwrap(), parsed).decision().verdict == Verdict::Allow
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(started: &[&str]) -> Seen {
        let started = started.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
        Seen { started, ..Seen::default() }
    }

    fn said(programs: &[&str], cannot_tell: bool) -> Said {
        Said { programs: programs.iter().map(|&program| program.to_owned()).collect(), cannot_tell }
    }

    #[test]
    fn a_program_that_the_facts_lack_is_reported() {
        assert_eq!(
            said(&["ls"], false).missed(&seen(&["/usr/bin/ls -l", "/usr/bin/rm a"]), |_| false),
            ["/usr/bin/rm"].into()
        );
        assert_eq!(said(&["ls"], false).missed(&seen(&["/opt/x"]), |_| false), ["/opt/x"].into());
        assert_eq!(said(&["./a"], false).missed(&seen(&["/bin/sh ./b"]), |_| false), ["/bin/sh"].into());
    }

    #[test]
    fn a_program_that_a_list_need_not_have_is_reported() {
        let seen = seen(&["/usr/bin/ls -l", "/usr/bin/rm a", "/usr/bin/env rm a"]);
        let said = said(&["ls", "rm", "env"], false);
        assert_eq!(said.missed(&seen, |name| !name.ends_with("ls")), ["/usr/bin/rm"].into());
        let lists = Lists::default();
        let allows = |script: &str, name: &str| {
            let programs: Vec<String> = Said::of(&crate::policy(), script).unwrap().programs;
            lists.allow_without(script, &programs, name)
        };
        assert!(!allows("ls | wc", "/usr/bin/wc") && !allows("ls | wc", "/usr/bin/ls"));
        assert!(allows("ls | wc", "/usr/bin/rm") && allows("printf a | env ls", "rm"));
    }

    #[test]
    fn a_program_that_the_facts_name_is_not() {
        assert_eq!(
            said(&["ls", "/bin/rm"], false).missed(&seen(&["/usr/bin/ls", "/usr/bin/rm a"]), |_| false),
            [].into()
        );
        assert_eq!(said(&["./a"], false).missed(&seen(&["/bin/sh ./a", "./a"]), |_| false), [].into());
        assert_eq!(said(&[], true).missed(&seen(&["/usr/bin/rm a"]), |_| false), [].into());
    }
}
