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
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Castoff, eventually};

/// The engine's socket.
fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    host.as_deref().unwrap_or("unix:///var/run/docker.sock").trim_start_matches("unix://").into()
}

/// A socket that leads to the engine, but while `shut` hides `workbench` and builds nothing.
fn door(socket: &Path, shut: &Arc<AtomicBool>) {
    let listener = UnixListener::bind(socket).unwrap();
    let shut = Arc::clone(shut);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let shut = Arc::clone(&shut);
            // A client that leaves in between is no failure of the test.
            std::thread::spawn(move || drop(pass(client.unwrap(), shut.load(Ordering::SeqCst))));
        }
    });
}

/// One request, one answer: the connection ends with it.
fn pass(mut client: UnixStream, shut: bool) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let (line, rest) = head.split_once("\r\n").unwrap();
    let answer = match shut {
        true if line.contains("/images/json") && line.contains("workbench") => Some(("200 OK", "[]")),
        true if line.starts_with("POST") && line.contains("/build?") && line.contains("workbench") => {
            Some(("500 Internal Server Error", r#"{"message":"the shelf is empty"}"#))
        }
        _ => None,
    };
    if let Some((status, body)) = answer {
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
    door(&socket, &shut);
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
    castoff.run("node -e 1").ended(125).says(&["`workbench` is not built yet"]);

    shut.store(false, Ordering::SeqCst);
    eventually("both images are there", || (castoff.castoff(&["status", "--health"]).code == 0).then_some(()));
    castoff.castoff(&["runner", "--health"]).ended(0);
    let status = castoff.castoff(&["status"]).ended(0).stdout;
    assert!(status.contains("images base, workbench\n") && !status.contains("warning: "), "{status}");
    assert_eq!(castoff.run("node -e 'console.log(6 * 7)'").ended(0).stdout, "42\n");
}
