//! The roles: core, runner, keeper, and the preparation of the home directory.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Installation;
use crate::runner::{self, RunnerPlaces};
use crate::runtime::{child, clock, core, prepare};
use crate::{control, keeper};

/// What `castoff runner` does.
#[derive(Debug, Clone, Copy)]
pub(super) enum RunnerMode {
    Serve,
    Child,
    Health,
    BuildImages,
}

impl RunnerMode {
    pub(super) fn of(health: bool, build_images: bool, child: bool) -> Self {
        match (health, build_images, child) {
            (true, _, _) => Self::Health,
            (_, true, _) => Self::BuildImages,
            (_, _, true) => Self::Child,
            (false, false, false) => Self::Serve,
        }
    }
}

/// Serves one workspace over standard input and output.
pub(super) fn keeper() -> anyhow::Result<u8> {
    keeper::serve(std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(0)
}

/// Makes the home directory's places.
pub(super) fn prepare(home: &Path, config: &Path) -> anyhow::Result<u8> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let uid = number("CASTOFF_INSTALL_UID").unwrap_or_else(|| rustix::process::getuid().as_raw());
    let gid = number("CASTOFF_INSTALL_GID").unwrap_or_else(|| rustix::process::getgid().as_raw());
    let person_home = std::env::var_os("CASTOFF_INSTALL_HOME").map(Into::into).or_else(std::env::home_dir);
    let files = number("SUDO_UID").or((uid != 0).then_some(uid));
    let files_gid = number("SUDO_GID").or((uid != 0).then_some(gid));
    let installation =
        Installation { uid, gid, home: person_home.unwrap_or_else(|| "/root".into()), files_uid: files, files_gid };
    prepare::prepare(home, config, &installation)?;
    Ok(0)
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CASTOFF_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("castoff=info,warn"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(error) = started {
        // Somebody has set up logging already.
        tracing::debug!("{error}");
    }
}

/// Runs `work` until it ends or a signal asks to stop.
fn until_stopped<W>(work: impl FnOnce(CancellationToken) -> W) -> anyhow::Result<u8>
where
    W: Future<Output = anyhow::Result<()>>,
{
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let work = work(stop.clone());
        tokio::pin!(work);
        let ended = tokio::select! {
            ended = &mut work => ended,
            _ = terminate.recv() => { stop.cancel(); work.await }
            _ = interrupt.recv() => { stop.cancel(); work.await }
        };
        ended.map(|()| 0)
    })
}

/// Serves the core, and on a bare host the runner as its child.
pub(super) fn serve(home: &Path, config: &Path) -> anyhow::Result<u8> {
    let external = crate::runtime::surroundings() == crate::config::Surroundings::Compose;
    if !external {
        prepare(home, config)?;
    }
    until_stopped(|stop| async move {
        let tasks = TaskTracker::new();
        let handle = core::start(home, config, &tasks, &stop)?;
        if !external {
            tasks.spawn(child::keep_runner(home.to_path_buf(), config.to_path_buf(), stop.clone()));
        }
        tasks.spawn(reload(handle.clone(), stop.clone()));
        tracing::info!("castoff {} serves {}", env!("CARGO_PKG_VERSION"), home.display());
        let served = control::server::serve(home, handle, stop.clone()).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        served
    })
}

/// SIGHUP: reads the configuration again. A bad one is refused, and the old one stays.
async fn reload(handle: crate::runtime::handle::Handle, stop: CancellationToken) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => {}
        }
        handle.reload_or_say().await;
    }
}

/// Serves the runner, or answers for it.
pub(super) fn runner(home: &Path, config: &Path, mode: RunnerMode) -> anyhow::Result<u8> {
    let docker = std::env::var("DOCKER_HOST").ok();
    let places = RunnerPlaces {
        home: home.to_path_buf(),
        config: config.to_path_buf(),
        docker: docker.clone(),
        programs: None,
        clock: clock::now_ns,
    };
    match mode {
        RunnerMode::Serve => until_stopped(|stop| async move { Ok(runner::serve(places, stop).await?) }),
        RunnerMode::Child => until_stopped(|stop| async move {
            end_with_input(stop.clone())?;
            Ok(runner::serve(places, stop).await?)
        }),
        RunnerMode::Health => super::on_one_thread(async {
            let readiness = runner::health(home).await?;
            Ok(u8::from(!readiness.is_complete()))
        }),
        RunnerMode::BuildImages => super::on_one_thread(async {
            // Progress that nobody can read is no reason to end.
            let mut say = |line: &str| drop(writeln!(std::io::stderr().lock(), "{line}"));
            for image in runner::build_images(docker.as_deref(), &mut say).await? {
                say(&format!("{} is {}", image.name, image.id));
            }
            Ok(0)
        }),
    }
}

/// Cancels `stop` at the end of standard input: the core, whose child we are, is gone.
fn end_with_input(stop: CancellationToken) -> anyhow::Result<()> {
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        let ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tracing::info!("the core is gone ({ended:?}): the runner ends");
        stop.cancel();
    })?;
    Ok(())
}
