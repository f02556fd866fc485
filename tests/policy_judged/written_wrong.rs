//! Files that are written wrongly: each mistake is named with its file and line and a remedy, and nothing of
//! such a policy is taken.

use std::path::Path;

use castoff::config::{LoadErrors, load_policy};
use castoff::domain::script::Script;

/// What loading a directory with this one file says.
fn load(name: &str, text: &[u8]) -> Result<castoff::policy::Policy, LoadErrors> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    load_policy(dir.path(), Path::new("/srv/castoff"))
}

/// The first mistake stands in `name` at `line`, says `message`, and its remedy says `hint`.
fn check(name: &str, text: &[u8], (line, message, hint): (u64, &str, &str)) {
    let shown = String::from_utf8_lossy(text).into_owned();
    let errors = load(name, text).expect_err(&shown);
    let error = &errors.0[0];
    assert_eq!((error.line, error.file.file_name().unwrap().to_str().unwrap()), (line, name), "{shown}\n{errors}");
    assert!(error.message.contains(message), "{shown}\n{errors}");
    assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{shown}\n{errors}");
    assert!(error.snippet.contains('^'), "{errors}");
    let said = errors.to_string();
    let of_rust = ["enum ", "struct ", "untagged", "variant", "DuplicateKeyPolicy", "max_", "sequence", "u64", "i64"];
    assert!(of_rust.iter().all(|word| !said.contains(word)), "{said}");
    assert!(!said.contains(['\u{202e}', '\u{200b}', '\u{1b}', '\0']), "{said}");
}

#[test]
fn a_word_that_is_nearly_a_known_one_is_an_error_that_names_it() {
    for (name, text, line, message, hint) in [
        ("tools.yaml", "exec:\n  alow: [git]\n", 2, "`alow`", "did you mean `allow`?"),
        ("tools.yaml", "exec:\n  allow: [git]\nexce:\n  deny: [rm]\n", 3, "`exce`", "did you mean `exec`?"),
        ("tools.yaml", "exec:\n  reveiw: risky\n", 2, "`reveiw`", "did you mean `review`?"),
        ("tools.yaml", "exec:\n  review: riskey\n", 2, "`riskey`", "did you mean `risky`?"),
        ("tools.yaml", "exec:\n  cannot_tell: dney\n", 2, "`dney`", "did you mean `deny`?"),
        (
            "tools.yaml",
            "exec:\n  allow:\n    - { run: git, netwrok: [a.example] }\n",
            3,
            "`netwrok`",
            "did you mean `network`?",
        ),
        (
            "tools.yaml",
            "exec:\n  allow:\n    - { run: git, approval: allways }\n",
            3,
            "`allways`",
            "did you mean `always`?",
        ),
        (
            "tools.yaml",
            "files:\n  allowed_paths:\n    - { path: /d, mode: raed }\n",
            3,
            "`raed`",
            "did you mean `read`?",
        ),
        ("tools.yaml", "fils:\n  allowed_paths: [/d]\n", 1, "`fils`", "did you mean `files`?"),
        ("tools.yaml", "exec:\n  zebra: [git]\n", 2, "`zebra`", "`allow`"),
        ("tools.yaml", "require_approval: [delte]\n", 1, "`delte`", "did you mean `delete`?"),
        ("tools.yaml", "require_approval:\n  - Delete\n", 2, "`Delete`", "did you mean `delete`?"),
        ("tools.yaml", "exec:\n  require_approval: [netwrok]\n", 2, "`netwrok`", "did you mean `network`?"),
        ("tools.yaml", "require_approval: [send-email]\n", 1, "`send-email`", "did you mean `send_email`?"),
        ("tools.yaml", "require_approval: [exce]\n", 1, "`exce`", "did you mean `exec`?"),
        ("tools.yaml", "require_approval: [file]\n", 1, "`file`", "below `exec: ask:`"),
        ("users.yaml", "owner:\n  telegramid: 5\n", 2, "`telegramid`", "did you mean `telegram_id`?"),
        (
            "users.yaml",
            "users:\n  - telegram_id: 5\n    trust_level: trustd\n",
            3,
            "`trustd`",
            "did you mean `trusted`?",
        ),
        ("users.yaml", "users:\n  - telegram_id: 5\n    tools: [exce]\n", 3, "`exce`", "did you mean `exec`?"),
        ("users.yaml", "users:\n  - telegram_id: 5\n    tools: [zebra]\n", 3, "`zebra`", "there are: send_email"),
        ("limits.yaml", "runs:\n  memroy: 1GiB\n", 2, "`memroy`", "did you mean `memory`?"),
        (
            "limits.yaml",
            "rate_limits:\n  anthropic:\n    daily_buget: 5\n",
            3,
            "`daily_buget`",
            "did you mean `daily_budget`?",
        ),
        ("settings.yaml", "local_olny: true\n", 1, "`local_olny`", "did you mean `local_only`?"),
        ("prices.yaml", "prcies: {}\n", 1, "`prcies`", "did you mean `prices`?"),
    ] {
        check(name, text.as_bytes(), (line, message, hint));
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_an_error_in_plain_words() {
    for (name, text, line, message, hint) in [
        ("tools.yaml", "exec:\n  allow: [yes]\n", 2, "a rule: text such as `git push`", "into quotes"),
        ("tools.yaml", "exec:\n  allow:\n    - git\n    - no\n", 4, "is not a rule", "into quotes"),
        ("tools.yaml", "exec:\n  deny: [true]\n", 2, "is not a rule", "into quotes"),
        ("tools.yaml", "exec:\n  allow: [7]\n", 2, "is not a rule", ""),
        ("tools.yaml", "exec:\n  allow: [[git]]\n", 2, "a list is not a rule", ""),
        ("tools.yaml", "exec:\n  allow: git\n", 2, "a list belongs here", ""),
        ("tools.yaml", "exec:\n  allow: [{ network: [a.example] }]\n", 2, "`run`", ""),
        ("tools.yaml", "exec:\n  allow: [{ run: [git] }]\n", 2, "", ""),
        ("tools.yaml", "exec:\n  allow: [{ run: git, network: [http://x/y] }]\n", 2, "`http://x/y`", "names of hosts"),
        ("tools.yaml", "exec:\n  allow: [{ run: git, network: ['*'] }]\n", 2, "`*` of `network:`", "names of hosts"),
        ("tools.yaml", "exec:\n  allow: [{ run: git, network: ['*.com'] }]\n", 2, "belongs to nobody", ""),
        ("tools.yaml", "exec:\n  allow: [{ run: git, network: [169.254.169.254] }]\n", 2, "number of a machine", ""),
        ("tools.yaml", "exec:\n  allow: [{ run: git, network: ['', a.example] }]\n", 2, "no name of a host", ""),
        ("tools.yaml", "exec: [git]\n", 1, "", ""),
        ("tools.yaml", "files:\n  allowed_paths: [off]\n", 2, "is not a path", "into quotes"),
        ("users.yaml", "users:\n  - telegram_id: { a: 1 }\n", 2, "a mapping is not a text or a whole number", ""),
        ("users.yaml", "users:\n  - telegram_id: yes\n", 2, "is not a text or a whole number", ""),
        ("users.yaml", "users:\n  - telegram_id: 1.5\n", 2, "is not a text or a whole number", ""),
        ("users.yaml", "users:\n  - telegram_id: -100123\n", 2, "is not a text or a whole number", ""),
        ("users.yaml", "users:\n  - telegram_id: \"-100123\"\n", 2, "no Telegram id of a person", "@userinfobot"),
        ("users.yaml", "users:\n  - telegram_id: \"@partner\"\n", 2, "`@partner` is no Telegram id", "@userinfobot"),
        ("users.yaml", "owner:\n  telegram_id: \"\"\n", 2, "no Telegram id", "@userinfobot"),
        ("users.yaml", "users:\n  - { id: A_B, local: [5] }\n", 2, "A_B", ""),
        ("users.yaml", "users:\n  - local: [-5]\n", 2, "", ""),
        ("users.yaml", "users:\n  - local: 5\n", 2, "", ""),
        ("users.yaml", "users: 5\n", 1, "", ""),
        ("limits.yaml", "runs:\n  memory: [1]\n", 2, "a list is not a text or a whole number", ""),
        ("limits.yaml", "runs:\n  pids: many\n", 2, "", ""),
        ("limits.yaml", "runs:\n  cpus: yes\n", 2, "is not a text or a number", ""),
        ("limits.yaml", "rate_limits:\n  anthropic:\n    daily_budget: -5\n", 3, "`-5` is not an amount", "$5.00"),
        ("settings.yaml", "local_only: perhaps\n", 1, "", ""),
    ] {
        check(name, text.as_bytes(), (line, message, hint));
    }
    // Ids may be numbers or texts.
    for id in ["987654321", "\"987654321\""] {
        let users = format!("users:\n  - {{ telegram_id: {id}, trust_level: trusted }}\n");
        let policy = load("users.yaml", users.as_bytes()).unwrap();
        assert_eq!(policy.principal_of_telegram(987654321).unwrap().person.as_str(), "987654321");
    }
}

#[test]
fn what_nobody_can_read_is_an_error_with_its_line() {
    let bomb = format!(
        "a: &a [x, x, x, x, x, x, x, x, x]\n{}exec:\n  allow: *i\n",
        ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi"]
            .map(|pair| {
                let (from, to) = pair.split_at(1);
                format!("{to}: &{to} [*{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}]\n")
            })
            .concat()
    );
    let errors = load("tools.yaml", bomb.as_bytes()).unwrap_err().to_string();
    assert!(errors.contains("tools.yaml:") && errors.len() < 2000, "{errors}");
    let repeated = format!("exec:\n  deny: &d [rm]\n  ask: [{}]\n", vec!["*d"; 100_000].join(", "));
    assert!(load("tools.yaml", repeated.as_bytes()).is_err());
    let deep = format!("exec:\n  allow: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let errors = load("tools.yaml", deep.as_bytes()).unwrap_err().to_string();
    assert!(errors.contains("tools.yaml:2:"), "{:.300}", errors);
    for (name, text, line, message, hint) in [
        ("tools.yaml", "exec:\n  allow: [git\u{202e}]\n", 2, "a bidirectional control (U+202E)", "remove it"),
        ("tools.yaml", "# fine\n# not\u{200b}\n", 2, "a zero-width character (U+200B)", "remove it"),
        ("users.yaml", "owner:\n  name: \"A\u{1b}[2J\"\n", 2, "an escape character (U+001B)", "remove it"),
        ("users.yaml", "owner:\n  name: \"A\\u202eB\"\n", 2, "no name that everybody can read", ""),
        ("users.yaml", "owner:\n  name: \"\"\n", 2, "no name", ""),
        ("limits.yaml", "runs:\n  pids: 5\0\n", 2, "a NUL (U+0000)", "remove it"),
        ("tools.yaml", "exec:\n  allow: [\"git\\u202e\"]\n", 2, "nobody can see", ""),
        ("tools.yaml", "exec:\n  deny: [\"a\\0\"]\n", 2, "nobody can see", ""),
        ("tools.yaml", "exec:\n  allow: [git]\n  allow: [rm]\n", 3, "`allow` stands here twice", "remove one"),
        ("tools.yaml", "exec:\n  allow: [git]\nfiles: {}\nexec:\n  deny: [git]\n", 4, "`exec` stands here twice", ""),
        ("users.yaml", "users:\n  - { id: a, local: [5], id: b }\n", 2, "`id` stands here twice", ""),
        ("limits.yaml", "rate_limits:\n  anthropic: {}\n  anthropic: {}\n", 3, "`anthropic` stands here twice", ""),
        ("tools.yaml", "exec:\n  allow: [git\n", 2, "unclosed bracket", ""),
        ("tools.yaml", "exec:\n\tallow: [git]\n", 2, "", ""),
    ] {
        check(name, text.as_bytes(), (line, message, hint));
    }
    check("tools.yaml", b"exec:\n  # caf\xe9\n  allow: [git]\n", (2, "not UTF-8", "UTF-8"));
    check("users.yaml", b"\xff\xfeo\0w\0n\0e\0r\0", (1, "not UTF-8", "UTF-8"));
    // Another system's lines, and its mark at the start, are nothing that hides.
    let windows = "\u{feff}exec:\r\n  allow: [git]\r\n";
    assert_eq!(load("tools.yaml", windows.as_bytes()).unwrap().allowed_patterns().unwrap(), ["git"]);
}

#[test]
fn a_script_that_nobody_can_read_is_refused_as_bad_input() {
    for (script, why) in [
        ("ls\0", "a NUL"),
        ("ls\r", "a carriage return"),
        ("ls\u{7f}", "a control character"),
        ("ls \u{2066}x", "a bidirectional control"),
        ("l\u{200d}s", "a zero-width character"),
        ("ls \u{3164}", "a blank filler"),
        ("ls \u{e0041}", "an invisible tag"),
    ] {
        let error = Script::new(format!("echo\n{script}")).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(why), "{error}");
    }
}

#[test]
fn a_rule_that_can_never_matter_is_an_error_that_names_both() {
    for (text, line, message) in [
        (
            "exec:\n  allow:\n    - git\n    - rm\n    - git\n",
            5,
            "`git` is on the list twice: also at `tools.yaml:3 git`",
        ),
        ("exec:\n  deny:\n    - sudo\n    - sudo\n", 4, "`sudo` is on the list twice: also at `tools.yaml:3 sudo`"),
        (
            "exec:\n  allow: [git]\n  ask: [git push]\nrequire_approval: [git push]\n",
            4,
            "also at `tools.yaml:3 git push`",
        ),
        (
            "exec:\n  deny:\n    - rm -rf\n    - rm -rf build\n",
            4,
            "`rm -rf build` can never matter: `tools.yaml:3 rm -rf` refuses",
        ),
        (
            "exec:\n  deny:\n    - rm -rf build\n    - rm -fr\n",
            3,
            "`rm -rf build` can never matter: `tools.yaml:4 rm -fr` refuses",
        ),
        ("exec:\n  deny:\n    - bash\n    - curl | bash\n", 4, "`curl | bash` can never matter: `tools.yaml:3 bash`"),
        ("exec:\n  deny:\n    - ./a.sh\n    - b/a.sh\n", 4, "`b/a.sh` can never matter: `tools.yaml:3 ./a.sh`"),
        (
            "exec:\n  allow: [git]\n  ask:\n    - git\n    - git push\n",
            5,
            "`git push` can never matter: `tools.yaml:4 git` asks",
        ),
        ("exec:\n  allow: [git]\n  deny: [git push]\n  ask: [git push -f]\n", 4, "`tools.yaml:3 git push` refuses"),
        ("exec:\n  allow: [./a.sh]\n  deny: [./a.sh]\n", 2, "`tools.yaml:3 ./a.sh` refuses"),
        (
            "exec:\n  allow:\n    - git\n    - git status\n",
            4,
            "`git status` can never matter: `tools.yaml:3 git` allows",
        ),
        (
            "exec:\n  allow:\n    - git status\n    - git\n",
            3,
            "`git status` can never matter: `tools.yaml:4 git` allows",
        ),
        ("exec:\n  allow: [git]\n  ask: [npm]\n", 3, "`npm` can never matter: `npm` is not on the list `allow:`"),
        ("exec:\n  ask: [terraform apply]\n", 2, "`terraform` is not among the basic tools"),
        ("exec:\n  allow: [git]\nrequire_approval: [delete, npm]\n", 3, "`npm` is not on the list `allow:`"),
        (
            "exec:\n  allow: [git]\n  deny: [git push]\nrequire_approval: [git push]\n",
            4,
            "`tools.yaml:3 git push` refuses",
        ),
        ("exec:\n  allow: [curl, jq, curl | jq]\n", 2, "`curl | jq` permits nothing: list its programs one by one"),
    ] {
        check("tools.yaml", text.as_bytes(), (line, message, "remove it"));
    }
    for text in [
        "exec:\n  allow: [git, { run: git push, approval: always }, { run: git fetch, network: [a.example] }, curl, jq]\n",
        "exec:\n  allow: [git]\n  ask: [{ run: git, approvers: [owner] }, git push]\n",
        "exec:\n  deny: [rm -rf, { run: rm -rf /, why: never }]\n",
        "exec:\n  allow: [git, curl, jq]\n  ask: [git push, curl | jq, ./app]\n  deny: [sudo, npm]\n",
        "exec:\n  allow: [git status, git log]\n  ask: [git log -p]\n",
        "exec:\n  allow: [git]\n  ask: [xargs, timeout 5 git]\n",
        "exec:\n  ask: [git push]\n",
    ] {
        assert!(
            load("tools.yaml", text.as_bytes()).is_ok(),
            "{text}: {}",
            load("tools.yaml", text.as_bytes()).unwrap_err()
        );
    }
}

#[test]
fn a_policy_with_one_mistake_is_no_policy() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    std::fs::write(dir.path().join("tools.yaml"), "exec:\n  allow: [git]\n  dney: [rm]\n").unwrap();
    std::fs::write(dir.path().join("users.yaml"), "users:\n  - { telegram_id: 5, tools: [exce] }\n").unwrap();
    std::fs::write(dir.path().join("limits.yaml"), "runs:\n  memory: lots\n").unwrap();
    let errors = load_policy(dir.path(), Path::new("/srv/castoff")).unwrap_err();
    let files: Vec<_> = errors.0.iter().map(|error| error.file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(files, ["limits.yaml", "tools.yaml", "users.yaml"]);
}

#[test]
fn a_mistake_in_a_long_line_is_told_in_few_words() {
    for text in [
        format!("exec:\n  allow: [\"{}\"]\n", "a;".repeat(200_000)),
        format!("exec:\n  allow: [git, {}, \"a;b\"]\n", "a".repeat(100_000)),
        format!("exec:\n  allow: [git]\n  {}: 1\n", "a".repeat(100_000)),
    ] {
        let errors = load("tools.yaml", text.as_bytes()).unwrap_err();
        let shown = errors.to_string();
        assert!(!errors.0.is_empty() && shown.len() < 3000, "{} bytes", shown.len());
    }
    let many = format!("exec:\n  allow:\n{}", "    - a;b\n".repeat(200));
    let errors = load("tools.yaml", many.as_bytes()).unwrap_err();
    assert_eq!(errors.0.len(), 200);
    assert!(errors.to_string().ends_with("and 170 more"));
}
