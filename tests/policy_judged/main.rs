//! What the policy makes of scripts, one table for each way in which others were broken, and what holds
//! for all scripts: `cargo test --test policy_judged`.
#![cfg(test)]

mod environment;
mod evaluated;
mod explained;
mod files;
mod hostile;
mod inner_texts;
mod misread;
mod misread_more;
mod moved_words;
mod obeyed_files;
mod obeyed_options;
mod patterns;
mod presets;
mod properties;
mod recorded;
mod scripts;
mod shell_structure;
mod unseen;
mod usual_words;
mod wrappers;
mod written_wrong;

use std::path::Path;

use castoff::config::load_policy;
use castoff::domain::record::Verdict;
use castoff::domain::script::Script;
use castoff::policy::{Decision, Parsed, Policy};

/// A policy of `tools.yaml` alone.
fn policy(tools: &str) -> Policy {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    std::fs::write(dir.path().join("tools.yaml"), tools).unwrap();
    load_policy(dir.path(), Path::new("/srv/castoff")).unwrap()
}

/// The preset, with `more` on the list.
fn preset(name: &str, more: &[&str]) -> Policy {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name).join("tools.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    if more.is_empty() {
        return policy(&text);
    }
    let listed = |line: &&str| line.trim_start().starts_with("allow: [");
    let own: Vec<String> = text
        .lines()
        .find(listed)
        .and_then(|line| line.split_once('[')?.1.split_once(']').map(|(inner, _)| inner.to_owned()))
        .map(|inner| inner.split(',').map(|name| name.trim().to_owned()).collect())
        .unwrap_or_default();
    let names: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let mut seen = std::collections::BTreeSet::new();
    let names: Vec<String> =
        names.into_iter().filter(|name| seen.insert(name.to_owned())).map(|name| format!("\"{name}\"")).collect();
    let rest: Vec<&str> = text.lines().filter(|line| !listed(line)).collect();
    policy(&rest.join("\n").replacen("exec:", &format!("exec:\n  allow: [{}]", names.join(", ")), 1))
}

fn decision(policy: &Policy, script: &str) -> Decision {
    let parsed = Parsed::new(Script::new(script.to_owned()).unwrap()).unwrap();
    policy.judge(&policy.principal("owner").unwrap(), parsed).decision().clone()
}

/// Each script has its verdict.
fn each(policy: &Policy, verdict: Verdict, scripts: &[&str]) {
    for script in scripts {
        let decision = decision(policy, script);
        assert_eq!(decision.verdict, verdict, "{script}: {:?}", decision.reasons);
    }
}

/// No script is allowed.
fn none_allowed(policy: &Policy, scripts: &[&str]) {
    for script in scripts {
        let decision = decision(policy, script);
        assert!(decision.verdict > Verdict::Allow, "{script} is allowed");
    }
}
