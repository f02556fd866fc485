//! The configuration directory, looked at each second: what was changed there is loaded once it has not
//! changed for a second more, so that nobody is told of a file that is half written.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::runtime::handle::Handle;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Most files of the directory that are looked at.
const FILES_MAX: usize = 256;

/// The directory as it was seen: name, inode, length and time of change of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(Vec<(PathBuf, u64, u64, i64, i64)>);

/// Looks at the `.yaml` files of a directory; one that cannot be read has none.
pub(super) fn look(directory: &Path) -> Seen {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).take(FILES_MAX);
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let place = |path: PathBuf| {
        // Through a link: what is read counts.
        let found = std::fs::metadata(&path).ok()?;
        Some((path, found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
    };
    let mut seen: Vec<_> = files.filter_map(place).collect();
    seen.sort();
    Seen(seen)
}

/// Loads the configuration of `directory` again whenever it is no longer as it was `loaded`, until told to
/// stop. A bad one is said to the owner once.
pub(super) async fn serve(handle: Handle, directory: PathBuf, loaded: Seen, stop: CancellationToken) {
    let (mut loaded, mut before) = (loaded.clone(), loaded);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let place = directory.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || look(&place)).await else { return };
        if now != loaded && now == before {
            loaded = now.clone();
            handle.reload_or_say().await;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_removed_or_replaced_is_seen_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tools.yaml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let empty = look(dir.path());
        write("a");
        let first = look(dir.path());
        std::fs::write(dir.path().join(".tools.yaml.swp"), "b").unwrap();
        assert_eq!(look(dir.path()), first);
        write("bb");
        let second = look(dir.path());
        // Replaced by a file of the same length, as editors do.
        std::fs::write(dir.path().join("new"), "cc").unwrap();
        std::fs::rename(dir.path().join("new"), &file).unwrap();
        let third = look(dir.path());
        assert!(empty != first && first != second && second != third);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(look(dir.path()), empty);
        assert_eq!(look(&dir.path().join("none")), empty);
    }
}
