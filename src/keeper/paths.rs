//! Paths relative to a workspace: text, `/`-separated, without `.` and `..`; the empty one is its root.

use std::path::{Path, PathBuf};

/// Whether `path` is `top` or lies below it.
pub(super) fn is_at_or_below(path: &str, top: &str) -> bool {
    top.is_empty() || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A name in a directory of a tree.
pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The parts of `denied` that lie in the workspace, relative to it; a workspace below a denied path
/// is denied as a whole.
pub(super) fn denied_within(workspace: &Path, denied: &[PathBuf]) -> Vec<String> {
    let within = |path: &PathBuf| {
        if workspace.starts_with(path) {
            return Some(String::new());
        }
        path.strip_prefix(workspace).ok().and_then(Path::to_str).map(str::to_owned)
    };
    denied.iter().filter_map(within).collect()
}
