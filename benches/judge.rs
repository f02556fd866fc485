//! What a decision costs: `cargo bench --bench judge`.
//!
//! Printed: from text to verdict for ordinary lines, for hostile text at the size cap (its parser in a process of its own,
//! which here is this program again), and among 10,000 rules, of as many programs or all of one; and the time to load
//! those with their examples. Ends with 1 when a bound does not hold: 30 µs,
//! 100 ms, 200 µs a line, 1 s. The best of several rounds counts, since a busy machine only adds.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may fail loudly, and prints")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use castoff::config::load_policy;
use castoff::domain::script::{SCRIPT_BYTES_MAX, Script};
use castoff::policy::{self, Parsed, Policy};
use castoff::runtime::child;

const LINES: [&str; 8] = [
    "git status",
    "ls -la src | head -20",
    "cd ~/notes && git log --oneline -5",
    "grep -rn TODO src --include='*.rs' | sort | uniq -c",
    "python3 a.py > out.txt 2>&1",
    "for f in *.txt; do wc -l \"$f\"; done",
    "find . -name '*.log' -mtime +7 -exec ls -lh {} +",
    "awk -F, '{ print $1 }' a.csv | sort -u > b.txt",
];

/// Repeated up to the size cap.
const HOSTILE: [&str; 29] = [
    "a;",
    "a\n",
    "a|",
    "a&&",
    "a ",
    "$a ",
    "\"$",
    "~:",
    "/etc/../a ",
    ">a ",
    "<<E ",
    "a=b ",
    "! ",
    "a[",
    "$[",
    "while ",
    "case a in a) ",
    "$(",
    "{ ",
    "eval ",
    "env ",
    "elif a; then b; ",
    "=/a",
    ":~/",
    "\"$a$a\" ",
    "x=1$x\n",
    "x=$x$x$x$x\n",
    "x=/a$x; cat $x; ",
    "f() { :; }; f 'a$'; ",
];

fn load(tools: &str) -> Policy {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
    std::fs::write(dir.path().join("tools.yaml"), tools).unwrap();
    load_policy(dir.path(), Path::new("/srv/castoff")).unwrap()
}

/// From text to verdict; nothing for what is no script.
fn judge(policy: &Policy, text: &str) {
    let owner = policy.principal("owner").unwrap();
    if let Ok(parsed) = Script::new(text.to_owned()).and_then(Parsed::new) {
        std::hint::black_box(policy.judge(&owner, parsed));
    }
}

/// The best mean of `rounds` times `each`.
fn best(rounds: u32, each: u32, mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let began = Instant::now();
        (0..each).for_each(|_| work());
        began.elapsed() / each
    };
    (0..rounds).map(round).min().unwrap()
}

fn many_rules() -> String {
    let mut text = "exec:\n  allow:\n    - git\n    - ls\n    - head\n    - grep\n    - sort\n    - uniq\n".to_owned();
    for number in 0..10_000 {
        writeln!(
            text,
            "    - {{ run: \"tool{number} build\", matches: [\"tool{number} build -v\"], misses: [\"tool{number} push\"] }}"
        )
        .unwrap();
    }
    text
}

/// As many about one program.
fn many_words() -> String {
    let mut text = "exec:\n  allow:\n".to_owned();
    (0..10_000).for_each(|number| writeln!(text, "    - git a{number}").unwrap());
    text
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("parse") {
        let script = Script::new(std::io::read_to_string(std::io::stdin()).unwrap()).unwrap();
        std::io::stdout().write_all(&policy::facts(&script)).unwrap();
        return ExitCode::SUCCESS;
    }
    policy::parse_elsewhere(child::facts);
    let mut fine = true;
    let mut bound = |what: &str, took: Duration, most: Duration| {
        fine &= took <= most;
        println!("{} {what}: {took:.1?}, at most {most:?}", if took <= most { "ok  " } else { "MISS" });
    };
    let basics = load("");
    for line in LINES {
        bound(line, best(50, 200, || judge(&basics, line)), Duration::from_micros(30));
    }
    for unit in HOSTILE {
        let text = unit.repeat(SCRIPT_BYTES_MAX / unit.len());
        bound(&format!("{unit:?}, to the cap"), best(5, 1, || judge(&basics, &text)), Duration::from_millis(100));
    }
    let text = many_rules();
    let mut rules = None;
    let took = best(5, 1, || rules = Some(load(&text)));
    bound("load of 10,000 rules with examples", took, Duration::from_secs(1));
    let rules = rules.unwrap();
    for line in ["git status", "tool9999 build -v", "tool5000 push; ls | head"] {
        bound(&format!("among 10,000 rules: {line}"), best(20, 50, || judge(&rules, line)), Duration::from_micros(200));
    }
    let text = many_words();
    let mut rules = None;
    let took = best(5, 1, || rules = Some(load(&text)));
    bound("load of 10,000 rules about one program", took, Duration::from_secs(1));
    let rules = rules.unwrap();
    for line in ["git a9999 -v", "git a1; git a2 x", "git push"] {
        bound(
            &format!("among 10,000 of one: {line}"),
            best(20, 50, || judge(&rules, line)),
            Duration::from_micros(200),
        );
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
