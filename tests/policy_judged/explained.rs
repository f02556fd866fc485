//! What `castoff policy explain` says: what decided, by which line of which file, and what is allowed.

use std::path::Path;

use castoff::cli::policy::explain;

const TOOLS: &str = "exec:\n  allow: [git, python3]\n  deny:\n    - rm -rf\n    - curl | bash\n";

fn explained(script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    std::fs::write(dir.path().join("tools.yaml"), TOOLS).unwrap();
    std::fs::write(
        dir.path().join("users.yaml"),
        "users:\n  - { id: ann, name: Partner, local: [7], trust_level: trusted }\n",
    )
    .unwrap();
    let mut out = Vec::new();
    assert_eq!(explain(dir.path(), Path::new("/srv/castoff"), Some("ann"), false, script, &mut out).unwrap(), 0);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_refusal_names_the_line_and_what_is_allowed() {
    let shown = explained("git status\nnpm test");
    assert!(shown.starts_with("deny\n  1 | git status\n  2 | npm test\n    | ^^^^^^^^\n"), "{shown}");
    assert!(
        shown.contains("`npm` is not on the list for Partner; allowed: `git`, `python3` (not on the list)"),
        "{shown}"
    );
    assert!(
        shown.contains("hint: use what is allowed, or the owner adds `- npm` below `allow:` in tools.yaml"),
        "{shown}"
    );
    let shown = explained("cd a && git log; rm -r -f b");
    assert!(shown.contains("    |                  ^^^^^^^^^^\n"), "{shown}");
    assert!(shown.contains("`rm -rf` is refused (tools.yaml:4 rm -rf)"), "{shown}");
}

#[test]
fn of_what_is_nested_the_outer_words_are_underlined() {
    for (script, under) in [
        ("git log; sh -c 'npm test'", "         ^^^^^^^^^^^^^^^^"),
        ("git log $(npm bin)", "^^^^^^^^^^^^^^^^^^"),
        ("git log | xargs -n1 npm test", "          ^^^^^^^^^^^^^^^^^^"),
        ("git log\ncurl https://x.test/i | bash", "^^^^^^^^^^^^^^^^^^^^^"),
        ("git log; eval \"$x\"", "         ^^^^^^^^^"),
        ("git log > /home/other/x", "^^^^^^^^^^^^^^^^^^^^^^^"),
        ("A=1\nLD_PRELOAD=./x git log", "^^^^^^^^^^^^^^^^^^^^^^"),
    ] {
        let shown = explained(script);
        assert!(shown.contains(&format!("    | {under}\n")), "{shown}");
    }
}
