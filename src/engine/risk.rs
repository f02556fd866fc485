//! Which changes are risky, and why: a function of the change sets, and of what their turn made before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::domain::change::{Change, ChangeKind, ChangeSet, NodeKind};
use crate::domain::obeyed::{is_obeyed, is_repository};
use crate::domain::plan::Review;

/// More changed paths than this are a bulk change.
pub const BULK_PATHS: usize = 100;

/// Directories that programs fill and empty by themselves. Of a repository only what is in it counts: with the whole
/// of it the history is gone.
const CACHES: &[&str] =
    &[".git", "node_modules", "target", ".venv", "__pycache__", ".cache", ".pytest_cache", ".mypy_cache", ".npm"];

/// Why these changes must wait for a person under `review`; empty when they may land. `made` are the
/// absolute paths that earlier runs of the same turn added: to delete those again is no loss, unless each of the
/// `deletions` counts.
pub fn reasons(sets: &[ChangeSet], review: Review, deletions: bool, made: &BTreeSet<PathBuf>) -> Vec<String> {
    if sets.iter().all(|set| set.changes.is_empty()) {
        return Vec::new();
    }
    let risky = || risky(sets, deletions, made);
    match review {
        Review::Never => Vec::new(),
        Review::Risky => risky(),
        Review::Changes => Some(risky())
            .filter(|reasons| !reasons.is_empty())
            .unwrap_or_else(|| vec!["every change is reviewed here".to_owned()]),
    }
}

fn risky(sets: &[ChangeSet], deletions: bool, made: &BTreeSet<PathBuf>) -> Vec<String> {
    let changes = || sets.iter().flat_map(|set| &set.changes);
    let mut reasons = Vec::new();
    let obeyed = changes().filter(|change| is_obeyed_by_host(change)).map(|change| change.path.clone());
    reasons.extend(named("the host would obey", obeyed));
    let spared = |set: &ChangeSet, change: &Change| {
        is_cache(&change.path) || is_made(&set.workspace.join(&change.path), change, made)
    };
    let lost = |set: &ChangeSet, change: &Change| loses_files(change) && (deletions || !spared(set, change));
    let gone = sets.iter().flat_map(|set| set.changes.iter().filter(|change| lost(set, change)));
    reasons.extend(named("deletes", gone.map(|change| change.path.clone())));
    let count = changes().filter(|change| !is_cache(&change.path)).count();
    if count > BULK_PATHS {
        reasons.push(format!("changes {count} paths at once"));
    }
    reasons
}

/// Whether the host would obey what is there afterwards. A `.git` that is a directory says nothing by itself.
fn is_obeyed_by_host(change: &Change) -> bool {
    let names_another = || match change.after.as_ref().map(|node| &node.kind) {
        Some(NodeKind::File { .. } | NodeKind::Symlink { .. }) => true,
        Some(NodeKind::Directory { .. }) | None => false,
    };
    is_obeyed(&change.path) && (!is_repository(Path::new(&change.path)) || names_another())
}

/// One reason for all of `paths`, the first few by name; `None` when there are none.
fn named(what: &str, paths: impl Iterator<Item = String>) -> Option<String> {
    const SHOWN: usize = 5;
    let paths: Vec<String> = paths.collect();
    let shown = paths.iter().take(SHOWN).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(SHOWN);
    match (paths.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("{what} {shown}")),
        (false, _) => Some(format!("{what} {shown} and {more} more")),
    }
}

/// Whether something that was there is gone afterwards: deleted, or replaced by another type.
fn loses_files(change: &Change) -> bool {
    match change.kind() {
        ChangeKind::Added => false,
        ChangeKind::Deleted => true,
        ChangeKind::Modified => {
            let type_of = |kind: &NodeKind| std::mem::discriminant(kind);
            change.before.as_ref().map(|node| type_of(&node.kind))
                != change.after.as_ref().map(|node| type_of(&node.kind))
        }
    }
}

/// Whether the turn made all that `change` deletes at `path`, as far as can be counted.
fn is_made(path: &Path, change: &Change, made: &BTreeSet<PathBuf>) -> bool {
    let below = || made.range(path.to_owned()..).skip(1).take_while(|other| other.starts_with(path)).count();
    let entries = match change.before.as_ref().map(|node| &node.kind) {
        Some(NodeKind::Directory { entries }) => usize::try_from(*entries).unwrap_or(usize::MAX),
        Some(NodeKind::File { .. } | NodeKind::Symlink { .. }) | None => 0,
    };
    made.contains(path) && (entries == 0 || below() >= entries)
}

fn is_cache(path: &str) -> bool {
    let path = Path::new(path);
    let within = if is_repository(path) { path.parent().unwrap_or(path) } else { path };
    within.components().any(|part| part.as_os_str().to_str().is_some_and(|name| CACHES.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::Node;

    fn file() -> Option<Node> {
        Some(Node { kind: NodeKind::File { bytes: 1 }, mode: 0o644 })
    }

    fn check(path: &str, before: Option<Node>, after: Option<Node>, review: Review, waits: bool) {
        let change = Change { path: path.to_owned(), before, after };
        let set = ChangeSet { workspace: "/w".into(), changes: vec![change], refused: vec![] };
        assert_eq!(!reasons(&[set], review, false, &BTreeSet::new()).is_empty(), waits, "{path} {review:?}");
    }

    #[test]
    fn deletions_and_what_the_host_obeys_wait_and_the_rest_lands() {
        check("a.txt", None, file(), Review::Risky, false);
        check("a.txt", file(), file(), Review::Risky, false);
        check("a.txt", file(), None, Review::Risky, true);
        check(
            "a.txt",
            file(),
            Some(Node { kind: NodeKind::Directory { entries: 0 }, mode: 0o755 }),
            Review::Risky,
            true,
        );
        check("a.txt", file(), None, Review::Never, false);
        check("a.txt", None, file(), Review::Changes, true);
        check("node_modules/x/index.js", file(), None, Review::Risky, false);
        check(".git/index", file(), None, Review::Risky, false);
        for obeyed in
            [".git/hooks/post-checkout", ".git/config", ".bashrc", "sub/.envrc", ".ssh/authorized_keys", "x.desktop"]
        {
            check(obeyed, None, file(), Review::Risky, true);
        }
    }

    #[test]
    fn a_repository_is_not_in_itself_and_what_stands_for_one_is_obeyed() {
        let directory = |entries| Some(Node { kind: NodeKind::Directory { entries }, mode: 0o755 });
        let link = Some(Node { kind: NodeKind::Symlink { target: "e".to_owned() }, mode: 0o777 });
        check(".git", directory(40), None, Review::Risky, true);
        check("a/.git", directory(40), None, Review::Risky, true);
        check(".git/objects/aa", directory(2), None, Review::Risky, false);
        check("node_modules", directory(40), None, Review::Risky, false);
        check("node_modules/a/.git", directory(40), None, Review::Risky, false);
        check("a/.git", None, directory(0), Review::Risky, false);
        check(".git", directory(0), directory(0), Review::Risky, false);
        for waits in [file(), link.clone()] {
            check(".git", None, waits.clone(), Review::Risky, true);
            check("lib/.git", file(), waits, Review::Risky, true);
        }
        check(".git", directory(40), link, Review::Risky, true);
        check(".git/commondir", None, file(), Review::Risky, true);
    }

    #[test]
    fn many_changes_at_once_wait() {
        let change = |number: usize| Change { path: format!("f{number}"), before: None, after: file() };
        let set =
            |count| ChangeSet { workspace: "/w".into(), changes: (0..count).map(change).collect(), refused: vec![] };
        assert!(reasons(&[set(BULK_PATHS)], Review::Risky, false, &BTreeSet::new()).is_empty());
        assert!(!reasons(&[set(BULK_PATHS + 1)], Review::Risky, false, &BTreeSet::new()).is_empty());
    }

    #[test]
    fn what_the_turn_made_may_go_again() {
        let directory = |entries| Some(Node { kind: NodeKind::Directory { entries }, mode: 0o755 });
        let made: BTreeSet<PathBuf> = ["/w/a", "/w/d", "/w/d/x", "/w/d/x.b", "/w/d-2"].map(PathBuf::from).into();
        let waits = |path: &str, before: Option<Node>| {
            let change = Change { path: path.to_owned(), before, after: None };
            let set = ChangeSet { workspace: "/w".into(), changes: vec![change], refused: vec![] };
            !reasons(&[set], Review::Risky, false, &made).is_empty()
        };
        assert!(!waits("a", file()));
        assert!(waits("b", file()));
        assert!(!waits("d", directory(2)));
        assert!(waits("d", directory(3)), "somebody else put a file into it");
        assert!(waits("e", directory(0)));
    }

    #[test]
    fn each_deletion_waits_where_delete_is_asked_about() {
        let made: BTreeSet<PathBuf> = [PathBuf::from("/w/a")].into();
        let why = |path: &str, after: Option<Node>, review| {
            let change = Change { path: path.to_owned(), before: file(), after };
            let set = ChangeSet { workspace: "/w".into(), changes: vec![change], refused: vec![] };
            reasons(&[set], review, true, &made)
        };
        for path in ["a", "node_modules/x/index.js", ".git/index", "target/debug/x"] {
            assert_eq!(why(path, None, Review::Risky), [format!("deletes `{path}`")]);
            assert_eq!(why(path, None, Review::Changes), [format!("deletes `{path}`")]);
            assert!(why(path, file(), Review::Risky).is_empty());
        }
    }
}
