//! What a person at the terminal sees of `castoff run` and its kin, from end to end: the real program,
//! the real engine. Stories of a person at the terminal; the promises are in `tests/promises`.
#![cfg(test)]

#[expect(dead_code, reason = "what only `tests/promises` uses")]
mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use serde_json::Value;

use common::engine::docker;
use common::{Castoff, Live, USUAL, eventually, text, usual};

#[test]
fn output_comes_as_it_is_written_and_the_code_is_the_scripts_own() {
    let mut live = usual().begin(&["run", "--", "echo first; echo aside >&2; sleep 3; echo last; exit 7"]);
    live.until("first\n");
    live.until("aside\n");
    assert!(live.is_under_way(), "the output came at the end");
    let answer = live.finish().ended(7);
    assert_eq!(answer.stdout, "first\nlast\n");
    assert!(answer.stderr.starts_with("aside\n"), "{answer:?}");
}

#[test]
fn a_new_file_lands_in_the_home_that_is_named() {
    let castoff = usual();
    let answer = castoff.run("echo hello > a.txt && ls -la").ended(0);
    assert!(answer.stdout.contains(" a.txt\n"), "{answer:?}");
    let file = castoff.own().join("a.txt");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello\n");
    let answer = answer.says(&[castoff.own().to_str().unwrap(), file.to_str().unwrap(), "castoff undo "]);
    let (_, rest) = answer.stderr.split_once("castoff undo ").unwrap();
    let run = rest.split('`').next().unwrap();
    castoff.castoff(&["undo", run]).ended(0);
    assert!(!file.exists());
}

#[test]
fn standard_input_is_passed_on_byte_for_byte() {
    let castoff = usual();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let answer = castoff.begin_in(castoff.root(), &["run", "--", "wc -c; cat"], b"no\nend").finish().ended(0);
    assert_eq!(answer.stdout, "6\n");
    let digest = castoff.begin_in(castoff.root(), &["run", "--", "sha256sum"], &bytes).finish().ended(0);
    let expected: String =
        <sha2::Sha256 as sha2::Digest>::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(digest.stdout.starts_with(&expected), "{digest:?}");
    assert_eq!(castoff.run("cat").ended(0).stdout, "", "without input there is none");
}

#[test]
fn one_argument_is_a_script_and_several_are_words() {
    let castoff = usual();
    assert_eq!(
        castoff.castoff(&["run", "--", "echo", "a  b", "$HOME", "'", "*", ";"]).ended(0).stdout,
        "a  b $HOME ' * ;\n"
    );
    assert_eq!(castoff.castoff(&["run", "echo", "--", "-n"]).ended(0).stdout, "-- -n\n");
    assert_eq!(castoff.run("echo $HOME").ended(0).stdout, format!("{}\n", castoff.own().display()));
}

#[test]
fn the_exit_code_says_what_became_of_it() {
    let castoff = usual();
    castoff.run("mkdir -p codes/target; echo | tee codes/file > codes/target/file").ended(0);
    let many: Vec<String> =
        ["run", "--", "echo"].map(str::to_owned).into_iter().chain(vec!["a".repeat(100_000); 10]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let parentheses = "(".repeat(10_000);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["run", "--", "true"], 0, ""),
        (&["run", "--", "exit 42"], 42, ""),
        (&["run", "--", "rm codes/file; exit 3"], 3, "held"),
        (&["run", "--", "rm codes/file"], 75, "held"),
        (&["run", "--", "factor 12"], 75, "castoff approve"),
        (&["run", "--", "nmap localhost"], 125, "`nmap`"),
        (&["run", "--", "sudo ls"], 125, "sudo"),
        (&["run", "--", "rm -rf codes/file"], 75, "deletes `codes/file`"),
        (&["run", "--", "rm codes/target/file"], 75, "deletes `codes/target/file`"),
        (&["run", "--", &parentheses], 65, "nested"),
        (&["run", "--", "echo a\u{7}b"], 65, "U+0007"),
        (&["run", "--", "echo a\u{202e}b"], 65, "U+202E"),
        (&["run", "--", "echo a\u{200b}b"], 65, "U+200B"),
        (&["run", "--", " "], 65, "empty"),
        (&many, 65, "bytes; at most"),
        (&["logs", "zzzz"], 66, "castoff runs"),
        (&["approve", "zzzz"], 66, "zzzz"),
    ];
    for (arguments, code, says) in cases {
        castoff.castoff(arguments).ended(*code).says(&[says]);
    }
    assert!(castoff.own().join("codes/file").exists());
    let nul = castoff.begin_in(
        castoff.root(),
        &["policy", "explain", "--batch"],
        b"{\"id\":1,\"input\":\"echo a\\u0000b\"}\n",
    );
    let answer: Value = serde_json::from_str(&nul.finish().ended(0).stdout).unwrap();
    assert_eq!((&answer["verdict"], &answer["reasons"][0]["rule"]), (&"deny".into(), &"bad input".into()), "{answer}");
    let large = vec![b'a'; 17 << 20];
    castoff
        .begin_in(castoff.root(), &["run", "--", "wc -c"], &large)
        .finish()
        .ended(65)
        .says(&["standard input", "hint:"]);
}

/// What is not small is parsed by a process of its own. One that may have 100 MiB cannot even make its stack.
#[test]
fn a_script_that_ends_its_parser_ends_nothing_else() {
    let castoff = usual();
    let large = "true; ".repeat(2000);
    castoff.run(&large).ended(0);
    let explained = |prefix: &[&str], scripts: &[&str]| {
        let mut explain = common::command(prefix[0]);
        explain.args(&prefix[1..]).arg(common::program()).arg("--home").arg(castoff.home());
        explain.args(["policy", "explain", "--batch"]);
        let input: String = (scripts.iter().zip(1..))
            .map(|(script, id)| serde_json::json!({ "id": id, "input": script }).to_string() + "\n")
            .collect();
        let explain = Live::start(explain, "explain".to_owned());
        explain.feed(input.as_bytes());
        let answers = explain.finish().ended(0).stdout;
        answers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let refused = format!("{large} sudo id");
    let scripts = [&large, "true", &refused];
    let verdicts = |answers: &[Value]| answers.iter().map(|one| one["verdict"].to_string()).collect::<Vec<_>>();
    let answers = explained(&["env"], &scripts);
    assert_eq!(verdicts(&answers), ["\"allow\"", "\"allow\"", "\"deny\""], "{answers:#?}");
    let answers = explained(&["prlimit", "--as=104857600"], &scripts);
    assert_eq!(verdicts(&answers), ["\"ask\"", "\"allow\"", "\"ask\""], "{answers:#?}");
    let said = answers[0].to_string();
    assert!(["no thread could be had", "its parser failed"].iter().any(|why| said.contains(why)), "{answers:#?}");
    // To the cap, in shapes that take stack and time.
    let units =
        ["[[ ! ", "! ", "a[", "${a[", "$[", "while ", "case a in a) ", "{ ", "if ", "coproc ", "\"$", "<<E ", "a|"];
    let shapes: Vec<String> = units.iter().map(|unit| unit.repeat(65_000 / unit.len())).collect();
    let answers = explained(&["env"], &shapes.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(answers.len(), units.len());
    assert!(answers.iter().all(|one| one["verdict"] != "allow"), "{answers:#?}");
}

#[test]
fn without_a_core_every_command_says_how_to_start_one() {
    let castoff = Castoff::prepare(&[]);
    for arguments in
        [&["run", "--", "true"][..], &["runs"], &["status"], &["approvals"], &["undo", "a"], &["audit", "verify"]]
    {
        castoff.castoff(arguments).ended(69).says(&["Castoff does not run", "hint: `make up`"]);
    }
    castoff.castoff(&["policy", "explain", "--", "ls"]).ended(0);
}

#[test]
fn a_script_that_takes_too_long_or_is_killed_says_so_and_what_it_left_is_held() {
    let castoff = Castoff::start(&[
        ("limits.yaml", "runs: { wall_time: \"2s\" }\n"),
        ("tools.yaml", "exec: { allow: [\"sleep\", \"kill\"] }\n"),
    ]);
    castoff.run("kill -9 $$").ended(137).says(&["killed by signal 9"]);
    castoff.run("kill -TERM $$").ended(143).says(&["killed by signal 15"]);
    let (code, run) = castoff.run_json("echo half > half; trap '' TERM; sleep 60");
    assert_eq!((code, run["stopped_by"].as_str()), (124, Some("timeout")), "{run}");
    assert!(run["state"]["held"].is_object() && !castoff.own().join("half").exists(), "{run}");
    castoff.run("echo half > half; sleep 60").ended(124).says(&[
        "stopped: it ran longer than 2 s",
        "held",
        "castoff apply",
    ]);
    castoff.castoff(&["apply", text(&run["run"])]);
    assert!(castoff.own().join("half").exists());
    castoff.no_run_container_is_left();
}

#[test]
fn ctrl_c_stops_the_run_and_leaves_no_container() {
    let castoff = Castoff::start(USUAL);
    let mut live = castoff.begin(&["run", "--", "echo half > half; echo begun; trap '' INT TERM; sleep 300"]);
    live.until("begun");
    live.signal("INT");
    live.finish().ended(130).says(&["stopped", "held"]);
    castoff.no_run_container_is_left();
    assert!(!castoff.own().join("half").exists());
    let mut live = castoff.begin(&["run", "--", "echo begun; sleep 300"]);
    live.until("begun");
    let run = text(&castoff.live_container()["Config"]["Labels"]["castoff.run"]).to_owned();
    castoff.castoff(&["stop", &run]).ended(0);
    live.finish().ended(130);
    castoff.no_run_container_is_left();
}

#[test]
fn a_flood_of_output_is_stopped_at_the_cap_and_this_is_said() {
    let castoff = usual();
    let answer = castoff.run("yes abcdefgh").ended(124).says(&["stopped: it wrote more than 1 MiB of output", "hint:"]);
    assert_eq!(answer.stdout.len(), 1 << 20, "what fits comes through, to the byte");
    let (_, run) = castoff.run_json("seq 1 1000000");
    assert_eq!(run["stopped_by"], "output-cap");
    let kept = castoff.castoff(&["logs", text(&run["run"])]).stdout;
    assert!(kept.starts_with("1\n2\n3\n"), "the head is kept");
}

const MAY: &str = "Run this once? [y/N/a for always] ";
const LAND: &str = "Let these changes land? [y/N/d for the diff] ";

fn answered(mut live: Live, prompt: &str, answer: &[u8]) -> common::Answer {
    live.until(prompt);
    live.types(answer);
    live.finish()
}

#[test]
fn the_prompt_shows_the_plan_or_the_changes_and_does_as_it_is_told() {
    let castoff = usual();
    let yes = answered(castoff.at_terminal(&["run", "--", "factor 12"]), MAY, b"y\n").ended(0);
    for shown in ["factor 12", "digest", "directory", "network", "limits", castoff.own().to_str().unwrap(), "12: 2 2 3"]
    {
        assert!(yes.stdout.contains(shown), "`{shown}`: {yes:?}");
    }
    for no in [&b"n\n"[..], b"\n", b"maybe\n"] {
        let no = answered(castoff.at_terminal(&["run", "--", "factor 12"]), MAY, no).ended(125);
        assert!(no.stdout.contains("refused: ") && !no.stdout.contains("12: 2 2 3"), "{no:?}");
    }
    let file = castoff.own().join("prompt/file");
    castoff.run("mkdir prompt; echo content > prompt/file").ended(0);
    let no = answered(castoff.at_terminal(&["run", "--", "rm prompt/file"]), LAND, b"n\n").ended(125);
    assert!(no.stdout.contains("D ") && no.stdout.contains(file.to_str().unwrap()), "{no:?}");
    assert!(file.exists());
    let later = answered(castoff.at_terminal(&["run", "--", "rm prompt/file"]), LAND, b"\x04").ended(75);
    assert!(later.stdout.contains("castoff apply"), "{later:?}");
    assert!(file.exists());
    let mut live = castoff.at_terminal(&["run", "--", "rm prompt/file"]);
    live.until(LAND);
    live.types(b"d\n");
    live.until("-content");
    live.types(b"y\n");
    live.finish().ended(0);
    assert!(!file.exists());
    let broken = answered(castoff.at_terminal(&["run", "--", "factor 12"]), MAY, b"\x03").ended(75);
    assert!(broken.stdout.contains("castoff approve"), "{broken:?}");
}

#[test]
fn what_a_run_prints_neither_hides_a_question_nor_answers_it() {
    let castoff = usual();
    castoff.run("mkdir prompt; echo content > prompt/file").ended(0);
    let script = "printf 'Go on? [y/N] \\033[8m\\n'; rm prompt/file; sleep 2";
    let mut live = castoff.at_terminal(&["run", "--", script]);
    live.until("Go on? [y/N]");
    live.types(b"y\n");
    let answer = answered(live, LAND, b"n\n").ended(125);
    let (_, hidden) = answer.stdout.split_once("\u{1b}[8m").unwrap();
    let (before, question) = hidden.split_once("\u{1b}[0m").unwrap();
    assert!(question.contains("D ") && !before.contains("castoff"), "{answer:?}");
    assert!(castoff.own().join("prompt/file").exists());
}

/// The diff as it is shown for a `d` at the prompt, and all around it but what makes the terminal plain again.
fn reviewed(mut live: Live, shown: &str) -> String {
    live.until(LAND);
    live.types(b"d\n");
    live.until(shown);
    live.types(b"n\n");
    live.finish().ended(125).stdout.replace("\u{1b}[!p\u{1b}[0m\u{1b}(B", "")
}

#[test]
fn a_terminal_shows_every_character_and_a_pipe_gets_the_diff_as_it_is() {
    let castoff = usual();
    castoff.run("mkdir hidden; echo content > hidden/file").ended(0);
    for name in ["hidden/\u{202e}name", "hidden/\u{1b}[2Kname"] {
        fs::write(castoff.own().join(name), "x\n").unwrap();
        castoff.give(&castoff.own().join(name));
    }
    let script = "printf 'a\\033[2K\\342\\200\\256b\\342\\200\\213\\n' > hidden/file; rm hidden/*name";
    let at_prompt = reviewed(castoff.at_terminal(&["run", "--review", "changes", "--", script]), "+a<U+001B>");
    for shown in ["+a<U+001B>[2K<U+202E>b<U+200B>", "/hidden/<U+202E>name\r", "/hidden/<U+001B>[2Kname\r"] {
        assert!(at_prompt.contains(shown), "{shown}: {at_prompt:?}");
    }
    assert!(!at_prompt.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{at_prompt:?}");
    let (_, held) = castoff.json(&["run", "--review", "changes", "--", script]);
    let run = text(&held["run"]);
    let shown = castoff.at_terminal(&["diff", run]).finish().ended(0).stdout;
    assert!(shown.contains("+a<U+001B>[2K<U+202E>b<U+200B>") && !shown.contains('\u{1b}'), "{shown:?}");
    let raw = castoff.castoff(&["diff", run]).ended(0).stdout;
    assert!(raw.contains("+a\u{1b}[2K\u{202e}b\u{200b}\n"), "{raw:?}");
    castoff.castoff(&["drop", run]).ended(0);
}

#[test]
fn every_deletion_is_named_to_who_decides_about_it() {
    let castoff = usual();
    castoff.run("mkdir many; cd many; touch $(seq -f old%02g 40)").ended(0);
    let rm = castoff.at_terminal(&["run", "--", "cd many; touch $(seq -f new%02g 30); rm old*"]);
    let asked = answered(rm, LAND, b"n\n").ended(125).stdout;
    let (asked, _) = asked.split_once(LAND).unwrap();
    for number in 1..=40 {
        assert!(asked.contains(&format!("/many/old{number:02}\r\n")), "old{number}: {asked}");
    }
    assert!(asked.contains("… and 10 more") || asked.contains("… and 11 more"), "{asked}");
}

#[test]
fn questions_and_diffs_have_colours_at_a_terminal_that_wants_them() {
    let castoff = usual();
    castoff.run("mkdir colour; echo content > colour/file").ended(0);
    let run = ["run", "--", "rm colour/file"];
    let painted = reviewed(castoff.at_terminal_with(&[], &run), "-content");
    for shown in [
        "castoff: \u{1b}[1m\u{1b}[33mnot applied\u{1b}[0m yet",
        "\u{1b}[36m@@ -1 +0,0 @@\u{1b}[0m",
        "\u{1b}[31m-content\u{1b}[0m",
    ] {
        assert!(painted.contains(shown), "{shown:?}: {painted:?}");
    }
    let refused = castoff.at_terminal_with(&[], &["run", "--", "nmap"]).finish().ended(125).stdout;
    assert!(refused.contains("castoff: \u{1b}[31mrefused\u{1b}[0m: "), "{refused:?}");
    for plain in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let shown = reviewed(castoff.at_terminal_with(&plain, &run), "-content");
        assert!(shown.contains("not applied yet") && !shown.contains('\u{1b}'), "{plain:?}: {shown:?}");
    }
    let refused = castoff.run("nmap").ended(125);
    assert!(refused.stderr.contains("castoff: refused: ") && !refused.stderr.contains('\u{1b}'), "{refused:?}");
    let (_, held) = castoff.run_json(run[2]);
    let (run, script) = (text(&held["run"]), "cat colour/file # ".to_owned() + &"long ".repeat(30));
    let raw = castoff.castoff(&["diff", run]).ended(0).stdout;
    assert!(raw.contains("\n-content\n") && !raw.contains('\u{1b}'), "{raw:?}");
    castoff.castoff(&["drop", run]).ended(0);

    castoff.run(&script).ended(0);
    let (_, asked) = castoff.run_json(&format!("factor 12 # {}", "long ".repeat(30)));
    for table in ["runs", "approvals"] {
        let shown = castoff.at_terminal(&[table]).finish().ended(0).stdout;
        assert!(shown.lines().all(|line| line.trim_end().chars().count() <= 80), "{shown}");
        assert!(shown.contains("factor 12") && shown.contains('…'), "{shown}");
    }
    castoff.castoff(&["refuse", text(&asked["state"]["asking"]["approval"])]).ended(0);
}

#[test]
fn yes_beforehand_answers_questions_and_no_refusal() {
    let castoff = usual();
    let yes = |script: &str| castoff.castoff(&["run", "--yes", "--", script]);
    assert_eq!(yes("factor 12").ended(0).stdout, "12: 2 2 3\n");
    yes("mkdir yes; echo > yes/file").ended(0);
    yes("rm yes/file").ended(0);
    assert!(!castoff.own().join("yes/file").exists());
    yes("nmap localhost").ended(125);
    yes("sudo true").ended(125);
    let (_, entries) = castoff.json(&["audit", "list", "-n", "500"]);
    let granted = |entry: &&Value| entry["what"] == "approval.granted" && entry["detail"]["beforehand"] == true;
    assert!(entries.as_array().unwrap().iter().filter(granted).count() >= 2, "{entries}");
}

#[test]
fn what_reaches_the_network_is_refused_while_there_is_none() {
    let castoff = usual();
    for script in
        ["curl https://example.com", "echo a | curl -d @- https://example.com", "git clone https://example.com/a"]
    {
        for arguments in [&["run", "--", script][..], &["run", "--yes", "--", script]] {
            castoff.castoff(arguments).ended(125).says(&["there is no network yet"]);
        }
        let (_, explained) = castoff.json(&["policy", "explain", "--", script]);
        assert_eq!((&explained["verdict"], &explained["network"]), (&"ask".into(), &"ask".into()), "{explained}");
    }
    let (_, open) = castoff.json(&["approvals"]);
    assert!(!open.to_string().contains("example.com"), "{open}");
}

#[test]
fn the_json_answer_tells_everything_apart() {
    let castoff = usual();
    let (code, run) = castoff.run_json("echo out; echo err >&2; mkdir json; echo > json/file; exit 4");
    assert_eq!(code, 4);
    let expected = serde_json::json!({
        "exit_code": 4, "stopped_by": null, "stdout": "out\n", "stderr": "err\n", "declined": null,
        "person": "owner", "rights_of": "owner", "state": { "done": { "changes": "applied" } }, "never_lands": [],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&run[name], value, "{name}: {run}");
    }
    let paths: Vec<&str> = run["changes"].as_array().unwrap().iter().map(|change| text(&change["path"])).collect();
    let (own, kinds) =
        (castoff.own(), run["changes"].as_array().unwrap().iter().all(|change| change["kind"] == "added"));
    assert_eq!(paths, [own.join("json").to_str().unwrap(), own.join("json/file").to_str().unwrap()]);
    assert!(kinds, "{run}");
    assert_eq!(run["enforced"]["limits"]["memory_bytes"], 512 << 20, "{run}");
    assert!(run["usage"]["cpu_ms"].is_u64() && run["plan"]["digest"].is_null() && run["digest"].is_string(), "{run}");
    let (code, refused) = castoff.run_json("nmap");
    assert_eq!((code, &refused["stopped_by"], &refused["exit_code"]), (125, &"refused".into(), &125.into()));
    let bad = castoff.castoff(&["--json", "run", "--", " "]).ended(65);
    let bad: Value = serde_json::from_str(&bad.stderr).unwrap();
    assert_eq!(bad["exit_code"], 65);
}

#[test]
fn runs_logs_questions_and_status_can_be_looked_at() {
    let castoff = usual();
    let (_, run) = castoff.run_json("echo looked; echo at >&2; echo > looked-at");
    let id = text(&run["run"]);
    let table = castoff.castoff(&["runs"]).ended(0).stdout;
    assert!(table.contains(id) && table.contains("exit 0, applied") && table.contains("echo looked"), "{table}");
    for name in [id, id.get(..8).unwrap()] {
        let logs = castoff.castoff(&["logs", name]).ended(0);
        assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("looked\n", "at\n"));
    }
    assert!(castoff.castoff(&["diff", id]).ended(0).stdout.contains("looked-at"));

    let (_, asked) = castoff.run_json("factor 9");
    let (asked, approval) = (text(&asked["run"]), text(&asked["state"]["asking"]["approval"]));
    let open = castoff.castoff(&["approvals"]).ended(0).stdout;
    assert!(open.contains(asked) && open.contains(approval) && open.contains("may it run"), "{open}");
    assert_eq!(castoff.castoff(&["approve", approval]).ended(0).stdout, "9: 3 3\n");
    assert!(!castoff.castoff(&["approvals"]).stdout.contains(asked));

    let status = castoff.castoff(&["status"]).ended(0).stdout;
    for shown in ["base", "workbench", castoff.own().to_str().unwrap(), "audit entries"] {
        assert!(status.contains(shown), "{shown}: {status}");
    }
    let audit = castoff.castoff(&["audit", "list", "-n", "5"]).ended(0).stdout;
    assert_eq!(audit.lines().count(), 5, "{audit}");
}

#[test]
fn logs_follow_a_run_to_its_end() {
    let castoff = Castoff::start(USUAL);
    let mut live = castoff.begin(&["run", "--", "echo one; sleep 4; echo two"]);
    live.until("one");
    let run = text(&castoff.live_container()["Config"]["Labels"]["castoff.run"]).to_owned();
    // Output goes on record every second: who comes later reads it there.
    eventually("the output is on record", || castoff.castoff(&["logs", &run]).stdout.contains("one").then_some(()));
    let follow = castoff.begin(&["logs", "-f", &run]);
    assert_eq!(follow.finish().stdout, "one\ntwo\n");
    live.finish().ended(0);
}

#[test]
fn a_run_feels_at_home() {
    let castoff = usual();
    let lines = |script: &str| castoff.castoff(&["run", "--yes", "--", script]).ended(0).stdout;
    assert_eq!(
        lines("whoami; printf '%s\\n' ~ \"$USER\" \"$TERM\" \"$NO_COLOR\""),
        format!("owner\n{}\nowner\ndumb\n1\n", castoff.own().display())
    );
    let zone = lines("date +%Z");
    assert!(["CET\n", "CEST\n"].contains(&zone.as_str()), "{zone}");
    assert_eq!(lines("printf 'äöü€' | wc -m"), "4\n");
    assert_eq!(lines("[ -t 0 ] || echo none; [ -t 1 ] || echo none"), "none\nnone\n");
    let script = "git init -q repository && cd repository && echo a > a && git add a && git commit -q -m first && git log --format='%an %s' && git status --short";
    assert_eq!(lines(script), "owner first\n");
    assert_eq!(lines("cd repository && echo b >> a && git commit -qam second && git log --oneline | wc -l"), "2\n");
    assert_eq!(
        lines(
            "echo 'print(6 * 7)' > a.py && python3 a.py && echo 'console.log(6 * 7)' > a.js && node a.js && echo '{\"a\":1}' | jq .a"
        ),
        "42\n42\n1\n"
    );
}

#[test]
fn a_run_starts_where_the_caller_stands_in_a_workspace() {
    let castoff = usual();
    let directory = castoff.work().join("with space/sub");
    fs::create_dir_all(&directory).unwrap();
    for path in [castoff.work().join("with space"), directory.clone()] {
        castoff.give(&path);
    }
    let answer = castoff.run_in(&directory, &["run", "--", "pwd; echo here > here"]).ended(0);
    assert_eq!(answer.stdout, format!("{}\n", directory.display()));
    let file = directory.join("here");
    assert_eq!(fs::read_to_string(&file).unwrap(), "here\n");
    let owner = if castoff.is_root() { common::FILES_UID } else { fs::metadata("/proc/self").unwrap().uid() };
    assert_eq!(fs::metadata(&file).unwrap().uid(), owner);
    let outside = castoff.run_in(castoff.root(), &["run", "--", "pwd"]).ended(0);
    assert_eq!(outside.stdout, format!("{}\n", castoff.own().display()));
}

#[test]
fn a_workspace_that_cannot_be_mounted_is_explained_and_the_others_go_on() {
    let castoff = Castoff::prepare(&[]);
    let root = castoff.root().to_owned();
    fs::create_dir(root.join("target")).unwrap();
    castoff.give(&root.join("target"));
    symlink(root.join("target"), root.join("link")).unwrap();
    fs::create_dir(root.join("foreign")).unwrap();
    castoff.configure(
        "tools.yaml",
        "files:\n  allowed_paths: [\"WORK\", \"ROOT/missing\", \"ROOT/link\", \"ROOT/foreign\"]\n",
    );
    castoff.serve();
    let own = castoff.work();
    castoff.run_in(&own, &["run", "--", "echo fine > fine"]).ended(0);
    assert!(own.join("fine").exists());
    let needs = |name: &str| castoff.run(&format!("ls {}/{name}", root.display()));
    let missing = needs("missing");
    assert_ne!(missing.code, 0, "{missing:?}");
    missing.says(&["missing", "does not exist", "hint: `mkdir -p"]);
    let link = needs("link");
    assert_ne!(link.code, 0, "{link:?}");
    link.says(&["symbolic link", root.join("target").to_str().unwrap()]);
    if castoff.is_root() {
        let foreign = castoff.run_in(&root.join("foreign"), &["run", "--", "echo > file"]);
        assert_eq!(foreign.code, 125, "{foreign:?}");
        foreign.says(&["belongs to uid 0", "chown", "mode: read"]);
        assert!(!root.join("foreign/file").exists());
    }
}

#[test]
fn a_broken_policy_keeps_the_core_from_starting_and_shows_the_place() {
    let cases = [
        ("tools.yaml", "exec:\n  allow: [\"ls\"\nfiles: {}\n", "tools.yaml:"),
        ("tools.yaml", "exec:\n  alow: [\"ls\"]\n", "tools.yaml:2:"),
        ("users.yaml", "users:\n  - name: \"Nobody\"\n", "users.yaml:2:"),
        ("limits.yaml", "runs:\n  wall_time: \"soon\"\n", "limits.yaml:2:"),
    ];
    for (name, text, place) in cases {
        let castoff = Castoff::prepare(&[(name, text)]);
        let serve = castoff.castoff(&["serve"]);
        assert_ne!(serve.code, 0, "{text}");
        serve.says(&[place, "hint:", "^"]);
        let config = castoff.home().join("config");
        let check = castoff.castoff(&["policy", "check", config.to_str().unwrap()]).ended(78);
        assert!(check.stdout.contains(place) && check.stdout.contains('^'), "{check:?}");
        castoff.castoff(&["policy", "explain", "--", "ls"]).ended(78);
        assert_eq!(castoff.containers(), Vec::<String>::new());
    }
}

#[test]
fn a_file_that_the_host_changed_meanwhile_is_a_conflict_and_left_alone() {
    let castoff = usual();
    castoff.run("mkdir conflict; echo one > conflict/a; echo one > conflict/b").ended(0);
    let (a, b) = (castoff.own().join("conflict/a"), castoff.own().join("conflict/b"));
    let (code, run) =
        castoff.json(&["run", "--review", "changes", "--", "echo two >> conflict/a; echo two >> conflict/b"]);
    assert_eq!(code, 75, "{run}");
    fs::write(&a, "the host's\n").unwrap();
    let answer = castoff.castoff(&["apply", text(&run["run"])]).ended(73);
    answer.says(&["conflict: ", a.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&a).unwrap(), "the host's\n");
    assert_eq!(fs::read_to_string(&b).unwrap(), "one\ntwo\n");
    castoff.castoff(&["drop", text(&run["run"])]).ended(0);

    let mut live = castoff.begin(&["run", "--", "echo three >> conflict/b; echo begun; sleep 2"]);
    live.until("begun");
    fs::write(&b, "the host's\n").unwrap();
    live.finish().ended(73).says(&["conflict: ", b.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&b).unwrap(), "the host's\n");
}

#[test]
fn a_second_core_is_refused_and_the_first_goes_on() {
    let castoff = usual();
    let second = castoff.castoff(&["serve"]);
    assert_ne!(second.code, 0);
    second.says(&["in use by another Castoff"]);
    assert_eq!(castoff.run("echo on").ended(0).stdout, "on\n");
}

#[test]
fn an_uid_that_is_not_listed_gets_nothing() {
    let castoff = usual();
    let open = |path: &Path| fs::metadata(path).unwrap().mode() & 0o001 != 0;
    if !castoff.is_root() || !castoff.home().ancestors().all(open) {
        return;
    }
    for arguments in [&["run", "--", "true"][..], &["runs"], &["status"], &["audit", "list"]] {
        castoff.castoff_as(4321, arguments).ended(77).says(&["uid 4321 is not on the list", "local: [4321]"]);
    }
}

#[test]
fn an_error_about_a_file_names_the_file() {
    let castoff = Castoff::prepare(&[]);
    let (home, gone) = (castoff.root().join("other"), castoff.root().join("gone"));
    fs::create_dir(&home).unwrap();
    symlink("nowhere", home.join("config")).unwrap();
    let program = common::program();
    let cases = [
        (format!("\"$0\" --home '{}' prepare", home.display()), home.join("config")),
        (format!("mkdir '{0}'; cd '{0}'; rmdir '{0}'; \"$0\" --home here status", gone.display()), "here".into()),
    ];
    for (script, named) in cases {
        let output = common::command("sh").args(["-c", &script]).arg(&program).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(&format!("`{}`", named.display())), "{said}");
    }
}

/// `systemd-analyze verify` is what systemd itself says of a unit.
#[test]
fn the_systemd_unit_is_one_and_starts_this_program() {
    let castoff = usual();
    let unit = castoff.castoff(&["setup", "--systemd"]).ended(0).stdout;
    let start = format!(
        "ExecStart={} --home {home} --config {home}/config serve\n",
        common::program().canonicalize().unwrap().display(),
        home = castoff.home().display()
    );
    assert!(unit.contains(&start), "{start}\n{unit}");
    let file = tempfile::Builder::new().suffix(".service").tempfile().unwrap();
    fs::write(file.path(), unit).unwrap();
    let verified = common::command("systemd-analyze").arg("verify").arg("--man=no").arg(file.path()).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // Units of the machine that it refers to may have flaws of their own.
    let name = file.path().file_name().unwrap().to_str().unwrap();
    assert!(verified.status.success() && !said.contains(name), "{said}");
    let odd = castoff.run_in(castoff.root(), &["--config", "/srv/%h", "setup", "--systemd"]);
    odd.ended(65).says(&["cannot stand in a systemd unit", "hint:"]);
}

/// In a container, as the unit belongs to its machine.
#[test]
fn the_systemd_unit_is_installed_where_systemd_looks_or_it_is_said_what_is_missing() {
    let mount = format!("{}:/castoff:ro", common::program().display());
    let within = |script: &str| {
        docker(&["run", "--rm", "--network", "none", "-v", &mount, "debian:trixie-slim", "sh", "-c", script])
    };
    let setup = "/castoff --home /srv/c --config /srv/c/config setup --systemd";
    let file = "/etc/systemd/system/castoff.service";
    let told = within(&format!(
        "mkdir -p /etc/systemd/system; {setup} install; test -e /srv/c && echo more; {setup} print | cmp - {file} && ls -l {file}"
    ));
    assert!(told.contains(&format!("wrote {file}")) && told.contains("systemctl enable --now castoff"), "{told}");
    assert!(told.contains("-rw-r--r-- 1 root root") && !told.contains("more"), "{told}");
    let told = within(&format!("rm -rf /etc/systemd; {setup} install 2>&1 || echo code $?"));
    assert!(told.contains(&format!("failed to write `{file}`")) && told.contains("code 69"), "{told}");
    assert!(told.contains("hint: it needs root, and a host with systemd"), "{told}");
}
