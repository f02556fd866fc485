//! Promise 2: nothing of one run reaches another but changes that were applied.

use crate::common::{text, usual};

#[test]
fn two_runs_share_nothing_but_what_landed() {
    let castoff = usual();
    let (code, first) = castoff.run_json(
        "echo left > /tmp/left; export LEFT=over; (sleep 300 &) ; mkdir -p shared; echo landed > shared/file; cat /tmp/left",
    );
    assert_eq!((code, text(&first["stdout"])), (0, "left\n"), "{first}");
    let (code, second) = castoff.run_json("ls -A /tmp; echo \"${LEFT-nothing}\"; ps -eo args; cat shared/file");
    assert_eq!(code, 0, "{second}");
    let seen = text(&second["stdout"]);
    assert!(seen.starts_with("nothing\n") && seen.ends_with("landed\n"), "{seen}");
    assert!(!seen.contains("sleep 300"), "{seen}");
    assert_ne!(first["enforced"]["container"], second["enforced"]["container"]);
    castoff.no_run_container_is_left();
}
