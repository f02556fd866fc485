//! What a run does: a script, or one request about a file. Checked once, when it is made; its bytes
//! never change afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::script::Script;
use super::text::{invisible, visible};

/// Longest path of a request, in bytes (`PATH_MAX` of Linux).
pub const PATH_BYTES_MAX: usize = 4096;
/// Longest text that is written, or that is replaced or put in by an edit, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Longest text that is searched for, in bytes.
pub const LITERAL_BYTES_MAX: usize = 1024;

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Shell text, run by the image's shell.
    Script(Script),
    /// A built-in request, served by castoff-init itself.
    File(FileRequest),
}

/// A request about one path, resolved inside the container: relative to the working directory of the
/// run, `~/` is the person's home. As JSON: `{"read":{"path":"notes.txt"}}`; unknown fields are an
/// error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FileRequest {
    /// The text of a file, or a part of it.
    Read {
        /// The file.
        path: FilePath,
        /// The first line, counted from 1; 1 when not given.
        from_line: Option<u32>,
        /// How many lines; all that fit into an answer when not given.
        lines: Option<u32>,
    },
    /// What is in a directory.
    List {
        /// The directory.
        path: FilePath,
    },
    /// Where a text stands, in a file or below a directory.
    Search {
        /// The file or directory.
        path: FilePath,
        /// Looked for as it is, within a line.
        text: Literal,
        /// Only files with such a name (`*.rs`), or such a path below the directory when it holds a `/`.
        glob: Option<Literal>,
    },
    /// Makes a file, or puts another text into it.
    Write {
        /// The file; directories that are missing are made.
        path: FilePath,
        /// All of its text.
        text: FileText,
    },
    /// Replaces a part of a file.
    Edit {
        /// The file.
        path: FilePath,
        /// What is there; exactly once, unless `all`.
        old: OldText,
        /// What is to be there.
        new: FileText,
        /// Whether every occurrence is replaced.
        #[serde(default)]
        all: bool,
    },
    /// The bytes of a file, to be sent to the person.
    Send {
        /// The file.
        path: FilePath,
    },
    /// Puts standard input into a new file: what a person sent. One that is there stays as it is, and the
    /// new one gets a number.
    Receive {
        /// The file; directories that are missing are made.
        path: FilePath,
    },
}

/// Why a text is no part of a request. Bad input, never a question to a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Nothing.
    #[error("{what} is empty")]
    Empty {
        /// Which part.
        what: &'static str,
    },
    /// More than it may be.
    #[error("{what} has {bytes} bytes; at most {most} are taken")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A character that a reader could miss.
    #[error("{what} holds {name} (U+{code:04X}), which it may not")]
    Invisible {
        /// Which part.
        what: &'static str,
        /// What it is, for people.
        name: &'static str,
        /// The code point.
        code: u32,
    },
}

/// Declares a text that checks itself with `$check` when it is made.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text, byte for byte.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadRequest;

            fn try_from(text: String) -> Result<Self, BadRequest> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

checked_text!(
    /// A path of a request: 1 to [`PATH_BYTES_MAX`] bytes on one line, and nothing that a reader could
    /// miss.
    FilePath,
    |text: &str| one_line("the path", text, PATH_BYTES_MAX)
);
checked_text!(
    /// What is searched for, or a name pattern: 1 to [`LITERAL_BYTES_MAX`] bytes on one line, and
    /// nothing that a reader could miss.
    Literal,
    |text: &str| one_line("the text to search for", text, LITERAL_BYTES_MAX)
);
checked_text!(
    /// What is to stand in a file: at most [`TEXT_BYTES_MAX`] bytes, any characters.
    FileText,
    |text: &str| at_most("the text", text, TEXT_BYTES_MAX)
);
checked_text!(
    /// What an edit replaces: as [`FileText`], and not empty.
    OldText,
    |text: &str| not_empty("the text to replace", text).and_then(|()| at_most("the text to replace", text, TEXT_BYTES_MAX))
);

fn not_empty(what: &'static str, text: &str) -> Result<(), BadRequest> {
    if text.is_empty() { Err(BadRequest::Empty { what }) } else { Ok(()) }
}

fn at_most(what: &'static str, text: &str, most: usize) -> Result<(), BadRequest> {
    let bytes = text.len();
    if bytes > most { Err(BadRequest::TooLong { what, bytes, most }) } else { Ok(()) }
}

fn one_line(what: &'static str, text: &str, most: usize) -> Result<(), BadRequest> {
    not_empty(what, text)?;
    at_most(what, text, most)?;
    let name = |c| match c {
        '\n' => Some("a newline"),
        '\t' => Some("a tab"),
        c => invisible(c),
    };
    match text.chars().find_map(|c| name(c).map(|name| (c, name))) {
        Some((c, name)) => Err(BadRequest::Invisible { what, name, code: u32::from(c) }),
        None => Ok(()),
    }
}

impl Task {
    /// The script, when it is one.
    pub fn script(&self) -> Option<&Script> {
        match self {
            Self::Script(script) => Some(script),
            Self::File(_) => None,
        }
    }

    /// The request, when it is one.
    pub fn file(&self) -> Option<&FileRequest> {
        match self {
            Self::Script(_) => None,
            Self::File(request) => Some(request),
        }
    }

    /// One line for lists: the script's first, or `read notes.txt`; nothing invisible is in it.
    pub fn title(&self) -> String {
        match self {
            Self::Script(script) => {
                let mut lines = script.as_str().lines();
                let first = visible(lines.next().unwrap_or_default());
                if lines.next().is_some() { format!("{first} …") } else { first }
            }
            Self::File(request) => request.to_string(),
        }
    }

    /// All of it, as an approver must see it; what is invisible is written out.
    pub fn text(&self) -> String {
        match self {
            Self::Script(script) => visible(script.as_str()),
            Self::File(request) => request.text(),
        }
    }

    /// Whether the text names `path` anywhere.
    pub fn names(&self, path: &str) -> bool {
        match self {
            Self::Script(script) => script.as_str().contains(path),
            Self::File(request) => request.path().as_str().contains(path),
        }
    }
}

impl fmt::Display for FileRequest {
    /// One line: what is done to which path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = visible(self.path().as_str());
        match self {
            Self::Read { .. } => write!(f, "read {path}"),
            Self::List { .. } => write!(f, "list {path}"),
            Self::Search { text, .. } => write!(f, "search {path} for `{}`", visible(text.as_str())),
            Self::Write { .. } => write!(f, "write {path}"),
            Self::Edit { .. } => write!(f, "edit {path}"),
            Self::Send { .. } => write!(f, "send {path}"),
            Self::Receive { .. } => write!(f, "receive {path}"),
        }
    }
}

impl FileRequest {
    /// The path it is about.
    pub fn path(&self) -> &FilePath {
        match self {
            Self::Read { path, .. }
            | Self::List { path }
            | Self::Search { path, .. }
            | Self::Write { path, .. }
            | Self::Edit { path, .. }
            | Self::Send { path }
            | Self::Receive { path } => path,
        }
    }

    /// The name of its tool, as `tools:` of a person may list it.
    pub fn tool(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read_file",
            Self::List { .. } => "list_files",
            Self::Search { .. } => "search_files",
            Self::Write { .. } => "write_file",
            Self::Edit { .. } => "edit_file",
            Self::Send { .. } => "send_file",
            Self::Receive { .. } => "receive_file",
        }
    }

    /// Whether it changes the file.
    pub fn writes(&self) -> bool {
        match self {
            Self::Write { .. } | Self::Edit { .. } | Self::Receive { .. } => true,
            Self::Read { .. } | Self::List { .. } | Self::Search { .. } | Self::Send { .. } => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Read { from_line, lines, .. } => {
                let from = from_line.map(|line| format!(" from line {line}")).unwrap_or_default();
                let count = lines.map(|count| format!(", {count} lines")).unwrap_or_default();
                format!("{self}{from}{count}")
            }
            Self::Search { glob: Some(glob), .. } => format!("{self} in `{}`", visible(glob.as_str())),
            Self::List { .. } | Self::Search { glob: None, .. } | Self::Send { .. } | Self::Receive { .. } => {
                self.to_string()
            }
            Self::Write { text, .. } => {
                format!("{self} ({} bytes)\n{}", text.as_str().len(), marked("", text.as_str()))
            }
            Self::Edit { old, new, all, .. } => {
                let what = if *all { " (every occurrence)" } else { "" };
                format!("{self}{what}\n{}{}", marked("-", old.as_str()), marked("+", new.as_str()))
            }
        }
    }
}

/// Every line of `text` after a mark; a last line without an end says so.
fn marked(mark: &str, text: &str) -> String {
    let mut shown = String::new();
    for line in text.split_inclusive('\n') {
        shown.push_str(mark);
        shown.push_str(&visible(line));
        if !line.ends_with('\n') {
            shown.push_str("\n\\ no newline at the end\n");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<FileRequest, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_is_read_from_json_and_what_does_not_fit_is_refused() {
        let read = request(r#"{"read":{"path":"a b"}}"#).unwrap();
        let path = FilePath::try_from("a b".to_owned()).unwrap();
        assert_eq!(read, FileRequest::Read { path, from_line: None, lines: None });
        let edit = r#"{"edit":{"path":"a","old":"x","new":""}}"#;
        assert!(matches!(request(edit), Ok(FileRequest::Edit { all: false, .. })));
        let long = |bytes: usize| format!(r#"{{"write":{{"path":"a","text":"{}"}}}}"#, "x".repeat(bytes));
        assert!(request(&long(TEXT_BYTES_MAX)).is_ok());
        for (json, why) in [
            (r#"{"read":{"path":"a","lnies":3}}"#.to_owned(), "unknown field `lnies`"),
            (r#"{"read":{"path":"a","lines":-1}}"#.to_owned(), "invalid value"),
            (r#"{"run":{"path":"a"}}"#.to_owned(), "unknown variant"),
            (r#"{"read":{"path":""}}"#.to_owned(), "the path is empty"),
            (r#"{"read":{"path":"a\nb"}}"#.to_owned(), "a newline (U+000A)"),
            (r#"{"read":{"path":"a\u0000"}}"#.to_owned(), "a NUL"),
            (r#"{"read":{"path":"a\u202eb"}}"#.to_owned(), "a bidirectional control"),
            (format!(r#"{{"read":{{"path":"{}"}}}}"#, "x".repeat(4097)), "at most 4096"),
            (r#"{"edit":{"path":"a","old":"","new":"x"}}"#.to_owned(), "the text to replace is empty"),
            (r#"{"search":{"path":"a","text":"x\ny"}}"#.to_owned(), "a newline"),
            (long(TEXT_BYTES_MAX + 1), "at most 1048576"),
        ] {
            let refused = request(&json).unwrap_err();
            assert!(refused.contains(why), "{json:.60}: {refused}");
        }
    }

    #[test]
    fn the_whole_text_hides_nothing() {
        let shown = |json: &str| Task::File(request(json).unwrap()).text();
        assert_eq!(
            shown(r#"{"write":{"path":"a","text":"x\u001b[2K\ny"}}"#),
            "write a (7 bytes)\nx<U+001B>[2K\ny\n\\ no newline at the end\n"
        );
        assert_eq!(
            shown(r#"{"edit":{"path":"a","old":"x\n","new":"y\nz\n","all":true}}"#),
            "edit a (every occurrence)\n-x\n+y\n+z\n"
        );
        assert_eq!(shown(r#"{"read":{"path":"a","from_line":7,"lines":2}}"#), "read a from line 7, 2 lines");
        let script = Task::Script(Script::new("echo\techo\ntrue".to_owned()).unwrap());
        assert_eq!((script.title(), script.text()), ("echo    echo …".to_owned(), "echo    echo\ntrue".to_owned()));
    }
}
