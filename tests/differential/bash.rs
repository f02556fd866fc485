//! The real bash, in a container whose programs are all stubs: what each script starts is noted, and
//! nothing else happens. Root is read-only, there is no network, each script has its own directory.
//!
//! Three things are noted: a stub that was started, a name that bash did not find (by its
//! `command_not_found_handle`), and a path that bash went to start (by its trace), which need not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::common::{command, engine::docker};

const STUB: &str = include_str!("stub.sh");
const DRIVER: &str = include_str!("driver.sh");

/// Programs that start others: behind their stub the real one, so that those are seen.
const REAL: &str = "bash dash sh env xargs nice nohup timeout time find flock script setsid stdbuf ionice taskset chrt watch \
    awk sed sort split tar run-parts";
/// Programs that write what scripts run later: real behind their stub, too.
const WRITING: &str = "cat tee cp mv ln chmod touch head tail tr seq echo printf test basename dirname";
/// Programs that are there although no script names them.
const COMMON: &str = "rm ls grep mkdir cut wc git curl wget ssh python3 python \
    perl node npm npx make tee dd less vim ed nc sudo su id whoami date sleep true false kill planted";
/// How long one script may run, in seconds, and how many containers run at once.
const SECONDS: &str = "2";
const CONTAINERS: usize = 3;

/// What was seen of one script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bash says that it is no script.
    pub(crate) rejected: bool,
    /// Its time was over.
    pub(crate) cut_short: bool,
    /// Words of every program that was started, the program first.
    pub(crate) started: BTreeSet<Vec<String>>,
}

/// Runs all `scripts`, and says what was seen of each.
pub(crate) fn run_all(scripts: &[String], names: &BTreeSet<String>) -> Vec<Seen> {
    let place =
        tempfile::Builder::new().prefix("castoff-differential-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let image = docker(&["images", "-q", "--filter", "label=castoff.image=base"]);
    let image = image.split_whitespace().next().expect("the image `base` is built; `make test` does it");
    real_programs(image, &place.path().join("real"));
    stubs(names, &place.path().join("bin"));
    let size = scripts.len().div_ceil(CONTAINERS).max(1);
    std::thread::scope(|scope| {
        let batch = |(number, scripts)| {
            let place = place.path();
            scope.spawn(move || one_container(image, place, number, scripts))
        };
        let batches: Vec<_> = scripts.chunks(size).enumerate().map(batch).collect();
        batches.into_iter().flat_map(|batch| batch.join().unwrap()).collect()
    })
}

fn real() -> impl Iterator<Item = &'static str> {
    REAL.split_whitespace().chain(WRITING.split_whitespace())
}

fn real_programs(image: &str, directory: &Path) {
    let list = ["run", "--rm", "--network", "none", "--read-only", "--entrypoint", "/usr/bin/tar", image];
    let tar =
        command("docker").args(list).args(["-C", "/usr/bin", "-chf", "-"]).args(real()).arg("mkdir").output().unwrap();
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    tar::Archive::new(tar.stdout.as_slice()).unpack(directory).unwrap();
    // The driver's own; scripts have a stub of that name.
    fs::rename(directory.join("mkdir"), directory.join("tool.mkdir")).unwrap();
    // What a login shell of the image starts is not of the script.
    fs::write(directory.join("profile"), "").unwrap();
    program(&directory.join("driver"), DRIVER);
    program(&directory.join("stub"), STUB);
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn stubs(names: &BTreeSet<String>, directory: &Path) {
    fs::create_dir(directory).unwrap();
    let mut all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    for name in real().chain(COMMON.split_whitespace()) {
        all.insert(name);
    }
    for name in all {
        if !name.is_empty() && name.len() < 100 && !name.trim_matches('.').is_empty() && !name.contains(['/', '\0']) {
            symlink("/real/stub", directory.join(name)).unwrap();
        }
    }
}

fn one_container(image: &str, place: &Path, number: usize, scripts: &[String]) -> Vec<Seen> {
    let directory = place.join(format!("scripts{number}"));
    fs::create_dir(&directory).unwrap();
    for (at, script) in scripts.iter().enumerate() {
        fs::write(directory.join(format!("{at:06}")), script).unwrap();
    }
    let mut docker = command("docker");
    docker.args(["run", "--rm", "--network", "none", "--read-only", "--user", "10001:10001", "--cap-drop", "ALL"]);
    docker.args([
        "--security-opt",
        "no-new-privileges",
        "--pids-limit",
        "200",
        "--memory",
        "512m",
        "--log-driver",
        "none",
    ]);
    for tmpfs in ["/work", "/rec", "/tmp"] {
        docker.args(["--tmpfs", &format!("{tmpfs}:exec,mode=1777,size=128m")]);
    }
    let mounts = [
        ("real", "/real"),
        ("real/profile", "/etc/profile"),
        ("bin", "/usr/bin"),
        ("bin", "/usr/sbin"),
        ("bin", "/usr/local/bin"),
    ];
    for (from, to) in mounts {
        docker.args(["-v", &format!("{}:{to}:ro", place.join(from).display())]);
    }
    docker.args([
        "-v",
        &format!("{}:/scripts:ro", directory.display()),
        "--entrypoint",
        "/real/driver",
        image,
        SECONDS,
    ]);
    let output = docker.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = read(&output.stdout);
    let of = |at| seen.get(&format!("{at:06}")).unwrap_or_else(|| panic!("nothing was said of {at}")).clone();
    (0..scripts.len()).map(of).collect()
}

/// What the driver printed, by the name of the script.
fn read(output: &[u8]) -> BTreeMap<String, Seen> {
    let mut fields = output.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned());
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    let mut name = String::new();
    while let Some(kind) = fields.next() {
        match kind.as_str() {
            "S" => {
                name = fields.next().unwrap();
                all.entry(name.clone()).or_default().cut_short |=
                    matches!(fields.next().unwrap().as_str(), "124" | "137");
            }
            "X" => all.entry(fields.next().unwrap()).or_default().rejected = true,
            "R" | "N" => {
                let count = fields.next().unwrap().parse().unwrap();
                let _place = fields.next().unwrap();
                let words: Vec<String> = fields.by_ref().take(count).collect();
                all.entry(name.clone()).or_default().started.insert(words);
            }
            "T" => {
                let seen = all.entry(name.clone()).or_default();
                seen.started.extend(fields.next().unwrap().split('\u{1}').filter_map(traced).map(|path| vec![path]));
            }
            "E" => return all,
            other => panic!("the driver printed {other:?} after what it said of {name}"),
        }
    }
    panic!("the driver did not come to its end")
}

/// The program of a line of the trace, when it is a path.
fn traced(line: &str) -> Option<String> {
    let (quote, rest) = match line.strip_prefix('\'') {
        Some(rest) => ('\'', rest),
        None => (' ', line),
    };
    let word = rest.split([quote, '\n']).next()?;
    let path = word.contains('/') && (quote == '\'' || !word.contains('='));
    path.then(|| word.to_owned())
}
