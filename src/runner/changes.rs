//! What a run changed: read by the keepers of its workspaces once every process of it is dead, and
//! from then on landed, dropped or taken back by them. Answers for all workspaces are combined.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::LOOK_INTERVAL;
use super::keeper::Fault;
use super::overlay::Left;
use super::state::{Runner, locked};
use super::{keeper, overlay};
use crate::domain::change::{ChangeSet, Landing, Trouble};
use crate::domain::ids::{RunId, WorkspaceId};
use crate::protocol::keeper::{FromKeeper, ToKeeper};

/// How often the removal of an overlay that holds nothing to land is tried, with an engine.
const DISCARDS_MAX: u32 = 10;

/// The change sets of a run, one for each workspace with changes. What cannot be read is named in a
/// set of its own and stays held.
pub(super) async fn read(runner: &Arc<Runner>, run: &RunId, claimed_ns: u64, workspaces: &[PathBuf]) -> Vec<ChangeSet> {
    let mut sets = Vec::new();
    for workspace in workspaces {
        if !is_held(runner, run, workspace) {
            continue;
        }
        match read_one(runner, run, claimed_ns, workspace).await {
            Ok(set) => {
                if set.changes.is_empty()
                    && let Err(error) = overlay::mark_unchanged(runner, run, workspace)
                {
                    tracing::warn!(%error, %run, "that a run changed nothing could not be noted");
                }
                if set.changes.is_empty() && set.refused.is_empty() {
                    locked(&runner.leaving).insert((run.clone(), workspace.clone()));
                    runner.tracker.spawn(discard_empty(Arc::clone(runner), run.clone(), workspace.clone()));
                } else {
                    sets.push(set);
                }
            }
            // Read twice at once, after a lost connection: the other found no changes, and it is gone.
            Err(_) if !is_held(runner, run, workspace) => {}
            Err(why) => {
                let refused = vec![Trouble { path: ".".to_owned(), why }];
                sets.push(ChangeSet { workspace: workspace.clone(), changes: Vec::new(), refused });
            }
        }
    }
    sets
}

/// Removes an overlay without changes, off the path: its container is on the way out.
async fn discard_empty(runner: Arc<Runner>, run: RunId, workspace: PathBuf) {
    if discard_late(&runner, &run, &workspace).await {
        locked(&runner.leaving).remove(&(run, workspace));
    }
}

/// Removes an overlay that holds nothing to land, however late the engine removes its container or comes back. Returns
/// whether it is gone; the next start tries again.
async fn discard_late(runner: &Runner, run: &RunId, workspace: &Path) -> bool {
    let mut tried = 0;
    while tried < DISCARDS_MAX {
        if runner.live(run).is_none_or(|live| live.removed.is_cancelled()) && runner.engine().is_ok() {
            match keeper::discard(runner, run, workspace).await {
                Ok(_) => return true,
                Err(fault) if tried == 0 => {
                    tracing::warn!(%run, why = fault.logged(), "an overlay with nothing to land could not be removed yet");
                }
                Err(_) => {}
            }
            tried += 1;
        }
        let changed = async {
            match runner.live(run) {
                Some(live) if !live.removed.is_cancelled() => live.removed.cancelled().await,
                Some(_) | None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = runner.stop.cancelled() => return false,
        }
    }
    false
}

/// Removes overlays that an earlier life of this runner left and that hold nothing to land, and what the keepers know
/// of them. Entries that never land stay until the core has them on record.
pub(super) async fn discard_left(runner: Arc<Runner>, left: Vec<Left>) {
    for Left { run, workspace, was_empty } in left {
        let Some(entry) = locked(&runner.journal).get(&run).cloned() else { continue };
        let mut workspaces = entry.begun.workspaces.into_iter();
        let Some(path) = workspaces.find(|path| WorkspaceId::of(path).as_str() == workspace) else { continue };
        if !was_empty && !entry.settled {
            // What is empty goes with this, too.
            drop(read(&runner, &run, entry.begun.claimed_ns, &[path]).await);
        } else if let Err(fault) = discard(&runner, &run, &path).await {
            let why = fault.logged();
            tracing::warn!(%run, why, "an overlay without changes could not be removed; the next start tries again");
        }
    }
}

async fn read_one(runner: &Runner, run: &RunId, claimed_ns: u64, workspace: &Path) -> Result<ChangeSet, String> {
    let denied = runner.rules()?.denied().into_iter().filter(|path| path.starts_with(workspace)).collect();
    let request = ToKeeper::Read { run: run.clone(), claimed_ns, denied };
    let FromKeeper::Changes(set) = keeper::ask(runner, workspace, &request).await? else { return Err(keeper::odd()) };
    Ok(set)
}

/// The unified diff of a run.
pub(super) async fn diff(runner: &Runner, run: &RunId) -> Result<String, String> {
    let mut text = String::new();
    for workspace in workspaces(runner, run)? {
        let answer = keeper::ask(runner, &workspace, &ToKeeper::Diff { run: run.clone() }).await?;
        let FromKeeper::Diff(part) = answer else { return Err(keeper::odd()) };
        text.push_str(&part);
    }
    Ok(text)
}

/// Lands what is held: the paths named, absolute, or all. An overlay that landed whole is removed; of
/// one that is gone already, since the answer was lost, the keeper knows what landed.
pub(super) async fn apply(
    runner: &Arc<Runner>,
    run: &RunId,
    paths: Option<&[PathBuf]>,
) -> Result<Vec<Landing>, String> {
    let mut landings = Vec::new();
    for workspace in workspaces(runner, run)? {
        let Some(paths) = inside(&workspace, paths)? else { continue };
        let (whole, held) = (paths.is_none(), is_held(runner, run, &workspace));
        let landing = match landed(runner, &workspace, &ToKeeper::Apply { run: run.clone(), paths }).await {
            // What landed in other workspaces did.
            Err(why) if !landings.is_empty() => {
                let conflicts = vec![Trouble { path: ".".to_owned(), why }];
                Landing { workspace: workspace.clone(), done: Vec::new(), conflicts }
            }
            landing => landing?,
        };
        if !held && landing.done.is_empty() && landing.conflicts.is_empty() {
            continue;
        }
        if whole && held && landing.conflicts.is_empty() {
            // What landed is landed, whether or not the empty rest can be removed.
            if let Err(fault) = discard(runner, run, &workspace).await {
                tracing::warn!(%run, why = fault.logged(), "an overlay that landed could not be removed yet");
                let (runner, run, workspace) = (Arc::clone(runner), run.clone(), workspace.clone());
                runner.tracker.clone().spawn(async move { discard_late(&runner, &run, &workspace).await });
            }
        }
        landings.push(landing);
    }
    Ok(landings)
}

/// Forgets what is held; what had landed before, also by an apply whose answer never came. Of a run that never began
/// here, as after a backup came to another machine, nothing is held.
pub(super) async fn forget(runner: &Runner, run: &RunId) -> Result<Vec<Landing>, Fault> {
    let mut landings = Vec::new();
    for workspace in workspaces(runner, run).unwrap_or_default() {
        if is_held(runner, run, &workspace) {
            landings.push(discard(runner, run, &workspace).await?);
        }
    }
    landings.retain(|landing| !landing.done.is_empty());
    Ok(landings)
}

/// Takes back what landed.
pub(super) async fn undo(runner: &Runner, run: &RunId) -> Result<Vec<Landing>, Fault> {
    let mut landings = Vec::new();
    for workspace in workspaces(runner, run).map_err(Fault::refused)? {
        let request = ToKeeper::Undo { run: run.clone() };
        let FromKeeper::Landed(landing) = keeper::ask_once_more(runner, &workspace, &request).await? else {
            return Err(Fault::refused(keeper::odd()));
        };
        landings.push(landing);
    }
    Ok(landings)
}

/// Whether the overlay may hold something: one without changes may be on its way out.
fn is_held(runner: &Runner, run: &RunId, workspace: &Path) -> bool {
    let leaving = locked(&runner.leaving).contains(&(run.clone(), workspace.to_owned()));
    !leaving && overlay::exists(runner, run, workspace)
}

async fn landed(runner: &Runner, workspace: &Path, request: &ToKeeper) -> Result<Landing, String> {
    let FromKeeper::Landed(landing) = keeper::ask(runner, workspace, request).await? else { return Err(keeper::odd()) };
    Ok(landing)
}

/// Removes an overlay with what is in it, once nothing mounts it any more.
async fn discard(runner: &Runner, run: &RunId, workspace: &Path) -> Result<Landing, Fault> {
    runner.container_gone(run).await.map_err(Fault::refused)?;
    keeper::discard(runner, run, workspace).await
}

fn workspaces(runner: &Runner, run: &RunId) -> Result<Vec<PathBuf>, String> {
    let journal = locked(&runner.journal);
    match journal.get(run) {
        Some(entry) => Ok(entry.begun.workspaces.clone()),
        None => Err(format!("run {run} never began here; hint: `castoff log` lists runs")),
    }
}

/// The paths that lie in a workspace, relative to it; `None` when none of those that were named do.
fn inside(workspace: &Path, paths: Option<&[PathBuf]>) -> Result<Option<Option<Vec<String>>>, String> {
    let Some(paths) = paths else { return Ok(Some(None)) };
    let mut relative = Vec::new();
    for path in paths.iter().filter_map(|path| path.strip_prefix(workspace).ok()) {
        let text = path.to_str().ok_or_else(|| format!("`{}` is not UTF-8", path.display()))?;
        relative.push(text.to_owned());
    }
    Ok((!relative.is_empty()).then_some(Some(relative)))
}
