//! The images of runs against the real engine, seen through a door that can refuse: what is said, and
//! what still runs, while `workbench` cannot be built.
#![cfg(test)]

#[expect(dead_code, reason = "what only the other tests use")]
mod common;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::engine::docker;
use common::{Castoff, eventually};

/// The engine's socket.
fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    host.as_deref().unwrap_or("unix:///var/run/docker.sock").trim_start_matches("unix://").into()
}

/// Status and body for a request line that does not reach the engine.
type Answer = Option<(&'static str, &'static str)>;

/// A socket that leads to the engine, but for what `refuse` answers.
fn door(socket: &Path, refuse: impl Fn(&str) -> Answer + Send + Sync + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    let refuse = Arc::new(refuse);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let refuse = Arc::clone(&refuse);
            // A client that leaves in between is no failure of the test.
            std::thread::spawn(move || drop(pass(client.unwrap(), &*refuse)));
        }
    });
}

/// One request, one answer: the connection ends with it.
fn pass(mut client: UnixStream, refuse: &dyn Fn(&str) -> Answer) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let (line, rest) = head.split_once("\r\n").unwrap();
    if let Some((status, body)) = refuse(line) {
        let length = body.len();
        return write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }
    let mut server = UnixStream::connect(engine())?;
    let once = if head.to_lowercase().contains("upgrade") { "" } else { "Connection: close\r\n" };
    write!(server, "{line}\r\n{once}{rest}")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

#[test]
fn a_workbench_that_cannot_be_built_is_said_and_tried_again_and_base_runs_meanwhile() {
    let castoff = Castoff::prepare(&[]);
    let socket = castoff.root().join("engine.sock");
    let shut = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&shut);
    door(&socket, move |line| match refuses.load(Ordering::SeqCst) {
        true if line.contains("/images/json") && line.contains("workbench") => Some(("200 OK", "[]")),
        true if line.starts_with("POST") && line.contains("/build?") && line.contains("workbench") => {
            Some(("500 Internal Server Error", r#"{"message":"the shelf is empty"}"#))
        }
        _ => None,
    });
    castoff.launch(&[("DOCKER_HOST", &format!("unix://{}", socket.display()))]);
    let said = eventually("the failed build is said", || {
        let status = castoff.castoff(&["status"]);
        status.stdout.contains("warning: ").then_some(status)
    });
    let said = said.ended(0).stdout;
    for text in ["runner: images base\n", "build image `workbench`", "the shelf is empty", "next try in "] {
        assert!(said.contains(text), "`{text}`: {said}");
    }
    castoff.castoff(&["status", "--health"]).ended(69);
    castoff.castoff(&["runner", "--health"]).ended(1);
    assert_eq!(castoff.run("echo on").ended(0).stdout, "on\n");
    castoff.run("node --version").ended(125).says(&["`workbench` is not built yet"]);

    shut.store(false, Ordering::SeqCst);
    eventually("both images are there", || (castoff.castoff(&["status", "--health"]).code == 0).then_some(()));
    castoff.castoff(&["runner", "--health"]).ended(0);
    let status = castoff.castoff(&["status"]).ended(0).stdout;
    assert!(status.contains("images base, workbench\n") && !status.contains("warning: "), "{status}");
    assert_eq!(castoff.run("echo 'console.log(6 * 7)' > a.js && node a.js").ended(0).stdout, "42\n");
}

#[test]
fn a_container_that_the_engine_does_not_remove_stops_runs_only_while_it_runs() {
    let castoff = Castoff::prepare(&[]);
    let socket = castoff.root().join("engine.sock");
    let label = format!("castoff.home={}", castoff.home().display());
    let images = docker(&["images", "-q", "--filter", "label=castoff.image=base"]);
    let run = ["run", "-d", "--network", "none", "--label", &label, images.lines().next().unwrap(), "sleep", "600"];
    let container = docker(&run).trim().to_owned();
    let kept = container.clone();
    door(&socket, move |line| {
        let refused = line.starts_with("DELETE") && line.contains(&kept);
        refused.then_some(("500 Internal Server Error", r#"{"message":"device or resource busy"}"#))
    });
    castoff.launch(&[("DOCKER_HOST", &format!("unix://{}", socket.display()))]);
    eventually("what cannot be removed is said", || {
        castoff.castoff(&["status"]).stdout.contains("device or resource busy").then_some(())
    });
    castoff.castoff(&["status", "--health"]).ended(69);
    docker(&["stop", "-t", "0", &container]);
    eventually("runs start", || (castoff.castoff(&["run", "--", "echo on"]).stdout == "on\n").then_some(()));
    docker(&["inspect", &container]);
    docker(&["rm", &container]);
}

#[test]
fn a_container_that_the_engine_did_not_kill_is_killed_again() {
    let castoff = Castoff::prepare(&[]);
    let socket = castoff.root().join("engine.sock");
    let kills = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&kills);
    door(&socket, move |line| {
        let refused = line.contains("/kill") && counted.fetch_add(1, Ordering::SeqCst) < 2;
        refused.then_some(("500 Internal Server Error", r#"{"message":"context deadline exceeded"}"#))
    });
    castoff.launch(&[("DOCKER_HOST", &format!("unix://{}", socket.display()))]);
    eventually("runs start", || (castoff.castoff(&["status", "--health"]).code == 0).then_some(()));
    let mut live = castoff.begin(&["run", "--", "echo begun; sleep 600"]);
    live.until("begun\n");
    // It does not end for being asked to.
    docker(&["pause", common::text(&castoff.live_container()["Id"])]);
    live.signal("INT");
    live.finish().ended(130);
    assert_eq!(kills.load(Ordering::SeqCst), 3);
    castoff.run("echo next").ended(0);
    castoff.no_run_container_is_left();
}

/// Puts an image without layers into the engine, made in 2020 or now; returns its id.
fn loaded(castoff: &Castoff, name: &str, label: &str, age: Age) -> String {
    let created = match age {
        Age::Years => "2020-01-01T00:00:00Z".to_owned(),
        Age::None => castoff::runtime::clock::now().to_string(),
    };
    let labels = serde_json::json!({ label: "keeper", "castoff.test": castoff.root(), "castoff.test.name": name });
    let image = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": created,
        "config": { "Labels": labels }, "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let tag = format!("{}:{name}", castoff.root().file_name().unwrap().to_str().unwrap().to_lowercase());
    let manifest = serde_json::json!([{ "Config": "image.json", "RepoTags": [tag], "Layers": [] }]);
    let path = castoff.root().join(format!("{name}.tar"));
    let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, json) in [("image.json", image), ("manifest.json", manifest)] {
        let bytes = json.to_string().into_bytes();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap();
    docker(&["load", "-q", "-i", path.to_str().unwrap()]);
    docker(&["image", "inspect", "-f", "{{.Id}}", &tag]).trim().to_owned()
}

/// How old an image is.
#[derive(Clone, Copy)]
enum Age {
    Years,
    None,
}

#[test]
fn programs_of_earlier_builds_go_unless_something_uses_them_or_they_are_not_ours() {
    let castoff = Castoff::prepare(&[]);
    let load = |name: &str, label: &str, age| loaded(&castoff, name, label, age);
    let unused = load("unused", "castoff.image", Age::Years);
    let young = load("young", "castoff.image", Age::None);
    let foreign = load("foreign", "somebody.image", Age::Years);
    let other = format!("castoff.home={}/home/other", castoff.root().display());
    // Other tests' runners look for old images too, and may be faster than what protects one of ours.
    let kept = |name: &str, protect: &dyn Fn(&str) -> String| {
        let try_once = || {
            let id = load(name, "castoff.image", Age::Years);
            let by = protect(&id);
            docker(&["image", "inspect", &id]);
            (id, by)
        };
        let mut tries = (0..50).map(|_| std::panic::catch_unwind(std::panic::AssertUnwindSafe(try_once)));
        tries.find_map(Result::ok).expect("an image of ours is always gone")
    };
    let (in_container, container) = kept("in-container", &|id| docker(&["create", "--label", &other, id, "/none"]));
    let (of_a_runner, volume) = kept("of-a-runner", &|id| {
        docker(&["volume", "create", "--label", &other, "--label", &format!("castoff.keeper={id}")])
    });
    castoff.serve();
    let label = format!("label=castoff.test={}", castoff.root().display());
    let left = docker(&["images", "-q", "--no-trunc", "--filter", &label]);
    docker(&["rm", container.trim()]);
    docker(&["volume", "rm", volume.trim()]);
    for id in left.split_whitespace() {
        // Somebody else may have removed what nothing protects any more.
        drop(std::panic::catch_unwind(|| docker(&["rmi", id])));
    }
    let mut left: Vec<&str> = left.split_whitespace().collect();
    left.sort_unstable();
    let mut expected = [in_container.as_str(), &of_a_runner, &young, &foreign];
    expected.sort_unstable();
    assert_eq!(left, expected, "and not {unused}");
    let log = castoff.log();
    assert!(log.contains("INFO") && !log.contains('\u{1b}'), "colours in a log: {log:?}");
}
