//! castoff-init as PID 1 of real containers, against scripts that mean it no good.
//!
//! Needs Docker, `debian:trixie-slim`, `CASTOFF_BIN_DIR` (a directory with a static castoff-init) and a static
//! busybox (`CASTOFF_BUSYBOX`, else `/bin/busybox`).
#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use castoff::domain::run::StopCause;
use castoff::protocol::codec;
use castoff::protocol::init::{Exit, FromInit, Ready, Request, ToInit, Work};
use serde_bytes::ByteBuf;

const DEBIAN: &str = "debian:trixie-slim";

#[expect(clippy::disallowed_methods, reason = "the tests drive the real engine through its command line")]
fn docker() -> Command {
    Command::new("docker")
}

fn bin_dir() -> String {
    let Ok(dir) = std::env::var("CASTOFF_BIN_DIR") else {
        panic!("CASTOFF_BIN_DIR names no directory with a static castoff-init");
    };
    dir
}

/// A request with everything at its plainest.
fn request(script: &str) -> Request {
    Request {
        work: Work::Script(script.to_owned()),
        stdin: ByteBuf::new(),
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        workdir: "/tmp".to_owned(),
        wall_time_ms: 60_000,
        output_bytes: 100 << 20,
    }
}

/// One container with castoff-init in it. When dropped, its input ends, and so does it.
struct Container {
    client: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    ready: Ready,
}

/// What a run wrote and how it ended.
struct Outcome {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    left_out: u64,
    exit: Exit,
}

impl Container {
    fn start(image: &str, options: &[&str]) -> Self {
        let mut client = docker()
            .args(["run", "-i", "--rm", "--network", "none", "--user", "1000:1000", "--cap-drop", "ALL"])
            .args(["--security-opt", "no-new-privileges", "-v", &format!("{}:/castoff:ro", bin_dir())])
            .args(options)
            .args(["--entrypoint", "/castoff/castoff-init", image])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = client.stdin.take();
        let mut output = client.stdout.take().unwrap();
        let Some(FromInit::Ready(ready)) = codec::read(&mut output).unwrap() else { panic!("no ready frame") };
        Self { client, input, output, ready: *ready }
    }

    fn tell(&mut self, message: &ToInit) {
        codec::write(self.input.as_mut().unwrap(), message).unwrap();
    }

    fn hear(&mut self) -> Option<FromInit> {
        codec::read(&mut self.output).unwrap()
    }

    fn begin(&mut self, request: Request) {
        self.tell(&ToInit::Run(request));
        assert_eq!(self.hear(), Some(FromInit::Started));
    }

    /// Hears the rest.
    fn finish(mut self) -> Outcome {
        let (mut stdout, mut stderr, mut left_out) = (Vec::new(), Vec::new(), 0);
        let exit = loop {
            match self.hear() {
                Some(FromInit::Stdout(bytes)) => stdout.extend_from_slice(&bytes),
                Some(FromInit::Stderr(bytes)) => stderr.extend_from_slice(&bytes),
                Some(FromInit::LeftOut(bytes)) if left_out == 0 => left_out = bytes,
                Some(FromInit::Exit(exit)) => break exit,
                other => panic!("{other:?} instead of output or the exit frame"),
            }
        };
        assert_eq!(self.hear(), None, "the exit frame is the last");
        assert!(self.client.wait().unwrap().success());
        assert_eq!((exit.stdout_bytes, exit.stderr_bytes), (stdout.len() as u64, stderr.len() as u64));
        Outcome { stdout, stderr, left_out, exit }
    }
}

fn run_with(image: &str, options: &[&str], request: Request) -> Outcome {
    let mut container = Container::start(image, options);
    container.begin(request);
    container.finish()
}

fn run(request: Request) -> Outcome {
    run_with(DEBIAN, &[], request)
}

/// What a run of `script` wrote to stdout, given that it ended by itself and well.
fn stdout_of(script: &str) -> String {
    let outcome = run(request(script));
    assert_eq!((outcome.exit.code, outcome.exit.stopped), (Some(0), None), "{:?}", outcome.exit);
    String::from_utf8(outcome.stdout).unwrap()
}

/// How a run that cannot start says so.
fn failure(image: &str, request: Request) -> Option<String> {
    let mut container = Container::start(image, &[]);
    container.tell(&ToInit::Run(request));
    container.finish().exit.failed
}

/// Makes an image of a tar archive.
fn import(name: &str, archive: &[u8]) {
    let mut client = docker().args(["import", "-", name]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(client.wait().unwrap().success());
}

/// An image `FROM scratch` with nothing in it but a directory.
fn empty_image() -> &'static str {
    let name = "castoff-test-init:empty";
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut directory(), "tmp", [].as_slice()).unwrap();
    import(name, &archive.into_inner().unwrap());
    name
}

/// An image with busybox for a shell and nothing else.
fn busybox_image() -> &'static str {
    let name = "castoff-test-init:busybox";
    let path = std::env::var_os("CASTOFF_BUSYBOX").map_or_else(|| PathBuf::from("/bin/busybox"), PathBuf::from);
    let Ok(busybox) = std::fs::read(&path) else {
        panic!("no static busybox at `{}`: install busybox-static or set CASTOFF_BUSYBOX", path.display());
    };
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut directory(), "tmp", [].as_slice()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    archive.append_data(&mut header, "bin/busybox", busybox.as_slice()).unwrap();
    for name in ["bin/sh", "bin/cat", "bin/sleep"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, name, "busybox").unwrap();
    }
    import(name, &archive.into_inner().unwrap());
    name
}

fn directory() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    header
}

#[test]
fn output_and_exit_code_come_back() {
    let outcome = run(Request {
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("NAME".into(), "Ada \"L\"".into())],
        ..request("echo \"$NAME in $PWD\"; echo oh >&2; exit 7")
    });
    assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (&b"Ada \"L\" in /tmp\n"[..], &b"oh\n"[..]));
    let Exit { cpu_ms, cpu_waited_ms, memory_kib_max, .. } = outcome.exit;
    let expected = Exit { cpu_ms, cpu_waited_ms, memory_kib_max, ..exited(7, 16, 3) };
    assert_eq!(outcome.exit, expected);
    assert!(outcome.exit.memory_kib_max > 0);
}

fn exited(code: u8, stdout_bytes: u64, stderr_bytes: u64) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        stopped: None,
        failed: None,
        memory_kills: 0,
        starts_refused: 0,
        cpu_waited_ms: 0,
        cpu_ms: 0,
        memory_kib_max: 0,
        stdout_bytes,
        stderr_bytes,
    }
}

#[test]
fn the_ready_frame_tells_what_the_container_really_has() {
    let options = ["--memory", "64m", "--pids-limit", "77", "--ulimit", "nofile=200:300", "--hostname", "box"];
    let container = Container::start(DEBIAN, &options);
    let ready = &container.ready;
    assert_eq!((ready.pid, ready.uids, ready.gids), (1, [1000; 4], [1000; 4]));
    assert_eq!((ready.capabilities, ready.no_new_privs, ready.seccomp), ([0; 5], true, 2));
    assert!(ready.not_dumpable);
    assert!(ready.rlimits.contains(&("Max open files".to_owned(), 200, 300)), "{:?}", ready.rlimits);
    assert_eq!((ready.interfaces.as_slice(), ready.hostname.as_str()), (&["lo".to_owned()][..], "box"));
    assert!(ready.cgroup.contains(&("pids.max".to_owned(), "77".to_owned())), "{:?}", ready.cgroup);
    assert!(ready.cgroup.iter().any(|(_, value)| value == "67108864"), "{:?}", ready.cgroup);
    let own = ready.mounts.iter().find(|mount| mount.target == "/castoff").unwrap();
    assert!(own.options.split(',').any(|option| option == "ro"), "{own:?}");
    let binary = std::fs::read(PathBuf::from(bin_dir()).join("castoff-init")).unwrap();
    assert_eq!(ready.digest, castoff::domain::ids::Digest::of(&binary));
}

#[test]
fn standard_input_reaches_the_script_and_ends() {
    let stdin = ByteBuf::from(vec![b'x'; 1 << 20]);
    let count = run(Request { stdin: stdin.clone(), ..request("wc -c") });
    assert_eq!(count.stdout, b"1048576\n");
    assert_eq!(stdout_of("cat; echo end"), "end\n");
    let unread = run(Request { stdin, ..request("exit 0") });
    assert_eq!(unread.exit.code, Some(0));
}

#[test]
fn a_script_that_begins_with_a_dash_is_no_option() {
    let outcome = run(request("-x; echo on"));
    assert_eq!(outcome.stdout, b"on\n");
    assert_eq!(run_with(busybox_image(), &[], request("-x; echo on")).stdout, b"on\n");
}

#[test]
fn a_timeout_kills_a_grandchild_that_ignores_sigterm() {
    let script = "trap '' TERM; setsid bash -c 'trap \"\" TERM; while :; do sleep 1; done' & while :; do sleep 1; done";
    let outcome = run(Request { wall_time_ms: 500, ..request(script) });
    assert_eq!((outcome.exit.stopped, outcome.exit.signal), (Some(StopCause::Timeout), Some(9)));
}

#[test]
fn background_processes_do_not_outlive_the_script() {
    assert_eq!(
        stdout_of("setsid sleep 1000 & (setsid bash -c 'sleep 1000 & exec sleep 1000' &) ; echo done"),
        "done\n"
    );
}

#[test]
fn of_output_beyond_the_cap_the_beginning_and_the_end_come_through() {
    let outcome = run(Request { output_bytes: 100_000, ..request("yes") });
    assert_eq!((outcome.stdout.len(), outcome.exit.stopped), (100_000, Some(StopCause::OutputCap)));
    assert!(outcome.left_out > 0);
    // What the flood has left in its pipe is read before the last words are said.
    let ends = "trap 'sleep 0.5; echo bye >&2; exit' TERM; echo hello; yes 2>/dev/null & wait";
    let outcome = run(Request { output_bytes: 10_000, ..request(ends) });
    assert!(outcome.stdout.starts_with(b"hello\ny\n") && outcome.stderr.ends_with(b"bye\n"), "{:?}", outcome.exit);
    assert_eq!(outcome.stdout.len() + outcome.stderr.len(), 10_000);
    let quick = run(Request { output_bytes: 3, ..request("printf 1234") });
    assert_eq!((quick.stdout.as_slice(), quick.exit.stopped), (&b"123"[..], Some(StopCause::OutputCap)));
    assert_eq!(quick.left_out, 1);
    let exact = run(Request { output_bytes: 4, ..request("printf 1234") });
    assert_eq!((exact.stdout.as_slice(), exact.exit.stopped), (&b"1234"[..], None));
}

#[test]
fn a_stop_asks_first_and_kills_after_the_grace() {
    for (script, grace_ms, code, signal) in [
        ("trap 'echo bye; exit 3' TERM; echo on; while :; do sleep 0.1; done", 60_000, Some(3), None),
        ("trap '' TERM; echo on; while :; do sleep 0.1; done", 200, None, Some(9)),
    ] {
        let mut container = Container::start(DEBIAN, &[]);
        container.begin(request(script));
        assert_eq!(container.hear(), Some(FromInit::Stdout(ByteBuf::from(*b"on\n"))));
        container.tell(&ToInit::Stop { cause: StopCause::Asked, grace_ms });
        let mut exit = loop {
            if let Some(FromInit::Exit(exit)) = container.hear() {
                break exit;
            }
        };
        assert_eq!((exit.code, exit.signal, exit.stopped.take()), (code, signal, Some(StopCause::Asked)));
    }
}

#[test]
fn the_container_ends_when_the_runner_is_gone() {
    for script in [None, Some("trap '' TERM; while :; do sleep 1; done"), Some("yes")] {
        let mut container = Container::start(DEBIAN, &[]);
        if let Some(script) = script {
            container.begin(request(script));
        }
        drop(container.input.take());
        let mut rest = Vec::new();
        container.output.read_to_end(&mut rest).unwrap();
        // An exit frame would tell of an end that was none, and the client's code is 0 after one.
        assert_eq!(container.client.wait().unwrap().success(), script.is_none(), "{script:?}");
    }
}

#[test]
fn signals_to_pid_1_do_nothing() {
    let script = "for signal in KILL STOP TERM INT HUP SEGV USR1; do kill -$signal 1; done; sleep 0.2; echo alive";
    assert_eq!(stdout_of(script), "alive\n");
}

#[test]
fn pid_1_goes_on_without_descriptors_and_threads() {
    let script =
        "prlimit --pid 1 --nofile=0 --nproc=0 || exit 9; head -c 300000 /dev/zero; sleep 0.5; head -c 5 /dev/zero";
    assert_eq!(stdout_of(script).len(), 300_005);
}

#[test]
fn pid_1_cannot_be_read() {
    let script = "for file in environ maps mem fd/0 cwd/x; do cat /proc/1/$file 2>/dev/null && echo $file; done; \
                  readlink /proc/1/exe; ls /proc/1/fd 2>/dev/null; echo end";
    assert_eq!(stdout_of(script), "end\n");
}

#[test]
fn a_script_that_makes_pid_1_its_tracer_is_still_stopped() {
    let script = "exec perl -e 'syscall(101, 0, 0, 0, 0) == 0 or die; kill \"STOP\", $$; print \"on\"'";
    let outcome = run(Request { wall_time_ms: 1_000, ..request(script) });
    assert_eq!((outcome.exit.stopped, outcome.exit.signal), (Some(StopCause::Timeout), Some(9)));
}

#[test]
fn orphans_are_reaped_while_the_script_runs() {
    let script = "for i in $(seq 50); do (sleep 0.05 &); done; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status; true";
    assert_eq!(stdout_of(script), "");
}

#[test]
fn an_image_without_a_shell_says_so() {
    assert_eq!(failure(empty_image(), request("true")), Some("the image has no shell".to_owned()));
}

#[test]
fn a_file_request_needs_nothing_of_the_image() {
    let order = |path: &str| {
        let file = serde_json::from_value(serde_json::json!({"read": {"path": path}})).unwrap();
        Request { work: Work::File(file), workdir: "/".to_owned(), ..request("") }
    };
    let outcome = run_with(empty_image(), &[], order("/proc/self/cmdline"));
    assert_eq!((outcome.exit.code, outcome.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("not text"), "{:?}", outcome.stderr);
    let outcome = run_with(empty_image(), &[], order("/proc/self/comm"));
    assert_eq!((outcome.exit.code, outcome.stdout.as_slice()), (Some(0), &b"exe\n"[..]));
    let outcome = run_with(empty_image(), &[], order("~/x"));
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("has no home"), "{:?}", outcome.stderr);
}

#[test]
fn a_tree_with_busybox_alone_is_enough() {
    let outcome = run_with(busybox_image(), &[], Request { stdin: ByteBuf::from(*b"in"), ..request("cat; exit 4") });
    assert_eq!((outcome.stdout.as_slice(), outcome.exit.code), (&b"in"[..], Some(4)));
}

#[test]
fn a_script_that_cannot_start_says_why() {
    let missing = Request { workdir: "/nowhere".into(), ..request("true") };
    assert_eq!(failure(DEBIAN, missing), Some("the working directory `/nowhere` does not exist".to_owned()));
    let file = Request { workdir: "/etc/passwd".into(), ..request("true") };
    assert_eq!(failure(DEBIAN, file), Some("the working directory `/etc/passwd` is not a directory".to_owned()));
    let long = request(&"#".repeat(200 << 10));
    assert_eq!(failure(DEBIAN, long), Some("the script or its environment is too long for the system".to_owned()));
    assert!(failure(DEBIAN, request("a\0b")).is_some());
}

#[test]
fn ten_megabytes_come_through_whole() {
    let outcome = run(request("head -c 10000000 /dev/zero; head -c 1000000 /dev/zero >&2"));
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (10_000_000, 1_000_000));
}

#[test]
fn bytes_that_are_no_text_come_through_as_they_are() {
    assert_eq!(run(request(r"printf '\377\000\200'")).stdout, b"\xff\x00\x80");
}

#[test]
fn a_fork_bomb_ends_at_its_wall_time() {
    let script = "f() { f | f & }; f; while :; do :; done";
    let outcome = run_with(DEBIAN, &["--pids-limit", "64"], Request { wall_time_ms: 1_000, ..request(script) });
    assert_eq!(outcome.exit.stopped, Some(StopCause::Timeout));
}

#[test]
fn a_kill_for_want_of_memory_is_told() {
    let options = ["--memory", "64m", "--memory-swap", "64m"];
    let outcome = run_with(DEBIAN, &options, request("tail /dev/zero >/tmp/none; exit 5"));
    assert_eq!((outcome.exit.code, outcome.exit.memory_kills), (Some(5), 1), "{:?}", outcome.exit);
}

#[test]
fn the_probe_tells_what_stands_at_a_path() {
    let output = docker()
        .args(["run", "--rm", "--network", "none", "--user", "1000:1000", "-v", &format!("{}:/castoff:ro", bin_dir())])
        .args(["--entrypoint", "/castoff/castoff-init", empty_image(), "probe", "/castoff"])
        .output()
        .unwrap();
    let Some(FromInit::Probed(probed)) = codec::read(&mut output.stdout.as_slice()).unwrap() else {
        panic!("{output:?}");
    };
    assert_eq!(probed.mode & 0o170_000, 0o040_000);
    assert_eq!(probed.mount.map(|mount| mount.target), Some("/castoff".to_owned()));
}
