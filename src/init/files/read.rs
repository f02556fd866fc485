//! Reading and sending a file.

use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write};

use super::{ANSWER_BYTES_MAX, FileError, Place, SEND_BYTES_MAX, binary};

/// How much of a file's beginning tells whether it is text, in bytes.
const HEAD_BYTES: u64 = 8 << 10;

/// Writes lines of a text file as they are; at most [`ANSWER_BYTES_MAX`] bytes. The remark says how to read on.
pub(super) fn read(
    place: &Place,
    from_line: Option<u32>,
    lines: Option<u32>,
    out: &mut impl Write,
) -> Result<Option<String>, FileError> {
    let (mut file, found) = place.open()?;
    let failed = place.failed("read");
    let mut head = Vec::new();
    (&mut file).take(HEAD_BYTES).read_to_end(&mut head).map_err(&failed)?;
    if let Some(kind) = binary(&head) {
        return Err(FileError::Binary { path: place.shown.clone(), kind, bytes: found.len() });
    }
    if head.is_empty() {
        return Ok(Some(format!("`{}` is empty", place.shown)));
    }
    file.rewind().map_err(&failed)?;
    let mut rest = BufReader::new(file);
    let first = u64::from(from_line.unwrap_or(1).max(1));
    for line in 1..first {
        if rest.skip_until(b'\n').map_err(&failed)? == 0 {
            return Err(FileError::TooFewLines { path: place.shown.clone(), lines: line - 1 });
        }
    }
    let most = lines.map_or(u64::MAX, u64::from);
    let (mut left, mut count) = (ANSWER_BYTES_MAX, 0_u64);
    while count < most {
        let mut line = Vec::new();
        let length = (&mut rest).take(left as u64 + 1).read_until(b'\n', &mut line).map_err(&failed)?;
        if length == 0 {
            let told = FileError::TooFewLines { path: place.shown.clone(), lines: first - 1 };
            return if count == 0 { Err(told) } else { Ok(None) };
        }
        if length > left {
            return too_long(place, (count, first + count), line.get(..left).unwrap_or_default(), out);
        }
        out.write_all(&line).map_err(FileError::Answer)?;
        left -= length;
        count += 1;
    }
    let over = rest.fill_buf().map_err(&failed)?.is_empty();
    Ok((!over).then(|| goes_on(place, first + count)))
}

/// A line that does not fit: left for the next answer, or cut when it fits in none.
fn too_long(
    place: &Place,
    (count, number): (u64, u64),
    start: &[u8],
    out: &mut impl Write,
) -> Result<Option<String>, FileError> {
    if count > 0 {
        return Ok(Some(goes_on(place, number)));
    }
    out.write_all(start).map_err(FileError::Answer)?;
    Ok(Some(format!(
        "line {number} of `{}` is longer than {ANSWER_BYTES_MAX} bytes and cut here; a script (`cut -c`) reads the rest, line {} comes next",
        place.shown,
        number + 1
    )))
}

fn goes_on(place: &Place, next: u64) -> String {
    format!("`{}` goes on: read from line {next}", place.shown)
}

/// Writes all bytes of a file, when they may pass.
pub(super) fn send(place: &Place, output_bytes: u64, out: &mut impl Write) -> Result<Option<String>, FileError> {
    let (file, found) = place.open()?;
    let (bytes, most) = (found.len(), SEND_BYTES_MAX.min(output_bytes));
    if bytes == 0 {
        return Err(FileError::NothingToSend(place.shown.clone()));
    }
    if bytes > most {
        return Err(FileError::TooLong { path: place.shown.clone(), bytes, most, done: "sent" });
    }
    let copied = io::copy(&mut file.take(most), out).map_err(place.failed("send"))?;
    if copied != bytes {
        let source = io::Error::other("it changed meanwhile");
        return Err(FileError::System { doing: "send", path: place.shown.clone(), source });
    }
    Ok(None)
}
