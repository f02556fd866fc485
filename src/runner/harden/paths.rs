//! Which paths of the host a container may have.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::HardenError;

/// No mount may be one of these, lie in one, or hold one.
const CLOSED: &[&str] =
    &["/proc", "/sys", "/dev", "/castoff", "/run", "/var/run", "/var/lib/docker", "/var/lib/containerd"];
/// No mount may be one of these: the image's own.
const SYSTEM: &[&str] = &["/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/tmp", "/usr", "/var"];

/// Whether a directory of the host may be mounted in a container.
pub(super) fn path_fits(path: &Path) -> Result<(), HardenError> {
    normal(path)?;
    if CLOSED.iter().any(|other| path.starts_with(other) || Path::new(other).starts_with(path)) {
        return Err(refused(path, "the system's own directories are never mounted"));
    }
    if SYSTEM.iter().any(|other| path == Path::new(other)) {
        return Err(refused(path, "it would hide the image's programs"));
    }
    Ok(())
}

/// Whether a path is absolute, and has no second way to be written.
pub(super) fn normal(path: &Path) -> Result<(), HardenError> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    // Components swallow `/./`, `//` and a slash at the end, and so does Path's own equality.
    let same = path.components().collect::<PathBuf>().as_os_str().as_bytes() == path.as_os_str().as_bytes();
    if path.is_absolute() && plain && same { Ok(()) } else { Err(refused(path, "it is not an absolute, plain path")) }
}

/// The path as the engine takes it.
pub(super) fn text(path: &Path) -> Result<String, HardenError> {
    let text = path.to_str().filter(|text| !text.contains(['\0', '\n']));
    text.map(str::to_owned).ok_or_else(|| refused(path, "the engine takes only UTF-8 paths of one line"))
}

pub(super) fn refused(path: &Path, why: &'static str) -> HardenError {
    HardenError::Path { path: path.to_owned(), why }
}
