//! Every program that bash starts is one that the policy named and judged, or the policy said that it cannot tell:
//! scripts of all shapes, and generated ones, are run by the real bash among stubs, and what was started is
//! compared with the facts. Needs Docker and the image `base` of runs; `make test` builds it.
//!
//! `CASTOFF_SEED=N` generates other scripts, and `CASTOFF_SCRIPTS=N` as many; `CASTOFF_CORPORA=DIRECTORY` is for the
//! ignored test, which runs every row of the `*.jsonl` files there.
#![cfg(test)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "what only tests with a Castoff of their own use")]
mod common;

mod bash;
mod compare;
mod grammar;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use castoff::config::load_policy;
use castoff::policy::Policy;

use compare::{Lists, Said};

/// Scripts of the project's own, one for each shape, and some of the kind that models write.
const SCRIPTS: &[&str] = &[include_str!("scripts.txt"), include_str!("../policy_judged/scripts_a.txt")];
/// Generated scripts, unless `CASTOFF_SCRIPTS` says how many, and what they are generated from.
const GENERATED: usize = 200;
const SEED: u64 = 20_261_129;

/// The policy without any file: the owner is asked where it cannot tell.
fn policy() -> Policy {
    load(tempfile::tempdir().unwrap().path())
}

/// The policy of the files of `directory`.
fn load(directory: &Path) -> Policy {
    std::fs::write(directory.join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    load_policy(directory, Path::new("/srv/castoff")).unwrap()
}

/// Runs the scripts; fails when a program was missed, or when less than `known` of a hundred scripts ran whose
/// programs the policy claims to know.
fn check(what: &str, scripts: &[String], known: usize) {
    let policy = policy();
    let mut accepted = Vec::new();
    let mut names = BTreeSet::new();
    for script in scripts {
        let words = script.split(|c: char| !(c.is_ascii_alphanumeric() || "_.+-".contains(c)));
        names.extend(words.map(str::to_owned));
        if let Some(said) = Said::of(&policy, script) {
            names.extend(said.programs.iter().filter_map(|program| program.rsplit('/').next()).map(str::to_owned));
            accepted.push((script.clone(), said));
        }
    }
    let texts: Vec<String> = accepted.iter().map(|(script, _)| script.clone()).collect();
    let seen = bash::run_all(&texts, &names);
    let lists = Lists::default();
    let (mut wrong, mut programs) = (String::new(), BTreeSet::new());
    let (mut ran, mut told, mut starts, mut cut_short) = (0, 0, 0, 0);
    for ((script, said), seen) in accepted.iter().zip(&seen) {
        let missed = said.missed(seen, |name| lists.allow_without(script, &said.programs, name));
        if !missed.is_empty() {
            writeln!(wrong, "---- bash started {missed:?} unjudged, the facts name {:?}:\n{script}", said.programs)
                .unwrap();
        }
        ran += usize::from(!seen.rejected);
        told += usize::from(!seen.rejected && !said.cannot_tell);
        cut_short += usize::from(seen.cut_short);
        starts += seen.started.len();
        programs.extend(seen.started.iter().filter_map(|words| words.first()));
    }
    println!(
        "{what}: {} scripts, {} refused unparsed, {} rejected by bash, {ran} run ({cut_short} cut short), {told} of them told; \
         {starts} starts of {} programs seen",
        scripts.len(),
        scripts.len() - accepted.len(),
        accepted.len() - ran,
        programs.len()
    );
    assert!(wrong.is_empty(), "{what}: {} scripts\n{wrong}", wrong.matches("---- bash started").count());
    assert!(told * 100 >= scripts.len() * known, "{what}: too few scripts ran whose programs are known");
    assert!(starts >= told, "{what}: too few programs were seen");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

#[test]
fn bash_starts_what_the_facts_of_our_own_scripts_name() {
    let scripts: Vec<String> = SCRIPTS.iter().flat_map(|file| file.split("----\n")).map(str::to_owned).collect();
    check("own scripts", &scripts, 60);
}

/// What to generate from, and how many.
fn wanted() -> (u64, usize) {
    let count = number("CASTOFF_SCRIPTS").map_or(GENERATED, |count| usize::try_from(count).unwrap());
    (number("CASTOFF_SEED").unwrap_or(SEED), count)
}

#[test]
fn bash_starts_what_the_facts_of_generated_scripts_name() {
    let (seed, count) = wanted();
    check(&format!("scripts generated from CASTOFF_SEED={seed}"), &grammar::scripts(seed, count), 40);
}

#[test]
fn bash_starts_what_the_facts_of_mangled_scripts_name() {
    let (seed, count) = wanted();
    check(&format!("scripts mangled from CASTOFF_SEED={seed}"), &grammar::mangled(seed, count), 5);
}

#[test]
#[ignore = "the corpora are other people's: CASTOFF_CORPORA says where they are"]
fn bash_starts_what_the_facts_of_the_corpora_name() {
    let directory = std::env::var_os("CASTOFF_CORPORA").expect("CASTOFF_CORPORA");
    let mut scripts = BTreeSet::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let texts = ["command", "attack", "input", "script"].iter().filter_map(|key| row[*key].as_str());
            scripts.extend(texts.map(str::to_owned));
        }
    }
    check("corpora", &scripts.into_iter().collect::<Vec<_>>(), 30);
}
