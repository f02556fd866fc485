//! Process 1 of a run, castoff-init, which times the script and ends it: nothing in the run gets a hold on it.

use crate::den::{Den, number};

const STRANGLER: &str = include_str!("strangler.c");

/// What a hold would change: nice value and scheduling of each thread, limits, processors.
const FACTS: &str = r#"perl -ne 'BEGIN { @ARGV = (glob("/proc/1/task/*/stat"), "/proc/1/limits", "/proc/1/status") }
    print "@{[(split)[0, 17, 18, 40]]}\n" if $ARGV =~ /stat$/; print if $ARGV =~ /limits$/ || /allowed/'"#;

#[test]
fn nothing_in_a_run_gets_a_hold_on_process_1() {
    let den = Den::new("wall_time: 20s");
    let (answer, record) = den.attack(&format!(
        "facts() {{ {FACTS}; }}; cat > /tmp/s.c <<'END'\n{STRANGLER}\nEND\n\
         gcc -no-pie -o /tmp/s /tmp/s.c || exit 9\nbefore=$(facts)\nperl -e 'exec \"/tmp/s\"'\n\
         [ -n \"$before\" ] && [ \"$before\" = \"$(facts)\" ] && echo 'it is as it was'\n\
         trap '' TERM; for i in $(seq 64); do while :; do :; done & done; wait"
    ));
    // It still ends a script that spins and does not listen, in its time.
    let answer = answer.ended(124).says(&["it ran longer than 20 s"]);
    let took_ms = number(&record["took_ms"]);
    assert!(took_ms < 20_000 + 2000 + 8000, "{record}");
    let last: Vec<&str> = answer.stdout.lines().rev().take(2).collect();
    assert!(last[1].starts_with("0 of ") && last[0] == "it is as it was", "{answer:?}");
    let tried: u32 = last[1].split(' ').nth(2).unwrap().parse().unwrap();
    assert!(tried > 150, "{answer:?}");
}
