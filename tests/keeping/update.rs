//! `scripts/update` with stand-ins for engine, services and program: whatever ends it, a version serves, with its data.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::common::command;

/// What an update did whose step `hurt` failed, or was when `signal` came and nobody read any more what is said.
fn did(hurt: &str, signal: &str) -> String {
    let clone = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        let path = clone.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/update");
    place("scripts/update", &fs::read_to_string(script).unwrap());
    place("scripts/compose-lib", include_str!("compose-lib"));
    for program in ["scripts/build-static", "images/bootstrap", "bin/castoff"] {
        place(program, "#!/bin/sh\n");
    }
    let mut update = command("sh");
    // Whoever runs the tests may ignore some signals.
    update.args(["-c", "exec env --default-signal \"$0\" 2>&1"]).arg(clone.path().join("scripts/update"));
    update.env("HURT", hurt).env("SIGNAL", signal).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut update = update.spawn().unwrap();
    let mut said = BufReader::new(update.stdout.take().unwrap()).lines();
    if signal.is_empty() {
        said.for_each(|line| drop(line.unwrap()));
    } else {
        let last = match hurt {
            "healthy" => "5/5",
            "images" | "build" => "2/5",
            _ => "3/5",
        };
        said.find(|line| line.as_ref().unwrap().contains(last)).unwrap().unwrap();
        drop(said);
    }
    fs::write(clone.path().join("gone"), "").unwrap();
    assert_eq!(update.wait().unwrap().success(), hurt.is_empty());
    fs::read_to_string(clone.path().join("did")).unwrap().replace('\n', ", ")
}

#[test]
fn an_update_that_fails_or_is_cut_goes_back_to_a_version_that_serves() {
    let built = "images, tag castoff:local castoff:before-update, build, ";
    let tried = format!("{built}stop, ");
    let old = "tag castoff:before-update castoff:local, ";
    assert_eq!(did("", ""), format!("{tried}backup, start, healthy, install castoff, install castoff-init, "));
    for signal in ["", "HUP", "TERM", "INT"] {
        assert_eq!(did("images", signal), "images, ", "{signal}");
        assert_eq!(did("build", signal), format!("{built}{old}"), "{signal}");
        assert_eq!(did("stop", signal), format!("{tried}{old}start, "), "{signal}");
        assert_eq!(
            did("healthy", signal),
            format!("{tried}backup, start, healthy, stop, {old}restore, start, healthy, "),
            "{signal}"
        );
    }
    assert_eq!(did("backup", ""), format!("{tried}backup, {old}start, "));
}
