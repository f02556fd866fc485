//! More of what the parser cuts otherwise than bash does: dollar signs, redirections that close, comments that are
//! none. Compared with bash 5.2, which runs `./evil` in each of them.

use castoff::domain::record::Verdict::{Allow, Ask, Deny};

use super::{decision, each, preset};

/// Refused where all must be told, and asked about elsewhere, since it cannot be told what they do.
fn in_doubt(scripts: &[&str]) {
    for (policy, verdict) in [(preset("strict", &[]), Deny), (preset("default", &[]), Ask)] {
        each(&policy, verdict, scripts);
        for script in scripts {
            let reasons = decision(&policy, script).reasons;
            assert!(reasons.iter().any(|reason| reason.rule == "cannot tell"), "{script}: {reasons:?}");
        }
    }
}

fn plain(scripts: &[&str]) {
    each(&preset("strict", &[]), Allow, scripts);
    each(&preset("default", &[]), Allow, scripts);
}

#[test]
fn dollars_before_a_dollar() {
    in_doubt(&[
        "echo $${x;./evil;:}",
        "x=$${a;./evil;:}",
        "cat $${x:-<(./evil)}",
        "for i in $${x:-<(./evil)}; do :; done",
        "[[ -n $${x:-<(./evil)} ]]",
        "cat $\\\n${x;./evil;:}",
        "echo \"$${x:-\";./evil;:\"}\"",
        "echo \"$$(echo \";./evil;:\")\"",
        "echo \"${y}\"$${x;./evil;:}",
        "echo $$$${x;./evil;:}",
        "echo $$[1;./evil;: ]",
        "cat <<E\n$${x:-<(./evil)}\nE\n",
        "echo $$'\\';./evil;: \"'\" \\\" #\"",
        "echo \\$'\\';./evil;: \"'\" \\\" #\"",
    ]);
    plain(&[
        "echo $$; echo \"$$\"; x=/tmp/a.$$; echo \"$x\"",
        "echo \"[$$] done\"; echo $$-{a,b}; echo \\${x} \"\\${x}\"",
        "echo '$${x}' \"cost: \\$$x\" $$$x $$${x}",
        "grep -c '^a\\$' f; grep \"a\\$\" f; grep -E 'a$|b$$' f",
        "cat <<'E'\nall:\n\techo $${x} $$(date)\nE\n",
        "echo $'it\\'s' 'a'$'b\\n'",
    ]);
    each(&preset("default", &[]), Allow, &["x=$(grep -v 'a\\$' f | sed 's/b\\$//'); echo \"$x: \\$${y}\""]);
}

#[test]
fn redirections_that_close() {
    in_doubt(&["2>&-./evil cat", ">&-./evil", "exec 2>&-./evil", "3<&-id cat", "3<& -id cat", "3<&\\\n-id cat"]);
    plain(&[
        "echo a >&2",
        "ls 2>&1 | grep a",
        "ls 2>&-",
        "ls >&- 2>&-",
        "cat <&0",
        "exec 3>&1 4>&3-; echo a >&3; exec 3>&-",
    ]);
}

#[test]
fn outputs_that_are_expanded_twice() {
    in_doubt(&[
        "echo a >&'$(./evil)'",
        "x='<(./evil)'; echo a >&$x",
        "exec >&'<(./evil)'",
        "for f in *; do echo x >&\"$f.log\"; done",
        "echo a >&'`./evil`'",
        "echo a 1>&x*",
        "echo a >&'x$y'",
    ]);
    plain(&["echo a >& out.txt", "echo a >&'out.txt'", "echo a >& logs/a-1.log"]);
}

#[test]
fn comments_that_are_none() {
    in_doubt(&["x=(a)# ./evil", "x=(a)#;./evil", "declare x=(a)# ; ./evil", "x=(a)\\\n#;./evil"]);
    plain(&["x=(a) # b\necho \"${x[0]}\"", "x=(a)\n# it's\nls", "(ls)# a\n", "x=(a # b\n c)\nls"]);
}

#[test]
fn substitutions_in_a_pattern_of_a_test() {
    in_doubt(&["[[ a =~ (<(./evil)) ]]", "[[ a =~ ^(b >(./evil)|c)$ ]]", "[[ a =~ (\"x\"<(./evil)) ]]"]);
    plain(&[
        "[[ a =~ ^(b|c)$ ]]",
        "[[ a =~ \\<(b|c)\\>(d)$ ]]",
        "[[ a == '<(b' || a == \">(b\" ]]",
        "[[ a < b && (a > b || b < c) ]]",
    ]);
}

#[test]
fn lines_of_a_here_document_joined_behind_a_tab() {
    in_doubt(&["cat <<-EOF\n$\\\n\t$(./evil)\n\tEOF", "cat <<-EOF\n\ta $\\\\\\\n\t(./evil)\n\tEOF\n"]);
    plain(&["cat <<-E\n\ta \\\\\n\tb\n\tE\nls", "cat <<-'E'\n\ta \\\n\tb\n\tE\nls", "cat <<E\na \\\n  b\nE\nls"]);
}
