//! A Castoff with two people: the owner, whose commands mean no good, and Ben, who only wants `true`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Answer, Castoff, Live, command, text};

/// Ben's uid.
const BEN: u32 = 4321;
/// How much longer Ben may wait after an attack than he ever did before it: other tests run meanwhile.
const SLOWER_MAX: u32 = 4;
const SLACK: Duration = Duration::from_secs(3);

const USERS: &str = "owner: { name: Ann }\nusers:\n  - { id: ben, name: Ben, trust_level: trusted, local: [4321] }\n";
const TOOLS: &str = "exec: { allow: [cat, date, echo, fallocate, gcc, head, ls, mkdir, perl, rm, seq, setsid, \"sh\", sleep, tail, \"true\", truncate, wc, \"yes\"] }
files: { allowed_paths: [\"WORK\"] }
";

pub(crate) struct Den {
    pub(crate) castoff: Castoff,
    /// The longest that a run of Ben's took while all was quiet.
    usual: Duration,
    /// Unmounted last.
    _disk: Option<SmallDisk>,
}

impl Den {
    /// With these `runs` of `limits.yaml`.
    pub(crate) fn new(runs: &str) -> Self {
        Self::on(Castoff::prepare(&[]), None, runs)
    }

    /// The same, and its overlays lie on a file system of its own with so many bytes and files.
    pub(crate) fn on_a_disk_of(size: &str, files: u32, runs: &str) -> Self {
        let castoff = Castoff::prepare(&[]);
        let disk = SmallDisk::at(&castoff.home().join("state/runner"), size, files);
        Self::on(castoff, Some(disk), runs)
    }

    fn on(castoff: Castoff, disk: Option<SmallDisk>, runs: &str) -> Self {
        castoff.configure("users.yaml", USERS);
        castoff.configure("tools.yaml", TOOLS);
        castoff.configure("limits.yaml", &format!("runs: {{ {runs} }}\n"));
        castoff.serve();
        let mut den = Self { castoff, usual: Duration::ZERO, _disk: disk };
        // The first also starts what later ones find.
        den.bens_run();
        den.usual = (0..3).map(|_| den.bens_run()).max().unwrap();
        den
    }

    fn bens_run(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "a test compares times that it takes itself")]
        let began = Instant::now();
        self.castoff.castoff_as(BEN, &["run", "--", "true"]).ended(0);
        began.elapsed()
    }

    /// A run of Ben's that said `ready`.
    pub(crate) fn bens(&self, script: &str) -> Live {
        let mut live = self.castoff.begin_as(BEN, &["run", "--", script]);
        live.feed(b"");
        live.until("ready");
        live
    }

    /// What is on record of Ben's newest run, as he sees it.
    pub(crate) fn bens_newest(&self) -> Value {
        let answer = self.castoff.castoff_as(BEN, &["--json", "runs", "-n", "1"]).ended(0);
        let runs: Value = serde_json::from_str(&answer.stdout).unwrap();
        runs[0].clone()
    }

    /// Runs a script of the owner's, says `yes` to whatever is asked, and looks after Ben. Returns what was said, and
    /// the record.
    pub(crate) fn attack(&self, script: &str) -> (Answer, Value) {
        let answer = self.castoff.castoff(&["run", "--yes", "--", script]);
        let took = self.bens_run();
        let most = self.usual * SLOWER_MAX + SLACK;
        assert!(took <= most, "Ben waited {took:?} after `{script}`, and {:?} at the most before it", self.usual);
        let (_, runs) = self.castoff.json(&["runs", "-n", "20"]);
        let own = runs.as_array().unwrap().iter().find(|run| run["person"] == "owner");
        let record = own.unwrap_or_else(|| panic!("{answer:?}")).clone();
        assert_eq!(text(&record["script"]), script, "{answer:?}");
        (answer, record)
    }
}

/// A file system of the test's own, in memory.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn at(place: &Path, size: &str, files: u32) -> Self {
        std::fs::create_dir_all(place).unwrap();
        let options = format!("size={size},nr_inodes={files},mode=755");
        let mounted = command("mount").args(["-t", "tmpfs", "-o", &options, "castoff-test"]).arg(place).status();
        assert!(mounted.unwrap().success(), "no file system could be mounted at {}", place.display());
        Self(place.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What still holds it lets go of it soon: the janitor waits for no answer either.
        drop(command("umount").arg("--lazy").arg(&self.0).stderr(std::process::Stdio::null()).status());
    }
}

/// A number of a record.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}
