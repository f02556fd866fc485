//! Where the parser cuts a script otherwise than bash does: what bash runs there is named, or it is said that it
//! cannot be told; it is never allowed. Found by running mangled scripts in bash (tests/differential). In each of
//! them bash runs `sudo`.

use castoff::domain::record::Verdict::Allow;

use super::{each, none_allowed, policy, preset};

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
fn texts_that_are_evaluated_by_other_means() {
    let evaluated = [
        "for x in 'a[$(sudo x)]'; do ((x)); done",
        "a=('b[$(sudo x)]'); ((a))",
        "a=(1 [3]='b[$(sudo x)]'); ((a[3]))",
        "read x <<< 'a[$(sudo x)]'; test -v \"$x\"",
        "read x <<< 'a[$(sudo x)]'; [ -v \"$x\" ]",
        "read x <<< 'a[$(sudo x)]'; let x",
        "read x <<< 'a[$(sudo x)]'; echo ${!x}",
        "read x <<< 'a[$(sudo x)]'; [[ -v $x ]]",
        "read x <<< 'a[$(sudo x)]'; printf -v \"$x\" a",
        "read x <<< 'a[$(sudo x)]'; read \"$x\" <<< b",
        "declare -i n; read n <<< 'a[$(sudo x)]'",
        "declare -n r; read r <<< 'a[$(sudo x)]'; echo $r",
        "for RANDOM in 'a[$(sudo x)]'; do :; done",
        "[[ 'a[$(sudo x)]' =~ .* ]]; ((BASH_REMATCH))",
        "while read x; do ((x)); done <<< 'a[$(sudo x)]'",
        "while read x; do ((x)); done <<'E'\na[$(sudo x)]\nE",
        "echo 'a[$(sudo x)]' >f; read x <f; ((x))",
        "read x <<< 'a[b[0]+$(sudo x)]'; ((x))",
        "read x <<< 'a[\"]\"+$(sudo x)]'; ((x))",
        "read x <<< \"$y\"'a[$(sudo x)]'; ((x))",
        "set -- 'a[$(sudo x)]'; [ -v $1 ]",
        "readarray -t x <<< 'a[$(sudo x)]'; ((x))",
        "getopts a: x -a 'a[$(sudo x)]'; ((OPTARG))",
        "x='a['; y='$(sudo x)]'; ((z=$x$y))",
        "printf -v x %s 'a[' '$(sudo x)]'; ((x))",
    ];
    none_allowed(&policy(TOOLS), &evaluated);
    none_allowed(&preset("strict", &["echo"]), &evaluated);
    // From elsewhere: no doubt but where each is a refusal.
    let elsewhere = ["read x < f; ((x))", "x=$(cat f); [[ $x -gt 1 ]]", "for x in *; do ((x)); done"];
    none_allowed(&preset("strict", &["echo"]), &elsewhere);
    each(&policy(TOOLS), Allow, &elsewhere);
    let alike = [
        "echo 'a[$(x)]'; [[ $x == y ]]; read -r y; printf %s \"$y\"",
        "cat <<'E'\na[$(x)]\nE\nfor i in \"${!a[@]}\"; do echo $i; done",
        "for i in 1 2; do ((i)); echo '`a` $(b)'; done",
    ];
    each(&policy(TOOLS), Allow, &alike);
    let counts = "i=0; ((i++)); echo \"$i\" $((i + 1)); a=(1 2); [[ ${a[1]} -eq 2 ]]";
    each(&preset("strict", &["echo"]), Allow, &[counts]);
}

#[test]
fn ends_of_here_documents() {
    none_allowed(
        &policy(TOOLS),
        &[
            "cat <<'a\\b'\nx\na\\b\nsudo x\ncat <<'ab'\nab\nab\n",
            "cat <<'a\\b'\nab\ncat <<'E'\na\\b\nsudo x\ncat <<'E'\nE\n",
            "cat <<\"a\\b\"\nx\na\\b\nsudo x\ncat <<'ab'\nab\nab\n",
            "cat <<'a'\\b\nx\nab\nsudo x\n",
            "cat <<E\nx\\\nE\ny\nE\nsudo x\ncat <<E\nE\n",
            "cat <<E\nE\\\n\nsudo x\ncat <<E\nE\n",
            "cat <<-E\n\tE\\\n\nsudo x\ncat <<-E\n\tE\n",
            "cat <<$x\na\n$x\nsudo x\n",
        ],
    );
    each(
        &policy(TOOLS),
        Allow,
        &[
            "cat <<'END-1.x'\na\\\nb\\\nEND-1.x\n",
            "cat <<\"E F\"\nE\nE F\n",
            "cat <<\\E\nE \\\nE\nls",
            "cat <<E\na \\\n b \\\\\nE\nls",
            "cat <<-E\n\ta\n\tE\nls",
            "((x = 1 << 2)); echo $((1 << 3))",
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
