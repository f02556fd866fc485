//! Any bytes where a frame is expected: a message or an error, in little memory, and the same whoever reads it.

use std::fmt::Debug;

use bytes::BytesMut;
use castoff::protocol::codec::{self, FRAME_BYTES_MAX, FrameError, INIT_FRAME_BYTES_MAX};
use castoff::protocol::init::{FileOrder, FromInit, ToInit};
use castoff::protocol::keeper::{FromKeeper, ToKeeper};
use castoff::protocol::runner::{FromRunner, ToRunner};
use futures_util::FutureExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MEMORY;

/// What reading may take besides the input, in bytes: serde reserves at most a mebibyte for a sequence before it
/// has seen its elements.
const RESERVED_BYTES_MAX: usize = 8 << 20;
/// What a byte of input may become: an empty text takes 24 in memory, a vector grows by doubling, and there are
/// three readers.
const BYTES_PER_BYTE_MAX: usize = 256;

/// Frames between core and runner: the first byte of `data` says to whom, the second whether a length is put before the
/// others. Likewise the others.
pub fn runner_frames(data: &[u8]) {
    let Some((to, stream)) = stream(data) else { return };
    match to % 2 {
        0 => check::<ToRunner>(&stream, FRAME_BYTES_MAX),
        _ => check::<FromRunner>(&stream, FRAME_BYTES_MAX),
    }
}

/// Frames between runner and castoff-init, and what castoff-init tells its own child.
pub fn init_frames(data: &[u8]) {
    let Some((to, stream)) = stream(data) else { return };
    match to % 3 {
        0 => check::<ToInit>(&stream, FRAME_BYTES_MAX),
        1 => check::<FromInit>(&stream, INIT_FRAME_BYTES_MAX),
        _ => check::<FileOrder>(&stream, FRAME_BYTES_MAX),
    }
}

/// Frames between runner and keeper.
pub fn keeper_frames(data: &[u8]) {
    let Some((to, stream)) = stream(data) else { return };
    match to % 2 {
        0 => check::<ToKeeper>(&stream, FRAME_BYTES_MAX),
        _ => check::<FromKeeper>(&stream, FRAME_BYTES_MAX),
    }
}

fn stream(data: &[u8]) -> Option<(u8, Vec<u8>)> {
    let [to, how, rest @ ..] = data else { return None };
    let mut stream = Vec::new();
    if how % 2 == 0 {
        stream.extend_from_slice(&u32::try_from(rest.len()).unwrap().to_le_bytes());
    }
    stream.extend_from_slice(rest);
    Some((*to, stream))
}

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(stream: &[u8], bytes_max: usize) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let read = all(&mut { stream }, |input| codec::read::<T>(input));
    let received = all(&mut { stream }, |input| codec::receive::<T>(input).now_or_never().unwrap());
    assert_eq!(read, received, "one stream, two messages");
    let taken = all(&mut BytesMut::from(stream), |buffer| codec::take::<T>(buffer, bytes_max));
    let taken_before = MEMORY.peak_usage() - before;
    let most = RESERVED_BYTES_MAX + BYTES_PER_BYTE_MAX * stream.len();
    assert!(taken_before <= most, "{} bytes of input took {taken_before} bytes of memory", stream.len());
    // The end of a buffer is none of the stream.
    assert_eq!(taken.0, read.0, "one buffer, two messages");
    for message in read.0 {
        let frame = codec::encode(&message).unwrap();
        assert_eq!(codec::read::<T>(&mut frame.as_slice()).unwrap(), Some(message), "a frame came back changed");
    }
}

/// The messages of `input` up to its end or the first mistake, and whether it was a mistake of length or content.
fn all<T, I>(input: &mut I, next: impl Fn(&mut I) -> Result<Option<T>, FrameError>) -> (Vec<T>, bool) {
    let mut messages = Vec::new();
    loop {
        match next(input) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) | Err(FrameError::Io(_)) => return (messages, false),
            Err(FrameError::TooLong(_) | FrameError::Malformed(_) | FrameError::Surplus(_)) => return (messages, true),
        }
    }
}
