//! One file request, served in a process of its own: what it finds goes to standard output, remarks and
//! the reason of a refusal to standard error, for a model as much as for people.
//!
//! Paths are resolved by the kernel, as for any command: the container is the wall. It owns nothing
//! but its streams, waits for nothing (a FIFO is told, not read), and every answer has an end.

mod list;
mod pattern;
mod read;
mod search;
mod write;

use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags};

use crate::domain::task::{FilePath, FileRequest};
use crate::domain::text::visible_line;
use crate::protocol::codec::{self, FrameError};
use crate::protocol::init::FileOrder;

/// Longest answer for reading, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest file that is edited or searched, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Longest file that is sent, in bytes.
const SEND_BYTES_MAX: u64 = 20 << 20;

/// Why a request was not served. Nothing was changed.
#[derive(Debug, thiserror::Error)]
enum FileError {
    /// No order, or not one that is understood.
    #[error("the request is not understood: {0}")]
    Order(#[from] FrameError),
    /// `~` in a run without a home.
    #[error("`{0}` cannot be told: this run has no home")]
    NoHome(String),
    /// Nothing is there.
    #[error("`{0}` does not exist; list the directory to see what does")]
    Missing(String),
    /// An empty file: Telegram takes none.
    #[error("`{0}` is empty; an empty file cannot be sent")]
    NothingToSend(String),
    /// Something else is there.
    #[error("`{path}` is {what}, not {wanted}")]
    Unfit { path: String, what: &'static str, wanted: &'static str },
    /// The path names no file that could be made.
    #[error("`{0}` names a directory, not a file")]
    NoName(String),
    /// The file is for reading only.
    #[error("`{0}` may not be written here: it is read-only")]
    ReadOnly(String),
    /// Not text.
    #[error("`{path}` is {kind} of {bytes} bytes, not text; a script can look into it")]
    Binary { path: String, kind: &'static str, bytes: u64 },
    /// Longer than it may be for this.
    #[error("`{path}` has {bytes} bytes; at most {most} can be {done}")]
    TooLong { path: String, bytes: u64, most: u64, done: &'static str },
    /// Fewer lines than asked for.
    #[error("`{path}` has only {lines} lines")]
    TooFewLines { path: String, lines: u64 },
    /// The text to replace is not there.
    #[error("the text to replace does not stand in `{0}`; read the file again, white space counts")]
    NotThere(String),
    /// The text to replace is there more than once.
    #[error("the text to replace stands {count} times in `{path}`; give more of what is around it, or replace all")]
    Ambiguous { path: String, count: usize },
    /// The edit would change nothing.
    #[error("the new text is the one that is to be replaced: nothing would change in `{0}`")]
    Same(String),
    /// A pattern with what is not known here.
    #[error("`{0}` is no name pattern: `*`, `?` and `**` are known")]
    Pattern(String),
    /// The system said no.
    #[error("failed to {doing} `{path}`: {source}")]
    System { doing: &'static str, path: String, source: io::Error },
    /// Nobody reads the answer.
    #[error("the answer cannot be written: {0}")]
    Answer(#[source] io::Error),
}

/// Serves the one order on standard input. Returns 0, or 1 when it was not served.
pub(super) fn main() -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = serve(&mut out).and_then(|remark| out.flush().map(|()| remark).map_err(FileError::Answer));
    // Nobody is left to tell when standard error is gone too.
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(remark)) => {
            writeln!(io::stderr(), "{remark}").ok();
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Writes the answer; returns a remark about it, if there is one.
fn serve(out: &mut impl Write) -> Result<Option<String>, FileError> {
    let mut input = io::stdin().lock();
    let order: Option<FileOrder> = codec::read(&mut input)?;
    let order = order.ok_or(FrameError::Io(io::ErrorKind::UnexpectedEof.into()))?;
    let place = Place::new(order.request.path(), order.home.as_deref())?;
    match &order.request {
        FileRequest::Read { path: _, from_line, lines } => read::read(&place, *from_line, *lines, out),
        FileRequest::List { path: _ } => list::list(&place, out),
        FileRequest::Search { path: _, text, glob } => search::search(&place, text, glob.as_ref(), out),
        FileRequest::Write { path: _, text } => write::write(&place, text.as_str(), out),
        FileRequest::Edit { path: _, old, new, all } => {
            let change = write::Change { old: old.as_str(), new: new.as_str(), all: *all };
            write::edit(&place, &change, out)
        }
        FileRequest::Send { path: _ } => read::send(&place, order.output_bytes, out),
        FileRequest::Receive { path: _ } => write::receive(&place, &mut input, out),
    }
}

/// A path of a request, and how it is shown.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    shown: String,
}

impl Place {
    fn new(path: &FilePath, home: Option<&str>) -> Result<Self, FileError> {
        let text = path.as_str();
        let shown = visible_line(text);
        let below_home = match text.strip_prefix('~') {
            Some("") => Some(""),
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        let path = match (below_home, home) {
            (None, _) => PathBuf::from(text),
            (Some(rest), Some(home)) => Path::new(home).join(rest.trim_start_matches('/')),
            (Some(_), None) => return Err(FileError::NoHome(shown)),
        };
        Ok(Self { path, shown })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> FileError {
        move |source| {
            let (kind, path) = (source.kind(), self.shown.clone());
            if kind == io::ErrorKind::NotFound {
                FileError::Missing(path)
            } else if kind == io::ErrorKind::ReadOnlyFilesystem {
                FileError::ReadOnly(path)
            } else {
                FileError::System { doing, path, source }
            }
        }
    }

    fn unfit(&self, kind: FileType, wanted: &'static str) -> FileError {
        FileError::Unfit { path: self.shown.clone(), what: what(kind), wanted }
    }

    /// The regular file there, open for reading; symbolic links are followed.
    fn open(&self) -> Result<(File, Metadata), FileError> {
        let file = open(&self.path, OFlags::empty()).map_err(self.failed("open"))?;
        let found = file.metadata().map_err(self.failed("look at"))?;
        if found.is_file() { Ok((file, found)) } else { Err(self.unfit(found.file_type(), "a file")) }
    }

    /// What is there, with symbolic links followed.
    fn look(&self) -> Result<Metadata, FileError> {
        fs::metadata(&self.path).map_err(self.failed("look at"))
    }
}

/// Opens for reading, and never waits for a writer.
fn open(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// What a file type is called.
fn what(kind: FileType) -> &'static str {
    if kind.is_file() {
        "a file"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a device, or a file that the policy hides"
    } else {
        "a device"
    }
}

/// What bytes are, from their beginning, when they are no text.
fn binary(head: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 11] = [
        (b"\x7fELF", "a program (ELF)"),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive (perhaps a document in one)"),
        (b"\x1f\x8b", "gzip data"),
        (b"\xfd7zXZ", "xz data"),
        (b"SQLite format 3\0", "a SQLite database"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfe\xff", "UTF-16 text"),
    ];
    let known = KINDS.iter().find(|(start, _)| head.starts_with(start)).map(|(_, kind)| *kind);
    known.or_else(|| head.contains(&0).then_some("binary data"))
}
