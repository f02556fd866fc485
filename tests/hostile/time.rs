//! Wall time and processor.

use crate::den::{Den, number};

/// Milliseconds between asking and killing, and what the engine and a busy machine take.
const GRACE_MS: u64 = 2000;
const SLACK_MS: u64 = 3000;

#[test]
fn a_script_is_asked_to_end_then_killed_with_all_that_it_started() {
    let den = Den::new("wall_time: 2s");
    let (answer, _) = den.attack("trap 'echo last words; exit 3' TERM; while :; do sleep 0.1; done");
    let answer = answer.ended(124).says(&["stopped: it ran longer than 2 s"]);
    assert_eq!(answer.stdout, "last words\n", "it was asked first");

    let deaf = "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' &); echo begun; \
                while :; do sleep 1; done";
    let (answer, record) = den.attack(deaf);
    assert_eq!(answer.ended(124).says(&["stopped: it ran longer than 2 s"]).stdout, "begun\n");
    assert_eq!(record["stopped_by"], "timeout", "{record}");
    let took_ms = number(&record["took_ms"]);
    assert!((2000 + GRACE_MS..2000 + GRACE_MS + SLACK_MS).contains(&took_ms), "{record}");

    let (_, record) = den.attack("(setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &); exit 7");
    assert_eq!((&record["exit_code"], &record["stopped_by"]), (&7.into(), &().into()), "{record}");
    assert!(number(&record["took_ms"]) < SLACK_MS, "what is left behind ends with its script: {record}");
    den.castoff.no_run_container_is_left();
}

#[test]
fn who_burns_the_processor_gets_no_more_than_his_share() {
    let den = Den::new("wall_time: 4s, cpus: 0.2");
    let burner = "for i in 1 2 3 4 5 6 7 8; do perl -e 'while (1) { time }' & done; wait";
    let (answer, record) = den.attack(burner);
    answer.ended(124).says(&["it ran longer than 4 s", "it had 0.2 cores and wanted more: its processes waited"]);
    let (cpu_ms, took_ms) = (number(&record["usage"]["cpu_ms"]), number(&record["took_ms"]));
    // A fifth of a core, which a busy machine has too, and what the kernel gives in the period in which it notices.
    assert!(cpu_ms > 300 && cpu_ms <= took_ms / 5 + 500, "{cpu_ms} ms of the processor in {took_ms} ms");
}
