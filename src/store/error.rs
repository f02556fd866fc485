//! What can go wrong with the data, in the words of the person who has to mend it.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::audit::Broken;
use crate::domain::ids::ApprovalId;
use crate::secrets::SecretsError;

/// Why the data cannot be opened, read or kept. Nothing was overwritten, and of a commit nothing
/// was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory is not ours alone.
    #[error("`{path}` is not private: {why}")]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// The data file is gone, and what spent money and asked for approvals with it.
    #[error("the data file `{path}` is missing, but the keys that seal it are there")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A second core.
    #[error("`{path}` is in use by another Castoff: {by}")]
    Locked {
        /// The directory.
        path: PathBuf,
        /// By which, and since when, for people.
        by: String,
    },
    /// Not our file.
    #[error("`{path}` is not a data file of Castoff")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later Castoff's file.
    #[error("`{path}` is of a newer Castoff (version {found}; this one knows {known})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// Cut off or damaged.
    #[error("the data file is torn or damaged: {what}")]
    Torn {
        /// What was found, as the database says it.
        what: String,
    },
    /// No space left.
    #[error("the disk is full")]
    DiskFull,
    /// The operating system refused.
    #[error("`{path}` cannot be used")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the data file cannot be used")]
    Database {
        /// Its answer.
        #[source]
        source: Box<redb::Error>,
    },
    /// Keys are missing, wrong or cannot be made.
    #[error(transparent)]
    Keys(#[from] SecretsError),
    /// The key file and the data file are not of one installation.
    #[error("the key file does not open `{path}`: they are not of the same installation, or one is damaged")]
    WrongKeys {
        /// The data file.
        path: PathBuf,
    },
    /// A row that does not open.
    #[error("row `{row}` of `{table}` was changed outside Castoff, or its key is gone")]
    Tampered {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
    },
    /// A row of another version, or one that this program cannot write.
    #[error("row `{row}` of `{table}` cannot be understood: {why}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// Why.
        why: String,
    },
    /// Something was to be kept without saying so in the audit chain.
    #[error("nothing is kept without an audit entry")]
    Unaudited,
    /// An approval that was settled was to be opened again.
    #[error("approval `{approval}` is settled and cannot be asked again")]
    Reopened {
        /// Which.
        approval: ApprovalId,
    },
    /// A backup would take the place of data.
    #[error("there is data in `{path}` already")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// A file that is no backup, or not a whole one.
    #[error("this cannot be restored: {why}")]
    BadBackup {
        /// What is wrong with it, for people.
        why: String,
    },
    /// A backup of a later Castoff.
    #[error("this backup is of a newer Castoff (form {found}; this one knows {known})")]
    NewerBackup {
        /// Its form.
        found: u32,
        /// The newest form that this program knows.
        known: u32,
    },
    /// A backup whose content a core would refuse.
    #[error("this backup cannot be restored: {source}")]
    Unrestorable {
        /// Why.
        source: Box<StoreError>,
    },
    /// The chain cannot go on from where it stands.
    #[error(transparent)]
    Chain(#[from] Broken),
}

impl StoreError {
    /// All that there is to say: the error, what lies below it, and what helps.
    pub fn explained(&self) -> String {
        let mut text = self.to_string();
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            // Some say what lies below them themselves.
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(&format!(": {said}"));
            }
            below = error.source();
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }

    /// What a person can do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotPrivate { path, .. } => Some(format!(
                "chown {} '{}' && chmod 700 '{}'",
                rustix::process::geteuid().as_raw(),
                path.display(),
                path.display()
            )),
            Self::Missing { path } => Some(format!(
                "`castoff restore --force FILE` puts a backup in its place; or move all files of `{}` away to start anew",
                path.parent().unwrap_or(path).display()
            )),
            Self::Locked { .. } => Some("stop the other one first: one core owns the data".to_owned()),
            Self::Foreign { path } => Some(format!(
                "`castoff restore --force FILE` puts a backup in its place; or move `{}` away to start anew",
                path.display()
            )),
            Self::Newer { .. } => Some("run the newer Castoff, or restore a backup made with this one".to_owned()),
            Self::Torn { .. } | Self::WrongKeys { .. } => Some(
                "`castoff restore --force FILE` puts a backup in its place, and keeps what is there aside".to_owned(),
            ),
            Self::Tampered { .. } | Self::Chain(_) => {
                Some("run `castoff audit verify`, and restore a backup if you did not do this yourself".to_owned())
            }
            Self::Occupied { .. } => Some("with `--force` it is put aside, not deleted".to_owned()),
            Self::BadBackup { .. } => Some("take another backup; nothing was changed".to_owned()),
            Self::NewerBackup { .. } => Some("restore it with the newer Castoff; nothing was changed".to_owned()),
            Self::Unrestorable { source } => {
                let hint = if matches!(**source, Self::Keys(SecretsError::WrongMasterKey { .. })) {
                    "name the master key of the installation that it is of: `--master-key FILE`; nothing was changed"
                } else if matches!(**source, Self::Newer { .. }) {
                    "restore it with the newer Castoff; nothing was changed"
                } else {
                    "take another backup; nothing was changed"
                };
                Some(hint.to_owned())
            }
            Self::DiskFull => Some("free some space, then start again".to_owned()),
            Self::Keys(error) => error.hint(),
            Self::Io { .. }
            | Self::Database { .. }
            | Self::Unreadable { .. }
            | Self::Unaudited
            | Self::Reopened { .. } => None,
        }
    }
}

/// Sorts the database's answers into what a person can tell apart.
pub(super) fn database(source: impl Into<redb::Error>) -> StoreError {
    let source = source.into();
    if let redb::Error::Corrupted(what) = source {
        return StoreError::Torn { what };
    }
    if matches!(&source, redb::Error::Io(error) if error.kind() == ErrorKind::StorageFull) {
        return StoreError::DiskFull;
    }
    if matches!(&source, redb::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof) {
        return StoreError::Torn { what: source.to_string() };
    }
    StoreError::Database { source: Box::new(source) }
}
