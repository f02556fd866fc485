//! Disks that are full, or become so.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::stage::{SmallDisk, Stage, landing, may_mount, put};
use crate::keeper::cut;
use crate::protocol::keeper::{FromKeeper, ToKeeper};

const MIB: u64 = 1 << 20;

/// New files and changed ones, with names so long that each line of the journal takes more than one block.
fn many_changes(stage: &Stage) {
    for number in 0..20 {
        put(&stage.upper(&format!("{number}-{}", "n".repeat(200))), "new");
    }
    for number in 0..3 {
        put(&stage.host(&format!("old-{number}")), &format!("original {number}"));
        put(&stage.upper(&format!("old-{number}")), &format!("changed {number}"));
    }
}

#[test]
fn a_disk_that_fills_at_any_moment_takes_no_originals_along_with_what_is_dropped() {
    if !may_mount("a_disk_that_fills_at_any_moment_takes_no_originals_along_with_what_is_dropped") {
        return;
    }
    let mut open = 0;
    for moment in 0.. {
        let (stage, disk) = Stage::on_a_disk_of(8);
        many_changes(&stage);
        let before = stage.host_tree();
        stage.read();
        let place = disk.0.clone();
        cut::act_after(moment, move || SmallDisk::fill(&place));
        let (run, paths) = (stage.run.clone(), None);
        // One keeper is asked for both.
        let answers = stage.ask(vec![ToKeeper::Apply { run: run.clone(), paths }, ToKeeper::Drop { run: run.clone() }]);
        if !cut::acted() {
            assert!(moment > 30, "{moment}");
            break;
        }
        let [applied, dropped] = answers.as_slice() else { panic!("{answers:?}") };
        fs::remove_file(disk.0.join("filler")).unwrap();
        match (applied, dropped) {
            // It said what it could not do, and did not do the next thing on top.
            (FromKeeper::Failed { .. }, FromKeeper::Failed { .. }) => {
                open += 1;
                let done = landing(stage.one(ToKeeper::Drop { run })).done;
                assert!(done.is_empty() || done.len() == 23, "full at {moment}: {done:?}");
            }
            (_, FromKeeper::Landed(told)) => {
                assert_eq!(told.done.is_empty(), stage.host_tree() == before, "full at {moment}: {answers:?}");
            }
            (_, _) => panic!("full at {moment}: {answers:?}"),
        }
        assert_eq!(stage.undo().conflicts, [], "full at {moment}");
        assert_eq!(stage.host_tree(), before, "full at {moment}: {answers:?}");
    }
    assert!(open > 0, "the disk was never full at a moment that hurts");
}

#[test]
fn an_apply_that_was_rolled_back_lands_once_there_is_room() {
    if !may_mount("an_apply_that_was_rolled_back_lands_once_there_is_room") {
        return;
    }
    let (stage, disk) = Stage::on_a_disk_of(8);
    many_changes(&stage);
    let before = stage.host_tree();
    stage.read();
    let place = disk.0.clone();
    // While it writes new content beside its targets.
    cut::act_after(10, move || SmallDisk::fill(&place));
    let answer = stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
    assert!(matches!(answer, FromKeeper::Failed { .. }), "{answer:?}");
    fs::remove_file(disk.0.join("filler")).unwrap();
    assert_eq!(stage.host_tree(), before);
    assert_eq!(fs::read_dir(disk.0.join(format!("state/{}/before", stage.run))).unwrap().count(), 0);
    assert_eq!(stage.apply(None).conflicts, []);
    assert_eq!(stage.undo().conflicts, []);
    assert_eq!(stage.host_tree(), before);
}

/// A file of 4 MiB, all but two pieces of which are a hole.
fn sparse(path: &Path, text: &str) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.seek(SeekFrom::Start(3 * MIB)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len(4 * MIB).unwrap();
}

#[test]
fn holes_stay_holes_when_they_land_and_among_the_before_images() {
    let stage = Stage::new();
    sparse(&stage.upper("new"), "new");
    sparse(&stage.host("old"), "old");
    put(&stage.upper("old"), "short");
    fs::write(stage.upper("hole"), "").unwrap();
    fs::File::options().write(true).open(stage.upper("hole")).unwrap().set_len(4 * MIB).unwrap();
    let (old, new) = (fs::read(stage.host("old")).unwrap(), fs::read(stage.upper("new")).unwrap());
    stage.read();
    assert_eq!(stage.apply(None).done, ["hole", "new", "old"]);
    let is_sparse = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        assert_eq!(found.len(), 4 * MIB);
        assert!(found.blocks() * 512 < MIB, "`{}` takes {} bytes", path.display(), found.blocks() * 512);
    };
    is_sparse(&stage.host("hole"));
    is_sparse(&stage.host("new"));
    is_sparse(&stage.root.path().join(format!("state/{}/before/0", stage.run)));
    assert!(fs::read(stage.host("new")).unwrap() == new, "the copy differs");
    assert_eq!(stage.undo().conflicts, []);
    is_sparse(&stage.host("old"));
    assert!(fs::read(stage.host("old")).unwrap() == old, "the original differs");
}

#[test]
fn what_would_take_the_last_of_the_disk_does_not_land_and_leaves_nothing_behind() {
    if !may_mount("what_would_take_the_last_of_the_disk_does_not_land_and_leaves_nothing_behind") {
        return;
    }
    let (stage, disk) = Stage::on_a_disk_of(44);
    let put = |path, mib: u64| fs::write(path, vec![1; usize::try_from(mib * MIB).unwrap()]).unwrap();
    let refuses = || {
        stage.read();
        let (before, free) = (stage.host_tree(), disk.free_bytes());
        let answer = stage.one(ToKeeper::Apply { run: stage.run.clone(), paths: None });
        let FromKeeper::Failed { why, .. } = answer else { panic!("{answer:?}") };
        assert!(why.contains("the disk is nearly full (") && why.contains("1 MiB are kept free"), "{why}");
        assert!(stage.host_tree() == before, "the workspace is not as it was");
        assert!(disk.free_bytes() + MIB / 4 > free, "{} bytes were left behind", free - disk.free_bytes());
    };
    // The new content has room, but for the reserve.
    put(stage.upper("f"), 21);
    put(stage.root.path().join("other"), 1);
    refuses();
    // A before-image has none.
    put(stage.host("f"), 15);
    put(stage.upper("f"), 13);
    fs::write(stage.upper("g"), "g").unwrap();
    refuses();
    // The new content has none beside a before-image.
    put(stage.host("f"), 8);
    put(stage.upper("f"), 14);
    refuses();
    put(stage.upper("f"), 1);
    stage.read();
    assert_eq!(stage.apply(None).done, ["f", "g"]);
}
