//! The keeper against overlays made by hand; tests/keeper.rs has some made by a real engine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::cut;
use crate::domain::change::ChangeKind;
use crate::domain::ids::RunId;
use crate::domain::plan::{Cover, CoverKind};
use crate::protocol::keeper::{FromKeeper, ToKeeper};

mod alone;
mod apart;
mod full;
mod stage;

use stage::{Stage, landing, mark, one_of_each, put, tree, whiteout};

#[test]
fn an_edit_between_a_crash_and_the_next_start_stays() {
    let stage = one_of_each();
    stage.read();
    cut::after(Some(12));
    stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    cut::after(None);
    put(&stage.host("old"), "edited");
    stage.ask(vec![]);
    let after = stage.host_tree();
    assert_eq!(after.get("old").map(String::as_str), Some("644 edited"));
    assert_eq!(after.get("new/file").map(String::as_str), Some("644 new"));
    assert!(after.keys().all(|path| !path.contains(".castoff-")));
    let held: Vec<String> = stage.read_claimed(1, &[]).changes.into_iter().map(|change| change.path).collect();
    assert_eq!(held, ["old"]);
    assert_eq!(stage.apply(None).conflicts.len(), 1);
}

#[test]
fn a_change_set_names_what_differs_and_nothing_else() {
    let stage = one_of_each();
    let set = stage.read();
    let kinds: Vec<(&str, ChangeKind)> =
        set.changes.iter().map(|change| (change.path.as_str(), change.kind())).collect();
    use ChangeKind::{Added, Deleted, Modified};
    let expected = [
        ("again/x", Deleted),
        ("again/y", Modified),
        ("deep", Modified),
        ("deep/inner", Added),
        ("flat", Modified),
        ("gone", Deleted),
        ("link", Added),
        ("new", Added),
        ("new/file", Added),
        ("old", Modified),
        ("script", Modified),
        ("tree", Deleted),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(set.refused, []);
    let script = set.changes.iter().find(|change| change.path == "script").unwrap();
    assert_eq!(script.after.as_ref().unwrap().mode, 0o755);
}

#[test]
fn what_is_applied_can_be_undone_and_each_may_be_asked_twice() {
    let stage = one_of_each();
    let before = stage.host_tree();
    stage.read();
    let landed = stage.apply(None);
    assert_eq!(landed.conflicts, []);
    assert_eq!(landed.done.len(), 12);
    let after = stage.host_tree();
    assert_eq!(after.get("script").unwrap(), "755 script");
    assert_eq!(after.get("link").unwrap(), "-> /etc/passwd");
    assert_eq!(after.get("flat").unwrap(), "644 now a file");
    assert!(!after.contains_key("tree") && !after.contains_key("again/x"));
    assert_eq!(stage.apply(None), landed);
    assert_eq!(stage.read().changes, []);
    assert!(stage.diff().contains("+changed"));
    let undone = stage.undo();
    assert_eq!((undone.done.len(), undone.conflicts.len()), (12, 0));
    assert_eq!(stage.host_tree(), before);
    assert_eq!(stage.undo(), undone);
}

#[test]
fn a_crash_at_any_moment_leaves_all_or_nothing() {
    let (before, after) = {
        let stage = one_of_each();
        let before = stage.host_tree();
        stage.read();
        stage.apply(None);
        (before, stage.host_tree())
    };
    let mut moments = 0;
    for points in 0.. {
        let stage = one_of_each();
        stage.read();
        cut::after(Some(points));
        let answer = stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
        cut::after(None);
        if !matches!(answer, FromKeeper::Failed { .. }) {
            break;
        }
        moments += 1;
        stage.ask(vec![]);
        assert!(stage.host_tree().keys().all(|path| !path.contains(".castoff-")), "cut at {points}");
        let found = stage.host_tree();
        assert!(found == before || found == after, "cut at {points}: {found:#?}");
        assert_eq!(stage.apply(None).conflicts, [], "cut at {points}");
        assert_eq!(stage.host_tree(), after, "cut at {points}");
        cut::after(Some(points));
        stage.one(ToKeeper::Undo { run: stage.run.clone() });
        cut::after(None);
        stage.ask(vec![]);
        stage.undo();
        assert_eq!(stage.host_tree(), before, "undo cut at {points}");
    }
    assert!(moments > 20, "{moments}");
}

#[test]
fn an_apply_whose_overlay_vanished_is_rolled_back() {
    let stage = one_of_each();
    let before = stage.host_tree();
    stage.read();
    cut::after(Some(14));
    stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    cut::after(None);
    assert_ne!(stage.host_tree(), before);
    fs::rename(stage.upper(""), stage.root.path().join("elsewhere")).unwrap();
    stage.ask(vec![]);
    assert_eq!(stage.host_tree(), before);
}

#[test]
fn an_undo_that_fails_keeps_nobody_else_waiting_and_goes_on_when_it_is_asked_for_again() {
    let stage = one_of_each();
    let before = stage.host_tree();
    stage.read();
    stage.apply(None);
    let images = stage.root.path().join(format!("state/{}/before", stage.run));
    let image = fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let elsewhere = stage.root.path().join("image");
    fs::rename(&image, &elsewhere).unwrap();
    let undo = || ToKeeper::Undo { run: stage.run.clone() };
    assert!(matches!(stage.one(undo()), FromKeeper::Failed { .. }));
    assert!(matches!(stage.one(undo()), FromKeeper::Failed { .. }), "the workspace has no keeper");
    fs::rename(&elsewhere, &image).unwrap();
    let halfway = stage.host_tree();
    stage.ask(vec![]);
    assert_eq!(stage.host_tree(), halfway, "what failed was not asked for again");
    assert_eq!(stage.undo().conflicts, []);
    assert_eq!(stage.host_tree(), before);
}

#[test]
fn what_a_crash_let_land_is_told_when_the_rest_is_dropped() {
    let stage = one_of_each();
    stage.read();
    cut::after(Some(14));
    stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    cut::after(None);
    assert_eq!(landing(stage.one(ToKeeper::Drop { run: stage.run.clone() })).done.len(), 12);
    assert_eq!(stage.undo().done.len(), 12);
}

#[test]
fn a_torn_line_of_the_journal_never_happened() {
    let stage = one_of_each();
    let before = stage.host_tree();
    stage.read();
    cut::after(Some(1));
    stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    cut::after(None);
    let journal = stage.root.path().join(format!("state/{}/journal", stage.run));
    let bytes = fs::read(&journal).unwrap();
    for length in [bytes.len() - 1, bytes.len() / 2, 1] {
        fs::write(&journal, &bytes[..length]).unwrap();
        stage.ask(vec![]);
        assert_eq!(stage.host_tree(), before);
        assert_eq!(fs::read(&journal).unwrap(), b"");
    }
    assert_eq!(stage.apply(None).conflicts, []);
}

#[test]
fn paths_that_are_not_named_stay_held() {
    let stage = one_of_each();
    stage.read();
    assert_eq!(stage.apply(Some(&["new/file", "again/y"])).done, ["again/y", "new", "new/file"]);
    let held: Vec<String> = stage.read().changes.into_iter().map(|change| change.path).collect();
    assert_eq!(held, ["again/x", "deep", "deep/inner", "flat", "gone", "link", "old", "script", "tree"]);
    let other = stage.apply(Some(&["absent"]));
    assert_eq!((other.done.len(), other.conflicts.len()), (0, 1));
    assert_eq!(stage.apply(None).conflicts, []);
}

#[test]
fn what_the_host_changed_in_between_conflicts() {
    let stage = one_of_each();
    fs::hard_link(stage.host("script"), stage.host("other-name")).unwrap();
    put(&stage.upper("vanished"), "v");
    mark(&stage.upper("vanished"), "user.overlay.origin", &[7; 40]);
    let before = stage.host_tree();
    stage.read_claimed(1, &[]);
    let landed = stage.apply(None);
    assert_eq!(landed.done, ["link", "new", "new/file"]);
    let conflicts: Vec<&str> = landed.conflicts.iter().map(|trouble| trouble.path.as_str()).collect();
    let expected = ["again/x", "again/y", "deep", "deep/inner", "flat", "gone", "old", "script", "tree", "vanished"];
    assert_eq!(conflicts, expected);
    assert_eq!(stage.host_tree().get("old"), before.get("old"));
    stage.read();
    let again = stage.apply(None);
    let conflicts: Vec<(&str, &str)> = again.conflicts.iter().map(|t| (t.path.as_str(), t.why.as_str())).collect();
    assert_eq!(conflicts.len(), 2);
    assert!(conflicts[0].1.contains("other names (hard links)"), "{conflicts:?}");
    assert!(conflicts[1].1.contains("removed on the host"), "{conflicts:?}");
}

#[test]
fn a_file_that_the_run_renamed_is_no_conflict() {
    let stage = Stage::new();
    put(&stage.host("a"), "a");
    whiteout(&stage.upper("a"));
    put(&stage.upper("b"), "a");
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(stage.host("a")).unwrap());
    let handle = [vec![0; 21], inode.to_le_bytes()[..4].to_vec(), vec![0; 4]].concat();
    mark(&stage.upper("b"), "user.overlay.origin", &handle);
    // A file younger than the claim may have got the inode of the one that was removed.
    stage.read_claimed(1, &[]);
    assert_eq!(stage.apply(None).conflicts.len(), 2);
    stage.read();
    assert_eq!(stage.apply(None).done, ["a", "b"]);
}

#[test]
fn two_quick_runs_do_not_conflict_with_each_other() {
    let stage = Stage::new();
    put(&stage.host("f"), "0");
    put(&stage.upper("f"), "1");
    stage.read();
    stage.apply(None);
    let mut second = Stage { root: stage.root, run: RunId::from_random([4; 11]) };
    put(&second.upper("f"), "2");
    second.read_claimed(1, &[]);
    assert_eq!(second.apply(None).done, ["f"]);
    // The first run's file is not what it landed any more.
    let later = std::mem::replace(&mut second.run, RunId::from_random([3; 11]));
    assert_eq!(second.undo().conflicts.len(), 1);
    second.run = later;
    assert_eq!(second.undo().done, ["f"]);
    assert_eq!(second.undo().conflicts, []);
    assert_eq!(fs::read_to_string(second.host("f")).unwrap(), "1");
}

#[test]
fn later_edits_stay_when_a_run_is_undone() {
    let stage = one_of_each();
    stage.read();
    stage.apply(None);
    put(&stage.host("old"), "edited");
    fs::set_permissions(stage.host("new"), fs::Permissions::from_mode(0o755)).unwrap();
    put(&stage.host("new/mine"), "mine");
    let undone = stage.undo();
    let conflicts: Vec<&str> = undone.conflicts.iter().map(|trouble| trouble.path.as_str()).collect();
    assert_eq!(conflicts, ["new", "old"]);
    assert_eq!(fs::read_to_string(stage.host("old")).unwrap(), "edited");
    assert_eq!(tree(&stage.host("new")).keys().collect::<Vec<_>>(), ["mine"]);
    assert!(stage.host("tree/b/c").exists());
}

#[test]
fn what_never_lands_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let stage = Stage::new();
    mknodat(CWD, stage.upper("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(stage.upper("sock")).unwrap();
    put(&stage.upper("secret/key"), "x");
    put(&stage.upper(std::ffi::OsStr::from_bytes(b"bad-\xff").to_string_lossy().as_ref()), "fine");
    fs::write(stage.upper("").join(std::ffi::OsStr::from_bytes(b"bad-\xff")), "x").unwrap();
    if rustix::process::geteuid().is_root() {
        put(&stage.upper("foreign"), "x");
        std::os::unix::fs::chown(stage.upper("foreign"), Some(1), None).unwrap();
    }
    let set = stage.read_claimed(u64::MAX, &["secret"]);
    let refused: Vec<&str> = set.refused.iter().map(|trouble| trouble.path.as_str()).collect();
    let all = ["bad-\u{fffd}", "foreign", "pipe", "secret", "sock"];
    let expected: Vec<&str> =
        all.into_iter().filter(|path| *path != "foreign" || rustix::process::geteuid().is_root()).collect();
    assert_eq!(refused, expected);
    assert_eq!(stage.apply(None).done, ["bad-\u{fffd}"]);
}

#[test]
fn closed_directories_are_opened_and_their_modes_land() {
    let stage = Stage::new();
    put(&stage.upper("closed/in/f"), "x");
    for (path, mode) in [("closed/in/f", 0o0), ("closed/in", 0o500), ("closed", 0o0)] {
        fs::set_permissions(stage.upper(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    stage.read();
    assert_eq!(stage.apply(None).done, ["closed", "closed/in", "closed/in/f"]);
    let mode = |path: &str| fs::metadata(stage.host(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("closed"), 0);
    assert_eq!(stage.undo().conflicts, []);
    assert_eq!(stage.host_tree(), BTreeMap::new());
}

#[test]
fn dropping_empties_an_overlay_however_deep_and_closed() {
    let stage = Stage::new();
    let mut path = stage.upper("d");
    for _ in 0..300 {
        path.push("d");
    }
    put(&path.join("f"), "x");
    fs::set_permissions(stage.upper("d/d"), fs::Permissions::from_mode(0o0)).unwrap();
    let set = stage.read();
    assert_eq!(set.refused.len(), 1, "{:?}", set.refused);
    assert_eq!(landing(stage.one(ToKeeper::Drop { run: stage.run.clone() })).done, Vec::<String>::new());
    assert_eq!(fs::read_dir(stage.upper("")).unwrap().count(), 0);
    assert!(matches!(stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None }), FromKeeper::Failed { .. }));
}

#[test]
fn covers_are_what_exists_with_links_resolved() {
    let stage = Stage::new();
    put(&stage.host("real/key"), "x");
    put(&stage.host("file"), "x");
    symlink("real", stage.host("link")).unwrap();
    symlink("/etc", stage.host("out")).unwrap();
    symlink("loop", stage.host("loop")).unwrap();
    let denied = ["link/key", "file", "absent", "out/passwd", "loop", "link", "../x"];
    let mut denied: Vec<PathBuf> = denied.iter().map(|path| stage.host(path)).collect();
    denied.push("/etc/passwd".into());
    let cover = |path: &str, kind| Cover { path: stage.host(path), kind };
    let expected =
        [cover("file", CoverKind::File), cover("real", CoverKind::Directory), cover("real/key", CoverKind::File)];
    assert_eq!(stage.one(ToKeeper::Covers { denied }), FromKeeper::Covers(expected.to_vec()));
}

#[test]
fn a_denied_path_in_a_closed_directory_covers_all_of_it() {
    let stage = Stage::new();
    put(&stage.host("closed/key"), "x");
    fs::set_permissions(stage.host("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let denied = vec![stage.host("closed/key")];
    let (path, kind) = if rustix::process::geteuid().is_root() {
        ("closed/key", CoverKind::File)
    } else {
        ("closed", CoverKind::Directory)
    };
    let expected = vec![Cover { path: stage.host(path), kind }];
    assert_eq!(stage.one(ToKeeper::Covers { denied }), FromKeeper::Covers(expected));
}

#[test]
fn a_failing_apply_leaves_nothing_behind() {
    let stage = one_of_each();
    let before = stage.host_tree();
    stage.read();
    let state = stage.root.path().join(format!("state/{}/before", stage.run));
    fs::write(&state, "in the way").unwrap();
    let answer = stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    assert!(matches!(answer, FromKeeper::Failed { .. }), "{answer:?}");
    assert_eq!(stage.host_tree(), before);
    fs::remove_file(&state).unwrap();
    assert_eq!(stage.apply(None).conflicts, []);
}

#[test]
fn a_diff_names_what_it_does_not_show() {
    let stage = one_of_each();
    put(&stage.upper("binary"), "a\0b");
    put(&stage.upper("long"), &"line\n".repeat(100_000));
    put(&stage.upper("forged\n+++ b/x"), "x\n");
    stage.read();
    let text = stage.diff();
    for part in [
        "--- a/old\n+++ b/old\n",
        "deleted file mode 100644\n--- a/tree/b/c\n+++ /dev/null\n",
        "new file mode 120000\n--- /dev/null\n+++ b/link\n",
        "old mode 100644\nnew mode 100755\n",
        "Binary file binary differs\n",
        "File long differs; it is not shown, being 500000 bytes long\n",
        "+++ b/forged\\n+++ b/x\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
