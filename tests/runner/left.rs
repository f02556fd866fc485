//! What a run leaves that could not be removed at once goes later, also after the runner was killed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use castoff::domain::ids::RunId;
use castoff::domain::run::{Ending, StopCause};
use castoff::protocol::runner::{Fate, FromRunner, ToRunner};

use crate::house::{Core, House, assert_nothing_left, run};

async fn eventually(what: &str, look: impl Fn() -> bool) {
    for _ in 0..600 {
        if look() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come: {what}");
}

/// What runner and keepers have of a run.
fn left(house: &House, run: &RunId) -> Vec<PathBuf> {
    let below = |place: &str| std::fs::read_dir(house.home().join(place)).into_iter().flatten();
    let workspaces = below("state/runner/overlays").chain(below("state/keeper"));
    workspaces.map(|workspace| workspace.unwrap().path().join(run.as_str())).filter(|path| path.exists()).collect()
}

async fn run_of(house: &House, core: &mut Core, number: u8, script: &str) -> (usize, usize) {
    let mut plan = house.plan(core, script);
    (plan.covers, _) = core.survey(&run(number), plan.mounts.clone()).await;
    let (text, end) = core.run(&run(number), &plan).await;
    assert_eq!((text.as_str(), &end.ending), ("", &Ending::Exited { code: 0 }));
    let refused = end.changes.iter().map(|set| set.refused.len()).sum();
    (end.changes.iter().map(|set| set.changes.len()).sum(), refused)
}

/// A container of the test's that uses a volume; it goes when this does.
struct User(String);

impl User {
    #[expect(clippy::disallowed_methods, reason = "what a person does with the engine")]
    fn of(volume: &str) -> Self {
        let name = format!("{volume}-user");
        let arguments = ["run", "-d", "--rm", "--network", "none", "--name", &name];
        let mount = format!("{volume}:/used");
        let mut client = Command::new("docker");
        let status = client.args(arguments).args(["-v", &mount, "debian:trixie-slim", "sleep", "600"]).output();
        let status = status.unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        Self(name)
    }
}

impl Drop for User {
    #[expect(clippy::disallowed_methods, reason = "what a person does with the engine")]
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", &self.0]).output());
    }
}

/// The volumes of runs of this house.
#[expect(clippy::disallowed_methods, reason = "what a person does with the engine")]
fn volumes(house: &House) -> Vec<String> {
    let label = format!("label=castoff.home={}", house.home().display());
    let listed = Command::new("docker").args(["volume", "ls", "-q", "--filter", &label]).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    names.lines().filter(|name| !name.starts_with("castoff-init")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn overlays_in_which_nothing_could_land_go_after_the_runner_was_killed() {
    let mut house = House::new().await;
    // Its end takes the runner along, wherever it stands.
    let life = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    {
        let _inside = life.enter();
        house.start();
    }
    let mut core = house.connect().await;
    assert_eq!(run_of(&house, &mut core, 1, "echo bye > notes.txt").await, (1, 0));
    for number in [2, 3] {
        assert_eq!(run_of(&house, &mut core, number, "mkfifo pipe").await, (0, 1));
    }
    for number in [1, 2] {
        core.tell(ToRunner::Settled { run: run(number) }).await;
    }
    // The host has what the run wrote: no change at the moment, and one again when the host's file is another.
    std::fs::write(house.work().join("notes.txt"), "bye\n").unwrap();
    assert_eq!(run_of(&house, &mut core, 4, "cp notes.txt x; cat x > notes.txt; rm x").await, (0, 0));
    tokio::task::spawn_blocking(move || life.shutdown_timeout(Duration::from_secs(9))).await.unwrap();
    assert_eq!([1, 2, 3, 4].map(|number| left(&house, &run(number)).len() >= 2), [true; 4], "it went before the end");

    house.start();
    let mut core = house.connect().await;
    eventually("overlays without changes are gone", || {
        left(&house, &run(2)).is_empty() && left(&house, &run(4)).is_empty()
    })
    .await;
    let fates = core.recall(&[run(3)]).await;
    assert!(matches!(&fates[0].1, Fate::Ended(end) if end.changes[0].refused[0].path == "pipe"), "{fates:?}");
    std::fs::write(house.work().join("notes.txt"), "hello\n").unwrap();
    let fates = core.recall(&[run(1)]).await;
    assert!(matches!(&fates[0].1, Fate::Ended(end) if end.changes[0].changes[0].path == "notes.txt"), "{fates:?}");
    for number in [1, 3] {
        core.tell(ToRunner::Drop { run: run(number) }).await;
        assert_eq!(core.hear().await, FromRunner::Dropped { run: run(number), landings: vec![] });
        assert!(left(&house, &run(number)).is_empty());
    }
    house.end().await;
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_does_not_remove_at_once_is_removed_later() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let mut plan = house.plan(&core, "echo begun; sleep 600");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    core.send_run(&run(1), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    let all = volumes(&house);
    let user = User::of(&all[0]);
    core.tell(ToRunner::Stop { run: run(1), cause: StopCause::Asked }).await;
    let (_, end) = core.follow().await;
    assert_eq!(end.ending, Ending::Stopped { cause: StopCause::Asked });
    eventually("the other volumes are gone", || volumes(&house) == all[..1]).await;
    drop(user);
    eventually("the volume is gone", || volumes(&house).is_empty()).await;
    house.end().await;
    assert_nothing_left(&house).await;
}
