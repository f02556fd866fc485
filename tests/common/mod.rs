//! A Castoff of a test's own: a home on a real file system, the static program serving it, the
//! command line against it, and the engine asked what is really there. Needs Docker and
//! `CASTOFF_BIN_DIR`, the directory of the static programs; `make test` sets it and builds the images
//! of runs beforehand.
//!
//! It never touches what another installation has: containers and volumes are found by the label
//! with this home. What is left when a test fails, panics or is killed is removed by a janitor, a
//! shell that waits for the end of its standard input. `CASTOFF_TEST_KEEP=1` keeps the directory.

pub(crate) mod directory;
pub(crate) mod engine;
mod live;
pub(crate) mod processes;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub(crate) use live::{Answer, Live};
use processes::{Process, kill};

/// Looks of [`eventually`], and the pause between two: two minutes.
const LOOKS: u32 = 2400;
const PAUSE: Duration = Duration::from_millis(50);

/// Ends what a test left: the core, its containers and volumes, its directory.
const JANITOR: &str = r#"
read -r _
pid=$(cat "$1/core.pid" 2>/dev/null)
alive() { [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$1/home"; }
if alive "$1"; then
    kill "$pid"
    for _ in $(seq 300); do alive "$1" || break; sleep 0.1; done
    alive "$1" && kill -9 "$pid"
fi
docker ps -aq --filter "label=castoff.home=$1/home" | xargs -r docker rm -fv
docker volume ls -q --filter "label=castoff.home=$1/home" | xargs -r docker volume rm -f
[ -n "${CASTOFF_TEST_KEEP-}" ] && exit
awk -v root="$1/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
rm -rf "$1"
"#;

/// One installation, with its core unless that was stopped or killed.
#[derive(Debug)]
pub(crate) struct Castoff {
    root: PathBuf,
    core: Mutex<Option<Child>>,
    janitor: Child,
}

impl Castoff {
    /// Starts one with these files in `config/`, where `WORK` stands for a workspace that the files
    /// uid owns, `HOME` for the home, and `ROOT` for the directory of both. Returns once a run could start.
    pub(crate) fn start(config: &[(&str, &str)]) -> Self {
        let castoff = Self::prepare(config);
        castoff.serve();
        castoff
    }

    /// As [`Castoff::start`], without starting the core.
    pub(crate) fn prepare(config: &[(&str, &str)]) -> Self {
        let directory = directory::directory();
        fs::create_dir_all(&directory).unwrap();
        let root = tempfile::Builder::new().prefix("castoff-").tempdir_in(&directory).unwrap().keep();
        // Others must get through to the workspaces.
        fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let janitor = command("setsid")
            .args(["sh", "-c", JANITOR, "janitor"])
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let castoff = Self { root, core: Mutex::new(None), janitor };
        fs::create_dir(castoff.work()).unwrap();
        castoff.give(&castoff.work());
        fs::create_dir_all(castoff.home().join("config")).unwrap();
        for (name, text) in config {
            castoff.configure(name, text);
        }
        castoff
    }

    /// Writes a file of `config/`.
    pub(crate) fn configure(&self, name: &str, text: &str) {
        let text = text.replace("WORK", self.work().to_str().unwrap());
        let text = text.replace("HOME", self.home().to_str().unwrap());
        let text = text.replace("ROOT", self.root.to_str().unwrap());
        fs::write(self.home().join("config").join(name), text).unwrap();
    }

    /// The directory of home, workspace and log.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `CASTOFF_HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The owner's own home.
    pub(crate) fn own(&self) -> PathBuf {
        self.home().join("people/owner")
    }

    /// The workspace.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// What the core and the runner logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.root.join("log")).unwrap_or_default()).into_owned()
    }

    /// Gives a path to the files uid, where this process may.
    pub(crate) fn give(&self, path: &Path) {
        if self.is_root() {
            chown(path, Some(FILES_UID), Some(FILES_UID)).unwrap();
        }
    }

    /// Whether this test runs as root, so that the files uid is another.
    pub(crate) fn is_root(&self) -> bool {
        fs::metadata("/proc/self").unwrap().uid() == 0
    }

    /// Starts the core and waits until a run could start.
    pub(crate) fn serve(&self) {
        self.launch(&[]);
        for _ in 0..LOOKS {
            if self.run_in(&self.root, &["status", "--health"]).code == 0 {
                return;
            }
            if let Some(status) = self.core().as_mut().and_then(|core| core.try_wait().unwrap()) {
                panic!("`castoff serve` ended ({status}):\n{}", self.log());
            }
            std::thread::sleep(PAUSE * 2);
        }
        panic!("Castoff does not get healthy:\n{}", self.log());
    }

    /// Starts the core with more environment, and waits for nothing.
    pub(crate) fn launch(&self, environment: &[(&str, &str)]) {
        let log = fs::File::options().create(true).append(true).open(self.root.join("log")).unwrap();
        let mut serve = self.command(&["serve"]);
        // Where those programs look that have moments to be killed at.
        serve.env("CASTOFF_CRASH_DIR", self.root.join("crash"));
        serve.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let core = serve.spawn().unwrap();
        fs::write(self.root.join("core.pid"), core.id().to_string()).unwrap();
        *self.core() = Some(core);
    }

    fn core(&self) -> MutexGuard<'_, Option<Child>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The core's process.
    pub(crate) fn core_process(&self) -> Process {
        Process(self.core().as_ref().expect("the core was started").id())
    }

    /// The runner's process: the core's only child.
    pub(crate) fn runner_process(&self) -> Process {
        let children = self.core_process().children();
        assert_eq!(children.len(), 1, "the core has the runner for its only child: {children:?}");
        children[0]
    }

    /// Asks the core to end, and waits for it.
    pub(crate) fn stop(&self) {
        self.end_core("TERM");
    }

    /// Kills the core as a crash would.
    pub(crate) fn crash(&self) {
        self.end_core("KILL");
    }

    /// Waits until the core has ended by itself, and gives its exit code.
    pub(crate) fn core_ended(&self) -> Option<i32> {
        let mut core = self.core().take().expect("the core was started");
        eventually("the core ends by itself", || core.try_wait().unwrap()).code()
    }

    fn end_core(&self, signal: &str) {
        if let Some(mut core) = self.core().take() {
            kill(core.id(), signal);
            eventually("the core ends", || core.try_wait().unwrap());
        }
    }

    /// `castoff --home HOME …`, without a terminal of ours.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command("setsid");
        command.arg(program()).arg("--home").arg(self.home()).args(arguments);
        command
    }

    /// Starts `castoff …` in a directory, with standard input.
    pub(crate) fn begin_in(&self, directory: &Path, arguments: &[&str], input: &[u8]) -> Live {
        let mut command = self.command(arguments);
        command.current_dir(directory);
        let live = Live::start(command, format!("castoff {}", arguments.join(" ")));
        live.feed(input);
        live
    }

    /// Starts `castoff …` outside of every workspace, without input.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Live {
        self.begin_in(&self.root, arguments, b"")
    }

    /// Starts `castoff …` at a terminal of its own, without colours.
    pub(crate) fn at_terminal(&self, arguments: &[&str]) -> Live {
        self.at_terminal_with(&[("NO_COLOR", "1")], arguments)
    }

    /// The same, in an environment that says what it takes.
    pub(crate) fn at_terminal_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Live {
        let words = [program().to_str().unwrap(), "--home", self.home().to_str().unwrap()]
            .iter()
            .chain(arguments)
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect::<Vec<_>>();
        let mut command = command("script");
        // No shell is left that a Ctrl-C would end, too.
        let line = format!("exec {}", words.join(" "));
        command.args(["-qec", &line, "/dev/null"]).current_dir(&self.root).env("SHELL", "/bin/sh");
        command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
        Live::start(command, format!("castoff {} (at a terminal)", arguments.join(" ")))
    }

    /// `castoff …` in a directory, to its end.
    pub(crate) fn run_in(&self, directory: &Path, arguments: &[&str]) -> Answer {
        self.begin_in(directory, arguments, b"").finish()
    }

    /// `castoff …`, to its end.
    pub(crate) fn castoff(&self, arguments: &[&str]) -> Answer {
        self.begin(arguments).finish()
    }

    /// `castoff …` as another uid; only root may.
    pub(crate) fn castoff_as(&self, uid: u32, arguments: &[&str]) -> Answer {
        let live = self.begin_as(uid, arguments);
        live.feed(b"");
        live.finish()
    }

    /// The same, and it is not waited for.
    pub(crate) fn begin_as(&self, uid: u32, arguments: &[&str]) -> Live {
        let mut command = command("setpriv");
        let uid = uid.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "setsid"]);
        command.arg(program()).arg("--home").arg(self.home()).args(arguments).current_dir("/");
        Live::start(command, format!("castoff {} as {uid}", arguments.join(" ")))
    }

    /// `castoff run -- SCRIPT`.
    pub(crate) fn run(&self, script: &str) -> Answer {
        self.castoff(&["run", "--", script])
    }

    /// `castoff --json …`: exit code and the one line of the answer.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let answer = self.castoff(&[&["--json"], arguments].concat());
        let value = serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        (answer.code, value)
    }

    /// `castoff --json run -- SCRIPT`.
    pub(crate) fn run_json(&self, script: &str) -> (i32, Value) {
        self.json(&["run", "--", script])
    }

    /// What is on record about a run.
    pub(crate) fn record(&self, run: &str) -> Value {
        let (_, runs) = self.json(&["runs", "-n", "200"]);
        let found = runs.as_array().unwrap().iter().find(|one| one["run"] == run);
        found.unwrap_or_else(|| panic!("run {run} is not on record: {runs}")).clone()
    }
}

impl Drop for Castoff {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.home().display(), self.log());
        }
        if let Some(mut core) = self.core().take() {
            kill(core.id(), "TERM");
            for _ in 0..LOOKS {
                if !matches!(core.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        // The end of its input, and its own.
        drop(self.janitor.stdin.take());
        drop(self.janitor.wait());
    }
}

/// Who owns people's files when the tests run as root: the program's own choice.
pub(crate) const FILES_UID: u32 = 10001;

/// What most tests need: the basics, two ways to be asked, and a workspace.
pub(crate) const USUAL: &[(&str, &str)] = &[
    (
        "tools.yaml",
        "exec:\n  deny: [\"sudo\", \"curl | bash\"]\nrequire_approval: [\"delete\", \"factor\"]\nfiles:\n  allowed_paths: [\"WORK\"]\n",
    ),
    ("limits.yaml", "time_zone: \"Europe/Berlin\"\nruns: { output: \"1MiB\", memory: \"512MiB\" }\n"),
];

/// The usual Castoff, one for all tests of this process; its janitor ends it with the process.
pub(crate) fn usual() -> &'static Castoff {
    static USUAL_ONE: OnceLock<Castoff> = OnceLock::new();
    USUAL_ONE.get_or_init(|| Castoff::start(USUAL))
}

/// The programs that stand in for those of `CASTOFF_BIN_DIR`.
static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();

/// Tests these programs instead of those of `CASTOFF_BIN_DIR`; said before the first start.
pub(crate) fn test_programs_of(directory: PathBuf) {
    PROGRAMS.get_or_init(|| directory);
}

/// The static `castoff`.
pub(crate) fn program() -> PathBuf {
    let named = || std::env::var_os("CASTOFF_BIN_DIR");
    let directory = PROGRAMS.get().map(|path| path.clone().into_os_string()).or_else(named).unwrap_or_else(|| {
        panic!("CASTOFF_BIN_DIR is not set: it names the directory of the static `castoff`; `make test` builds it and sets it")
    });
    let program = fs::canonicalize(Path::new(&directory).join("castoff"));
    program.unwrap_or_else(|error| panic!("no `castoff` in CASTOFF_BIN_DIR={directory:?}: {error}"))
}

/// A program of the host, for the test itself: never started by Castoff.
#[expect(clippy::disallowed_methods, reason = "tests start the program as people do, and ask the engine themselves")]
pub(crate) fn command(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    // Who called sudo must not decide what the tests see.
    for name in ["SUDO_UID", "SUDO_GID", "CASTOFF_HOME", "CASTOFF_CONFIG", "CASTOFF_RUNNER", "CASTOFF_LOG"] {
        command.env_remove(name);
    }
    command
}

/// What `look` finds, as soon as it does; a panic that says what never came.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("never came about: {what}");
}

/// A text of a JSON value.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
