//! The keeper of one workspace: reads overlays, makes diffs, applies and takes back. The only part
//! that touches people's files.
//!
//! It owns the workspace, the overlays of its runs, and its own journal and before-images. It
//! refuses to follow links, to land anything but files, directories and symbolic links, and to
//! replace what the host changed since the run began.
//!
//! An apply (and an undo, with before-images for content):
//!
//! ```text
//!  scan ─▶ conflicts ─▶ before-images ─▶ INTENT ─▶ directories ─▶ new content beside its targets
//!          stay held    copied, synced   journal        │                    │ synced
//!                                                        ▼                    ▼
//!  overlay emptied ◀── LANDED ◀── synced ◀── modes ◀── deletions ◀── renames into place
//!     EMPTIED          journal
//!
//!  cut before INTENT    nothing happened
//!  cut before LANDED    Open takes all steps again (each may be taken twice); what cannot be
//!                       finished is rolled back from the before-images: CANCELLED
//!  cut before EMPTIED   Open empties the overlay again
//!  fails up to LANDED   an apply is rolled back at once: CANCELLED; an undo stays as far as it came and is
//!                       CANCELLED too: asked for once more, it goes on
//!  neither LANDED nor   every request about the run does first what Open does, and is refused while
//!  CANCELLED            that fails: until then the before-images are all that is left of the originals
//! ```

use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::domain::ids::RunId;
use crate::protocol::codec::{self, FrameError};
use crate::protocol::keeper::{FromKeeper, ToKeeper};

mod apply;
mod content;
mod covers;
mod cut;
mod diff;
mod files;
mod journal;
mod land;
mod mount;
mod paths;
mod room;
mod scan;
mod step;
#[cfg(test)]
mod tests;
mod undo;
mod work;

use work::Keeper;

/// Most entries of an overlay, and of the host's directories that it deletes.
const ENTRIES_MAX: usize = 100_000;
/// Deepest nesting of directories.
const DEPTH_MAX: usize = 128;
/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 4000;
/// All paths and texts of links of a change set together, in bytes.
const PATHS_BYTES_MAX: usize = 16 << 20;

/// Why a request could not be served, or the keeper had to end.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The runner's side of the stream is broken.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A request came before `Open`.
    #[error("the workspace has not been opened")]
    NotOpen,
    /// Another keeper works on the same workspace; its lock goes with its process.
    #[error(
        "another keeper still works on `{state}`; hint: it ends by itself once it has finished the file in hand, so \
         try again; while it does not, `docker ps` lists it among the containers with the label `castoff.home`"
    )]
    Second {
        /// The keeper's state.
        state: PathBuf,
    },
    /// The run has no overlay that was read.
    #[error("nothing is held of run {0}")]
    NotHeld(RunId),
    /// More than the keeper takes.
    #[error("the run changed more than {ENTRIES_MAX} entries, or their paths and links are too long together")]
    TooMany,
    /// One of the keeper's own places cannot be used.
    #[error("{what}: {source}")]
    Place {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What is known of a run cannot be read.
    #[error("the journal of run {run} cannot be read, and nothing can be done about its changes: {source}")]
    Journal {
        /// The run.
        run: RunId,
        /// Why.
        source: io::Error,
    },
    /// An apply that was cut can be neither finished nor taken back.
    #[error("an apply of run {run} is half-done: {source}")]
    HalfDone {
        /// The run.
        run: RunId,
        /// Why.
        source: Box<KeeperError>,
    },
    /// Something cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        /// Relative to the workspace.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Something cannot be written.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// Relative to the workspace.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An apply failed, and so did taking it back; the next request about the run tries again.
    #[error("{first}; taking it back failed too: {second}")]
    Both {
        /// What failed first.
        first: Box<KeeperError>,
        /// What failed then.
        second: Box<KeeperError>,
    },
    /// A test ended the keeper here.
    #[cfg(test)]
    #[error("cut")]
    Cut,
}

impl KeeperError {
    fn read(path: &str, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    fn write(path: &str, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    /// What the runner is told.
    fn told(&self) -> FromKeeper {
        FromKeeper::Failed { why: self.to_string(), logged: self.logged() }
    }

    /// The same as its text, but without what is in people's files, and their names.
    fn logged(&self) -> String {
        match self {
            Self::Journal { run, source } => format!("the journal of run {run} cannot be read: {}", source.kind()),
            Self::HalfDone { run, source } => format!("an apply of run {run} is half-done: {}", source.logged()),
            Self::Read { path: _, source } => format!("a file cannot be read: {source}"),
            Self::Write { path: _, source } => format!("a file cannot be written: {source}"),
            Self::Both { first, second } => {
                format!("{}; taking it back failed too: {}", first.logged(), second.logged())
            }
            Self::Frame(_)
            | Self::NotOpen
            | Self::Second { .. }
            | Self::NotHeld(_)
            | Self::TooMany
            | Self::Place { .. } => self.to_string(),
            #[cfg(test)]
            Self::Cut => self.to_string(),
        }
    }

    fn place(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Place { what, source }
    }
}

/// Answers the runner until the end of its input.
///
/// # Errors
/// [`KeeperError::Frame`] when the stream breaks; a request that cannot be served is answered so.
pub fn serve(mut input: impl Read, mut output: impl Write) -> Result<(), KeeperError> {
    let mut keeper = None;
    while let Some(request) = codec::read::<ToKeeper>(&mut input)? {
        let answer = answer(&mut keeper, request).unwrap_or_else(|error| error.told());
        match codec::write(&mut output, &answer) {
            Err(error @ FrameError::TooLong(_)) => {
                let why = format!("the answer is too long: {error}");
                codec::write(&mut output, &FromKeeper::Failed { logged: why.clone(), why })?;
            }
            result => result?,
        }
    }
    Ok(())
}

fn answer(keeper: &mut Option<Keeper>, request: ToKeeper) -> Result<FromKeeper, KeeperError> {
    if let ToKeeper::Open(places) = request {
        *keeper = None;
        let opened = Keeper::open(places)?;
        let ready = opened.ready()?;
        *keeper = Some(opened);
        return Ok(ready);
    }
    let keeper = keeper.as_mut().ok_or(KeeperError::NotOpen)?;
    match request {
        ToKeeper::Open(_) => Err(KeeperError::NotOpen),
        ToKeeper::Covers { denied } => keeper.covers(&denied).map(FromKeeper::Covers),
        ToKeeper::Read { run, claimed_ns, denied } => {
            keeper.changes(&run, claimed_ns, &denied).map(FromKeeper::Changes)
        }
        ToKeeper::Diff { run } => keeper.diff(&run).map(FromKeeper::Diff),
        ToKeeper::Apply { run, paths } => keeper.apply(&run, paths.as_deref()).map(FromKeeper::Landed),
        ToKeeper::Drop { run } => keeper.drop_held(&run).map(FromKeeper::Landed),
        ToKeeper::Undo { run } => keeper.undo(&run).map(FromKeeper::Landed),
    }
}
