//! The keepers: one container for each workspace, started when something is asked of it, asked one
//! thing at a time, ended when idle. It does the file work; nothing here opens a file of a person's.
//!
//! ```text
//!  none ──ask──▶ started ──Open──▶ ready ──▶ asked ⇄ answered ──5 min──▶ input closed ──▶ none
//!     └─────────┴────────────────────┴── died ──▶ removed; the next one is asked the same; two are started at most
//!               └── another directory than probed ──▶ removed, an error
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::errors::Error as EngineError;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::attach::{self, Attached};
use super::harden::KeeperPlaces;
use super::state::{Engine, Runner, locked};
use super::{harden, overlay, reap};
use crate::domain::change::Landing;
use crate::domain::ids::RunId;
use crate::protocol::codec::{self, FRAME_BYTES_MAX, FrameError};
use crate::protocol::keeper::{FromKeeper, Places, ToKeeper};

/// A keeper without requests ends after this.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// Between two looks for idle keepers.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Longest time of one request: a large apply is slow.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Keepers that are started for one request before it is given up: one may have been killed.
const STARTS_MAX: u32 = 2;
/// How long a keeper may take to end by itself.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// All keepers.
#[derive(Debug, Default)]
pub(super) struct Keepers {
    places: Mutex<HashMap<PathBuf, Arc<AsyncMutex<Option<Keeper>>>>>,
    /// Cancelled when none starts any more.
    closed: CancellationToken,
}

/// A keeper that is ready.
struct Keeper {
    container: String,
    attached: Attached,
    asked_at: Instant,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("container", &self.container).finish_non_exhaustive()
    }
}

/// Why a keeper did not answer; for people.
pub(super) enum Fault {
    /// It died, or never came to life. The next one first finishes what this one had begun, and every request may
    /// be made twice.
    Died(String),
    /// It answered, or would have: another one would say the same.
    Refused(Refusal),
}

/// Why a keeper did not do what it was asked to.
pub(super) struct Refusal {
    why: String,
    logged: String,
}

impl Fault {
    /// What is said of it.
    pub(super) fn why(self) -> String {
        match self {
            Self::Died(why) | Self::Refused(Refusal { why, .. }) => why,
        }
    }

    /// What logs say of it: no name of anybody's files.
    pub(super) fn logged(&self) -> &str {
        match self {
            Self::Died(why) | Self::Refused(Refusal { logged: why, .. }) => why,
        }
    }

    /// For what the runner says itself, which names no file.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Refused(Refusal { logged: why.clone(), why })
    }
}

/// A workspace's keeper, while nobody else asks it.
type Place = OwnedMutexGuard<Option<Keeper>>;

/// Asks the keeper of a workspace, starting it when there is none. The error is for people.
pub(super) async fn ask(runner: &Runner, workspace: &Path, request: &ToKeeper) -> Result<FromKeeper, String> {
    ask_once_more(runner, workspace, request).await.map_err(Fault::why)
}

/// The same; the error says whether what was begun of the request may go on.
pub(super) async fn ask_once_more(runner: &Runner, workspace: &Path, request: &ToKeeper) -> Result<FromKeeper, Fault> {
    ask_at(&mut runner.keepers.place(workspace).lock_owned().await, runner, workspace, request).await
}

/// Has what a run left over a workspace emptied, and removes its overlay's directories. Nobody else reads it
/// meanwhile. Returns what had landed of it before; the error is for people.
pub(super) async fn discard(runner: &Runner, run: &RunId, workspace: &Path) -> Result<Landing, Fault> {
    let mut place = runner.keepers.place(workspace).lock_owned().await;
    let answer = ask_at(&mut place, runner, workspace, &ToKeeper::Drop { run: run.clone() }).await?;
    let FromKeeper::Landed(landing) = answer else { return Err(Fault::refused(odd())) };
    let path = workspace.display();
    overlay::remove(runner, run, workspace)
        .map_err(|error| Fault::refused(format!("the overlay over `{path}` cannot be removed: {error}")))?;
    Ok(landing)
}

/// What is said of an answer that belongs to another request.
pub(super) fn odd() -> String {
    "the keeper gave another answer than the one that was asked for".to_owned()
}

async fn ask_at(place: &mut Place, runner: &Runner, workspace: &Path, request: &ToKeeper) -> Result<FromKeeper, Fault> {
    // An earlier keeper may have begun it.
    let engine = runner.engine().map_err(Fault::Died)?;
    let began = Instant::now();
    let mut started = 0;
    loop {
        started += u32::from(place.is_none());
        let why = match try_at(place, runner, &engine, (workspace, request)).await {
            Ok(answer) => return Ok(answer),
            Err(refused @ Fault::Refused(_)) => return Err(refused),
            Err(Fault::Died(why)) => why,
        };
        if started == STARTS_MAX || began.elapsed() >= ANSWER_TIME_MAX {
            return Err(Fault::Died(format!("the keeper of `{}` failed: {why}", workspace.display())));
        }
        tracing::warn!(workspace = %workspace.display(), why, "a keeper died and another one is asked");
    }
}

/// One keeper's answer. Only one that lives stays at its place.
async fn try_at(
    place: &mut Place,
    runner: &Runner,
    engine: &Engine,
    (workspace, request): (&Path, &ToKeeper),
) -> Result<FromKeeper, Fault> {
    let mut keeper = match place.take() {
        Some(keeper) => keeper,
        None if runner.keepers.closed.is_cancelled() => return Err(Fault::Died("the runner stops".to_owned())),
        None => start(runner, engine, workspace).await.map_err(|fault| match fault {
            Fault::Refused(Refusal { why, logged }) => {
                let said = |why| format!("the keeper of `{}` cannot start: {why}", workspace.display());
                Fault::Refused(Refusal { why: said(why), logged: said(logged) })
            }
            died @ Fault::Died(_) => died,
        })?,
    };
    keeper.asked_at = Instant::now();
    let answer = keeper.exchange(request).await;
    if matches!(answer, Err(Fault::Died(_))) {
        remove(engine, &keeper.container).await;
    } else {
        **place = Some(keeper);
    }
    answer
}

async fn start(runner: &Runner, engine: &Engine, workspace: &Path) -> Result<Keeper, Fault> {
    overlay::make_kept_for(runner, workspace).map_err(|error| Fault::refused(error.to_string()))?;
    let places = Places {
        workspace: workspace.to_owned(),
        overlays: runner.overlays(workspace),
        state: runner.keeper_state(workspace),
    };
    let (uid, gid) = runner.files_owner();
    let container = KeeperPlaces {
        image: engine.built.keeper.clone(),
        workspace: places.workspace.clone(),
        overlays: places.overlays.clone(),
        state: places.state.clone(),
        uid,
        gid,
    };
    let body = harden::keeper_container(&container, runner.labels())
        .map_err(|error| Fault::refused(format!("failed to {error}")))?;
    let created = engine.docker.create_container(None, body).await;
    let container = created.map_err(|error| Fault::Died(format!("it cannot be made: {error}")))?.id;
    let opened = open(runner, engine, &container, places).await;
    if opened.is_err() {
        remove(engine, &container).await;
    }
    Ok(Keeper { container, attached: opened?, asked_at: Instant::now() })
}

/// Starts the container, opens its places, and sees that it works on the directory that was probed.
async fn open(runner: &Runner, engine: &Engine, container: &str, places: Places) -> Result<Attached, Fault> {
    let workspace = places.workspace.clone();
    let died = |error: EngineError| Fault::Died(format!("it cannot start: {error}"));
    let attached = attach::attach(&engine.docker, container, FRAME_BYTES_MAX).await.map_err(died)?;
    engine.docker.start_container(container, None).await.map_err(died)?;
    let mut keeper = Keeper { container: container.to_owned(), attached, asked_at: Instant::now() };
    let FromKeeper::Ready { device, inode, mount: _ } = keeper.exchange(&ToKeeper::Open(places)).await? else {
        return Err(Fault::refused(odd()));
    };
    let mut probes = locked(&runner.probes);
    if probes.get(&workspace).is_some_and(|probed| (probed.device, probed.inode) != (device, inode)) {
        probes.remove(&workspace);
        let why = "the directory was replaced by another one since it was probed; try again";
        return Err(Fault::refused(why));
    }
    Ok(keeper.attached)
}

impl Keeper {
    async fn exchange(&mut self, request: &ToKeeper) -> Result<FromKeeper, Fault> {
        codec::send(&mut self.attached.input, request).await.map_err(|error| match error {
            FrameError::Io(_) => Fault::Died(error.to_string()),
            FrameError::TooLong(_) | FrameError::Malformed(_) | FrameError::Surplus(_) => {
                Fault::refused(error.to_string())
            }
        })?;
        match timeout(ANSWER_TIME_MAX, self.attached.frames.next::<FromKeeper>()).await {
            Ok(Ok(Some(FromKeeper::Failed { why, logged }))) => Err(Fault::Refused(Refusal { why, logged })),
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(Fault::Died(format!("it ended: {}", self.attached.frames.complaint()))),
            Ok(Err(error)) => Err(Fault::Died(format!("{error} {}", self.attached.frames.complaint()))),
            Err(_) => Err(Fault::Died("it does not answer".to_owned())),
        }
    }

    /// Closes its input and waits: it finishes the file in hand and syncs its journal first.
    async fn close(mut self, engine: &Engine) {
        drop(self.attached.input.shutdown().await);
        if timeout(END_TIME_MAX, self.attached.frames.next::<FromKeeper>()).await.is_err() {
            tracing::warn!(container = self.container, "a keeper did not end by itself");
        }
        remove(engine, &self.container).await;
    }
}

async fn remove(engine: &Engine, container: &str) {
    if let Err(error) = reap::remove_container(&engine.docker, container).await {
        tracing::warn!(%error, "a keeper could not be removed");
    }
}

impl Keepers {
    fn place(&self, workspace: &Path) -> Arc<AsyncMutex<Option<Keeper>>> {
        Arc::clone(locked(&self.places).entry(workspace.to_owned()).or_default())
    }

    /// Ends keepers that were not asked for `idle`; one that is being asked is left alone.
    async fn end_idle(&self, engine: &Engine, idle: Duration) {
        let places: Vec<_> = locked(&self.places).values().cloned().collect();
        for place in places {
            let Ok(mut place) = place.try_lock() else { continue };
            if place.as_ref().is_some_and(|keeper| keeper.asked_at.elapsed() >= idle)
                && let Some(keeper) = place.take()
            {
                keeper.close(engine).await;
            }
        }
    }

    /// Ends all keepers, after the request in hand, for good.
    pub(super) async fn close(&self, engine: &Engine) {
        self.closed.cancel();
        let places: Vec<_> = locked(&self.places).values().cloned().collect();
        for place in places {
            if let Some(keeper) = place.lock().await.take() {
                keeper.close(engine).await;
            }
        }
    }
}

/// Ends idle keepers until the runner stops.
pub(super) async fn end_idle(runner: Arc<Runner>) {
    loop {
        tokio::select! {
            () = runner.stop.cancelled() => return,
            () = tokio::time::sleep(IDLE_LOOK_INTERVAL) => {}
        }
        if let Ok(engine) = runner.engine() {
            runner.keepers.end_idle(&engine, IDLE_TIME_MAX).await;
        }
    }
}
