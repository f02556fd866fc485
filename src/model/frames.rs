//! Cuts a stream into events: server-sent events (WHATWG HTML, section 9.2) or JSON lines. Pure;
//! keeps no more than one event, and refuses what is larger than an event may be.

use super::failure::Fault;

/// Longest event, in bytes: arguments of a whole call, escaped.
pub(super) const EVENT_BYTES_MAX: usize = 2 << 20;
/// Longest stream, in bytes.
pub(super) const STREAM_BYTES_MAX: usize = 32 << 20;

/// How events are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Blank lines end an event; its `data:` lines are its text.
    ServerSent,
    /// Each line is one.
    Lines,
}

/// The part of a stream that has come and is no whole event yet.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_return: bool,
    first_line: bool,
    seen: usize,
}

impl Frames {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_return: false,
            first_line: true,
            seen: 0,
        }
    }

    /// The events that `chunk` completes, in order. Fails when an event or the stream is too long.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        self.seen = self.seen.saturating_add(chunk.len());
        if self.seen > STREAM_BYTES_MAX {
            return Err(Fault::too_long("a stream", STREAM_BYTES_MAX));
        }
        let mut events = Vec::new();
        let mut rest = chunk;
        if self.after_return {
            self.after_return = rest.is_empty();
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (piece, tail) = rest.split_at(at);
            self.keep(piece)?;
            events.extend(self.end_line()?);
            rest = match tail {
                [b'\r', b'\n', next @ ..] | [_, next @ ..] => next,
                [] => tail,
            };
            self.after_return = tail == b"\r";
        }
        self.keep(rest)?;
        Ok(events)
    }

    /// The event that the end of the stream completes, if there is one.
    pub(super) fn finish(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let last = self.end_line()?;
        if last.is_some() || !self.has_data {
            return Ok(last);
        }
        self.has_data = false;
        Ok(Some(std::mem::take(&mut self.data)))
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if self.line.len() + piece.len() > EVENT_BYTES_MAX {
            return Err(Fault::too_long("one event of a stream", EVENT_BYTES_MAX));
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let line = std::mem::take(&mut self.line);
        let text = if self.first_line { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        self.first_line = false;
        match self.framing {
            Framing::Lines => Ok((!text.trim_ascii().is_empty()).then(|| text.to_vec())),
            Framing::ServerSent => self.end_field(text),
        }
    }

    fn end_field(&mut self, line: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if line.is_empty() {
            let ended = std::mem::take(&mut self.has_data);
            let data = std::mem::take(&mut self.data);
            return Ok(ended.then_some(data));
        }
        let Some(value) = line.strip_prefix(b"data") else { return Ok(None) };
        let value = match value {
            [] => value,
            [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
            [_, ..] => return Ok(None),
        };
        if self.data.len() + value.len() > EVENT_BYTES_MAX {
            return Err(Fault::too_long("one event of a stream", EVENT_BYTES_MAX));
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(framing: Framing, stream: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut frames = Frames::new(framing);
        let mut events = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([stream.len()]) {
            let to = cut.clamp(from, stream.len());
            events.extend(frames.push(&stream[from..to]).unwrap());
            from = to;
        }
        events.extend(frames.finish().unwrap());
        events.into_iter().map(|event| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn server_sent_events_end_at_blank_lines_of_every_kind() {
        let cases: &[(&str, &[&str])] = &[
            ("data: a\n\ndata: b\r\n\r\ndata:c\r\r", &["a", "b", "c"]),
            ("event: x\ndata: a\ndata: b\nid: 7\n\n", &["a\nb"]),
            (": only a comment\n\n\n", &[]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("datax: no\ndata\n\n", &[""]),
            ("data: cut off without an end", &["cut off without an end"]),
        ];
        for (stream, expected) in cases {
            assert_eq!(all(Framing::ServerSent, stream.as_bytes(), &[]), *expected, "{stream:?}");
        }
    }

    #[test]
    fn each_line_of_json_lines_is_an_event() {
        assert_eq!(all(Framing::Lines, b"{}\n\r\n[1]\r\n2", &[]), ["{}", "[1]", "2"]);
    }

    #[test]
    fn an_event_longer_than_the_limit_is_refused_and_not_kept() {
        for framing in [Framing::ServerSent, Framing::Lines] {
            let mut frames = Frames::new(framing);
            let chunk = [b'x'; 64 << 10];
            let failed = (0..160).map(|_| frames.push(&chunk)).find_map(Result::err);
            assert!(failed.is_some(), "{framing:?} took 10 MiB");
            assert!(frames.line.capacity() <= 2 * EVENT_BYTES_MAX);
        }
        let mut frames = Frames::new(Framing::ServerSent);
        let line = [b"data: ".as_slice(), &[b'x'; 64 << 10], b"\n"].concat();
        assert!((0..160).any(|_| frames.push(&line).is_err()), "many lines made one event of 10 MiB");
    }

    #[test]
    fn an_endless_stream_of_small_events_ends() {
        let mut frames = Frames::new(Framing::ServerSent);
        let pings = [b": ".as_slice(), &[b'.'; 1 << 14], b"\n\n"].concat().repeat(64);
        assert!((0..40).any(|_| frames.push(&pings).is_err()));
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_makes_no_difference(
            stream in "(data: ?[a-c]{0,4}|: c|id: 1|)(\r|\n|\r\n){1,2}{0,12}".prop_map(|text| text.repeat(3)),
            cuts in proptest::collection::vec(0..200usize, 0..8),
            framing in prop_oneof![Just(Framing::ServerSent), Just(Framing::Lines)],
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(all(framing, stream.as_bytes(), &cuts), all(framing, stream.as_bytes(), &[]));
        }
    }
}
