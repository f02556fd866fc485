//! What must be true at rest, whatever was killed before: files, records, ledger, chat and audit agree,
//! and nothing is there that should not be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::common::engine::docker;
use crate::common::{Castoff, eventually, text};
use crate::mind;
use crate::place::Place;
use crate::stage::Stage;

/// How long what is on its way out may take, in looks of [`LOOK`].
const PATIENCE: usize = 300;
const LOOK: Duration = Duration::from_millis(100);
/// Files that a script of the stage changes: four new ones, and one that others change too.
const FILES: usize = 5;

/// What became of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is on record that it did not run, and it did not.
    NeverRan,
    /// It is on record as interrupted; what it had changed was held, and landed when it was asked for.
    Interrupted,
    /// It ran once to its end, and what it changed is held.
    Held,
    /// It ran once, and all its changes are there.
    Landed,
    /// It ran once, and its changes were taken back.
    Undone,
}

impl Stage {
    /// Returns once nothing is under way.
    pub(crate) fn comes_to_rest(&self) {
        let castoff = self.castoff();
        let ready = || (castoff.castoff(&["status", "--health"]).code == 0).then_some(());
        eventually("a run could start", ready);
        self.place.api.until_polled();
        self.place.all_taken();
        eventually("no run is under way", || {
            let all = runs(castoff);
            let rests = |run: &Value| ["done", "refused", "held"].iter().any(|state| run["state"].get(state).is_some());
            let open = all.iter().find(|run| !rests(run));
            open.is_none().then_some(())
        });
        eventually("no turn is under way", || {
            let (_, status) = castoff.json(&["status"]);
            (status["under_way"] == 0).then_some(())
        });
        // Once more: that a runner has just been killed may not have been noticed before.
        eventually("a run could start", ready);
        castoff.no_run_container_is_left();
    }

    /// Whether no run holds changes that nobody could read.
    pub(crate) fn is_all_read(&self) -> bool {
        let all = runs(self.castoff());
        all.iter().all(|run| run["never_lands"].as_array().unwrap().is_empty())
    }

    /// What became of the owner's script of this word, once what it holds was looked at.
    pub(crate) fn outcome(&self, token: &str) -> Option<Outcome> {
        let mut all = runs(self.castoff());
        all.retain(|run| run["script"].as_str().is_some_and(|script| script.contains(token)));
        let outcome = self.outcome_of(token, &self.castoff().own(), &all);
        for run in all.iter().filter(|run| run["state"].get("held").is_some()) {
            self.holds_its_changes(run, &self.castoff().own());
        }
        outcome
    }

    /// What became of the script of this word in a home, by its runs on record; `None` when there are
    /// none. Fails when files and record disagree.
    pub(crate) fn outcome_of(&self, token: &str, home: &Path, runs: &[Value]) -> Option<Outcome> {
        let ran = lines(&self.castoff().work().join("ran"), token);
        let landed = landed(home, token);
        assert!(ran <= 1, "{token} ran {ran} times: {runs:#?}");
        assert!(landed == 0 || landed == FILES, "{landed} of {FILES} files of {token} are there: {runs:#?}");
        assert!(runs.len() <= 1, "{token} has {} runs: {runs:#?}", runs.len());
        let Some(run) = runs.first() else {
            assert_eq!((ran, landed), (0, 0), "{token} is not on record");
            return None;
        };
        let by_itself = run["ending"].get("exited").is_some();
        let id = text(&run["run"]);
        Some(match (text_of_state(run), landed, ran) {
            ("applied", FILES, 1) if by_itself => Outcome::Landed,
            ("undone", 0, 1) => Outcome::Undone,
            ("none" | "refused", 0, 0) if !by_itself => Outcome::NeverRan,
            // It was cut before it changed anything.
            ("none", 0, 1) if !by_itself => Outcome::Interrupted,
            ("held", 0, _) if !by_itself => Outcome::Interrupted,
            ("held", 0, 1) => Outcome::Held,
            (state, ..) => panic!("run {id} of {token} is {state}, ran {ran} times, {landed} files landed: {run:#}"),
        })
    }

    /// What a run holds lands when it is asked for, and can be taken back.
    pub(crate) fn holds_its_changes(&self, run: &Value, home: &Path) {
        let id = text(&run["run"]);
        let changes: Vec<PathBuf> =
            run["changes"].as_array().unwrap().iter().map(|one| PathBuf::from(text(&one["path"]))).collect();
        assert!(!changes.is_empty() && changes.iter().all(|path| path.starts_with(home)), "{run:#}");
        let (code, applied) = self.castoff().json(&["apply", id]);
        assert_eq!(applied["state"]["done"]["changes"], "applied", "{code} {applied:#}");
        assert!(changes.iter().all(|path| path.exists()), "a change of {id} was lost: {changes:?}");
        self.castoff().castoff(&["undo", id]).ended(0);
        let log = home.join("log.txt");
        assert!(changes.iter().all(|path| *path == log || !path.exists()), "a change of {id} stays: {changes:?}");
    }

    /// The reply of a turn stands in a chat once; once more at most when it says so.
    pub(crate) fn is_answered_once(&self, token: &str, person: i64) {
        self.stands_once(&mind::reply(token), person);
    }

    /// And so does the card of a run that was asked for by itself.
    pub(crate) fn is_shown_once(&self, token: &str, person: i64) {
        self.stands_once(&format!("echo {token} "), person);
    }

    fn stands_once(&self, reply: &str, person: i64) {
        self.place.sees(person, &[reply]);
        let chat = self.place.api.chat(person);
        let all: Vec<&str> =
            chat.iter().filter(|one| one.by_bot && one.text.contains(reply)).map(|one| one.text.as_str()).collect();
        let marked = all.iter().filter(|one| one.starts_with("(may repeat)")).count();
        assert!(marked <= 1 && all.len() - marked <= 1, "`{reply}` was said twice: {all:?}");
    }

    /// Everything that does not depend on what was played.
    pub(crate) fn is_in_order(&self) {
        let castoff = self.castoff();
        castoff.castoff(&["audit", "verify"]).ended(0);
        is_within_budget(&self.place);
        let all = runs(castoff);
        is_audited(castoff, &all);
        let held = all.into_iter().filter(|run| run["state"].get("held").is_some());
        let held: BTreeSet<String> = held.map(|run| text(&run["run"]).to_owned()).collect();
        self.has_no_engine_leftovers();
        let left = || (overlays(castoff), names(&castoff.home().join("state/runner/runs")));
        let wanted = (held, BTreeSet::new());
        for _ in 0..PATIENCE {
            if left() == wanted {
                break;
            }
            std::thread::sleep(LOOK);
        }
        assert_eq!(left(), wanted, "directories of runs are left, or lost");
        assert_eq!(sockets(&castoff.home()), ["castoff.sock", "runner.sock"]);
        let strewn = below(&castoff.home().join("people"))
            .into_iter()
            .find(|path| path.to_string_lossy().contains("/.castoff-"));
        assert_eq!(strewn, None, "a file on its way was left");
    }

    /// After a stop in good order nothing at all is left with the engine.
    pub(crate) fn ends_clean(&self) {
        let castoff = self.castoff();
        let spent_micros = self.place.spent_micros();
        castoff.stop();
        self.books_agree(spent_micros);
        let label = format!("label=castoff.home={}", castoff.home().display());
        eventually("nothing is left with the engine", || {
            let left = (castoff.containers().len(), docker(&["volume", "ls", "-q", "--filter", &label]).len());
            (left == (0, 0)).then_some(())
        });
    }

    /// Keepers at most, one for each home; one volume; and no mount or namespace of anything else.
    fn has_no_engine_leftovers(&self) {
        let castoff = self.castoff();
        let label = format!("label=castoff.home={}", castoff.home().display());
        eventually("the init volume alone is left", || {
            let volumes = docker(&["volume", "ls", "-q", "--filter", &label]);
            (volumes.split_whitespace().count() == 1).then_some(())
        });
        let homes = names(&castoff.home().join("people")).len();
        let containers = eventually("only keepers are left", || {
            let (all, keepers) = (castoff.containers(), castoff.keepers());
            (all.len() == keepers.len()).then_some(all.len())
        });
        assert!(containers <= homes, "{containers} keepers for {homes} homes");
        let root = castoff.root().to_str().unwrap();
        eventually("no overlay is mounted, and every namespace is a keeper's", || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let mounted = mounts.lines().any(|line| line.contains(root) && line.contains("overlay"));
            (!mounted && namespaces(root) <= castoff.containers().len()).then_some(())
        });
    }
}

/// All runs on record.
pub(crate) fn runs(castoff: &Castoff) -> Vec<Value> {
    castoff.json(&["runs", "-n", "20000"]).1.as_array().unwrap().clone()
}

/// Where a run stands; of one that is done, what became of its changes.
fn text_of_state(run: &Value) -> &str {
    let state = &run["state"];
    match state["done"]["changes"].as_str() {
        Some(changes) => changes,
        None => state.as_object().and_then(|state| state.keys().next()).map_or("under way", String::as_str),
    }
}

fn lines(file: &Path, token: &str) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().filter(|line| *line == token).count()
}

/// How many of the changes of a script are there.
fn landed(home: &Path, token: &str) -> usize {
    let logged = lines(&home.join("log.txt"), token);
    assert!(logged <= 1, "{token} landed twice");
    let directory = home.join(token);
    let whole = (1..FILES).filter(|number| lines(&directory.join(number.to_string()), token) == 1);
    logged + whole.count()
}

/// Nothing is held for a call any more, and no more was spent than may be.
fn is_within_budget(place: &Place) {
    let budget: Value = eventually("every call is settled", || {
        let budget: Value =
            serde_json::from_str(&place.castoff.castoff(&["budget", "--json"]).ended(0).stdout).unwrap();
        let windows = budget["providers"].as_array().unwrap().iter().flat_map(|one| one["windows"].as_array().unwrap());
        windows.clone().all(|window| window["reserved_micro_usd"] == 0).then(|| budget.clone())
    });
    for window in budget["providers"].as_array().unwrap().iter().flat_map(|one| one["windows"].as_array().unwrap()) {
        if let Some(limit) = window["limit_micro_usd"].as_u64() {
            assert!(window["spent_micro_usd"].as_u64().unwrap() <= limit, "{window:#}");
        }
    }
}

/// What is on record of each run stands in the audit log, once.
fn is_audited(castoff: &Castoff, runs: &[Value]) {
    let (_, entries) = castoff.json(&["audit", "list", "-n", "1000000"]);
    let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for entry in entries.as_array().unwrap() {
        if let Some(run) = entry["run"].as_str() {
            *told.entry((run, text(&entry["what"]))).or_default() += 1;
        }
    }
    for run in runs {
        let count = |what| told.get(&(text(&run["run"]), what)).copied().unwrap_or_default();
        assert_eq!(count("run.asked"), 1, "{run:#}");
        assert!(count("run.ended") <= 1, "{run:#}");
        // Nobody applies a part here, so that each lands and is taken back once; more than one answer may come of it.
        let (landed, undone) = match text_of_state(run) {
            "applied" => (1, 0),
            "undone" => (1, 1),
            _ => (0, 0),
        };
        assert_eq!((count("changes.applied"), count("changes.undone")), (landed, undone), "{run:#}");
        assert!(text_of_state(run) != "held" || count("changes.held") >= 1, "{run:#}");
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Runs with a directory for an overlay.
fn overlays(castoff: &Castoff) -> BTreeSet<String> {
    let all = castoff.home().join("state/runner/overlays");
    names(&all).iter().flat_map(|workspace| names(&all.join(workspace))).collect()
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

fn sockets(home: &Path) -> Vec<String> {
    let is_socket = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let found = below(home).into_iter().filter(is_socket);
    let mut names: Vec<String> = found.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Mount namespaces, beside this one, in which something below `root` is mounted.
fn namespaces(root: &str) -> usize {
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let own = namespace(Path::new("/proc/self"));
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let others = processes.filter(|path| path.join("exe").exists() && namespace(path) != own);
    let ours = others.filter(|path| fs::read_to_string(path.join("mountinfo")).is_ok_and(|text| text.contains(root)));
    ours.filter_map(|path| namespace(&path)).collect::<BTreeSet<_>>().len()
}
