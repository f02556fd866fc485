//! Scripts of all shapes of the shell's grammar, inside one another, from a seed.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Programs that stand for others.
const PROGRAMS: &[&str] = &["alpha", "beta", "gamma", "delta", "rm", "git", "ls", "/opt/x/run", "/bin/rm", "./tool"];
/// Words that programs are given; also where a program would stand in another place.
const WORDS: &[&str] = &[
    "a",
    "-x",
    "--long=a",
    "'b c'",
    "\"b c\"",
    "\"$HOME\"",
    "$1",
    "${x:-a}",
    "*.txt",
    "a\\ b",
    "''",
    "$'\\t'",
    "{a,b}",
    "{,}",
    "{a,}",
    "{,a}",
    "~",
    "#a",
    "a#b",
    "if",
    "do",
    "x=1",
    "=",
    "[",
    "]",
    "!",
    "\"a\\\"b\"",
    "$((1 + 2))",
    "\\\n",
    "--",
    "-",
    "%",
    "@(a|b)",
    "\"#\"",
];

/// What is put into scripts that are mangled: all that begins, ends, hides or joins something.
const FRAGMENTS: &[&str] = &[
    "$(",
    ")",
    "(",
    "'",
    "\"",
    " # ",
    " #",
    "# ) ",
    "\\\n",
    "\n",
    ";",
    "((",
    "))",
    "$((",
    "$[",
    "]",
    "[",
    "a[1 ",
    "]=1",
    "`",
    "<<E ",
    "\nE\n",
    "<<'E' ",
    "<<-E\n",
    "@(",
    "!(",
    "|",
    "{ ",
    "}",
    "${x:-",
    "${x#",
    "${a[",
    "$'",
    "\\'",
    "\\",
    "\\\"",
    "a=(",
    "[[ ",
    " ]]",
    "for ((",
    "; esac",
    "case x in ",
    "x) ",
    ";;",
    "<(",
    "$",
    "\"$(",
    "<<<",
    "shopt -s extglob\n",
    "eval ",
    "declare ",
    "\t",
    "  ",
    "alpha",
    "; beta;",
    "$(gamma)",
    "$(delta) ' ",
];

/// As many scripts as asked for.
pub(crate) fn scripts(seed: u64, count: usize) -> Vec<String> {
    generate(&script(), seed, count)
}

/// The same, with something put in or taken out here and there: most are no scripts any more, and the others are
/// of the kind that only an attacker writes.
pub(crate) fn mangled(seed: u64, count: usize) -> Vec<String> {
    let changes = proptest::collection::vec((any::<Index>(), 0..3_usize, select(FRAGMENTS)), 1..4);
    let mangle = |(script, changes): (String, Vec<(Index, usize, &str)>)| {
        let mut text: Vec<char> = script.chars().take(400).collect();
        for (place, out, fragment) in changes {
            let at = place.index(text.len() + 1);
            let end = text.len().min(at + out);
            text.splice(at..end, fragment.chars().filter(|_| out < 2));
        }
        text.into_iter().collect()
    };
    generate(&(script(), changes).prop_map(mangle).boxed(), seed, count)
}

fn generate(scripts: &BoxedStrategy<String>, seed: u64, count: usize) -> Vec<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| scripts.new_tree(&mut runner).unwrap().current()).collect()
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(" "), 1 => Just("\t"), 1 => Just("  "), 1 => Just(" \\\n ")]
}

/// A program, also spelled so that quotes must be taken off.
fn program() -> impl Strategy<Value = String> {
    let name = || select(PROGRAMS);
    prop_oneof![
        8 => name().prop_map(str::to_owned),
        1 => name().prop_map(|name| format!("'{name}'")),
        1 => name().prop_map(|name| format!("\"{name}\"")),
        1 => name().prop_map(|name| format!("\\{name}")),
        1 => name().prop_map(|name| { let (head, tail) = name.split_at(1); format!("{head}''{tail}") }),
        1 => name().prop_map(|name| { let (head, tail) = name.split_at(1); format!("{head}\\\n{tail}") }),
        1 => name().prop_map(|name| format!("$'{name}'")),
        1 => name().prop_map(|name| { let (head, tail) = name.split_at(1); format!("$'\\x{:02x}'{tail}", head.as_bytes()[0]) }),
        1 => name().prop_map(|name| format!("{{{name},a}}")),
    ]
}

fn simple() -> impl Strategy<Value = String> {
    let words = prop::collection::vec((space(), select(WORDS)), 0..4);
    let before = select(&["", "", "", "", "A=1 ", "A='b c' B=2 ", ">out ", "! ", "time ", "time -p "][..]);
    let after =
        select(&["", "", "", " >out", " 2>&1", " </dev/null", " >>'o 1'", " &>out", " 2>err >&2", " <<<word"][..]);
    (before, program(), words, after).prop_map(|(before, program, words, after)| {
        let words: String = words.into_iter().map(|(space, word)| format!("{space}{word}")).collect();
        format!("{before}{program}{words}{after}")
    })
}

/// What runs the words behind it, and what makes later words others.
const BY_WORDS: &[&str] = &[
    "env ",
    "env A=1 ",
    "env -u A -i ",
    "nice -n 5 ",
    "nice ",
    "timeout 5 ",
    "timeout -k 1 5s ",
    "nohup ",
    "setsid ",
    "setsid -w ",
    "stdbuf -oL ",
    "command ",
    "command -p ",
    "exec ",
    "exec -a n ",
    "xargs ",
    "xargs -n 1 ",
    "xargs -I{} ",
    "xargs -r -0 ",
    "builtin command ",
    "eval ",
    "time -p ",
    "env nice timeout 3 ",
    "ionice -c 3 ",
    "flock lock ",
    "find . -name a.txt -exec ",
    "find . -type f -ok ",
    "command -v ",
    "trap - EXIT; ",
    "env -C sub ",
    "env -- ",
    "command -p -- ",
    "jobs -x ",
    "env $x ",
    "nice \"$x\" ",
    "timeout $x 5 ",
    "xargs $x ",
    "command $x ",
    "PATH=/opt/x:$PATH ",
    "export PATH=/opt/x; ",
    "alpha() { :; }; ",
    "ls() { command ls; }; command ",
];

/// What a wrapper is told to run, by words or by text.
fn wrapped(simple: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let by_text = select(
        &[
            "sh -c ",
            "bash -c ",
            "bash -lc ",
            "sh -xec ",
            "eval ",
            "trap ",
            "bash -o pipefail -c ",
            "timeout 3 sh -c ",
            "env bash -c ",
            "xargs -0 sh -c ",
            "find . -name a.txt -exec sh -c ",
            "flock lock -c ",
            "script -qc ",
            "watch -g ",
            "bash --norc -c ",
        ][..],
    );
    prop_oneof![
        (select(BY_WORDS), simple.clone()).prop_map(|(wrapper, simple)| match wrapper {
            find if find.starts_with("find") => format!("{find}{simple} \\;"),
            _ => format!("{wrapper}{simple}"),
        }),
        (by_text, simple).prop_map(|(wrapper, simple)| {
            let text = simple.replace('\'', "'\\''");
            match wrapper {
                "trap " => format!("trap '{text}' EXIT"),
                find if find.starts_with("find") => format!("{find}'{text}' x {{}} +"),
                script if script.starts_with("script") => format!("{script}'{text}' /dev/null"),
                _ => format!("{wrapper}'{text}'"),
            }
        }),
    ]
}

fn compound(inner: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let pair = || (inner.clone(), inner.clone());
    prop_oneof![
        (
            pair(),
            select(&["; ", "\n", " && ", " || ", " | ", " |& ", " & ", ";", "|", "&&\n", " # note\n", "\n\n\t"][..])
        )
            .prop_map(|((a, b), joint)| format!("{a}{joint}{b}")),
        inner.clone().prop_map(|a| format!("( {a} )")),
        inner.clone().prop_map(|a| format!("({a}\n)")),
        inner.clone().prop_map(|a| format!("{{ {a}\n}}")),
        inner.clone().prop_map(|a| format!("f() {{ {a}\n}}; f")),
        inner.clone().prop_map(|a| format!("function f {{\n{a}\n}}\nf a")),
        inner.clone().prop_map(|a| format!("g() ( {a}\n)\ng")),
        pair().prop_map(|(a, b)| format!("if {a}\nthen {b}\nfi")),
        (pair(), inner.clone()).prop_map(|((a, b), c)| format!("if {a}; then {b}\nelif {c}; then :; else {b}\nfi")),
        inner.clone().prop_map(|a| format!("for x in 1 2; do {a}\ndone")),
        inner.clone().prop_map(|a| format!("for ((i = 0; i < 2; i++)); do {a}\ndone")),
        inner.clone().prop_map(|a| format!("for x in *; {{ {a}\n}}")),
        inner.clone().prop_map(|a| format!("while {a}\ndo break; done")),
        inner.clone().prop_map(|a| format!("n=0; until ((n++ > 1)); do {a}\ndone")),
        inner.clone().prop_map(|a| format!("select x in a b; do {a}\nbreak; done <<<1")),
        pair().prop_map(|(a, b)| format!("case a in (b) :;; a|c) {a}\n;& *) {b}\n;; esac")),
        pair().prop_map(|(a, b)| format!("case $x in\n  '') {a}\n;;\n  *) {b}\nesac")),
        inner.clone().prop_map(|a| format!("echo $({a}\n)")),
        inner.clone().prop_map(|a| format!("alpha \"x $({a}\n) y\"")),
        inner.clone().prop_map(|a| format!("v=$({a}\n)")),
        inner.clone().prop_map(|a| format!("echo `{}`", a.replace('\\', "\\\\").replace('`', "\\`"))),
        inner.clone().prop_map(|a| format!("beta <({a}\n) a")),
        inner.clone().prop_map(|a| format!("beta a > >({a}\n)")),
        inner.clone().prop_map(|a| format!("echo ${{x:-$({a}\n)}} ${{#x}}")),
        inner.clone().prop_map(|a| format!("echo \"${{x:+y}}${{x:-\"$({a}\n)\"}}\"")),
        inner.clone().prop_map(|a| format!("(( 1 + $({a}\n) ))")),
        inner.clone().prop_map(|a| format!("[[ -n $({a}\n) && a == b* ]] && delta")),
        inner.clone().prop_map(|a| format!("a=(1 \"$({a}\n)\" [5]=x)")),
        inner.clone().prop_map(|a| format!("gamma <<E\n$({a}\n)\n${{x:-y}} \\$(delta)\nE")),
        inner.clone().prop_map(|a| format!("gamma <<'E' | beta\n{a}\nE")),
        inner.clone().prop_map(|a| format!("gamma <<-E && delta\n\ttext \"$({a}\n)\n\tE")),
        inner.clone().prop_map(|a| format!("gamma <<A <<\"B C\"\n$({a}\n)\nA\n$(delta)\nB C")),
        inner.clone().prop_map(|a| format!("bash <<'E'\n{a}\nE")),
        inner.clone().prop_map(|a| format!("cat >s.sh <<'END'\n{a}\nEND\nbash s.sh")),
        inner.clone().prop_map(|a| format!("cat <<< \"$({a}\n)\"")),
        inner.clone().prop_map(|a| format!("coproc {{ {a}\n}}")),
        inner.clone().prop_map(|a| format!("set -e; set +o pipefail -u\n{a}")),
        inner.clone().prop_map(|a| format!("shopt -s extglob nullglob; {a}")),
        inner.clone().prop_map(|a| format!("{a} &\nwait")),
        inner.clone().prop_map(|a| format!("! {{ {a}\n}} >out 2>&1 <a.txt")),
        inner.clone().prop_map(|a| format!("echo a # {a}")),
        inner.clone().prop_map(|a| format!("export X=\"$({a}\n)\" Y")),
        inner.clone().prop_map(|a| format!("shopt -s expand_aliases\nalias zz='{}'\nzz", a.replace('\'', "'\\''"))),
        inner.clone().prop_map(|a| format!(": <<'#'\n{a}\n#\ndelta")),
        pair().prop_map(|(a, b)| format!("alpha() {{ {a}\n}}; {b}")),
        read(inner.clone()),
        evaluated(inner),
    ]
}

/// A text that a shell reads from a file or its input, where it may be another one than the script shows.
fn read(inner: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let first = select(&["", "", "echo beta >f\n", "exec 3>f\n", "set -C\n", "cat >>f <<< beta\n"][..]);
    let output =
        select(&["cat >f", "cat >>f", "cat 3<>f", "cat >f 3", "cat >x >f", "cat {x}>f", "tee f", "cat 2>f"][..]);
    let end = select(&["'E'", "E", "\\E", "'a\\b'", "\"E\"F", "- 'E'"][..]);
    let then = select(
        &[
            "bash f",
            "bash ./f",
            "sh <f",
            "echo delta >f; bash f",
            "echo delta >.//f; bash f",
            "{ echo delta; } >f; bash f",
            "echo delta >&3; bash f",
            "bash <<< alpha <f",
            "echo delta | bash 3<<< alpha",
            "bash <<< alpha <<< delta",
            "bash <<< 'alpha '\\;'delta'",
        ][..],
    );
    (first, output, end, inner, then).prop_map(|(first, output, end, text, then)| {
        let name = if end.contains('b') {
            "ab"
        } else if end.contains('F') {
            "EF"
        } else {
            "E"
        };
        format!("{first}{output}<<{end}\n{text}\n{name}\n{then}")
    })
}

/// A text that is a subscript where it is evaluated.
fn evaluated(inner: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let gives = select(
        &[
            "x='T'; ",
            "read x <<< 'T'; ",
            "for x in 'T'; do :; done; ",
            "y=('T'); x=$y; ",
            "printf -v x %s 'T'; ",
            "echo 'T' >f; read x <f; ",
            "readarray -t x <<< 'T'; ",
        ][..],
    );
    let takes = select(
        &[
            "((x))",
            "echo $((x + 1))",
            "test -v \"$x\"",
            "[[ -v $x ]]",
            "let x",
            "echo ${!x}",
            "[[ $x -eq 1 ]]",
            "echo \"$x\"",
        ][..],
    );
    (gives, inner, takes).prop_map(|(gives, text, takes)| {
        let text = format!("a[$({text}\n)]").replace('\'', "'\\''");
        format!("{}{takes}", gives.replace('T', &text))
    })
}

fn script() -> BoxedStrategy<String> {
    let leaf = prop_oneof![4 => simple(), 3 => wrapped(simple().boxed())].boxed();
    leaf.prop_recursive(4, 24, 3, |inner| prop_oneof![6 => compound(inner.clone()), 1 => wrapped(inner)].boxed())
        .boxed()
}
