//! What the control server may ask of the core: send events, read the store, watch runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc;

use crate::domain::ids::RunId;
use crate::domain::record::RunRecord;
use crate::domain::run::Stream;
use crate::engine::Event;
use crate::policy::Policy;
use crate::protocol::runner::Readiness;
use crate::runtime::link::Link;
use crate::store::Store;

/// What a watcher of a run sees, in order.
#[derive(Debug, Clone)]
pub enum News {
    /// The run as it now stands.
    Record(Box<RunRecord>),
    /// Output as it comes.
    Output(Stream, Vec<u8>),
    /// What a longer wait is for.
    Progress(String),
    /// A wish about the run came to nothing: why.
    Declined(String),
}

/// Who watches which run.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<RunId, Vec<mpsc::UnboundedSender<News>>>>);

impl Watchers {
    /// Everything that happens to `run` from now on.
    pub fn watch(&self, run: &RunId) -> mpsc::UnboundedReceiver<News> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.entry(run.clone()).or_default().push(sender);
        receiver
    }

    /// Tells those who watch `run`; those who left are forgotten.
    pub fn tell(&self, run: &RunId, news: &News) {
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(senders) = watchers.get_mut(run) {
            senders.retain(|sender| sender.send(news.clone()).is_ok());
            if senders.is_empty() {
                watchers.remove(run);
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
}

/// The core, as the control server sees it.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) store: Arc<Store>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) view: Arc<RwLock<View>>,
    pub(super) link: Link,
}

impl Handle {
    /// Hands an event to the core loop; `false` when the core is shutting down.
    pub async fn send(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Everything that happens to `run` from now on.
    pub fn watch(&self, run: &RunId) -> mpsc::UnboundedReceiver<News> {
        self.watchers.watch(run)
    }

    /// What is in force.
    pub fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
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
