//! Questions at the terminal: `/dev/tty`, since standard input may be the script's.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::Context as _;

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
    File::options().read(true).write(true).open("/dev/tty").ok().map(|output| Terminal { output })
}

impl Terminal {
    /// Shows a text.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn show(&mut self, text: &str) -> anyhow::Result<()> {
        self.output.write_all(text.as_bytes()).context("the terminal is gone")
    }

    /// Shows `text`, asks, and waits for an answer; anything but a clear yes is a no. Ctrl-C is a
    /// "later": the question stays open.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) async fn ask(&mut self, text: &str, question: &str, more: More) -> anyhow::Result<Reply> {
        let (choices, words) = match more {
            More::None => ("[y/N]", [""; 2]),
            More::Diff => ("[y/N/d for the diff]", ["d", "diff"]),
            More::Always => ("[y/N/a for always]", ["a", "always"]),
        };
        self.show(&format!("{text}{question} {choices} "))?;
        let input = self.output.try_clone()?;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(input).read_line(&mut line).map(|length| (length > 0).then_some(line))
        });
        let line = tokio::select! {
            line = line => line??,
            stop = tokio::signal::ctrl_c() => { stop?; return Ok(Reply::Later) }
        };
        Ok(match line.as_deref().map(|line| line.trim().to_lowercase()) {
            None => Reply::Later,
            Some(answer) if answer == "y" || answer == "yes" => Reply::Yes,
            Some(answer) if !answer.is_empty() && words.contains(&answer.as_str()) => Reply::More,
            Some(_) => Reply::No,
        })
    }
}
