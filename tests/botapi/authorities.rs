//! Two judges that others wrote: TDLib, which is how Telegram itself parses texts, and aiogram, a
//! second client of the Bot API. Both are Python packages, installed from PyPI into a directory below
//! `target` by whichever test comes first.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

const PACKAGES: [&str; 2] = ["tdjson==1.8.69", "aiogram==3.31.0"];

/// A text as Telegram takes it apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Parsed {
    /// Without tags.
    pub(crate) text: String,
    /// What is styled, in UTF-16 units of the text.
    pub(crate) entities: Vec<Entity>,
}

/// `MessageEntity` of the Bot API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(crate) struct Entity {
    /// `bold`, `pre`, …
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// UTF-16 units before it.
    pub(crate) offset: usize,
    /// UTF-16 units in it.
    pub(crate) length: usize,
    /// Of a `text_link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Of a `pre`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
}

/// How TDLib parses this HTML; its own error when it does not.
pub(crate) fn parse_html(html: &str) -> Result<Parsed, String> {
    let answer = ask(&json!({ "html": html }));
    match answer.get("error") {
        Some(error) => Err(error.as_str().unwrap().to_owned()),
        None => Ok(serde_json::from_value(answer).unwrap()),
    }
}

/// Whether aiogram takes this value as `kind` of the Bot API.
pub(crate) fn validate(kind: &str, value: &Value) -> Result<(), String> {
    match ask(&json!({ "result": [kind, value] })).get("error") {
        Some(error) => Err(error.as_str().unwrap().to_owned()),
        None => Ok(()),
    }
}

struct Judge {
    questions: UnixStream,
    answers: BufReader<UnixStream>,
}

fn ask(question: &Value) -> Value {
    static JUDGE: OnceLock<Mutex<Judge>> = OnceLock::new();
    let judge = JUDGE.get_or_init(|| Mutex::new(found()));
    let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(judge.questions, "{question}").expect("the judges of Telegram texts listen");
    let mut line = String::new();
    judge.answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).expect("the judges of Telegram texts ended; `judges.log` in their directory says why")
}

/// The judges that run, or those that whichever test comes first has started: they take seconds to begin,
/// serve all test programs, and end by themselves when nobody has asked for a while.
fn found() -> Judge {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("telegram-authorities");
    fs::create_dir_all(&directory).unwrap();
    let mut hasher = DefaultHasher::new();
    (include_str!("authorities.py"), PACKAGES, &directory).hash(&mut hasher);
    // Not in that directory: the path of a socket has at most 107 bytes.
    let socket = std::env::temp_dir().join(format!("castoff-judges-{:x}", hasher.finish()));
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let connected = UnixStream::connect(&socket).unwrap_or_else(|_| {
        drop(fs::remove_file(&socket));
        start(&directory, &socket);
        UnixStream::connect(&socket).unwrap()
    });
    Judge { questions: connected.try_clone().unwrap(), answers: BufReader::new(connected) }
}

#[expect(clippy::zombie_processes, reason = "it outlives the test that began it")]
fn start(directory: &Path, socket: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/botapi/authorities.py");
    let log = directory.join("judges.log");
    let mut process = command(&python(directory))
        .arg(script)
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .process_group(0)
        .spawn()
        .expect("the Python of target starts");
    while !socket.exists() {
        let ended = process.try_wait().unwrap();
        assert!(ended.is_none(), "the judges of Telegram texts ended: {}", fs::read_to_string(&log).unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The Python that has the packages, made at the first call; other test programs wait meanwhile.
fn python(directory: &Path) -> PathBuf {
    let python = directory.join("venv/bin/python");
    let made = directory.join("made");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&made).ok().as_ref() != Some(&wanted) {
        run(command(Path::new("python3")).args(["-m", "venv", "--clear"]).arg(directory.join("venv")));
        run(command(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES));
        fs::write(made, wanted).unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "failed to install {PACKAGES:?}, which judge what is sent to Telegram ({command:?}: {status:?})\n\
         hint: python3 with venv, and PyPI or a mirror of it, must be there"
    );
}

#[expect(clippy::disallowed_methods, reason = "the tests ask what others wrote; Castoff never starts it")]
fn command(program: &Path) -> Command {
    Command::new(program)
}
