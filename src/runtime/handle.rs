//! What the control server and the chats may ask of the core: send events, read the store, watch runs
//! and turns.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::{LoadErrors, PolicyTexts};
use crate::domain::ids::{CallId, PostId, RunId, TurnId};
use crate::domain::model::Delta;
use crate::domain::principal::Principal;
use crate::domain::record::RunRecord;
use crate::domain::run::Stream;
use crate::domain::time::Timestamp;
use crate::domain::turn::TurnRecord;
use crate::engine::post::Posted;
use crate::engine::{Budget, Engine, Event, ModelInUse, Stopping};
use crate::policy::Policy;
use crate::protocol::runner::Readiness;
use crate::runtime::link::Link;
use crate::runtime::models::Models;
use crate::runtime::telegram::{Desk, Posts, card_of};
use crate::store::Store;

/// What a watcher of a run or a turn sees, in order.
#[derive(Debug, Clone)]
pub enum News {
    /// The run as it now stands.
    Record(Box<RunRecord>),
    /// Output as it comes.
    Output(Stream, Vec<u8>),
    /// What a longer wait is for.
    Progress(String),
    /// The turn as it now stands.
    Turn(Box<TurnRecord>),
    /// What became of the post is on record.
    Posted(Option<Posted>),
    /// A piece of the model's reply.
    Delta(Delta),
    /// A wish about the run came to nothing: why.
    Declined(String),
    /// Whether a call that tries a model may be made.
    Tried(Result<(), String>),
}

/// Who watches which run or turn.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<String, Vec<mpsc::UnboundedSender<News>>>>);

impl Watchers {
    fn watch(&self, id: &str) -> mpsc::UnboundedReceiver<News> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of what is over nobody is told any more: who watched it is forgotten here.
        watchers.retain(|_, senders| senders.iter().any(|sender| !sender.is_closed()));
        watchers.entry(id.to_owned()).or_default().push(sender);
        receiver
    }

    /// Tells those who watch the run or turn `id`; those who left are forgotten.
    pub fn tell(&self, id: &str, news: &News) {
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(senders) = watchers.get_mut(id) {
            senders.retain(|sender| sender.send(news.clone()).is_ok());
            if senders.is_empty() {
                watchers.remove(id);
            }
        }
    }
}

/// What is in force at the moment, for readers.
#[derive(Debug, Clone)]
pub struct View {
    /// The policy.
    pub policy: Arc<Policy>,
    /// What the runner can do; `None` while it is not connected.
    pub runner: Option<Readiness>,
    /// Runs in their containers, and runs that wait for one.
    pub load: (usize, usize),
    /// Runs and turns that go on by themselves.
    pub under_way: usize,
    /// Those of them that are runs.
    pub runs_under_way: usize,
    /// Posts that are not shown yet.
    pub unsaid: usize,
    /// How far a stop has come.
    pub stopping: Stopping,
    /// The model that turns talk to.
    pub model: Option<ModelInUse>,
    /// What was spent.
    pub budget: Arc<Budget>,
}

impl View {
    pub(super) fn of(policy: Arc<Policy>, engine: &Engine, model: Option<ModelInUse>, budget: Arc<Budget>) -> Self {
        let mut view = Self {
            policy,
            runner: None,
            load: (0, 0),
            under_way: 0,
            runs_under_way: 0,
            unsaid: 0,
            stopping: Stopping::No,
            model,
            budget,
        };
        view.look_at(engine);
        view
    }

    /// Counts anew.
    pub(super) fn look_at(&mut self, engine: &Engine) {
        self.load = engine.load();
        (self.under_way, self.runs_under_way) = (engine.under_way(), engine.runs_under_way());
        (self.unsaid, self.stopping) = (engine.unsaid(), engine.stopping());
    }
}

/// The core, as the control server sees it.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) store: Arc<Store>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) view: Arc<RwLock<View>>,
    pub(super) link: Link,
    pub(super) models: Models,
    pub(super) posts: Posts,
    pub(super) desk: Desk,
    /// When this core started.
    pub(super) started: Timestamp,
    /// Cancelled when nothing new is taken any more.
    pub(super) closing: CancellationToken,
    /// Home and configuration.
    pub(super) places: Arc<(PathBuf, PathBuf)>,
}

impl Handle {
    /// Hands an event to the core loop; `false` when the core is shutting down.
    pub async fn send(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Takes nothing new from now on.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Whether nothing new is taken any more.
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Everything that happens to `run` from now on.
    pub fn watch(&self, run: &RunId) -> mpsc::UnboundedReceiver<News> {
        self.watchers.watch(run.as_str())
    }

    /// Everything that happens to `turn` and its runs from now on.
    pub fn watch_turn(&self, turn: &TurnId) -> mpsc::UnboundedReceiver<News> {
        self.watchers.watch(turn.as_str())
    }

    /// Whether a call that tries a model may be made.
    pub(super) fn watch_call(&self, call: &CallId) -> mpsc::UnboundedReceiver<News> {
        self.watchers.watch(call.as_str())
    }

    /// The providers, to try a key or list models.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Everything that becomes of a post from now on.
    pub fn watch_post(&self, post: &PostId) -> mpsc::UnboundedReceiver<News> {
        self.watchers.watch(post.as_str())
    }

    /// The Telegram side.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// A person's wish that what a run changed be taken back: its card, if one stands in a chat, is to say so.
    pub fn undo(&self, record: RunRecord, by: Principal) -> Event {
        let card = card_of(&self.store, &record).unwrap_or_else(|error| {
            tracing::error!("a card cannot be read: {error}");
            None
        });
        Event::UndoAsked { record: Box::new(record), by, card: card.map(Box::new) }
    }

    /// Reads policy and settings again; bad ones are refused, and the old ones stay.
    ///
    /// # Errors
    /// Everything that is wrong with them, for people.
    pub async fn reload(&self) -> Result<(), String> {
        let (home, config) = &*self.places;
        let policy = crate::config::load_policy(config, home).map_err(|errors| errors.to_string())?;
        self.models.reload().map_err(|error| format!("{error:#}"))?;
        let digest = policy.digest();
        if !self.send(Event::PolicyLoaded(policy.into())).await {
            return Err("Castoff is shutting down".to_owned());
        }
        tracing::info!("the configuration was loaded again: policy {digest}");
        self.models.choose();
        self.desk.changed();
        Ok(())
    }

    /// As [`Handle::reload`]; a refusal is logged, and said to the owner in chat.
    pub async fn reload_or_say(&self) {
        if let Err(why) = self.reload().await {
            tracing::error!("the old configuration stays in force: {why}");
            if !self.send(Event::PolicyRefused { why }).await {
                tracing::debug!("the core is shutting down");
            }
        }
    }

    /// The policy that these files would be here, by name; nothing comes into force.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn policy_of(&self, texts: &PolicyTexts) -> Result<Policy, LoadErrors> {
        let (home, config) = &*self.places;
        crate::config::load_policy_texts(texts, config, home)
    }

    /// What is in force.
    pub fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When this core started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The store, for reading.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The unified diff of a run's changes.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub async fn diff(&self, run: &RunId) -> Result<String, String> {
        self.link.diff(run).await
    }
}
