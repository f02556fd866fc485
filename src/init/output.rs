//! The way out: pipes of the script in, frames out, never more bytes than the run may write.
//!
//! ```text
//!  written   ├──── head ────┤├──── left out ────┤├── end ──┤
//!  passed on   as it comes     counted: LeftOut    when every process is dead
//! ```
//! The first byte that is left out stops the script; what it writes until it is dead moves the end on.

use std::collections::VecDeque;
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
use crate::protocol::init::{FromInit, OUTPUT_PIECE_BYTES_MAX};

/// Of the bytes that may pass, how many are kept for the end: a quarter,
const END_SHARE: u64 = 4;
/// but no more than this.
const END_BYTES_MAX: u64 = OUTPUT_PIECE_BYTES_MAX as u64;
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
    /// Bytes of the head that may still pass.
    head_left: u64,
    end: End,
    /// Bytes of stdout passed on.
    pub(super) stdout_bytes: u64,
    /// Bytes of stderr passed on.
    pub(super) stderr_bytes: u64,
}

/// The last that was written.
#[derive(Debug)]
struct End {
    bytes_max: usize,
    bytes: VecDeque<u8>,
    /// Whose they are, in order, and how many of each.
    spans: VecDeque<(Stream, usize)>,
    /// Bytes between the head and these.
    left_out: u64,
}

impl Outlet {
    /// Passes at most `bytes_max` of output.
    pub(super) fn new(output: File, bytes_max: u64) -> Self {
        let end_bytes = (bytes_max / END_SHARE).min(END_BYTES_MAX);
        let end = End::new(usize::try_from(end_bytes).unwrap_or(0));
        let gate = Gate { output, head_left: bytes_max - end_bytes, end, stdout_bytes: 0, stderr_bytes: 0 };
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
        let mut buffer = vec![0; OUTPUT_PIECE_BYTES_MAX];
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
        let head = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(bytes.len());
        let (head, rest) = bytes.split_at_checked(head).unwrap_or((bytes, &[]));
        self.head_left -= head.len() as u64;
        self.write_piece(head, stream);
        let was_over = self.is_over();
        self.end.push(rest, stream);
        if self.is_over() && !was_over { Passed::FirstTooMany } else { Passed::AsBefore }
    }

    /// Whether there was more than may pass.
    pub(super) fn is_over(&self) -> bool {
        self.end.left_out > 0
    }

    /// Passes on what was kept for the end. INVARIANT: every process is dead and both streams are drained.
    pub(super) fn pass_end(&mut self) {
        if self.is_over() {
            self.write(&FromInit::LeftOut(self.end.left_out));
        }
        for (stream, bytes) in self.end.take() {
            self.write_piece(&bytes, stream);
        }
    }

    fn write_piece(&mut self, bytes: &[u8], stream: Stream) {
        if bytes.is_empty() {
            return;
        }
        let count = bytes.len() as u64;
        let bytes = ByteBuf::from(bytes);
        match stream {
            Stream::Stdout => {
                self.stdout_bytes += count;
                self.write(&FromInit::Stdout(bytes));
            }
            Stream::Stderr => {
                self.stderr_bytes += count;
                self.write(&FromInit::Stderr(bytes));
            }
        }
    }
}

impl End {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: VecDeque::new(), spans: VecDeque::new(), left_out: 0 }
    }

    fn push(&mut self, bytes: &[u8], stream: Stream) {
        // What would be pushed out again at once is not taken in.
        let (over, bytes) = bytes.split_at_checked(bytes.len().saturating_sub(self.bytes_max)).unwrap_or_default();
        if !over.is_empty() {
            self.left_out += (self.bytes.len() + over.len()) as u64;
            self.bytes.clear();
            self.spans.clear();
        }
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend(bytes);
        match self.spans.back_mut() {
            Some((last, count)) if *last == stream => *count += bytes.len(),
            Some(_) | None => self.spans.push_back((stream, bytes.len())),
        }
        let over = self.bytes.len().saturating_sub(self.bytes_max);
        self.left_out += over as u64;
        self.bytes.drain(..over);
        self.shorten(over);
    }

    /// Takes bytes off the first spans.
    fn shorten(&mut self, mut over: usize) {
        while let Some((_, count)) = self.spans.front_mut().filter(|_| over > 0) {
            let off = over.min(*count);
            over -= off;
            *count -= off;
            if *count == 0 {
                self.spans.pop_front();
            }
        }
    }

    fn take(&mut self) -> Vec<(Stream, Vec<u8>)> {
        let spans = std::mem::take(&mut self.spans);
        spans.into_iter().map(|(stream, count)| (stream, self.bytes.drain(..count).collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_written_is_kept_in_order_and_the_rest_counted() {
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let mut end = End::new(6);
        for (bytes, stream) in [("ab", out), ("cd", err), ("", out), ("e", out)] {
            end.push(bytes.as_bytes(), stream);
        }
        assert_eq!(end.left_out, 0);
        end.push(b"fgh", out);
        assert_eq!(end.left_out, 2);
        assert_eq!(end.take(), [(err, b"cd".to_vec()), (out, b"efgh".to_vec())]);
        end.push(b"0123456789", err);
        assert_eq!((end.left_out, end.take()), (6, vec![(err, b"456789".to_vec())]));
        let mut nothing = End::new(0);
        nothing.push(b"abc", out);
        assert_eq!((nothing.left_out, nothing.take()), (3, vec![]));
    }

    #[test]
    fn whatever_the_pieces_the_end_is_the_end() {
        let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for size in [1, 3, 64, 65, 700] {
            let mut end = End::new(64);
            for (number, piece) in all.chunks(size).enumerate() {
                end.push(piece, if number % 3 == 0 { Stream::Stderr } else { Stream::Stdout });
            }
            let kept: Vec<u8> = end.take().into_iter().flat_map(|(_, bytes)| bytes).collect();
            assert_eq!((kept.as_slice(), end.left_out), (all.get(5000 - 64..).unwrap(), 5000 - 64), "{size}");
        }
    }
}
