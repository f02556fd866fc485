//! What an owner writes into a rule has an effect, or is an error: paths, words that are not known, and
//! what is no pattern at all.

use castoff::domain::record::Verdict::{Allow, Ask, Deny};
use castoff::policy::Pattern;

use super::{decision, each, policy};

/// Each script is refused by this very rule, not for another reason alone.
fn refused_by(rules: &str, rule: &str, scripts: &[&str]) {
    let policy = policy(rules);
    for script in scripts {
        let found = decision(&policy, script);
        let by = |reason: &castoff::domain::record::Reason| reason.rule.ends_with(rule);
        assert!(found.verdict == Deny && found.reasons.iter().any(by), "{script}: {:?}", found.reasons);
    }
}

#[test]
fn a_rule_that_names_a_file_by_its_path_refuses_it_by_any_path() {
    let scripts = [
        "./deploy.sh",
        "./deploy.sh prod",
        "cd scripts && ../deploy.sh",
        "git status; env A=1 ./deploy.sh",
        "$PWD/deploy.sh",
        "make && ./deploy.sh",
        "bash deploy.sh",
        "sh -x ./deploy.sh",
        ". ./deploy.sh",
        "source deploy.sh",
    ];
    for rule in ["./deploy.sh", "scripts/deploy.sh", "deploy.sh"] {
        refused_by(&format!("exec:\n  allow: [git, make, bash]\n  deny: [{rule}]\n"), rule, &scripts);
    }
    let rules = "exec:\n  allow: [bash, python3, ./deploy.sh, ./other.sh]\n  deny: [./tool.py, ./deploy.sh prod]\n";
    refused_by(rules, "./tool.py", &["python3 tool.py", "python3.12 -u ./tool.py x", "./tool.py"]);
    refused_by(rules, "./deploy.sh prod", &["./deploy.sh prod", "bash deploy.sh prod", "./deploy.sh -v prod"]);
    each(&policy(rules), Allow, &["./deploy.sh test", "./other.sh prod", "python3 other.py tool.py"]);
    let asks = policy("exec: { allow: [git, ./deploy.sh], ask: [./deploy.sh] }");
    each(&asks, Ask, &["./deploy.sh", "git log; env A=1 ./deploy.sh x", "timeout 5 ./deploy.sh"]);
    // A rule that permits means the very file.
    each(&asks, Deny, &["x/deploy.sh", "deploy.sh", "/bin/deploy.sh"]);
    each(&policy("exec: { allow: [/usr/sbin/fdisk] }"), Allow, &["/usr/sbin/fdisk -v"]);
    refused_by("exec: { allow: [cat], deny: [/usr/bin/git] }", "/usr/bin/git", &["git log", "/usr/local/bin/git log"]);
    let piped = "exec: { allow: [cat, bash], deny: [/usr/bin/cat | /bin/bash] }";
    refused_by(piped, "/usr/bin/cat | /bin/bash", &["cat x | bash", "bash <(cat x)"]);
}

#[test]
fn a_word_that_is_not_known_may_be_the_one_of_a_rule() {
    let rules = "exec:\n  allow: [make, tool, rm, cat, { run: tool run deploy, approval: always }]\n  deny: [make deploy, rm -rf, cat -n | bash]\n";
    let (asking, strict) = (policy(rules), policy(&format!("{rules}  cannot_tell: deny\n")));
    for script in [
        "x=oy; make depl$x",
        "x=oy; make \"depl$x\"",
        "x=oy; make -j4 all depl${x}",
        "x=' deploy'; make all$x",
        "make -- $x",
        "make depl*",
        "make [d]eploy",
        "make ?eploy",
        "make *",
        "make all *eploy",
        "make $(cat target)",
        "make \"$@\"",
        "x=oy; tool run depl$x",
        "tool run $x",
        "tool $x",
        "tool run d*y",
        "rm f$x",
        "rm -r* a",
        "cat $x f | bash",
    ] {
        let found = decision(&asking, script);
        assert_eq!(found.verdict, Ask, "{script}: {:?}", found.reasons);
        let told = |reason: &castoff::domain::record::Reason| reason.text.contains("words are not known");
        assert!(found.reasons.iter().any(told), "{script}: {:?}", found.reasons);
        assert_eq!(decision(&strict, script).verdict, Deny, "{script}");
    }
    each(
        &asking,
        Allow,
        &[
            "make all",
            "make \"file-$x\"",
            "make test src/*.c",
            "make a b/*",
            "rm \"f$x\"",
            "rm a/*",
            "tool test \"$x\"",
            "tool run \"test-$x\"",
        ],
    );
    each(&asking, Deny, &["make deploy", "make all deploy", "make -- deploy", "cat -n f | bash"]);
}

#[test]
fn a_tool_under_require_approval_asks_or_is_shown() {
    let asks = policy("exec: { allow: [git], require_approval: [exec] }\nrequire_approval: [send_email, delete]\n");
    each(&asks, Ask, &["git log", "cd a"]);
    each(&asks, Deny, &["npm test"]);
    assert_eq!(asks.listing().effects, ["exec", "send_email", "delete"]);
    let rights = asks.rights(&asks.principal("owner").unwrap());
    assert!(rights.asks.contains(&"before every script".to_owned()), "{rights:?}");
    each(&policy("exec: { allow: [git] }\nrequire_approval: [send_email]\n"), Allow, &["git log"]);
}

#[test]
fn flags_with_values_and_a_double_dash_mean_what_they_say() {
    let policy = policy("exec:\n  allow: [make --file=a all, git log, git checkout --]\n  ask: [git log -- secret]\n");
    each(&policy, Allow, &["make --file=a all", "git checkout -- f"]);
    each(&policy, Deny, &["make --file=b all", "make all", "git checkout f"]);
    each(&policy, Ask, &["git log -- secret", "git log -p -- secret"]);
}

#[test]
fn a_pattern_is_one_command_or_commands_that_feed_one_another() {
    for text in [
        "git",
        "git push",
        "rm -rf",
        "sudo rm",
        "curl | bash",
        " curl  |  sh -s ",
        "find -exec rm {} +",
        "git checkout -- .",
    ] {
        assert!(Pattern::new(text).is_ok(), "{text}");
    }
    for (text, why) in [
        ("git push && ls", "one command"),
        ("a; b", "one command"),
        ("a;", "one command"),
        ("a || b", "a program is missing"),
        ("a & b", "one command"),
        ("a &", "one command"),
        ("a |& b", "one command"),
        ("a\nb", "one command"),
        ("a # b", "one command"),
        ("(a)", "one command"),
        ("{ a; }", "one command"),
        ("! a", "one command"),
        ("if a; then b; fi", "one command"),
        ("f() { a; }", "one command"),
        ("a > b", "one command"),
        ("A=1 b", "one command"),
        ("A=1", "one command"),
        ("a $(b)", "plain text"),
        ("a <(b)", "one command"),
        ("a $x", "plain text"),
        ("a*", "plain text"),
        ("a |", "a program is missing"),
        ("", "a program is missing"),
        ("a \u{202e}", "nobody can see"),
    ] {
        let error = Pattern::new(text).expect_err(text).to_string();
        assert!(error.contains(why), "{error}");
        assert!(!error.contains('\u{202e}'), "{error}");
    }
}

#[test]
fn of_many_rules_about_one_program_each_one_holds() {
    let list = |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let many: Vec<String> = (0..50).map(|number| format!("tool a{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rules = format!(
        "exec:\n  allow: [{}, \"tool -v\", \"tool x y\"]\n  deny: [\"tool a7 b\", \"tool --force\"]\n  ask: [\"tool a8 c\"]\n",
        list(&many)
    );
    let policy = policy(&rules);
    each(&policy, Allow, &["tool a0", "tool a49 x", "tool -v", "tool x y z", "/usr/bin/tool -q a3"]);
    each(&policy, Ask, &["tool a8 c", "tool a8 x c"]);
    each(
        &policy,
        Deny,
        &[
            "tool",
            "tool b",
            "tool a50",
            "tool x",
            "tool b a0",
            "tool a7 b",
            "tool a7 x b",
            "tool a1 --force",
            "tool \"$x\"",
        ],
    );
    // Of the words that a refusal names any may be the one that is not known.
    each(&policy, Ask, &["tool a0 \"$x\" b", "tool a0 $x"]);
}
