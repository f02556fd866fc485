//! `castoff backup` and `castoff restore`: a file, or standard output and input. A serving core makes the
//! backup and sends it; without one it is made here by whoever may open the store. Restoring needs no
//! core, and that none serves.

use std::fs::{DirBuilder, File};
use std::io::{IsTerminal as _, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::manage::print;
use super::outcome::{BAD_INPUT, CONFLICT, UNAVAILABLE};
use crate::control::client::{Client, Refused};
use crate::runtime::{backup, clock};
use crate::store::{self, DATA_FILE, OldData, Restored, Store, StoreError};

/// Stands for standard output and input.
const STANDARD: &str = "-";

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    No,
    Yes,
}

impl Replace {
    pub(super) fn of(force: bool) -> Self {
        if force { Self::Yes } else { Self::No }
    }
}

/// Writes a backup to `target`. Returns the exit code.
///
/// # Errors
/// Why there is none; nothing is left at `target` then that was not there before.
pub(super) async fn make(home: &Path, target: &Path, replace: Replace, json: bool) -> anyhow::Result<u8> {
    let mut out = Target::open(target, replace)?;
    match Client::connect(home).await {
        Ok(client) => {
            let mut pieces = client.bytes("/backup").await?;
            while let Some(bytes) = pieces.next().await? {
                out.write_all(&bytes).with_context(|| out.complaint())?;
            }
        }
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == UNAVAILABLE) => {
            let dir = home.join("state/core");
            // Opening would make a store where there is none.
            if !dir.join(DATA_FILE).is_file() {
                return Err(error);
            }
            let made = Store::open(&dir).and_then(|store| backup::snapshot(&store, None));
            made.map_err(|error| refused(&error))?.write_to(&mut out).with_context(|| out.complaint())?;
        }
        Err(error) => return Err(error),
    }
    let bytes = out.bytes;
    let Some(file) = out.keep()? else { return Ok(0) };
    let key = home.join("state/core").join(crate::store::MASTER_KEY_FILE);
    print(&if json {
        json!({ "file": file, "bytes": bytes, "master_key": key }).to_string()
    } else {
        format!(
            "{}: {bytes} bytes. It opens with the master key alone, which is not in it: keep a copy of `{}` in \
             another place",
            file.display(),
            key.display()
        )
    })?;
    Ok(0)
}

/// Where a backup goes: a file that has its name only once it is complete, or standard output.
struct Target {
    path: PathBuf,
    file: Option<tempfile::NamedTempFile>,
    replace: Replace,
    bytes: u64,
}

impl Target {
    fn open(path: &Path, replace: Replace) -> anyhow::Result<Self> {
        let mut target = Self { path: path.to_owned(), file: None, replace, bytes: 0 };
        if path == Path::new(STANDARD) {
            if std::io::stdout().is_terminal() {
                let why =
                    "a backup is nothing for a terminal\nhint: name a file, or send it on: `castoff backup - > FILE`";
                return Err(Refused { code: BAD_INPUT, why: why.to_owned() }.into());
            }
            return Ok(target);
        }
        match path.symlink_metadata() {
            Ok(found) if replace == Replace::No || !found.is_file() => return Err(target.taken()),
            Ok(_) | Err(_) => {}
        }
        // Beside its place, so that it gets there in one step; a mode of 0600 is what such files have.
        target.file = Some(tempfile::NamedTempFile::new_in(target.directory()).with_context(|| target.complaint())?);
        Ok(target)
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn taken(&self) -> anyhow::Error {
        let path = self.path.display();
        let why = if self.path.is_file() {
            format!("`{path}` is there already\nhint: `--force` replaces it once the new backup is complete")
        } else {
            format!("`{path}` is not a file that a backup may replace")
        };
        Refused { code: CONFLICT, why }.into()
    }

    fn complaint(&self) -> String {
        format!("failed to write the backup to `{}`", self.path.display())
    }

    /// Gives the file its name; `None` when it went to standard output.
    fn keep(mut self) -> anyhow::Result<Option<PathBuf>> {
        self.flush().with_context(|| self.complaint())?;
        let Some(file) = self.file.take() else { return Ok(None) };
        file.as_file().sync_all().with_context(|| self.complaint())?;
        let kept = match self.replace {
            Replace::No => file.persist_noclobber(&self.path),
            Replace::Yes => file.persist(&self.path),
        };
        match kept {
            Ok(_) => {}
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => return Err(self.taken()),
            Err(error) => return Err(error.error).with_context(|| self.complaint()),
        }
        File::open(self.directory()).and_then(|dir| dir.sync_all()).with_context(|| self.complaint())?;
        Ok(Some(self.path))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = match &mut self.file {
            Some(file) => file.write(bytes)?,
            None => std::io::stdout().lock().write(bytes)?,
        };
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush(),
            None => std::io::stdout().lock().flush(),
        }
    }
}

/// Puts the backup `from` into `home`. Returns the exit code.
///
/// # Errors
/// Why it was not restored; what was there is untouched then.
pub(super) fn restore(
    home: &Path,
    from: &Path,
    master_key: Option<&Path>,
    replace: Replace,
    json: bool,
) -> anyhow::Result<u8> {
    let backup: Box<dyn Read> = if from == Path::new(STANDARD) {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(from).with_context(|| format!("failed to open `{}`", from.display()))?)
    };
    let dir = home.join("state/core");
    // As `castoff serve` makes them; it makes the rest of a new home.
    std::fs::create_dir_all(home.join("state")).with_context(|| format!("failed to make `{}`", home.display()))?;
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("failed to make `{}`", dir.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let old = match replace {
        Replace::No => OldData::Stays,
        Replace::Yes => OldData::Aside,
    };
    let restored = store::restore(&dir, backup, master_key, old, clock::now()).map_err(|error| refused(&error))?;
    let Restored { about, audit, aside } = restored;
    print(&if json {
        json!({
            "made_at": about.made_at.to_string(), "version": about.version, "audit_entries": audit.entries,
            "audit_head": audit.head.to_string(), "aside": aside,
        })
        .to_string()
    } else {
        let aside = aside.map_or_else(String::new, |aside| format!("; the data of before is in `{}`", aside.display()));
        format!(
            "restored: data of {} with {} audit entries, intact, of Castoff {}{aside}",
            about.made_at, audit.entries, about.version
        )
    })?;
    Ok(0)
}

fn refused(error: &StoreError) -> anyhow::Error {
    let code = if matches!(error, StoreError::Occupied { .. }) {
        CONFLICT
    } else if error.is_about_a_backup() {
        BAD_INPUT
    } else {
        1
    };
    Refused { code, why: error.explained() }.into()
}
