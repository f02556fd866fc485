//! Changes that are too long to be told end nobody's connection.

use castoff::domain::run::Ending;
use castoff::protocol::runner::{Fate, FromRunner, ToRunner};

use crate::house::{House, assert_nothing_left, run};

/// As many links as a keeper tells of one workspace; those of two do not fit into a frame.
const LINKS: &str = r#"for (".", $ENV{HOME}) { chdir $_; symlink "x" x 4095, sprintf "%05d", $_ for 1 .. 4091 }"#;
/// More than a keeper tells.
const MORE_LINKS: &str = r#"symlink "x" x 4095, sprintf "%05d", $_ for 1 .. 4100"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_changes_do_not_fit_into_a_frame_is_told_and_dropped_over_the_same_connection() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let cases = [(LINKS, 2, "is too long to be told"), (MORE_LINKS, 1, "are too long together")];
    for (number, (links, sets, why)) in (1..).zip(cases) {
        let mut plan = house.plan(&core, &format!("perl -e '{links}'"));
        (plan.covers, _) = core.survey(&run(number), plan.mounts.clone()).await;
        let (text, end) = core.run(&run(number), &plan).await;
        assert_eq!((text.as_str(), &end.ending), ("", &Ending::Exited { code: 0 }));
        let fates = core.recall(&[run(number), run(99), run(number)]).await;
        let [(_, Fate::Ended(again)), (_, Fate::NeverSeen), (_, Fate::Ended(_))] = &fates[..] else {
            panic!("{fates:?}")
        };
        for set in end.changes.iter().chain(&again.changes) {
            let [refused] = &set.refused[..] else { panic!("{} refused", set.refused.len()) };
            assert!(set.changes.is_empty() && refused.path == "." && refused.why.contains(why), "{refused:?}");
        }
        assert_eq!((end.changes.len(), again.changes.len()), (sets, sets));
        core.tell(ToRunner::Drop { run: run(number) }).await;
        assert_eq!(core.hear().await, FromRunner::Dropped { run: run(number), landings: vec![] });
    }
    house.end().await;
    assert_nothing_left(&house).await;
}
