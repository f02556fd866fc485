//! The core loop: takes the events that wait, steps the engine, commits all records in one
//! transaction, then starts the effects.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::record::{AuditEntry, Record};
use crate::engine::{Effect, Engine, Event, Step};
use crate::protocol::runner::ToRunner;
use crate::runtime::clock;
use crate::runtime::handle::{Handle, News, View, Watchers};
use crate::runtime::link::{self, Link, Wires};
use crate::store::Store;

/// Events taken into one transaction.
const BATCH: usize = 256;
/// How often output is put on record and questions are looked through.
const TICK: Duration = Duration::from_secs(1);

/// Opens the store, recovers, and starts the loop and the link to the runner.
///
/// # Errors
/// A bad policy, a store that cannot be opened, a first commit that fails.
pub fn start(home: &Path, config: &Path, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<Handle> {
    let policy = Arc::new(crate::config::load_policy(config, home)?);
    let store = Arc::new(Store::open(&home.join("state/core")).context("failed to open the store")?);
    let open = store.open_runs()?;
    let pending = store.approvals(true)?;
    let input = |run: &crate::domain::ids::RunId| store.input(run).ok().flatten();
    let now = clock::now();
    let (engine, mut first) = Engine::recover(Arc::clone(&policy), open, pending, input, now);
    let detail = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "policy": policy.digest().to_string() });
    let started = AuditEntry { at: now, person: None, trust: None, what: "core.started", run: None, detail };
    first.records.push(Record::Audit(started));
    store.commit(&first.records).context("failed to write to the store")?;

    let (sender, events) = mpsc::channel(1024);
    let (link, outgoing) = Link::new();
    let watchers = Arc::new(Watchers::default());
    let view = Arc::new(RwLock::new(View { policy, runner: None, load: engine.load() }));
    let handle = Handle { events: sender.clone(), store, watchers: Arc::clone(&watchers), view, link: link.clone() };
    let wires = Wires { socket: runner_socket(home), outgoing, events: sender.clone(), watchers, stop: stop.clone() };
    tasks.spawn(link::serve(link, wires));
    tasks.spawn(tick(sender, stop.clone()));
    let looped = Loop { engine, handle: handle.clone() };
    let stopped = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = looped.run(first, events, &stopped).await {
            tracing::error!("the core stops: {error:#}");
        }
        // Without the loop nothing may go on.
        stopped.cancel();
    });
    Ok(handle)
}

/// The runner's socket below `home`.
pub fn runner_socket(home: &Path) -> PathBuf {
    home.join("run/runner/runner.sock")
}

async fn tick(events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => if events.send(Event::Tick).await.is_err() { return },
        }
    }
}

struct Loop {
    engine: Engine,
    handle: Handle,
}

impl Loop {
    async fn run(
        mut self,
        first: Step,
        mut events: mpsc::Receiver<Event>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        self.perform(first.effects);
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                count = events.recv_many(&mut batch, BATCH) => if count == 0 { return Ok(()) },
            }
            let (mut records, mut effects) = (Vec::new(), Vec::new());
            for event in batch {
                let step = self.engine.step(event, clock::now());
                records.extend(step.records);
                effects.extend(step.effects);
            }
            self.commit(records).await?;
            self.publish();
            self.perform(effects);
        }
    }

    /// INVARIANT: no audit record, no action: a commit that fails ends the core before any effect.
    async fn commit(&self, records: Vec<Record>) -> anyhow::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.handle.store);
        tokio::task::spawn_blocking(move || store.commit(&records)).await?.context("failed to write to the store")
    }

    fn publish(&self) {
        let mut view = self.handle.view.write().unwrap_or_else(PoisonError::into_inner);
        view.policy = Arc::clone(self.engine.policy());
        view.runner = self.engine.readiness().cloned();
        view.load = self.engine.load();
    }

    fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(message) => self.handle.link.tell(message),
                Effect::Run { run, launch, stdin } => {
                    let (plan, digest) = launch.into_parts();
                    let stdin = ByteBuf::from(stdin);
                    self.handle.link.tell(ToRunner::Run { run, plan: Box::new(plan), digest, stdin });
                }
                Effect::Show(record) => {
                    let run = record.run.clone();
                    self.handle.watchers.tell(&run, &News::Record(record));
                }
                Effect::Decline { run, why } => self.handle.watchers.tell(&run, &News::Declined(why)),
            }
        }
    }
}
