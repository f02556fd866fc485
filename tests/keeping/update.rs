//! `scripts/update` with stand-ins for engine, services and program: whatever ends it, a version serves, with its data.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::common::command;

/// A clone whose program serves, with what stands in for the rest.
fn clone() -> TempDir {
    let clone = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        let path = clone.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    for script in ["scripts/update", "scripts/up"] {
        place(script, &fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).unwrap());
    }
    place("scripts/compose-lib", include_str!("compose-lib"));
    for program in ["scripts/build-static", "images/bootstrap", "bin/castoff"] {
        place(program, "#!/bin/sh\n");
    }
    fs::create_dir(clone.path().join("home")).unwrap();
    clone
}

/// What an update did whose step `hurt` failed, or was when `signal` came and nobody read any more what is said.
fn did(hurt: &str, signal: &str) -> String {
    let clone = clone();
    let did = did_in(&clone, hurt, signal);
    assert!(!is_under_way(&clone), "{hurt} {signal}");
    did
}

/// Whether the next one will find that an update was cut.
fn is_under_way(clone: &TempDir) -> bool {
    clone.path().join("home/update-under-way").exists()
}

fn did_in(clone: &TempDir, hurt: &str, signal: &str) -> String {
    for left in ["did", "hurt", "gone"] {
        drop(fs::remove_file(clone.path().join(left)));
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
            "backup" => "4/5",
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

/// As by a kill, or for want of power: nothing of it goes back by itself.
#[test]
fn an_update_that_was_killed_is_ended_by_the_next_one() {
    let whole = did("", "");
    let known = "tag sha256:old castoff:before-update, ";
    let old = "tag castoff:before-update castoff:local, ";
    for hurt in ["images", "build", "stop", "backup"] {
        let clone = clone();
        did_in(&clone, hurt, "KILL");
        assert!(is_under_way(&clone), "{hurt}");
        let up = command(clone.path().join("scripts/up")).output().unwrap();
        let said = String::from_utf8_lossy(&up.stderr).into_owned();
        assert!(!up.status.success() && said.contains("an update was cut"), "{hurt}: {said}");
        assert_eq!(did_in(&clone, "", ""), format!("{known}{old}start, healthy, {whole}"), "{hurt}");
        assert!(!is_under_way(&clone), "{hurt}");
    }
    // What people used meanwhile is not taken from them, unless it does not work.
    let tried = |hurt| {
        let clone = clone();
        did_in(&clone, "healthy", "KILL");
        let did = did_in(&clone, hurt, "");
        assert!(!is_under_way(&clone), "{hurt}");
        did
    };
    assert_eq!(tried(""), format!("{known}start, healthy, install castoff, install castoff-init, {whole}"));
    assert_eq!(tried("healthy"), format!("{known}start, healthy, stop, {old}restore, start, healthy, "));
    // Not even its way back ended.
    let clone = clone();
    did_in(&clone, "healthy", "KILL");
    let state = clone.path().join("home/update-under-way");
    let text = fs::read_to_string(&state).unwrap();
    assert!(text.starts_with("image sha256:old\nnew-after ") && text.ends_with(".backup\n"), "{text}");
    fs::write(&state, text.replace("new-after", "back-to")).unwrap();
    assert_eq!(did_in(&clone, "none", ""), format!("{known}stop, {old}restore, start, healthy, "));
    assert!(!is_under_way(&clone));
}
