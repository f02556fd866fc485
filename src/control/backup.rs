//! `POST /backup`: a backup of the store, streamed to its owner. The copy is complete before the first
//! byte leaves, so that a slow reader holds nobody up.

use std::io::{BufWriter, Error, ErrorKind, Result as IoResult, Write};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;

use super::server::{Caller, Problem, owner_only};
use crate::runtime::backup;
use crate::runtime::handle::Handle;
use crate::store::Snapshot;

/// Bytes sent in one piece,
const PIECE_BYTES: usize = 256 << 10;
/// and how many pieces may wait for the reader.
const PIECES_WAITING_MAX: usize = 4;

pub(super) async fn make(State(handle): State<Handle>, Caller(caller): Caller) -> Result<Response, Problem> {
    owner_only(&caller, "makes backups")?;
    let store = handle.store();
    let snapshot = tokio::task::spawn_blocking(move || backup::snapshot(&store, Some(&caller)))
        .await
        .map_err(|error| Problem::new(70, format!("the backup failed: {error}")))?
        .map_err(|error| Problem::new(74, error.explained()))?;
    let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    tokio::task::spawn_blocking(move || send(snapshot, &sender));
    let pieces = futures_util::stream::unfold(pieces, async |mut pieces: mpsc::Receiver<IoResult<Bytes>>| {
        Some((pieces.recv().await?, pieces))
    });
    Ok(Body::from_stream(pieces).into_response())
}

fn send(snapshot: Snapshot, to: &mpsc::Sender<IoResult<Bytes>>) {
    if let Err(error) = snapshot.write_to(BufWriter::with_capacity(PIECE_BYTES, Pieces(to))) {
        // The reader is told by a stream that breaks off; when it left, there is nobody to tell.
        drop(to.blocking_send(Err(error)));
    }
}

struct Pieces<'a>(&'a mpsc::Sender<IoResult<Bytes>>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let gone = |_unsent| Error::new(ErrorKind::BrokenPipe, "the reader left");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}
