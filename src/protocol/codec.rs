//! Frames: a length (32 bits, little-endian) and that many bytes of postcard
//! (<https://postcard.jamesmunns.com/wire-format>).

use std::io::{self, Read, Write};

use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest frame, in bytes: a full standard input or a large change set fits.
pub const FRAME_BYTES_MAX: usize = 32 << 20;

/// Longest frame of castoff-init, in bytes: output comes in pieces of 64 KiB, and the mounts of a container fit
/// many times. Small, since who took a run over may speak for its init, and empty texts take 24 times as much
/// memory as a frame.
pub const INIT_FRAME_BYTES_MAX: usize = 1 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed or ended inside a frame.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The other side announced more than it may send.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// The bytes are not what was expected.
    #[error("a frame does not decode: {0}")]
    Malformed(#[from] postcard::Error),
    /// After the message the frame went on.
    #[error("a frame has {0} bytes too many")]
    Surplus(usize),
}

/// The bytes of one frame, length included.
///
/// # Errors
/// [`FrameError::TooLong`] when the message does not fit.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; 4])?;
    let length = frame.len() - 4;
    let header = u32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX).ok_or(FrameError::TooLong(length))?;
    if let Some(start) = frame.get_mut(..4) {
        start.copy_from_slice(&header.to_le_bytes());
    }
    Ok(frame)
}

fn checked_length(header: [u8; 4], bytes_max: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length > bytes_max { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

/// The message of a whole frame.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, surplus) = postcard::take_from_bytes(body)?;
    if surplus.is_empty() { Ok(message) } else { Err(FrameError::Surplus(surplus.len())) }
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// [`FrameError`] when the stream ends inside a frame, or holds something else.
pub fn read<T: DeserializeOwned>(input: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut header = [0; 4];
    if !read_start(input, &mut header)? {
        return Ok(None);
    }
    let length = checked_length(header, FRAME_BYTES_MAX)?;
    let mut body = Vec::new();
    input.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(decode(&body)?))
}

/// Fills `header`, or returns `false` when the stream ends before its first byte.
fn read_start(input: &mut impl Read, header: &mut [u8; 4]) -> io::Result<bool> {
    let mut first = [0];
    loop {
        match input.read(&mut first) {
            Ok(0) => return Ok(false),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [start, rest @ ..] = header;
    *start = first[0];
    input.read_exact(rest)?;
    Ok(true)
}

/// Writes one frame and flushes.
///
/// # Errors
/// [`FrameError`] when the message is too long or the stream is gone.
pub fn write<T: Serialize>(output: &mut impl Write, message: &T) -> Result<(), FrameError> {
    output.write_all(&encode(message)?)?;
    output.flush()?;
    Ok(())
}

/// Takes the first frame out of `buffer`, once all of it is there; until then `None`.
///
/// # Errors
/// [`FrameError`] when the frame is longer than `bytes_max`, or holds something else.
pub fn take<T: DeserializeOwned>(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<T>, FrameError> {
    let Some(header) = buffer.first_chunk::<4>() else { return Ok(None) };
    let end = checked_length(*header, bytes_max)? + 4;
    if buffer.len() < end {
        return Ok(None);
    }
    let frame = buffer.split_to(end);
    Ok(Some(decode(frame.get(4..).unwrap_or_default())?))
}

/// As [`read`], for asynchronous streams.
///
/// # Errors
/// As [`read`].
pub async fn receive<T: DeserializeOwned>(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, FrameError> {
    let mut header = [0; 4];
    let [start, rest @ ..] = &mut header;
    if input.read(std::slice::from_mut(start)).await? == 0 {
        return Ok(None);
    }
    input.read_exact(rest).await?;
    let length = checked_length(header, FRAME_BYTES_MAX)?;
    let mut body = Vec::new();
    input.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(decode(&body)?))
}

/// As [`write`], for asynchronous streams.
///
/// # Errors
/// As [`write`].
pub async fn send<T: Serialize>(output: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), FrameError> {
    output.write_all(&encode(message)?).await?;
    output.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_and_a_torn_or_endless_one_is_an_error() {
        let frame = encode(&("hello".to_owned(), 7_u32)).unwrap();
        assert_eq!(read::<(String, u32)>(&mut frame.as_slice()).unwrap(), Some(("hello".to_owned(), 7)));
        assert!(read::<(String, u32)>(&mut [].as_slice()).unwrap().is_none());
        for cut in 1..frame.len() {
            assert!(read::<(String, u32)>(&mut frame.get(..cut).unwrap()).is_err(), "{cut}");
        }
        assert!(matches!(read::<String>(&mut [255, 255, 255, 255].as_slice()), Err(FrameError::TooLong(_))));
        assert!(matches!(read::<String>(&mut [1, 0, 0, 0, 9].as_slice()), Err(FrameError::Malformed(_))));
        assert!(matches!(read::<String>(&mut [3, 0, 0, 0, 1, 97, 98].as_slice()), Err(FrameError::Surplus(1))));
    }

    #[test]
    fn frames_come_out_whole_wherever_they_are_cut() {
        let mut bytes = encode(&"first".to_owned()).unwrap();
        bytes.extend(encode(&"second".to_owned()).unwrap());
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            frames.extend(take::<String>(&mut buffer, 7).unwrap());
        }
        assert_eq!(frames, ["first", "second"]);
        buffer.extend_from_slice(&[8, 0, 0, 0]);
        assert!(matches!(take::<String>(&mut buffer, 7), Err(FrameError::TooLong(8))));
    }
}
