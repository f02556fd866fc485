//! What became of a run, as an exit code: the one table (DESIGN section 11).

use crate::domain::record::{Outcome, RunRecord, RunState};
use crate::domain::run::{Ending, StopCause};

/// Refused by policy or person, or changes discarded.
pub const REFUSED: u8 = 125;
/// Waiting for an approval, or changes held.
pub const WAITING: u8 = 75;
/// A path conflicts with what the host has meanwhile.
pub const CONFLICT: u8 = 73;
/// Timed out, or stopped at another limit.
pub const TIMED_OUT: u8 = 124;
/// Stopped by a person.
pub const STOPPED: u8 = 130;
/// No Docker, no runner, no core.
pub const UNAVAILABLE: u8 = 69;
/// Bad input.
pub const BAD_INPUT: u8 = 65;

/// The exit code of `castoff run` for a run in this state. The script's own non-zero code wins.
pub fn exit_code(record: &RunRecord) -> u8 {
    if let Some(code) = script_code(record).filter(|code| *code != 0) {
        return code;
    }
    match &record.state {
        RunState::Refused { .. } => REFUSED,
        RunState::Held { .. } if has_conflicts(record) => CONFLICT,
        RunState::Done { changes: Outcome::Dropped } => REFUSED,
        RunState::Done { .. } if refused_entries(record) => CONFLICT,
        RunState::Done { .. } => 0,
        RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Held { .. }
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing => WAITING,
    }
}

fn script_code(record: &RunRecord) -> Option<u8> {
    Some(match &record.end.as_ref()?.ending {
        Ending::Exited { code } => *code,
        Ending::Signalled { signal, .. } => 128_u8.saturating_add(*signal),
        Ending::Stopped { cause } => match cause {
            StopCause::Timeout
            | StopCause::OutputCap
            | StopCause::MemoryCap
            | StopCause::DiskCap
            | StopCause::FilesCap
            | StopCause::DiskReserve => TIMED_OUT,
            StopCause::Asked => STOPPED,
            StopCause::Shutdown | StopCause::Lost | StopCause::Broken => UNAVAILABLE,
        },
        Ending::Failed { .. } => UNAVAILABLE,
    })
}

/// The name of what stopped a run, for `--json`; `None` when it ended by itself.
pub fn stopped_by(record: &RunRecord) -> Option<&'static str> {
    match &record.state {
        RunState::Refused { .. } => return Some("refused"),
        RunState::Asking { .. } => return Some("approval"),
        RunState::Held { .. } if has_conflicts(record) => return Some("conflict"),
        RunState::Held { .. } if record.end.as_ref().is_some_and(|end| end.ending.by_itself()) => {
            return Some("review");
        }
        RunState::Done { changes: Outcome::Dropped } => return Some("discarded"),
        RunState::Planning
        | RunState::Queued
        | RunState::Running
        | RunState::Held { .. }
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Done { .. } => {}
    }
    match &record.end.as_ref()?.ending {
        Ending::Stopped { cause } => Some(match cause {
            StopCause::Timeout => "timeout",
            StopCause::OutputCap => "output-cap",
            StopCause::MemoryCap => "memory-cap",
            StopCause::DiskCap => "disk-cap",
            StopCause::FilesCap => "files-cap",
            StopCause::DiskReserve => "disk-reserve",
            StopCause::Asked => "asked",
            StopCause::Shutdown => "shutdown",
            StopCause::Lost => "lost",
            StopCause::Broken => "broken",
        }),
        Ending::Failed { .. } => Some("failed"),
        Ending::Exited { .. } | Ending::Signalled { .. } => None,
    }
}

fn has_conflicts(record: &RunRecord) -> bool {
    record.landings.iter().any(|landing| !landing.conflicts.is_empty())
}

fn refused_entries(record: &RunRecord) -> bool {
    record.end.iter().flat_map(|end| &end.changes).any(|set| !set.refused.is_empty())
}
