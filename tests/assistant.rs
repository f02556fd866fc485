//! What a model does through the real engine, and what it is told of it: a model server of the test's own
//! says what is queued. A story each.
#![cfg(test)]

#[expect(dead_code, reason = "what only other stories use")]
mod common;
#[path = "telegram_chat/model.rs"]
#[expect(dead_code, reason = "what only the stories in a chat use")]
mod model;
#[path = "models/raw.rs"]
#[expect(dead_code, reason = "what only the providers' tests use")]
mod raw;

use std::fs;
use std::sync::{Arc, Mutex};

use common::{Castoff, eventually};
use model::Model;
use raw::{Answer, Raw, ok};
use serde_json::{Value, json};

const PRICED: &str = "as_of: 2026-11-01\nprices:\n  mock/*: { input: 3, output: 15 }\n";
const FREE: &str = "as_of: 2026-11-01\nprices:\n  mock/*: { free: true }\n";

/// A Castoff whose provider `mock` is at this base URL, for these prices.
fn castoff(kind: &str, url: &str, prices: &str) -> Castoff {
    // The providers' TLS is set up once for each process.
    castoff::model::client(castoff::model::ClientRules::default()).unwrap();
    Castoff::start(&[
        ("settings.yaml", &format!("providers:\n  mock: {{ kind: {kind}, base_url: \"{url}\" }}\n")),
        ("prices.yaml", prices),
        ("tools.yaml", "files: { allowed_paths: [\"WORK\"] }\n"),
    ])
}

fn set(castoff: &Castoff, model: &str) {
    castoff.castoff(&["config", "--model", model]).ended(0);
}

/// What came of the tool calls, in order, as the last request tells it: text, and whether it failed.
fn told(model: &Model) -> Vec<(String, bool)> {
    let asked = model.asked();
    let (_, body) = asked.last().unwrap().split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let blocks = body["messages"].as_array().unwrap().iter().filter_map(|message| message["content"].as_array());
    let results = blocks.flatten().filter(|block| block["type"] == "tool_result");
    results.map(|block| (common::text(&block["content"]).to_owned(), block["is_error"] == true)).collect()
}

#[test]
fn a_model_lists_searches_writes_and_edits_files_and_is_told_what_came_of_it() {
    let model = Model::start();
    let castoff = castoff("anthropic", model.url(), PRICED);
    let notes = castoff.work().join("notes");
    fs::create_dir(&notes).unwrap();
    for (name, text) in [("a.txt", "apple\npear\napple pie\n"), ("b.md", "apple\n")] {
        fs::write(notes.join(name), text).unwrap();
        castoff.give(&notes.join(name));
    }
    castoff.give(&notes);
    set(&castoff, "mock/model-x");
    let (fruit, new) = (notes.join("a.txt"), castoff.work().join("new/c.txt"));
    let calls = [
        ("list_files", json!({ "path": notes })),
        ("search_files", json!({ "path": castoff.work(), "text": "apple", "glob": "*.txt" })),
        ("search_files", json!({ "path": castoff.work(), "text": "apple" })),
        ("write_file", json!({ "path": new, "text": "one\ntwo\n" })),
        ("edit_file", json!({ "path": fruit, "old": "apple", "new": "plum" })),
        ("edit_file", json!({ "path": fruit, "old": "apple", "new": "plum", "all": true })),
        ("edit_file", json!({ "path": new, "old": "two", "new": "three" })),
        ("read_file", json!({ "path": new, "from_line": 2, "lines": 1 })),
    ];
    let calls = calls.map(|(tool, arguments)| model::calls(tool, &arguments.to_string()));
    // In two turns, as eight containers take a while on a busy machine.
    for part in calls.chunks(4) {
        model.then(part.iter().cloned().chain([model::says("Done.")]));
        let answer = castoff.run_in(castoff.root(), &["chat", "tidy up"]).ended(0);
        assert!(answer.stdout.ends_with("Done.\n"), "{answer:?}");
    }

    let told = told(&model);
    let failed: Vec<bool> = told.iter().map(|(_, failed)| *failed).collect();
    assert_eq!(failed, [false, false, false, false, true, false, false, false], "{told:#?}");
    let listed: Vec<Vec<&str>> = told[0].0.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(listed[0], ["exit", "code", "0"]);
    let files: Vec<_> = listed[1..].iter().map(|line| (line[0], line[1], line[3])).collect();
    assert_eq!(files, [("file", "21", "a.txt"), ("file", "6", "b.md")], "{told:#?}");
    let (a, b) = (fruit.display(), notes.join("b.md").display().to_string());
    let hits = format!("exit code 0\n{a}:1: apple\n{a}:3: apple pie");
    assert_eq!(told[1].0, hits);
    assert_eq!(told[2].0, format!("{hits}\n{b}:1: apple"));
    let c = new.display();
    // Its first line, and how the change is named.
    for (at, said, change) in [
        (3, format!("wrote `{c}`: 8 bytes, new"), format!("  A {c}")),
        (5, format!("edited `{a}` in 2 places: 19 bytes now"), format!("  M {a}")),
        (6, format!("edited `{c}` in one place: 10 bytes now"), format!("  M {c}")),
    ] {
        let text = &told[at].0;
        assert!(text.starts_with(&format!("exit code 0\n{said}\n\nchanges (landed, can be undone):\n")), "{text}");
        assert!(text.lines().any(|line| line == change), "{text}");
    }
    assert!(told[4].0.contains("stands 2 times"), "{told:#?}");
    assert!(told[7].0.contains("three") && !told[7].0.contains("one"), "{told:#?}");
    assert_eq!(fs::read_to_string(&fruit).unwrap(), "plum\npear\nplum pie\n");
    assert_eq!(fs::read_to_string(&new).unwrap(), "one\nthree\n");
    assert_eq!(fs::read_to_string(notes.join("b.md")).unwrap(), "apple\n");
}

#[test]
fn a_call_that_tries_a_model_is_booked_when_whoever_asked_for_it_leaves() {
    let model = Model::start();
    let castoff = castoff("anthropic", model.url(), PRICED);
    model.then([model::says_slowly(&["Hi", " ", "there"])]);
    let asking = castoff.begin(&["config", "--model", "mock/model-x"]);
    let money = || -> (u64, u64) {
        let budget: Value = serde_json::from_str(&castoff.castoff(&["budget", "--json"]).ended(0).stdout).unwrap();
        let mut providers = budget["providers"].as_array().unwrap().iter();
        let daily = providers.find(|one| one["provider"] == "mock").map(|mock| mock["windows"][0].clone());
        let amount = |name: &str| daily.as_ref().and_then(|daily| daily[name].as_u64()).unwrap_or_default();
        (amount("spent_micro_usd"), amount("reserved_micro_usd"))
    };
    eventually("the model is being tried", || (model.calls() == 1).then_some(()));
    let (spent, reserved) = money();
    assert!(spent == 0 && reserved > 0, "{spent} {reserved}");
    drop(asking);
    eventually("the call is booked", || {
        let (spent, reserved) = money();
        (spent > 0 && reserved == 0).then_some(())
    });
}

/// An Ollama that may not say what a model takes: `small` takes 8192 tokens, `big` 65536, of another it knows nothing.
fn ollama() -> (Raw, Arc<Mutex<bool>>) {
    let silent = Arc::new(Mutex::new(false));
    let is_silent = Arc::clone(&silent);
    let raw = Raw::start(move |path, body| {
        if path == "/api/chat" {
            let done =
                json!({ "message": { "content": "Here." }, "done": true, "prompt_eval_count": 9, "eval_count": 1 });
            return Answer::Bytes(ok(format!("{done}\n")));
        }
        if *is_silent.lock().unwrap() {
            return Answer::Bytes(b"HTTP/1.1 500 Broken\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec());
        }
        let asked: Value = serde_json::from_str(body).unwrap_or_default();
        let info = match asked["model"].as_str() {
            Some("small") => json!({ "llama.context_length": 8192 }),
            Some("big") => json!({ "llama.context_length": 65_536 }),
            _ => json!({}),
        };
        Answer::Bytes(ok(json!({ "capabilities": ["completion", "tools"], "model_info": info }).to_string()))
    });
    (raw, silent)
}

#[test]
fn what_a_local_model_takes_is_asked_again_until_it_is_known_and_forgotten_with_the_model() {
    let (ollama, silent) = ollama();
    let castoff = castoff("ollama", &ollama.url, FREE);
    let shows = |text: &str| {
        eventually(text, || castoff.castoff(&["config"]).ended(0).stdout.contains(text).then_some(()));
    };
    let chat = |text: &str| castoff.run_in(castoff.root(), &["chat", text]);
    let contexts = || -> Vec<u64> {
        let asked = ollama.seen().into_iter().filter(|request| request.starts_with("POST /api/chat"));
        let body = |request: String| serde_json::from_str::<Value>(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        asked.map(|request| body(request)["options"]["num_ctx"].as_u64().unwrap()).collect()
    };
    set(&castoff, "mock/small");
    shows("mock/small (8192 tokens");
    let long = "word ".repeat(8000);
    chat(&long).ended(1).says(&["more than `mock/small` takes", "say it in parts"]);

    // It does not answer at the start, so the usual is assumed; before the first call it is asked again.
    castoff.stop();
    *silent.lock().unwrap() = true;
    castoff.serve();
    shows("mock/small (32768 tokens");
    *silent.lock().unwrap() = false;
    let before = contexts().len();
    chat(&long).ended(1).says(&["more than `mock/small` takes"]);
    shows("mock/small (8192 tokens");
    assert!(contexts()[before..].iter().all(|tokens| *tokens <= 8192), "{:?}", contexts());
    // A summary of what was said is made on the way, and is not part of the reply.
    let before = contexts().len();
    assert_eq!(chat("hello").ended(0).stdout, "Here.\n");
    assert_eq!(contexts().len(), before + 2);

    // Of another model nothing is known, and what the one before took does not count.
    set(&castoff, "mock/other");
    shows("mock/other (32768 tokens");
    assert_eq!(chat(&long).ended(0).stdout, "Here.\n");
    assert_eq!(contexts().last(), Some(&32_768));
    set(&castoff, "mock/big");
    shows("mock/big (65536 tokens");
}
