//! The hardened containers on a real engine: what was asked stands in the inspection, castoff-init
//! finds it in place, and everyday programs run. Needs an engine (`DOCKER_HOST`, else the default),
//! a static castoff-init (`CASTOFF_INIT`) and an image with programs (`CASTOFF_IMAGE`).
#![cfg(test)]

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions,
};
use castoff::domain::ids::{Digest, PersonId, RunId};
use castoff::domain::limits::Limits;
use castoff::domain::plan::{Access, Cover, CoverKind, Image, Mount, Plan, Review};
use castoff::domain::script::Script;
use castoff::protocol::codec;
use castoff::protocol::init::{FromInit, Probed, Request, ToInit};
use castoff::runner::harden::{self, KeeperPlaces, Places};
use castoff::runner::{images, readback};
use futures_util::StreamExt as _;
use serde_bytes::ByteBuf;

const UID: u32 = 1000;

struct Ground {
    docker: Docker,
    dir: PathBuf,
    init_bytes: Vec<u8>,
    init: Image,
    image: Image,
}

/// An engine, and what the containers of a test start from.
async fn ground(name: &str) -> Ground {
    let socket = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let docker = Docker::connect_with_unix(&socket, 60, bollard::API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let init_bytes =
        std::fs::read(std::env::var("CASTOFF_INIT").expect("CASTOFF_INIT: a static castoff-init")).unwrap();
    let name_of_image = std::env::var("CASTOFF_IMAGE").unwrap_or_else(|_| "castoff-workbench:programs".to_owned());
    let id = docker.inspect_image(&name_of_image).await.unwrap().id.unwrap();
    let dir = PathBuf::from("/srv").join(format!("castoff-test-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let init = images::init(&docker, &init_bytes).await.unwrap();
    Ground { docker, dir, init_bytes, init, image: Image { name: "workbench".to_owned(), id } }
}

fn directory(path: &Path) -> PathBuf {
    std::fs::create_dir_all(path).unwrap();
    std::os::unix::fs::chown(path, Some(UID), Some(UID)).unwrap();
    path.to_owned()
}

fn file(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::chown(path, Some(UID), Some(UID)).unwrap();
    path.to_owned()
}

fn sample(ground: &Ground) -> Plan {
    let dir = &ground.dir;
    let workspace = directory(&dir.join("ws"));
    file(&workspace.join("a.txt"), "here\n");
    file(&workspace.join(".env"), "TOKEN=secret\n");
    directory(&workspace.join("keys"));
    file(&workspace.join("keys/id"), "secret\n");
    file(&directory(&dir.join("read")).join("r.txt"), "read\n");
    directory(&dir.join("direct"));
    let mount = |name: &str, access| Mount { path: dir.join(name), access };
    Plan {
        person: PersonId::owner(),
        user_name: "ann".to_owned(),
        script: Script::try_from("true".to_owned()).unwrap(),
        stdin: None,
        workdir: workspace.clone(),
        env: BTreeMap::new(),
        image: ground.image.clone(),
        mounts: vec![mount("ws", Access::Overlay), mount("read", Access::Read), mount("direct", Access::Direct)],
        covers: vec![
            Cover { path: workspace.join("keys"), kind: CoverKind::Directory },
            Cover { path: workspace.join("keys/id"), kind: CoverKind::File },
            Cover { path: workspace.join(".env"), kind: CoverKind::File },
        ],
        limits: Limits::default(),
        review: Review::Never,
    }
}

async fn places(ground: &Ground, plan: &Plan) -> Places {
    let state = directory(&ground.dir.join("state"));
    let (upper, work) = (directory(&state.join("upper")), directory(&state.join("work")));
    let name = format!("castoff-test-{}", std::process::id());
    let lower = &plan.mounts[0].path;
    let volume = harden::overlay_volume(&name, lower, &upper, &work, HashMap::new()).unwrap();
    ground.docker.create_volume(volume).await.unwrap();
    Places {
        run: RunId::from_random([3; 11]),
        home_label: "test".to_owned(),
        init_volume: images::init_volume(&ground.docker, &ground.init, "test").await.unwrap(),
        overlays: vec![(lower.clone(), name)],
        passwd: file(&state.join("passwd"), &format!("ann:x:{UID}:{UID}::/tmp:/bin/sh\n")),
        group: file(&state.join("group"), &format!("ann:x:{UID}:\n")),
        hosts: file(&state.join("hosts"), "127.0.0.1 localhost\n"),
        uid: UID,
        gid: UID,
        runtime: std::env::var("CASTOFF_RUNTIME").ok(),
    }
}

/// A started container and its attached streams.
struct Attached {
    id: String,
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
        Self { id: created.id, streams, bytes: Vec::new() }
    }

    async fn next(&mut self) -> Option<FromInit> {
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

    async fn remove(self, docker: &Docker) {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        docker.remove_container(&self.id, Some(options)).await.unwrap();
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
no renice -n 5 -u 1000; no ionice -c 3 -p 1; no chrt -i -p 0 1; no cat /proc/1/environ
no python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)'
no python3 -c 'import socket; socket.socket(38, socket.SOCK_SEQPACKET)'
cp a b; nice -n 5 true; taskset -c 0 true; ionice -c 3 true
grep -E 'Cap|NoNew|Seccomp:' /proc/self/status
"#;

#[tokio::test]
#[ignore = "needs an engine, a static castoff-init and an image"]
async fn a_run_has_what_the_plan_says_and_everyday_programs_work() {
    let ground = ground("run").await;
    let plan = sample(&ground);
    let places = places(&ground, &plan).await;
    let mut run = Attached::start(&ground.docker, harden::run_container(&plan, &places).unwrap()).await;
    let Some(FromInit::Ready(ready)) = run.next().await else { panic!("no ready frame") };
    let enforced = readback::confirm(&plan, &places, &Digest::of(&ground.init_bytes), &ready);
    let unasked = readback::confirm(&Plan { mounts: Vec::new(), ..plan.clone() }, &places, &ready.digest, &ready);
    let request = Request {
        script: EVERYDAY.to_owned(),
        stdin: ByteBuf::new(),
        env: vec![
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), "/tmp".to_owned()),
        ],
        workdir: plan.workdir.to_str().unwrap().to_owned(),
        wall_time_ms: 60_000,
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
            FromInit::Ready(_) | FromInit::Started | FromInit::Probed(_) => {}
        }
    }
    run.remove(&ground.docker).await;
    for volume in [&places.overlays[0].1, &places.init_volume] {
        ground.docker.remove_volume(volume, None::<RemoveVolumeOptions>).await.unwrap();
    }
    std::fs::remove_dir_all(&ground.dir).unwrap();
    println!("{output}{enforced:#?}");
    assert_eq!(code, Some(0), "{output}");
    assert!(enforced.is_ok(), "{enforced:#?}");
    assert!(unasked.is_err());
}

#[tokio::test]
#[ignore = "needs an engine that reaches Debian's archive; takes minutes"]
async fn base_is_built_once_and_then_found() {
    let ground = ground("base").await;
    std::fs::remove_dir_all(&ground.dir).unwrap();
    let image = images::base(&ground.docker, &mut |line| println!("{line}")).await.unwrap();
    let again = images::base(&ground.docker, &mut |line| panic!("built again: {line}")).await.unwrap();
    assert_eq!(image, again);
    assert_eq!(images::found(&ground.docker).await.unwrap().first(), Some(&image));
}

#[tokio::test]
#[ignore = "needs an engine, a static castoff-init and an image"]
async fn a_probe_tells_the_owner_and_a_keeper_can_be_made() {
    let ground = ground("probe").await;
    let workspace = directory(&ground.dir.join("ws"));
    let labels = HashMap::from([("castoff.home".to_owned(), "test".to_owned())]);
    let body = harden::probe_container(&ground.init.id, &workspace, labels.clone()).unwrap();
    let mut probe = Attached::start(&ground.docker, body).await;
    let answer = probe.next().await;
    probe.remove(&ground.docker).await;
    let keeper = images::keeper(&ground.docker, &ground.init_bytes).await.unwrap();
    let places = KeeperPlaces {
        image: keeper.id.clone(),
        workspace: workspace.clone(),
        overlays: directory(&ground.dir.join("overlays")),
        state: directory(&ground.dir.join("state")),
        uid: UID,
        gid: UID,
    };
    let container = Attached::start(&ground.docker, harden::keeper_container(&places, labels).unwrap()).await;
    container.remove(&ground.docker).await;
    ground.docker.remove_image(&keeper.id, None::<RemoveImageOptions>, None).await.unwrap();
    std::fs::remove_dir_all(&ground.dir).unwrap();
    println!("{answer:#?}");
    let Some(FromInit::Probed(probed)) = answer else { panic!("no answer") };
    let Probed { uid, gid, mount, .. } = *probed;
    assert_eq!((uid, gid), (UID, UID));
    assert!(mount.is_some_and(|mount| mount.root.ends_with("/ws")));
}
