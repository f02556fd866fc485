//! What the tests stand on: a workspace and overlays made by hand.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::domain::change::{ChangeSet, Landing};
use crate::domain::ids::RunId;
use crate::keeper::serve;
use crate::protocol::codec;
use crate::protocol::keeper::{FromKeeper, Places, ToKeeper};

/// A file system of the test's own, in memory.
pub(super) struct SmallDisk(pub(super) PathBuf);

impl SmallDisk {
    /// `None` for a user who may not mount.
    pub(super) fn at(place: &Path, mib: u64) -> Option<Self> {
        let options = std::ffi::CString::new(format!("size={mib}m")).unwrap();
        let options = Some(options.as_c_str());
        let mounted = rustix::mount::mount("castoff-test", place, "tmpfs", MountFlags::empty(), options);
        match mounted {
            Err(rustix::io::Errno::PERM) => None,
            result => result.map(|()| Some(Self(place.to_owned()))).unwrap(),
        }
    }

    /// Takes all that is left.
    pub(super) fn fill(place: &Path) {
        let mut file = fs::File::create(place.join("filler")).unwrap();
        std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    }

    pub(super) fn free_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.0).unwrap();
        found.f_bavail * found.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// A workspace, an overlay and a keeper's state in a temporary directory.
pub(super) struct Stage {
    pub(super) root: tempfile::TempDir,
    pub(super) run: RunId,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(root: tempfile::TempDir) -> Self {
        let run = RunId::from_random([3; 11]);
        for directory in ["work", "state", &format!("overlays/{run}/upper")] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        Self { root, run }
    }

    /// On a disk of so many MiB, by who may mount.
    pub(super) fn on_a_disk_of(mib: u64) -> (Self, SmallDisk) {
        let root = tempfile::tempdir().unwrap();
        let disk = SmallDisk::at(root.path(), mib).expect("the test may mount");
        (Self::at(root), disk)
    }

    pub(super) fn host(&self, path: &str) -> PathBuf {
        self.root.path().join("work").join(path)
    }

    pub(super) fn upper(&self, path: &str) -> PathBuf {
        self.root.path().join(format!("overlays/{}/upper", self.run)).join(path)
    }

    pub(super) fn ask(&self, requests: Vec<ToKeeper>) -> Vec<FromKeeper> {
        let places = Places {
            workspace: self.host(""),
            overlays: self.root.path().join("overlays"),
            state: self.root.path().join("state"),
        };
        let mut input = codec::encode(&ToKeeper::Open(places)).unwrap();
        let asked = requests.len();
        for request in requests {
            input.extend(codec::encode(&request).unwrap());
        }
        let mut output = Vec::new();
        serve(input.as_slice(), &mut output).unwrap();
        let mut output = output.as_slice();
        let mut answers: Vec<FromKeeper> = std::iter::from_fn(|| codec::read(&mut output).unwrap()).collect();
        assert_eq!(answers.len(), asked + 1);
        answers.remove(0);
        answers
    }

    pub(super) fn one(&self, request: ToKeeper) -> FromKeeper {
        self.ask(vec![request]).remove(0)
    }

    pub(super) fn read_claimed(&self, claimed_ns: u64, denied: &[&str]) -> ChangeSet {
        let denied = denied.iter().map(|path| self.host(path)).collect();
        let answer = self.one(ToKeeper::Read { run: self.run.clone(), claimed_ns, denied });
        let FromKeeper::Changes(changes) = answer else { panic!("{answer:?}") };
        changes
    }

    pub(super) fn read(&self) -> ChangeSet {
        self.read_claimed(u64::MAX, &[])
    }

    pub(super) fn apply(&self, paths: Option<&[&str]>) -> Landing {
        let paths = paths.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        landing(self.one(ToKeeper::Apply { run: self.run.clone(), paths }))
    }

    pub(super) fn undo(&self) -> Landing {
        landing(self.one(ToKeeper::Undo { run: self.run.clone() }))
    }

    pub(super) fn diff(&self) -> String {
        let answer = self.one(ToKeeper::Diff { run: self.run.clone() });
        let FromKeeper::Diff(text) = answer else { panic!("{answer:?}") };
        text
    }

    /// All that stands in the workspace, by path.
    pub(super) fn host_tree(&self) -> BTreeMap<String, String> {
        tree(&self.host(""))
    }
}

pub(super) fn landing(answer: FromKeeper) -> Landing {
    let FromKeeper::Landed(landing) = answer else { panic!("{answer:?}") };
    landing
}

pub(super) fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let text = if metadata.is_dir() {
                todo.push(path.clone());
                format!("{mode:o} directory")
            } else if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("{mode:o} {}", fs::read_to_string(&path).unwrap())
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
    found
}

pub(super) fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(super) fn whiteout(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

pub(super) fn mark(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// One of each: an add, a modification, a deleted file and tree, a replaced directory, a file where a
/// directory was and the other way round, a link, and a mode.
pub(super) fn one_of_each() -> Stage {
    let stage = Stage::new();
    for path in ["kept", "old", "gone", "tree/a", "tree/b/c", "again/x", "again/y", "flat/in", "script"] {
        put(&stage.host(path), path);
    }
    put(&stage.host("deep"), "deep");
    put(&stage.upper("kept"), "kept");
    put(&stage.upper("new/file"), "new");
    put(&stage.upper("old"), "changed");
    whiteout(&stage.upper("gone"));
    whiteout(&stage.upper("tree"));
    put(&stage.upper("again/y"), "yy");
    mark(&stage.upper("again"), "user.overlay.opaque", b"y");
    put(&stage.upper("flat"), "now a file");
    put(&stage.upper("deep/inner"), "inner");
    symlink("/etc/passwd", stage.upper("link")).unwrap();
    put(&stage.upper("script"), "script");
    fs::set_permissions(stage.upper("script"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(stage.upper("new"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(stage.host("tree/b"), fs::Permissions::from_mode(0o555)).unwrap();
    stage
}

/// Whether the caller may mount, as root does. For others the test `name` runs in a program of its own, where it may, and
/// must pass there.
#[expect(clippy::disallowed_methods, reason = "this test itself, where a disk is its own")]
pub(super) fn may_mount(name: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let mut test = std::process::Command::new("unshare");
    test.args(["--user", "--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    let ended = test.args(["--exact", &format!("keeper::tests::full::{name}"), "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    false
}
