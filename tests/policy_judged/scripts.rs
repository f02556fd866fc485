//! Scripts of the kind that models write: how many of them a policy that is usable may stop.

use castoff::domain::record::Verdict;

use super::{decision, preset};

const SCRIPTS: &[&str] = &[include_str!("scripts_a.txt"), include_str!("scripts_b.txt"), include_str!("scripts_c.txt")];

/// Programs that the scripts name and that the basics have not; their owner would put them on the list.
const MORE: &[&str] = &[
    "cargo",
    "rustc",
    "gcc",
    "g++",
    "cc",
    "clang",
    "make",
    "cmake",
    "ctest",
    "meson",
    "ninja",
    "go",
    "javac",
    "java",
    "ruby",
    "perl",
    "lua",
    "pytest",
    "mypy",
    "ruff",
    "black",
    "isort",
    "eslint",
    "tsc",
    "convert",
    "identify",
    "ffmpeg",
    "pandoc",
    "pdftotext",
    "exiftool",
    "deactivate",
    "pgrep",
    "df",
];

fn scripts() -> Vec<&'static str> {
    SCRIPTS.iter().flat_map(|text| text.split("\n----\n")).map(str::trim).collect()
}

#[test]
fn scripts_that_models_write_are_rarely_stopped() {
    let basics = include_str!("../../src/policy/tables/basics.txt");
    // `time` is a word of the shell, not a program that a rule can name.
    let basics = basics.lines().skip(1).flat_map(str::split_whitespace).filter(|name| *name != "time");
    let names: Vec<&str> = basics.chain(MORE.iter().copied()).collect();
    let policy = preset("default", &names);
    let all = scripts();
    let (mut denied, mut asked) = (Vec::new(), Vec::new());
    for script in &all {
        let decision = decision(&policy, script);
        let mut reasons = decision.reasons.iter();
        match decision.verdict {
            Verdict::Allow => {}
            Verdict::Ask if reasons.all(|reason| reason.rule == "outgoing") => {}
            Verdict::Ask => asked.push((script, decision.reasons)),
            Verdict::Deny => denied.push((script, decision.reasons)),
        }
    }
    let shown = format!("{} scripts\n\ndenied {denied:#?}\n\nasked {asked:#?}", all.len());
    assert!(all.len() >= 300 && all.iter().all(|script| script.lines().count() > 1), "{shown}");
    assert!(denied.len() * 100 <= all.len() && asked.len() * 20 <= all.len(), "{shown}");
}
