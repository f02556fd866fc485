//! The home directory: every zone's own place, with its owner and mode, made where it is absent.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::config::{self, Installation};

/// Directories below the home that belong to root (on a bare host: to the one who starts Castoff).
const ZONES: &[(&str, u32)] = &[
    ("state", 0o755),
    ("state/core", 0o700),
    ("state/runner", 0o755),
    ("state/runner/overlays", 0o755),
    ("state/keeper", 0o755),
    ("people", 0o755),
    ("run", 0o755),
    ("run/control", 0o755),
    ("run/runner", 0o700),
];

/// The preset of a fresh installation.
const PRESET: &str = "default";

/// Makes what is absent of the home at `home`: directories, `config/` from the presets, and once
/// `config/installation.yaml`. What is there is left as it is.
///
/// # Errors
/// A directory that cannot be made, or that belongs to somebody else, with the line that helps.
pub fn prepare(home: &Path, config: &Path, installation: &Installation) -> anyhow::Result<()> {
    std::fs::create_dir_all(home).with_context(|| format!("failed to make `{}`", home.display()))?;
    refuse_fragile_names(home)?;
    for (name, mode) in ZONES {
        zone(&home.join(name), *mode)?;
    }
    // A preset is a beginning: nothing is added to a configuration that somebody has begun.
    if directory(config, 0o755)? || is_empty(config)? {
        let preset = config::presets().iter().find(|preset| preset.name == PRESET);
        for (name, text) in preset.iter().flat_map(|preset| preset.files) {
            write_new(&config.join(name), text, installation)?;
        }
    }
    let file = config.join("installation.yaml");
    if !file.exists() {
        installation.save(config).with_context(|| format!("failed to write `{}`", file.display()))?;
        own(&file, installation)?;
    }
    own(config, installation)
}

fn is_empty(directory: &Path) -> anyhow::Result<bool> {
    let mut entries =
        std::fs::read_dir(directory).with_context(|| format!("failed to look into `{}`", directory.display()))?;
    Ok(entries.next().is_none())
}

/// Overlay options are a comma-separated list, and the engine splits binds at colons.
fn refuse_fragile_names(home: &Path) -> anyhow::Result<()> {
    let text = home.to_str().unwrap_or(",");
    if !home.is_absolute() || text.contains([',', ':', '\\', '\n', '"']) {
        bail!(
            "`{}` cannot be Castoff's home: it must be an absolute path without commas, colons, quotes and backslashes\n\
             hint: choose another with `--home`",
            home.display()
        );
    }
    Ok(())
}

/// Makes a directory if it is absent; `true` when it was.
fn directory(path: &Path, mode: u32) -> anyhow::Result<bool> {
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("failed to make `{}`", path.display())),
    }
}

fn zone(path: &Path, mode: u32) -> anyhow::Result<()> {
    directory(path, mode)?;
    let found = metadata(path)?;
    let us = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != us {
        let path = path.display();
        bail!("`{path}` must be a directory of uid {us}, not of uid {}\nhint: chown {us} {path}", found.uid());
    }
    if found.mode() & 0o7777 != mode {
        // An engine that made it for a mount made it 0755; the umask may have narrowed it.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .with_context(|| format!("failed to set the mode of `{}`", path.display()))?;
    }
    Ok(())
}

fn metadata(path: &Path) -> anyhow::Result<std::fs::Metadata> {
    std::fs::symlink_metadata(path).with_context(|| format!("failed to look at `{}`", path.display()))
}

fn write_new(path: &Path, text: &str, installation: &Installation) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).with_context(|| format!("failed to write `{}`", path.display()))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("failed to write `{}`", path.display())),
    }
    own(path, installation)
}

/// Gives a file of `config/` to the installing uid, who edits it.
fn own(path: &Path, installation: &Installation) -> anyhow::Result<()> {
    let found = metadata(path)?;
    let (uid, gid) = (installation.uid, installation.gid);
    if rustix::process::geteuid().is_root() && (found.uid(), found.gid()) != (uid, gid) {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))
            .with_context(|| format!("failed to give `{}` to uid {uid}", path.display()))?;
    }
    Ok(())
}
