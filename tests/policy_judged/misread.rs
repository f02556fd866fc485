//! Where the parser cuts a script otherwise than bash does: what bash runs there is named, or it is said that it
//! cannot be told; it is never allowed. Found by running mangled scripts in bash (tests/differential). In each of
//! them bash runs `sudo`.

use castoff::domain::record::Verdict::Allow;

use super::{each, none_allowed, policy};

const TOOLS: &str = "exec:\n  allow: [echo, cat, diff, sort, tee, xargs, date, ls, find, grep, awk, read, declare, shopt, bash, x, factor]\n  deny: [sudo]\n";

#[test]
fn comments_in_substitutions() {
    none_allowed(
        &policy(TOOLS),
        &[
            ": $(true; #c \\\n sudo x\n)",
            "echo $(echo a  #c \\\n sudo x\n)",
            "echo \"$(true; #c \\\n sudo x\n)\"",
            "echo ${x:-$(true; #c \\\n sudo x\n)}",
            ": $(true; # ) ' \n sudo x # '; (: \n)",
            ": $(true\n # ) ' \n sudo x # '; (: \n)",
            "echo \"$(true; # ) \n sudo x # ; (: \n)\"",
            "echo $(echo a \\\n #a \\\n sudo x\n)",
            "cat <<E\n$(true; # ) \n sudo x\n)\nE\n",
        ],
    );
}

#[test]
fn comments_in_arithmetic() {
    none_allowed(
        &policy(TOOLS),
        &[
            "(( 1 + #$(sudo x)\n 2 ))",
            "echo $(( 1 + #$(sudo x)\n 2 ))",
            "echo $[ 1 + #$(sudo x)\n 2 ]",
            "echo $[1 #]; sudo x\n ]",
            "for ((i=0; i<3 #$(sudo x)\n; i++)); do :; done",
            "((x # ) ;\nsudo x\n))",
            "((x # )\n\\\nsudo x))",
            "\n((<<E\nsudo;x # ) ;$(sudo\nE\n))",
            "<<E\n$((sudo x# ) ))(a\nE\n",
            "[[ $[#]true; ! $(sudo)\nsudo ]]",
        ],
    );
}

#[test]
fn quotes_that_arithmetic_does_not_heed() {
    none_allowed(
        &policy(TOOLS),
        &[
            "(( '$(sudo x)' ))",
            "(( 'a[$(sudo x)]' ))",
            "(( 'a[`sudo x`]' ))",
            "echo $(( 'a[$(sudo x)]' ))",
            "echo $['$(sudo x)']",
            "for (( '$(sudo)'; ; )); do break; done",
            "x=(['$(sudo x)']=2)",
            "a['$(sudo x)']=5",
            "a=(1); echo ${#a['$(sudo x)']}",
            "a=(1); echo ${a['$(sudo x)']}",
        ],
    );
}

#[test]
fn texts_that_are_evaluated_later() {
    none_allowed(
        &policy(TOOLS),
        &[
            "read x <<< 'a[$(sudo x)]'; (( x ))",
            "f() { (( $1 )); }; f 'a[$(sudo x)]'",
            "echo 'a[1+$(sudo x)]' | while read v; do (( v )); done",
            "x='a[1+`sudo x`]'; echo $((x))",
            "read v <<E\na[$(sudo)]\nE\n[[ $v -eq 1 ]]",
        ],
    );
}

#[test]
fn subscripts_of_several_words() {
    none_allowed(
        &policy(TOOLS),
        &[
            "declare -a x=([ #$(sudo x)\n 1]=2)",
            "x=([1 #$(sudo x)\n]=2)",
            "x=([1 'a\n$(sudo)' ]=2)",
            "declare a[1 ' $(sudo x) ']=5",
            "a[1 # $(sudo x)]=5",
            "a=(\\\n)]=1x=tr sudo x",
            "a=()b=1 sudo x",
        ],
    );
}

#[test]
fn what_follows_a_here_document_in_its_line() {
    none_allowed(
        &policy(TOOLS),
        &[
            "cat <<E $(sudo)\na\nE\n",
            "cat <<E x$(sudo)\na\nE\n",
            "cat <<'E' \"a $(sudo)\"\na\nE\n",
            "cat <<E > $(sudo)\na\nE\n",
            "cat <<E - $(sudo x)\na\nE",
            "cat <<E \"$( ) ;$(\\\n \nsudo x\n))\"true; <<'E'\n\\\n ; sudo x;\nE\n\na\nE\n",
            "cat <<E <<E\neval ' ) ''\n${x:-\nsudo x\na;b;;}\nE\n <<E\n$' } <(x # )( $((sudo x  ) ))>\\\ntrue; a)\n\na\nE\n",
            "[[ ${x:-cat <<E $(sudo)\na\nE\n} ]]",
            ": coproc ${x:-<<'E'\n } sudo x ; sudo x;\nE\n;a;b}",
            "<<E\n\n#$\\\n(sudo)\nE\n",
        ],
    );
}

#[test]
fn patterns_and_parameters() {
    none_allowed(
        &policy(TOOLS),
        &[
            "shopt -s extglob\necho @(a|'('); sudo x; echo ')' # '",
            ": ${x:-|<(sudo x)}",
            ": ${x:->(sudo x)}",
            "cat<(date) a",
        ],
    );
}

#[test]
fn what_looks_alike_and_is_read_alike() {
    each(
        &policy(TOOLS),
        Allow,
        &[
            "cat <<E\n# x (y) $(date) it's\n# and \"more\" $(date\n) # (z)\nE\n",
            "cat > x <<E && ls\nhello $(date) `date`\nE\nls \"a\nb\"",
            "cat > x <<'E'\nx=$(true; # ) it's\n)\na[$(x)]\nE\n",
            "echo \"$(date) # it's\"",
            "echo \"$(cat <<E\nx ${y}\nE\n)\"",
            "for i in 1 2; do\n\techo \"$(date \\\n\t\t+%s)\"\ndone",
            "ls \\\n  \"$(date)\" \\\n\t-a # $(b) ' (",
            "if true; then # y\n  ls $(date) # (z)\nfi",
            "ls && \\\n# foo\nls $(date)",
            "(( i++ ))\n((i > 2)) && echo \"${a[i]}\" \"${a[$i]}\" ${#a[@]} $((i % 2)) $(( (1 + 2) * 3 ))",
            "a=(1 \"$(date)\" 'b c'); b=() ls; (date)",
            "find . -name '*.txt' | grep -E '(a)+(b)'",
            "echo \"wow!(x) 'y'\"",
            "diff <(sort a) <(sort b); while read x; do echo; done < <(date); ls | tee >(cat) | xargs",
            "awk '{a[$1]++} END {for (k in a) print k, a[k]}' f",
            "(\n(date); ls)",
        ],
    );
}
