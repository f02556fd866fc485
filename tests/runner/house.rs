//! A runner on a home of its own, and a core that talks to it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use castoff::domain::ids::{PersonId, RunId};
use castoff::domain::limits::Limits;
use castoff::domain::plan::{Access, Cover, Image, Mount, Plan, Review};
use castoff::domain::run::{RunEnd, Stream};
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::protocol::codec;
use castoff::protocol::runner::{Fate, FromRunner, ToRunner, Unusable};
use castoff::runner::{self, RunnerPlaces};
use castoff::runtime::clock;
use serde_bytes::ByteBuf;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owner of the test's files.
pub(crate) const FILES_UID: u32 = 1000;

/// A runner on a home of its own; everything goes when it is dropped.
pub(crate) struct House {
    pub(crate) directory: tempfile::TempDir,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A connection that is ready.
pub(crate) struct Core {
    pub(crate) stream: UnixStream,
    pub(crate) images: Vec<Image>,
}

impl House {
    pub(crate) async fn new() -> Self {
        let parent = crate::directory::directory();
        std::fs::create_dir_all(&parent).unwrap();
        let directory = tempfile::tempdir_in(parent).unwrap();
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

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub(crate) fn write_policy(&self) {
        let config = self.home().join("config");
        std::fs::create_dir_all(&config).unwrap();
        let (work, missing) = (self.work(), self.directory.path().join("missing"));
        let tools = format!(
            "files:\n  allowed_paths: [{work:?}, {missing:?}]\n  denied_paths: [{secret:?}, /root]\n",
            secret = work.join("secret")
        );
        std::fs::write(config.join("tools.yaml"), tools).unwrap();
    }

    pub(crate) fn start(&mut self) {
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

    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    pub(crate) async fn connect(&self) -> Core {
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

    pub(crate) fn plan(&self, core: &Core, script: &str) -> Plan {
        self.plan_of(core, Task::Script(Script::new(script.to_owned()).unwrap()))
    }

    pub(crate) fn plan_of(&self, core: &Core, task: Task) -> Plan {
        let home = self.home().join("people/owner");
        Plan {
            person: PersonId::owner(),
            user_name: "Ann".to_owned(),
            task,
            stdin: None,
            workdir: self.work(),
            env: [("HOME".to_owned(), home.display().to_string()), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())]
                .into(),
            image: core.images[0].clone(),
            mounts: vec![overlay(&self.work()), overlay(&home)],
            covers: Vec::new(),
            limits: Limits { wall_time_ms: 20_000, ..Limits::default() },
            review: Review::Risky,
            deletions: false,
        }
    }
}

impl Core {
    pub(crate) async fn tell(&mut self, message: ToRunner) {
        codec::send(&mut self.stream, &message).await.unwrap();
    }

    /// The next answer; news of the runner's own state is left out.
    pub(crate) async fn hear(&mut self) -> FromRunner {
        loop {
            match self.hear_all().await {
                FromRunner::Ready(_) => {}
                FromRunner::Progress { text, .. } => println!("{text}"),
                message => return message,
            }
        }
    }

    pub(crate) async fn hear_all(&mut self) -> FromRunner {
        let heard = tokio::time::timeout(Duration::from_secs(60), codec::receive(&mut self.stream)).await;
        heard.expect("the runner is silent").unwrap().expect("the runner closed the connection")
    }

    pub(crate) async fn survey(&mut self, run: &RunId, mounts: Vec<Mount>) -> (Vec<Cover>, Vec<Unusable>) {
        self.tell(ToRunner::Survey { run: run.clone(), person: PersonId::owner(), mounts }).await;
        match self.hear().await {
            FromRunner::Surveyed { covers, unusable, .. } => (covers, unusable),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send_run(&mut self, run: &RunId, plan: &Plan) {
        self.send_run_with(run, plan, b"").await;
    }

    pub(crate) async fn send_run_with(&mut self, run: &RunId, plan: &Plan, stdin: &[u8]) {
        let digest = plan.digest();
        let (plan, stdin) = (Box::new(plan.clone()), ByteBuf::from(stdin));
        self.tell(ToRunner::Run { run: run.clone(), plan, digest, stdin }).await;
    }

    pub(crate) async fn follow(&mut self) -> (String, RunEnd) {
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

    /// What became of these runs, in their order.
    pub(crate) async fn recall(&mut self, runs: &[RunId]) -> Vec<(RunId, Fate)> {
        self.tell(ToRunner::Recall { runs: runs.to_vec() }).await;
        let mut fates = Vec::new();
        while fates.len() < runs.len() {
            match self.hear().await {
                FromRunner::Recalled { runs } => fates.extend(runs),
                other => panic!("{other:?}"),
            }
        }
        fates
    }

    pub(crate) async fn run(&mut self, run: &RunId, plan: &Plan) -> (String, RunEnd) {
        self.send_run(run, plan).await;
        self.follow().await
    }
}

pub(crate) fn overlay(path: &Path) -> Mount {
    Mount { path: path.to_owned(), access: Access::Overlay }
}

pub(crate) fn run(number: u8) -> RunId {
    RunId::from_random([number; 11])
}

/// Nothing of the installation's is left with the engine.
pub(crate) async fn assert_nothing_left(house: &House) {
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
