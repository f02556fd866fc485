//! A server that says any bytes whatever: for what no proper server would say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a connection gets.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These bytes, then its end.
    Bytes(Vec<u8>),
    /// These bytes, then silence until the client leaves.
    Hangs(Vec<u8>),
    /// One after the other, with a pause before each but the first, then its end.
    Slowly(Vec<Vec<u8>>, Duration),
    /// These bytes over and over, until the client leaves.
    Endless(Vec<u8>, Vec<u8>),
}

/// One that answers each request by its path and its body; its thread ends with the test program.
pub(crate) struct Raw {
    pub(crate) url: String,
    /// Requests so far: head and body.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    pub(crate) fn start(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serving(url, move || Ok(listener.accept()?.0), TcpStream::try_clone, answer)
    }

    /// One at a socket of the file system.
    pub(crate) fn start_at(path: &Path, answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let url = format!("unix://{}", path.to_str().unwrap());
        Self::serving(url, move || Ok(listener.accept()?.0), UnixStream::try_clone, answer)
    }

    fn serving<S: Read + Write + Send + 'static>(
        url: String,
        accept: impl Fn() -> io::Result<S> + Send + 'static,
        again: fn(&S) -> io::Result<S>,
        answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            while let Ok(stream) = accept() {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                std::thread::spawn(move || serve(&mut BufReader::new(again(&stream)?), stream, answer.as_ref(), &kept));
            }
        });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    reader: &mut impl BufRead,
    mut stream: impl Write,
    answer: &dyn Fn(&str, &str) -> Answer,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body);
    seen.lock().unwrap().push(format!("{head}\r\n{body}"));
    match answer(&path, &body) {
        Answer::Bytes(bytes) => stream.write_all(&bytes),
        Answer::Hangs(bytes) => {
            stream.write_all(&bytes)?;
            reader.read_to_end(&mut Vec::new()).map(drop)
        }
        Answer::Slowly(pieces, pause) => {
            for (number, piece) in pieces.iter().enumerate() {
                if number > 0 {
                    std::thread::sleep(pause);
                }
                stream.write_all(piece)?;
            }
            Ok(())
        }
        Answer::Endless(head, piece) => {
            stream.write_all(&head)?;
            loop {
                stream.write_all(&piece)?;
            }
        }
    }
}

/// A whole answer that ends with the connection.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n", body.as_ref()].concat()
}
