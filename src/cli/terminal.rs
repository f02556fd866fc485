//! Questions at the terminal: `/dev/tty`, since standard input may be the script's.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{QueueSelector, tcflush};

use super::paint::Paint;

/// Longest line that a terminal hands over at once.
const LINE_BYTES_MAX: usize = 4096;
/// How often it is looked whether a line was typed.
const LOOK: Duration = Duration::from_millis(50);
const PATH: &str = "/dev/tty";
/// Takes back what the output of a run may have told the terminal, such as to hide what follows: DECSTR, plain text, ASCII
/// (XTerm Control Sequences).
const RESET: &str = "\x1b[!p\x1b[0m\x1b(B";

/// An answer at the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// Yes.
    Yes,
    /// No.
    No,
    /// What is offered beside yes and no.
    More,
    /// End of input: leave the question open.
    Later,
    /// Ctrl-C.
    Stop,
}

/// What a question offers beside yes and no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    /// Nothing.
    None,
    /// Show the diff first.
    Diff,
    /// Yes, also for the future.
    Always,
}

/// The caller's terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    output: File,
}

/// The caller's terminal; `None` when there is none.
pub(super) fn open() -> Option<Terminal> {
    File::options().write(true).open(PATH).ok().map(|output| Terminal { output })
}

impl Terminal {
    fn show(&mut self, text: &str) -> anyhow::Result<()> {
        self.output.write_all(text.as_bytes()).context("the terminal is gone")
    }

    /// Shows a diff.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn show_diff(&mut self, diff: &str) -> anyhow::Result<()> {
        let painted = Paint::of(&self.output).diff(diff);
        self.show(&painted)
    }

    /// Shows `text`, asks, and waits for an answer; anything but a clear yes is a no, and what was typed
    /// before the question is none. Nobody reads from the terminal any more once this has returned.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) async fn ask(&mut self, text: &str, question: &str, more: More) -> anyhow::Result<Reply> {
        let (choices, words) = match more {
            More::None => ("[y/N]", [""; 2]),
            More::Diff => ("[y/N/d for the diff]", ["d", "diff"]),
            More::Always => ("[y/N/a for always]", ["a", "always"]),
        };
        let text = Paint::of(&self.output).said(text);
        tcflush(&self.output, QueueSelector::IFlush).context("the terminal is gone")?;
        let reset = if std::env::var_os("TERM").is_none_or(|name| name == "dumb") { "" } else { RESET };
        self.show(&format!("{reset}{text}{question} {choices} "))?;
        let line = tokio::select! {
            line = line() => line.context("the terminal is gone")?,
            stop = tokio::signal::ctrl_c() => {
                stop.context("failed to listen for Ctrl-C")?;
                self.show("\n")?;
                return Ok(Reply::Stop);
            }
        };
        Ok(match line.as_deref().map(|line| line.trim().to_lowercase()) {
            None => Reply::Later,
            Some(answer) if answer == "y" || answer == "yes" => Reply::Yes,
            Some(answer) if !answer.is_empty() && words.contains(&answer.as_str()) => Reply::More,
            Some(_) => Reply::No,
        })
    }
}

/// The next line that is typed; `None` for the end of input. Its own descriptor, which never blocks, so
/// that nothing is left that reads when the answer is not wanted any more.
async fn line() -> std::io::Result<Option<String>> {
    let input = rustix::fs::open(PATH, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let mut input = File::from(input);
    let mut bytes = vec![0; LINE_BYTES_MAX];
    let length = loop {
        match input.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(LOOK).await,
            read => break read?,
        }
    };
    bytes.truncate(length);
    Ok((length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}
