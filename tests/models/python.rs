//! What Python brings: an environment with the counterparts, made once, and servers in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// What the environment holds. Another list makes another one.
const PACKAGES: &str = "anthropic==2.12.0\nopenai==3.57.0\nollama==0.6.3\nllmock==0.2.2\nfakellm==0.3.5\n\
                        pydantic==2.14.4\njsonschema==4.26.0\ntrustme==1.2.1\n";
/// Looks at a server that starts, and the pause between them.
const LOOKS: usize = 1200;
const PAUSE: Duration = Duration::from_millis(50);

#[expect(clippy::disallowed_methods, reason = "the counterparts are Python's, and Castoff never starts them")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// Runs `command`, which must succeed; what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (told, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed, which the tests of the models need:\n{told}{warned}");
    told.into_owned()
}

/// The directory of the environment, made if need be; two test programs wait for each other.
pub(crate) fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models-python");
        fs::create_dir_all(&home).unwrap();
        let lock = File::create(home.join("lock")).unwrap();
        lock.lock().unwrap();
        let made = home.join("made");
        if fs::read_to_string(&made).is_ok_and(|of| of == PACKAGES) {
            return home;
        }
        drop(fs::remove_file(&made));
        let list = home.join("packages.txt");
        fs::write(&list, PACKAGES).unwrap();
        run(command("python3").args(["-m", "venv", "--clear"]).arg(home.join("venv")));
        let pip = home.join("venv/bin/pip");
        run(command(&pip).args(["install", "--quiet", "--requirement"]).arg(&list));
        // The recorded streams are in the source distribution alone.
        let source = ["download", "--quiet", "--no-deps", "--no-binary", "anthropic", "anthropic==2.12.0"];
        run(command(&pip).args(source).arg("--dest").arg(home.join("source")));
        let archive = home.join("source/anthropic-2.12.0.tar.gz");
        run(command("tar").arg("-xzf").arg(archive).arg("-C").arg(home.join("source")));
        fs::write(&made, PACKAGES).unwrap();
        home
    })
}

/// What `script` prints, given `input`. Fails the test when it fails.
pub(crate) fn answer(script: &str, arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = command(home().join("venv/bin/python"))
        .args(["-c", script])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "Python failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server of the environment; ends when it is dropped.
pub(crate) struct Server {
    child: Child,
    directory: tempfile::TempDir,
    pub(crate) url: String,
}

impl Server {
    /// The ASGI application `app` on a port of its own choice, with `environment`.
    pub(crate) fn start(app: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_with(app, environment, &[])
    }

    /// One with more arguments of uvicorn.
    pub(crate) fn start_with(app: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let child = command(home().join("venv/bin/python"))
            .args(["-m", "uvicorn", app, "--port", "0", "--log-level", "info"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { child, directory, url: String::new() };
        for _ in 0..LOOKS {
            let told = fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = told.split_once("running on ") {
                server.url = rest.split_whitespace().next().unwrap().to_owned();
                return server;
            }
            assert!(server.child.try_wait().unwrap().is_none(), "{app} ended:\n{told}");
            std::thread::sleep(PAUSE);
        }
        panic!("{app} never listened:\n{}", server.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
