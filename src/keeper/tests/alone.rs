//! One keeper works on a workspace, whatever the engine still runs.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

use super::stage::{Stage, one_of_each};
use crate::keeper::serve;
use crate::protocol::codec;
use crate::protocol::keeper::{FromKeeper, Places, ToKeeper};

fn opened(stage: &Stage) -> FromKeeper {
    let at = |name| stage.root.path().join(name);
    let places = Places { workspace: at("work"), overlays: at("overlays"), state: at("state") };
    let mut output = Vec::new();
    serve(codec::encode(&ToKeeper::Open(places)).unwrap().as_slice(), &mut output).unwrap();
    codec::read(&mut output.as_slice()).unwrap().unwrap()
}

#[test]
fn a_keeper_beside_another_one_does_nothing_and_says_so() {
    let stage = one_of_each();
    let other = File::open(stage.root.path().join("state")).unwrap();
    flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    let FromKeeper::Failed { why, .. } = opened(&stage) else { panic!("two keepers at once") };
    let state = stage.root.path().join("state").display().to_string();
    assert!(why.contains(&state) && why.contains("another keeper") && why.contains("hint:"), "{why}");
    drop(other);
    // One that ended leaves nothing behind that keeps the next from starting.
    for _ in 0..2 {
        assert!(matches!(opened(&stage), FromKeeper::Ready { .. }));
    }
}
