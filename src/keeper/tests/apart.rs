//! What goes wrong with one run is nobody else's.

use std::fs;
use std::io;

use super::stage::{SmallDisk, Stage, landing, one_of_each, put};
use crate::domain::ids::RunId;
use crate::keeper::{KeeperError, cut};
use crate::protocol::keeper::{FromKeeper, ToKeeper};

/// Another run over the same workspace, that changed `other`.
fn other(stage: Stage) -> Stage {
    let second = Stage { root: stage.root, run: RunId::from_random([4; 11]) };
    put(&second.upper("other"), "other");
    second
}

/// All that can be asked about a run that landed nothing for good.
fn each(run: &RunId) -> Vec<ToKeeper> {
    vec![
        ToKeeper::Read { run: run.clone(), claimed_ns: u64::MAX, denied: Vec::new() },
        ToKeeper::Diff { run: run.clone() },
        ToKeeper::Apply { run: run.clone(), paths: None },
        ToKeeper::Undo { run: run.clone() },
        ToKeeper::Drop { run: run.clone() },
    ]
}

fn is_refused_by_its_id(stage: &Stage, run: &RunId) {
    for answer in stage.ask(each(run)) {
        let FromKeeper::Failed { why, .. } = answer else { panic!("{answer:?}") };
        assert!(why.contains(run.as_str()), "{why}");
    }
}

#[test]
fn a_journal_that_cannot_be_read_closes_no_workspace() {
    let stage = one_of_each();
    stage.read();
    stage.apply(None);
    let journal = stage.root.path().join(format!("state/{}/journal", stage.run));
    let whole = fs::read(&journal).unwrap();
    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    fs::write(&journal, flipped).unwrap();
    let first = stage.run.clone();
    let second = other(stage);
    second.read();
    assert_eq!(second.apply(None).done, ["other"]);
    assert_eq!(second.undo().done, ["other"]);
    is_refused_by_its_id(&second, &first);
    fs::write(&journal, whole).unwrap();
    assert_eq!(landing(second.one(ToKeeper::Undo { run: first })).done.len(), 12);
}

#[test]
fn an_apply_that_is_stuck_half_done_closes_no_workspace() {
    let stage = one_of_each();
    let before = stage.host_tree();
    stage.read();
    // After some files were put in place.
    cut::after(Some(20));
    stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    cut::after(None);
    assert_ne!(stage.host_tree(), before);
    let images = stage.root.path().join(format!("state/{}/before", stage.run));
    let (upper, elsewhere) = (stage.upper(""), stage.root.path().join("elsewhere"));
    fs::rename(&images, stage.root.path().join("images")).unwrap();
    fs::rename(&upper, &elsewhere).unwrap();
    let first = stage.run.clone();
    let second = other(stage);
    second.read();
    assert_eq!(second.apply(None).done, ["other"]);
    is_refused_by_its_id(&second, &first);
    assert_eq!(second.undo().done, ["other"]);
    fs::remove_dir(&images).unwrap();
    fs::rename(second.root.path().join("images"), &images).unwrap();
    fs::rename(&elsewhere, &upper).unwrap();
    assert_eq!(landing(second.one(ToKeeper::Drop { run: first.clone() })).done.len(), 12);
    assert_eq!(landing(second.one(ToKeeper::Undo { run: first })).conflicts, []);
    assert_eq!(second.host_tree(), before);
}

#[test]
fn a_keeper_may_know_of_more_runs_than_a_directory_of_a_run_may_have_names() {
    let stage = one_of_each();
    // Quicker than on a disk, for a user who may.
    let _memory = SmallDisk::at(&stage.root.path().join("state"), 1);
    for number in 0..=100_000 {
        fs::write(stage.root.path().join(format!("state/{number}")), "").unwrap();
    }
    stage.read();
    assert_eq!(stage.apply(None).conflicts, []);
}

#[test]
fn what_is_logged_of_a_failure_names_nobodys_file_and_what_people_are_told_does() {
    let run = RunId::from_random([3; 11]);
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let write = || KeeperError::write("marzipan.txt", denied());
    let half_done = KeeperError::HalfDone { run: run.clone(), source: Box::new(write()) };
    let read = KeeperError::read("marzipan.txt", denied());
    let both = KeeperError::Both { first: Box::new(read), second: Box::new(write()) };
    let journal = KeeperError::Journal { run: run.clone(), source: io::Error::other("unknown `marzipan.txt`") };
    for error in [write(), half_done, both, journal] {
        let FromKeeper::Failed { why, logged } = error.told() else { panic!("{error}") };
        assert!(why.contains("marzipan.txt") && !logged.contains("marzipan"), "{why}: {logged}");
        let kind = if matches!(error, KeeperError::Journal { .. }) { run.as_str() } else { "permission denied" };
        assert!(logged.contains(kind), "{logged}");
    }
}
