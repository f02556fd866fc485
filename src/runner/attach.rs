//! The attached streams of a container: frames out of its standard output, frames into its standard
//! input, and the last of its standard error for the message when it fails.
//!
//! Attached before the start, so that nothing is missed. Bytes are taken as they come: the engine cuts
//! them anywhere, and nothing here looks into them.

use std::fmt;
use std::pin::Pin;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use bytes::BytesMut;
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWrite;

use crate::protocol::codec::{self, FrameError};

/// How much of the standard error is kept.
const COMPLAINT_BYTES_MAX: usize = 4096;

/// The standard input of a container; shut down, it ends.
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Both directions.
pub(super) struct Attached {
    /// To its standard input.
    pub(super) input: Input,
    /// From its standard output.
    pub(super) frames: Frames,
}

/// Frames out of a container's standard output.
pub(super) struct Frames {
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, EngineError>> + Send>>,
    buffer: BytesMut,
    frame_bytes_max: usize,
    complaint: String,
}

/// Attaches to a container that was created and not started. A frame of more than `frame_bytes_max` bytes out of
/// it is an error.
pub(super) async fn attach(docker: &Docker, container: &str, frame_bytes_max: usize) -> Result<Attached, EngineError> {
    let options = AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true).stream(true).build();
    let streams = docker.attach_container(container, Some(options)).await?;
    let frames = Frames { output: streams.output, buffer: BytesMut::new(), frame_bytes_max, complaint: String::new() };
    Ok(Attached { input: streams.input, frames })
}

impl Frames {
    /// The next frame; `None` when the container's output ended between two frames.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(frame) = codec::take(&mut self.buffer, self.frame_bytes_max)? {
                return Ok(Some(frame));
            }
            match self.output.next().await {
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    self.buffer.extend_from_slice(&message);
                }
                Some(Ok(LogOutput::StdErr { message })) => self.complain(&message),
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(error)) => return Err(FrameError::Io(std::io::Error::other(error))),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// The last that the container said on its standard error, in one line.
    pub(super) fn complaint(&self) -> &str {
        self.complaint.trim()
    }

    fn complain(&mut self, bytes: &[u8]) {
        self.complaint.extend(String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }));
        let surplus = self.complaint.len().saturating_sub(COMPLAINT_BYTES_MAX);
        let start = (surplus..=self.complaint.len()).find(|at| self.complaint.is_char_boundary(*at)).unwrap_or(0);
        self.complaint.drain(..start);
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}
