//! What the runner's parts share: the engine, the journal, the probes, the live runs. Owned by one
//! [`Runner`]; nothing in it survives the process but the journal.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::disk::Disk;
use super::engine::Built;
use super::harden::LABEL_HOME;
use super::journal::Journal;
use super::keeper::Keepers;
use super::rules::{self, Rules};
use super::{RunnerPlaces, engine, probe};
use crate::domain::ids::{RunId, WorkspaceId};
use crate::domain::run::StopCause;
use crate::domain::time::Timestamp;
use crate::protocol::init::Probed;
use crate::protocol::runner::{FromRunner, Readiness};

/// How long is waited for the removal of a run's container, which is tried until it succeeds.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(60);

/// An engine that answers, and what was built on it.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    /// The connection.
    pub(super) docker: Docker,
    /// Images and the volume with castoff-init.
    pub(super) built: Built,
    /// For `status`.
    pub(super) facts: Vec<(String, String)>,
    /// What all runs together may use.
    pub(super) machine: Machine,
    /// Walls that it does not have, for people.
    pub(super) missing: Vec<String>,
}

/// What the engine's machine has for all runs together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// Memory, in bytes: most of what there is.
    pub(super) memory_bytes: u64,
    /// Processes and threads: half of what the kernel can have.
    pub(super) processes: u64,
}

/// A run that is under way, or whose container is being removed.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// Asks it to stop.
    pub(super) stops: mpsc::Sender<StopCause>,
    /// Its memory limit, for the sum over all live runs. The processor is shared by weight instead, and the
    /// disk has its reserve.
    pub(super) memory_bytes: u64,
    /// Its limit on processes, likewise.
    pub(super) pids: u32,
    /// Cancelled once its end was told.
    pub(super) over: CancellationToken,
    /// Cancelled once its container is gone.
    pub(super) removed: CancellationToken,
}

/// The shared state.
#[derive(Debug)]
pub(super) struct Runner {
    /// Where everything is.
    pub(super) places: RunnerPlaces,
    /// Which runs began.
    pub(super) journal: Mutex<Journal>,
    /// Directories that were probed and found fit.
    pub(super) probes: Mutex<HashMap<PathBuf, Probed>>,
    /// One keeper for each workspace.
    pub(super) keepers: Keepers,
    /// Runs under way.
    pub(super) live: Mutex<HashMap<RunId, Live>>,
    /// Overlays without changes that are on their way out: nothing more is asked about them.
    pub(super) leaving: Mutex<HashSet<(RunId, PathBuf)>>,
    /// Every task.
    pub(super) tracker: TaskTracker,
    /// The end of the runner.
    pub(super) stop: CancellationToken,
    readiness: watch::Sender<Readiness>,
    news: tokio::sync::broadcast::Sender<String>,
    engine: Mutex<Option<Engine>>,
    /// The last policy without a mistake.
    last_rules: Mutex<Option<Rules>>,
}

/// Locks; a panic elsewhere while it was held leaves nothing half-done here.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// A runner that has not met its engine yet.
    pub(super) fn new(places: RunnerPlaces, journal: Journal) -> Self {
        let (files_uid, files_gid) = rules::kept_files_owner(&places).unwrap_or(rules::FILES_OWNER_DEFAULT);
        Self {
            journal: Mutex::new(journal),
            probes: Mutex::default(),
            keepers: Keepers::default(),
            live: Mutex::default(),
            leaving: Mutex::default(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            readiness: watch::Sender::new(engine::starting(files_uid, files_gid)),
            news: tokio::sync::broadcast::Sender::new(64),
            engine: Mutex::default(),
            last_rules: Mutex::new(rules::read(&places).ok()),
            places,
        }
    }

    /// The time of the clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_ms((self.places.clock)() / 1_000_000)
    }

    /// Value of the label on all that is this installation's.
    pub(super) fn home_label(&self) -> String {
        self.places.home.display().to_string()
    }

    /// The labels of what is this installation's and no run's.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        [(LABEL_HOME.to_owned(), self.home_label())].into()
    }

    /// `state/runner`.
    pub(super) fn state(&self) -> PathBuf {
        self.places.home.join("state/runner")
    }

    /// `state/runner/overlays/WORKSPACE`.
    pub(super) fn overlays(&self, workspace: &Path) -> PathBuf {
        self.state().join("overlays").join(WorkspaceId::of(workspace).as_str())
    }

    /// `state/keeper/WORKSPACE`.
    pub(super) fn keeper_state(&self, workspace: &Path) -> PathBuf {
        self.places.home.join("state/keeper").join(WorkspaceId::of(workspace).as_str())
    }

    /// The engine, or why there is none, for people.
    pub(super) fn engine(&self) -> Result<Engine, String> {
        let engine = locked(&self.engine).clone();
        engine.ok_or_else(|| self.readiness.borrow().problems.join("; "))
    }

    /// What all runs together may use.
    pub(super) fn machine(&self) -> Machine {
        let unknown = Machine { memory_bytes: u64::MAX, processes: u64::MAX };
        locked(&self.engine).as_ref().map_or(unknown, |engine| engine.machine)
    }

    /// The policy as it is now; while its files are wrong the one before, as in the core. The error, when
    /// there is none, is for people.
    pub(super) fn rules(&self) -> Result<Rules, String> {
        let mut last = locked(&self.last_rules);
        match rules::read(&self.places) {
            Ok(rules) => {
                *last = Some(rules.clone());
                Ok(rules)
            }
            Err(why) => last.clone().ok_or(why),
        }
    }

    /// User and group id of people's files.
    pub(super) fn files_owner(&self) -> (u32, u32) {
        let readiness = self.readiness.borrow();
        (readiness.files_uid, readiness.files_gid)
    }

    /// Follows the readiness.
    pub(super) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// Follows what the runner is doing.
    pub(super) fn news(&self) -> tokio::sync::broadcast::Receiver<String> {
        self.news.subscribe()
    }

    /// Says what takes long.
    pub(super) fn tell(&self, text: &str) {
        tracing::info!("{text}");
        // Without a connection nobody listens.
        drop(self.news.send(text.to_owned()));
    }

    /// The engine answers, and runs can start in the images that are built.
    pub(super) async fn become_ready(&self, engine: Engine) {
        let (files_uid, files_gid) = probe::files_owner(self, &engine).await;
        let images = engine.built.images.clone();
        let facts = engine.facts.clone();
        *locked(&self.engine) = Some(engine);
        let (problems, no_room) = (self.problems(), self.no_room());
        let ready =
            Readiness { images, engine: facts, problems, no_room, files_uid, files_gid, ..Readiness::default() };
        self.readiness.send_replace(ready);
    }

    /// Looks again whether a run could start, where the engine answers.
    pub(super) fn look_again(&self) {
        let (problems, no_room) = (self.problems(), self.no_room());
        self.readiness.send_if_modified(|ready| {
            let is_news = (&ready.problems, &ready.no_room) != (&problems, &no_room);
            (ready.problems, ready.no_room) = (problems, no_room);
            is_news
        });
    }

    /// Without a policy nothing runs, and nothing that ran is read. Once there was one without a mistake, that counts.
    fn problems(&self) -> Vec<String> {
        if locked(&self.last_rules).is_some() {
            return Vec::new();
        }
        self.rules().err().into_iter().collect()
    }

    fn no_room(&self) -> Option<Box<str>> {
        Disk::look(&self.state())
            .map_err(|error| error.to_string())
            .and_then(|disk| disk.room())
            .err()
            .map(String::into_boxed_str)
    }

    /// Runs start, but something is not as it should be.
    pub(super) fn warn(&self, warning: String) {
        self.readiness.send_modify(|ready| ready.warnings = vec![warning]);
    }

    /// No run can start, and why.
    pub(super) fn become_unready(&self, problem: String) {
        *locked(&self.engine) = None;
        self.readiness.send_modify(|ready| {
            ready.problems = vec![problem];
            ready.warnings.clear();
        });
    }

    /// The live run of this id.
    pub(super) fn live(&self, run: &RunId) -> Option<Live> {
        locked(&self.live).get(run).cloned()
    }

    /// Runs that are not over.
    pub(super) fn under_way(&self) -> HashSet<String> {
        let live = locked(&self.live);
        live.iter().filter(|(_, live)| !live.over.is_cancelled()).map(|(run, _)| run.to_string()).collect()
    }

    /// Returns once the container of a run is gone. The error is for people.
    pub(super) async fn container_gone(&self, run: &RunId) -> Result<(), String> {
        let Some(live) = self.live(run) else { return Ok(()) };
        let gone = tokio::time::timeout(REMOVAL_TIME_MAX, live.removed.cancelled()).await;
        gone.map_err(|_late| format!("the engine has not removed the container of run {run} yet; try again later"))
    }
}

/// The connection that a request came over.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// To the other side; what is sent after its end is lost.
    pub(super) out: mpsc::Sender<FromRunner>,
    /// Cancelled at its end.
    pub(super) gone: CancellationToken,
}

impl Link {
    /// Sends; waits while the other side is slow.
    pub(super) async fn send(&self, message: FromRunner) {
        // The end of the connection is noticed by its reader.
        drop(self.out.send(message).await);
    }
}
