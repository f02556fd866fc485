//! The way out: pipes of the script in, frames out, never more bytes than the run may write.

use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_bytes::ByteBuf;

use super::script::{Event, abandon};
use crate::domain::run::Stream;
use crate::protocol::codec;
use crate::protocol::init::FromInit;

/// Bytes of output in a frame.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Bytes of a stream that are passed on after every process is dead: what the largest pipe of an
/// unprivileged user holds (pipe(7)). A holder of the pipe outside the container cannot go on for ever.
const LATE_BYTES_MAX: usize = 1 << 20;
/// How long a silent stream is waited for before the end of the run is looked at.
const PATIENCE_MS: u64 = 200;

/// The frames' way out, shared by the two streams.
#[derive(Debug)]
pub(super) struct Outlet {
    gate: Mutex<Gate>,
    dead: AtomicBool,
}

/// The output stream and how much may still pass.
#[derive(Debug)]
pub(super) struct Gate {
    output: File,
    left: u64,
    /// Bytes of stdout passed on.
    pub(super) stdout_bytes: u64,
    /// Bytes of stderr passed on.
    pub(super) stderr_bytes: u64,
    /// Whether there was more than may pass.
    pub(super) over: bool,
}

impl Outlet {
    /// Passes at most `bytes_max` of output.
    pub(super) fn new(output: File, bytes_max: u64) -> Self {
        let gate = Gate { output, left: bytes_max, stdout_bytes: 0, stderr_bytes: 0, over: false };
        Self { gate: Mutex::new(gate), dead: AtomicBool::new(false) }
    }

    /// Holds the output: no other frame goes out meanwhile.
    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every process is dead: what is in the pipes is all there will be.
    pub(super) fn all_dead(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Reads `pipe`, which does not block, to its end and passes it on.
    pub(super) fn pump(&self, mut pipe: PipeReader, stream: Stream, events: &Sender<Event>) {
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        let mut late_bytes = 0;
        while late_bytes < LATE_BYTES_MAX {
            // Looked at before reading: a pipe that is empty after the death of all stays empty.
            let dead = self.dead.load(Ordering::SeqCst);
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    late_bytes += if dead { length } else { 0 };
                    if self.gate().pass(buffer.get(..length).unwrap_or_default(), stream) == Passed::FirstTooMany {
                        events.send(Event::TooMuchOutput).ok();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !dead => wait_for(&pipe),
                Err(_) => break,
            }
        }
    }
}

/// Waits for something to read, not for long. poll(2) fails once the script has taken our descriptor limit.
fn wait_for(pipe: &PipeReader) {
    let patience = Duration::from_millis(PATIENCE_MS);
    let patience = Timespec::try_from(patience).ok();
    if poll(&mut [PollFd::new(pipe, PollFlags::IN)], patience.as_ref()).is_err() {
        std::thread::sleep(Duration::from_millis(PATIENCE_MS / 10));
    }
}

/// What became of a piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// It went out, or others before it were too many already.
    AsBefore,
    /// Its end is the first that may not pass.
    FirstTooMany,
}

impl Gate {
    /// Writes a frame; without a runner there is no run.
    pub(super) fn write(&mut self, frame: &FromInit) {
        if codec::write(&mut self.output, frame).is_err() {
            abandon();
        }
    }

    fn pass(&mut self, bytes: &[u8], stream: Stream) -> Passed {
        let may = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let passed = bytes.get(..may).unwrap_or_default();
        let count = passed.len() as u64;
        self.left -= count;
        if !passed.is_empty() {
            let bytes = ByteBuf::from(passed);
            let frame = match stream {
                Stream::Stdout => FromInit::Stdout(bytes),
                Stream::Stderr => FromInit::Stderr(bytes),
            };
            self.write(&frame);
        }
        match stream {
            Stream::Stdout => self.stdout_bytes += count,
            Stream::Stderr => self.stderr_bytes += count,
        }
        if may < bytes.len() && !self.over {
            self.over = true;
            return Passed::FirstTooMany;
        }
        Passed::AsBefore
    }
}
