//! A command under way, its output as far as it has come, and its answer.

use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{eventually, kill};

/// How a command ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Exit code, or 128 and the signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Panics with everything unless the code is this one.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Panics with everything unless standard error has all of these.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not said: {self:?}");
        }
        self
    }
}

/// A command under way. Dropped before its end, it is killed.
#[derive(Debug)]
pub(crate) struct Live {
    what: String,
    child: Child,
    input: Mutex<Option<ChildStdin>>,
    stdout: Reading,
    stderr: Reading,
}

#[derive(Debug)]
struct Reading {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose other end is gone answers with an error: the end, too.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Live {
    pub(crate) fn start(mut command: Command, what: String) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let input = Mutex::new(child.stdin.take());
        let stdout = Reading::of(child.stdout.take().unwrap());
        let stderr = Reading::of(child.stderr.take().unwrap());
        Self { what, child, input, stdout, stderr }
    }

    /// Gives all of its standard input, and ends that.
    pub(crate) fn feed(&self, bytes: &[u8]) {
        self.types(bytes);
        drop(self.input.lock().unwrap().take());
    }

    /// Gives some of its standard input. A command that wants none has perhaps ended already.
    pub(crate) fn types(&self, bytes: &[u8]) {
        if let Some(input) = self.input.lock().unwrap().as_mut() {
            drop(input.write_all(bytes).and_then(|()| input.flush()));
        }
    }

    /// Waits until it said this, on either stream.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let what = format!("`{}` says `{text}`", self.what);
        for _ in 0..super::LOOKS {
            let ended = self.child.try_wait().unwrap();
            if self.stdout.text().contains(text) || self.stderr.text().contains(text) {
                return;
            }
            assert!(ended.is_none(), "{what}: it ended: {} {}", self.stdout.text(), self.stderr.text());
            std::thread::sleep(super::PAUSE);
        }
        panic!("never came about: {what}: {} {}", self.stdout.text(), self.stderr.text());
    }

    /// What it has said so far, on standard output.
    pub(crate) fn said(&self) -> String {
        self.stdout.text()
    }

    /// Whether it has not ended.
    pub(crate) fn is_under_way(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        kill(self.child.id(), name);
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Answer {
        let what = format!("`{}` ends", self.what);
        let status = eventually(&what, || self.child.try_wait().unwrap());
        for reading in [&mut self.stdout, &mut self.stderr] {
            reading.thread.take().unwrap().join().unwrap();
        }
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Answer { code, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
