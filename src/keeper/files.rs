//! A directory tree reached through one descriptor: every path is resolved beneath it, without
//! symbolic links and without crossing into another mount.
//!
//! It refuses to follow any link and to open anything but regular files and directories, so that a
//! tree made by an attacker can mislead nobody.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::room;

/// Most names that are read of one directory.
const NAMES_MAX: usize = 100_000;

/// A directory tree; paths are relative and `/`-separated, the empty one is its root.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
}

/// What stands at a path, as lstat(2) told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: SeenKind,
    /// Permission bits, without setuid, setgid and sticky.
    pub(super) mode: u32,
    pub(super) bytes: u64,
    pub(super) uid: u32,
    pub(super) links: u64,
    pub(super) stamp: Stamp,
    pub(super) modified: (i64, u32),
}

/// The type of what stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeenKind {
    File,
    Directory,
    Symlink,
    /// A character device 0:0: how an overlay writes a deletion.
    Whiteout,
    /// Never applied; the name is for people.
    Other(&'static str),
}

/// What changes whenever somebody writes to a file or puts another in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) ctime_ns: u64,
}

/// A name in a directory: as text, or (lossy) when it is not UTF-8.
pub(super) type Name = Result<String, String>;

impl Tree {
    /// The tree at `path`, whose own components are trusted.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Takes the only lock on its root for as long as this tree is open; `false` when another one has it.
    pub(super) fn lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.root, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn reach(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.root, if path.is_empty() { "." } else { path }, flags, mode, beneath) {
                // openat2(2): a rename elsewhere raced with the walk.
                Err(Errno::AGAIN) if tries < 16 => tries += 1,
                result => return Ok(result?),
            }
        }
    }

    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.reach(directory, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?, name))
    }

    /// What stands at `path`; `None` when nothing does, or when something on the way is no directory.
    pub(super) fn look(&self, path: &str) -> io::Result<Option<Seen>> {
        let found = if path.is_empty() {
            rustix::fs::fstat(&self.root).map_err(io::Error::from)
        } else {
            self.parent(path).and_then(|(parent, name)| {
                rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)
            })
        };
        match found {
            Ok(stat) => Ok(Some(Seen::of(&stat))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Device of the root.
    pub(super) fn device(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.root)?.st_dev)
    }

    /// Opens a regular file for reading.
    pub(super) fn read(&self, path: &str) -> io::Result<File> {
        let file = File::from(self.reach(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }

    /// The whole of a file of at most `bytes_max`; `None` when it is longer.
    pub(super) fn read_all(&self, path: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.read(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(if bytes.len() as u64 > bytes_max { None } else { Some(bytes) })
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<Name>> {
        let directory = self.reach(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(directory)? {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            if names.len() >= NAMES_MAX {
                return Err(io::Error::other(format!("more than {NAMES_MAX} names in one directory")));
            }
            let lossy = || String::from_utf8_lossy(bytes).into_owned();
            names.push(std::str::from_utf8(bytes).map(str::to_owned).map_err(|_not_utf8| lossy()));
        }
        names.sort();
        Ok(names)
    }

    /// The names in the root that are UTF-8, however many, sorted: of a directory that nobody else writes to.
    pub(super) fn all_names(&self) -> io::Result<Vec<String>> {
        let found = raw_names(&self.reach("", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?)?;
        let mut names: Vec<String> = found.into_iter().filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The text of a symbolic link.
    pub(super) fn link_text(&self, path: &str) -> io::Result<String> {
        let (parent, name) = self.parent(path)?;
        let text = rustix::fs::readlinkat(&parent, name, Vec::new())?;
        text.into_string().map_err(io::Error::other)
    }

    /// An extended attribute of a file or directory; `None` when there is none.
    pub(super) fn attribute(&self, path: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = self.reach(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let mut value = [0_u8; 256];
        match rustix::fs::fgetxattr(&file, name, &mut value) {
            Ok(length) => Ok(value.get(..length).map(<[u8]>::to_vec)),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            // A value longer than any that an overlay writes.
            Err(Errno::RANGE) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the permission bits of a file or directory, never of what a link points to.
    pub(super) fn chmod(&self, path: &str, mode: u32) -> io::Result<()> {
        let file = self.reach(path, OFlags::PATH, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP.into());
        }
        // fchmod(2) refuses O_PATH descriptors, and a mode of 0 leaves no other way to open.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode & 0o777))?)
    }

    pub(super) fn make_directory(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::mkdirat(&parent, name, Mode::RWXU)?)
    }

    /// A new file, readable and writable by its owner only.
    pub(super) fn create(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(self.reach(path, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Opens a file for writing at its end; it is made if there is none.
    pub(super) fn append(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND;
        Ok(File::from(self.reach(path, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// The tree at a directory of this one.
    pub(super) fn subtree(&self, path: &str) -> io::Result<Self> {
        Ok(Self { root: self.reach(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())? })
    }

    /// As [`Self::subtree`]; the directory is made if there is none.
    pub(super) fn make_subtree(&self, path: &str) -> io::Result<Self> {
        match self.make_directory(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.subtree(path),
        }
    }

    pub(super) fn make_link(&self, text: &str, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::symlinkat(text, &parent, name)?)
    }

    /// Renames within one directory or between two; an existing file is replaced.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((old, old_name), (new, new_name)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::renameat(&old, old_name, &new, new_name)?)
    }

    /// Removes a file or link; that there is none is fine.
    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        self.unlink(path, AtFlags::empty())
    }

    /// Removes an empty directory; that there is none is fine.
    pub(super) fn remove_directory(&self, path: &str) -> io::Result<()> {
        self.unlink(path, AtFlags::REMOVEDIR)
    }

    fn unlink(&self, path: &str, flags: AtFlags) -> io::Result<()> {
        let removed = self
            .parent(path)
            .and_then(|(parent, name)| rustix::fs::unlinkat(&parent, name, flags).map_err(io::Error::from));
        match removed {
            Err(error) if !is_absence(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes all that is in the tree, as its owner: modes that forbid it are changed. Directories in
    /// directories are first moved to the root, so that no nesting is too deep.
    pub(super) fn empty(&self) -> io::Result<()> {
        let mut moved = 0_u64;
        loop {
            let found = raw_names(&self.reach("", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?)?;
            if found.is_empty() {
                return Ok(());
            }
            for name in found {
                if is_directory_at(&self.root, &name)? {
                    self.flatten(&name, &mut moved)?;
                    rustix::fs::unlinkat(&self.root, name.as_c_str(), AtFlags::REMOVEDIR)?;
                } else {
                    rustix::fs::unlinkat(&self.root, name.as_c_str(), AtFlags::empty())?;
                }
            }
        }
    }

    /// Removes the files of a directory of the root, and moves its directories to the root.
    fn flatten(&self, name: &CStr, moved: &mut u64) -> io::Result<()> {
        open_up(&self.root, name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.root, name, flags, Mode::empty())?;
        for inner in raw_names(&directory)? {
            if !is_directory_at(&directory, &inner)? {
                rustix::fs::unlinkat(&directory, inner.as_c_str(), AtFlags::empty())?;
                continue;
            }
            open_up(&directory, &inner)?;
            loop {
                *moved += 1;
                let to = format!(".castoff-emptied-{moved}");
                match rustix::fs::renameat_with(&directory, inner.as_c_str(), &self.root, to, RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => {}
                    result => break result?,
                }
            }
        }
        Ok(())
    }

    /// That the file system has more room than is kept free for others.
    pub(super) fn has_room(&self) -> io::Result<()> {
        room::check(&self.root, 0)
    }

    /// Writes everything of this file system to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }
}

impl Seen {
    fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => SeenKind::File,
            FileType::Directory => SeenKind::Directory,
            FileType::Symlink => SeenKind::Symlink,
            FileType::CharacterDevice if stat.st_rdev == 0 => SeenKind::Whiteout,
            FileType::Fifo => SeenKind::Other("a FIFO"),
            FileType::Socket => SeenKind::Other("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => SeenKind::Other("a device"),
            FileType::Unknown => SeenKind::Other("of an unknown type"),
        };
        let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
        let nanos = stat.st_ctime_nsec;
        Self {
            kind,
            mode: stat.st_mode & 0o777,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            uid: stat.st_uid,
            links: stat.st_nlink,
            stamp: Stamp { inode: stat.st_ino, ctime_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanos) },
            modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == SeenKind::Directory
    }
}

fn raw_names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_directory_at(parent: &OwnedFd, name: &CStr) -> io::Result<bool> {
    Ok(Seen::of(&rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?).is_directory())
}

/// Gives the owner of a directory every right to it.
fn open_up(parent: &OwnedFd, name: &CStr) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    if Seen::of(&rustix::fs::fstat(&root)?).mode & 0o700 == 0o700 {
        return Ok(());
    }
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", root.as_raw_fd()), Mode::RWXU)?)
}

/// Whether an error says that there is nothing at a path.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
