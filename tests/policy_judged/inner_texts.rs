//! Texts that a shell reads from a file or from its input: they are judged where it is sure what they hold. In each of
//! the others bash starts `./p`, though the text that was judged does not name it.

use castoff::domain::record::Verdict::Allow;

use super::{each, none_allowed, policy, preset};

const TOOLS: &str = "exec:\n  allow: [echo, cat, ls, tee, cp, mv, ln, chmod, date, grep, sed, head, read]\n";

/// Neither where a doubt asks nor where it is a refusal.
fn never_allowed(scripts: &[&str]) {
    none_allowed(&policy(TOOLS), scripts);
    none_allowed(&preset("strict", &["echo"]), scripts);
}

#[test]
fn a_file_of_which_not_all_was_written_here() {
    never_allowed(&[
        "echo ./p >f\ncat >> f <<'E'\nls\nE\nbash f",
        "echo ./p >f\ncat 3<>f <<'E'\nls\nE\nbash f",
        "cat 2>f <<'E'\nls\nE\nbash f",
        "cat <>f <<'E'\nls\nE\nbash f",
        "cat >f 3<<'E'\nls\nE\nbash f",
        "cat >f - <<'E'\nls\nE\nbash f",
        "cat {x}>f <<'E'\nls\nE\nbash f",
        "cat >f {x}<<'E'\nls\nE\nbash f",
        "cat >f <<'E' <g\nls\nE\nbash f",
        "cat >f >g <<'E'\nls\nE\nbash f",
    ]);
}

#[test]
fn a_file_that_is_written_again() {
    never_allowed(&[
        "cat >f <<'E'\nls\nE\necho ./p >x >f; bash f",
        "cat >f <<'E'\nls\nE\ncat > .//f <<< ./p; bash f",
        "cat >f <<'E'\nls\nE\necho ./p > \"$PWD\"/f; bash f",
        "cat >f <<'E'\nls\nE\necho ./p > sub/../f; bash f",
        "cat >f <<'E'\nls\nE\necho ./p | tee ./sub/../f; bash f",
        "cat >f <<'E'\nls\nE\n{ echo ./p; } >f\nbash f",
        "cat >f <<'E'\nls\nE\n( echo ./p ) &>f\nbash f",
        "cat >f <<'E'\nls\nE\nif :; then echo ./p; fi >>f\nbash f",
        "cat >f <<'E'\nls\nE\n{ echo ./p >&3; bash f; } 3>f",
        "cat >f <<'E'\nls\nE\n>f\nbash f",
        "cat >f <<'E'\nls\nE\necho ./p > >(cat >f)\nbash f",
        "exec 3>f\ncat >f <<'E'\nls\nE\necho ./p >&3; bash f",
        "cat >f <<'E'\necho ./p >> f\nE\nbash f",
        "cat >f <<'E'\ncp g f\nE\nbash f",
        "cat >f <<'E'\ntee f <<< ./p\nE\nbash f",
    ]);
}

#[test]
fn a_file_that_could_not_be_written_or_is_elsewhere() {
    never_allowed(&[
        "set -C\ncat >f <<'E'\nls\nE\nbash f",
        "set -euC\ncat >f <<'E'\nls\nE\nbash f",
        "set -o noclobber; cat >f <<'E'\nls\nE\nbash f",
        "set \"$x\"; cat >f <<'E'\nls\nE\nbash f",
        "cat >f <<'E'\n./p\nE\nchmod 444 f\ncat >f <<'E'\nls\nE\nbash f",
        "umask 222; echo ./p >f; cat >f <<'E'\nls\nE\nbash f",
        "ln -s g f; cat >f <<'E'\nls\nE\necho ./p >g; bash f",
        "trap 'cp g f' DEBUG; cat >f <<'E'\nls\nE\nbash f",
        "x=$(cd sub; cat >f <<'E'\nls\nE\n); bash f",
        "bash -c 'cd sub; cat >f <<\"E\"\nls\nE\n'; bash f",
    ]);
    // What it holds if it could not be written is nothing that a strict policy takes for known.
    none_allowed(&preset("strict", &[]), &["cat >f <<'E'\nls\nE\nbash f"]);
}

#[test]
fn a_file_that_is_what_was_written() {
    each(
        &policy(TOOLS),
        Allow,
        &[
            "cat >f <<'E'\nls\nE\nbash f",
            "cat 1>|f 0<<E\nls\nE\nbash ./f",
            "cat <<'E' > sub/f\nls\nE\nchmod +x sub/f\nsub/f",
            "set -euo pipefail\nset -- a b\ncat >f <<'E'\nls\nE\necho a >g 2>&1; bash f >out 2>&1",
            "trap 'ls' EXIT INT; cat >f <<'E'\nls | tee out\necho a > out\nE\n{ echo a; bash f; } > log",
            "cat >f <<'E'\nls\nE\ncat >g <<'E'\ndate\nE\nbash f; bash g",
        ],
    );
}

#[test]
fn an_input_that_is_another_text() {
    never_allowed(&[
        "bash <<< ls < p",
        "bash <<< ls <<< ./p",
        "bash <<< ls <<'E'\n./p\nE",
        "bash <<< ls 0<> p",
        "bash <<< ls <&3",
        "<<< ls bash < p",
        "echo ./p | bash 3<<< ls",
        "echo ./p | bash {x}<<< ls",
        "bash <<< 'ls '\\;'./p'",
        "bash <<< $'ls \\x3b ./p'",
        "bash <<< \"ls $x\"",
        "bash <<E\necho \\\\\\; ./p\nE",
        "bash <<E\n'ls' ; './p'\nE",
    ]);
    let read = ["bash <<< ls", "bash < p <<< 'ls'", "bash 3<g <<< \"ls\" 2>&1 >out", "bash <<E\n'ls' 'a b'\nE"];
    each(&policy(TOOLS), Allow, &read);
}

#[test]
fn an_input_of_which_others_read() {
    never_allowed(&[
        "bash <<'E'\nread x\n: '\n./p #'\nE",
        "bash <<'E'\nread -n 2\n: ./p\nE",
        "sh <<'E'\nls; head -n 1\n: '\n./p #'\nE",
        "bash <<'E'\nsed -u 1q\n: '\n./p #'\nE",
        "bash <<'E'\nif ls; then grep -m1 .; fi\n: '\n./p #'\nE",
    ]);
    none_allowed(&preset("strict", &[]), &["bash <<'E'\nls\ndate\nE"]);
    each(
        &policy(TOOLS),
        Allow,
        &[
            "bash <<'E'\nls | head -n 1\nhead -3 a.txt\nsed -n 1p a\ngrep a b\ndate\nE",
            "bash <<'E'\ncd sub\nwhile read -r x; do echo \"$x\"; done < a.txt\nread x <<< a\nE",
            "bash <<< 'read x'",
        ],
    );
}
