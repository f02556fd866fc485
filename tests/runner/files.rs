//! File requests as runs: through engine, policy and runner into a real container.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use castoff::config::load_policy;
use castoff::domain::change::NodeKind;
use castoff::domain::ids::{ApprovalId, RunId, TurnId};
use castoff::domain::principal::Principal;
use castoff::domain::record::{Outcome, Record, RunRecord, RunState, Verdict};
use castoff::domain::run::{Ending, Stream};
use castoff::domain::task::Task;
use castoff::domain::time::Timestamp;
use castoff::engine::{Ask, Effect, Engine, Event, FreshIds, Step};
use castoff::policy::ParsedTask;
use castoff::protocol::runner::{FromRunner, Readiness, ToRunner};
use serde_json::{Value, json};

use crate::house::{Core, FILES_UID, House, assert_nothing_left};

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

fn task(request: Value) -> Task {
    Task::File(serde_json::from_value(request).unwrap())
}

/// A file of the files uid.
fn file(path: &Path, bytes: &[u8], mode: u32) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for own in [path, path.parent().unwrap()] {
        chown(own, Some(FILES_UID), Some(FILES_UID)).unwrap();
    }
    path.to_owned()
}

fn state(path: &Path) -> Option<(String, u32)> {
    let text = fs::read_to_string(path).ok()?;
    Some((text, fs::metadata(path).unwrap().permissions().mode() & 0o7777))
}

/// What a request came to in its container: exit code, standard output, standard error.
type Answer = (u8, String, String);

/// The engine, with a real runner for its effects.
struct Desk {
    house: House,
    core: Core,
    engine: Engine,
    owner: Principal,
    number: u8,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    record: Option<RunRecord>,
    declined: Option<String>,
}

impl Desk {
    async fn open() -> Self {
        let mut house = House::new().await;
        house.start();
        let core = house.connect().await;
        let policy = Arc::new(load_policy(&house.home().join("config"), &house.home()).unwrap());
        let owner = policy.principal("owner").unwrap();
        let mut engine = Engine::new(policy, Vec::new());
        let ready = Readiness { images: core.images.clone(), ..Readiness::default() };
        engine.step(Event::Runner(FromRunner::Ready(ready)), NOW);
        let (stdout, stderr) = (Vec::new(), Vec::new());
        Self { house, core, engine, owner, number: 0, stdout, stderr, record: None, declined: None }
    }

    fn work(&self) -> PathBuf {
        self.house.work()
    }

    async fn close(self) {
        self.house.end().await;
        assert_nothing_left(&self.house).await;
    }

    /// Asks for a task in the workspace, as the owner; returns what became of it.
    async fn ask(&mut self, request: Value) -> RunRecord {
        self.number += 1;
        let number = self.number;
        let ids = FreshIds {
            run: RunId::from_random([number; 11]),
            turn: TurnId::from_random([number; 11]),
            plan: ApprovalId::from_random([number; 11]),
            changes: ApprovalId::from_random([number + 100; 11]),
        };
        let (caller, rights) = (self.owner.clone(), self.owner.clone());
        let task = ParsedTask::new(task(request)).unwrap();
        let workdir = Some(self.work());
        let ask = Ask { ids, caller, rights, task, stdin: None, workdir, review: None, yes: false };
        (self.stdout, self.stderr) = (Vec::new(), Vec::new());
        self.event(Event::Asked(Box::new(ask))).await
    }

    async fn answer(&mut self, request: Value) -> Answer {
        let record = self.ask(request).await;
        let Some(Ending::Exited { code }) = record.end.as_ref().map(|end| &end.ending) else { panic!("{record:?}") };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (*code, text(&self.stdout), text(&self.stderr))
    }

    async fn says(&mut self, request: Value, code: u8, stdout: &str, stderr: &str) {
        let told = self.answer(request.clone()).await;
        assert_eq!((told.0, told.1.as_str()), (code, stdout), "{request}: {told:?}");
        assert!(told.2.contains(stderr) && (stderr.is_empty() == told.2.is_empty()), "{request}: {told:?}");
    }

    async fn decide(&mut self, event: fn(Box<RunRecord>, Principal) -> Event, record: &RunRecord) -> RunRecord {
        self.event(event(Box::new(record.clone()), self.owner.clone())).await
    }

    async fn undo(&mut self, record: &RunRecord) -> RunRecord {
        self.decide(|record, by| Event::UndoAsked { record, by, card: None }, record).await
    }

    async fn apply(&mut self, record: &RunRecord) -> RunRecord {
        self.decide(|record, by| Event::ApplyAsked { record, by, paths: None }, record).await
    }

    async fn drop_changes(&mut self, record: &RunRecord) {
        self.decide(|record, by| Event::DropAsked { record, by }, record).await;
    }

    /// Follows an event until the run rests: over, held or asking.
    async fn event(&mut self, event: Event) -> RunRecord {
        let mut waits = self.take(event).await;
        loop {
            if let Some(why) = self.declined.take() {
                panic!("declined: {why}");
            }
            let record = self.record.clone().expect("a run is on record");
            let rests = matches!(
                record.state,
                RunState::Done { .. } | RunState::Refused { .. } | RunState::Held { .. } | RunState::Asking { .. }
            );
            // A run without changes is over before the runner says that its overlay is gone.
            if rests && waits == 0 {
                return record;
            }
            let message = self.core.hear().await;
            match &message {
                FromRunner::Output { stream: Stream::Stdout, bytes, .. } => self.stdout.extend_from_slice(bytes),
                FromRunner::Output { stream: Stream::Stderr, bytes, .. } => self.stderr.extend_from_slice(bytes),
                FromRunner::Surveyed { .. }
                | FromRunner::Ended { .. }
                | FromRunner::Applied { .. }
                | FromRunner::Undone { .. }
                | FromRunner::Dropped { .. }
                | FromRunner::Trouble { .. } => waits -= 1,
                _ => {}
            }
            waits += self.take(Event::Runner(message)).await;
        }
    }

    /// Takes an event and starts its effects; returns how many of them the runner answers.
    async fn take(&mut self, event: Event) -> usize {
        let Step { records, effects, .. } = self.engine.step(event, NOW);
        for record in records {
            if let Record::Run(record) = record {
                // As the store keeps it.
                let row = serde_json::to_string(&record).unwrap();
                assert_eq!(serde_json::from_str::<RunRecord>(&row).unwrap(), *record);
                self.record = Some(*record);
            }
        }
        let mut waits = 0;
        for effect in effects {
            match effect {
                Effect::Tell(message) => {
                    waits += usize::from(!matches!(message, ToRunner::Settled { .. }));
                    self.core.tell(message).await;
                }
                Effect::Run { run, launch, stdin } => {
                    let (plan, digest) = launch.into_parts();
                    waits += 1;
                    self.core.tell(ToRunner::Run { run, plan: Box::new(plan), digest, stdin: stdin.into() }).await;
                }
                Effect::Decline { why, .. } => self.declined = Some(why),
                Effect::Show(_)
                | Effect::CallModel(_)
                | Effect::CancelModel(_)
                | Effect::ShowTurn(_)
                | Effect::Post { .. }
                | Effect::Tried { .. }
                | Effect::Inform { .. }
                | Effect::SettingsChanged => {}
            }
        }
        waits
    }
}

const APPLIED: RunState = RunState::Done { changes: Outcome::Applied };

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_lands_and_is_taken_back() {
    let mut desk = Desk::open().await;
    let old = file(&desk.work().join("run.sh"), b"old\n", 0o750);
    let new = desk.work().join("deep/er/new.txt");
    let first = desk.ask(json!({"write": {"path": "deep/er/new.txt", "text": "new\n"}})).await;
    assert_eq!((&first.state, state(&new)), (&APPLIED, Some(("new\n".to_owned(), 0o644))));
    let paths: Vec<_> = first.end.iter().flat_map(|end| &end.changes).flat_map(|set| &set.changes).collect();
    assert_eq!(paths.iter().map(|change| &change.path).collect::<Vec<_>>(), ["deep", "deep/er", "deep/er/new.txt"]);
    let shown = String::from_utf8(desk.stdout.clone()).unwrap();
    assert_eq!(shown, "wrote `deep/er/new.txt`: 4 bytes, new\n");
    let second = desk.ask(json!({"write": {"path": "run.sh", "text": "changed\n"}})).await;
    assert_eq!((&second.state, state(&old)), (&APPLIED, Some(("changed\n".to_owned(), 0o750))));
    desk.undo(&second).await;
    desk.undo(&first).await;
    assert_eq!((state(&old), desk.work().join("deep").exists()), (Some(("old\n".to_owned(), 0o750)), false));

    let home = desk.house.home().join("people/owner/note");
    desk.ask(json!({"write": {"path": "~/note", "text": "\u{1b}x"}})).await;
    assert_eq!(fs::read(home).unwrap(), b"\x1bx");

    symlink("run.sh", desk.work().join("link")).unwrap();
    desk.ask(json!({"write": {"path": "link", "text": "through"}})).await;
    assert_eq!(fs::read_to_string(&old).unwrap(), "through");
    assert!(desk.work().join("link").is_symlink());

    fs::set_permissions(&old, fs::Permissions::from_mode(0o444)).unwrap();
    desk.says(json!({"write": {"path": "run.sh", "text": "x"}}), 1, "", "read-only").await;
    desk.says(json!({"write": {"path": "deep/", "text": "x"}}), 1, "", "names a directory").await;
    desk.says(json!({"write": {"path": "secret", "text": "x"}}), 1, "", "is a directory, not a file").await;
    desk.says(json!({"write": {"path": "run.sh/x", "text": "x"}}), 1, "", "Not a directory").await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_exact_and_conflicts_with_what_the_host_did_meanwhile() {
    let mut desk = Desk::open().await;
    let path = file(&desk.work().join("a.txt"), b"one two two\n", 0o644);
    let edit = |old: &str, new: &str, all: bool| json!({"edit": {"path": "a.txt", "old": old, "new": new, "all": all}});
    desk.says(edit("three", "x", false), 1, "", "does not stand in `a.txt`").await;
    desk.says(edit("two", "x", false), 1, "", "stands 2 times in `a.txt`").await;
    desk.says(edit("one", "one", false), 1, "", "nothing would change").await;
    desk.says(edit("one", "zero", false), 0, "edited `a.txt` in one place: 13 bytes now\n", "").await;
    desk.says(edit("two", "2", true), 0, "edited `a.txt` in 2 places: 9 bytes now\n", "").await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "zero 2 2\n");

    // Held since the host would obey it, and meanwhile the host's file changes.
    let obeyed = file(&desk.work().join(".envrc"), b"A=1\n", 0o644);
    let record = desk.ask(json!({"edit": {"path": ".envrc", "old": "A", "new": "B"}})).await;
    assert!(matches!(record.state, RunState::Held { .. }), "{record:?}");
    fs::write(&obeyed, "A=2\n").unwrap();
    let record = desk.apply(&record).await;
    assert_eq!(record.landings.iter().flat_map(|landing| &landing.conflicts).count(), 1, "{record:?}");
    assert_eq!(fs::read_to_string(&obeyed).unwrap(), "A=2\n");
    desk.drop_changes(&record).await;

    file(&desk.work().join("latin"), b"caf\xe9", 0o644);
    desk.says(json!({"edit": {"path": "latin", "old": "caf", "new": "x"}}), 1, "", "not text").await;
    file(&desk.work().join("large"), &vec![b'x'; (16 << 20) + 1], 0o644);
    desk.says(json!({"edit": {"path": "large", "old": "y", "new": "x"}}), 1, "", "at most 16777216").await;
    file(&desk.work().join("grows"), &vec![b'x'; 1000], 0o644);
    let request = json!({"edit": {"path": "grows", "old": "x", "new": "y".repeat(1 << 20), "all": true}});
    desk.says(request, 1, "", "at most 33554432").await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_would_obey_is_held() {
    let mut desk = Desk::open().await;
    file(&desk.work().join(".bashrc"), b"old\n", 0o644);
    for path in [".bashrc", "repository/.git/hooks/x", "~/.bashrc"] {
        let record = desk.ask(json!({"write": {"path": path, "text": "alias ls=rm\n"}})).await;
        let RunState::Held { approval: Some(_), why } = &record.state else { panic!("{path}: {record:?}") };
        assert!(why.contains("the host would obey"), "{path}: {why}");
        desk.drop_changes(&record).await;
    }
    // A name that says nothing, and a link that leads there.
    symlink(".bashrc", desk.work().join("notes")).unwrap();
    let record = desk.ask(json!({"write": {"path": "notes", "text": "alias ls=rm\n"}})).await;
    let changes: Vec<_> = record.end.iter().flat_map(|end| &end.changes).flat_map(|set| &set.changes).collect();
    assert!(matches!(&changes[0].after.as_ref().unwrap().kind, NodeKind::File { .. }), "{changes:?}");
    assert!(matches!(&record.state, RunState::Held { .. }) && changes[0].path == ".bashrc", "{record:?}");
    assert_eq!(fs::read_to_string(desk.work().join(".bashrc")).unwrap(), "old\n");
    desk.drop_changes(&record).await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_or_outside_is_not_reached_by_name_or_by_link() {
    let mut desk = Desk::open().await;
    let outside = file(&desk.house.directory.path().join("outside/plain"), b"of the host\n", 0o644);
    let (secret, work) = (desk.work().join("secret/key"), desk.work());
    for path in [secret.to_str().unwrap(), "/root/x", outside.to_str().unwrap(), "/tmp/x"] {
        for request in [json!({"read": {"path": path}}), json!({"write": {"path": path, "text": "x"}})] {
            let record = desk.ask(request).await;
            assert!(matches!(record.state, RunState::Refused { .. }), "{record:?}");
            assert_eq!(record.verdict.unwrap().verdict, Verdict::Deny);
        }
    }
    // Relative paths that stay below and links are judged by the container's walls.
    desk.says(json!({"read": {"path": "secret/key"}}), 1, "", "does not exist").await;
    desk.says(json!({"list": {"path": "secret"}}), 0, "", "`secret` is empty").await;
    desk.says(json!({"write": {"path": "secret/key", "text": "x"}}), 1, "", "read-only").await;
    desk.says(json!({"search": {"path": ".", "text": "hidden"}}), 0, "", "no line holds").await;
    for (link, to) in [("out", outside.as_path()), ("in", secret.as_path()), ("up", Path::new("../outside/plain"))] {
        symlink(to, work.join(link)).unwrap();
        desk.says(json!({"read": {"path": link}}), 1, "", "does not exist").await;
        desk.says(json!({"send": {"path": link}}), 1, "", "does not exist").await;
        let (code, ..) = desk.answer(json!({"write": {"path": link, "text": "x"}})).await;
        assert_eq!(code, 1, "{link}");
    }
    let record = desk.ask(json!({"read": {"path": "../outside/plain"}})).await;
    assert!(matches!(record.state, RunState::Refused { .. }), "{record:?}");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "of the host\n");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "hidden\n");
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_ends_and_says_how_to_go_on_and_what_is_no_text_file_is_told() {
    let mut desk = Desk::open().await;
    let work = desk.work();
    let lines: String = (1..=20_000).map(|number| format!("line {number}\n")).collect();
    file(&work.join("long"), lines.as_bytes(), 0o644);
    let (code, text, remark) = desk.answer(json!({"read": {"path": "long"}})).await;
    let count = text.lines().count();
    assert!(code == 0 && text.len() <= 64 << 10 && lines.starts_with(&text) && text.ends_with('\n'), "{remark}");
    assert_eq!(remark, format!("`long` goes on: read from line {}\n", count + 1));
    let part = json!({"read": {"path": "long", "from_line": 19_999, "lines": 1}});
    desk.says(part, 0, "line 19999\n", "read from line 20000").await;
    desk.says(json!({"read": {"path": "long", "from_line": 20_000}}), 0, "line 20000\n", "").await;
    desk.says(json!({"read": {"path": "long", "from_line": 20_001}}), 1, "", "has only 20000 lines").await;
    desk.says(json!({"read": {"path": "notes.txt", "from_line": 0}}), 0, "hello\n", "").await;

    file(&work.join("one"), &vec![b'x'; 100 << 20], 0o644);
    let (code, text, remark) = desk.answer(json!({"read": {"path": "one"}})).await;
    assert_eq!((code, text.len()), (0, 64 << 10));
    assert!(remark.contains("line 1 of `one` is longer than 65536 bytes"), "{remark}");
    desk.says(json!({"send": {"path": "one"}}), 1, "", "104857600 bytes; at most 16777216 can be sent").await;
    desk.says(json!({"search": {"path": "one", "text": "x"}}), 0, "", "1 files over 16 MiB").await;

    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    file(&work.join("picture"), &[b"\x89PNG".to_vec(), bytes.clone()].concat(), 0o644);
    desk.says(json!({"read": {"path": "picture"}}), 1, "", "`picture` is a PNG image of 300004 bytes, not text").await;
    file(&work.join("bytes"), &bytes, 0o644);
    desk.says(json!({"read": {"path": "bytes"}}), 1, "", "binary data").await;
    desk.ask(json!({"send": {"path": "bytes"}})).await;
    assert!(desk.stdout == bytes && desk.stderr.is_empty(), "the bytes of a file are sent as they are");

    file(&work.join("empty"), b"", 0o644);
    desk.says(json!({"read": {"path": "empty"}}), 0, "", "`empty` is empty").await;
    desk.says(json!({"send": {"path": "empty"}}), 1, "", "`empty` is empty; an empty file cannot be sent").await;
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, work.join("fifo"), fifo, 0o666.into(), 0).unwrap();
    for kind in ["read", "send"] {
        desk.says(json!({kind: {"path": "fifo"}}), 1, "", "is a FIFO, not a file").await;
        desk.says(json!({kind: {"path": "/dev/zero"}}), 1, "", "is a device").await;
        desk.says(json!({kind: {"path": "."}}), 1, "", "is a directory, not a file").await;
        desk.says(json!({kind: {"path": "nothing"}}), 1, "", "`nothing` does not exist").await;
    }
    desk.says(json!({"write": {"path": "fifo", "text": "x"}}), 1, "", "is a FIFO, not a file").await;
    desk.says(json!({"list": {"path": "notes.txt"}}), 1, "", "is a file, not a directory").await;
    desk.says(json!({"search": {"path": "fifo", "text": "x"}}), 1, "", "is a FIFO").await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_listed_and_searched_within_bounds() {
    let mut desk = Desk::open().await;
    let tree = desk.work().join("tree");
    file(&tree.join("b/two.rs"), "fn a() {}\n    needle();\n".as_bytes(), 0o644);
    file(&tree.join("a.txt"), "needle\nneedle needle\n".as_bytes(), 0o644);
    file(&tree.join("node_modules/x.rs"), b"needle\n", 0o644);
    file(&tree.join(".git/x.rs"), b"needle\n", 0o644);
    file(&tree.join("target/x.rs"), b"needle\n", 0o644);
    file(&tree.join("z.bin"), b"\0needle\n", 0o644);
    file(&tree.join("wide"), format!("{}needle{}\n", "x".repeat(500), "y".repeat(500)).as_bytes(), 0o644);
    file(&tree.join("odd\u{1b}\nname"), b"", 0o644);
    symlink("..", tree.join("loop")).unwrap();
    let wide = format!("tree/wide:1: … {}needle{} …", "x".repeat(80), "y".repeat(234));
    let all = format!("tree/a.txt:1: needle\ntree/a.txt:2: needle needle\ntree/b/two.rs:2:     needle();\n{wide}\n");
    desk.says(json!({"search": {"path": "tree", "text": "needle"}}), 0, &all, "left out: 1 that are no text").await;
    let rust = json!({"search": {"path": "tree", "text": "needle", "glob": "*.rs"}});
    desk.says(rust, 0, "tree/b/two.rs:2:     needle();\n", "").await;
    let named = json!({"search": {"path": "tree/target", "text": "needle", "glob": "*.rs"}});
    desk.says(named, 0, "tree/target/x.rs:1: needle\n", "").await;
    let odd = json!({"search": {"path": "tree", "text": "needle", "glob": "*.{rs,txt}"}});
    desk.says(odd, 1, "", "is no name pattern").await;
    file(&tree.join("many"), "needle\n".repeat(500).as_bytes(), 0o644);
    let (code, hits, remark) = desk.answer(json!({"search": {"path": "tree/many", "text": "needle"}})).await;
    assert_eq!((code, hits.lines().count()), (0, 200));
    assert!(remark.contains("there may be more"), "{remark}");

    let (code, listed, remark) = desk.answer(json!({"list": {"path": "tree"}})).await;
    let (words, names): (Vec<_>, Vec<_>) =
        listed.lines().map(|line| (line.split_whitespace().next().unwrap(), line.get(41..).unwrap())).unzip();
    assert_eq!((code, remark.as_str()), (0, ""));
    let expected = [".git/", "a.txt", "b/", "loop -> ..", "many", "node_modules/", "odd<U+001B><U+000A>name"];
    assert_eq!(names[..7], expected, "{listed}");
    assert_eq!(words[..4], ["dir", "file", "dir", "link"], "{listed}");
    assert!(listed.lines().nth(1).unwrap().contains("          21 20"), "{listed}");
    for number in 0..1200 {
        file(&tree.join(format!("b/f{number:04}")), b"", 0o644);
    }
    let (_, listed, remark) = desk.answer(json!({"list": {"path": "tree/b"}})).await;
    assert_eq!((listed.lines().count(), remark.contains("1000 of 1201 entries")), (1000, true), "{remark}");
    desk.close().await;
}
