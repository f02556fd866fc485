//! The keepers: one container for each workspace, started when something is asked of it, asked one
//! thing at a time, ended when idle. It does the file work; nothing here opens a file of a person's.
//!
//! ```text
//!  none ──ask──▶ started ──Open──▶ ready ──▶ asked ⇄ answered ──5 min──▶ input closed ──▶ none
//!                                    ├── died ──▶ removed; another one is asked the same, once
//!                                    └── other directory than probed, or no answer ──▶ removed, an error
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};

use super::attach::{self, Attached};
use super::harden::KeeperPlaces;
use super::state::{Engine, Runner, locked};
use super::{harden, overlay, reap};
use crate::protocol::codec::{self, FRAME_BYTES_MAX};
use crate::protocol::keeper::{FromKeeper, Places, ToKeeper};

/// A keeper without requests ends after this.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// Between two looks for idle keepers.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Longest time of one request: a large apply is slow.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Keepers that are asked the same before it is given up: one may have been killed.
const TRIES_MAX: u32 = 2;
/// How long a keeper may take to end by itself.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// All keepers.
#[derive(Debug, Default)]
pub(super) struct Keepers {
    places: Mutex<HashMap<PathBuf, Arc<AsyncMutex<Option<Keeper>>>>>,
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

/// Asks the keeper of a workspace, starting it when there is none. The error is for people.
pub(super) async fn ask(runner: &Runner, workspace: &Path, request: &ToKeeper) -> Result<FromKeeper, String> {
    let engine = runner.engine()?;
    let place = runner.keepers.place(workspace);
    let mut place = place.lock().await;
    let mut tries = 1;
    loop {
        let mut keeper = match place.take() {
            Some(keeper) => keeper,
            None => start(runner, &engine, workspace).await?,
        };
        keeper.asked_at = Instant::now();
        let answer = keeper.exchange(request).await;
        let why = match answer {
            Ok(answer) => {
                *place = Some(keeper);
                return if let FromKeeper::Failed { why } = answer { Err(why) } else { Ok(answer) };
            }
            Err(why) => why,
        };
        remove(&engine, &keeper.container).await;
        // The next one first finishes what this one had begun; every request may be made twice.
        if tries == TRIES_MAX || keeper.asked_at.elapsed() >= ANSWER_TIME_MAX {
            return Err(format!("the keeper of `{}` failed: {why}", workspace.display()));
        }
        tracing::warn!(workspace = %workspace.display(), why, "a keeper died and another one is asked");
        tries += 1;
    }
}

async fn start(runner: &Runner, engine: &Engine, workspace: &Path) -> Result<Keeper, String> {
    overlay::make_kept_for(runner, workspace).map_err(|error| error.to_string())?;
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
    let body = harden::keeper_container(&container, runner.labels()).map_err(|error| format!("failed to {error}"))?;
    let created = engine.docker.create_container(None, body).await;
    let container =
        created.map_err(|error| format!("the keeper of `{}` cannot start: {error}", workspace.display()))?.id;
    match open(runner, engine, &container, places).await {
        Ok(attached) => Ok(Keeper { container, attached, asked_at: Instant::now() }),
        Err(why) => {
            remove(engine, &container).await;
            Err(format!("the keeper of `{}` cannot start: {why}", workspace.display()))
        }
    }
}

/// Starts the container, opens its places, and sees that it works on the directory that was probed.
async fn open(runner: &Runner, engine: &Engine, container: &str, places: Places) -> Result<Attached, String> {
    let workspace = places.workspace.clone();
    let attached =
        attach::attach(&engine.docker, container, FRAME_BYTES_MAX).await.map_err(|error| error.to_string())?;
    engine.docker.start_container(container, None).await.map_err(|error| error.to_string())?;
    let mut keeper = Keeper { container: container.to_owned(), attached, asked_at: Instant::now() };
    let answer = keeper.exchange(&ToKeeper::Open(places)).await?;
    if let FromKeeper::Failed { why } = answer {
        return Err(why);
    }
    let FromKeeper::Ready { device, inode, mount: _ } = answer else {
        return Err("it did not say what it works on".to_owned());
    };
    let mut probes = locked(&runner.probes);
    if probes.get(&workspace).is_some_and(|probed| (probed.device, probed.inode) != (device, inode)) {
        probes.remove(&workspace);
        return Err("the directory was replaced by another one since it was probed; try again".to_owned());
    }
    Ok(keeper.attached)
}

impl Keeper {
    async fn exchange(&mut self, request: &ToKeeper) -> Result<FromKeeper, String> {
        codec::send(&mut self.attached.input, request).await.map_err(|error| error.to_string())?;
        match timeout(ANSWER_TIME_MAX, self.attached.frames.next::<FromKeeper>()).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(format!("it ended: {}", self.attached.frames.complaint())),
            Ok(Err(error)) => Err(format!("{error} {}", self.attached.frames.complaint())),
            Err(_) => Err("it does not answer".to_owned()),
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

    /// Ends all keepers, after the request in hand.
    pub(super) async fn close(&self, engine: &Engine) {
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
