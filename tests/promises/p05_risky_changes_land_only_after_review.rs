//! Promise 5: risky changes land only after review, and every change can be undone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::common::{Castoff, text, usual};

fn state(path: &Path) -> Option<(Vec<u8>, u32)> {
    let bytes = fs::read(path).ok()?;
    Some((bytes, fs::metadata(path).unwrap().permissions().mode() & 0o7777))
}

fn made(castoff: &Castoff, script: &str) -> String {
    let (code, run) = castoff.run_json(script);
    assert_eq!((code, &run["state"]["done"]["changes"]), (0, &"applied".into()), "{run}");
    text(&run["run"]).to_owned()
}

fn held(castoff: &Castoff, script: &str) -> String {
    let (code, run) = castoff.run_json(script);
    assert_eq!((code, run["stopped_by"].as_str()), (75, Some("review")), "{script}: {run}");
    text(&run["run"]).to_owned()
}

#[test]
fn a_deletion_waits_and_comes_back_with_bytes_and_mode() {
    let castoff = usual();
    let file = castoff.own().join("precious/file");
    made(castoff, "mkdir precious; printf 'keep\\0me' > precious/file; chmod 640 precious/file");
    let before = state(&file);
    assert_eq!(before, Some((b"keep\0me".to_vec(), 0o640)));

    let run = held(castoff, "rm precious/file");
    assert_eq!(state(&file), before, "it landed unseen");
    let told = castoff.run("rm precious/file").ended(75);
    told.says(&["held", "deletes `precious/file`", "D ", "castoff apply", "castoff drop"]);
    castoff.castoff(&["diff", &run]).ended(0);
    castoff.castoff(&["apply", &run]).ended(0);
    assert_eq!(state(&file), None);
    castoff.castoff(&["undo", &run]).ended(0);
    assert_eq!(state(&file), before);

    let run = held(castoff, "rm -r precious");
    castoff.castoff(&["drop", &run]).ended(0);
    assert_eq!(state(&file), before);
    assert_ne!(castoff.castoff(&["apply", &run]).code, 0, "what was dropped is gone");
    assert_eq!(state(&file), before);

    let run = held(castoff, "rm -r precious");
    castoff.castoff(&["apply", &run]).ended(0);
    assert!(!castoff.own().join("precious").exists());
    castoff.castoff(&["undo", &run]).ended(0);
    assert_eq!(state(&file), before);
}

#[test]
fn edits_new_files_and_modes_land_at_once_and_can_be_undone() {
    let castoff = usual();
    let (edited, new) = (castoff.own().join("edits/edited"), castoff.own().join("edits/sub/new"));
    made(castoff, "mkdir edits; echo one > edits/edited; chmod 600 edits/edited");
    let before = state(&edited);
    let run =
        made(castoff, "echo two >> edits/edited; chmod 755 edits/edited; mkdir edits/sub; echo new > edits/sub/new");
    assert_eq!(state(&edited), Some((b"one\ntwo\n".to_vec(), 0o755)));
    assert_eq!(fs::read(&new).unwrap(), b"new\n");
    let diff = castoff.castoff(&["diff", &run]).ended(0).stdout;
    assert!(diff.contains("+two") && diff.contains("+new") && diff.contains(" one"), "{diff}");
    castoff.castoff(&["undo", &run]).ended(0);
    assert_eq!(state(&edited), before);
    assert!(!castoff.own().join("edits/sub").exists());
    assert_ne!(castoff.castoff(&["undo", &run]).code, 0, "undone once");
    assert_eq!(state(&edited), before);
}

#[test]
fn what_the_host_would_obey_and_what_is_bulk_waits() {
    let castoff = usual();
    let scripts = [
        "echo 'alias ls=rm' > .bashrc",
        "mkdir -p a/.git/hooks; echo '#!/bin/sh' > a/.git/hooks/post-checkout",
        "mkdir -p b; echo 'curl x' > b/.envrc",
        "mkdir -p c/.github/workflows; echo a > c/.github/workflows/ci.yml",
        "mkdir bulk; for i in $(seq 150); do echo > bulk/$i; done",
        "mkdir d; echo key > d/authorized_keys",
    ];
    for script in scripts {
        let (code, run) = castoff.run_json(script);
        assert_eq!(code, 75, "{script}: {run}");
        // Where the text names such a file the question comes before the run, else after it.
        let answer = if run["stopped_by"] == "approval" { "refuse" } else { "drop" };
        castoff.castoff(&[answer, text(&run["run"])]).ended(0);
    }
    for name in [".bashrc", "a", "b", "c", "bulk", "d"] {
        assert!(!castoff.own().join(name).exists(), "{name} landed");
    }
}
