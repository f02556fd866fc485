//! The runner's journal: which runs ever began, how each ended, and whether the core has that on record.
//!
//! JSON lines in one file, each synced before what it tells is done. Read once, at start; a last line
//! that a crash tore is dropped. Never holds output or a script. A run that is in it never starts again.
//!
//! How a run ended is forgotten some time after the core has it on record: a core that an older backup was restored
//! for may ask once more. Its workspaces are not, since it may be taken back at any time.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RunnerError, at};
use crate::domain::ids::RunId;
use crate::domain::run::RunEnd;

/// Settled runs whose end is still known.
const ENDS_MAX: usize = 1000;

/// What the journal knows of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// When its container claimed the workspaces: nanoseconds since the epoch.
    pub(super) claimed_ns: u64,
    /// Its overlay mounts: asked for change sets, diffs, applies and undos.
    pub(super) workspaces: Vec<PathBuf>,
}

/// How far a run came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// How it began.
    pub(super) begun: Begun,
    /// How it ended, without its changes; `None` also once that is forgotten.
    pub(super) end: Option<RunEnd>,
    /// Whether the core has it on record.
    pub(super) settled: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Begun { run: RunId, begun: Begun },
    Ended { run: RunId, end: Box<RunEnd> },
    Settled { run: RunId },
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Of whole lines.
    bytes: u64,
    runs: Runs,
}

/// What all lines together tell.
#[derive(Debug, Default)]
struct Runs {
    entries: BTreeMap<RunId, Entry>,
    /// Settled runs whose end is known, the first settled first.
    ends: VecDeque<RunId>,
    /// Ends that were forgotten and still stand in the file.
    forgotten: usize,
}

impl Journal {
    /// Opens the journal in `directory`, making both if they are missing.
    pub(super) fn open(directory: &Path) -> Result<Self, RunnerError> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let path = directory.join("runs.jsonl");
        let text = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(at(&path)(error)),
        };
        let (runs, whole_bytes) =
            replay(&text).map_err(|(line, why)| RunnerError::Line { path: path.clone(), line, why })?;
        if runs.forgotten >= ENDS_MAX {
            match compact(directory, &path, &runs) {
                Ok(()) => return Self::open(directory),
                // The longer one tells the same.
                Err(error) => tracing::warn!(%error, "the journal of the runner could not be made shorter"),
            }
        }
        let bytes = whole_bytes as u64;
        let file = for_appending(directory, &path, bytes).map_err(at(&path))?;
        Ok(Self { file, bytes, runs })
    }

    /// What is known of a run.
    pub(super) fn get(&self, run: &RunId) -> Option<&Entry> {
        self.runs.entries.get(run)
    }

    /// Notes that a run begins; `false`, and nothing noted, when it did before.
    pub(super) fn begin(&mut self, run: &RunId, begun: &Begun) -> io::Result<bool> {
        if self.runs.entries.contains_key(run) {
            return Ok(false);
        }
        self.append(Line::Begun { run: run.clone(), begun: begun.clone() })?;
        Ok(true)
    }

    /// Notes how a run ended, without its changes: the keeper can tell those again.
    pub(super) fn end(&mut self, run: &RunId, end: &RunEnd) -> io::Result<()> {
        let end = RunEnd { changes: Vec::new(), ..end.clone() };
        self.append(Line::Ended { run: run.clone(), end: Box::new(end) })
    }

    /// Notes that the core has the result on record.
    pub(super) fn settle(&mut self, run: &RunId) -> io::Result<()> {
        if self.get(run).is_none_or(|entry| entry.settled) {
            return Ok(());
        }
        self.append(Line::Settled { run: run.clone() })
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // On a disk that is full a part of the line may stand there, and the next would be glued to it.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        self.runs.fold(line);
        Ok(())
    }
}

/// The file, without what stands behind its first `bytes`.
fn for_appending(directory: &Path, path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// The runs that `text` tells of, and how many of its bytes are whole lines; or the number of the first line that
/// cannot be read, and why.
fn replay(text: &[u8]) -> Result<(Runs, usize), (usize, String)> {
    let mut runs = Runs::default();
    let mut whole_bytes = 0;
    for (number, bytes) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if bytes.last() != Some(&b'\n') {
            break;
        }
        let line = serde_json::from_slice(bytes).map_err(|error| {
            let why = error.to_string();
            // That it is the first one of itself says nothing.
            let what = why.split_once(" at line ").map_or(why.as_str(), |(what, _)| what);
            (number + 1, format!("{what}, at byte {} of it", error.column()))
        })?;
        runs.fold(line);
        whole_bytes += bytes.len();
    }
    Ok((runs, whole_bytes))
}

impl Runs {
    fn fold(&mut self, line: Line) {
        match line {
            Line::Begun { run, begun } => {
                self.entries.insert(run, Entry { begun, end: None, settled: false });
            }
            Line::Ended { run, end } => {
                if let Some(entry) = self.entries.get_mut(&run) {
                    entry.end = Some(*end);
                }
            }
            Line::Settled { run } => {
                if let Some(entry) = self.entries.get_mut(&run) {
                    entry.settled = true;
                    self.ends.extend(entry.end.is_some().then_some(run));
                }
                self.forget();
            }
        }
    }

    /// Forgets the ends that were settled first.
    fn forget(&mut self) {
        while self.ends.len() > ENDS_MAX {
            if let Some(entry) = self.ends.pop_front().and_then(|run| self.entries.get_mut(&run)) {
                entry.end = None;
                self.forgotten += 1;
            }
        }
    }

    /// The fewest lines that tell the same.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (run, Entry { begun, end, settled }) in &self.entries {
            lines.push(Line::Begun { run: run.clone(), begun: begun.clone() });
            lines.extend(end.clone().map(|end| Line::Ended { run: run.clone(), end: Box::new(end) }));
            if *settled && end.is_none() {
                lines.push(Line::Settled { run: run.clone() });
            }
        }
        // In their order.
        lines.extend(self.ends.iter().map(|run| Line::Settled { run: run.clone() }));
        lines
    }
}

/// Puts a journal that tells the same in fewer lines into the place of one.
fn compact(directory: &Path, path: &Path, runs: &Runs) -> io::Result<()> {
    let mut text = Vec::new();
    for line in runs.lines() {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    // What an earlier one left there, when it was cut, is written over.
    let beside = directory.join("runs.new");
    let mut shorter = File::create(&beside)?;
    shorter.write_all(&text)?;
    shorter.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::{Ending, Usage};
    use crate::domain::time::Timestamp;

    fn run(number: u8) -> RunId {
        RunId::from_random([number; 11])
    }

    fn begun() -> Begun {
        Begun { claimed_ns: 5, workspaces: vec!["/w".into()] }
    }

    fn end() -> RunEnd {
        RunEnd {
            ending: Ending::Exited { code: 3 },
            started: Timestamp::from_ms(1),
            ended: Timestamp::from_ms(2),
            enforced: None,
            usage: Usage::default(),
            changes: Vec::new(),
        }
    }

    #[test]
    fn a_run_begins_once_for_ever_and_its_end_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        assert!(journal.begin(&run(1), &begun()).unwrap());
        assert!(!journal.begin(&run(1), &begun()).unwrap());
        journal.end(&run(1), &end()).unwrap();
        drop(journal);
        let mut journal = Journal::open(directory.path()).unwrap();
        assert_eq!(journal.get(&run(1)), Some(&Entry { begun: begun(), end: Some(end()), settled: false }));
        journal.settle(&run(1)).unwrap();
        drop(journal);
        let mut journal = Journal::open(directory.path()).unwrap();
        assert_eq!(journal.get(&run(1)), Some(&Entry { begun: begun(), end: Some(end()), settled: true }));
        assert!(!journal.begin(&run(1), &begun()).unwrap());
        assert_eq!(journal.get(&run(2)), None);
    }

    /// In a process of its own, whose files may not become longer than 1 KiB: what a full disk does to a line.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "this test itself, where files are short")]
    fn a_line_that_does_not_fit_leaves_nothing_of_itself() {
        const PLACE: &str = "CASTOFF_SHORT_FILES";
        let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else {
            let place = tempfile::tempdir().unwrap();
            let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact --nocapture \
                          runner::journal::tests::a_line_that_does_not_fit_leaves_nothing_of_itself";
            let mut child = std::process::Command::new("bash");
            child.args(["-c", script]).arg(std::env::current_exe().unwrap()).env(PLACE, place.path());
            let child = child.output().unwrap();
            let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
            assert!(child.status.success() && said.contains("1 passed"), "{said}");
            return;
        };
        let mut journal = Journal::open(&place).unwrap();
        let noted = (0..=u8::MAX).find(|number| journal.begin(&run(*number), &begun()).is_err()).unwrap();
        assert!(noted > 3 && !journal.begin(&run(0), &begun()).unwrap());
        assert_eq!(journal.get(&run(noted)), None);
        // What is shorter still fits.
        journal.end(&run(0), &end()).unwrap_err();
        drop(journal);
        let mut journal = Journal::open(&place).unwrap();
        assert_eq!(journal.runs.entries.len(), usize::from(noted));
        journal.begin(&run(noted), &begun()).unwrap_err();
    }

    fn numbered(number: usize) -> RunId {
        // A letter of an id has room for five bits.
        RunId::from_random(std::array::from_fn(|place| u8::try_from(number >> (4 * place) & 15).unwrap()))
    }

    #[test]
    fn ends_are_forgotten_some_time_after_they_are_settled_and_nothing_else_is() {
        const RUNS: usize = 2 * ENDS_MAX + 10;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs.jsonl");
        let mut lines = Vec::new();
        // The first ones are never settled; of one the end is unknown.
        for number in 0..RUNS {
            lines.push(Line::Begun { run: numbered(number), begun: begun() });
            if number != 1 {
                lines.push(Line::Ended { run: numbered(number), end: Box::new(end()) });
            }
        }
        lines.extend((5..RUNS).rev().map(|number| Line::Settled { run: numbered(number) }));
        let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        fs::write(&path, &text).unwrap();
        let check = |journal: &Journal| {
            for number in 0..RUNS {
                let settled = number >= 5;
                let is_known = number != 1 && number < 5 + ENDS_MAX;
                let entry = Entry { begun: begun(), end: is_known.then(end), settled };
                assert_eq!(journal.get(&numbered(number)), Some(&entry), "{number}");
            }
        };
        let journal = Journal::open(directory.path()).unwrap();
        check(&journal);
        drop(journal);
        let shorter = fs::read_to_string(&path).unwrap();
        assert_eq!(shorter.matches(r#"{"ended":{"run""#).count(), 4 + ENDS_MAX);
        let mut journal = Journal::open(directory.path()).unwrap();
        check(&journal);
        assert!(fs::read_to_string(&path).unwrap() == shorter && fs::read_dir(directory.path()).unwrap().count() == 1);
        assert!(!journal.begin(&numbered(RUNS - 1), &begun()).unwrap());
        // One more settled, and the one that was settled first of those that are known is forgotten.
        journal.settle(&numbered(0)).unwrap();
        assert_eq!(journal.get(&numbered(4 + ENDS_MAX)).unwrap().end, None);
        assert_eq!(journal.get(&numbered(0)).unwrap().end, Some(end()));
        assert_eq!(journal.get(&numbered(3 + ENDS_MAX)).unwrap().end, Some(end()));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_without_it_every_other_run_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        (1..=3).for_each(|number| assert!(journal.begin(&run(number), &begun()).unwrap()));
        journal.end(&run(2), &end()).unwrap();
        drop(journal);
        let path = directory.path().join("runs.jsonl");
        let whole = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = whole.lines().collect();
        let bad = lines[1].replacen("run", "ruin", 1);
        lines[1] = &bad;
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let said = Journal::open(directory.path()).unwrap_err().to_string();
        let begins = format!("line 2 of `{}` cannot be read: ", path.display());
        assert!(said.starts_with(&begins) && said.contains("hint: ") && !said.contains(" at line "), "{said}");
        // As the hint says.
        lines.remove(1);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let known: Vec<_> = (1..=3).map(|number| journal.get(&run(number)).is_some()).collect();
        assert_eq!(known, [true, false, true]);
    }

    #[test]
    fn a_journal_that_a_crash_cut_anywhere_opens_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        journal.begin(&run(1), &begun()).unwrap();
        journal.end(&run(1), &end()).unwrap();
        drop(journal);
        let path = directory.path().join("runs.jsonl");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(directory.path()).unwrap();
            assert!(journal.begin(&run(2), &begun()).unwrap(), "{cut}");
            drop(journal);
            assert!(Journal::open(directory.path()).unwrap().get(&run(2)).is_some(), "{cut}");
        }
    }
}
