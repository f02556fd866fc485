//! Disks that are full, or become so.

use std::fs;

use super::stage::{SmallDisk, Stage, landing, put};
use crate::keeper::cut;
use crate::protocol::keeper::{FromKeeper, ToKeeper};

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
    let mut open = 0;
    for moment in 0.. {
        let Some((stage, disk)) = Stage::on_a_disk_of(8) else { return };
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
    let Some((stage, disk)) = Stage::on_a_disk_of(8) else { return };
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
