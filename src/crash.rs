//! Moments at which a process of ours may be killed from outside, by name. Without the feature
//! `crash-points`, which no release has, nothing happens at any of them.
//!
//! With it, a process that comes to the moment that the file `armed` of its directory names renames
//! that file to `reached`, and stays there until `reached` is gone, or until it is killed. The directory is
//! `CASTOFF_CRASH_DIR` for core and runner, and its own state for a keeper, which has neither the
//! environment nor any other place.

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Core: that a run begins is on record, and the runner does not know.
    IntentCommitted,
    /// Runner: the engine has the run's container.
    ContainerCreated,
    /// Runner: the container runs.
    ContainerStarted,
    /// Runner: what is in place is what was asked for.
    ReadyChecked,
    /// Runner: the script is in the container.
    RequestSent,
    /// Runner: some of its output was passed on.
    OutputHalfRead,
    /// Runner: the run is over, and nobody has noted it.
    ExitFrame,
    /// Runner: the changes are known to it alone.
    ChangeSetRead,
    /// Keeper: its places are open, and the runner has not heard of it.
    KeeperOpened,
    /// Keeper: the journal has what is to be done.
    ApplyJournalWritten,
    /// Keeper: a file of several stands in place.
    HalfApplied,
    /// Keeper: all files stand in place, and the journal does not say so.
    AppliedNotCommitted,
    /// Core: the keeper's answer has come, and is not on record.
    LandingNotCommitted,
    /// Keeper: a file of several was taken back.
    UndoHalfDone,
    /// Core: a message has come, and is not on record.
    UpdateNotCommitted,
    /// Core: a message is on record, and Telegram was not told.
    CommittedNotAnswered,
    /// Core: money is reserved on record, and the model was not called.
    ReservedNotCalled,
    /// Core: the model has begun to answer.
    CallInFlight,
    /// Core: the model has answered, and that is not booked.
    ReservedNotSettled,
    /// Core: a question stands in the chat, and where is not on record.
    CardNotRecorded,
    /// Core: somebody said yes, and that does not count yet.
    TappedNotRedeemed,
    /// Core: a reply stands in the chat, and that is not on record.
    ReplyNotConfirmed,
}

#[cfg(feature = "crash-points")]
pub use armed::{look_in, point};

/// A process that is to be killed here stops.
#[cfg(not(feature = "crash-points"))]
pub fn point(_: Point) {}

/// Looks for what is armed in this directory from now on.
#[cfg(not(feature = "crash-points"))]
pub fn look_in(_: &std::path::Path) {}

#[cfg(feature = "crash-points")]
mod armed {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::Point;

    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();

    /// A process that is to be killed here stops.
    pub fn point(point: Point) {
        let said = || std::env::var_os("CASTOFF_CRASH_DIR").map(PathBuf::from);
        let Some(directory) = DIRECTORY.get_or_init(said) else { return };
        let (armed, reached) = (directory.join("armed"), directory.join("reached"));
        let is_armed = fs::read_to_string(&armed).is_ok_and(|name| name == format!("{point:?}"));
        // Whoever renames it is the one that stops.
        if is_armed && fs::rename(&armed, &reached).is_ok() {
            while reached.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Looks for what is armed in this directory from now on.
    pub fn look_in(directory: &Path) {
        // A keeper opens its places once.
        drop(DIRECTORY.set(Some(directory.to_owned())));
    }
}
