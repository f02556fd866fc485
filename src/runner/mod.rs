//! The runner: the only part that speaks to the engine. Trusts nothing that the core says.
//!
//! ```text
//!  core ── frames ─▶ requests ─▶ survey ─▶ probe, keeper
//!                       │   └───▶ changes ─▶ keeper
//!                       └─▶ lifecycle ─▶ check ─▶ journal ─▶ overlay, harden ─▶ readback ─▶ live
//!  engine: connected, reaped, images built; watched and connected again
//! ```
//! It owns `state/runner`, and makes `people/ID` and `state/keeper/WORKSPACE`. It never opens a file
//! of a person's, and has no right to: the keepers do.

mod attach;
mod changes;
mod check;
mod disk;
mod engine;
pub mod examine;
mod fit;
pub mod harden;
mod heard;
pub mod images;
mod journal;
mod keeper;
mod lifecycle;
mod live;
mod overlay;
mod probe;
pub mod readback;
mod reap;
mod requests;
mod rules;
pub mod seccomp;
mod stale;
mod state;
mod survey;

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use self::journal::Journal;
use self::state::{Engine, Runner};
use crate::domain::plan::Image;
use crate::protocol::codec::{self, FrameError};
use crate::protocol::runner::{FromRunner, Readiness};

/// How long runs may take to end when the runner stops, and then keepers: together less than who stops it waits.
const RUNS_CLOSE_TIME_MAX: Duration = Duration::from_secs(20);
const KEEPERS_CLOSE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection whose core is gone has to say so, before a run that goes with it is told that
/// the runner stops.
const LINK_END_TIME: Duration = Duration::from_millis(100);
/// How long [`health`] waits.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(10);

/// Where everything is.
#[derive(Debug, Clone)]
pub struct RunnerPlaces {
    /// `CASTOFF_HOME`.
    pub home: PathBuf,
    /// The directory of the policy.
    pub config: PathBuf,
    /// `DOCKER_HOST`: the engine's Unix socket.
    pub docker: Option<String>,
    /// The directory of the static `castoff` and `castoff-init`; `None`: that of this program.
    pub programs: Option<PathBuf>,
    /// Nanoseconds since the epoch.
    pub clock: fn() -> u64,
}

/// Why the runner cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The engine is not a Unix socket.
    #[error("`DOCKER_HOST={host}` is no Unix socket; hint: write `unix:///path/to/docker.sock`")]
    HostForm {
        /// What was given.
        host: String,
    },
    /// The engine does not answer.
    #[error(
        "the container engine does not answer at `{path}`: {source}; hint: start it (`sudo systemctl start docker`), or set `DOCKER_HOST`"
    )]
    NoEngine {
        /// Its socket.
        path: String,
        /// Why.
        source: bollard::errors::Error,
    },
    /// The engine refused something.
    #[error("the container engine refused: {0}; hint: `castoff doctor` shows what it can do")]
    Engine(#[from] bollard::errors::Error),
    /// An image is missing.
    #[error("failed to {0}; hint: `castoff runner --build-images` shows every line of the build")]
    Image(#[from] images::ImageError),
    /// Our own program cannot be found.
    #[error("the runner's own program cannot be found: {0}")]
    Own(io::Error),
    /// A directory or file of the runner's is not usable.
    #[error("`{path}` is not usable: {source}; hint: it must belong to the runner's user, see `castoff doctor`")]
    Place {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the journal is not what the runner wrote.
    #[error(
        "line {line} of `{path}` cannot be read: {why}; hint: copy the file elsewhere, delete that line and start \
         again: every other run stays as it is; of the run that the line is about, what changed may no longer be \
         diffed, applied or undone, and one that was under way counts as never begun"
    )]
    Line {
        /// The journal.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Another runner works on the same home.
    #[error("another runner works on `{home}`; hint: stop it first")]
    Second {
        /// The home.
        home: PathBuf,
    },
    /// The runner does not answer.
    #[error("the runner does not answer at `{path}`: {why}; hint: `docker compose ps`, or start `castoff serve`")]
    NoRunner {
        /// Its socket.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Serves `run/runner/runner.sock` until `stop`: no connection is accepted from then on, so that a core that
/// starts meanwhile waits for the next runner; live runs and keepers end first.
///
/// # Errors
/// [`RunnerError`] when its own places are not usable, or another runner works on them. An engine that
/// does not answer is no error: the readiness says so, and it is tried again.
pub async fn serve(places: RunnerPlaces, stop: CancellationToken) -> Result<(), RunnerError> {
    let state = places.home.join("state/runner");
    overlay::make_open(&state).map_err(at(&state))?;
    let _only = lock(&places.home, &state)?;
    let journal = Journal::open(&state.join("journal"))?;
    let listener = listen(&places.home)?;
    let runner = Arc::new(Runner::new(places, journal));
    runner.tracker.spawn(engine::supervise(Arc::clone(&runner)));
    runner.tracker.spawn(keeper::end_idle(Arc::clone(&runner)));
    tokio::select! {
        () = accept(&runner, &listener) => {}
        () = stop.cancelled() => drop(listener),
    }
    tokio::time::sleep(LINK_END_TIME).await;
    runner.stop.cancel();
    let engine = runner.engine();
    runner.tracker.close();
    if tokio::time::timeout(RUNS_CLOSE_TIME_MAX, runner.tracker.wait()).await.is_err() {
        tracing::warn!("not every run ended in time; the next start removes what is left");
    }
    if let Ok(engine) = engine {
        clear(&runner, &engine).await;
    }
    let socket = socket(&runner.places.home);
    fs::remove_file(&socket).map_err(at(&socket))
}

/// Ends the keepers, then removes whatever of this installation's is left with the engine: the next keeper goes on by
/// the journal of one that was busy.
async fn clear(runner: &Runner, engine: &Engine) {
    if tokio::time::timeout(KEEPERS_CLOSE_TIME_MAX, runner.keepers.close(engine)).await.is_err() {
        tracing::warn!("not every keeper ended in time");
    }
    if let Err(error) = reap::reap(&engine.docker, &runner.home_label(), &HashSet::new()).await {
        tracing::warn!(%error, "something is left with the engine; the next start removes it");
    }
}

/// What the runner of `home` says of itself.
///
/// # Errors
/// [`RunnerError::NoRunner`] when none answers.
pub async fn health(home: &Path) -> Result<Readiness, RunnerError> {
    let path = socket(home);
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        loop {
            match codec::receive::<FromRunner>(&mut stream).await? {
                Some(FromRunner::Ready(readiness)) => return Ok::<_, FrameError>(Some(readiness)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    };
    let why = match tokio::time::timeout(HEALTH_TIME_MAX, asked).await {
        Ok(Ok(Some(readiness))) => return Ok(readiness),
        Ok(Ok(None)) => "it closed the connection".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it says nothing".to_owned(),
    };
    Err(RunnerError::NoRunner { path, why })
}

/// Builds the images that are missing, or all of them anew, telling every line of the builds.
///
/// # Errors
/// [`RunnerError`] when the engine does not answer or a build fails.
pub async fn build_images(
    docker: Option<&str>,
    anew: bool,
    progress: images::Progress<'_>,
) -> Result<Vec<Image>, RunnerError> {
    let docker = engine::connect(docker).await?;
    if anew {
        return Ok(images::anew(&docker, progress).await?);
    }
    let base = images::base(&docker, progress).await?;
    let workbench = images::workbench(&docker, &base, progress).await?;
    Ok(vec![base, workbench])
}

async fn accept(runner: &Arc<Runner>, listener: &UnixListener) {
    let own = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
            Ok((uid, stream)) if uid == own => {
                runner.tracker.spawn(requests::serve(Arc::clone(runner), stream));
            }
            Ok((uid, _)) => tracing::warn!(uid, "a connection of another user was refused"),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Descriptors may be spent: give the ones in use time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn socket(home: &Path) -> PathBuf {
    home.join("run/runner/runner.sock")
}

/// Binds the socket in a directory that nobody else can enter.
fn listen(home: &Path) -> Result<UnixListener, RunnerError> {
    let socket = socket(home);
    let directory = home.join("run/runner");
    overlay::make_open(&home.join("run")).map_err(at(&directory))?;
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(&directory, Permissions::from_mode(0o700)).map_err(at(&directory))?;
        }
        made => made.map_err(at(&directory))?,
    }
    // The lock is held: whoever bound it is gone.
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&socket)(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&socket).map_err(at(&socket))?;
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(at(&socket))?;
    Ok(listener)
}

/// One runner for each home; the lock goes with the process.
fn lock(home: &Path, state: &Path) -> Result<File, RunnerError> {
    let path = state.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RunnerError::Second { home: home.to_owned() }),
        Err(error) => Err(at(&path)(error.into())),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RunnerError + use<> {
    let path = path.to_owned();
    |source| RunnerError::Place { path, source }
}
