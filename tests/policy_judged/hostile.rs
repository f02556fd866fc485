//! Hostile text: it never overflows a stack, and never takes the parser or the judge long.

use std::thread;
use std::time::Duration;

use castoff::domain::record::Verdict;
use castoff::domain::script::{SCRIPT_BYTES_MAX, Script};
use castoff::policy::Parsed;

use super::{each, policy};

/// Units that are repeated, with what stands before and after.
const REPEATED: &[(&str, &str, &str)] = &[
    ("[[ ", "! ", "a ]]"),
    ("[[ ", "a && ", "a ]]"),
    ("", "! ", "a"),
    ("echo ", "$[", ""),
    ("", "a[", "1"),
    ("echo ", "${a[", ""),
    ("cat <<E\n$(a ", "Y$((a[s&Y$ (a[s", "\nE"),
    ("cat <<E\n", "\"${a[b c$", "\nE"),
    ("cat <<E\n.$(((?", "(", "?7?<<\nE"),
    ("echo $((1<<2))\n", "( ", ""),
    ("cat <<E\n", "\"${a[a[${o?", " \nE"),
    ("echo \"${a[b ${a[b ${a[b ${a[b ${a[b ${a[b ", "]} ", "\""),
    ("echo \"", "${a[x(@]} ", "\""),
    ("echo \"", "${a[x\\]} ", "\""),
    ("echo \"", "${a:x(} ", "\""),
    ("echo \"", "$[x(] ", "\""),
    ("cat <<E\n$(", "(", "x${a[r${a[s\nE"),
    ("`'`s\n", "(", "2(((((((("),
    ("", "while ", "a"),
    ("", "until a; ", "b"),
    ("", "time ", "a"),
    ("", "coproc ", "a"),
    ("", "function f ", "a"),
    ("if a; then b; ", "elif a; then b; ", "fi"),
    ("", "for a in ", "b"),
    ("", "select a in b; ", "c"),
    ("", "\"", ""),
    ("", "'", ""),
    ("", "$'", ""),
    ("", "\"$", ""),
    ("", "\\", ""),
    ("", "<<E ", ""),
    ("", "<<<a ", ""),
    ("", ">a ", ""),
    ("", "a&", ""),
    ("a", "|a", ""),
    ("a", "&&a", ""),
    ("", "a=b ", ""),
    ("a=(", "b ", ")"),
    ("echo ", "[a-", ""),
    ("echo ", "@", ""),
    ("echo $((", "-", "1))"),
    ("((", "1?1:", "1))"),
    ("", "a;", ""),
    ("", "a\n", ""),
    ("case a in ", "a) b;; ", "esac"),
    ("case a in ", "a|", "a) b;; esac"),
    ("", "case a in a) ", ""),
    ("", "$(", ""),
    ("", "( ", ""),
    ("", "`", ""),
    ("", "${a:-", ""),
    ("", "{ ", ""),
    ("", "if ", "a"),
    ("", "{a,", ""),
    ("", "f()", "a"),
    ("", "eval ", "a"),
    ("", "env ", "a"),
    ("", "xargs ", "a"),
    ("", "@(a|", ""),
    ("", "a+=(", ""),
    ("cat <<E\n", "$(a ", "\nE"),
    ("", "\\\n", ""),
    ("ls ", "=/a", ""),
    ("ls ", ":~/", ""),
    ("ls ", "@/a ", ""),
    ("echo \"", "$a", "\""),
    ("", "x=1$x\n", "cat $x"),
    ("", "x=$x$x$x$x\n", "cat $x"),
    ("x=", "$x", "\ncat $x"),
    ("x=/a\nx=/b\ncat ", "$x", ""),
    ("x=/a\nx=/b\ncat ", "$x ", ""),
    ("x=/a\nx=/b\ncat ", "\"$x$x$x$x\" ", ""),
    ("x=", "${a:-$}", "\n((x))"),
    ("shopt -s nullglob\n", "a* ", ""),
    ("shopt -s nullglob\n", "a *\n", ""),
    ("f() { :; }; ", "f '$x'; ", "((x))"),
    ("printf -v x '", "\\x2", "'; ((x))"),
    ("cp a b\n", ". x/bin/activate\n", ""),
    (". x/bin/activate\n", "cp a $b\n", ""),
];

fn hostile(count: impl Fn(usize) -> usize) -> impl Iterator<Item = String> {
    REPEATED.iter().map(move |(before, unit, after)| format!("{before}{}{after}", unit.repeat(count(unit.len()))))
}

fn parse(text: String) {
    if let Ok(script) = Script::new(text) {
        drop(Parsed::new(script));
    }
}

#[test]
fn what_is_parsed_on_the_callers_stack_fits_into_a_small_one() {
    // Half of what a thread of the runtime has.
    let small = thread::Builder::new().stack_size(1 << 20);
    let parsed = small.spawn(|| {
        for count in 1..=16 {
            hostile(|_| count).for_each(parse);
        }
        hostile(|unit| 4000 / unit).for_each(parse);
    });
    parsed.unwrap().join().unwrap();
}

/// Words that are none before their quotes or joined lines are taken away, so that only a text inside is hostile.
const SPLIT: &[(&str, &str, &str)] = &[
    ("eval ", "wh''ile ", "a"),
    ("eval ", "\\while ", "a"),
    ("eval ", "$'\\x77hile' ", "a"),
    ("", "wh\\\nile ", "a"),
    ("bash -c \"", "wh\\\nile ", "a\""),
    ("eval ", "ti''me ", "a"),
    ("eval ", "co''proc ", "a"),
    ("eval ", "i''f ", "a"),
    ("eval ", "\\! ", "a"),
    ("eval [''[ ", "\\! ", "a ]]"),
    ("eval ", "'{' ", "a"),
    ("eval ", "'(' ", "a"),
    ("eval ", "ca''se a in 'a)' ", "a"),
    ("eval ", "ca\\se a in a\\) ", "a"),
    ("", "ca\\\nse a in a) ", "a"),
    ("", "case a in a) : esac; ", "a"),
    ("", "while a; do : done; ", "a"),
    ("", "if a; then : fi; ", "a"),
    ("", "{ : }; ", "a"),
    ("eval echo ", "\\$[", ""),
    ("eval echo ", "\\${a[", ""),
    ("eval cat ", "\\<\\<E ", ""),
    ("bash <<< ", "$'while '", "a"),
];

fn split(count: usize) -> impl Iterator<Item = String> {
    SPLIT.iter().map(move |(before, unit, after)| format!("{before}{}{after}", unit.repeat(count)))
}

#[test]
fn what_a_script_runs_is_bounded_as_the_script_is() {
    // As much as a thread of the runtime has.
    let small = thread::Builder::new().stack_size(2 << 20);
    let parsed = small.spawn(|| {
        for count in [1, 4, 8, 12, 16, 64, 150, 300, 500, 2000] {
            for text in split(count) {
                parse(format!("bash -c {}", shlex::try_quote(&text).unwrap()));
                parse(format!("eval eval eval {text}"));
                parse(text);
            }
        }
        // Deep by what stands around it.
        let nested = (0..8).fold("{ { { { { { a; }; }; }; }; }; }".to_owned(), |text, at| {
            format!("{{ {{ {{ {{ bash <<'E{at}'\n{text}\nE{at}\n}}; }}; }}; }}")
        });
        parse(nested);
        parse(format!("{}{}", "eval ".repeat(30), "'{ { { { { { { { { { a; }; }; }; }; }; }; }; }; }; }'"));
    });
    parsed.unwrap().join().unwrap();
}

#[test]
fn a_text_that_is_run_often_is_not_parsed_as_often() {
    let runs = |times: usize| {
        let text = ": a a a\n".repeat(200);
        format!("cat >f <<'E'\n{text}E\n{}", "bash f\n".repeat(times))
    };
    let policy = policy("exec:\n  allow: [cat]\n");
    each(&policy, Verdict::Ask, &[&runs(4000)]);
    each(&policy, Verdict::Allow, &[&runs(10)]);
}

#[test]
fn text_at_the_cap_ends_soon_and_in_order() {
    let basics = std::sync::Arc::new(policy(""));
    for text in hostile(|unit| (SCRIPT_BYTES_MAX - 64) / unit).chain(hostile(|_| 16)).chain(hostile(|_| 64)) {
        let Ok(script) = Script::new(text) else { continue };
        let (done, ended) = std::sync::mpsc::channel();
        let text: String = script.as_str().chars().take(40).collect();
        let basics = std::sync::Arc::clone(&basics);
        thread::spawn(move || {
            let owner = basics.principal("owner").unwrap();
            done.send(Parsed::new(script).map(|parsed| basics.judge(&owner, parsed)).is_ok())
        });
        // Ample, for a busy machine and a debug build: the bench holds the bound itself.
        assert!(ended.recv_timeout(Duration::from_secs(10)).is_ok_and(|ok| ok), "{text}");
    }
}

#[test]
fn random_words_of_the_shell_never_overflow() {
    let words = [
        "$(",
        ")",
        "`",
        "\"",
        "'",
        "${",
        "}",
        "((",
        "))",
        "<<E\n",
        "E\n",
        "\n",
        ";",
        "&",
        "|",
        "<(",
        "$'",
        "\\",
        "{",
        ",",
        "case ",
        " in ",
        "esac",
        "do ",
        "done",
        "if ",
        "then ",
        "fi",
        "[[ ",
        " ]]",
        "=",
        "(",
        "#",
        "!",
        "~",
        "*",
        "..",
        "${a:",
        "$[",
        "]",
        "a[",
        ":-",
        "while ",
        "for ",
        "a ",
        "function ",
        "coproc ",
        "time ",
        "eval ",
        "sh -c ",
    ];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..24 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text.push_str(words[usize::try_from(seed % words.len() as u64).unwrap()]);
        }
        parse(text);
    }
}

/// The parser looks for the empty text at the end of these for ever, and keeps a token each time, where no line follows.
#[test]
fn a_here_document_that_ends_at_nothing_ends() {
    let policy = policy("exec:\n  allow: [cat, grep, bash, a, cd]\n  deny: [sudo]\n");
    let endless = [
        "cat <<\"\" -e b ] (rm |c)$ ]]\n",
        "cat <<'' x",
        "'cat'\\<<<'' x # y",
        "cat <<-'\"' \nx",
        "cat <\\\n<'' x",
        "cat <<<<<'' x",
        "cat <<''",
        "cat <<'' <<''",
        "cat <<'' <<'' # x",
        "$(cat <<  ",
        "$(cat <<  (<< ' 'x ",
        "sed<<<<<<<<o  <]]<E\npr=nt(<$(<<  (<<<<<<  ' 'rm -B] rm rm -sedf ",
        "${x<<  ${y<< ",
        "a E<'\na<<'E'0\nE\ncc\nca\ncaat <<'\"' \n",
        "bash -c $'cat \\x3c\\x3c\"\" -e b ] (rm |c)$ ]]\\n'",
    ];
    for script in endless {
        for script in [script.to_owned(), format!("echo $({script}"), format!("{script} "), format!("{script} \\\n ")] {
            drop(Parsed::new(Script::new(script).unwrap()));
        }
    }
    // What is refused is refused beside it, and others are read as ever.
    each(&policy, Verdict::Deny, &["sudo id; cat <<'' x"]);
    let read = ["cat <<'E'\nx\nE\n", "cat <<-\\E\nx\nE\n", "grep '<<<<<<< HEAD' a.txt", "cat <<< ''", "cat <<< a"];
    each(&policy, Verdict::Allow, &read);
}
