//! Where the doctor attacks: a temporary home, a runner on it, and the way to have scripts run.
//! Whatever was made is removed by [`Ground::clear`], however far it came.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_bytes::ByteBuf;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::Child;

use super::surroundings;
use crate::config::Installation;
use crate::control::client::Refused;
use crate::domain::change::Landing;
use crate::domain::ids::{PersonId, RunId};
use crate::domain::limits::Limits;
use crate::domain::plan::{Access, Cover, Image, Mount, Plan, Review};
use crate::domain::run::{RunEnd, Stream};
use crate::domain::script::Script;
use crate::domain::task::Task;
use crate::protocol::codec;
use crate::protocol::runner::{Fate, FromRunner, Readiness, ToRunner};
use crate::runner::examine;
use crate::runtime::{child, prepare};

/// Longest path of a Unix socket.
const SOCKET_BYTES_MAX: usize = 107;
/// File systems that an overlay's upper directory cannot be on, or is not to be tried on.
const UNFIT: &[&str] = &["overlay", "tmpfs", "ramfs", "nfs", "nfs4", "cifs", "9p", "fuse", "vfat", "exfat"];
/// Owner of the doctor's files when root calls.
const FILES_UID: u32 = 10001;
/// Before it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(50);
/// How long one run may take from plan to end, its own limits apart.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);
/// How long the runner may take to drop what is held.
const DROP_TIME_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end; one that builds an image meanwhile is killed.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// The temporary installation.
#[derive(Debug)]
pub(super) struct Ground {
    directory: TempDir,
    child: Child,
    link: Option<UnixStream>,
    image: Option<Image>,
    /// Runs whose overlays may still be there.
    held: Vec<RunId>,
}

/// What a run did.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) run: RunId,
    /// Its standard output.
    pub(super) text: String,
    /// Bytes of both streams.
    pub(super) bytes: usize,
    pub(super) end: RunEnd,
}

impl Ground {
    /// Makes the home and starts the runner.
    pub(super) fn make(home: &Path) -> anyhow::Result<Self> {
        let directory = place(home)?;
        // The engine's mounts must be reachable; nothing in it is secret.
        let unusable = || format!("`{}` cannot be used", directory.path().display());
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .with_context(unusable)?;
        let new = directory.path().join("home");
        let config = new.join("config");
        let this = Installation::of_this_process();
        let files = |id: u32| Some(if this.uid == 0 { FILES_UID } else { id });
        let installation = Installation { files_uid: files(this.uid), files_gid: files(this.gid), ..this };
        prepare::prepare(&new, &config, &installation)?;
        let outside = directory.path().join("outside");
        std::fs::create_dir(&outside).with_context(unusable)?;
        std::fs::write(outside.join("f"), super::attacks::UNTOUCHED).with_context(unusable)?;
        let log = File::create(directory.path().join("runner.log")).with_context(unusable)?;
        let child = child::start_runner(&new, &config, Stdio::from(log)).context("failed to start the runner")?;
        Ok(Self { directory, child, link: None, image: None, held: Vec::new() })
    }

    /// A directory of the host that no run may reach; holds one file, `f`.
    pub(super) fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    /// The only workspace: the owner's home.
    pub(super) fn workspace(&self) -> PathBuf {
        self.home().join("people/owner")
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Waits until runs can start, and says what for when that takes longer than a moment.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let readiness = {
            let ready = self.connect_ready();
            tokio::pin!(ready);
            match tokio::time::timeout(PATIENCE, &mut ready).await {
                Ok(ready) => ready?,
                Err(_) => {
                    say("waiting for the runner: it connects to the engine and looks for its images");
                    ready.await?
                }
            }
        };
        self.image = readiness.images.into_iter().next();
        Ok(())
    }

    async fn connect_ready(&mut self) -> anyhow::Result<Readiness> {
        self.connect().await?;
        let mut failed = false;
        loop {
            let message = self.hear().await?;
            if let FromRunner::Progress { text, .. } = &message {
                say(text);
            }
            let FromRunner::Ready(ready) = message else { continue };
            if ready.problems.is_empty() && !ready.images.is_empty() {
                return Ok(ready);
            }
            // The first says that it starts; what comes after tells why it cannot go on.
            if failed {
                return Err(Refused { code: 1, why: format!("no run can start: {}", ready.problems.join("; ")) })?;
            }
            failed = true;
        }
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        let socket = self.home().join("run/runner/runner.sock");
        loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => {
                    self.link = Some(stream);
                    return Ok(());
                }
                Err(_) if self.child.try_wait()?.is_none() => tokio::time::sleep(RETRY).await,
                Err(_) => bail!("the runner ended at once: {}", self.log()),
            }
        }
    }

    /// The last lines of the runner's log.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.directory.path().join("runner.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    async fn tell(&mut self, message: &ToRunner) -> anyhow::Result<()> {
        let link = self.link.as_mut().context("the runner is not connected")?;
        Ok(codec::send(link, message).await?)
    }

    async fn hear(&mut self) -> anyhow::Result<FromRunner> {
        let link = self.link.as_mut().context("the runner is not connected")?;
        match codec::receive(link).await? {
            Some(message) => Ok(message),
            None => bail!("the runner closed the connection: {}", self.log()),
        }
    }

    /// The first message that `pick` takes; what stands in its way is the error.
    async fn answer<T>(&mut self, pick: impl Fn(FromRunner) -> Result<T, FromRunner>) -> anyhow::Result<T> {
        loop {
            match pick(self.hear().await?) {
                Ok(answer) => return Ok(answer),
                Err(FromRunner::Trouble { why, .. }) => bail!("{why}"),
                Err(_) => {}
            }
        }
    }

    /// Runs a script to its end within these limits; its changes are held.
    pub(super) async fn run(&mut self, script: &str, limits: Limits) -> anyhow::Result<Heard> {
        let allowed = Duration::from_millis(limits.wall_time_ms) + RUN_TIME_MAX;
        let run = fresh_run()?;
        self.held.push(run.clone());
        tokio::time::timeout(allowed, self.run_whole(run, script, limits)).await.context("the run did not end")?
    }

    async fn run_whole(&mut self, run: RunId, script: &str, limits: Limits) -> anyhow::Result<Heard> {
        let mounts = vec![Mount { path: self.workspace(), access: Access::Overlay }];
        self.tell(&ToRunner::Survey { run: run.clone(), person: PersonId::owner(), mounts: mounts.clone() }).await?;
        let (covers, unusable) = self
            .answer(|message| {
                let FromRunner::Surveyed { covers, unusable, .. } = message else { return Err(message) };
                Ok((covers, unusable))
            })
            .await?;
        if let Some(unusable) = unusable.first() {
            bail!("{}", unusable.why);
        }
        let plan = self.plan(script, limits, mounts, covers)?;
        let digest = plan.digest();
        let plan = Box::new(plan);
        self.tell(&ToRunner::Run { run: run.clone(), plan, digest, stdin: ByteBuf::new() }).await?;
        let (mut stdout, mut bytes_seen) = (Vec::new(), 0);
        loop {
            let message = self.hear().await?;
            if let FromRunner::Output { stream, bytes, .. } = message {
                bytes_seen += bytes.len();
                if stream == Stream::Stdout {
                    stdout.extend_from_slice(&bytes);
                }
            } else if let FromRunner::Ended { end, .. } = message {
                let text = String::from_utf8_lossy(&stdout).into_owned();
                return Ok(Heard { run, text, bytes: bytes_seen, end: *end });
            }
        }
    }

    fn plan(&self, script: &str, limits: Limits, mounts: Vec<Mount>, covers: Vec<Cover>) -> anyhow::Result<Plan> {
        let etc = std::fs::metadata("/etc").map(|etc| {
            use std::os::unix::fs::MetadataExt as _;
            format!("{}:{}", etc.dev(), etc.ino())
        });
        let engine = std::env::var("DOCKER_HOST").unwrap_or_default();
        let env = [
            ("HOME", self.workspace().display().to_string()),
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("DOCTOR_OUTSIDE", self.outside().display().to_string()),
            ("DOCTOR_ETC", etc.unwrap_or_default()),
            ("DOCTOR_ENGINE", engine.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()),
            ("DOCTOR_FILES", limits.open_files.to_string()),
            ("DOCTOR_FILE_BYTES", limits.file_bytes.to_string()),
        ];
        Ok(Plan {
            person: PersonId::owner(),
            user_name: "doctor".to_owned(),
            task: Task::Script(Script::new(script.to_owned())?),
            stdin: None,
            workdir: self.workspace(),
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            image: self.image.clone().context("the runner has no image")?,
            mounts,
            covers,
            limits,
            review: Review::Changes,
            deletions: false,
        })
    }

    /// Lands what a run changed.
    pub(super) async fn apply(&mut self, run: &RunId) -> anyhow::Result<Vec<Landing>> {
        self.tell(&ToRunner::Apply { run: run.clone(), paths: None }).await?;
        let answer = self.answer(|message| {
            let FromRunner::Applied { landings, .. } = message else { return Err(message) };
            Ok(landings)
        });
        tokio::time::timeout(RUN_TIME_MAX, answer).await.context("the changes did not land in time")?
    }

    /// Ends what runs, removes everything that was made, and returns how many containers an ended
    /// runner had left.
    pub(super) async fn clear(mut self, docker: Option<&str>) -> anyhow::Result<usize> {
        // A frame may have been cut in half: only a new connection is of use. The runner ends the runs of the old one.
        self.link = None;
        let dropped = tokio::time::timeout(DROP_TIME_MAX, self.drop_held()).await;
        drop(self.child.stdin.take());
        if tokio::time::timeout(END_TIME_MAX, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        let home = self.home();
        let left = examine::clear(docker, &home).await;
        let path = self.directory.path().to_owned();
        let removed = self.directory.close();
        if let (Err(error), Ok(Err(why))) = (&removed, &dropped) {
            bail!("`{}` is left behind: {error}; {why:#}", path.display());
        }
        removed.with_context(|| format!("`{}` is left behind", path.display()))?;
        Ok(left?)
    }

    /// Has the keeper empty every overlay, whose files may be another user's.
    async fn drop_held(&mut self) -> anyhow::Result<()> {
        let runs = std::mem::take(&mut self.held);
        if runs.is_empty() {
            return Ok(());
        }
        self.connect().await?;
        let (mut told, all) = (Vec::new(), runs.len());
        self.tell(&ToRunner::Recall { runs }).await?;
        while told.len() < all {
            let fates = self.answer(|message| {
                let FromRunner::Recalled { runs } = message else { return Err(message) };
                Ok(runs)
            });
            told.extend(fates.await?);
        }
        for (run, _) in told.into_iter().filter(|(_, fate)| *fate != Fate::NeverSeen) {
            self.tell(&ToRunner::Drop { run }).await?;
            while !matches!(self.hear().await?, FromRunner::Dropped { .. } | FromRunner::Trouble { .. }) {}
        }
        Ok(())
    }
}

fn fresh_run() -> anyhow::Result<RunId> {
    let mut bytes = [0; 11];
    getrandom::fill(&mut bytes).context("the kernel gives no random bytes")?;
    Ok(RunId::from_random(bytes))
}

/// A directory on a real file system: beside the configured home, else where caches or temporary
/// files go.
fn place(home: &Path) -> anyhow::Result<TempDir> {
    let beside = home.parent().map(Path::to_path_buf);
    let cache = std::env::home_dir().map(|home| home.join(".cache"));
    for parent in [beside, cache, Some(std::env::temp_dir())].into_iter().flatten() {
        let kind = surroundings::file_system(&parent).unwrap_or_default();
        if UNFIT.iter().any(|unfit| kind == *unfit || kind.starts_with("fuse.")) {
            continue;
        }
        let Ok(directory) = tempfile::Builder::new().prefix(".castoff-doctor-").tempdir_in(&parent) else { continue };
        if directory.path().join("home/run/runner/runner.sock").as_os_str().len() <= SOCKET_BYTES_MAX {
            return Ok(directory);
        }
    }
    bail!(
        "no directory on a real file system can be written for the doctor's temporary home\n\
         hint: set TMPDIR to one, on a disk, with a short path"
    )
}

fn say(text: &str) {
    use std::io::Write as _;
    // What nobody can read is no reason to end.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
