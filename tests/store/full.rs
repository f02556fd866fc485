//! A disk that is full, at whichever write: a clear word, nothing half kept, and once there is room again
//! everything that was kept. On a file system of memory in a mount namespace of its own.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use castoff::domain::record::{Outcome, RunState};
use castoff::store::{Store, StoreError};

use crate::{kept, run};

const PLACE: &str = "CASTOFF_TEST_FULL_DISK";
const PAGE_BYTES: u64 = 4096;
/// Pages that are left free: more than all commits of a case write.
const FREE_PAGES_MAX: u64 = 90;
/// Commits of a case.
const COMMITS: u8 = 24;

#[test]
#[expect(clippy::disallowed_methods, reason = "this test itself, where a disk is its own")]
fn a_full_disk_is_named_at_every_write_and_loses_nothing() {
    if let Some(place) = std::env::var_os(PLACE) {
        return at_every_write(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "mount -t tmpfs -o size=8m,mode=700 tmpfs \"$1\" && exec \"$0\" --exact \
                  full::a_full_disk_is_named_at_every_write_and_loses_nothing --nocapture";
    let child = command
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(place.path())
        .env(PLACE, place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

fn at_every_write(place: &Path) {
    let mut full = 0;
    for free in 0..=FREE_PAGES_MAX {
        let dir = place.join("core");
        private(&dir);
        full += usize::from(case(place, &dir, free));
        std::fs::remove_dir_all(&dir).unwrap();
        a_start_with_little_room(place, &dir, free);
        std::fs::remove_dir_all(&dir).unwrap();
    }
    assert!(full > 10 && full <= usize::try_from(FREE_PAGES_MAX).unwrap(), "{full} cases met a full disk");
}

fn private(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// Fills the disk but for so many pages.
fn fill(place: &Path, free: u64) {
    let mut ballast = File::create(place.join("ballast")).unwrap();
    let page = vec![7; usize::try_from(PAGE_BYTES).unwrap()];
    let error = loop {
        if let Err(error) = ballast.write_all(&page) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let length = ballast.metadata().unwrap().len() / PAGE_BYTES * PAGE_BYTES;
    ballast.set_len(length - free * PAGE_BYTES).unwrap();
}

fn is_clear(error: &StoreError, free: u64) {
    let said = error.explained();
    assert!(
        said.contains("the disk is full") && said.contains("free some space, then start again"),
        "{free} pages: {said}"
    );
}

/// Keeps records until the disk is full; whether it was.
fn case(place: &Path, dir: &Path, free: u64) -> bool {
    let store = Store::open(dir).unwrap();
    store.commit(&kept(&run(0, "p0", RunState::Planning))).unwrap();
    fill(place, free);
    let mut returned = 1;
    let mut met = false;
    for number in 1..=COMMITS {
        // Somebody new now and then, who needs a key.
        let who = format!("p{}", number / 3);
        match store.commit(&kept(&run(number, &who, RunState::Done { changes: Outcome::None }))) {
            Ok(()) => returned += 1,
            Err(error) => {
                is_clear(&error, free);
                met = true;
                break;
            }
        }
    }
    drop(store);
    // A start on the full disk works or says why not.
    match Store::open(dir) {
        Ok(store) => holds(&store, returned, free),
        Err(error) => is_clear(&error, free),
    }
    std::fs::remove_file(place.join("ballast")).unwrap();
    let store = Store::open(dir).unwrap();
    holds(&store, returned, free);
    store.commit(&kept(&run(200, "later", RunState::Planning))).unwrap();
    met
}

fn holds(store: &Store, returned: u64, free: u64) {
    assert_eq!(store.runs(None, 100).unwrap().len() as u64, returned, "{free} pages");
    assert_eq!(store.audit_verify().unwrap().entries, returned, "{free} pages");
}

/// A first start that finds no room leaves nothing that is in the way of the next.
fn a_start_with_little_room(place: &Path, dir: &Path, free: u64) {
    private(dir);
    fill(place, free);
    match Store::open(dir) {
        Ok(store) => drop(store.commit(&kept(&run(1, "ann", RunState::Planning)))),
        Err(error) => is_clear(&error, free),
    }
    std::fs::remove_file(place.join("ballast")).unwrap();
    let store = Store::open(dir).unwrap();
    store.commit(&kept(&run(2, "ann", RunState::Planning))).unwrap();
    store.audit_verify().unwrap();
}
