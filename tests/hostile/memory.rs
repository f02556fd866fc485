//! Memory: said as such, whoever was killed.

use crate::den::{Den, number};

#[test]
fn want_of_memory_is_called_by_its_name() {
    let den = Den::new("memory: 64MiB, tmp: 1GiB, wall_time: 60s");
    let out_of_memory = "out of memory: it wanted more than 64 MiB, and the largest process was killed";
    // The shell gives its place to its last command.
    let (answer, record) = den.attack("tail /dev/zero");
    answer.ended(137).says(&["killed: it wanted more than 64 MiB of memory"]);
    assert_eq!(record["ending"]["signalled"]["out_of_memory"], true, "{record}");

    // The last command of the pipeline ends well.
    for (script, code) in [("tail /dev/zero; exit $?", 137), ("tail /dev/zero | wc -c", 0)] {
        let (answer, record) = den.attack(script);
        answer.ended(code).says(&[out_of_memory]);
        assert!(number(&record["usage"]["memory_kills"]) > 0, "{record}");
    }
    // It fills its own /tmp: no process of it is large, and whom the kernel takes is its own choice. Process 1 it leaves.
    let (answer, record) = den.attack("head -c 900M /dev/zero > /tmp/filler; exit 5");
    assert!([5, 137].contains(&answer.code), "{answer:?}");
    answer.says(&["it wanted more than 64 MiB"]);
    assert!(number(&record["usage"]["memory_kills"]) > 0, "{record}");
}
