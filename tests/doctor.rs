//! `castoff doctor` against the real engine, and without one.
//!
//! Needs Docker, uid 0, and `CASTOFF_BIN_DIR` (a directory with a static castoff and castoff-init).
#![cfg(test)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Output;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};

#[expect(clippy::disallowed_methods, reason = "the test starts the program that it is about")]
fn doctor(home: &Path, docker: Option<&str>) -> Output {
    let programs = std::env::var("CASTOFF_BIN_DIR").unwrap();
    let mut command = std::process::Command::new(Path::new(&programs).join("castoff"));
    command.env("CASTOFF_HOME", home).args(["doctor", "--json"]);
    if let Some(docker) = docker {
        command.env("DOCKER_HOST", docker);
    }
    command.output().unwrap()
}

/// Names of the containers and volumes of homes below `directory`.
async fn left_in_engine(directory: &Path) -> Vec<String> {
    let docker = bollard::Docker::connect_with_unix("/var/run/docker.sock", 60, bollard::API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let filters = HashMap::from([("label", vec!["castoff.home"])]);
    let ours = |labels: &HashMap<String, String>| {
        labels.get("castoff.home").is_some_and(|home| Path::new(home).starts_with(directory))
    };
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.unwrap();
    let containers =
        containers.into_iter().filter(|one| one.labels.as_ref().is_some_and(ours)).filter_map(|one| one.id);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
    let volumes = volumes.into_iter().filter(|one| ours(&one.labels)).map(|one| one.name);
    containers.chain(volumes).collect()
}

#[tokio::test]
async fn every_wall_holds_and_nothing_is_left() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = doctor(&directory.path().join("home"), None);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let open: Vec<_> = checks.iter().filter(|check| check["result"] == "not-held").collect();
    assert!(open.is_empty() && output.status.code() == Some(0), "{open:#?}");
    let held = checks.iter().filter(|check| check["result"] == "held").count();
    assert!(held > 70, "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the temporary home is left");
    assert_eq!(left_in_engine(directory.path()).await, Vec::<String>::new());
}

#[test]
fn without_an_engine_it_says_so_and_ends_with_69() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = doctor(&directory.path().join("home"), Some("unix:///nonexistent"));
    assert_eq!(output.status.code(), Some(69));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("does not answer at `/nonexistent`") && text.contains("hint: "), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
