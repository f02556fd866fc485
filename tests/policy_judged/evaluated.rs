//! Texts that run something where the shell evaluates them: through the names that builtins are given, and put
//! together from parts.

use castoff::domain::record::Verdict::Allow;

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
