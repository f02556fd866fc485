//! The committed corpus of the fuzz targets holds: `scripts/fuzz` looks for more.
#![cfg(test)]

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, clippy::type_complexity, reason = "to the targets it is a crate of its own")]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn inputs(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).expect("every target has a corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a corpus is readable").path()).collect();
    files.sort();
    files
}

/// One test for all, since the memory of the process is counted.
#[test]
fn every_input_of_the_corpora_holds() {
    let mut failed = Vec::new();
    for (target, check) in targets::TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() >= 10, "{target} has a corpus of {}", inputs.len());
        for path in inputs {
            let data = fs::read(&path).expect("an input is readable");
            if std::panic::catch_unwind(|| check(&data)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_corpora_stay_small() {
    let files = targets::TARGETS.iter().flat_map(|(target, _)| inputs(target));
    let bytes: u64 = files.map(|path| fs::metadata(path).expect("an input is readable").len()).sum();
    assert!(bytes < 300_000, "{bytes} bytes");
}

/// `scripts/fuzz --planted` shows that each target finds a bug, so there have to be places for the bugs.
#[test]
#[expect(clippy::disallowed_methods, reason = "the script that plants them, as `scripts/fuzz` starts it")]
fn a_bug_for_each_target_can_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = tempfile::tempdir().expect("there is room for a copy");
    let copied = Command::new("cp").arg("-r").arg(root.join("src")).arg(copy.path()).status().expect("there is `cp`");
    assert!(copied.success());
    let planted = Command::new(root.join("fuzz/plant")).arg(copy.path()).output().expect("the script starts");
    assert!(planted.status.success(), "{}", String::from_utf8_lossy(&planted.stderr));
}
