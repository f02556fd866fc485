//! What many records cost: `cargo bench --bench records`.
//!
//! The real program on a store that its own code filled: how long `castoff runs` takes with 10,000 runs on record, and
//! how long a start takes that finds 1,000 runs unfinished, each begun and with a file in its overlay. Ends loudly where
//! one takes longer than it may. Needs what the tests of the engine need (`CASTOFF_BIN_DIR`, Docker), and root.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may fail loudly, and prints")]
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "as the tests that it borrows from")]

#[path = "../tests/common/mod.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "what only the tests use")]
mod common;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use castoff::domain::change::{Change, ChangeSet, Node, NodeKind};
use castoff::domain::ids::{Digest, PersonId, RunId, TurnId, WorkspaceId};
use castoff::domain::limits::Limits;
use castoff::domain::plan::{Access, Image, Mount, Plan, Review};
use castoff::domain::principal::Trust;
use castoff::domain::record::{
    AuditEntry, Outcome, OutputPiece, Reason, Record, RunRecord, RunState, Verdict, VerdictRecord,
};
use castoff::domain::run::{Ending, Enforced, RunEnd, Stream, Usage};
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::domain::time::Timestamp;
use castoff::store::Store;
use common::{Castoff, FILES_UID, USUAL};
use serde_json::json;

const RUNS: u32 = 10_000;
const LIST_TIME_MAX: Duration = Duration::from_millis(50);
const UNFINISHED: u32 = 1_000;
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(5);
/// When the first of them was asked for.
const FIRST_MS: u64 = 1_795_000_000_000;

fn main() {
    list();
    recover();
}

fn list() {
    let castoff = Castoff::prepare(USUAL);
    fill(&castoff, RUNS, &RunState::Done { changes: Outcome::Applied });
    castoff.serve();
    for (arguments, most) in [(&["runs"][..], Some(LIST_TIME_MAX)), (&["runs", "-n", "10000"], None)] {
        let mut took: Vec<Duration> = (0..21).map(|_| time(|| ask(&castoff, arguments))).collect();
        took.sort();
        let (median, most_seen) = (took[took.len() / 2], took[took.len() - 1]);
        println!("castoff {}, {RUNS} on record: {median:.1?} p50, {most_seen:.1?} at the most", arguments.join(" "));
        assert!(most.is_none_or(|most| median <= most), "more than {most:?}");
    }
}

/// A whole `castoff …`, from its start to its end. Not by the tests' way, which looks every 50 ms whether it has ended.
fn ask(castoff: &Castoff, arguments: &[&str]) {
    let mut command = common::command(common::program());
    let answer = command.arg("--home").arg(castoff.home()).args(arguments).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
}

fn recover() {
    let castoff = Castoff::prepare(USUAL);
    fill(&castoff, UNFINISHED, &RunState::Running);
    begin(&castoff);
    let under_way = || {
        let (_, runs) = castoff.json(&["runs", "-n", "2000"]);
        runs.as_array().unwrap().iter().filter(|run| run["state"] == "running").count()
    };
    let took = time(|| {
        castoff.serve();
        while under_way() > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    println!("start that finds {UNFINISHED} runs unfinished, all of them told: {took:.2?}");
    let (_, runs) = castoff.json(&["runs", "-n", "2000"]);
    let held = runs.as_array().unwrap().iter().filter(|run| run["state"]["held"].is_object()).count();
    assert_eq!(held, UNFINISHED as usize, "what they left is held");
    assert!(took <= RECOVERY_TIME_MAX, "more than {RECOVERY_TIME_MAX:?}");
    let answer = time(|| castoff.run("true").ended(0));
    println!("the first run after it: {answer:.2?}");
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn id(number: u32) -> RunId {
    let mut bytes = [0; 11];
    // The ids of a store are in no order.
    bytes.copy_from_slice(&Digest::of(&number.to_le_bytes()).to_string().as_bytes()[..11]);
    RunId::from_random(bytes)
}

/// Puts runs on record as the core would have, in a store that no core has opened yet.
fn fill(castoff: &Castoff, runs: u32, state: &RunState) {
    let home = castoff.home();
    fs::DirBuilder::new().recursive(true).mode(0o755).create(home.join("state")).unwrap();
    fs::DirBuilder::new().mode(0o700).create(home.join("state/core")).unwrap();
    let store = Store::open(&home.join("state/core")).unwrap();
    let numbers: Vec<u32> = (0..runs).collect();
    for some in numbers.chunks(500) {
        let records: Vec<Record> = some.iter().flat_map(|number| records(castoff, *number, state)).collect();
        store.commit(&records).unwrap();
    }
}

fn records(castoff: &Castoff, number: u32, state: &RunState) -> Vec<Record> {
    let record = record(castoff, number, state.clone());
    let (run, person) = (record.run.clone(), record.person.clone());
    let audit = |what| AuditEntry {
        at: record.asked_at,
        person: Some(person.clone()),
        trust: Some(Trust::Owner),
        what,
        run: Some(run.clone()),
        detail: json!({ "script": record.task.text() }),
    };
    let output = OutputPiece {
        run: run.clone(),
        person: person.clone(),
        number: 0,
        parts: vec![(Stream::Stdout, format!("line {number}\n").repeat(20).into_bytes())],
    };
    let audits = ["run.asked", "run.permitted", "run.ended"].map(|what| Record::Audit(audit(what)));
    [Record::Output(output)].into_iter().chain(audits).chain([Record::Run(Box::new(record))]).collect()
}

fn record(castoff: &Castoff, number: u32, state: RunState) -> RunRecord {
    let at = Timestamp::from_ms(FIRST_MS + u64::from(number) * 60_000);
    let plan = plan(castoff, number);
    let verdict = VerdictRecord {
        verdict: Verdict::Allow,
        reasons: vec![Reason { rule: "basics".to_owned(), text: "`echo` may run".to_owned() }],
        programs: vec!["echo".to_owned()],
        suggestion: None,
        policy: Digest::of(b"policy"),
        always: Vec::new(),
        approvers: Vec::new(),
    };
    let end = (state != RunState::Running).then(|| Box::new(end(castoff, number, at)));
    RunRecord {
        run: id(number),
        turn: TurnId::derived(id(number).as_str(), "turn"),
        person: PersonId::owner(),
        rights_of: PersonId::owner(),
        asked_at: at,
        task: plan.task.clone(),
        workdir: None,
        review: None,
        yes: false,
        chat: None,
        stop_asked: false,
        verdict: Some(verdict),
        digest: Some(plan.digest()),
        plan: Some(Box::new(plan)),
        state,
        end,
        landing: None,
        landings: Vec::new(),
        undone: Vec::new(),
    }
}

fn plan(castoff: &Castoff, number: u32) -> Plan {
    Plan {
        person: PersonId::owner(),
        user_name: "Ann".to_owned(),
        task: Task::Script(
            Script::new(format!("for i in $(seq 20); do echo line {number}; done > notes-{number}")).unwrap(),
        ),
        stdin: None,
        workdir: castoff.own(),
        env: [("HOME".to_owned(), castoff.own().display().to_string())].into(),
        image: Image { name: "base".to_owned(), id: "sha256:1".to_owned() },
        mounts: vec![Mount { path: castoff.own(), access: Access::Overlay }],
        covers: Vec::new(),
        limits: Limits::default(),
        review: Review::Risky,
        deletions: false,
    }
}

fn end(castoff: &Castoff, number: u32, at: Timestamp) -> RunEnd {
    let after = Some(Node { kind: NodeKind::File { bytes: 200 }, mode: 0o644 });
    let change = Change { path: format!("notes-{number}"), before: None, after };
    RunEnd {
        ending: Ending::Exited { code: 0 },
        started: at,
        ended: at,
        enforced: Some(Enforced {
            limits: Limits::default(),
            uid: FILES_UID,
            gid: FILES_UID,
            runtime: String::new(),
            container: Digest::of(b"container").to_string(),
            interfaces: vec!["lo".to_owned()],
            missing: Vec::new(),
        }),
        usage: Usage { cpu_ms: 10, memory_kib_max: 4000, stdout_bytes: 200, ..Usage::default() },
        changes: vec![ChangeSet { workspace: castoff.own(), changes: vec![change], refused: Vec::new() }],
    }
}

/// Leaves behind what a runner would that died while all these runs were under way.
fn begin(castoff: &Castoff) {
    let (home, own) = (castoff.home(), castoff.own());
    let make = |path: &Path, owned: bool| {
        fs::DirBuilder::new().recursive(true).mode(if owned { 0o700 } else { 0o755 }).create(path).unwrap();
        if owned {
            chown(path, Some(FILES_UID), Some(FILES_UID)).unwrap();
        }
    };
    make(&home.join("people"), false);
    make(&own, true);
    make(&home.join("state/runner/journal"), false);
    let overlays = home.join("state/runner/overlays").join(WorkspaceId::of(&own).as_str());
    make(&overlays, false);
    let mut lines = String::new();
    for number in 0..UNFINISHED {
        let begun = json!({ "claimed_ns": FIRST_MS * 1_000_000, "workspaces": [own] });
        lines.push_str(&json!({ "begun": { "run": id(number), "begun": begun } }).to_string());
        lines.push('\n');
        let upper = overlays.join(id(number).as_str()).join("upper");
        make(upper.parent().unwrap(), false);
        make(&upper, true);
        make(&upper.with_file_name("work"), false);
        let file = upper.join(format!("notes-{number}"));
        fs::write(&file, "half of it\n").unwrap();
        chown(&file, Some(FILES_UID), Some(FILES_UID)).unwrap();
    }
    fs::write(home.join("state/runner/journal/runs.jsonl"), lines).unwrap();
}
