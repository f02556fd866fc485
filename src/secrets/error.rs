//! What can go wrong with keys, in the words of the person who has to mend it.

use std::path::PathBuf;

use crate::domain::ids::PersonId;

/// Why keys cannot be read, made or used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The master key is gone, but what it protects is there.
    #[error("the master key `{path}` is missing, but there is data that only it opens")]
    MasterKeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The key file is gone, but the data is there.
    #[error("the key file `{path}` is missing, but there is data that only it opens")]
    KeyFileMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The master key is not the one that wrapped the key file.
    #[error("the master key does not open the key file `{path}`: one of them is of another installation, or damaged")]
    WrongMasterKey {
        /// The key file.
        path: PathBuf,
    },
    /// A file that is not what it should be.
    #[error("`{path}` is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key file of a later Castoff.
    #[error("the key file `{path}` is of a newer Castoff (version {found}; this one knows {known})")]
    Newer {
        /// The key file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// Others than its owner may read it, or it is another user's.
    #[error("`{path}` is not private: {why}")]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// The operating system refused.
    #[error("`{path}` cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: std::io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom {
        /// Its answer.
        #[source]
        source: getrandom::Error,
    },
    /// No key for this person.
    #[error("there is no key for `{person}`")]
    NoKey {
        /// Whose.
        person: PersonId,
    },
    /// Longer than the cipher takes.
    #[error("{bytes} bytes are too many to seal at once")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
}

impl SecretsError {
    /// What a person can do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MasterKeyMissing { path } => Some(format!(
                "put `{}` back from where you keep a copy of it (no backup has it); without it the data cannot be opened",
                path.display()
            )),
            Self::KeyFileMissing { .. } => Some(
                "`castoff restore --force FILE` brings it back with the data of that backup; without it the data cannot \
                 be opened"
                    .to_owned(),
            ),
            Self::WrongMasterKey { .. } => Some(
                "put the right `master.key` back from where you keep a copy of it, or `castoff restore --force FILE` a \
                 backup of this installation"
                    .to_owned(),
            ),
            Self::Damaged { path, .. } => Some(format!(
                "`castoff restore --force FILE` brings back all but the master key, of which you keep a copy; what is \
                 there is kept aside, `{}` too",
                path.display()
            )),
            Self::Newer { .. } => Some("run the newer Castoff, or restore a backup made with this one".to_owned()),
            Self::NotPrivate { path, .. } => Some(format!(
                "chown {} '{}' && chmod 600 '{}'",
                rustix::process::geteuid().as_raw(),
                path.display(),
                path.display()
            )),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("the disk is full: free some space, then start again".to_owned())
            }
            Self::Io { .. } | Self::NoRandom { .. } | Self::NoKey { .. } | Self::TooLong { .. } => None,
        }
    }
}
