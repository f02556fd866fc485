//! The client of the control socket.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::Failure;
use tokio_util::task::TaskTracker;

/// Why a request came to nothing: exit code and text.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// Exit code of the command (DESIGN section 11).
    pub code: u8,
    /// For people.
    pub why: String,
}

/// One connection to the core.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to the core at `home`.
    ///
    /// # Errors
    /// [`Refused`] with code 69 when nothing listens there.
    pub async fn connect(home: &Path) -> anyhow::Result<Self> {
        let socket = home.join("run/control/castoff.sock");
        let stream = tokio::net::UnixStream::connect(&socket).await.map_err(|error| Refused {
            code: 69,
            why: format!(
                "Castoff does not run: nothing answers at `{}` ({error})\n\
                 hint: `make up` starts it, or `castoff serve` on a bare host; --home says where it lives",
                socket.display()
            ),
        })?;
        let (sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the control connection ended: {error}");
            }
        });
        Ok(Self { sender })
    }

    async fn request(&mut self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "castoff")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = self.sender.send_request(request).await.context("the connection to Castoff broke")?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match serde_json::from_slice::<Failure>(&body) {
            Ok(Failure { code, why }) => Err(Refused { code, why }.into()),
            Err(_) => Err(anyhow!("Castoff answered {status}: {}", String::from_utf8_lossy(&body))),
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`Refused`] when the core says no; else what broke.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        let response = self.request(Method::GET, path, Vec::new()).await?;
        Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let response = self.request(Method::POST, path, serde_json::to_vec(body)?).await?;
        Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
    }

    /// As [`Client::post`], without waiting for what follows.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn open(&mut self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        self.request(Method::POST, path, serde_json::to_vec(body)?).await.map(drop)
    }

    /// As [`Client::post`], for a stream of bytes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn bytes(mut self, path: &str) -> anyhow::Result<Pieces> {
        let response = self.request(Method::POST, path, Vec::new()).await?;
        Ok(Pieces { body: response.into_body(), _connection: self.sender })
    }

    /// As [`Client::post`] (with a body) or [`Client::get`] (without), for a stream of lines.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn lines(mut self, path: &str, body: Option<&impl Serialize>) -> anyhow::Result<Lines> {
        let response = match body {
            Some(body) => self.request(Method::POST, path, serde_json::to_vec(body)?).await?,
            None => self.request(Method::GET, path, Vec::new()).await?,
        };
        Ok(Lines { pieces: Pieces { body: response.into_body(), _connection: self.sender }, rest: Vec::new() })
    }
}

/// A stream of bytes.
#[derive(Debug)]
pub struct Pieces {
    body: Incoming,
    // The connection ends when its sender is dropped.
    _connection: SendRequest<Full<Bytes>>,
}

impl Pieces {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// A connection that broke before the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(bytes) = frame.context("the connection to Castoff broke")?.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// A stream of JSON lines.
#[derive(Debug)]
pub struct Lines {
    pieces: Pieces,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// A connection that broke, or a line that is none.
    pub async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.pieces.next().await? {
                None => return Ok(None),
                Some(bytes) => self.rest.extend_from_slice(&bytes),
            }
        }
    }
}
