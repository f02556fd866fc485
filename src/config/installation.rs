//! `installation.yaml`: who installed Castoff, and which uid owns the files. Written by `setup`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "installation.yaml";

/// Facts about the installation that are settled once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installation {
    /// The installing uid.
    pub uid: u32,
    /// Its gid.
    pub gid: u32,
    /// The installing person's home: `~` in the policy's files.
    pub home: PathBuf,
    /// The uid that owns every writable workspace, once it is known.
    #[serde(default)]
    pub files_uid: Option<u32>,
    /// Its gid.
    #[serde(default)]
    pub files_gid: Option<u32>,
}

impl Installation {
    /// The installation as `config_dir` tells it; `None` when it does not.
    ///
    /// # Errors
    /// When the file cannot be read or has another form.
    pub fn load(config_dir: &Path) -> io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(config_dir.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_yaml::from_str(&text).map(Some).map_err(io::Error::other)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn save(&self, config_dir: &Path) -> io::Result<()> {
        let mut text = "# Written when Castoff was installed.\n".to_owned();
        text.push_str(&serde_yaml::to_string(self).map_err(io::Error::other)?);
        let new = config_dir.join(".installation.yaml.new");
        std::fs::write(&new, text)?;
        std::fs::rename(new, config_dir.join(FILE))
    }

    /// What holds where no file says more: this process's user.
    pub fn of_this_process() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Self {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            home: home.unwrap_or_else(|| PathBuf::from("/root")),
            files_uid: None,
            files_gid: None,
        }
    }
}
