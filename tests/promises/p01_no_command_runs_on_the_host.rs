//! Promise 1: what a person asks for runs in a container or not at all; Castoff itself starts nothing
//! but its own binary.

use std::fs;

use crate::common::processes::descendants;
use crate::common::{Castoff, eventually, program, text, usual};

#[test]
fn a_script_sees_the_names_and_processes_of_its_own_container() {
    let castoff = usual();
    let (code, run) =
        castoff.run_json("uname -n; readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/net; id -u");
    assert_eq!(code, 0, "{run}");
    let lines: Vec<&str> = text(&run["stdout"]).lines().collect();
    let host = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert_eq!(lines[0], "castoff");
    for (line, namespace) in lines[1..4].iter().zip(["pid", "mnt", "net"]) {
        assert!(line.starts_with(namespace), "{line}");
        assert_ne!(*line, host(namespace), "the host's own {namespace} namespace");
    }
    assert_ne!(lines[4], "0");
    let container = text(&run["enforced"]["container"]);
    assert!(container.len() == 64 && container.bytes().all(|byte| byte.is_ascii_hexdigit()), "{container}");
}

#[test]
fn core_and_runner_start_nothing_but_our_own_binary() {
    let castoff = Castoff::start(crate::common::USUAL);
    let mut live = castoff.begin(&["run", "--", "echo begun; sleep 2; touch file"]);
    let mut looks = 0;
    while live.is_under_way() {
        let started = descendants(castoff.core_process());
        assert_eq!(started.len(), 1, "more than the runner: {started:?}");
        assert!(started[0].arguments().contains(&"runner".to_owned()), "{:?}", started[0].arguments());
        assert_eq!(started[0].program(), Some(program()));
        looks += 1;
    }
    assert!(looks > 10, "only {looks} looks");
    live.finish().ended(0);
}

#[test]
fn without_an_engine_nothing_runs_and_the_refusal_says_so() {
    let castoff = Castoff::prepare(&[]);
    castoff.launch(&[("DOCKER_HOST", "unix:///nonexistent/docker.sock")]);
    eventually("the runner says what it lacks", || {
        let status = castoff.castoff(&["status"]);
        (status.code == 69 && status.stdout.contains("/nonexistent/docker.sock")).then_some(())
    });
    let script = format!("touch {}", castoff.root().join("ran").display());
    for arguments in [&["run", "--", "echo ran"][..], &["run", "--yes", "--", "echo ran"]] {
        let answer = castoff.castoff(arguments).ended(69).says(&["engine", "/nonexistent/docker.sock", "hint:"]);
        assert_eq!(answer.stdout, "");
    }
    // What the policy refuses is a refusal still.
    castoff.run(&script).ended(125).says(&["is outside of"]);
    let (code, run) = castoff.run_json("echo ran");
    assert_eq!((code, &run["exit_code"], &run["stopped_by"]), (69, &69.into(), &"failed".into()), "{run}");
    let why = text(&run["ending"]["failed"]["why"]);
    assert!(why.contains("/nonexistent/docker.sock") && why.contains("hint:"), "{why}");
    assert!(!castoff.root().join("ran").exists());
    assert_eq!(castoff.containers(), Vec::<String>::new());
}

#[test]
fn without_a_runner_nothing_runs_and_the_failure_says_so() {
    let castoff = Castoff::prepare(&[]);
    castoff.castoff(&["prepare"]).ended(0);
    castoff.launch(&[("CASTOFF_RUNNER", "external")]);
    eventually("the core answers", || castoff.castoff(&["status"]).stdout.contains("not connected").then_some(()));
    let answer = castoff.run("echo ran").ended(69).says(&["the runner is not connected", "hint: `castoff status`"]);
    assert_eq!(answer.stdout, "");
    assert_eq!(castoff.run_json("echo ran").0, 69);
}
