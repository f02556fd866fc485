//! Texts that run something where the shell evaluates them: through the names that builtins are given, and put
//! together from parts.

use castoff::domain::record::Verdict::{Allow, Ask};

use super::{each, none_allowed, preset};

/// What gives `x` a subscript that runs something.
const READ: &str = "read x <<'E'\na[$(planted)]\nE\n";

#[test]
fn names_that_hold_a_subscript() {
    let names = [
        "read 'a[x]' <<< 1",
        "declare 'a[x]=1'",
        "f(){ local 'z[x]=1';}; f",
        "z=(1 2); unset 'z[x]'",
        "declare -a 'z=([x]=1)'",
        "typeset -a z='([x]=1)'",
        ": {z[x]}</dev/null",
        "OPTIND=x",
        "RANDOM=x",
        "export RANDOM=x",
        "wait -n -p 'z[x]'",
        "mapfile 'z[x]' <<< 1",
        "getopts a 'z[x]'",
        "printf -v 'z[x]' 1",
    ];
    for name in names {
        let script = format!("{READ}{name}");
        none_allowed(&preset("strict", &[]), &[&script]);
        none_allowed(&preset("default", &[]), &[&script]);
    }
}

#[test]
fn texts_that_are_put_together() {
    let strict = [
        "printf -v y 'a[\\x24(planted)]'; ((y))",
        "printf -v y 'a[\\44(planted)]'; ((y))",
        "printf -v y 'a[\\u0060planted\\u0060]'; ((y))",
        "printf -v x '%s%s' 'a[$' '(planted)]'; ((x))",
        "x='a[_(planted)]'; x=${x/_/$}; ((x))",
        "x='a[_(planted)]'; x=${x/_/${y:-$}}; ((x))",
        "x=(a '[' '$' '(planted)' ']'); IFS=; y=\"${x[*]}\"; ((y))",
        "f() { x=$1$2; ((x)); }; f 'a[$' '(planted)]'",
    ];
    none_allowed(&preset("strict", &[]), &strict);
    none_allowed(
        &preset("default", &[]),
        &[
            "printf -v y 'a[\\x24(planted)]'; ((y))",
            "printf -v y 'a[\\44(planted)]'; ((y))",
            "printf -v x '%s%s' 'a[$' '(planted)]'; ((x))",
            "set -- 'a[' '$(planted)]'; x=$1$2; ((x))",
            "f() { x=$1$2; ((x)); }; f 'a[' '$(planted)]'",
            "bash -c 'x=$1$2; ((x))' _ 'a[' '$(planted)]'",
        ],
    );
}

#[test]
fn names_and_texts_that_run_nothing() {
    each(
        &preset("strict", &[]),
        Allow,
        &[
            "SECONDS=0; OPTIND=1; echo $((SECONDS + 1))",
            "a=(1 2); unset 'a[0]'; x=$((1 + 2)); echo \"$x\"",
            "local_dir=x; echo \"[INFO] $local_dir\"",
            "i=0; i=$((i + 1)); awk='a'; printf -v line '%05d\\n' \"$i\"; echo \"$line\"",
        ],
    );
    each(
        &preset("default", &[]),
        Allow,
        &[
            "n=0; for f in *.txt; do n=$((n + 1)); done; awk '{ print $1 }' f; printf '\\033[1m%d\\n' \"$n\"",
            "read -p '[y/N] ' answer; n=$((n + 1)); echo \"$answer\"",
            "log() { local msg=\"[INFO] $*\"; echo \"$msg\"; }; log a; ((n++))",
            "re='^[0-9]+$'; if [[ $x =~ $re ]]; then ((n++)); fi",
            "cat > x.sh <<'E'\necho $(date) $1\nE\n((n++))",
            "set -euo pipefail; n=$((1 + 1)); set -- a b; echo \"$n\"",
            "x=\"total: \\$$n\"; n=$((n + 1)); echo \"$x\"",
        ],
    );
}

#[test]
fn names_of_files_that_are_evaluated() {
    let asked = [
        "let a*",
        "test -v a*",
        "[ -v a* ]",
        "printf -v a* x",
        "printf -va* x",
        "read a* < f",
        "read -r a* < f",
        "read -p a* < f",
        "wait -n -p a*",
        "unset a*",
        "mapfile a* < f",
        "getopts x a*",
        "getopts -- x a*",
        "declare a*",
        "declare a*=1",
        "f() { local a*; }; f",
    ];
    none_allowed(&preset("strict", &[]), &asked);
    each(&preset("default", &[]), Ask, &asked);
    let elsewhere = [
        "let x=a*",
        "printf -v x %s a*; ((x))",
        "set -- a*; (($1))",
        "f() { (($1)); }; f a*",
        "set -- a*; [[ -v $1 ]]",
        "set -- a*; : ${x[$1]}",
        "set -- a*; x[$1]=1",
        "set -- a*; declare -i x=$1",
        "set -- a*; RANDOM=$1",
        "set -- a*; x=abc; : ${x:$1}",
        "set -- -x a*; while getopts x: o; do ((OPTARG)); done",
        "getopts x: o -x a*; ((OPTARG))",
        "bash -c '(($1))' _ a*",
        "bash -c '(($0))' a*",
        "ls a*; (($_))",
        "ls a*; ((_))",
        "ls a*; x=$_; ((x))",
        "ls a*; let x=$_",
        "ls a*; f() { (($1)); }; f $_",
        "cd b[[]*; ((x=${PWD##*/}))",
        "cd b[[]*; [[ ${PWD##*/} -eq 1 ]]",
        "cd b[[]* && cd .. && ((x=${OLDPWD##*/}))",
        "pushd b[[]*; ((DIRSTACK))",
        "cd b[[]*; for x in \"${PWD##*/}\"; do ((x)); done",
        "cd b[[]*; read x <<< ${PWD##*/}; ((x))",
        "cd b[[]*; x=~+; ((x=${x##*/}))",
        "x=a*; y=($x); ((y))",
        "x=a*; for y in $x; do ((y)); done",
        "x=a*; set -- $x; (($1))",
        "x='a*'; let $x",
        "x=a*; printf -v y %s $x; ((y))",
        "f() { set -- $1; (($1)); }; f 'a*'",
    ];
    none_allowed(&preset("strict", &["bash"]), &elsewhere);
}

#[test]
fn names_of_files_that_are_not_evaluated() {
    each(
        &preset("strict", &["echo"]),
        Allow,
        &[
            "ls a*; ((x = 1)); echo $((x + 1))",
            "x=$PWD; ((y = 1)); cd src; echo \"$x\" $y",
            "unset a[0]; declare b=x*; export LANG=C*; ls a*",
            "x=3; y=$x; ((y++)); [ $y = 4 ]; echo $x; ls *",
            "[ -f a* ]; test -n a*; printf '%s\\n' a*; echo $_",
        ],
    );
    each(
        &preset("default", &[]),
        Allow,
        &[
            "let x*=2; let y=x*3; let 'z = x * 2'; let i++",
            "unset arr[1]; a=(1 2); unset a[i]; read -p Sure? x",
            "while getopts h?vf: opt; do case $opt in v) ((v++));; esac; done",
            "cd \"$(dirname \"$0\")\"; here=$PWD; ((n = 1)); for f in *; do ((n++)); done; echo \"${f//_/-}\" $_",
            "export FILES=*.txt; local_x=1; set -- *.txt; echo $#; n=$(($# + 1))",
        ],
    );
}

#[test]
fn texts_that_are_put_together_with_an_open_bracket() {
    let scripts = [
        "x='a[$'; y='(touch pwned)]'; z=$x$y; ((z))",
        "x=$(printf 'a[$%s' '(touch pwned)]'); ((x))",
        "x=('a[$' '(touch pwned)]'); IFS=; y=\"${x[*]}\"; ((y))",
        "IFS='$'; set -- 'a[' '(touch pwned)]'; x=\"$*\"; ((x))",
    ];
    none_allowed(&preset("strict", &[]), &scripts);
    each(&preset("default", &[]), Ask, &scripts);
    each(
        &preset("default", &[]),
        Allow,
        &[
            "re='^[a-z]+$'; [[ $x =~ $re ]] && ((n++)); grep -c '\\[$' f; sed 's/[^$]*$//' f",
            "x=\"[$n\"; y=\"$x]\"; ((n++)); echo \"[$y] $((n * 2))\"; awk '{a[$1]++}' f",
        ],
    );
}
