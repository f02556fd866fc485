//! Commands that mean no good, through the real engine: each limit holds, the record says in plain words what happened,
//! and the next run of somebody else starts as ever.
//!
//! Needs root, Docker, `CASTOFF_BIN_DIR` (the static programs), and the images of runs, which `make test` builds. What
//! fills disks fills file systems of the test's own, in memory.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the messages that it waits for")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "what other tests use")]
mod common;
#[path = "../runner/house.rs"]
mod house;

mod changes;
mod den;
mod disk;
mod files;
mod frames;
mod memory;
mod output;
mod pid_one;
mod processes;
mod replaced;
mod sum;
mod time;

use common::directory;
