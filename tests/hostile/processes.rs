//! Processes: fork bombs, and those who only want a few too many.

use crate::den::{Den, number};

#[test]
fn a_fork_bomb_ends_and_a_process_too_many_is_not_started() {
    let den = Den::new("pids: 48, wall_time: 3s");
    let (answer, record) = den.attack("bomb() { bomb | bomb & }; bomb 2>/dev/null; while :; do :; done");
    answer.ended(124).says(&["it ran longer than 3 s", "it had 48 processes, as many as it may: "]);
    assert!(number(&record["usage"]["starts_refused"]) > 0, "{record}");
    den.castoff.no_run_container_is_left();

    let greedy = "perl -e 'my $n = 0; for (1..100) { my $p = fork; last if !defined $p; \
                  if (!$p) { sleep 60; exit } $n++ } print \"$n $!\\n\"'";
    let (answer, _) = den.attack(greedy);
    let answer = answer.ended(0).says(&["it had 48 processes, as many as it may: 1 more were not started"]);
    let (started, why) = answer.stdout.split_once(' ').unwrap();
    assert!((20..48).contains(&started.parse::<u32>().unwrap()), "{answer:?}");
    assert_eq!(why, "Resource temporarily unavailable\n");
}
