//! Cards as a person sees them: golden texts, and every state of every card within Telegram's limits.

use std::path::PathBuf;

use castoff::chat::telegram::cards::{always, approval, draft, note, outcome, reply, run};
use castoff::chat::telegram::{CAPTION_UNITS_MAX, Outgoing, Press, plain};
use castoff::domain::change::{Change, ChangeSet, Landing, Node, NodeKind, Trouble};
use castoff::domain::ids::{ApprovalId, CallId, Digest, PersonId, RuleId, RunId, TurnId};
use castoff::domain::learned::Words;
use castoff::domain::limits::Limits;
use castoff::domain::model::ToolCall;
use castoff::domain::plan::{Access, Cover, CoverKind, Image, Input, Mount, Plan, Review};
use castoff::domain::record::{
    ApprovalRecord, ApprovalState, Outcome, Reason, RunRecord, RunState, Subject, Verdict, VerdictRecord,
};
use castoff::domain::run::{Ending, RunEnd, StopCause, Usage};
use castoff::domain::script::Script;
use castoff::domain::task::Task;
use castoff::domain::time::Timestamp;
use castoff::domain::turn::{Channel, TurnOutcome, TurnRecord, TurnState};

use crate::botapi::authorities::parse_html;

fn names(person: &PersonId) -> String {
    if *person == PersonId::owner() { "Ada".to_owned() } else { format!("<{person}>") }
}

fn a_plan(script: &str) -> Plan {
    Plan {
        person: PersonId::owner(),
        user_name: "Ada".to_owned(),
        task: Task::Script(Script::new(script.to_owned()).unwrap()),
        stdin: Some(Input { bytes: 3, digest: Digest::of(b"abc") }),
        workdir: PathBuf::from("/home/ada/site"),
        env: [("HOME".to_owned(), "/home/ada".to_owned())].into(),
        image: Image { name: "base".to_owned(), id: "sha256:0123".to_owned() },
        mounts: vec![
            Mount { path: PathBuf::from("/home/ada"), access: Access::Overlay },
            Mount { path: PathBuf::from("/srv/\u{202e}x\ny"), access: Access::Direct },
        ],
        covers: vec![Cover { path: PathBuf::from("/home/ada/.ssh"), kind: CoverKind::Directory }],
        limits: Limits::default(),
        review: Review::Risky,
        deletions: false,
    }
}

fn a_run(script: &str) -> RunRecord {
    let plan = a_plan(script);
    RunRecord {
        run: RunId::from_random([1; 11]),
        turn: TurnId::from_random([2; 11]),
        person: PersonId::owner(),
        rights_of: PersonId::owner(),
        asked_at: Timestamp::from_ms(1_700_000_000_000),
        task: plan.task.clone(),
        landing: None,
        workdir: None,
        review: None,
        yes: false,
        verdict: Some(VerdictRecord {
            verdict: Verdict::Ask,
            reasons: vec![Reason { rule: "tools.yaml:4 git push".to_owned(), text: "it sends <data>".to_owned() }],
            programs: vec!["git".to_owned()],
            suggestion: Some("git status".to_owned()),
            policy: Digest::of(b"policy"),
            always: Vec::new(),
            approvers: Vec::new(),
        }),
        digest: Some(plan.digest()),
        plan: Some(Box::new(plan)),
        state: RunState::Asking { approval: ApprovalId::from_random([3; 11]) },
        end: None,
        landings: Vec::new(),
        undone: Vec::new(),
        chat: None,
        stop_asked: false,
    }
}

fn file(bytes: u64) -> Option<Node> {
    Some(Node { kind: NodeKind::File { bytes }, mode: 0o644 })
}

fn ended(ending: Ending, paths: usize) -> Option<Box<RunEnd>> {
    let change = |number: usize| match number % 3 {
        0 => Change { path: format!("new {number}.txt"), before: None, after: file(12) },
        1 => Change { path: format!("changed\n{number}"), before: file(2048), after: file(5 << 20) },
        _ => Change {
            path: format!("gone{number}"),
            before: Some(Node { kind: NodeKind::Directory { entries: 7 }, mode: 0o755 }),
            after: None,
        },
    };
    let set = ChangeSet {
        workspace: PathBuf::from("/home/ada"),
        changes: (0..paths).map(change).collect(),
        refused: vec![Trouble { path: "dev".to_owned(), why: "a device".to_owned() }],
    };
    Some(Box::new(RunEnd {
        ending,
        started: Timestamp::from_ms(1_700_000_000_000),
        ended: Timestamp::from_ms(1_700_000_001_240),
        enforced: None,
        usage: Usage { cpu_ms: 1, memory_kib_max: 1, stdout_bytes: 1500, stderr_bytes: 36, ..Usage::default() },
        changes: vec![set],
    }))
}

fn asked(subject: Subject, state: ApprovalState) -> ApprovalRecord {
    ApprovalRecord {
        approval: ApprovalId::from_random([3; 11]),
        run: RunId::from_random([1; 11]),
        person: PersonId::owner(),
        subject,
        asked_at: Timestamp::from_ms(1_700_000_000_000),
        expires_at: Timestamp::from_ms(1_700_000_600_000),
        state,
    }
}

fn plan_subject() -> Subject {
    Subject::Plan { digest: Digest::of(b"plan") }
}

fn change_subject() -> Subject {
    Subject::Changes { digest: Digest::of(b"changes") }
}

fn states(why: &str) -> Vec<ApprovalState> {
    let by = PersonId::owner;
    vec![
        ApprovalState::Pending,
        ApprovalState::Granted { by: by(), always: None },
        ApprovalState::Refused { by: by() },
        ApprovalState::Expired,
        ApprovalState::Void { why: why.to_owned() },
    ]
}

/// The text as Telegram shows it, the buttons and the document's name: within the limits.
fn seen(card: &Outgoing) -> String {
    let parsed = parse_html(&card.html).unwrap_or_else(|error| panic!("{error}: {}", card.html));
    let most = if card.document.is_some() { CAPTION_UNITS_MAX } else { 4096 };
    let units = parsed.text.encode_utf16().count() + "(may repeat)\n".len();
    assert!(units <= most, "{units} units: {}", parsed.text);
    assert_eq!(plain(&card.html), parsed.text);
    let mut seen = parsed.text;
    for row in &card.keyboard {
        let buttons: Vec<String> = row.iter().map(|button| format!("[{}]", button.text)).collect();
        assert!(row.iter().all(|button| Press::parse(&button.data).is_some() && button.data.len() <= 64));
        seen.push_str(&format!("\n{}", buttons.join(" ")));
    }
    if let Some((name, bytes)) = &card.document {
        seen.push_str(&format!("\n({name}: {} bytes)", bytes.len()));
    }
    seen
}

#[test]
fn the_card_of_a_plan_shows_all_of_it() {
    let card = approval(&asked(plan_subject(), ApprovalState::Pending), &a_run("git push\n\techo '<a&b>'"), "", &names);
    insta::assert_snapshot!(seen(&card));
    let planless = RunRecord { plan: None, ..a_run("git push") };
    let card = approval(&asked(plan_subject(), ApprovalState::Pending), &planless, "", &names);
    assert!(card.keyboard.is_empty(), "what cannot be shown cannot be answered");
}

#[test]
fn what_would_be_allowed_always_is_shown_whole_and_only_while_it_can_be_answered() {
    let words = |words: &[&str]| Words::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap();
    let mut run = a_run("factor 12; git commit -m 'a <b>'");
    let open = asked(plan_subject(), ApprovalState::Pending);
    assert_eq!(always(&open, &run, &names), None, "there is nothing to allow always");
    run.verdict.as_mut().unwrap().always = vec![words(&["factor", "12"]), words(&["git", "commit", "-m", "a <b>"])];
    let card = approval(&open, &run, "", &names);
    let buttons: Vec<&str> = card.keyboard.iter().flatten().map(|button| button.text.as_str()).collect();
    assert_eq!(buttons, ["Allow once", "Refuse", "Allow always …"]);
    insta::assert_snapshot!(seen(&always(&open, &run, &names).unwrap()));
    let rule = RuleId::from_random([5; 11]);
    let answered = asked(plan_subject(), ApprovalState::Granted { by: PersonId::owner(), always: Some(rule) });
    assert_eq!(always(&answered, &run, &names), None);
    assert!(seen(&approval(&answered, &run, "", &names)).starts_with("✅ Allowed always by Ada (l"));
    // As long as a rule may be.
    run.verdict.as_mut().unwrap().always = vec![words(&["factor", &"<".repeat(990)])];
    assert!(seen(&always(&open, &run, &names).unwrap()).contains(&"<".repeat(990)));
}

#[test]
fn a_card_of_changes_shows_paths_and_diff() {
    let mut run = a_run("make site");
    run.end = ended(Ending::Exited { code: 0 }, 3);
    run.state = RunState::Held { approval: None, why: "deletions of files".to_owned() };
    let diff = "--- a/changed\n+++ b/changed\n-old <b>\n+new\u{202e}\n";
    let card = approval(&asked(change_subject(), ApprovalState::Pending), &run, diff, &names);
    insta::assert_snapshot!(seen(&card));
}

#[test]
fn an_answered_card_says_by_whom_and_has_no_buttons() {
    let run = a_run("git push");
    let heads: Vec<String> = states("the policy changed")
        .into_iter()
        .map(|state| approval(&asked(plan_subject(), state), &run, "", &names))
        .map(|card| format!("{} buttons: {}", card.keyboard.concat().len(), seen(&card).lines().next().unwrap()))
        .collect();
    insta::assert_snapshot!(heads.join("\n"));
}

#[test]
fn what_fits_no_message_is_attached_whole_in_every_state() {
    let script = format!("echo {}\n", "'<x>&'".repeat(20)).repeat(60);
    let mut run = a_run(&script);
    let long = "because ".repeat(200);
    for state in states(&long) {
        let card = approval(&asked(plan_subject(), state), &run, "", &names);
        seen(&card);
        let (_, bytes) = card.document.expect("a file");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(&script) && text.contains(&run.plan.as_ref().unwrap().digest().to_string()));
    }
    run.end = ended(Ending::Exited { code: 0 }, 900);
    run.state = RunState::Held { approval: None, why: long.clone() };
    for state in states(&long) {
        let card = approval(&asked(change_subject(), state), &run, "+a\n", &names);
        seen(&card);
        let text = String::from_utf8(card.document.expect("a file").1).unwrap();
        assert!(text.contains("gone899") && text.contains("+a"));
    }
}

#[test]
fn a_card_never_changes_between_text_and_file() {
    for length in (2500..3500).step_by(30) {
        let run = a_run(&"x".repeat(length));
        let cards =
            states(&"y".repeat(900)).into_iter().map(|state| approval(&asked(plan_subject(), state), &run, "", &names));
        let files: Vec<bool> = cards.inspect(|card| drop(seen(card))).map(|card| card.document.is_some()).collect();
        assert!(files.iter().all(|file| *file == files[0]), "{length}: {files:?}");
    }
}

#[test]
fn a_run_card_says_how_it_went_and_what_can_be_done() {
    let held = |approval| RunState::Held { approval, why: "a person stopped it".to_owned() };
    let conflict = Landing {
        workspace: PathBuf::from("/home/ada"),
        done: Vec::new(),
        conflicts: vec![Trouble { path: "a".to_owned(), why: "it changed meanwhile".to_owned() }],
    };
    let mut cards = Vec::new();
    for (state, end) in [
        (RunState::Running, None),
        (RunState::Refused { why: "`rm -rf` is denied".to_owned() }, None),
        (RunState::Done { changes: Outcome::None }, ended(Ending::Exited { code: 2 }, 0)),
        (RunState::Done { changes: Outcome::Applied }, ended(Ending::Exited { code: 0 }, 1)),
        (RunState::Done { changes: Outcome::Undone }, ended(Ending::Exited { code: 0 }, 2)),
        (RunState::Done { changes: Outcome::None }, ended(Ending::Failed { why: "no image".to_owned() }, 0)),
        (held(None), ended(Ending::Stopped { cause: StopCause::Asked }, 4)),
        (held(Some(ApprovalId::from_random([3; 11]))), ended(Ending::Signalled { signal: 9, out_of_memory: true }, 4)),
    ] {
        let mut record = RunRecord { state, end, ..a_run("make\nmake test") };
        if matches!(record.state, RunState::Done { changes: Outcome::Undone }) {
            record.undone = vec![conflict.clone()];
        }
        cards.push(seen(&run(&record)));
    }
    insta::assert_snapshot!(cards.join("\n\n"));
}

fn a_turn(state: TurnState) -> TurnRecord {
    let channel = Channel::Telegram { chat: 7, message: 1 };
    let asked = TurnRecord::new(
        TurnId::from_random([2; 11]),
        PersonId::owner(),
        channel,
        Timestamp::from_ms(0),
        "hi".to_owned(),
    );
    TurnRecord { state, ..asked }
}

#[test]
fn a_draft_says_what_the_turn_is_doing() {
    let call = CallId::from_random([5; 11]);
    let exec = |arguments| ToolCall { id: "1".to_owned(), name: "exec".to_owned(), arguments };
    let working = |call| TurnState::Working { run: RunId::from_random([1; 11]), call, rest: Vec::new() };
    let drafts: Vec<String> = [
        (TurnState::Queued, ""),
        (TurnState::Thinking { call: call.clone() }, "**So** far"),
        (TurnState::Summarising { call }, ""),
        (working(exec(serde_json::json!({ "command": "ls -l\nrm x" }))), "I look"),
        (working(exec(serde_json::json!("no \u{202e}JSON"))), ""),
    ]
    .into_iter()
    .map(|(state, so_far)| seen(&draft(&a_turn(state), None, so_far)))
    .collect();
    insta::assert_snapshot!(drafts.join("\n--\n"));
    let long = draft(&a_turn(TurnState::Queued), None, &format!("{}the end", "<&> line\n".repeat(5000)));
    let text = seen(&long);
    assert!(text.starts_with("castoff: queued") && text.ends_with("the end"), "{text}");
}

#[test]
fn a_reply_is_messages_or_a_file_and_never_nothing() {
    assert_eq!(reply("**hi**"), [Outgoing::text("<b>hi</b>".to_owned())]);
    let again = reply("**hi**").remove(0).may_repeat();
    assert_eq!(parse_html(&again.html).unwrap().text, "(may repeat)\nhi");
    assert_eq!(plain(&reply(" \n")[0].html), "The model sent an empty reply.");
    assert_eq!(note("a *b* <c>"), [Outgoing::text("a *b* &lt;c&gt;".to_owned())]);
    assert_eq!(plain(&outcome(&TurnOutcome::Stopped)[0].html), "Stopped.");
    let text = "A paragraph of some words.\n\n".repeat(400);
    let messages = reply(&text);
    assert_eq!(messages.len(), 3);
    messages.iter().for_each(|message| drop(seen(message)));
    let longer = reply(&text.repeat(10));
    assert_eq!(longer.len(), 2);
    assert_eq!(longer[1].document.as_ref().unwrap().1, text.repeat(10).as_bytes());
    longer.iter().for_each(|message| drop(seen(message)));
}
