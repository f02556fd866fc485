//! Output: its beginning and its end are kept, and what is left out is counted.

use crate::common::text;
use crate::den::{Den, number};

const MIB: u64 = 1 << 20;

#[test]
fn of_a_flood_the_beginning_and_the_end_are_kept_and_the_cut_is_named() {
    let den = Den::new("output: 1MiB, wall_time: 60s");
    // What floods goes on for as long as it can, a gigabyte; the script has the last word.
    let flood = "echo the beginning; trap 'echo the end; exit 3' TERM; \
                 (trap '' TERM; yes abcdefg | head -c 1000000000) & wait; wait";
    let (answer, record) = den.attack(flood);
    let answer = answer.ended(124).says(&["stopped: it wrote more than 1 MiB of output", "hint:"]);
    let left_out = number(&record["usage"]["left_out_bytes"]);
    assert!(left_out > 0, "{record}");
    let cut = format!("castoff: {left_out} bytes of output are left out here\n");
    assert!(
        answer.stderr.contains(&cut) && answer.stderr.contains(&format!("{left_out} bytes between beginning and end"))
    );
    assert!(answer.stdout.starts_with("the beginning\nabcdefg\n"), "{record}");
    assert_eq!(answer.stdout.len() as u64, MIB, "what fits comes through, to the byte");
    let logs = den.castoff.castoff(&["logs", text(&record["run"])]);
    assert!(logs.stdout == answer.stdout && logs.stderr == format!("\n{cut}"), "{}", logs.stderr);

    // What only ends when it is told is gone by the time of the last word.
    let small = "echo the beginning; trap 'sleep 0.5; echo the end; exit 3' TERM; yes abcdefg & wait; wait";
    let (answer, _) = den.attack(small);
    let answer = answer.ended(124);
    assert!(answer.stdout.starts_with("the beginning\nabcdefg\n") && answer.stdout.ends_with("the end\n"));
}

#[test]
fn writing_to_nobody_ends_at_once() {
    let den = Den::new("wall_time: 60s");
    let (answer, record) = den.attack("yes | head -n 1; yes 2>/dev/null >&-; (yes; echo on >&2) | true; echo done");
    assert_eq!(answer.ended(0).stdout, "y\ndone\n");
    assert!(number(&record["took_ms"]) < 10_000, "{record}");
}
