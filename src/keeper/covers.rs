//! Which denied paths exist in the workspace, links resolved as a run would see them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::domain::plan::{Cover, CoverKind};

use super::KeeperError;
use super::files::{SeenKind, Tree};

/// Most links on the way to one path, as in path_resolution(7).
const LINKS_MAX: usize = 40;

/// What has to be covered: each denied path within the workspace that exists, a link as what it
/// points to. What lies outside of the workspace is no concern of this keeper.
pub(super) fn existing(host: &Tree, workspace: &Path, denied: &[PathBuf]) -> Result<Vec<Cover>, KeeperError> {
    let mut covers = BTreeSet::new();
    for path in denied {
        let Some(relative) = path.strip_prefix(workspace).ok().and_then(Path::to_str) else { continue };
        let Some(path) = resolve(host, workspace, relative)? else { continue };
        let seen = host.look(&path).map_err(|error| KeeperError::read(&path, error))?;
        let Some(seen) = seen.filter(|_| !path.is_empty()) else { continue };
        let kind = if seen.is_directory() { CoverKind::Directory } else { CoverKind::File };
        covers.insert(Cover { path: workspace.join(path), kind });
    }
    Ok(covers.into_iter().collect())
}

/// The path without links; `None` when it leads out of the workspace or round in circles.
fn resolve(host: &Tree, workspace: &Path, path: &str) -> Result<Option<String>, KeeperError> {
    let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                if done.pop().is_none() {
                    return Ok(None);
                }
                continue;
            }
            _ => done.push(name),
        }
        let here = done.join("/");
        let seen = match host.look(&here) {
            // Nobody can look into this directory, but a run could open its copy: all of it is covered.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                done.pop();
                return Ok(Some(done.join("/")));
            }
            result => result.map_err(|error| KeeperError::read(&here, error))?,
        };
        if seen.is_none_or(|seen| seen.kind != SeenKind::Symlink) {
            continue;
        }
        links += 1;
        let text = host.link_text(&here).map_err(|error| KeeperError::read(&here, error))?;
        if links > LINKS_MAX {
            return Ok(None);
        }
        done.pop();
        let rest = if text.starts_with('/') {
            let Some(inside) = Path::new(&text).strip_prefix(workspace).ok().and_then(Path::to_str) else {
                return Ok(None);
            };
            done.clear();
            inside.to_owned()
        } else {
            text
        };
        todo.extend(rest.split('/').rev().map(str::to_owned));
    }
    Ok(Some(done.join("/")))
}
