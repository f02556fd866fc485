//! The core's end of the connection to the runner: kept up, told apart into events, output for
//! watchers, and answers to diffs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::domain::ids::RunId;
use crate::engine::Event;
use crate::protocol::codec::{self, FrameError};
use crate::protocol::runner::{FromRunner, Request, ToRunner};
use crate::runtime::handle::{News, Watchers};

/// Pause between two tries to connect.
const RETRY: Duration = Duration::from_millis(250);
/// How long a diff may take.
const DIFF_WAIT: Duration = Duration::from_secs(60);

type Diffs = Mutex<HashMap<RunId, Vec<oneshot::Sender<Result<String, String>>>>>;

/// Says things to the runner.
#[derive(Debug, Clone)]
pub struct Link {
    sender: mpsc::UnboundedSender<ToRunner>,
    diffs: Arc<Diffs>,
}

impl Link {
    /// A link, and the far end that [`serve`] takes.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<ToRunner>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, diffs: Arc::default() }, receiver)
    }

    /// Says something; lost when the runner is not connected, which the engine knows of.
    pub fn tell(&self, message: ToRunner) {
        drop(self.sender.send(message));
    }

    /// Asks for a diff.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub async fn diff(&self, run: &RunId) -> Result<String, String> {
        let (sender, receiver) = oneshot::channel();
        self.diffs.lock().unwrap_or_else(PoisonError::into_inner).entry(run.clone()).or_default().push(sender);
        self.tell(ToRunner::Diff { run: run.clone() });
        match tokio::time::timeout(DIFF_WAIT, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the runner went away; try again".to_owned()),
            Err(_) => Err("the runner did not answer in time; `castoff status` says more".to_owned()),
        }
    }

    fn answer(&self, run: &RunId, answer: &Result<String, String>) {
        let waiting = self.diffs.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        for sender in waiting.into_iter().flatten() {
            // Whoever asked may have left.
            drop(sender.send(answer.clone()));
        }
    }

    fn forget_diffs(&self) {
        self.diffs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What the link's task works with.
#[derive(Debug)]
pub struct Wires {
    /// The runner's socket.
    pub socket: PathBuf,
    /// What the core says.
    pub outgoing: mpsc::UnboundedReceiver<ToRunner>,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
    /// Who sees output and progress.
    pub watchers: Arc<Watchers>,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// Keeps the connection up until told to stop.
pub async fn serve(link: Link, mut wires: Wires) {
    while !wires.stop.is_cancelled() {
        if let Ok(stream) = UnixStream::connect(&wires.socket).await {
            // What was said meanwhile went nowhere, and the engine asks again once the runner is ready.
            while wires.outgoing.try_recv().is_ok() {}
            if let Err(error) = talk(&link, &mut wires, stream).await {
                tracing::warn!("the runner's connection ended: {error}");
            }
            link.forget_diffs();
            if wires.events.send(Event::RunnerGone).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = wires.stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

async fn talk(link: &Link, wires: &mut Wires, stream: UnixStream) -> Result<(), FrameError> {
    let (mut reading, mut writing) = stream.into_split();
    let (sender, mut incoming) = mpsc::channel(64);
    // A task of its own, since a frame that is half read must not be dropped by `select`.
    let reader = async move {
        while let Some(message) = codec::receive::<FromRunner>(&mut reading).await? {
            if sender.send(message).await.is_err() {
                break;
            }
        }
        Ok::<(), FrameError>(())
    };
    let exchange = async {
        loop {
            tokio::select! {
                () = wires.stop.cancelled() => return Ok(()),
                message = incoming.recv() => match message {
                    None => return Ok(()),
                    Some(message) => hear(link, &wires.events, &wires.watchers, message).await,
                },
                message = wires.outgoing.recv() => match message {
                    None => return Ok(()),
                    Some(message) => codec::send(&mut writing, &message).await?,
                },
            }
        }
    };
    tokio::pin!(reader);
    tokio::pin!(exchange);
    tokio::select! {
        ended = &mut exchange => ended,
        ended = &mut reader => {
            // What was read before the end still counts.
            let rest = exchange.await;
            ended.and(rest)
        }
    }
}

async fn hear(link: &Link, events: &mpsc::Sender<Event>, watchers: &Watchers, message: FromRunner) {
    match &message {
        FromRunner::Output { run, stream, bytes } => {
            watchers.tell(run.as_str(), &News::Output(*stream, bytes.to_vec()));
        }
        FromRunner::Progress { run: Some(run), text } => watchers.tell(run.as_str(), &News::Progress(text.clone())),
        FromRunner::Diffed { run, text } => link.answer(run, &Ok(text.clone())),
        FromRunner::Trouble { run, request: Request::Diff, fault: _, why } => link.answer(run, &Err(why.clone())),
        FromRunner::Ready(_)
        | FromRunner::Progress { run: None, .. }
        | FromRunner::Surveyed { .. }
        | FromRunner::Started { .. }
        | FromRunner::Ended { .. }
        | FromRunner::Applied { .. }
        | FromRunner::Undone { .. }
        | FromRunner::Dropped { .. }
        | FromRunner::Recalled { .. }
        | FromRunner::Trouble { .. } => {}
    }
    if events.send(Event::Runner(message)).await.is_err() {
        tracing::debug!("the core is shutting down");
    }
}
