//! Somebody else in castoff-init's place speaks to the runner: what castoff-init does not say ends the run, by its name,
//! and nobody else is hurt.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use castoff::domain::change::{Change, Node, NodeKind};
use castoff::domain::ids::Digest;
use castoff::domain::limits::Limits;
use castoff::domain::plan::Input;
use castoff::domain::run::{Ending, RunEnd, StopCause};
use castoff::protocol::codec;
use castoff::protocol::init::{Exit, FromInit};
use castoff::protocol::runner::{FromRunner, ToRunner};
use serde_bytes::ByteBuf;

use crate::common::command;
use crate::common::engine::docker;
use crate::frames::{Log, frame};
use crate::house::{Core, House, assert_nothing_left, run};

/// What the cases may write.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What castoff-init's place is taken by: tells what castoff-init would, then does as it was told.
const TAKER: &str = include_str!("castoff-init.pl");

/// Puts the taker in castoff-init's place, for all runs of this house from now on, with what it does in each case.
fn take_over(house: &House, cases: &[Case]) {
    let filter = format!("label=castoff.home={}", house.home().display());
    let volume = docker(&["volume", "ls", "-q", "--filter", &filter, "--filter", "name=castoff-init-"]);
    let mount = format!("{}:/castoff", volume.trim());
    let program = std::path::PathBuf::from(std::env::var("CASTOFF_BIN_DIR").unwrap()).join("castoff-init");
    let digest = Digest::of(&std::fs::read(program).unwrap());
    // Moved into place: the bystander's castoff-init is open.
    let mut script = format!("set -e; cd /castoff; echo {digest} > digest; cat > new <<'TAKER'\n{TAKER}TAKER\n");
    for (number, case) in cases.iter().enumerate() {
        let says: String = case.says.iter().map(|byte| format!("{byte:02x}")).collect();
        let place = house.work();
        writeln!(script, "cat > case-{number} <<'SAYS'\n{} {says} {}\nSAYS", case.does, place.display()).unwrap();
    }
    script.push_str("chmod 755 new; mv new castoff-init\n");
    let mut client = command("docker")
        .args(["run", "--rm", "-i", "--network", "none", "-v", &mount, "debian:trixie-slim", "sh"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(client.wait().unwrap().success());
}

fn said(frames: &[FromInit]) -> Vec<u8> {
    frames.iter().flat_map(|frame| codec::encode(frame).unwrap()).collect()
}

fn exit() -> Exit {
    Exit {
        code: Some(0),
        signal: None,
        stopped: None,
        failed: None,
        memory_kills: 0,
        starts_refused: 0,
        cpu_waited_ms: u64::MAX,
        cpu_ms: u64::MAX,
        memory_kib_max: u64::MAX,
        stdout_bytes: u64::MAX,
        stderr_bytes: u64::MAX,
    }
}

fn out(bytes: usize) -> FromInit {
    FromInit::Stdout(ByteBuf::from(vec![b'x'; bytes]))
}

fn stopped(cause: StopCause) -> Ending {
    Ending::Stopped { cause }
}

/// What the taker says and does, and what must come of it.
struct Case {
    says: Vec<u8>,
    does: &'static str,
    ending: Ending,
    logged: &'static str,
}

fn case(says: Vec<u8>, does: &'static str, ending: Ending, logged: &'static str) -> Case {
    Case { says, does, ending, logged }
}

fn cases() -> Vec<Case> {
    use FromInit::{LeftOut, Started};
    let end = || FromInit::Exit(exit());
    let broken = |says, logged| case(says, "wait", stopped(StopCause::Broken), logged);
    let much = [said(&[Started]), said(&[out(60_000)]).repeat(20)].concat();
    vec![
        broken(vec![0xff; 8], "a frame of 4294967295 bytes is too long"),
        broken((1_048_577_u32).to_le_bytes().to_vec(), "a frame of 1048577 bytes is too long"),
        broken(frame(&[99]), "a frame does not decode"),
        broken(frame(&[1, 0]), "a frame has 1 bytes too many"),
        broken(said(&[end()]), "`Exit` is out of order"),
        broken(said(&[out(1)]), "`Stdout` is out of order"),
        broken(said(&[Started, Started]), "`Started` is out of order"),
        broken(said(&[Started, LeftOut(1), LeftOut(1)]), "`LeftOut` is out of order"),
        broken(said(&[Started, out(100_000)]), "a piece of 100000 bytes of output is too long"),
        broken(much, "there is more output than the run may write"),
        case(said(&[out(1000)]), "flood", stopped(StopCause::Broken), "`Stdout` is out of order"),
        case(said(&[Started])[..3].to_vec(), "exit", stopped(StopCause::Lost), "the connection broke"),
        case(said(&[Started]), "exit", stopped(StopCause::Lost), ""),
        case(said(&[Started, out(5), end()]), "wait", Ending::Exited { code: 0 }, ""),
        case(said(&[Started]), "wait", stopped(StopCause::Timeout), ""),
        // It does not even listen: what is sent waits, and not for ever.
        case(Vec::new(), "deaf", Ending::Failed { why: "castoff-init did not take the script in time".to_owned() }, ""),
    ]
}

/// Runs a case; the number of bytes that came through, and how it ended.
async fn taken(house: &House, core: &mut Core, number: u8) -> (usize, RunEnd) {
    let mut plan = house.plan(core, &format!("case {number} of those who are in castoff-init's place"));
    let stdin = vec![b'x'; 4 << 20];
    plan.limits.wall_time_ms = 1;
    plan.limits.output_bytes = OUTPUT_BYTES_MAX;
    plan.stdin = Some(Input { bytes: stdin.len() as u64, digest: Digest::of(&stdin) });
    (plan.covers, _) = core.survey(&run(number), plan.mounts.clone()).await;
    core.send_run_with(&run(number), &plan, &stdin).await;
    let (text, end) = core.follow().await;
    (text.len(), end)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_castoff_init_does_not_say_ends_the_run_and_no_other() {
    let log = Log::start();
    let mut house = House::new().await;
    house.start();
    let mut bystander = house.connect().await;
    let counting = "trap 'kill $!; exit 7' TERM; (i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done) & wait";
    let mut plan = house.plan(&bystander, counting);
    plan.limits.wall_time_ms = Limits::default().wall_time_ms;
    (plan.covers, _) = bystander.survey(&run(31), plan.mounts.clone()).await;
    bystander.send_run(&run(31), &plan).await;
    while !matches!(bystander.hear().await, FromRunner::Output { .. }) {}

    let mut core = house.connect().await;
    let cases = cases();
    take_over(&house, &cases);
    for (number, case) in (0..).zip(cases) {
        let (bytes, end) = taken(&house, &mut core, number).await;
        assert_eq!(end.ending, case.ending, "case {number}");
        let counted = end.usage.stdout_bytes + end.usage.stderr_bytes;
        assert!(bytes as u64 <= OUTPUT_BYTES_MAX && counted <= OUTPUT_BYTES_MAX, "case {number}: {bytes} bytes");
        log.says(case.logged).await;
    }
    bystander.tell(ToRunner::Stop { run: run(31), cause: StopCause::Asked }).await;
    let (text, end) = bystander.follow().await;
    assert_eq!(end.ending, stopped(StopCause::Asked), "the bystander was hurt");
    let counted: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(counted.windows(2).all(|pair| pair[1] == pair[0] + 1) && counted.len() > 50, "{text}");
    house.end().await;
    assert_nothing_left(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_lands_that_was_written_after_the_changes_were_read_by_who_lied_about_the_end() {
    let log = Log::start();
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let lie = said(&[FromInit::Started, FromInit::Exit(exit())]);
    // How much is written in between is a matter of luck.
    let cases = [(); 5].map(|()| case(lie.clone(), "write", Ending::Exited { code: 0 }, ""));
    take_over(&house, &cases);
    for (number, case) in (0..).zip(cases) {
        let (_, end) = taken(&house, &mut core, number).await;
        assert_eq!(end.ending, case.ending);
        let changes: Vec<_> = end.changes.iter().flat_map(|set| &set.changes).collect();
        let [Change { path, after: Some(Node { kind: NodeKind::File { bytes }, .. }), .. }] = changes[..] else {
            panic!("{changes:?}")
        };
        assert!(path == "late" && *bytes > 0, "{changes:?}");
        core.tell(ToRunner::Apply { run: run(number), paths: None }).await;
        let FromRunner::Applied { landings, .. } = core.hear().await else { panic!("not applied") };
        assert_eq!((landings.len(), landings[0].done.as_slice()), (1, ["late".to_owned()].as_slice()));
        let landed = std::fs::metadata(house.work().join("late")).unwrap().len();
        assert_eq!(landed, *bytes, "more landed than was told");
    }
    log.says("did not end with its exit frame").await;
    house.end().await;
    assert_nothing_left(&house).await;
}
