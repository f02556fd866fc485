//! `castoff keeper` against overlays that a real engine made, run as it runs in earnest: as the files
//! uid, without capabilities or network.
//!
//! Needs Docker, `debian:trixie-slim`, and `CASTOFF_BIN_DIR` (a directory with a static castoff).
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use castoff::domain::change::{Change, ChangeKind, ChangeSet, Landing};
use castoff::domain::ids::RunId;
use castoff::protocol::codec;
use castoff::protocol::keeper::{FromKeeper, Places, ToKeeper};
use castoff::runner::harden::LABEL_HOME;

use self::ground::{DEBIAN, Ground, directory, owner, program, try_docker};

mod ground;

/// A workspace whose files are old enough not to conflict, and the directories around it.
struct Stage {
    ground: Ground,
    run: RunId,
}

impl Stage {
    /// Fills the workspace by a script in a container, as the files uid.
    fn new(name: &str, fill: &str) -> Self {
        let stage = Self { ground: Ground::new(name), run: RunId::from_random([9; 11]) };
        let overlay = format!("overlays/{}", stage.run);
        for path in ["work", "state", "overlays", &overlay, &format!("{overlay}/upper"), &format!("{overlay}/scratch")]
        {
            directory(&stage.at(path));
        }
        let work = stage.at("work").display().to_string();
        stage.contain(&["-v", &format!("{work}:{work}"), "-w", &work, DEBIAN, "sh", "-ec", fill], b"");
        stage
    }

    fn at(&self, path: &str) -> PathBuf {
        self.ground.path().join(path)
    }

    /// What a container of the files uid prints.
    fn contain(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let (uid, gid) = owner();
        let (user, label) = (format!("{uid}:{gid}"), self.label());
        let fixed =
            ["run", "-i", "--rm", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
        try_docker(&[&fixed[..], &["--user", &user, "--label", &label], arguments].concat(), input).unwrap()
    }

    fn label(&self) -> String {
        format!("{LABEL_HOME}={}", self.ground.name())
    }

    /// Runs a script over the workspace's overlay; returns when it was claimed.
    fn script(&self, script: &str) -> u64 {
        // The claim lies well after the ticks of the clock that stamped the workspace's files.
        let claimed = self.now_ns() + 30_000_000;
        let (lower, overlay) = (self.at("work"), self.at(&format!("overlays/{}", self.run)));
        let options = format!(
            "o=lowerdir={},upperdir={},workdir={},userxattr",
            lower.display(),
            overlay.join("upper").display(),
            overlay.join("scratch").display()
        );
        let (volume, label) = (self.ground.name(), self.label());
        let kind = ["volume", "create", "-d", "local", "-o", "type=overlay", "-o", "device=overlay"];
        try_docker(&[&kind[..], &["-o", &options, "--label", &label, volume]].concat(), b"").unwrap();
        let mount = format!("type=volume,source={volume},target={},volume-nocopy", lower.display());
        let lower = lower.display().to_string();
        self.contain(&["--mount", &mount, "-w", &lower, DEBIAN, "bash", "-ec", script], b"");
        try_docker(&["volume", "rm", volume], b"").unwrap();
        claimed
    }

    /// The file system's own clock.
    fn now_ns(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.at("clock");
        fs::write(&path, "").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        u64::try_from(metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec()).unwrap()
    }

    /// Puts requests to a keeper in a container of its own.
    fn ask(&self, requests: Vec<ToKeeper>) -> Vec<FromKeeper> {
        let places = Places { workspace: self.at("work"), overlays: self.at("overlays"), state: self.at("state") };
        let mut input = Vec::new();
        for request in std::iter::once(ToKeeper::Open(places)).chain(requests) {
            input.extend(codec::encode(&request).unwrap());
        }
        let program = format!("{}:/castoff:ro", program("castoff").display());
        let binds: Vec<String> =
            ["work", "overlays", "state"].iter().map(|name| format!("{0}:{0}", self.at(name).display())).collect();
        let mut arguments = vec!["--read-only", "-v", &program];
        arguments.extend(binds.iter().flat_map(|bind| ["-v", bind.as_str()]));
        arguments.extend([DEBIAN, "/castoff", "keeper"]);
        let output = self.contain(&arguments, &input);
        let mut output = output.as_slice();
        let answers: Vec<FromKeeper> = std::iter::from_fn(|| codec::read(&mut output).unwrap()).collect();
        assert!(matches!(answers.first(), Some(FromKeeper::Ready { .. })), "{answers:?}");
        answers.into_iter().skip(1).collect()
    }

    fn read(&self, claimed_ns: u64) -> ToKeeper {
        ToKeeper::Read { run: self.run.clone(), claimed_ns, denied: vec![self.at("work/.env")] }
    }

    fn read_and_apply(&self, claimed_ns: u64) -> (ChangeSet, Landing) {
        let apply = ToKeeper::Apply { run: self.run.clone(), paths: None };
        let answers = self.ask(vec![self.read(claimed_ns), apply]);
        let [FromKeeper::Changes(changes), FromKeeper::Landed(landing)] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        (changes.clone(), landing.clone())
    }
}

fn tree(root: &Path) -> BTreeMap<String, String> {
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

const FILL: &str = "umask 022; mkdir -p d/sub e; for f in a b c d/x d/sub/y e/one e/two m r; do echo $f > $f; done; \
                    echo k > .env; ln m hard";

fn kinds(changes: &[Change]) -> Vec<(&str, ChangeKind)> {
    changes.iter().map(|change| (change.path.as_str(), change.kind())).collect()
}

#[test]
fn what_a_script_did_lands_and_is_taken_back() {
    use ChangeKind::{Added, Deleted, Modified};
    let stage = Stage::new("script", FILL);
    let before = tree(&stage.at("work"));
    let claimed = stage.script(
        "umask 022; echo more >> a; rm b; chmod 700 c; rm -r d; mkdir d; echo new > d/x; rm -r e; mkdir -p n/deep; \
         echo n > n/deep/f; ln -s /etc/passwd link; mv r renamed; touch .; cat a >/dev/null",
    );
    let (set, landing) = stage.read_and_apply(claimed);
    let expected = [
        ("a", Modified),
        ("b", Deleted),
        ("c", Modified),
        ("d/sub", Deleted),
        ("d/x", Modified),
        ("e", Deleted),
        ("link", Added),
        ("n", Added),
        ("n/deep", Added),
        ("n/deep/f", Added),
        ("r", Deleted),
        ("renamed", Added),
    ];
    assert_eq!(kinds(&set.changes), expected);
    assert_eq!((set.refused, landing.conflicts), (vec![], vec![]));
    assert_eq!(landing.done.len(), expected.len());
    let after = tree(&stage.at("work"));
    let text = |path: &str| after.get(path).map(String::as_str);
    assert_eq!(text("a"), Some("644 a\nmore\n"));
    assert_eq!(text("c"), Some("700 c\n"));
    assert_eq!(text("d/x"), Some("644 new\n"));
    assert_eq!(text("link"), Some("-> /etc/passwd"));
    assert_eq!((text("e"), text("d/sub"), text("b")), (None, None, None));
    let undone = stage.ask(vec![ToKeeper::Undo { run: stage.run.clone() }]);
    let [FromKeeper::Landed(undone)] = undone.as_slice() else { panic!("{undone:?}") };
    assert_eq!(undone.conflicts, []);
    assert_eq!(tree(&stage.at("work")), before);
}

#[test]
fn a_hostile_overlay_is_refused_by_name_and_can_be_dropped() {
    let stage = Stage::new("hostile", FILL);
    let claimed = stage.script(
        "mkfifo pipe; cp /bin/true s; chmod 6755 s; mkdir -p shut/in; echo x > shut/in/f; chmod 000 shut/in/f shut/in shut; \
         echo x >> m; echo y > .env; ln -s / root; ln -s ../../.. d/up; printf x > \"$(printf 'bad\\377')\"",
    );
    let (set, landing) = stage.read_and_apply(claimed);
    let refused: Vec<&str> = set.refused.iter().map(|trouble| trouble.path.as_str()).collect();
    assert_eq!(refused, [".env", "bad\u{fffd}", "pipe"]);
    let conflicts: Vec<&str> = landing.conflicts.iter().map(|trouble| trouble.path.as_str()).collect();
    assert_eq!(conflicts, ["m"]);
    assert_eq!(landing.done, ["d/up", "root", "s", "shut", "shut/in", "shut/in/f"]);
    // Opens what it found shut: only root sees into a directory without any mode bit.
    let mode = |path: &str| {
        let path = stage.at("work").join(path);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700)).unwrap();
        mode
    };
    assert_eq!([mode("s"), mode("shut"), mode("shut/in"), mode("shut/in/f")], [0o755, 0, 0, 0]);
    let dropped = stage.ask(vec![ToKeeper::Drop { run: stage.run.clone() }]);
    assert!(matches!(&dropped[..], [FromKeeper::Landed(before)] if before.done == landing.done), "{dropped:?}");
    assert_eq!(fs::read_dir(stage.at(&format!("overlays/{}/upper", stage.run))).unwrap().count(), 0);
}

#[test]
fn what_the_host_did_meanwhile_is_left_alone() {
    let stage = Stage::new("meanwhile", FILL);
    let claimed = stage.script("echo run >> a; echo run >> b; echo run > fresh; rm -r d; echo x > e/three");
    fs::write(stage.at("work/a"), "host\n").unwrap();
    fs::remove_file(stage.at("work/b")).unwrap();
    fs::write(stage.at("work/fresh"), "host\n").unwrap();
    fs::write(stage.at("work/d/added"), "host\n").unwrap();
    let (_, landing) = stage.read_and_apply(claimed);
    let conflicts: Vec<&str> = landing.conflicts.iter().map(|trouble| trouble.path.as_str()).collect();
    assert_eq!(conflicts, ["a", "b", "d", "fresh"]);
    assert_eq!(landing.done, ["e/three"]);
    let work = tree(&stage.at("work"));
    assert_eq!(work.get("a").map(String::as_str), Some("644 host\n"));
    assert!(!work.contains_key("b") && work.contains_key("d/sub/y"));
}

#[test]
fn a_thousand_files_land_quickly() {
    let stage = Stage::new("thousand", "for i in $(seq 500); do echo $i > f$i; done");
    let claimed = stage.script("for i in $(seq 1000); do echo new $i > f$i; done");
    let (set, landing) = stage.read_and_apply(claimed);
    assert_eq!((set.changes.len(), landing.done.len(), landing.conflicts), (1000, 1000, vec![]));
}

#[test]
fn what_a_script_made_of_holes_takes_no_more_room_when_it_lands() {
    use std::os::unix::fs::MetadataExt as _;
    let stage = Stage::new("holes", "truncate -s 4M old; echo end >> old");
    let claimed = stage.script("truncate -s 4M new; echo end >> new; echo short > old");
    let (_, landing) = stage.read_and_apply(claimed);
    assert_eq!((landing.done, landing.conflicts), (vec!["new".to_owned(), "old".to_owned()], vec![]));
    let taken = |path: &str| fs::metadata(stage.at(path)).unwrap().blocks() * 512;
    let image = format!("state/{}/before/0", stage.run);
    let all = [taken("work/new"), taken(&image)];
    assert!(all.iter().all(|bytes| *bytes < 1 << 20), "{all:?}");
    let undone = stage.ask(vec![ToKeeper::Undo { run: stage.run.clone() }]);
    assert!(matches!(&undone[..], [FromKeeper::Landed(landing)] if landing.conflicts.is_empty()), "{undone:?}");
    assert!(taken("work/old") < 1 << 20);
    assert!(fs::read(stage.at("work/old")).unwrap().ends_with(b"\0end\n"));
}
