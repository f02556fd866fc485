//! The runner over its socket, against the real engine.
//!
//! Needs Docker, uid 0, and `CASTOFF_BIN_DIR` (a directory with a static castoff and castoff-init).
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the messages that it waits for")]

#[path = "../common/directory.rs"]
mod directory;
mod files;
mod house;
mod left;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

use castoff::domain::ids::RunId;
use castoff::domain::run::{Ending, StopCause};
use castoff::protocol::runner::{Fate, FromRunner, Request, ToRunner};
use castoff::runner;

use house::{FILES_UID, House, assert_nothing_left, overlay, run};

/// The journal of a runner that died while this run was under way, in the middle of a line.
fn cut_short(house: &House, run: &RunId) {
    let path = house.home().join("state/runner/journal/runs.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(&format!(r#"{{"begun":{{"run":"{run}","begun":{{"claimed_ns":5,"workspaces":[]}}}}}}"#));
    text.push_str("\n{\"ended\":{\"ru");
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_writes_into_its_overlay_and_the_change_lands_on_request() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let mut plan = house.plan(&core, "cat notes.txt; ls -A secret; id -un; echo bye > notes.txt; touch new; exit 3");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    assert_eq!(plan.covers.iter().map(|cover| &cover.path).collect::<Vec<_>>(), [&house.work().join("secret")]);
    let (output, end) = core.run(&run(1), &plan).await;
    assert_eq!((output.as_str(), &end.ending), ("hello\nann\n", &Ending::Exited { code: 3 }));
    let paths: Vec<_> = end.changes.iter().flat_map(|set| &set.changes).map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["new", "notes.txt"]);
    assert_eq!(std::fs::read_to_string(house.work().join("notes.txt")).unwrap(), "hello\n");

    core.tell(ToRunner::Apply { run: run(1), paths: None }).await;
    let FromRunner::Applied { landings, .. } = core.hear().await else { panic!("not applied") };
    assert!(landings.iter().all(|landing| landing.conflicts.is_empty()), "{landings:?}");
    assert_eq!(std::fs::read_to_string(house.work().join("notes.txt")).unwrap(), "bye\n");
    assert_eq!(std::fs::metadata(house.work().join("new")).unwrap().uid(), FILES_UID);

    core.tell(ToRunner::Undo { run: run(1) }).await;
    let FromRunner::Undone { .. } = core.hear().await else { panic!("not undone") };
    assert_eq!(std::fs::read_to_string(house.work().join("notes.txt")).unwrap(), "hello\n");
    house.end().await;
    let overlays = house.home().join("state/runner/overlays");
    for workspace in std::fs::read_dir(overlays).unwrap() {
        assert_eq!(std::fs::read_dir(workspace.unwrap().path()).unwrap().count(), 0);
    }
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_beyond_the_policy_or_comes_twice_is_refused() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let good = house.plan(&core, "true");
    let mut plan = good.clone();
    plan.mounts.push(overlay(Path::new("/etc")));
    let (_, end) = core.run(&run(1), &plan).await;
    assert!(matches!(&end.ending, Ending::Failed { why } if why.contains("`/etc`")), "{end:?}");
    let missing = house.directory.path().join("missing");
    let (_, unusable) = core.survey(&run(1), vec![overlay(&missing)]).await;
    assert!(unusable[0].why.contains("mkdir -p"), "{unusable:?}");
    let (_, end) = core.run(&run(1), &good).await;
    assert!(matches!(&end.ending, Ending::Failed { why } if why.contains("does not cover")), "{end:?}");

    let mut plan = house.plan(&core, "true");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    let (_, end) = core.run(&run(1), &plan).await;
    assert_eq!((&end.ending, end.changes.len()), (&Ending::Exited { code: 0 }, 0));
    let (_, end) = core.run(&run(1), &plan).await;
    assert!(matches!(&end.ending, Ending::Failed { why } if why.contains("never begins again")), "{end:?}");
    house.end().await;
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_a_lost_connection_and_a_restart_end_a_run_and_its_changes_are_held() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let mut plan = house.plan(&core, "echo x > made; echo begun; sleep 1000");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    core.send_run(&run(1), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    core.tell(ToRunner::Stop { run: run(1), cause: StopCause::Asked }).await;
    let (_, end) = core.follow().await;
    assert_eq!((&end.ending, end.changes.len()), (&Ending::Stopped { cause: StopCause::Asked }, 1));

    core.send_run(&run(2), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    drop(core);
    let mut core = house.connect().await;
    let runs = core.recall(&[run(2), run(9)]).await;
    // The exit frame may still have come through, or not.
    let (Fate::Ended(end) | Fate::Interrupted(end)) = &runs[0].1 else { panic!("{runs:?}") };
    assert!(end.changes.len() == 1 && !end.ending.by_itself(), "{runs:?}");
    assert_eq!(runs[1].1, Fate::NeverSeen);

    core.send_run(&run(3), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    house.end().await;
    assert_nothing_left(&house).await;
    cut_short(&house, &run(4));
    house.start();
    let mut core = house.connect().await;
    let runs = core.recall(&[run(1), run(3), run(4)]).await;
    assert!(matches!(&runs[0].1, Fate::Ended(end) if end.changes.len() == 1), "{runs:?}");
    let shutdown = Ending::Stopped { cause: StopCause::Shutdown };
    assert!(matches!(&runs[1].1, Fate::Ended(end) if end.changes.len() == 1 && end.ending == shutdown), "{runs:?}");
    assert!(matches!(&runs[2].1, Fate::Interrupted(end) if end.changes.is_empty()), "{runs:?}");
    core.tell(ToRunner::Drop { run: run(1) }).await;
    assert_eq!(core.hear().await, FromRunner::Dropped { run: run(1), landings: vec![] });
    house.end().await;
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_ends_is_not_taken_for_the_next_one() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let mut plan = house.plan(&core, "trap '' TERM; echo begun; while :; do sleep 1; done");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    core.send_run(&run(1), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    let ended = async { tokio::join!(house.end(), core.follow()).1 };
    let refused = async {
        let socket = house.home().join("run/runner/runner.sock");
        tokio::time::sleep(Duration::from_millis(50)).await;
        (UnixStream::connect(&socket).await.unwrap_err().kind(), socket.exists())
    };
    let ((_, end), refused) = tokio::join!(ended, refused);
    assert_eq!(refused, (std::io::ErrorKind::ConnectionRefused, true));
    assert_eq!(end.ending, Ending::Stopped { cause: StopCause::Shutdown });
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fills_the_disk_is_stopped() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let mut plan = house.plan(&core, "for i in 1 2 3 4 5 6 7 8 9; do head -c 64M /dev/zero > $i; sleep 0.2; done");
    plan.limits.disk_bytes = 128 << 20;
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    let (_, end) = core.run(&run(1), &plan).await;
    assert_eq!(end.ending, Ending::Stopped { cause: StopCause::DiskCap });
    core.tell(ToRunner::Drop { run: run(1) }).await;
    assert_eq!(core.hear().await, FromRunner::Dropped { run: run(1), landings: vec![] });
    house.end().await;
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_run_that_never_began_here_nothing_is_held() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    core.tell(ToRunner::Drop { run: run(1) }).await;
    assert_eq!(core.hear().await, FromRunner::Dropped { run: run(1), landings: vec![] });
    core.tell(ToRunner::Apply { run: run(1), paths: None }).await;
    let FromRunner::Trouble { request: Request::Apply, why, .. } = core.hear().await else { panic!("applied") };
    assert!(why.contains("never began here"), "{why}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_without_a_policy_is_not_healthy_until_it_has_one() {
    let mut house = House::new().await;
    std::fs::write(house.home().join("config/tools.yaml"), "files: [").unwrap();
    house.start();
    let ready = loop {
        match runner::health(&house.home()).await {
            Ok(ready) if !ready.images.is_empty() => break ready,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert!(matches!(&ready.problems[..], [why] if why.contains("cannot read the policy")), "{ready:?}");
    house.write_policy();
    let mut core = house.connect().await;
    let (_, unusable) = core.survey(&run(1), vec![overlay(&house.work())]).await;
    assert_eq!(unusable, []);
    house.end().await;
}
