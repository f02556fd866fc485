//! The probe: what stands at a path of the host that the runner cannot look at itself. A container
//! without any right, with that one path bound read-only, tells.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::attach::{self, Attached};
use super::rules;
use super::state::{Engine, Runner, locked};
use super::{harden, reap};
use crate::domain::plan::{Access, Mount};
use crate::protocol::codec::INIT_FRAME_BYTES_MAX;
use crate::protocol::init::{FromInit, Probed};
use crate::protocol::runner::Unusable;

/// Longest life of a probe.
const PROBE_TIME_MAX: Duration = Duration::from_secs(30);

/// Probes a mount, once in the runner's life when it is fit.
pub(super) async fn probe(runner: &Runner, engine: &Engine, mount: &Mount) -> Result<Probed, Unusable> {
    let known = locked(&runner.probes).get(&mount.path).cloned();
    let unusable = |why| Unusable { path: mount.path.clone(), why };
    let found = match known {
        Some(probed) => probed,
        None => ask(runner, engine, &mount.path).await.map_err(unusable)?,
    };
    fit(mount, &found, runner.files_owner()).map_err(unusable)?;
    locked(&runner.probes).insert(mount.path.clone(), found.clone());
    Ok(found)
}

/// Whether a directory can be mounted as asked; why not, and what helps, when not.
fn fit(mount: &Mount, found: &Probed, (uid, gid): (u32, u32)) -> Result<(), String> {
    let path = mount.path.display();
    if found.mode & 0o170_000 != 0o040_000 {
        return Err(format!("`{path}` is no directory"));
    }
    let root = found.mount.as_ref().map(|line| PathBuf::from(&line.root));
    let straight =
        root.as_ref().is_some_and(|root| root == Path::new("/") || root.file_name() == mount.path.file_name());
    if !straight {
        let target = root.map_or_else(|| "something else".to_owned(), |root| format!("`{}`", root.display()));
        return Err(format!("`{path}` is a symbolic link to {target}; list that path instead"));
    }
    if mount.access != Access::Read && found.uid != uid {
        let owner = found.uid;
        return Err(format!(
            "`{path}` belongs to uid {owner} and runs write as uid {uid}; hint: `sudo chown -R {uid}:{gid} '{path}'`, or \
             list it with `mode: read`"
        ));
    }
    Ok(())
}

async fn ask(runner: &Runner, engine: &Engine, path: &Path) -> Result<Probed, String> {
    let body = harden::probe_container(&engine.built.probe, path, runner.labels())
        .map_err(|error| format!("failed to {error}"))?;
    let created = engine.docker.create_container(None, body).await.map_err(|error| missing(path, &error))?;
    let answer = tokio::time::timeout(PROBE_TIME_MAX, tell(engine, &created.id)).await;
    if let Err(error) = reap::remove_container(&engine.docker, &created.id).await {
        tracing::warn!(%error, "a probe could not be removed");
    }
    match answer {
        Ok(answer) => answer.map_err(|why| format!("`{}` cannot be looked at: {why}", path.display())),
        Err(_) => Err(format!("looking at `{}` takes too long", path.display())),
    }
}

async fn tell(engine: &Engine, container: &str) -> Result<Probed, String> {
    let Attached { input, mut frames } =
        attach::attach(&engine.docker, container, INIT_FRAME_BYTES_MAX).await.map_err(|error| error.to_string())?;
    engine.docker.start_container(container, None).await.map_err(|error| error.to_string())?;
    let frame = frames.next::<FromInit>().await;
    drop(input);
    match frame {
        Ok(Some(FromInit::Probed(probed))) => Ok(*probed),
        Ok(Some(_)) => Err("the probe said something else".to_owned()),
        Ok(None) => Err(format!("the probe ended early: {}", frames.complaint())),
        Err(error) => Err(error.to_string()),
    }
}

fn missing(path: &Path, error: &bollard::errors::Error) -> String {
    let path = path.display();
    if error.to_string().contains("does not exist") {
        return format!("`{path}` does not exist; hint: `mkdir -p '{path}'`, or take it out of tools.yaml");
    }
    format!("`{path}` cannot be mounted: {error}")
}

/// User and group id of people's files: of the installation, else kept from an earlier start, else the
/// owner of the first allowed path that exists and is not root's, else a fixed one; kept from then on.
pub(super) async fn files_owner(runner: &Runner, engine: &Engine) -> (u32, u32) {
    if let Some(kept) = rules::kept_files_owner(&runner.places) {
        return kept;
    }
    let paths = runner.rules().map(|rules| rules.listed_paths()).unwrap_or_default();
    let mut owner = rules::FILES_OWNER_DEFAULT;
    for path in paths {
        match ask(runner, engine, &path).await {
            Ok(found) if found.uid != 0 => {
                owner = (found.uid, found.gid);
                break;
            }
            Ok(_) | Err(_) => {}
        }
    }
    if let Err(error) = rules::keep_files_owner(&runner.places, owner) {
        tracing::warn!(%error, "the files uid could not be kept");
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::init::MountInfo;

    fn probed(uid: u32, root: &str) -> Probed {
        let mount = MountInfo {
            device: "8:1".to_owned(),
            root: root.to_owned(),
            target: "/w/notes".to_owned(),
            options: String::new(),
            propagation: String::new(),
            fs_type: "ext4".to_owned(),
            source: "/dev/sda1".to_owned(),
            super_options: String::new(),
        };
        Probed { uid, gid: uid, mode: 0o040_755, device: 1, inode: 2, mount: Some(mount) }
    }

    #[test]
    fn only_the_listed_directory_itself_of_the_right_owner_is_fit() {
        let cases = [
            (Access::Overlay, probed(1000, "/w/notes"), None),
            (Access::Overlay, probed(1000, "/@home/w/notes"), None),
            (Access::Overlay, probed(1000, "/"), None),
            (Access::Overlay, probed(1000, "/etc"), Some("symbolic link to `/etc`")),
            (Access::Read, probed(0, "/etc"), Some("symbolic link")),
            (Access::Overlay, probed(0, "/w/notes"), Some("chown -R 1000:1000 '/w/notes'")),
            (Access::Direct, probed(0, "/w/notes"), Some("mode: read")),
            (Access::Read, probed(0, "/w/notes"), None),
            (Access::Read, Probed { mode: 0o100_644, ..probed(0, "/w/notes") }, Some("no directory")),
            (Access::Read, Probed { mount: None, ..probed(0, "/w/notes") }, Some("symbolic link")),
        ];
        for (access, found, expected) in cases {
            let why = fit(&Mount { path: "/w/notes".into(), access }, &found, (1000, 1000)).err();
            assert_eq!(why.is_some(), expected.is_some(), "{why:?}");
            assert!(why.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }
}
