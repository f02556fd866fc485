//! The roles: core, runner, keeper, and the preparation of the home directory.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Installation;
use crate::domain::script::{SCRIPT_BYTES_MAX, Script};
use crate::runner::{self, RunnerPlaces};
use crate::runtime::{child, clock, core, prepare, stopping};
use crate::{control, keeper, policy};

/// Most memory of a parser, its stack included, in bytes.
const PARSER_BYTES_MAX: u64 = 512 << 20;
/// Longest time on a processor that it has. At the size cap it needs less than 40 ms, where it is compiled for use.
const PARSER_CPU: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4000 } else { 300 });
/// How often that is looked at.
const PARSER_LOOK: Duration = Duration::from_millis(5);

/// What `castoff runner` does.
#[derive(Debug, Clone, Copy)]
pub(super) enum RunnerMode {
    Serve,
    Child,
    Health,
    /// Those that are missing, or all.
    BuildImages {
        anew: bool,
    },
}

/// Serves one workspace over standard input and output.
pub(super) fn keeper() -> anyhow::Result<u8> {
    keeper::serve(std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(0)
}

/// Parses the script on standard input, within limits that end this process alone, and says its facts.
#[expect(clippy::exit, reason = "a parser that is busy hears of nothing else")]
pub(super) fn parse() -> anyhow::Result<u8> {
    for (resource, most) in [(Resource::As, PARSER_BYTES_MAX), (Resource::Core, 0)] {
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |own| own.min(most));
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    std::thread::Builder::new().spawn(|| {
        while Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).is_ok_and(|used| used < PARSER_CPU) {
            std::thread::sleep(PARSER_LOOK);
        }
        std::process::exit(child::PARSED_TOO_LONG)
    })?;
    let mut text = String::new();
    std::io::stdin().lock().take(SCRIPT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    std::io::stdout().lock().write_all(&policy::facts(&Script::new(text)?))?;
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

/// Logs to standard error what `CASTOFF_LOG` asks for (an `EnvFilter`). Libraries say no more than `info` whatever it
/// asks: below that they print what they work on, which is people's words and keys.
fn start_logging() {
    let wanted = EnvFilter::try_from_env("CASTOFF_LOG").unwrap_or_else(|_| EnvFilter::new("castoff=info,warn"));
    let own = filter_fn(|meta| meta.target().starts_with("castoff") || *meta.level() <= tracing::Level::INFO);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(wanted.and(own));
    if let Err(error) = tracing_subscriber::registry().with(layer).try_init() {
        // Somebody has set up logging already.
        tracing::debug!("{error}");
    }
}

/// What signals ask for.
#[derive(Debug, Clone, Default)]
struct Signals {
    /// To stop in good order.
    stop: CancellationToken,
    /// To stop at once: the second signal.
    now: CancellationToken,
}

/// Runs `work` to its end, and tells it what signals ask for.
fn with_signals<W>(work: impl FnOnce(Signals) -> W) -> anyhow::Result<u8>
where
    W: Future<Output = anyhow::Result<()>>,
{
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let work = work(signals.clone());
        tokio::pin!(work);
        loop {
            tokio::select! {
                ended = &mut work => return ended.map(|()| 0),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if signals.stop.is_cancelled() {
                signals.now.cancel();
            }
            signals.stop.cancel();
        }
    })
}

/// Serves the core, and on a bare host the runner as its child.
pub(super) fn serve(home: &Path, config: &Path) -> anyhow::Result<u8> {
    let external = crate::runtime::surroundings() == crate::config::Surroundings::Compose;
    if !external {
        prepare(home, config)?;
    }
    with_signals(|Signals { stop, now }| async move {
        let tasks = TaskTracker::new();
        let (handle, looping) = core::start(home, config, &tasks, &now)?;
        if !external {
            tasks.spawn(child::keep_runner(home.to_path_buf(), config.to_path_buf(), now.clone()));
        }
        tasks.spawn(reload(handle.clone(), now.clone()));
        tasks.spawn(stop_in_good_order(handle.clone(), stop, now.clone()));
        tracing::info!("castoff {} serves {}", env!("CARGO_PKG_VERSION"), home.display());
        let served = control::server::serve(home, handle, now.clone()).await;
        now.cancel();
        tasks.close();
        tasks.wait().await;
        served.and(looping.await?)
    })
}

/// Lets what is under way end before everything does.
async fn stop_in_good_order(handle: crate::runtime::handle::Handle, stop: CancellationToken, now: CancellationToken) {
    tokio::select! {
        () = now.cancelled() => return,
        () = stop.cancelled() => {}
    }
    tokio::select! {
        () = now.cancelled() => tracing::warn!("stopping at once"),
        () = stopping::drain(&handle) => now.cancel(),
    }
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
        RunnerMode::Serve => with_signals(|Signals { stop, .. }| async move { Ok(runner::serve(places, stop).await?) }),
        // A signal to all of us is for the core, which lets the runs end; then our input does.
        RunnerMode::Child => with_signals(|Signals { now, .. }| async move {
            end_with_input(now.clone())?;
            Ok(runner::serve(places, now).await?)
        }),
        RunnerMode::Health => super::on_one_thread(async {
            let readiness = runner::health(home).await?;
            Ok(u8::from(!readiness.is_complete()))
        }),
        RunnerMode::BuildImages { anew } => super::on_one_thread(async {
            // Progress that nobody can read is no reason to end.
            let mut say = |line: &str| drop(writeln!(std::io::stderr().lock(), "{line}"));
            for image in runner::build_images(docker.as_deref(), anew, &mut say).await? {
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
