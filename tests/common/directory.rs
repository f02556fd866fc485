//! Where tests make the homes of their installations.

use std::path::{Path, PathBuf};

/// Cargo's directory for the files of tests; where that is one of a target, the one beside that: a socket
/// has a short name.
pub(crate) fn directory() -> PathBuf {
    let given = Path::new(env!("CARGO_TARGET_TMPDIR"));
    match given.parent() {
        Some(target) if target.ends_with(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)) => {
            target.with_file_name("tmp")
        }
        _ => given.to_owned(),
    }
}
