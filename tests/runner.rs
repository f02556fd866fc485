//! The runner over its socket, against the real engine.
//!
//! Needs Docker, uid 0, and `CASTOFF_BIN_DIR` (a directory with a static castoff and castoff-init).
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the messages that it waits for")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use castoff::domain::ids::{PersonId, RunId};
use castoff::domain::limits::Limits;
use castoff::domain::plan::{Access, Cover, Image, Mount, Plan, Review};
use castoff::domain::run::{Ending, RunEnd, StopCause, Stream};
use castoff::domain::script::Script;
use castoff::protocol::codec;
use castoff::protocol::runner::{Fate, FromRunner, ToRunner, Unusable};
use castoff::runner::{self, RunnerPlaces};
use castoff::runtime::clock;
use serde_bytes::ByteBuf;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owner of the test's files.
const FILES_UID: u32 = 1000;

/// A runner on a home of its own; everything goes when it is dropped.
struct House {
    directory: tempfile::TempDir,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A connection that is ready.
struct Core {
    stream: UnixStream,
    images: Vec<Image>,
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let house = Self { directory, tasks: TaskTracker::new(), stop: CancellationToken::new() };
        std::fs::create_dir_all(house.home().join("state/runner")).unwrap();
        std::fs::write(house.home().join("state/runner/files-uid"), format!("{FILES_UID} {FILES_UID}\n")).unwrap();
        let work = house.work();
        std::fs::create_dir_all(work.join("secret")).unwrap();
        std::fs::write(work.join("notes.txt"), "hello\n").unwrap();
        std::fs::write(work.join("secret/key"), "hidden\n").unwrap();
        for path in [work.clone(), work.join("secret"), work.join("notes.txt"), work.join("secret/key")] {
            std::os::unix::fs::chown(path, Some(FILES_UID), Some(FILES_UID)).unwrap();
        }
        house.write_policy();
        house
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    fn write_policy(&self) {
        let config = self.home().join("config");
        std::fs::create_dir_all(&config).unwrap();
        let (work, missing) = (self.work(), self.directory.path().join("missing"));
        let tools = format!(
            "files:\n  allowed_paths: [{work:?}, {missing:?}]\n  denied_paths: [{secret:?}, /root]\n",
            secret = work.join("secret")
        );
        std::fs::write(config.join("tools.yaml"), tools).unwrap();
    }

    fn start(&mut self) {
        let places = RunnerPlaces {
            home: self.home(),
            config: self.home().join("config"),
            docker: None,
            programs: Some(std::env::var("CASTOFF_BIN_DIR").unwrap().into()),
            clock: clock::now_ns,
        };
        self.stop = CancellationToken::new();
        self.tasks = TaskTracker::new();
        let stop = self.stop.clone();
        self.tasks.spawn(async move { runner::serve(places, stop).await.unwrap() });
        self.tasks.close();
    }

    async fn end(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    async fn connect(&self) -> Core {
        let socket = self.home().join("run/runner/runner.sock");
        let stream = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let mut core = Core { stream, images: Vec::new() };
        loop {
            match core.hear_all().await {
                FromRunner::Ready(ready) if ready.problems.is_empty() => {
                    core.images = ready.images;
                    return core;
                }
                FromRunner::Ready(ready) => println!("{:?}", ready.problems),
                other => println!("{other:?}"),
            }
        }
    }

    fn plan(&self, core: &Core, script: &str) -> Plan {
        let home = self.home().join("people/owner");
        Plan {
            person: PersonId::owner(),
            user_name: "Ann".to_owned(),
            script: Script::new(script.to_owned()).unwrap(),
            stdin: None,
            workdir: self.work(),
            env: [("HOME".to_owned(), home.display().to_string()), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())]
                .into(),
            image: core.images[0].clone(),
            mounts: vec![overlay(&self.work()), overlay(&home)],
            covers: Vec::new(),
            limits: Limits { wall_time_ms: 20_000, ..Limits::default() },
            review: Review::Risky,
        }
    }
}

impl Core {
    async fn tell(&mut self, message: ToRunner) {
        codec::send(&mut self.stream, &message).await.unwrap();
    }

    /// The next answer; news of the runner's own state is left out.
    async fn hear(&mut self) -> FromRunner {
        loop {
            match self.hear_all().await {
                FromRunner::Ready(_) => {}
                FromRunner::Progress { text, .. } => println!("{text}"),
                message => return message,
            }
        }
    }

    async fn hear_all(&mut self) -> FromRunner {
        let heard = tokio::time::timeout(Duration::from_secs(60), codec::receive(&mut self.stream)).await;
        heard.expect("the runner is silent").unwrap().expect("the runner closed the connection")
    }

    async fn survey(&mut self, run: &RunId, mounts: Vec<Mount>) -> (Vec<Cover>, Vec<Unusable>) {
        self.tell(ToRunner::Survey { run: run.clone(), person: PersonId::owner(), mounts }).await;
        match self.hear().await {
            FromRunner::Surveyed { covers, unusable, .. } => (covers, unusable),
            other => panic!("{other:?}"),
        }
    }

    async fn send_run(&mut self, run: &RunId, plan: &Plan) {
        let digest = plan.digest();
        let (plan, stdin) = (Box::new(plan.clone()), ByteBuf::new());
        self.tell(ToRunner::Run { run: run.clone(), plan, digest, stdin }).await;
    }

    async fn follow(&mut self) -> (String, RunEnd) {
        let mut text = String::new();
        loop {
            match self.hear().await {
                FromRunner::Output { stream: Stream::Stdout | Stream::Stderr, bytes, .. } => {
                    text.push_str(&String::from_utf8_lossy(&bytes));
                }
                FromRunner::Ended { end, .. } => return (text, *end),
                _ => {}
            }
        }
    }

    async fn run(&mut self, run: &RunId, plan: &Plan) -> (String, RunEnd) {
        self.send_run(run, plan).await;
        self.follow().await
    }
}

fn overlay(path: &Path) -> Mount {
    Mount { path: path.to_owned(), access: Access::Overlay }
}

fn run(number: u8) -> RunId {
    RunId::from_random([number; 11])
}

/// The journal of a runner that died while this run was under way, in the middle of a line.
fn cut_short(house: &House, run: &RunId) {
    let path = house.home().join("state/runner/journal/runs.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(&format!(r#"{{"begun":{{"run":"{run}","begun":{{"claimed_ns":5,"workspaces":[]}}}}}}"#));
    text.push_str("\n{\"ended\":{\"ru");
    std::fs::write(path, text).unwrap();
}

/// Nothing of the installation's is left with the engine.
async fn assert_nothing_left(house: &House) {
    let docker = bollard::Docker::connect_with_unix("/var/run/docker.sock", 60, bollard::API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let label = format!("castoff.home={}", house.home().display());
    let filters = std::collections::HashMap::from([("label".to_owned(), vec![label])]);
    let options =
        bollard::query_parameters::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    assert_eq!(docker.list_containers(Some(options)).await.unwrap(), []);
    let options = bollard::query_parameters::ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
    assert_eq!(volumes, []);
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
    core.tell(ToRunner::Recall { runs: vec![run(2), run(9)] }).await;
    let FromRunner::Recalled { runs } = core.hear().await else { panic!("not recalled") };
    assert!(matches!(&runs[0].1, Fate::Ended(end) if end.changes.len() == 1 && !end.ending.by_itself()), "{runs:?}");
    assert_eq!(runs[1].1, Fate::NeverSeen);

    core.send_run(&run(3), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    house.end().await;
    assert_nothing_left(&house).await;
    cut_short(&house, &run(4));
    house.start();
    let mut core = house.connect().await;
    core.tell(ToRunner::Recall { runs: vec![run(1), run(3), run(4)] }).await;
    let FromRunner::Recalled { runs } = core.hear().await else { panic!("not recalled") };
    assert!(matches!(&runs[0].1, Fate::Ended(end) if end.changes.len() == 1), "{runs:?}");
    let shutdown = Ending::Stopped { cause: StopCause::Shutdown };
    assert!(matches!(&runs[1].1, Fate::Ended(end) if end.changes.len() == 1 && end.ending == shutdown), "{runs:?}");
    assert!(matches!(&runs[2].1, Fate::Interrupted(end) if end.changes.is_empty()), "{runs:?}");
    core.tell(ToRunner::Drop { run: run(1) }).await;
    assert_eq!(core.hear().await, FromRunner::Dropped { run: run(1) });
    house.end().await;
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
    assert_eq!(core.hear().await, FromRunner::Dropped { run: run(1) });
    house.end().await;
    assert_nothing_left(&house).await;
}
