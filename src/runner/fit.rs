//! Messages and the longest frame: one that does not fit is told short, so that what one run changed never ends a
//! connection, which is everybody's.

use tokio::io::AsyncWrite;

use crate::domain::change::{ChangeSet, Landing, Trouble};
use crate::domain::run::RunEnd;
use crate::protocol::codec::{self, FrameError};
use crate::protocol::runner::{Fate, Fault, FromRunner, Request};

/// Paths of each kind that a short answer names, over all workspaces.
const NAMED_MAX: usize = 100;
/// Why nothing is told of a run's changes.
const TOO_LONG: &str = "what the run changed in all workspaces together is too long to be told";

/// Sends a message, or what of it fits.
///
/// # Errors
/// [`FrameError::Io`] when the connection is gone.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: FromRunner) -> Result<(), FrameError> {
    // What is too long is noticed before a byte of it is written.
    let bytes = match codec::send(to, &message).await {
        Err(FrameError::TooLong(bytes)) => bytes,
        sent => return sent,
    };
    tracing::warn!(bytes, "an answer does not fit into a frame and is told short");
    match codec::send(to, &short(message)).await {
        Err(FrameError::TooLong(bytes)) => {
            tracing::error!(bytes, "an answer does not fit into a frame even so and is not told");
            Ok(())
        }
        sent => sent,
    }
}

/// A message without what there may be very much of.
fn short(message: FromRunner) -> FromRunner {
    let trouble = |run, request, fault| {
        let why = "the answer is too long".to_owned();
        FromRunner::Trouble { run, request, fault, why }
    };
    match message {
        FromRunner::Ended { run, end } => FromRunner::Ended { run, end: unread(end) },
        FromRunner::Recalled { runs } => {
            let fates = runs.into_iter().map(|(run, fate)| {
                let fate = match fate {
                    Fate::NeverSeen => Fate::NeverSeen,
                    Fate::Ended(end) => Fate::Ended(unread(end)),
                    Fate::Interrupted(end) => Fate::Interrupted(unread(end)),
                };
                (run, fate)
            });
            FromRunner::Recalled { runs: fates.collect() }
        }
        FromRunner::Applied { run, landings } => FromRunner::Applied { run, landings: first(landings) },
        FromRunner::Dropped { run, landings } => FromRunner::Dropped { run, landings: first(landings) },
        FromRunner::Undone { run, landings } => FromRunner::Undone { run, landings: first(landings) },
        FromRunner::Surveyed { run, .. } => trouble(run, Request::Survey, Fault::Refused),
        FromRunner::Diffed { run, .. } => trouble(run, Request::Diff, Fault::Refused),
        FromRunner::Trouble { run, request, fault, .. } => trouble(run, request, fault),
        // The runner's own words, and pieces of output: short as they are.
        same @ (FromRunner::Ready(_)
        | FromRunner::Progress { .. }
        | FromRunner::Started { .. }
        | FromRunner::Output { .. }) => same,
    }
}

/// The same end, with sets that could not be read: they stay held.
fn unread(end: Box<RunEnd>) -> Box<RunEnd> {
    let refused = || vec![Trouble { path: ".".to_owned(), why: TOO_LONG.to_owned() }];
    let set = |set: ChangeSet| ChangeSet { workspace: set.workspace, changes: Vec::new(), refused: refused() };
    let changes = end.changes.into_iter().map(set).collect();
    Box::new(RunEnd { changes, ..*end })
}

/// The first paths of the landings: that something landed, or conflicts, is still told.
fn first(mut landings: Vec<Landing>) -> Vec<Landing> {
    let (mut done, mut conflicts) = (NAMED_MAX, NAMED_MAX);
    for landing in &mut landings {
        landing.done.truncate(done);
        landing.conflicts.truncate(conflicts);
        done -= landing.done.len();
        conflicts -= landing.conflicts.len();
    }
    landings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::{Change, Node, NodeKind};
    use crate::domain::ids::RunId;
    use crate::domain::run::{Ending, Usage};
    use crate::domain::time::Timestamp;
    use crate::protocol::codec::FRAME_BYTES_MAX;

    fn run() -> RunId {
        RunId::from_random([1; 11])
    }

    fn end(target_bytes: usize) -> Box<RunEnd> {
        let kind = NodeKind::Symlink { target: "x".repeat(target_bytes) };
        let change = Change { path: "link".to_owned(), before: None, after: Some(Node { kind, mode: 0o777 }) };
        let set = |workspace: &str| ChangeSet {
            workspace: workspace.into(),
            changes: vec![change.clone()],
            refused: Vec::new(),
        };
        Box::new(RunEnd {
            ending: Ending::Exited { code: 3 },
            started: Timestamp::from_ms(1),
            ended: Timestamp::from_ms(2),
            enforced: None,
            usage: Usage::default(),
            changes: vec![set("/v"), set("/w")],
        })
    }

    /// What comes out at the other side.
    async fn sent(messages: &[FromRunner]) -> Vec<FromRunner> {
        let mut bytes = Vec::new();
        for message in messages {
            send(&mut bytes, message.clone()).await.unwrap();
        }
        let mut bytes = bytes.as_slice();
        std::iter::from_fn(|| codec::read(&mut bytes).unwrap()).collect()
    }

    #[tokio::test]
    async fn changes_that_do_not_fit_together_are_told_as_unread() {
        let half = FRAME_BYTES_MAX / 2;
        let told = |end: Box<RunEnd>| {
            let fates = [Fate::Ended(end.clone()), Fate::Interrupted(end.clone()), Fate::NeverSeen];
            let recalled = fates.map(|fate| FromRunner::Recalled { runs: vec![(run(), fate)] });
            recalled.into_iter().chain([FromRunner::Ended { run: run(), end }]).collect::<Vec<_>>()
        };
        let fits = told(end(half - 1000));
        assert!(sent(&fits).await == fits, "what fits is told short");
        let expected = told(unread(end(0)));
        assert_eq!(sent(&told(end(half))).await, expected);
        let FromRunner::Ended { end, .. } = &expected[3] else { panic!("{expected:?}") };
        let why: Vec<_> = end.changes.iter().flat_map(|set| &set.refused).map(|one| (&*one.path, &*one.why)).collect();
        assert_eq!((&end.ending, why), (&Ending::Exited { code: 3 }, vec![(".", TOO_LONG); 2]));
    }

    #[tokio::test]
    async fn landings_that_do_not_fit_are_told_by_their_first_paths_and_other_answers_as_trouble() {
        let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("{n}{}", "x".repeat(4000))).collect() };
        let conflict = |path| Trouble { path, why: "changed".to_owned() };
        let landing = |workspace: &str, done, conflicts| Landing {
            workspace: workspace.into(),
            done: many(done),
            conflicts: many(conflicts).into_iter().map(conflict).collect(),
        };
        let long = vec![landing("/u", 40, 0), landing("/v", 9000, 2), landing("/w", 3, 1)];
        let short = vec![landing("/u", 40, 0), landing("/v", 60, 2), landing("/w", 0, 1)];
        let told = |landings: Vec<Landing>| {
            [
                FromRunner::Applied { run: run(), landings: landings.clone() },
                FromRunner::Undone { run: run(), landings: landings.clone() },
                FromRunner::Dropped { run: run(), landings },
            ]
        };
        assert!(sent(&told(long)).await == told(short));
        let diffed = FromRunner::Diffed { run: run(), text: "x".repeat(FRAME_BYTES_MAX) };
        let why = "the answer is too long".into();
        let trouble = FromRunner::Trouble { run: run(), request: Request::Diff, fault: Fault::Refused, why };
        assert_eq!(sent(&[diffed]).await, [trouble]);
    }
}
