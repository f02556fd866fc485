//! The hardened containers on a real engine: what was asked stands in the inspection, castoff-init
//! finds it in place, and everyday programs run.
//!
//! Needs Docker (`DOCKER_HOST`, else the default socket), `CASTOFF_BIN_DIR` (a directory with a static
//! castoff and castoff-init), and the images of runs, which `make test` builds.
#![cfg(test)]

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::query_parameters::AttachContainerOptionsBuilder;
use castoff::domain::ids::{Digest, PersonId, RunId};
use castoff::domain::limits::Limits;
use castoff::domain::plan::{Access, Cover, CoverKind, Image, Mount, Plan, Review};
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::protocol::codec;
use castoff::protocol::init::{FromInit, Request, ToInit, Work};
use castoff::protocol::keeper::{self, FromKeeper, ToKeeper};
use castoff::runner::harden::{self, KeeperPlaces, Places};
use castoff::runner::{images, readback};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use self::ground::{Ground, directory, owner, program};

mod ground;

/// The engine, and what the containers of a test start from.
struct Stage {
    ground: Ground,
    docker: Docker,
    init_bytes: Vec<u8>,
    init: Image,
}

async fn stage(name: &str) -> Stage {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let socket = host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let docker = Docker::connect_with_unix(&socket, 60, bollard::API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let init_bytes = std::fs::read(program("castoff-init")).unwrap();
    let init = images::init(&docker, &init_bytes).await.unwrap();
    Stage { ground: Ground::new(name), docker, init_bytes, init }
}

impl Stage {
    fn at(&self, path: &str) -> PathBuf {
        self.ground.path().join(path)
    }

    fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(harden::LABEL_HOME.to_owned(), self.ground.name().to_owned())])
    }
}

async fn workbench(docker: &Docker) -> Image {
    let found = images::found(docker).await.unwrap();
    let image = found.into_iter().find(|image| image.name == "workbench");
    image.expect("the engine has no up-to-date `workbench`: run `castoff runner --build-images`, or `make test`")
}

fn file(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (uid, gid) = owner();
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    path.to_owned()
}

fn sample(stage: &Stage, image: Image) -> Plan {
    let workspace = directory(&stage.at("ws"));
    file(&workspace.join("a.txt"), "here\n");
    file(&workspace.join(".env"), "TOKEN=secret\n");
    directory(&workspace.join("keys"));
    file(&workspace.join("keys/id"), "secret\n");
    file(&directory(&stage.at("read")).join("r.txt"), "read\n");
    directory(&stage.at("direct"));
    let mount = |name: &str, access| Mount { path: stage.at(name), access };
    Plan {
        person: PersonId::owner(),
        user_name: "ann".to_owned(),
        task: Task::Script(Script::try_from("true".to_owned()).unwrap()),
        stdin: None,
        workdir: workspace.clone(),
        env: BTreeMap::new(),
        image,
        mounts: vec![mount("ws", Access::Overlay), mount("read", Access::Read), mount("direct", Access::Direct)],
        covers: vec![
            Cover { path: workspace.join("keys"), kind: CoverKind::Directory },
            Cover { path: workspace.join("keys/id"), kind: CoverKind::File },
            Cover { path: workspace.join(".env"), kind: CoverKind::File },
        ],
        limits: Limits::default(),
        review: Review::Never,
        deletions: false,
    }
}

async fn places(stage: &Stage, plan: &Plan) -> Places {
    let state = directory(&stage.at("state"));
    let (upper, work) = (directory(&state.join("upper")), directory(&state.join("work")));
    let name = stage.ground.name();
    let lower = &plan.mounts[0].path;
    let volume = harden::overlay_volume(name, lower, &upper, &work, stage.labels()).unwrap();
    stage.docker.create_volume(volume).await.unwrap();
    let (uid, gid) = owner();
    Places {
        run: RunId::from_random([3; 11]),
        home_label: name.to_owned(),
        init_volume: images::init_volume(&stage.docker, &stage.init, &stage.init, name).await.unwrap(),
        overlays: vec![(lower.clone(), name.to_owned())],
        passwd: file(&state.join("passwd"), &format!("ann:x:{uid}:{gid}::/tmp:/bin/sh\n")),
        group: file(&state.join("group"), &format!("ann:x:{gid}:\n")),
        hosts: file(&state.join("hosts"), "127.0.0.1 localhost\n"),
        uid,
        gid,
        runtime: None,
    }
}

/// A started container and its attached streams.
struct Attached {
    streams: AttachContainerResults,
    bytes: Vec<u8>,
}

impl Attached {
    async fn start(docker: &Docker, body: bollard::models::ContainerCreateBody) -> Self {
        let created = docker.create_container(None, body.clone()).await.unwrap();
        assert_eq!(created.warnings, Vec::<String>::new());
        let got = docker.inspect_container(&created.id, None).await.unwrap();
        assert_eq!(readback::compare(&body, &got), Vec::<String>::new());
        let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
        let streams = docker.attach_container(&created.id, Some(options)).await.unwrap();
        docker.start_container(&created.id, None).await.unwrap();
        Self { streams, bytes: Vec::new() }
    }

    async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            let mut rest = self.bytes.as_slice();
            if let Ok(Some(frame)) = codec::read(&mut rest) {
                self.bytes = rest.to_vec();
                return Some(frame);
            }
            match self.streams.output.next().await?.unwrap() {
                LogOutput::StdErr { message } => eprint!("{}", String::from_utf8_lossy(&message)),
                output @ (LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. }) => {
                    self.bytes.extend_from_slice(output.as_ref())
                }
            }
        }
    }
}

const EVERYDAY: &str = r#"
set -eu
no() { if "$@" 2>/dev/null; then echo "this was possible: $*"; exit 9; fi; }
cat a.txt; test ! -s .env; test -z "$(ls keys)"; no touch keys/x; echo new > b.txt
cat ../read/r.txt; no touch ../read/x; echo d > ../direct/d.txt
no touch /x; no touch /castoff/x; no touch /etc/passwd; no touch /dev/x; whoami; getent hosts localhost
test ! -s /etc/resolv.conf
git init -q r; cd r; echo x > a; git add a; git -c user.name=a -c user.email=b commit -qm x; git log --oneline | wc -l
python3 -c 'import multiprocessing as m; p = m.Pool(2); print(p.map(abs, [-1]))'
node -e 'new (require("worker_threads").Worker)("console.log(3)", {eval: true})'
npm --version > /dev/null
printf '#include <stdio.h>\nint main(){puts("built");}' > a.c; gcc a.c -o /tmp/a; /tmp/a
no fallocate -l 1M f; no unshare -r true; no prlimit --pid 1 --nofile=0; no renice -n 5 -p 1; no taskset -p 1 1
no renice -n 5 -u "$(id -u)"; no ionice -c 3 -p 1; no chrt -i -p 0 1; no cat /proc/1/environ
no python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)'
no python3 -c 'import socket; socket.socket(38, socket.SOCK_SEQPACKET)'
cp a b; nice -n 5 true; taskset -c 0 true; ionice -c 3 true
grep -E 'Cap|NoNew|Seccomp:' /proc/self/status
"#;

#[tokio::test]
async fn a_run_has_what_the_plan_says_and_everyday_programs_work() {
    let stage = stage("run").await;
    let plan = sample(&stage, workbench(&stage.docker).await);
    let places = places(&stage, &plan).await;
    let mut run = Attached::start(&stage.docker, harden::run_container(&plan, &places).unwrap()).await;
    let Some(FromInit::Ready(ready)) = run.next().await else { panic!("no ready frame") };
    let enforced = readback::confirm(&plan, &places, &Digest::of(&stage.init_bytes), &ready);
    let unasked = readback::confirm(&Plan { mounts: Vec::new(), ..plan.clone() }, &places, &ready.digest, &ready);
    let request = Request {
        work: Work::Script(EVERYDAY.to_owned()),
        stdin: ByteBuf::new(),
        env: vec![
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), "/tmp".to_owned()),
        ],
        workdir: plan.workdir.to_str().unwrap().to_owned(),
        wall_time_ms: 300_000,
        output_bytes: 1 << 20,
    };
    codec::send(&mut run.streams.input, &ToInit::Run(request)).await.unwrap();
    let (mut output, mut code) = (String::new(), None);
    while let Some(frame) = run.next().await {
        match frame {
            FromInit::Stdout(bytes) | FromInit::Stderr(bytes) => output += &String::from_utf8_lossy(&bytes),
            FromInit::Exit(exit) => {
                code = exit.code;
                output += &format!("{exit:?}\n");
                break;
            }
            FromInit::Ready(_) | FromInit::Started | FromInit::Probed(_) | FromInit::LeftOut(_) => {}
        }
    }
    println!("{output}{enforced:#?}");
    assert_eq!(code, Some(0), "{output}");
    assert!(enforced.is_ok(), "{enforced:#?}");
    assert!(unasked.is_err());
}

#[tokio::test]
async fn a_probe_tells_the_owner_and_a_keeper_opens_its_places() {
    let stage = stage("probe").await;
    let (uid, gid) = owner();
    let workspace = directory(&stage.at("ws"));
    let body = harden::probe_container(&stage.init.id, &workspace, stage.labels()).unwrap();
    let answer = Attached::start(&stage.docker, body).await.next().await;
    let Some(FromInit::Probed(probed)) = answer else { panic!("{answer:?}") };
    assert_eq!((probed.uid, probed.gid), (uid, gid));
    assert!(probed.mount.is_some_and(|mount| mount.root.ends_with("/ws")));

    let castoff = std::fs::read(program("castoff")).unwrap();
    let image = images::keeper(&stage.docker, &castoff).await.unwrap().id;
    let (overlays, state) = (directory(&stage.at("overlays")), directory(&stage.at("state")));
    let open = keeper::Places { workspace: workspace.clone(), overlays: overlays.clone(), state: state.clone() };
    let places = KeeperPlaces { image, workspace, overlays, state, uid, gid };
    let body = harden::keeper_container(&places, stage.labels()).unwrap();
    let mut keeper = Attached::start(&stage.docker, body).await;
    codec::send(&mut keeper.streams.input, &ToKeeper::Open(open)).await.unwrap();
    let answer = keeper.next().await;
    assert!(matches!(answer, Some(FromKeeper::Ready { .. })), "{answer:?}");
}
