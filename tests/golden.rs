//! What people read, word for word: the plan at the prompt, `runs`, `diff`, refusals, `policy explain`
//! and the exit codes of `--help`, from the real program. What differs from run to run (places, ids,
//! times, digests) is put right first. Look at a change with `cargo insta review`, or write it down with
//! `INSTA_UPDATE=always`.
#![cfg(test)]

#[expect(dead_code, reason = "what only the other tests use")]
mod common;

use castoff::domain::time::Timestamp;
use serde_json::Value;

use common::{Castoff, USUAL, text};

/// `text` as every run of this test gives it.
fn steady(castoff: &Castoff, text: &str) -> String {
    // Without what makes the terminal plain again before a question.
    let text = text.replace("\u{1b}[!p\u{1b}[0m\u{1b}(B", "").replace('\r', "");
    let mut steady = text.replace(castoff.root().to_str().unwrap(), "ROOT");
    let (_, runs) = castoff.json(&["runs", "-n", "100"]);
    for (number, run) in runs.as_array().unwrap().iter().rev().enumerate() {
        steady = steady.replace(run["run"].as_str().unwrap(), &format!("r{number:011}"));
        let asked = Timestamp::from_ms(run["asked_at_ms"].as_u64().unwrap()).to_string();
        steady = steady.replace(&asked, "2030-01-02T03:04:05Z");
        for state in ["asking", "held"] {
            if let Some(approval) = run["state"][state]["approval"].as_str() {
                steady = steady.replace(approval, &format!("a{number:011}"));
            }
        }
    }
    without_digests(&steady)
}

/// Every 64 hexadecimal digits in a row become as many zeros.
fn without_digests(text: &str) -> String {
    let digits = text.chars().chain(['\n']).fold((String::new(), String::new()), |(mut done, mut digits), c| {
        if c.is_ascii_hexdigit() {
            digits.push(c);
        } else {
            done.push_str(&if digits.len() == 64 { "0".repeat(64) } else { digits });
            digits = String::new();
            done.push(c);
        }
        (done, digits)
    });
    digits.0.trim_end().to_owned()
}

#[test]
fn what_a_person_reads_of_runs_is_as_it_was_agreed() {
    let castoff = Castoff::start(USUAL);
    castoff.run("echo one > a.txt; echo two > b.txt; mkdir c; ln -s a.txt c/link").ended(0);
    castoff.run("exit 3").ended(3);
    let refused = castoff.run("nmap localhost").ended(125).stderr;
    let outside = castoff.run("cat /etc/shadow").ended(125).stderr;
    let offline = castoff.run("curl https://example.com").ended(125).stderr;
    let (_, held) = castoff.run_json("rm a.txt; echo three >> b.txt; chmod +x b.txt; printf '\\0' > d");
    let diff = castoff.castoff(&["diff", text(&held["run"])]).ended(0).stdout;
    let waiting = castoff.run("factor 12").ended(75).stderr;
    let mut prompt = castoff.at_terminal(&["run", "--", "factor 12 |\n  tee factors"]);
    prompt.until("[y/N/a for always] ");
    prompt.types(b"n\n");
    let prompt = prompt.finish().ended(125).stdout;
    let mut review = castoff.at_terminal(&["run", "--", "rm c/link"]);
    review.until("[y/N/d for the diff] ");
    review.types(b"n\n");
    let review = review.finish().ended(125).stdout;
    let runs = castoff.castoff(&["runs"]).ended(0).stdout;
    let said = [
        ("plan_at_the_prompt", prompt),
        ("changes_at_the_prompt", review),
        ("question_without_a_terminal", waiting),
        ("runs", runs),
        ("diff", diff),
        ("refusal", refused),
        ("refusal_of_a_place", outside),
        ("refusal_of_the_network", offline),
    ];
    for (name, text) in said {
        insta::assert_snapshot!(name, steady(&castoff, &text));
    }
}

#[test]
fn what_a_person_reads_of_the_policy_is_as_it_was_agreed() {
    let castoff = Castoff::prepare(USUAL);
    let scripts = [
        ("allowed", "git status && ls | wc -l"),
        ("asked", "factor 12; rm -r old"),
        ("denied", "sudo ls"),
        ("unlisted", "nmap localhost"),
        ("outgoing", "curl https://example.com/a | bash"),
        ("unclear", "$(cat program) x"),
    ];
    let mut all = String::new();
    for (name, script) in scripts {
        let shown = castoff.castoff(&["policy", "explain", "--", script]).ended(0).stdout;
        let (_, json) = castoff.json(&["policy", "explain", "--", script]);
        let json: Value = json;
        all.push_str(&format!("## {name}\n$ castoff policy explain -- '{script}'\n{shown}--json: {json:#}\n\n"));
    }
    let root = castoff.root().to_str().unwrap();
    insta::assert_snapshot!("policy_explain", all.replace(root, "ROOT").trim_end());
}

#[test]
fn the_help_of_run_tells_every_exit_code() {
    let castoff = Castoff::prepare(&[]);
    insta::assert_snapshot!("help_of_run", castoff.castoff(&["run", "--help"]).ended(0).stdout.trim_end());
}
