//! Path words against the policy's allowed and denied paths. Purely lexical: the mounts of a run
//! enforce the same rules on what paths really are.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::word::Word;

/// What a path word means for the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Allowed, or the container's own, or nothing that looks like a path.
    Fine,
    /// Inside this denied path.
    Denied(PathBuf),
    /// Outside of all allowed paths.
    Outside(String),
    /// Perhaps outside: a part is dynamic.
    PerhapsOutside(String),
}

/// Where a person's scripts may go.
#[derive(Debug, Clone)]
pub(crate) struct Area {
    /// `$HOME` of the run.
    pub(crate) home: PathBuf,
    /// Roots that are mounted.
    pub(crate) roots: Vec<PathBuf>,
    /// Denied ones; those below the installing home count below `home` too.
    pub(crate) denied: Vec<PathBuf>,
}

const DEVICES: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/fd",
];
const IMAGE: [&str; 14] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/usr/include",
    "/usr/local",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/opt",
    "/etc",
];

/// What stands at the root of systems like ours, or is often put there.
const ROOTS: [&str; 26] = [
    "bin",
    "boot",
    "data",
    "dev",
    "etc",
    "home",
    "host",
    "lib",
    "lib32",
    "lib64",
    "media",
    "mnt",
    "opt",
    "private",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "Users",
    "usr",
    "var",
    "workspace",
    "volume",
];

impl Area {
    /// Whether `word` begins as a path of a system does; `/org/kde` does not.
    pub(crate) fn is_rooted(&self, word: &Word) -> bool {
        let Some(rest) = word.fixed.strip_prefix('/') else { return true };
        let first = rest.split('/').next().unwrap_or_default();
        let below_root = |path: &PathBuf| path.strip_prefix("/").is_ok_and(|rest| rest.starts_with(first));
        if rest.is_empty() || first.is_empty() {
            return false;
        }
        !word.known || ROOTS.contains(&first) || self.roots.iter().chain(&self.denied).any(below_root)
    }

    /// Where the path `word` points; `writes` when it is written there.
    pub(crate) fn place(&self, word: &Word, writes: bool) -> Place {
        let place = self.place_of_front(word, writes);
        if place == Place::Fine && word.glob && self.may_be_denied(&word.fixed) {
            return Place::PerhapsOutside(word.raw.clone());
        }
        place
    }

    /// By the part that no glob follows.
    fn place_of_front(&self, word: &Word, writes: bool) -> Place {
        // Behind a link of `/proc` what `..` leads to is another place.
        if (writes && !word.known || word.fixed.contains("proc/")) && word.raw.contains("/..") {
            return Place::PerhapsOutside(word.raw.clone());
        }
        // The known part before a glob.
        let fixed = word.front();
        let complete = word.known && !word.glob;
        let absolute = match fixed.strip_prefix('~') {
            Some("") => Some(self.home.clone()),
            Some(rest) if rest.starts_with('/') => Some(normal(&self.home.join(rest.trim_start_matches('/')))),
            _ if fixed.starts_with('/') => Some(normal(Path::new(fixed))),
            _ => None,
        };
        let Some(path) = absolute.map(behind_links) else { return self.relative(fixed) };
        if let Some(denied) = self.denied.iter().find(|denied| is_within(&path, denied)) {
            return Place::Denied(denied.clone());
        }
        if self.fits(&path, writes) {
            return Place::Fine;
        }
        let shown = word.raw.clone();
        if complete || word.glob && fixed.ends_with('/') {
            return Place::Outside(shown);
        }
        let may_fit = self.roots.iter().chain(&self.denied).any(|root| root.to_string_lossy().starts_with(fixed));
        if may_fit || !writes { Place::Fine } else { Place::PerhapsOutside(shown) }
    }

    /// Whether a glob may be one of the denied paths, or a path below: `~/.ss?/id`.
    fn may_be_denied(&self, glob: &str) -> bool {
        let rest = glob.strip_prefix("~/").unwrap_or(glob);
        let glob = normal(&self.home.join(rest));
        let mut denied = self.denied.iter().map(|path| path.components());
        denied.any(|mut path| {
            let mut parts = glob.components();
            path.all(|name| {
                parts.next().is_some_and(|part| {
                    may_fit(&part.as_os_str().to_string_lossy(), &name.as_os_str().to_string_lossy())
                })
            })
        })
    }

    fn fits(&self, path: &Path, writes: bool) -> bool {
        let own = DEVICES.iter().any(|device| is_within(path, Path::new(device)))
            || path.starts_with("/tmp")
            || is_about_itself(path) && !writes
            || (!writes && IMAGE.iter().any(|image| is_within(path, Path::new(image))));
        own || self.roots.iter().any(|root| is_within(path, root))
    }

    /// A relative path: the working directory is not known, but `.ssh/id` and `../../../etc/x` are
    /// what they look like.
    fn relative(&self, text: &str) -> Place {
        if text.is_empty() {
            return Place::Fine;
        }
        let mut rest = text;
        while let Some(shorter) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("./")) {
            rest = shorter;
        }
        let up = text.starts_with("../") || text.starts_with("./../");
        let guesses = [Some(self.home.join(rest)), up.then(|| Path::new("/").join(rest))];
        for guess in guesses.into_iter().flatten().map(|path| normal(&path)) {
            if let Some(denied) = self.denied.iter().find(|denied| is_within(&guess, denied)) {
                return Place::Denied(denied.clone());
            }
        }
        Place::Fine
    }
}

/// Whether a part of a glob may be `name`; what stands between brackets is taken for any character.
fn may_fit(glob: &str, name: &str) -> bool {
    if glob.contains('(') {
        return true;
    }
    // What stands for any character stands for no dot in front.
    let hidden = name.starts_with('.') && glob.starts_with(['*', '?', '[']);
    let mut ends = vec![0];
    let (mut rest, letters) = (glob.chars(), name.chars().collect::<Vec<_>>());
    while let Some(c) = rest.next() {
        ends = match c {
            '*' => (ends.first().copied().unwrap_or(letters.len())..=letters.len()).collect(),
            _ => {
                if c == '[' {
                    rest.by_ref().find(|c| *c == ']');
                }
                let fits = |at: &usize| letters.get(*at).is_some_and(|letter| matches!(c, '?' | '[') || *letter == c);
                ends.into_iter().filter(fits).map(|at| at + 1).collect()
            }
        };
        if ends.is_empty() {
            return false;
        }
    }
    !hidden && ends.contains(&letters.len())
}

/// A path through the `/proc` link to a process's root, without it.
fn behind_links(mut path: PathBuf) -> PathBuf {
    while let Ok(rest) = path.strip_prefix("/proc/self/root") {
        path = Path::new("/").join(rest);
    }
    path
}

/// Whether a path is what `/proc` tells a process about itself, and no link to other files.
fn is_about_itself(path: &Path) -> bool {
    path.strip_prefix("/proc/self").is_ok_and(|rest| {
        let mut parts = rest.components().map(|part| part.as_os_str());
        !parts.any(|part| part == "root" || part == "cwd" || part == "task" || part == "map_files")
    })
}

/// As `Path::starts_with`, for paths that are [`normal`] already: the bytes tell.
fn is_within(path: &Path, root: &Path) -> bool {
    let rest = path.as_os_str().as_bytes().strip_prefix(root.as_os_str().as_bytes());
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/') || root == Path::new("/"))
}

/// `path` without `.`, `..` and doubled slashes, by its text alone.
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => out.push(part),
        }
    }
    out
}

/// Most paths in one word.
const CANDIDATES_MAX: usize = 64;
/// Longest path that is looked at inside of a word, in bytes; Linux knows none that is longer.
const PATH_BYTES_MAX: usize = 4096;

/// The parts of an argument that may be paths: the word, the value of an option, after `=` or `@`; `None` for too many.
pub(crate) fn candidates(word: &Word) -> Option<Vec<Word>> {
    let part = |text: &str| {
        let end = (0..=PATH_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        Word { fixed: text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned(), ..word.clone() }
    };
    let text = word.fixed.as_str();
    let mut found = Vec::new();
    let path_like = |text: &str| text.starts_with(['/', '~', '.']) || text.contains('/');
    if let Some(rest) = text.strip_prefix("file://") {
        found.push(part(rest));
    } else if path_like(text) && !text.contains("://") {
        found.push(word.clone());
    }
    let path = |rest: &&str| rest.starts_with('/') && !rest.starts_with("//") || rest.starts_with("~/");
    let mut inside = text.match_indices(['=', '@', ':']).filter_map(|(at, _)| text.get(at + 1..)).filter(path);
    found.extend(inside.by_ref().take(CANDIDATES_MAX).map(part));
    if inside.next().is_some() {
        return None;
    }
    if text.starts_with('-') && !text.starts_with("--") {
        found.extend(text.get(2..).filter(|rest| rest.starts_with(['/', '~'])).map(part));
    }
    Some(found)
}
