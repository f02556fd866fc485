//! Reads the overlay of a run whose processes are dead, and compares it with the host.
//!
//! What it finds becomes items: a change as people see it, the paths that it is made of, and what
//! speaks against landing it. It writes nothing but the modes of unreadable entries in the overlay,
//! each recorded first.

use std::collections::{HashMap, HashSet};
use std::io;

use crate::domain::change::{Change, Node, NodeKind, Trouble};

use super::content::same_bytes;
use super::files::{Seen, SeenKind, Tree};
use super::paths::{is_at_or_below, join};
use super::{DEPTH_MAX, ENTRIES_MAX, KeeperError, PATH_BYTES_MAX};

/// Clocks of files tick in steps of up to this.
const CTIME_SLACK_NS: u64 = 20_000_000;
const OPAQUE: &str = "user.overlay.opaque";
const UNREADABLE: &str = "the host's directory cannot be read";
const ORIGIN: &str = "user.overlay.origin";

/// One change and what it is made of.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) change: Change,
    /// The paths that it touches, a directory before what is in it.
    pub(super) pairs: Vec<Pair>,
    /// Why it cannot land.
    pub(super) conflict: Option<String>,
    /// Low half of the inode that the overlay's entry was copied from, when the host has none there.
    orphan: Option<Vec<u8>>,
}

/// A path as the host has it and as the run left it.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) path: String,
    pub(super) lower: Option<Seen>,
    pub(super) upper: Option<Seen>,
}

/// All that a run changed.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) items: Vec<Item>,
    pub(super) refused: Vec<Trouble>,
}

/// What a scan is measured against.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) claimed_ns: u64,
    /// Relative to the workspace; the empty path denies all of it.
    pub(super) denied: &'a [String],
    /// Change times that this keeper caused itself, by path.
    pub(super) own: &'a HashMap<String, u64>,
    /// Changes of this run that landed already.
    pub(super) settled: &'a HashSet<String>,
    pub(super) uid: u32,
}

/// Original modes of overlay entries that had to be made readable.
pub(super) trait Modes {
    fn original(&self, path: &str) -> Option<u32>;
    fn record(&mut self, path: &str, mode: u32) -> io::Result<()>;
}

/// Compares the overlay `upper` with the host's `lower`.
pub(super) fn scan(upper: &Tree, lower: &Tree, rules: &Rules<'_>, modes: &mut dyn Modes) -> Result<Scan, KeeperError> {
    let scan = Scan { items: Vec::new(), refused: Vec::new() };
    let mut scanner = Scanner { upper, lower, rules, modes, scan, entries: 0, path_bytes: 0, hidden: HashSet::new() };
    scanner.directory("", true, false, 0)?;
    let Scanner { mut scan, hidden, .. } = scanner;
    scan.items.retain(|item| !rules.settled.contains(&item.change.path));
    for item in &mut scan.items {
        // A copied-up entry without a host's entry was renamed by the run, when what it was copied
        // from is hidden elsewhere in the overlay; else somebody removed it on the host.
        if item.orphan.as_ref().is_some_and(|origin| !hidden.contains(origin)) && item.conflict.is_none() {
            item.conflict = Some("it was removed on the host since the run began".to_owned());
        }
    }
    scan.items.sort_by(|a, b| a.change.path.split('/').cmp(b.change.path.split('/')));
    scan.refused.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(scan)
}

struct Scanner<'a> {
    upper: &'a Tree,
    lower: &'a Tree,
    rules: &'a Rules<'a>,
    modes: &'a mut dyn Modes,
    scan: Scan,
    entries: usize,
    path_bytes: usize,
    /// Origins (as in the attribute) of host entries that the overlay hides.
    hidden: HashSet<Vec<u8>>,
}

impl Scanner<'_> {
    fn directory(&mut self, path: &str, below: bool, opaque: bool, depth: usize) -> Result<(), KeeperError> {
        let names = self.upper.names(path).map_err(|error| KeeperError::read(path, error))?;
        for name in &names {
            match name {
                Ok(name) => self.entry(&join(path, name), below, depth)?,
                Err(lossy) => self.refuse(join(path, lossy), "its name is not UTF-8")?,
            }
        }
        if opaque && below {
            let kept: HashSet<&String> = names.iter().filter_map(|name| name.as_ref().ok()).collect();
            let Ok(hidden) = self.lower.names(path) else { return self.refuse(path.to_owned(), UNREADABLE) };
            for name in hidden {
                match name {
                    Ok(name) if kept.contains(&name) => {}
                    Ok(name) => self.deletion(join(path, &name))?,
                    Err(lossy) => self.refuse(join(path, &lossy), "its name on the host is not UTF-8")?,
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, below: bool, depth: usize) -> Result<(), KeeperError> {
        self.count(path)?;
        let Some(mut upper) = self.upper.look(path).map_err(|error| KeeperError::read(path, error))? else {
            return Ok(());
        };
        if upper.kind == SeenKind::Whiteout {
            return if below { self.deletion(path.to_owned()) } else { Ok(()) };
        }
        if let Some(why) = self.objection(path, &upper, depth) {
            return self.refuse(path.to_owned(), why);
        }
        self.make_readable(path, &mut upper).map_err(|error| KeeperError::read(path, error))?;
        let lower = match self.lower.look(path) {
            Ok(lower) => lower.filter(|_| below),
            Err(_unreadable) => return self.refuse(path.to_owned(), UNREADABLE),
        };
        let text = (upper.kind == SeenKind::Symlink).then(|| self.upper.link_text(path)).transpose();
        let Ok(text) = text else { return self.refuse(path.to_owned(), "the text of this link is not UTF-8") };
        if let Some(lower) = lower.as_ref().filter(|lower| !lower.is_directory()) {
            self.hide(lower);
        }
        if upper.is_directory() {
            return self.entered(path, &upper, lower, depth);
        }
        self.file(path, upper, lower, text)
    }

    /// A directory of the overlay, and all that is in it.
    fn entered(&mut self, path: &str, upper: &Seen, lower: Option<Seen>, depth: usize) -> Result<(), KeeperError> {
        let attribute = |name| self.upper.attribute(path, name).map_err(|error| KeeperError::read(path, error));
        let opaque = attribute(OPAQUE)?.as_deref() == Some(b"y");
        let copied = attribute(ORIGIN)?.is_some();
        let below = lower.as_ref().is_some_and(Seen::is_directory);
        if below {
            if lower.as_ref().is_some_and(|lower| lower.mode != upper.mode) {
                let conflict = lower.as_ref().and_then(|lower| self.foreign(lower));
                self.push(Pair { path: path.to_owned(), lower, upper: Some(upper.clone()) }, None, conflict)?;
            }
        } else {
            let gone = (lower.is_none() && copied && !opaque)
                .then(|| "this directory was removed on the host since the run began".to_owned());
            let conflict = gone.or_else(|| lower.as_ref().and_then(|lower| self.host_conflict(path, lower)));
            self.push(Pair { path: path.to_owned(), lower, upper: Some(upper.clone()) }, None, conflict)?;
        }
        self.directory(path, below, opaque, depth + 1)
    }

    fn file(&mut self, path: &str, upper: Seen, lower: Option<Seen>, text: Option<String>) -> Result<(), KeeperError> {
        let Some(lower) = lower else {
            let orphan = if upper.kind == SeenKind::File {
                self.upper.attribute(path, ORIGIN).map_err(|error| KeeperError::read(path, error))?
            } else {
                None
            };
            self.push(Pair { path: path.to_owned(), lower: None, upper: Some(upper) }, text, None)?;
            if let Some(item) = self.scan.items.last_mut() {
                item.orphan =
                    orphan.and_then(|handle| handle.get(ORIGIN_HEADER..ORIGIN_HEADER + 4).map(<[u8]>::to_vec));
            }
            return Ok(());
        };
        if self.is_same(path, &upper, &lower, text.as_deref()) {
            return Ok(());
        }
        let conflict = self.host_conflict(path, &lower).or_else(|| {
            (lower.kind == SeenKind::File && lower.links > 1)
                .then(|| "the host's file has other names (hard links), which would keep the old content".to_owned())
        });
        self.push(Pair { path: path.to_owned(), lower: Some(lower), upper: Some(upper) }, text, conflict)
    }

    fn is_same(&self, path: &str, upper: &Seen, lower: &Seen, text: Option<&str>) -> bool {
        if upper.kind != lower.kind {
            return false;
        }
        if upper.kind == SeenKind::Symlink {
            return self.lower.link_text(path).is_ok_and(|host| Some(host.as_str()) == text);
        }
        let bytes = || -> io::Result<bool> { same_bytes(&self.upper.read(path)?, &self.lower.read(path)?) };
        // What cannot be compared counts as changed: the host's file is then a conflict or an error later.
        upper.mode == lower.mode && upper.bytes == lower.bytes && bytes().unwrap_or(false)
    }

    fn deletion(&mut self, path: String) -> Result<(), KeeperError> {
        if self.is_denied(&path) {
            return self.refuse(path, "this path is denied");
        }
        let lower = match self.lower.look(&path) {
            Ok(Some(lower)) => lower,
            Ok(None) => return Ok(()),
            Err(_unreadable) => return self.refuse(path, UNREADABLE),
        };
        let conflict = if lower.is_directory() { self.foreign(&lower) } else { self.host_conflict(&path, &lower) };
        self.push(Pair { path, lower: Some(lower), upper: None }, None, conflict)
    }

    /// Adds one item; a directory of the host that goes brings along all that is in it.
    fn push(&mut self, pair: Pair, text: Option<String>, mut conflict: Option<String>) -> Result<(), KeeperError> {
        let Pair { path, lower, upper } = &pair;
        let replaced =
            lower.as_ref().is_some_and(Seen::is_directory) && !upper.as_ref().is_some_and(Seen::is_directory);
        let mut host_text = None;
        if lower.as_ref().is_some_and(|lower| lower.kind == SeenKind::Symlink) {
            match self.lower.link_text(path) {
                Ok(text) => host_text = Some(text),
                Err(error) => conflict = conflict.or_else(|| Some(format!("the host's link cannot be read: {error}"))),
            }
        }
        // They are told as the paths are.
        self.path_bytes += text.iter().chain(&host_text).map(String::len).sum::<usize>();
        let before = lower.as_ref().map(|seen| node(seen, host_text));
        let after = upper.as_ref().map(|seen| node(seen, text));
        let path = path.clone();
        let mut pairs = vec![pair];
        if replaced {
            conflict = conflict.or(self.below(&path, &mut pairs, 0)?);
        }
        for seen in pairs.iter().filter(|pair| pair.upper.is_none()).filter_map(|pair| pair.lower.as_ref()) {
            self.hide(seen);
        }
        let entries = pairs.len().saturating_sub(1) as u64;
        let before = before.map(|node| match node.kind {
            NodeKind::Directory { .. } => Node { kind: NodeKind::Directory { entries }, ..node },
            NodeKind::File { .. } | NodeKind::Symlink { .. } => node,
        });
        let change = Change { path, before, after };
        self.scan.items.push(Item { change, pairs, conflict, orphan: None });
        Ok(())
    }

    /// All that the host has below a directory; returns what speaks against removing it.
    fn below(&mut self, path: &str, pairs: &mut Vec<Pair>, depth: usize) -> Result<Option<String>, KeeperError> {
        if depth > DEPTH_MAX {
            return Ok(Some("its directories are nested too deep".to_owned()));
        }
        let names = match self.lower.names(path) {
            Ok(names) => names,
            Err(error) => return Ok(Some(format!("`{path}` cannot be read: {error}"))),
        };
        let mut conflict = None;
        for name in names {
            let Ok(name) = name else {
                conflict = conflict.or_else(|| Some(format!("`{path}` holds a name that is not UTF-8")));
                continue;
            };
            let inner = join(path, &name);
            self.count(&inner)?;
            let seen = match self.lower.look(&inner) {
                Ok(Some(seen)) => seen,
                Ok(None) => continue,
                Err(error) => {
                    conflict = conflict.or_else(|| Some(format!("`{inner}` cannot be read: {error}")));
                    continue;
                }
            };
            let directory = seen.is_directory();
            let found = if self.is_denied(&inner) {
                Some("a denied path lies in it".to_owned())
            } else if directory {
                self.foreign(&seen)
            } else {
                self.host_conflict(&inner, &seen)
            };
            conflict = conflict.or(found.map(|why| format!("`{inner}`: {why}")));
            pairs.push(Pair { path: inner.clone(), lower: Some(seen), upper: None });
            if directory {
                conflict = conflict.or(self.below(&inner, pairs, depth + 1)?);
            }
        }
        Ok(conflict)
    }

    fn objection(&self, path: &str, upper: &Seen, depth: usize) -> Option<&'static str> {
        if self.is_denied(path) {
            return Some("this path is denied");
        }
        if let SeenKind::Other(what) = upper.kind {
            return Some(match what {
                "a FIFO" => "it is a FIFO: only files, directories and links land",
                "a socket" => "it is a socket: only files, directories and links land",
                _ => "it is a device: only files, directories and links land",
            });
        }
        if upper.uid != self.rules.uid {
            return Some("it belongs to another user");
        }
        if path.len() > PATH_BYTES_MAX {
            return Some("its path is too long");
        }
        (depth >= DEPTH_MAX).then_some("it is nested too deep")
    }

    /// Remembers a host's entry that the overlay hides. One that is younger than the claim is none that
    /// the run can have renamed: it may have got the inode of a file that was removed.
    fn hide(&mut self, lower: &Seen) {
        if !self.is_late(lower) {
            self.hidden.insert(origin_of(lower));
        }
    }

    fn is_late(&self, lower: &Seen) -> bool {
        lower.stamp.ctime_ns > self.rules.claimed_ns.saturating_sub(CTIME_SLACK_NS)
    }

    /// Why the host's file or link may not be replaced or removed.
    fn host_conflict(&self, path: &str, lower: &Seen) -> Option<String> {
        if let SeenKind::Other(what) = lower.kind {
            return Some(format!("on the host it is {what}"));
        }
        if lower.is_directory() {
            return self.foreign(lower);
        }
        if self.is_late(lower) && self.rules.own.get(path) != Some(&lower.stamp.ctime_ns) {
            return Some("it was changed on the host since the run began".to_owned());
        }
        self.foreign(lower)
    }

    fn foreign(&self, lower: &Seen) -> Option<String> {
        (lower.uid != self.rules.uid).then(|| "on the host it belongs to another user".to_owned())
    }

    fn is_denied(&self, path: &str) -> bool {
        self.rules.denied.iter().any(|denied| is_at_or_below(path, denied))
    }

    /// Gives the owner of an overlay entry the rights to read it; `seen` keeps the run's mode.
    fn make_readable(&mut self, path: &str, seen: &mut Seen) -> io::Result<()> {
        let wanted = match seen.kind {
            SeenKind::Directory => 0o700,
            SeenKind::File => 0o400,
            SeenKind::Symlink | SeenKind::Whiteout | SeenKind::Other(_) => return Ok(()),
        };
        let found = seen.mode;
        match self.modes.original(path) {
            Some(original) => seen.mode = original,
            None if found & wanted != wanted => self.modes.record(path, found)?,
            None => {}
        }
        if found & wanted == wanted { Ok(()) } else { self.upper.chmod(path, found | wanted) }
    }

    fn refuse(&mut self, path: String, why: &str) -> Result<(), KeeperError> {
        self.count(&path)?;
        self.scan.refused.push(Trouble { path, why: why.to_owned() });
        Ok(())
    }

    fn count(&mut self, path: &str) -> Result<(), KeeperError> {
        self.entries += 1;
        self.path_bytes += path.len();
        if self.entries > ENTRIES_MAX || self.path_bytes > super::PATHS_BYTES_MAX {
            return Err(KeeperError::TooMany);
        }
        Ok(())
    }
}

/// `struct ovl_fb` of the kernel (fs/overlayfs/overlayfs.h): version, magic, length, flags, type and
/// a UUID of 16 bytes stand before the file handle, which begins with the inode on every common file system.
const ORIGIN_HEADER: usize = 21;

fn origin_of(seen: &Seen) -> Vec<u8> {
    seen.stamp.inode.to_le_bytes().into_iter().take(4).collect()
}

fn node(seen: &Seen, text: Option<String>) -> Node {
    let kind = match seen.kind {
        SeenKind::Directory => NodeKind::Directory { entries: 0 },
        SeenKind::Symlink => NodeKind::Symlink { target: text.unwrap_or_default() },
        SeenKind::File | SeenKind::Whiteout | SeenKind::Other(_) => NodeKind::File { bytes: seen.bytes },
    };
    Node { kind, mode: seen.mode }
}
