//! One run: from a plan to its end, and nothing left of it but its overlays.
//!
//! ```text
//!  asked ──check, survey──▶ refused ───────────────────────────────▶ Ended (failed; may be asked again)
//!    │ journal: begun, for ever
//!    ▼
//!  made ─▶ created ─▶ compared ─▶ attached ─▶ started ─▶ confirmed ──the script is sent──▶ live
//!    └───────┴───────────┴────────────┴──────────┴─ any fault: removed, Ended (failed)      │
//!                                                                                          │ exit frame,
//!                                          Ended ◀── changes read ◀── journal: ended ◀──────┘ or none; the
//!                                                       (the container is removed meanwhile)    container is dead
//! ```
//! INVARIANT: the script reaches a container only after init reported what is in place, and that was
//! no less than what was asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::attach::{self, Attached};
use super::disk::Disk;
use super::engine::LOOK_INTERVAL;
use super::harden::Places;
use super::journal::Begun;
use super::overlay::Overlay;
use super::state::{Engine, Link, Live, Runner, locked};
use super::survey::{self, Survey};
use super::{changes, check, disk, harden, live, overlay, readback, reap};
use crate::crash::{self, Point};
use crate::domain::ids::{Digest, RunId};
use crate::domain::limits::Limits;
use crate::domain::plan::{Access, Plan};
use crate::domain::run::{Ending, Enforced, RunEnd, StopCause, Usage};
use crate::domain::task::Task;
use crate::protocol::codec::INIT_FRAME_BYTES_MAX;
use crate::protocol::init::{FromInit, Request, ToInit, Work};
use crate::protocol::runner::FromRunner;

/// From the start of a container to init's first frame.
const READY_TIME_MAX: Duration = Duration::from_secs(30);

/// Held while a look at the disk decides what is thrown away: the disk is the machine's.
static MAKING_ROOM: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What the core asks for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) run: RunId,
    pub(super) plan: Plan,
    /// The digest that was permitted.
    pub(super) permitted: Digest,
    pub(super) stdin: ByteBuf,
}

/// Runs an order to its end and tells it.
pub(super) fn start(runner: &Arc<Runner>, order: Order, link: Link) {
    // At once, so that a stop that comes next finds it.
    let enlisted = enlist(runner, &order);
    runner.tracker.spawn(run(Arc::clone(runner), order, link, enlisted));
}

type Enlisted = Result<(Live, mpsc::Receiver<StopCause>), String>;

async fn run(runner: Arc<Runner>, order: Order, link: Link, enlisted: Enlisted) {
    let run = order.run.clone();
    let end = match enlisted {
        Err(why) => failed(&runner, why),
        Ok((live, stops)) => {
            let end = whole(&runner, &order, &link, stops, &live).await;
            live.over.cancel();
            if live.removed.is_cancelled() {
                locked(&runner.live).remove(&run);
            }
            end
        }
    };
    link.send(FromRunner::Ended { run, end: Box::new(end) }).await;
}

fn enlist(runner: &Runner, order: &Order) -> Enlisted {
    let machine = runner.machine();
    let mut all = locked(&runner.live);
    if let Some(other) = all.get(&order.run) {
        let stands = if other.over.is_cancelled() { "began before and never begins again" } else { "is under way" };
        return Err(format!("run {} {stands}", order.run));
    }
    let Limits { memory_bytes, pids, .. } = order.plan.limits;
    let under_way = || all.values().filter(|live| !live.removed.is_cancelled());
    let memory = under_way().map(|live| live.memory_bytes).fold(memory_bytes, u64::saturating_add);
    let processes = under_way().map(|live| u64::from(live.pids)).fold(pids.into(), u64::saturating_add);
    let full = |what: &str, name: &str| {
        Err(format!(
            "this run and those under way may use more {what} than the machine has for runs; wait for one, or lower \
             `{name}` in limits.yaml"
        ))
    };
    if memory > machine.memory_bytes {
        return full("memory", "memory");
    }
    if processes > machine.processes {
        return full("processes", "pids");
    }
    let (stops, stopped) = mpsc::channel(8);
    let live = Live { stops, memory_bytes, pids, over: CancellationToken::new(), removed: CancellationToken::new() };
    all.insert(order.run.clone(), live.clone());
    Ok((live, stopped))
}

/// A run that did not come to start its script.
fn failed(runner: &Runner, why: String) -> RunEnd {
    let now = runner.now();
    let ending = Ending::Failed { why };
    RunEnd { ending, started: now, ended: now, enforced: None, usage: Usage::default(), changes: Vec::new() }
}

async fn whole(
    runner: &Arc<Runner>,
    order: &Order,
    link: &Link,
    stops: mpsc::Receiver<StopCause>,
    live: &Live,
) -> RunEnd {
    let admitted = match admit(runner, order).await {
        Ok(admitted) => admitted,
        Err(why) => {
            live.removed.cancel();
            return failed(runner, why);
        }
    };
    let begun = admitted.begun.clone();
    let mut end = begin(runner, order, link, stops, (admitted, live)).await;
    let noted = locked(&runner.journal).end(&order.run, &end);
    if let Err(error) = noted {
        tracing::error!(%error, run = %order.run, "the end of a run could not be noted");
    }
    if matches!(end.ending, Ending::Failed { .. })
        && let Err(why) = runner.container_gone(&order.run).await
    {
        tracing::error!(run = %order.run, why, "what is left of a run that failed is read all the same");
    }
    end.changes = changes::read(runner, &order.run, begun.claimed_ns, &begun.workspaces).await;
    crash::point(Point::ChangeSetRead);
    make_room(runner, &order.run, &mut end).await;
    end
}

/// Throws away what a run left that was stopped at the reserve of the disk, where that makes room: held, it would
/// keep everybody's runs from starting. One run after the other, so that the room that one makes saves the next.
async fn make_room(runner: &Runner, run: &RunId, end: &mut RunEnd) {
    if end.ending != (Ending::Stopped { cause: StopCause::DiskReserve }) {
        return;
    }
    let _one_at_a_time = MAKING_ROOM.lock().await;
    match Disk::look(&runner.state()) {
        Ok(disk) if disk.wants_back(&end.changes, &end.usage) => {}
        Ok(_) | Err(_) => return,
    }
    match changes::forget(runner, run).await {
        Ok(_) => {
            end.usage.thrown_away = disk::held_files(&end.changes);
            end.changes.clear();
        }
        Err(fault) => {
            let why = fault.logged();
            tracing::warn!(%run, why, "the disk is nearly full, and what a run left cannot be thrown away");
        }
    }
}

/// A run that is noted in the journal.
struct Admitted {
    engine: Engine,
    begun: Begun,
    survey: Survey,
}

/// Checks everything, then notes that the run begins. The error is for people.
async fn admit(runner: &Runner, order: &Order) -> Result<Admitted, String> {
    let plan = &order.plan;
    let engine = runner.engine()?;
    if locked(&runner.journal).get(&order.run).is_some() {
        return Err(format!("run {} began before and never begins again", order.run));
    }
    let rules = runner.rules()?;
    let survey = survey::survey(runner, &engine, &rules, &plan.person, &plan.mounts).await?;
    if let Some(unusable) = survey.unusable.first() {
        return Err(unusable.why.clone());
    }
    let allowed = check::Allowed {
        mounts: rules.mounts_of(&plan.person)?,
        limits: rules.limits(),
        images: engine.built.images.clone(),
        covers: survey.covers.clone(),
    };
    check::plan(plan, &order.permitted, &order.stdin, &allowed)?;
    Disk::look(&runner.state()).map_err(|error| error.to_string())?.room()?;
    let overlays = plan.mounts.iter().filter(|mount| mount.access == Access::Overlay);
    let workspaces: Vec<PathBuf> = overlays.map(|mount| mount.path.clone()).collect();
    let begun = Begun { claimed_ns: (runner.places.clock)(), workspaces };
    match locked(&runner.journal).begin(&order.run, &begun) {
        Ok(true) => Ok(Admitted { engine, begun, survey }),
        Ok(false) => Err(format!("run {} began before and never begins again", order.run)),
        Err(error) => Err(format!("the runner's journal cannot be written: {error}")),
    }
}

async fn begin(
    runner: &Arc<Runner>,
    order: &Order,
    link: &Link,
    stops: mpsc::Receiver<StopCause>,
    (admitted, life): (Admitted, &Live),
) -> RunEnd {
    let Admitted { engine, survey, .. } = admitted;
    let mut made = Made::default();
    let confirmed = confirm(runner, &engine, order, &survey, &mut made).await;
    let end = match confirmed {
        Err(why) => failed(runner, why),
        Ok((attached, enforced)) => {
            let started = runner.now();
            tracing::info!(run = %order.run, plan = %order.permitted, container = made.container, "a run starts");
            let script = live::Script { request: request(order), order, enforced, container: &made.container };
            live::live(runner, &engine, link, stops, (attached, script, started)).await
        }
    };
    tracing::info!(run = %order.run, "a run is over");
    runner.tracker.spawn(clear(Arc::clone(runner), engine, order.run.clone(), (made, life.clone())));
    end
}

/// Removes what was made for a run, however often it takes. The run counts as under way until its container is gone.
async fn clear(runner: Arc<Runner>, engine: Engine, run: RunId, (mut made, life): (Made, Live)) {
    let mut is_first = true;
    loop {
        let faults = made.remove(&runner, &engine, &run).await;
        if made.container.is_empty() && !life.removed.is_cancelled() {
            end_counting(&runner, &run, &life);
        }
        if faults.is_empty() {
            return;
        }
        for fault in faults.iter().filter(|_| is_first) {
            tracing::warn!(%run, fault, "something of a run could not be removed; it is tried again");
        }
        is_first = false;
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            // Its end and the next start remove what is left.
            () = runner.stop.cancelled() => return end_counting(&runner, &run, &life),
        }
    }
}

fn end_counting(runner: &Runner, run: &RunId, life: &Live) {
    life.removed.cancel();
    if life.over.is_cancelled() {
        locked(&runner.live).remove(run);
    }
}

fn request(order: &Order) -> ToInit {
    let plan = &order.plan;
    ToInit::Run(Request {
        work: match &plan.task {
            Task::Script(script) => Work::Script(script.as_str().to_owned()),
            Task::File(request) => Work::File(request.clone()),
        },
        stdin: order.stdin.clone(),
        env: plan.env.clone().into_iter().collect(),
        workdir: plan.workdir.to_string_lossy().into_owned(),
        wall_time_ms: plan.limits.wall_time_ms,
        output_bytes: plan.limits.output_bytes,
    })
}

/// What was made for a run and must go.
#[derive(Debug, Default)]
pub(super) struct Made {
    container: String,
    volumes: Vec<String>,
}

impl Made {
    /// Removes container, volumes and small files; all are tried, and what could not be removed is still in it. Returns
    /// why not.
    async fn remove(&mut self, runner: &Runner, engine: &Engine, run: &RunId) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.container.is_empty() {
            match reap::remove_container(&engine.docker, &self.container).await {
                Ok(()) => self.container.clear(),
                Err(error) => faults.push(error.to_string()),
            }
        }
        for volume in std::mem::take(&mut self.volumes) {
            if let Err(error) = reap::remove_volume(&engine.docker, &volume).await {
                faults.push(error.to_string());
                self.volumes.push(volume);
            }
        }
        faults.extend(overlay::remove_small_files(runner, run).err().map(|error| error.to_string()));
        faults
    }
}

/// Makes the container, starts it, and sees that what is in place is what was asked for.
async fn confirm(
    runner: &Runner,
    engine: &Engine,
    order: &Order,
    survey: &Survey,
    made: &mut Made,
) -> Result<(Attached, Enforced), String> {
    let places = places(runner, engine, order, survey, made).await?;
    let said = |error: bollard::errors::Error| format!("the engine refused the run's container: {error}");
    let body = harden::run_container(&order.plan, &places).map_err(|error| format!("failed to {error}"))?;
    let created = engine.docker.create_container(None, body.clone()).await.map_err(said)?;
    made.container.clone_from(&created.id);
    crash::point(Point::ContainerCreated);
    let inspected = engine.docker.inspect_container(&created.id, None).await.map_err(said)?;
    let mut differences = readback::compare(&body, &inspected);
    differences.extend(created.warnings);
    refuse(&differences)?;
    let mut attached = attach::attach(&engine.docker, &created.id, INIT_FRAME_BYTES_MAX).await.map_err(said)?;
    engine.docker.start_container(&created.id, None).await.map_err(said)?;
    crash::point(Point::ContainerStarted);
    let ready = match tokio::time::timeout(READY_TIME_MAX, attached.frames.next::<FromInit>()).await {
        Ok(Ok(Some(FromInit::Ready(ready)))) => ready,
        Ok(Ok(_)) => return Err(format!("castoff-init ended early: {}", attached.frames.complaint())),
        Ok(Err(error)) => {
            return Err(format!("castoff-init said nothing of use: {error} {}", attached.frames.complaint()));
        }
        Err(_) => return Err("castoff-init did not get ready in time".to_owned()),
    };
    let confirmed = readback::confirm(&order.plan, &places, &engine.built.init_digest, &ready);
    let mut enforced = confirmed.map_err(|differences| refuse(&differences).err().unwrap_or_default())?;
    enforced.missing.extend(engine.missing.iter().cloned());
    crash::point(Point::ReadyChecked);
    Ok((attached, Enforced { container: created.id, ..enforced }))
}

fn refuse(differences: &[String]) -> Result<(), String> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("the container is not what was asked for, so nothing ran in it: {}", differences.join("; ")))
}

/// Makes the run's directories, files and volumes.
async fn places(
    runner: &Runner,
    engine: &Engine,
    order: &Order,
    survey: &Survey,
    made: &mut Made,
) -> Result<Places, String> {
    let (uid, gid) = runner.files_owner();
    let disk = |error: std::io::Error| format!("the run's directories cannot be made: {error}");
    let home = runner.places.home.join("people").join(order.plan.person.as_str());
    let files = overlay::make_small_files(runner, &order.run, &order.plan.user_name, &home).map_err(disk)?;
    let installation = Digest::of(runner.home_label().as_bytes()).short();
    let mut overlays = Vec::new();
    for (mount, probed) in survey.fit.iter().filter(|(mount, _)| mount.access == Access::Overlay) {
        overlay::make_kept_for(runner, &mount.path).map_err(disk)?;
        let overlay = overlay::make(runner, &order.run, &mount.path, probed).map_err(disk)?;
        // Volumes are the engine's, not an installation's: the name says whose it is.
        let name = format!("castoff-{installation}-{}-{}", order.run, overlays.len());
        volume(runner, engine, &name, &overlay).await?;
        made.volumes.push(name.clone());
        overlays.push((mount.path.clone(), name));
    }
    Ok(Places {
        run: order.run.clone(),
        home_label: runner.home_label(),
        init_volume: engine.built.init_volume.clone(),
        overlays,
        passwd: files.passwd,
        group: files.group,
        hosts: files.hosts,
        uid,
        gid,
        runtime: None,
    })
}

async fn volume(runner: &Runner, engine: &Engine, name: &str, overlay: &Overlay) -> Result<(), String> {
    let Overlay { workspace, upper, work } = overlay;
    let body = harden::overlay_volume(name, workspace, upper, work, runner.labels());
    let body = body.map_err(|error| format!("failed to {error}"))?;
    let made = engine.docker.create_volume(body).await;
    made.map(|_| ()).map_err(|error| format!("the overlay over `{}` cannot be made: {error}", workspace.display()))
}
