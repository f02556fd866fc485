//! What comes out of a run's container, held against what castoff-init says: the script may have taken
//! its place. Pure; the first frame out of place ends the run.
//!
//! ```text
//!  sent ──Started──▶ running ──Stdout*, Stderr* (no more than the limit)──▶ running
//!    │                  └──LeftOut (once)──▶ the end ──Stdout*, Stderr*──▶ Exit
//!    └──Exit of a script that never started
//! ```

use serde_bytes::ByteBuf;

use crate::domain::run::Stream;
use crate::protocol::init::{Exit, FromInit, OUTPUT_PIECE_BYTES_MAX};

/// Longest reason of a script that did not start, in characters.
const REASON_CHARS_MAX: usize = 1000;

/// What castoff-init has said since the script was sent.
#[derive(Debug)]
pub(super) struct Heard {
    stage: Stage,
    bytes_left: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    left_out_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sent,
    Running,
    End,
}

/// A frame in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The script runs.
    Started,
    /// It wrote this.
    Output(Stream, ByteBuf),
    /// It wrote more, which is left out here.
    LeftOut(u64),
    /// It is over.
    Exit(Exit),
}

/// A frame out of place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Breach {
    /// It comes before or after its time, or never.
    #[error("`{0}` is out of order")]
    Order(&'static str),
    /// More in one frame than fits.
    #[error("a piece of {0} bytes of output is too long")]
    Piece(usize),
    /// More in all than the run may write.
    #[error("there is more output than the run may write")]
    Output,
}

impl Heard {
    /// Nothing yet, and at most `output_bytes` of output.
    pub(super) fn new(output_bytes: u64) -> Self {
        let stage = Stage::Sent;
        Self { stage, bytes_left: output_bytes, stdout_bytes: 0, stderr_bytes: 0, left_out_bytes: 0 }
    }

    /// Takes the next frame.
    pub(super) fn take(&mut self, frame: FromInit) -> Result<Said, Breach> {
        match (self.stage, frame) {
            (Stage::Sent, FromInit::Started) => {
                self.stage = Stage::Running;
                Ok(Said::Started)
            }
            (Stage::Running | Stage::End, FromInit::Stdout(bytes)) => self.output(Stream::Stdout, bytes),
            (Stage::Running | Stage::End, FromInit::Stderr(bytes)) => self.output(Stream::Stderr, bytes),
            (Stage::Running, FromInit::LeftOut(bytes)) => {
                self.stage = Stage::End;
                self.left_out_bytes = bytes;
                Ok(Said::LeftOut(bytes))
            }
            (Stage::Running | Stage::End, FromInit::Exit(exit)) => Ok(Said::Exit(self.counted(exit))),
            (Stage::Sent, FromInit::Exit(exit)) if exit.failed.is_some() || exit.stopped.is_some() => {
                Ok(Said::Exit(self.counted(exit)))
            }
            (_, frame) => Err(Breach::Order(name(&frame))),
        }
    }

    fn output(&mut self, stream: Stream, bytes: ByteBuf) -> Result<Said, Breach> {
        if bytes.len() > OUTPUT_PIECE_BYTES_MAX {
            return Err(Breach::Piece(bytes.len()));
        }
        let count = bytes.len() as u64;
        self.bytes_left = self.bytes_left.checked_sub(count).ok_or(Breach::Output)?;
        match stream {
            Stream::Stdout => self.stdout_bytes += count,
            Stream::Stderr => self.stderr_bytes += count,
        }
        Ok(Said::Output(stream, bytes))
    }

    /// The exit with what was counted here, and with a reason that can be shown.
    fn counted(&self, exit: Exit) -> Exit {
        let shown = |why: String| why.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
        let (stdout_bytes, stderr_bytes) = (self.stdout_bytes, self.stderr_bytes);
        Exit { failed: exit.failed.map(shown), stdout_bytes, stderr_bytes, ..exit }
    }

    /// Bytes that were left out.
    pub(super) fn left_out_bytes(&self) -> u64 {
        self.left_out_bytes
    }
}

fn name(frame: &FromInit) -> &'static str {
    match frame {
        FromInit::Ready(_) => "Ready",
        FromInit::Started => "Started",
        FromInit::Stdout(_) => "Stdout",
        FromInit::Stderr(_) => "Stderr",
        FromInit::LeftOut(_) => "LeftOut",
        FromInit::Exit(_) => "Exit",
        FromInit::Probed(_) => "Probed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::StopCause;

    fn exit() -> Exit {
        Exit {
            code: Some(0),
            signal: None,
            stopped: None,
            failed: None,
            memory_kills: 0,
            starts_refused: 0,
            cpu_waited_ms: 0,
            cpu_ms: 0,
            memory_kib_max: 0,
            stdout_bytes: 0,
            stderr_bytes: 0,
        }
    }

    fn bytes(count: usize) -> ByteBuf {
        ByteBuf::from(vec![b'x'; count])
    }

    fn out(count: usize) -> FromInit {
        FromInit::Stdout(bytes(count))
    }

    #[test]
    fn frames_in_their_order_pass_and_are_counted() {
        let mut heard = Heard::new(10);
        for frame in [FromInit::Started, out(6), FromInit::LeftOut(90), FromInit::Stderr(bytes(4))] {
            heard.take(frame).unwrap();
        }
        let lie = Exit { stdout_bytes: 7, stderr_bytes: u64::MAX, ..exit() };
        let counted = Exit { stdout_bytes: 6, stderr_bytes: 4, ..exit() };
        assert_eq!((heard.take(FromInit::Exit(lie)), heard.left_out_bytes()), (Ok(Said::Exit(counted)), 90));
    }

    #[test]
    fn a_frame_out_of_place_is_named() {
        use FromInit::{LeftOut, Started};
        let order = |name| Some(Breach::Order(name));
        let end = || FromInit::Exit(exit());
        let cases = [
            (vec![out(1)], order("Stdout")),
            (vec![end()], order("Exit")),
            (vec![LeftOut(1)], order("LeftOut")),
            (vec![Started, Started], order("Started")),
            (vec![Started, LeftOut(1), LeftOut(1)], order("LeftOut")),
            (vec![Started, out(10), out(1)], Some(Breach::Output)),
            (vec![Started, out(OUTPUT_PIECE_BYTES_MAX + 1)], Some(Breach::Piece(OUTPUT_PIECE_BYTES_MAX + 1))),
            (vec![Started, out(10), end()], None),
        ];
        for (frames, expected) in cases {
            let mut heard = Heard::new(10);
            let met = frames.into_iter().find_map(|frame| heard.take(frame).err());
            assert_eq!(met, expected);
        }
    }

    #[test]
    fn a_reason_is_shown_without_what_a_terminal_would_obey() {
        let failed = |why: &str| FromInit::Exit(Exit { failed: Some(why.to_owned()), code: None, ..exit() });
        let Ok(Said::Exit(shown)) = Heard::new(0).take(failed("no \x1b[2Jshell\n")) else { panic!("refused") };
        assert_eq!(shown.failed.as_deref(), Some("no [2Jshell"));
        let Ok(Said::Exit(shown)) = Heard::new(0).take(failed(&"x".repeat(5000))) else { panic!("refused") };
        assert_eq!(shown.failed.map(|why| why.len()), Some(REASON_CHARS_MAX));
        let stopped = Exit { stopped: Some(StopCause::Asked), code: None, ..exit() };
        assert_eq!(Heard::new(0).take(FromInit::Exit(stopped.clone())), Ok(Said::Exit(stopped)));
    }
}
