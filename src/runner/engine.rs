//! The connection to the engine: made, watched, made again. While there is none the runner stays up
//! and says why no run can start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::overlay::Left;
use super::state::{Engine, Machine, Runner};
use super::{RunnerError, changes, images, overlay, readback, reap, stale};
use crate::domain::ids::Digest;
use crate::domain::plan::Image;
use crate::protocol::runner::Readiness;

/// Where the engine listens when nothing else is said.
const SOCKET: &str = "/var/run/docker.sock";
/// Longest wait for one answer of the engine, in seconds.
const ANSWER_S_MAX: u64 = 120;
/// Between two looks at the engine.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Between a build that failed and the next try; twice as long after each further failure.
const BUILD_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause between two tries.
const BUILD_PAUSE_MAX: Duration = Duration::from_secs(30 * 60);

/// What of the machine's memory is not for runs, as a share and in bytes at the most: the core and the runner (some
/// 100 MiB), keepers that read large trees, the engine, and whatever else the machine does. Without it the kernel
/// would look for what to kill among all of them when runs use what they may.
const KEPT_MEMORY_SHARE: u64 = 8;
const KEPT_MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Connects to the engine at `host` (`DOCKER_HOST`: a Unix socket) and agrees on a version.
pub(super) async fn connect(host: Option<&str>) -> Result<Docker, RunnerError> {
    let path = match host {
        None | Some("") => SOCKET,
        Some(host) if host.starts_with('/') => host,
        Some(host) => host.strip_prefix("unix://").ok_or_else(|| RunnerError::HostForm { host: host.to_owned() })?,
    };
    let fault = |source| RunnerError::NoEngine { path: path.to_owned(), source };
    let docker = Docker::connect_with_unix(path, ANSWER_S_MAX, API_DEFAULT_VERSION).map_err(fault)?;
    docker.negotiate_version().await.map_err(fault)
}

/// Keeps the engine connected and `Readiness` true until the runner stops.
pub(super) async fn supervise(runner: Arc<Runner>) {
    let mut left = None;
    while !runner.stop.is_cancelled() {
        // A build takes minutes: the end of the runner does not wait for it.
        let up = tokio::select! {
            up = bring_up(&runner, &mut left) => up,
            () = runner.stop.cancelled() => return,
        };
        match up {
            Ok(engine) => {
                runner.become_ready(engine.clone()).await;
                let left = left.as_mut().map(std::mem::take).unwrap_or_default();
                runner.tracker.spawn(changes::discard_left(Arc::clone(&runner), left));
                let docker = engine.docker.clone();
                tokio::select! {
                    () = watch(&runner, &docker) => {}
                    () = complete(&runner, engine) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no run can start");
                runner.become_unready(error.to_string());
                pause(&runner).await;
            }
        }
    }
}

/// Connects to the engine and builds what runs need. The first time, says which overlays an earlier life left.
async fn bring_up(runner: &Runner, left: &mut Option<Vec<Left>>) -> Result<Engine, RunnerError> {
    let docker = connect(runner.places.docker.as_deref()).await?;
    let info = docker.info().await?;
    let memory_bytes = info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).map_or(u64::MAX, for_runs);
    let machine = Machine { memory_bytes, processes: processes() };
    let missing = readback::missing(&info);
    let facts = facts(&docker, info);
    // Also what the engine kept over a stop of its own: a run that is not under way any more.
    reap::reap(&docker, &runner.home_label(), &runner.under_way()).await?;
    left.get_or_insert_with(|| sweep(runner));
    let mut tell = |text: &str| runner.tell(text);
    let built = build_programs(&docker, &programs(runner.places.programs.as_deref())?, &runner.home_label()).await?;
    let now_s = i64::try_from((runner.places.clock)() / 1_000_000_000).unwrap_or_default();
    if let Err(error) = stale::remove(&docker, now_s).await {
        tracing::warn!(%error, "programs of earlier builds are left with the engine; the next start tries again");
    }
    let mut images = vec![images::base(&docker, &mut tell).await?];
    images.extend(images::found(&docker).await?.into_iter().filter(|image| image.name == "workbench"));
    Ok(Engine { docker, built: Built { images, ..built }, facts, machine, missing })
}

/// What is left of the machine's memory for runs.
fn for_runs(memory_bytes: u64) -> u64 {
    memory_bytes - (memory_bytes / KEPT_MEMORY_SHARE).min(KEPT_MEMORY_BYTES_MAX)
}

/// Half of the processes and threads that the kernel can have (proc_sys_kernel(5)).
fn processes() -> u64 {
    let read = |path: &&str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let most = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].iter().filter_map(read).min();
    most.map_or(u64::MAX, |most| most / 2)
}

fn sweep(runner: &Runner) -> Vec<Left> {
    overlay::sweep(runner).unwrap_or_else(|error| {
        tracing::warn!(%error, "directories of earlier runs are left; the next start tries again");
        Vec::new()
    })
}

/// Builds the image that is still missing. Runs in `base` need not wait for the larger one, nor for a
/// build of it that fails: it is tried again. Never returns.
async fn complete(runner: &Runner, mut engine: Engine) {
    let mut failures = 0;
    while let [base] = engine.built.images.as_slice() {
        match images::workbench(&engine.docker, base, &mut |text| runner.tell(text)).await {
            Ok(workbench) => {
                engine.built.images.push(workbench);
                runner.become_ready(engine.clone()).await;
            }
            Err(error) => {
                let pause = build_pause(failures);
                failures += 1;
                let warning =
                    format!("runs have the image `base` alone: failed to {error}; next try in {} s", pause.as_secs());
                runner.tell(&warning);
                runner.warn(warning);
                tokio::time::sleep(pause).await;
            }
        }
    }
    std::future::pending().await
}

/// The pause after this many failures and one more.
fn build_pause(failures: u32) -> Duration {
    BUILD_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(BUILD_PAUSE_MAX)
}

/// What was built on an engine.
#[derive(Debug, Clone)]
pub(super) struct Built {
    /// The images that a plan can name.
    pub(super) images: Vec<Image>,
    /// Id of the probe's image.
    pub(super) probe: String,
    /// Id of the keeper's.
    pub(super) keeper: String,
    /// The volume with castoff-init.
    pub(super) init_volume: String,
    /// The digest of castoff-init.
    pub(super) init_digest: Digest,
}

/// The directory of our own programs: beside this one, when nothing else is said.
pub(super) fn programs(said: Option<&Path>) -> Result<PathBuf, RunnerError> {
    match said {
        Some(directory) => Ok(directory.to_owned()),
        None => {
            let own = std::fs::read_link("/proc/self/exe").map_err(RunnerError::Own)?;
            Ok(own.parent().unwrap_or(Path::new("/")).to_owned())
        }
    }
}

async fn build_programs(docker: &Docker, programs: &Path, home: &str) -> Result<Built, RunnerError> {
    let program = images::program(programs, "castoff-init")?;
    let init_digest = Digest::of(&program);
    let probe = images::init(docker, &program).await?;
    let keeper = images::keeper(docker, &images::program(programs, "castoff")?).await?;
    let init_volume = images::init_volume(docker, &probe, &keeper, home).await?;
    Ok(Built { images: Vec::new(), probe: probe.id, keeper: keeper.id, init_volume, init_digest })
}

/// Looks at engine, disk and policy; returns when the engine stops to answer, or the runner is to stop.
async fn watch(runner: &Runner, docker: &Docker) {
    loop {
        pause(runner).await;
        if runner.stop.is_cancelled() {
            return;
        }
        if let Err(error) = docker.ping().await {
            runner.become_unready(format!("the engine stopped to answer: {error}"));
            return;
        }
        runner.look_again();
    }
}

async fn pause(runner: &Runner) {
    tokio::select! {
        () = runner.stop.cancelled() => {}
        () = tokio::time::sleep(LOOK_INTERVAL) => {}
    }
}

/// What `status` says of the engine.
pub(super) fn facts(docker: &Docker, info: SystemInfo) -> Vec<(String, String)> {
    let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
    runtimes.sort();
    let cgroup = info.cgroup_version.map(|version| version.to_string());
    [
        ("engine", info.server_version),
        ("api", Some(docker.client_version().to_string())),
        ("storage driver", info.driver),
        ("runtimes", Some(runtimes.join(" "))),
        ("cgroup version", cgroup),
        ("kernel", info.kernel_version),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.filter(|text| !text.is_empty()).map(|text| (name.to_owned(), text)))
    .collect()
}

/// The readiness of a runner that has just begun.
pub(super) fn starting(files_uid: u32, files_gid: u32) -> Readiness {
    let problems = vec!["the runner is starting: it connects to the engine and builds the images".to_owned()];
    Readiness { problems, files_uid, files_gid, ..Readiness::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_builds_grow_up_to_a_limit() {
        let seconds: Vec<u64> = [0, 1, 2, 6, 7, 40].map(|failures| build_pause(failures).as_secs()).to_vec();
        assert_eq!(seconds, [15, 30, 60, 960, 1800, 1800]);
    }
}
