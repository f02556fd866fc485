//! What every running zone really has mounted, by the kernel's own account (DESIGN section 5): core and
//! runner as Compose starts them from `compose.yaml`, and the keeper, probe and run that come of one
//! command. Needs what `tests/common` needs, and Compose, 2 or 1.29. Project, image and home are the
//! test's own.
#![cfg(test)]

#[expect(dead_code, reason = "what only the other tests use")]
mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use castoff::domain::ids::WorkspaceId;
use serde_json::Value;

use common::engine::{docker, inspect};
use common::{Castoff, USUAL, command, eventually, program, text};

/// Everything that Compose makes, removed also when the test is killed.
const JANITOR: &str = r#"
read -r _
project=$1 image=$2 root=$3 label=label=com.docker.compose.project=$1
docker ps -q --filter "$label" | xargs -r docker stop -t 30
docker ps -aq --filter "$label" | xargs -r docker rm -fv
docker ps -aq --filter "label=castoff.home=$root/home" | xargs -r docker rm -fv
docker network ls -q --filter "$label" | xargs -r docker network rm
docker run --rm --network none --user 0 -v "$root:/ground" debian:trixie-slim find /ground/home -mindepth 1 -delete
docker rmi "$image"
"#;

/// The services of `compose.yaml` on the home of `castoff`.
struct Services {
    compose: Vec<&'static str>,
    variables: Vec<(&'static str, String)>,
    janitor: std::process::Child,
}

impl Services {
    fn start(castoff: &Castoff) -> Self {
        let name = castoff.root().file_name().unwrap().to_str().unwrap().to_lowercase();
        let (project, image) = (format!("zones-{name}"), format!("castoff-zones:{name}"));
        let janitor = command("setsid")
            .args(["sh", "-c", JANITOR, "janitor", &project, &image])
            .arg(castoff.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        build(castoff.root(), &image);
        // Docker's own directory, as that of a fresh installation is.
        let own = format!("{}:/ground", castoff.root().display());
        docker(&["run", "--rm", "--network", "none", "-v", &own, "debian:trixie-slim", "chown", "0:0", "/ground/home"]);
        let owner = std::fs::metadata("/proc/self").unwrap();
        let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
        let variables = vec![
            ("COMPOSE_PROJECT_NAME", project),
            ("CASTOFF_IMAGE", image),
            ("CASTOFF_HOME", castoff.home().display().to_string()),
            ("CASTOFF_DOCKER_SOCKET", socket()),
            ("CASTOFF_INSTALL_UID", uid.to_string()),
            ("CASTOFF_INSTALL_GID", gid.to_string()),
            ("CASTOFF_INSTALL_HOME", "/nonexistent".to_owned()),
        ];
        let mut plugin = command("docker");
        let has_plugin = plugin.args(["compose", "version"]).output().is_ok_and(|output| output.status.success());
        let compose = if has_plugin { vec!["docker", "compose"] } else { vec!["docker-compose"] };
        let services = Self { compose, variables, janitor };
        services.compose(&["up", "-d", "--no-build"]);
        services
    }

    fn compose(&self, arguments: &[&str]) -> String {
        let mut compose = command(self.compose[0]);
        compose.args(&self.compose[1..]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = compose.envs(self.variables.iter().cloned()).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "compose {arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The running container of a service.
    fn service(&self, name: &str) -> Value {
        inspect(self.compose(&["ps", "-q", name]).trim())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        drop(self.janitor.wait());
    }
}

/// What the engine tells of each container of an installation, as soon as it is made: a probe is gone
/// a moment later.
struct Births {
    events: std::process::Child,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Births {
    fn watch(castoff: &Castoff) -> Self {
        let label = format!("castoff.home={}", castoff.home().display());
        let mut events = command("docker");
        events.args([
            "events",
            "--filter",
            &format!("label={label}"),
            "--filter",
            "event=create",
            "--format",
            "{{.ID}}",
        ]);
        let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
        let (lines, seen) = (BufReader::new(events.stdout.take().unwrap()).lines(), Arc::default());
        let found: Arc<Mutex<Vec<Value>>> = Arc::clone(&seen);
        std::thread::spawn(move || {
            for id in lines.map_while(Result::ok) {
                let output = command("docker").args(["inspect", &id]).output().unwrap();
                let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                found.lock().unwrap().push(all[0].clone());
            }
        });
        let births = Self { events, seen };
        eventually("the engine tells of what is made", || {
            docker(&["rm", docker(&["create", "--label", &label, "debian:trixie-slim"]).trim()]);
            (!births.seen.lock().unwrap().is_empty()).then_some(())
        });
        births
    }

    fn probes(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let is_probe = |one: &&Value| one["Config"]["Entrypoint"][1] == "probe";
        seen.iter().filter(is_probe).cloned().collect()
    }
}

impl Drop for Births {
    fn drop(&mut self) {
        drop(self.events.kill());
        drop(self.events.wait());
    }
}

/// The engine's socket.
fn socket() -> String {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    host.as_deref().unwrap_or("/var/run/docker.sock").trim_start_matches("unix://").to_owned()
}

/// The image of core and runner, from the programs that are built already.
fn build(root: &Path, image: &str) {
    let context = root.join("context");
    std::fs::create_dir(&context).unwrap();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/castoff/prebuilt.Dockerfile");
    for from in [recipe, program(), program().with_file_name("castoff-init")] {
        std::fs::copy(&from, context.join(from.file_name().unwrap())).unwrap();
    }
    let recipe = context.join("prebuilt.Dockerfile");
    docker(&["build", "-q", "-t", image, "-f", recipe.to_str().unwrap(), context.to_str().unwrap()]);
}

/// A mount of a zone, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mount {
    target: PathBuf,
    /// What is mounted: a directory of a file system, what an overlay lies over, or `tmpfs`.
    source: PathBuf,
    writable: bool,
}

/// The mounts of a running container without those that the engine makes for each: the root, the
/// kernel's file systems, and the files of its name service.
fn mounts(container: &Value) -> BTreeSet<Mount> {
    let pid = container["State"]["Pid"].as_u64().filter(|pid| *pid > 0).expect("the container runs");
    let mountinfo = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let mounts = mountinfo.lines().map(|line| {
        let (own, kind) = line.split_once(" - ").unwrap();
        let (own, kind): (Vec<&str>, Vec<&str>) = (own.split(' ').collect(), kind.split(' ').collect());
        let lower = kind[2].split(',').find_map(|option| option.strip_prefix("lowerdir="));
        let source = if kind[0] == "tmpfs" { "tmpfs" } else { lower.unwrap_or(own[3]) };
        Mount { target: own[4].into(), source: source.into(), writable: own[5].split(',').any(|option| option == "rw") }
    });
    let of_the_kernel = ["/proc", "/sys", "/dev"];
    let of_the_engine = format!("/containers/{}/", text(&container["Id"]));
    let everybodys = |mount: &Mount| {
        mount.target == Path::new("/")
            || of_the_kernel.iter().any(|root| mount.target.starts_with(root))
            || mount.source.to_str().unwrap().contains(&of_the_engine)
    };
    mounts.filter(|mount| !everybodys(mount)).collect()
}

/// The interfaces of a running container.
fn interfaces(container: &Value) -> Vec<String> {
    let devices = std::fs::read_to_string(format!("/proc/{}/net/dev", container["State"]["Pid"])).unwrap();
    devices.lines().skip(2).map(|line| line.split(':').next().unwrap().trim().to_owned()).collect()
}

/// A path of the host as mountinfo names it: below the root of its file system.
fn on_disk(path: &Path) -> PathBuf {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let within = points.filter(|fields| path.starts_with(fields[4])).max_by_key(|fields| fields[4].len()).unwrap();
    Path::new(within[3]).join(path.strip_prefix(within[4]).unwrap())
}

/// A path of the host at another place.
fn bound(path: &Path, target: &Path, writable: bool) -> Mount {
    Mount { target: target.to_owned(), source: on_disk(path), writable }
}

/// A path of the host at its own place.
fn at(path: &Path, writable: bool) -> Mount {
    bound(path, path, writable)
}

fn a_run(container: &Value, home: &Path, workspaces: [&Path; 2]) -> BTreeSet<Mount> {
    let of_run = home.join("state/runner/runs").join(text(&container["Config"]["Labels"]["castoff.run"]));
    let known = container["Mounts"].as_array().unwrap();
    let init = known.iter().find(|mount| mount["Destination"] == "/castoff").unwrap();
    assert!(text(&init["Name"]).starts_with("castoff-init-"), "{init}");
    let files =
        ["passwd", "group", "hosts"].map(|name| bound(&of_run.join(name), &Path::new("/etc").join(name), false));
    let views = workspaces.map(|path| Mount { target: path.to_owned(), source: path.to_owned(), writable: true });
    let init = bound(Path::new(text(&init["Source"])), Path::new("/castoff"), false);
    let own = Mount { target: "/tmp".into(), source: "tmpfs".into(), writable: true };
    files.into_iter().chain(views).chain([init, own]).collect()
}

/// A container with the configuration of a probe that is gone, and castoff-init waiting in it.
fn as_the_probe(probe: &Value) -> Value {
    let body = ContainerCreateBody {
        image: Some(text(&probe["Config"]["Image"]).to_owned()),
        entrypoint: Some(vec![text(&probe["Config"]["Entrypoint"][0]).to_owned()]),
        user: Some(text(&probe["Config"]["User"]).to_owned()),
        labels: serde_json::from_value(probe["Config"]["Labels"].clone()).unwrap(),
        network_disabled: probe["Config"]["NetworkDisabled"].as_bool(),
        open_stdin: Some(true),
        host_config: Some(serde_json::from_value::<HostConfig>(probe["HostConfig"].clone()).unwrap()),
        ..ContainerCreateBody::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let docker = Docker::connect_with_unix(&socket(), 60, bollard::API_DEFAULT_VERSION).unwrap();
        let docker = docker.negotiate_version().await.unwrap();
        let created = docker.create_container(None, body).await.unwrap();
        docker.start_container(&created.id, None).await.unwrap();
        created.id
    });
    inspect(&id)
}

#[test]
fn every_running_zone_has_its_own_mounts_and_no_other() {
    let castoff = Castoff::prepare(USUAL);
    let services = Services::start(&castoff);
    eventually("both services are well", || (castoff.castoff(&["status", "--health"]).code == 0).then_some(()));
    let births = Births::watch(&castoff);
    let (home, own, work) = (castoff.home(), castoff.own(), castoff.work());
    castoff.run("echo > made").ended(0);
    castoff.run_in(&work, &["run", "--", "echo > made"]).ended(0);
    let mut live = castoff.begin(&["run", "--", "echo begun; sleep 300"]);
    live.until("begun");

    let core = services.service("core");
    let of_core = [("config", false), ("state/core", true), ("run/control", true), ("run/runner", false)];
    assert_eq!(mounts(&core), of_core.map(|(name, writable)| at(&home.join(name), writable)).into());

    let runner = services.service("runner");
    let made = ["state/runner", "state/keeper", "people", "run/runner"].map(|name| at(&home.join(name), true));
    let engine = std::fs::canonicalize(socket()).unwrap();
    let others = [bound(&engine, Path::new("/var/run/docker.sock"), true), at(&home.join("config"), false)];
    assert_eq!(mounts(&runner), made.into_iter().chain(others).collect());
    assert_eq!(interfaces(&runner), ["lo"]);

    let run = castoff.live_container();
    assert_eq!(mounts(&run), a_run(&run, &home, [&own, &work]));
    assert_eq!(interfaces(&run), ["lo"]);

    let of_keeper = |workspace: &Path| {
        let id = WorkspaceId::of(workspace);
        let (overlays, state) = (home.join("state/runner/overlays"), home.join("state/keeper"));
        BTreeSet::from([at(workspace, true), at(&overlays.join(id.as_str()), true), at(&state.join(id.as_str()), true)])
    };
    let keepers: BTreeSet<_> = castoff.keepers().iter().map(mounts).collect();
    assert_eq!(keepers, BTreeSet::from([of_keeper(&own), of_keeper(&work)]));
    assert!(castoff.keepers().iter().all(|keeper| interfaces(keeper) == ["lo"]));

    // A probe lives for a moment: its configuration is read as it is made, and used once more.
    let probes = eventually("both probes were seen", || Some(births.probes()).filter(|probes| probes.len() >= 2));
    let probed: BTreeSet<_> =
        probes.iter().map(as_the_probe).map(|probe| (mounts(&probe), interfaces(&probe))).collect();
    let of_probe = |path: &Path| (BTreeSet::from([at(path, false)]), vec!["lo".to_owned()]);
    assert_eq!(probed, BTreeSet::from([of_probe(&own), of_probe(&work)]));
    live.signal("INT");
    live.finish().ended(130);

    // What `make up` waits for.
    for service in ["core", "runner"] {
        let health = || text(&services.service(service)["State"]["Health"]["Status"]).to_owned();
        eventually("Compose calls it healthy", || (health() == "healthy").then_some(()));
    }
}
