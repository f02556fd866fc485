//! Claims about what people read and check of their policy: files of cases, the list of rules, rights in
//! plain words.
#![cfg(test)]

use std::path::Path;

use castoff::cli::cases;
use castoff::config::load_policy;
use castoff::control::client::Refused;
use castoff::policy::Policy;
use serde_json::Value;

const TOOLS: &str = "exec:
  allow: [git, echo, { run: npm, approval: always }, { run: curl, network: [example.com, a.example], review: changes }]
  deny: [sudo, \"curl | bash\"]
  ask: [\"git push\"]
require_approval: [delete]
files:
  allowed_paths: [/data, { path: /books, mode: read }]
  denied_paths: [/etc, ~/.ssh]
";
const USERS: &str = "owner: { name: Ann }
users:
  - { id: bob, telegram_id: 77, name: Bob, trust_level: trusted, files: { allowed_paths: [/books] } }
  - { id: eve, local: [1002], name: Eve, trust_level: trusted, tools: [calendar, search] }
  - { id: lea, local: [1003], name: Lea, trust_level: limited }
  - { id: mal, local: [1004], name: Mal, trust_level: blocked }
";

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("installation.yaml", "uid: 1000\ngid: 1000\nhome: /home/user\n"),
        ("tools.yaml", TOOLS),
        ("users.yaml", USERS),
    ];
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn policy() -> Policy {
    load_policy(directory().path(), Path::new("/srv/castoff")).unwrap()
}

/// Exit code and text of `castoff policy test` on a file with this text.
fn tested(text: &str, json: bool) -> anyhow::Result<(u8, String)> {
    let dir = directory();
    let file = dir.path().join("cases");
    std::fs::write(&file, text).unwrap();
    let mut out = Vec::new();
    let code = cases::test(dir.path(), Path::new("/srv/castoff"), &file, json, &mut out)?;
    Ok((code, String::from_utf8(out).unwrap()))
}

#[test]
fn cases_that_are_judged_as_expected_pass() {
    let yaml = "# mine
- { script: git status, expect: allow }
- { script: git push, expect: ask, user: owner, network: ask }
- script: |
    git status
    sudo ls
  expect: deny
- { script: \"curl https://example.com/x\", expect: allow, network: [example.com, a.example], review: changes }
- { script: git status, expect: allow, network: off, user: 77 }
- { script: git status, expect: deny, user: lea }
- { script: \"echo \\u202e\", expect: deny }
";
    assert_eq!(tested(yaml, false).unwrap(), (0, "7 cases, all as expected\n".to_owned()));
    let lines = "{\"script\": \"git status\", \"expect\": \"allow\"}\n\n{\"script\": \"npm test\", \"expect\": \"ask\", \"user\": \"Ann\"}\n";
    assert_eq!(tested(lines, false).unwrap(), (0, "2 cases, all as expected\n".to_owned()));
}

#[test]
fn what_differs_is_a_table_and_exit_code_1() {
    let yaml = "- { script: git status, expect: allow }
- { script: sudo ls, expect: allow }
- { script: \"curl https://example.com/x\", expect: allow, network: ask }
- { script: git status, expect: allow, review: never }
- { script: git status, expect: deny, user: nobody }
";
    let (code, text) = tested(yaml, false).unwrap();
    assert_eq!(code, 1);
    insta::assert_snapshot!("cases_that_differ", text.trim_end());
    let (code, text) = tested(yaml, true).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["cases"]), (1, &5.into()));
    let lines: Vec<&Value> = answer["differences"].as_array().unwrap().iter().map(|one| &one["line"]).collect();
    assert_eq!(lines, [2, 3, 4, 5]);
    assert_eq!(answer["differences"][0]["expected"]["verdict"], "allow");
    assert_eq!(answer["differences"][0]["got"]["verdict"], "deny");
    assert_eq!(answer["differences"][1]["got"]["network"], "a.example example.com");
}

#[test]
fn a_file_that_has_no_cases_is_refused_with_its_line() {
    for (text, line, why) in [
        ("- { script: a, expect: allow }\n- { script: a, expects: deny }\n", 2, "expects"),
        ("- { script: a, expect: perhaps }\n", 1, "perhaps"),
        ("- { script: a }\n", 1, "expect"),
        ("{\"script\": \"a\", \"expect\": \"allow\"}\n{\"script\": 1}\n", 2, "string"),
        ("script: a\nexpect: allow\n", 1, ""),
    ] {
        let error = tested(text, false).unwrap_err();
        let refused = error.downcast_ref::<Refused>().unwrap();
        assert_eq!(refused.code, 65, "{text}: {refused}");
        assert!(refused.why.contains(&format!("cases:{line}: ")) && refused.why.contains(why), "{text}: {refused}");
        assert!(refused.why.contains("hint: "), "{refused}");
    }
    let none = cases::test(directory().path(), Path::new("/srv/castoff"), Path::new("/none"), false, &mut Vec::new());
    assert_eq!(none.unwrap_err().downcast_ref::<Refused>().unwrap().code, 66);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test starts the program that it is about")]
fn the_command_says_by_its_exit_code_whether_all_cases_are_as_expected() {
    let dir = directory();
    let cases = dir.path().join("cases.yaml");
    let run = |file: &Path, config: &Path, more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_castoff"));
        command
            .env("CASTOFF_HOME", dir.path())
            .args(["policy", "--config"])
            .arg(config)
            .arg("test")
            .arg(file)
            .args(more);
        let done = command.output().unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    std::fs::write(&cases, "- { script: git status, expect: allow }\n").unwrap();
    let (code, out, error) = run(&cases, dir.path(), &[]);
    assert_eq!((code, out.as_str()), (0, "1 cases, all as expected\n"), "{error}");
    std::fs::write(&cases, "- { script: git status, expect: allow }\n- { script: sudo ls, expect: ask }\n").unwrap();
    let (code, out, _) = run(&cases, dir.path(), &[]);
    assert!(code == 1 && out.contains("sudo ls"), "{code} {out}");
    let (code, out, _) = run(&cases, dir.path(), &["--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["cases"], &answer["differences"][0]["line"]), (1, &2.into(), &2.into()));
    std::fs::write(&cases, "- { script: git status }\n").unwrap();
    let (code, _, error) = run(&cases, dir.path(), &[]);
    assert!(code == 65 && error.contains("cases.yaml:1: "), "{code} {error}");
    assert_eq!(run(Path::new("/none"), dir.path(), &[]).0, 66);
    std::fs::write(dir.path().join("tools.yaml"), "exec:\n  alow: [git]\n").unwrap();
    std::fs::write(&cases, "- { script: git status, expect: allow }\n").unwrap();
    let (code, out, error) = run(&cases, dir.path(), &[]);
    assert!(code == 78 && format!("{out}{error}").contains("did you mean `allow`?"), "{code} {out} {error}");
}

#[test]
fn every_rule_is_listed_with_its_line() {
    let listing = policy().listing();
    let rules: Vec<String> =
        listing.rules.iter().map(|rule| format!("{} {} {}", rule.place, rule.verdict, rule.pattern)).collect();
    let expected = [
        "tools.yaml:2 allow git",
        "tools.yaml:2 allow echo",
        "tools.yaml:2 allow npm",
        "tools.yaml:2 allow curl",
        "tools.yaml:3 deny sudo",
        "tools.yaml:3 deny curl | bash",
        "tools.yaml:4 ask git push",
    ];
    assert_eq!(rules, expected);
    assert_eq!((listing.basics, listing.effects), (false, vec!["delete".to_owned()]));
    let without = load_policy(tempfile::tempdir().unwrap().path(), Path::new("/srv/castoff")).unwrap().listing();
    assert_eq!((without.basics, without.rules), (true, Vec::new()));
}

#[test]
fn rights_are_said_in_plain_words_that_fit_on_a_fridge_door() {
    let policy = policy();
    let mut all = String::new();
    for name in ["owner", "bob", "eve", "lea", "mal"] {
        let text = policy.rights(&policy.principal(name).unwrap()).to_string();
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        all.push_str(&format!("{text}\n\n"));
    }
    insta::assert_snapshot!("rights", all.trim_end());
}
