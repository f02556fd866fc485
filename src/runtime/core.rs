//! The core loop: takes the events that wait, steps the engine, commits all records in one
//! transaction, then starts the effects.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::anyhow;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::crash::{self, Point};
use crate::domain::ids::{PersonId, RunId};
use crate::domain::money::Money;
use crate::domain::record::{AuditEntry, Record};
use crate::domain::turn::PostState;
use crate::engine::{Budget, Effect, Engine, Event, Past, Step};
use crate::protocol::runner::{FromRunner, ToRunner};
use crate::runtime::clock;
use crate::runtime::handle::{Handle, News, View, Watchers};
use crate::runtime::link::{self, Link, Wires};
use crate::runtime::models::{self, Models, Reports};
use crate::runtime::telegram::{self, Desk, Posts};
use crate::runtime::watch;
use crate::store::{Store, StoreError};

/// Events taken into one transaction.
const BATCH: usize = 256;
/// How often output is put on record and questions are looked through.
const TICK: Duration = Duration::from_secs(1);

/// The loop under way; it gives why it ended before it was told to.
pub type Looping = JoinHandle<anyhow::Result<()>>;

/// Opens the store, recovers, and starts the loop and the link to the runner.
///
/// # Errors
/// A bad policy, a store that cannot be opened, a first commit that fails.
pub fn start(
    home: &Path,
    config: &Path,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<(Handle, Looping)> {
    // Before it is loaded: what changes meanwhile is loaded again.
    let seen = watch::look(config);
    let policy = Arc::new(crate::config::load_policy(config, home)?);
    let store = Store::open(&home.join("state/core"));
    let store = Arc::new(store.map_err(|error| anyhow!("failed to open the store: {}", error.explained()))?);
    let (sender, events) = mpsc::channel(1024);
    let watchers = Arc::new(Watchers::default());
    let reports = Reports { events: sender.clone(), watchers: Arc::clone(&watchers), tasks: tasks.clone() };
    let models = Models::new(config.to_path_buf(), Arc::clone(&store), reports)?;
    let now = clock::now();
    let (approvals, turns, runs) = (store.approvals(true)?, store.open_turns()?, store.open_runs()?);
    let past = Past {
        posts: telegram::open_posts(&store, &policy, &approvals, &turns, &runs)?,
        runs,
        approvals,
        turns,
        conversations: store.conversations()?,
        ledger: store.ledger(Budget::ledger_since(&policy.terms().zone, now))?,
        input: &|run| store.input(run).ok().flatten(),
        read: &models::read,
        model: models.chosen()?,
        learned: store.learned()?,
        daily_budgets: store.daily_budgets()?.into_iter().filter_map(daily_budget).collect(),
        restored: store.was_just_restored()?,
    };
    let (engine, mut first) = Engine::recover(Arc::clone(&policy), crate::tools::specs(), past, now);
    let detail = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "policy": policy.digest().to_string() });
    let started = AuditEntry { at: now, person: None, trust: None, what: "core.started", run: None, detail };
    first.records.push(Record::Audit(started));
    store.commit(&first.records).map_err(|error| unwritten(&error))?;

    let (link, outgoing) = Link::new();
    let (posts, wakes) = Posts::new();
    let budget = Arc::new(engine.budget().clone());
    let model = engine.model().cloned();
    let view = Arc::new(RwLock::new(View::of(policy, &engine, model, budget)));
    let handle = Handle {
        events: sender.clone(),
        store,
        watchers: Arc::clone(&watchers),
        view,
        link: link.clone(),
        models: models.clone(),
        posts,
        desk: Desk::default(),
        started: now,
        closing: CancellationToken::new(),
        places: Arc::new((home.to_path_buf(), config.to_path_buf())),
    };
    tasks.spawn(telegram::serve(handle.clone(), wakes, stop.clone()));
    tasks.spawn(watch::serve(handle.clone(), config.to_path_buf(), seen, stop.clone()));
    models.choose();
    let wires = Wires { socket: runner_socket(home), outgoing, events: sender.clone(), watchers, stop: stop.clone() };
    tasks.spawn(link::serve(link, wires));
    tasks.spawn(tick(sender, stop.clone()));
    let looped = Loop { engine, handle: handle.clone() };
    let stopped = stop.clone();
    let looping = tasks.spawn(async move {
        let ended = looped.run(first, events, &stopped).await;
        if let Err(error) = &ended {
            tracing::error!("the core stops: {error:#}");
        }
        // Without the loop nothing may go on.
        models.cancel_all();
        stopped.cancel();
        ended
    });
    Ok((handle, looping))
}

fn unwritten(error: &StoreError) -> anyhow::Error {
    anyhow!("failed to write to the store: {}", error.explained())
}

/// A daily budget as the store keeps it; `None` when it is none.
pub(crate) fn daily_budget((provider, micros): (String, String)) -> Option<(String, Money)> {
    Some((provider, Money::from_micros(micros.parse().ok()?)))
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

/// An event that is not on record yet.
fn before(event: &Event) {
    if let Event::Runner(FromRunner::Applied { .. }) = event {
        crash::point(Point::LandingNotCommitted);
    }
    // The second one of a run; what comes of the first is the question itself.
    if let Event::Runner(FromRunner::Surveyed { .. }) = event {
        crash::point(Point::TappedNotRedeemed);
    }
}

/// An effect whose cause is on record.
fn on_record(effect: &Effect) {
    if let Effect::Run { .. } = effect {
        crash::point(Point::IntentCommitted);
    }
    if let Effect::CallModel(_) = effect {
        crash::point(Point::ReservedNotCalled);
    }
}

/// Tells operators what is on record: what happened and to which ids. What stands in its details may be somebody's words.
fn log(record: &Record) {
    let Record::Audit(AuditEntry { what, person, run, detail, .. }) = record else { return };
    let text = |name: &str| detail.get(name).and_then(|value| value.as_str());
    let (run, person) = (run.as_ref().map(RunId::as_str), person.as_ref().map(PersonId::as_str));
    let (turn, plan, call) = (text("turn"), text("digest"), text("call"));
    if what.starts_with("post.") {
        return tracing::debug!(person, "{what}");
    }
    tracing::info!(run, plan, turn, call, person, "{what}");
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
                before(&event);
                if self.was_asked(&event) {
                    continue;
                }
                let step = self.engine.step(event, clock::now());
                records.extend(step.records);
                effects.extend(step.effects);
            }
            let spent = records.iter().any(|record| matches!(record, Record::Ledger(_) | Record::Setting { .. }));
            self.commit(records).await?;
            self.publish(spent);
            effects.iter().for_each(on_record);
            self.perform(effects);
        }
    }

    /// INVARIANT: what is on record of a run is never written over by a wish for the same run, which comes again
    /// with its message after a crash. Whoever asks again is shown what is on record.
    fn was_asked(&self, event: &Event) -> bool {
        let (Event::Asked(ask) | Event::AskedIn { ask, .. }) = event else { return false };
        let run = &ask.ids.run;
        let effect = match self.handle.store.run(run) {
            Ok(None) => return false,
            Ok(Some(record)) => Effect::Show(Box::new(record)),
            Err(error) => Effect::Decline { run: run.clone(), why: format!("it cannot be read: {error}") },
        };
        self.perform(vec![effect]);
        true
    }

    /// INVARIANT: no audit record, no action: a commit that fails ends the core before any effect.
    async fn commit(&self, records: Vec<Record>) -> anyhow::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.handle.store);
        let kept = tokio::task::spawn_blocking(move || {
            store.commit(&records)?;
            records.iter().for_each(log);
            Ok::<(), StoreError>(())
        });
        kept.await?.map_err(|error| unwritten(&error))
    }

    fn publish(&self, spent: bool) {
        let mut view = self.handle.view.write().unwrap_or_else(PoisonError::into_inner);
        view.runner = self.engine.readiness().cloned();
        view.look_at(&self.engine);
        view.model = self.engine.model().cloned();
        if spent || !Arc::ptr_eq(view.policy.terms(), self.engine.policy().terms()) {
            view.budget = Arc::new(self.engine.budget().clone());
        }
        view.policy = Arc::clone(self.engine.policy());
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
                    let (run, turn) = (record.run.clone(), record.turn.clone());
                    let news = News::Record(record);
                    self.handle.watchers.tell(run.as_str(), &news);
                    self.handle.watchers.tell(turn.as_str(), &news);
                }
                Effect::CallModel(request) => self.handle.models.call(*request),
                Effect::CancelModel(call) => self.handle.models.cancel(&call),
                Effect::ShowTurn(record) => {
                    let turn = record.turn.clone();
                    self.handle.watchers.tell(turn.as_str(), &News::Turn(record));
                }
                Effect::Post { post, reported } => {
                    self.handle.watchers.tell(post.post.as_str(), &News::Posted(reported));
                    if post.state == PostState::Waiting {
                        self.handle.posts.wake(post.post);
                    }
                }
                Effect::Tried { call, may } => self.handle.watchers.tell(call.as_str(), &News::Tried(may)),
                Effect::SettingsChanged => {
                    self.handle.models.choose();
                    self.handle.desk.changed();
                }
                Effect::Inform { id, text } => self.handle.watchers.tell(&id, &News::Progress(text)),
                Effect::Decline { run, why } => self.handle.watchers.tell(run.as_str(), &News::Declined(why)),
            }
        }
    }
}
