//! A core that was taken over speaks to the runner: what is no request is refused and named, and nobody else is hurt.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use castoff::domain::run::{Ending, StopCause};
use castoff::protocol::codec;
use castoff::protocol::runner::{Fault, FromRunner, Request, ToRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::house::{House, run};

/// What this process logs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Takes what is logged from now on. A process has one log.
    pub(crate) fn start() -> Self {
        static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
            log
        });
        log.clone()
    }

    /// Waits until this was logged.
    pub(crate) async fn says(&self, text: &str) {
        for _ in 0..200 {
            if String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("`{text}` was not logged: {}", String::from_utf8_lossy(&self.0.lock().unwrap()));
    }
}

/// A frame with this body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

async fn connect(house: &House) -> UnixStream {
    UnixStream::connect(house.home().join("run/runner/runner.sock")).await.unwrap()
}

/// Everything that comes until the other side closes the connection.
async fn until_closed(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    read.expect("the connection stays open").ok();
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_ends_its_connection_and_no_other() {
    let log = Log::start();
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let mut plan = house.plan(&core, "for i in $(seq 1 100); do echo $i; sleep 0.1; done");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    core.send_run(&run(1), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}

    let stop = codec::encode(&ToRunner::Stop { run: run(1), cause: StopCause::Asked }).unwrap();
    let mut surplus = frame(&[&stop[4..], b"x"].concat());
    surplus.extend_from_slice(&stop);
    let cases: [(&str, Vec<u8>); 6] = [
        ("a frame of 4294967295 bytes is too long", vec![0xff; 64]),
        ("a frame of 33554433 bytes is too long", (33_554_433_u32).to_le_bytes().to_vec()),
        ("a frame does not decode", frame(&[200, 1, 2, 3])),
        ("a frame does not decode", frame(&[])),
        ("a frame has 1 bytes too many", surplus),
        ("a frame does not decode", frame(&stop[4..stop.len() - 2])),
    ];
    for (named, bytes) in cases {
        let mut stream = connect(&house).await;
        stream.write_all(&bytes).await.unwrap();
        until_closed(&mut stream).await;
        log.says(&format!("a connection is closed: what came in was no request error={named}")).await;
    }
    for cut in [1, 3, 4, stop.len() - 1] {
        let mut stream = connect(&house).await;
        stream.write_all(&stop[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        until_closed(&mut stream).await;
    }
    log.says("the connection broke: ").await;
    // Long announced, and nothing sent.
    let mut silent = connect(&house).await;
    silent.write_all(&(32_u32 << 20).to_le_bytes()).await.unwrap();

    let (text, end) = core.follow().await;
    assert_eq!(end.ending, Ending::Exited { code: 0 }, "another connection's run was hurt");
    assert!(text.ends_with("\n99\n100\n"), "{text}");
    drop(silent);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_out_of_its_order_is_refused_and_named() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    let unknown = run(9);
    let cases = [
        (Request::Diff, ToRunner::Diff { run: unknown.clone() }),
        (Request::Apply, ToRunner::Apply { run: unknown.clone(), paths: None }),
        (Request::Undo, ToRunner::Undo { run: unknown.clone() }),
    ];
    for (asked, request) in cases {
        core.tell(request).await;
        match core.hear().await {
            FromRunner::Trouble { run, request, fault, why } => {
                assert_eq!((run, request, fault), (unknown.clone(), asked, Fault::Refused));
                assert!(why.contains("never began here"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Of what never began here nothing is there, which is all that a drop wants.
    core.tell(ToRunner::Drop { run: unknown.clone() }).await;
    assert_eq!(core.hear().await, FromRunner::Dropped { run: unknown.clone(), landings: vec![] });
    // These have no answer, and change nothing.
    core.tell(ToRunner::Stop { run: unknown.clone(), cause: StopCause::Asked }).await;
    core.tell(ToRunner::Settled { run: unknown.clone() }).await;

    let mut plan = house.plan(&core, "echo > made; echo begun; sleep 600");
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    core.send_run(&run(1), &plan).await;
    while !matches!(core.hear().await, FromRunner::Output { .. }) {}
    core.send_run(&run(1), &plan).await;
    match core.hear().await {
        FromRunner::Ended { end, .. } => {
            assert!(matches!(&end.ending, Ending::Failed { why } if why.contains("is under way")), "{end:?}");
        }
        other => panic!("{other:?}"),
    }
    // While it runs its changes are nobody's: these wait for its end.
    core.tell(ToRunner::Apply { run: run(1), paths: Some(vec!["/etc/passwd".into(), house.work().join("..")]) }).await;
    core.tell(ToRunner::Stop { run: run(1), cause: StopCause::Asked }).await;
    let mut answers = vec![core.hear().await, core.hear().await];
    answers.sort_by_key(|answer| matches!(answer, FromRunner::Ended { .. }));
    assert!(matches!(&answers[0], FromRunner::Applied { .. } | FromRunner::Trouble { .. }), "{answers:?}");
    assert!(matches!(&answers[1], FromRunner::Ended { .. }), "{answers:?}");
    assert!(!house.work().join("made").exists());
    core.tell(ToRunner::Drop { run: run(1) }).await;
    assert_eq!(core.hear().await, FromRunner::Dropped { run: run(1), landings: vec![] });
    house.end().await;
}
