//! The directories of overlays: made before a run, removed when nothing is held any more.
//!
//! ```text
//!  state/runner/overlays/WORKSPACE/RUN/        root's
//!                                  ├── upper   owner and mode of the workspace: the merged root takes them
//!                                  ├── work    root's; the kernel makes `work` in it (root's, 0000)
//!                                  └── unchanged   once it was read and nothing in it could ever land
//! ```
//! What is in an upper is never looked at here: the keeper empties it, then the rest is removed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::state::Runner;
use crate::domain::ids::RunId;
use crate::protocol::init::Probed;

/// Name of the mark of an overlay without changes.
const UNCHANGED: &str = "unchanged";

/// The directories of one overlay of one run.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    /// What lies below.
    pub(super) workspace: PathBuf,
    /// Where the run's changes land.
    pub(super) upper: PathBuf,
    /// The kernel's.
    pub(super) work: PathBuf,
}

/// Makes the directories of an overlay.
pub(super) fn make(runner: &Runner, run: &RunId, workspace: &Path, probed: &Probed) -> io::Result<Overlay> {
    let parent = runner.overlays(workspace).join(run.as_str());
    make_open(&parent)?;
    let upper = parent.join("upper");
    make_owned(&upper, probed.mode & 0o1777, (probed.uid, probed.gid))?;
    let work = parent.join("work");
    DirBuilder::new().mode(0o755).create(&work)?;
    Ok(Overlay { workspace: workspace.to_owned(), upper, work })
}

/// Whether a run still has an overlay over a workspace.
pub(super) fn exists(runner: &Runner, run: &RunId, workspace: &Path) -> bool {
    runner.overlays(workspace).join(run.as_str()).join("upper").exists()
}

/// Notes that nothing in an overlay could ever land, so that the next start knows it if this runner is killed before
/// it is removed.
pub(super) fn mark_unchanged(runner: &Runner, run: &RunId, workspace: &Path) -> io::Result<()> {
    File::create(runner.overlays(workspace).join(run.as_str()).join(UNCHANGED)).map(drop)
}

/// Removes the directories of an overlay that is unmounted and whose upper is empty; those that are
/// gone already are no error.
pub(super) fn remove(runner: &Runner, run: &RunId, workspace: &Path) -> io::Result<()> {
    let parent = runner.overlays(workspace).join(run.as_str());
    gone(fs::remove_dir(parent.join("upper")))?;
    remove_rest(&parent);
    Ok(())
}

/// Removes what is left of an overlay's directories without its upper.
fn remove_rest(parent: &Path) {
    let rest = || {
        remove_work(&parent.join("work"))?;
        gone(fs::remove_file(parent.join(UNCHANGED)))?;
        gone(fs::remove_dir(parent))
    };
    if let Err(error) = rest() {
        // Nothing of a person's is in it. Where the engine's root is not us, it cannot be removed.
        tracing::warn!(%error, parent = %parent.display(), "what the kernel left of an overlay stays");
    }
}

/// Removes an overlay's `work`: the kernel's own `work/work`, mode 0000, with the whiteout that it
/// keeps for the next deletion.
fn remove_work(work: &Path) -> io::Result<()> {
    for kernels in [work.join("work"), work.join("index")] {
        if !kernels.is_dir() {
            continue;
        }
        fs::set_permissions(&kernels, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&kernels)? {
            let entry = entry?;
            let path = entry.path();
            gone(if entry.file_type()?.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) })?;
        }
        gone(fs::remove_dir(&kernels))?;
    }
    gone(fs::remove_dir(work))
}

/// What is gone already is as well removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a person's home.
pub(super) fn make_home(runner: &Runner, home: &Path) -> io::Result<()> {
    make_open(&runner.places.home.join("people"))?;
    make_owned(home, 0o700, runner.files_owner())
}

/// Makes the directories that a workspace's keeper needs.
pub(super) fn make_kept_for(runner: &Runner, workspace: &Path) -> io::Result<()> {
    make_open(&runner.overlays(workspace))?;
    make_open(&runner.places.home.join("state/keeper"))?;
    make_owned(&runner.keeper_state(workspace), 0o700, runner.files_owner())
}

/// The small files of a run, so that `whoami` works and nothing of the host's shows.
#[derive(Debug, Clone)]
pub(super) struct SmallFiles {
    /// `/etc/passwd` of the run.
    pub(super) passwd: PathBuf,
    /// `/etc/group`.
    pub(super) group: PathBuf,
    /// `/etc/hosts`.
    pub(super) hosts: PathBuf,
}

/// Writes the small files of a run.
pub(super) fn make_small_files(runner: &Runner, run: &RunId, name: &str, home: &Path) -> io::Result<SmallFiles> {
    let directory = runner.state().join("runs").join(run.as_str());
    make_open(&directory)?;
    let (uid, gid) = runner.files_owner();
    let login = login(name);
    let shown: String = name.chars().filter(|c| !c.is_control() && !":,".contains(*c)).collect();
    let home = home.display();
    let write = |file: &str, text: String| {
        let path = directory.join(file);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        io::Result::Ok(path)
    };
    Ok(SmallFiles {
        passwd: write(
            "passwd",
            format!(
                "root:x:0:0:root:/root:/bin/sh\n{login}:x:{uid}:{gid}:{shown}:{home}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
            ),
        )?,
        group: write("group", format!("root:x:0:\n{login}:x:{gid}:\nnogroup:x:65534:\n"))?,
        hosts: write("hosts", "127.0.0.1\tlocalhost castoff\n::1\tlocalhost\n".to_owned())?,
    })
}

/// An overlay that an earlier life of the runner left and that holds nothing to land.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) run: RunId,
    /// Id of its workspace.
    pub(super) workspace: String,
    /// Whether its upper was empty, and is gone.
    pub(super) was_empty: bool,
}

/// Removes what a runner that was killed left of runs: their small files, and overlays without anything in them. Whoever
/// asks for such a run again is told that it holds nothing, as before. Returns what the keepers have to see to.
pub(super) fn sweep(runner: &Runner) -> io::Result<Vec<Left>> {
    gone(fs::remove_dir_all(runner.state().join("runs")))?;
    let overlays = runner.state().join("overlays");
    let mut left = Vec::new();
    if !overlays.exists() {
        return Ok(left);
    }
    for workspace in fs::read_dir(overlays)? {
        let workspace = workspace?;
        for parent in fs::read_dir(workspace.path())? {
            let parent = parent?;
            let is_unchanged = parent.path().join(UNCHANGED).exists();
            // What holds something cannot be removed so.
            let was_empty = gone(fs::remove_dir(parent.path().join("upper"))).is_ok();
            if was_empty {
                remove_rest(&parent.path());
            }
            let name = |entry: &fs::DirEntry| entry.file_name().into_string().ok();
            if (was_empty || is_unchanged)
                && let (Some(run), Some(workspace)) = (name(&parent), name(&workspace))
                && let Ok(run) = RunId::try_from(run)
            {
                left.push(Left { run, workspace, was_empty });
            }
        }
    }
    Ok(left)
}

/// Removes the small files of a run.
pub(super) fn remove_small_files(runner: &Runner, run: &RunId) -> io::Result<()> {
    match fs::remove_dir_all(runner.state().join("runs").join(run.as_str())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A name that passwd(5) can hold.
fn login(name: &str) -> String {
    let text: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).take(31).collect();
    if text.starts_with(|first: char| first.is_ascii_lowercase()) && text != "root" { text } else { "user".to_owned() }
}

/// Makes a directory of the runner's that others may pass.
pub(super) fn make_open(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Makes a directory for somebody else. One that exists stays as it is: only an owner can change it.
fn make_owned(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return check_owner(path, uid, gid),
        made => made?,
    }
    // The mode first: without CAP_FOWNER it is not ours to change afterwards.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    rustix::fs::chown(path, Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)))?;
    Ok(())
}

fn check_owner(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() && found.uid() == uid {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::other(format!("`{path}` is not a directory of uid {uid}; hint: `sudo chown {uid}:{gid} '{path}'`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_name_fits_into_passwd_whatever_the_person_is_called() {
        for (name, expected) in [("Ann Lee", "annlee"), ("root", "user"), ("Ö:x\n", "x"), ("", "user"), ("7up", "user")]
        {
            assert_eq!(login(name), expected, "{name}");
        }
    }
}
