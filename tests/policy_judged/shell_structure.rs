//! A command that hides in the structure of the shell is still found.

use castoff::domain::record::Verdict::{Allow, Ask, Deny};

use super::{each, none_allowed, policy};

const ECHO: &str = "exec:\n  allow: [echo, cat, ls, git]\n  deny: [rm]\n";

#[test]
fn a_second_command_behind_a_first_that_is_allowed() {
    each(
        &policy(ECHO),
        Deny,
        &[
            "echo a && touch b",
            "echo a || touch b",
            "echo a; touch b",
            "echo a\ntouch b",
            "echo a & touch b",
            "echo a | touch b",
            "echo a |& touch b",
            "! touch b",
            "time touch b",
            "{ touch b; }",
            "( touch b )",
            "if touch b; then echo a; fi",
            "if echo a; then echo b; elif touch c; then echo d; fi",
            "while touch b; do echo a; done",
            "until touch b; do echo a; done",
            "for x in 1 2; do touch $x; done",
            "for ((i = 0; i < 2; i++)); do touch $i; done",
            "case a in a) touch b;; esac",
            "case a in a) echo x;& b) touch b;; esac",
            "f() { touch b; }; f",
            "function f { touch b; }\nf",
        ],
    );
}

#[test]
fn a_command_inside_a_word() {
    each(
        &policy(ECHO),
        Deny,
        &[
            "echo $(rm a)",
            "echo `rm a`",
            "echo \"$(rm a)\"",
            "echo \"`rm a`\"",
            "echo \"a $(echo \"b $(rm c)\")\"",
            "echo ${x:-$(rm a)}",
            "echo ${x:=`rm a`}",
            "echo ${x/a/$(rm a)}",
            "echo ${x%$(rm a)}",
            "echo ${x:$(rm a)}",
            "echo ${a[$(rm a)]}",
            "echo $(( 1 + $(rm a) ))",
            "x=$(rm a)",
            "x=(1 $(rm a))",
            "x[$(rm a)]=1",
            "cat <(rm a)",
            "echo a > >(rm a)",
            "cat <<< \"$(rm a)\"",
            "cat <<E\n$(rm a)\nE",
            "cat <<E\n`rm a`\nE",
            "[[ -n $(rm a) ]]",
            "case $(rm a) in a) ;; esac",
            "for x in $(rm a); do echo $x; done",
            "echo a > \"$(rm a)\"",
        ],
    );
    each(&policy(ECHO), Allow, &["cat <<'E'\n$(rm a)\nE", "echo '$(rm a)'", "echo \\$\\(rm a\\)", "# $(rm a)\necho a"]);
}

#[test]
fn a_program_that_is_spelled_otherwise() {
    each(
        &policy(ECHO),
        Deny,
        &[
            "r''m a",
            "'r'm a",
            "\"rm\" a",
            "r\\m a",
            "r\\\nm a",
            "$'rm' a",
            "$'\\x72m' a",
            "$'\\162m' a",
            "/bin/rm a",
            "{rm,a}",
        ],
    );
    none_allowed(
        &policy(ECHO),
        &[
            "$(echo rm) a",
            "x=rm; $x a",
            "rm${IFS}a",
            "${x:-rm} a",
            "r{m..m} a",
            "\u{ff52}\u{ff4d} a",
            "r?m a",
            "/bin/r* a",
        ],
    );
}

#[test]
fn a_name_that_means_something_else_here() {
    each(
        &policy(ECHO),
        Ask,
        &[
            "git() { echo a; }; git",
            "alias git=echo; git",
            "coproc git status",
            "enable -f ./x.so git",
            "hash -p ./x git",
        ],
    );
    each(&policy(ECHO), Deny, &["./echo a", "/tmp/echo a", "sub/git status", "/usr/bin/../../tmp/echo a"]);
}

#[test]
fn where_the_parser_is_known_to_be_wrong() {
    none_allowed(
        &policy(ECHO),
        &[
            "( ( rm a ) )",
            "((rm a) )",
            "(( rm a ) )",
            "echo ${ rm a; }",
            "echo ${| rm a; }",
            "echo $[ $(rm a) ]",
            "for (",
        ],
    );
}

#[test]
fn quotes_that_are_none() {
    each(
        &policy(ECHO),
        Deny,
        &[
            "echo \"${x-'$(rm a)'}\"",
            "echo \"${x-'}$(rm a)'}\"",
            "cat <<E\n${x-'$(rm a)'}\nE",
            "echo \"`echo \\\"'\\\" ; rm \\\"'\\\"`\"",
            "echo `A='\\\\''b' rm a\\\\''c'`",
            "echo `r\\\\\nm a`",
            "echo `\\\\rm a`",
        ],
    );
    none_allowed(&policy(ECHO), &["echo $'a\\\nb'", "declare -a x='($(rm a))'", "local x='($(rm a))'"]);
    each(&policy(ECHO), Allow, &["echo ${x:-'a b'} `echo \"a\"`", "echo $'a' \\\n b", "declare -a x=(1 2)"]);
}

#[test]
fn what_looks_like_another_character_is_no_script() {
    for text in ["echo a\u{0}b", "echo a\rrm b", "r\u{200b}m a", "echo \u{202e}a", "echo \u{1b}[2Ka", "echo a\u{feff}"]
    {
        assert!(castoff::domain::script::Script::new(text.to_owned()).is_err(), "{text:?}");
    }
}

#[test]
fn a_mistake_of_grammar_hides_nothing_that_is_refused() {
    each(
        &policy(ECHO),
        Deny,
        &[
            "rm a;; echo b",
            "rm a; echo b 99999999999>c",
            "echo a\nrm b\nif",
            "echo a | rm b && (",
            "bash -c 'rm a; fi'",
        ],
    );
    each(&policy(ECHO), Ask, &["echo a;; echo b", "echo 99999999999>c", "echo 'rm a' ) "]);
}
