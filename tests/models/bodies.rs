//! The bodies of requests: whatever conversation there was, each provider takes it.

use std::collections::BTreeSet;

use castoff::domain::model::{ModelMessage, ModelRequest, ToolCall};
use castoff::model::{Kind, request_bytes};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::{endpoint, python, request, said, tools};

const VALIDATE: &str = include_str!("validate_bodies.py");
const KINDS: [(Kind, &str, &str); 4] = [
    (Kind::Anthropic, "anthropic", "https://api.anthropic.com"),
    (Kind::OpenAi, "openai", "https://api.openai.com/v1"),
    (Kind::OpenAi, "openai", "http://localhost:8080/v1"),
    (Kind::Ollama, "ollama", "http://localhost:11434"),
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just(" \n".to_owned()), "[a-z]{1,9} ?", any::<String>()]
}

/// Ids and names as models make them up: repeated, empty, long, strange.
fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]", Just(String::new()), "toolu_[A-Z0-9]{4}", "call-[0-3]", any::<String>(), "x{41,200}"]
}

fn arguments() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        any::<String>().prop_map(|text| json!({ "script": text, "deep": [[{"a": null}]] })),
        any::<String>().prop_map(Value::String),
        Just(json!([1, 2])),
        Just(Value::Null),
    ]
}

fn message() -> impl Strategy<Value = ModelMessage> {
    let call = (id(), id(), arguments()).prop_map(|(id, name, arguments)| ToolCall { id, name, arguments });
    prop_oneof![
        text().prop_map(ModelMessage::Person),
        (text(), proptest::collection::vec(call, 0..4)).prop_map(|(text, calls)| ModelMessage::Model { text, calls }),
        (id(), id(), text(), any::<bool>()).prop_map(|(call, name, text, failed)| ModelMessage::Tool {
            call,
            name,
            text,
            failed
        }),
    ]
}

fn any_request() -> impl Strategy<Value = ModelRequest> {
    (proptest::collection::vec(message(), 0..12), text(), any::<bool>()).prop_map(|(messages, system, with_tools)| {
        let tools = if with_tools { tools() } else { Vec::new() };
        ModelRequest { system, tools, ..request("claude-or-other", messages) }
    })
}

fn body(kind: Kind, base_url: &str, request: &ModelRequest) -> Value {
    serde_json::from_slice(&request_bytes(&endpoint(kind, base_url), request)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn fits(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Anthropic: roles alternate, a person begins and ends, each use has its result in the next message
/// before any text, nothing is empty, at most four marks for the cache.
fn check_anthropic(body: &Value) {
    let messages = list(&body["messages"]);
    let mut ids = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let content = list(&message["content"]);
        assert_eq!(message["role"], if number % 2 == 0 { "user" } else { "assistant" }, "{body:#}");
        assert!(!content.is_empty(), "{body:#}");
        let results: Vec<&str> = content
            .iter()
            .filter(|block| block["type"] == "tool_result")
            .map(|block| word(&block["tool_use_id"]))
            .collect();
        if number % 2 == 0 {
            assert_eq!(results, open, "{body:#}");
            assert!(
                content[..open.len()].iter().all(|block| block["type"] == "tool_result"),
                "results first: {body:#}"
            );
        }
        open.clear();
        for block in content {
            match word(&block["type"]) {
                "text" => assert!(!word(&block["text"]).trim().is_empty(), "{body:#}"),
                "tool_use" => {
                    assert!(fits(word(&block["id"]), 64) && fits(word(&block["name"]), 64), "{body:#}");
                    assert!(block["input"].is_object() && ids.insert(word(&block["id"])), "{body:#}");
                    open.push(word(&block["id"]));
                }
                _ => assert!(!word(&block["content"]).is_empty(), "{body:#}"),
            }
        }
    }
    assert!(messages.len() % 2 == 1, "a person's words are last: {body:#}");
    let marks = body.to_string().matches("\"cache_control\":{").count();
    let last = list(&messages[messages.len() - 1]["content"]).last().unwrap();
    assert!(marks <= 4 && last["cache_control"]["type"] == "ephemeral", "{body:#}");
}

/// OpenAI and Ollama: each call is followed by its result at once, a person is never followed by one,
/// and the last words are not the model's.
fn check_openai(body: &Value, with_ids: bool) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = BTreeSet::new();
    let mut last = "";
    for message in list(&body["messages"]) {
        let role = word(&message["role"]);
        if role == "tool" {
            let (field, first) =
                if with_ids { ("tool_call_id", open.remove(0)) } else { ("tool_name", open.remove(0)) };
            assert_eq!(message[field], first, "{body:#}");
        } else {
            assert!(open.is_empty(), "{body:#}");
            assert!(role != last || role == "assistant", "{role} twice: {body:#}");
        }
        for call in list(&message["tool_calls"]) {
            assert!(fits(word(&call["function"]["name"]), 64), "{body:#}");
            if with_ids {
                assert!(fits(word(&call["id"]), 40) && ids.insert(word(&call["id"])), "{body:#}");
                let arguments: Value = serde_json::from_str(word(&call["function"]["arguments"])).unwrap();
                assert!(arguments.is_object());
                open.push(word(&call["id"]));
            } else {
                assert!(call["function"]["arguments"].is_object());
                open.push(word(&call["function"]["name"]));
            }
        }
        last = role;
    }
    assert!(open.is_empty() && matches!(last, "user" | "tool"), "{body:#}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_alternates_and_pairs_its_calls(request in any_request()) {
        for (kind, _, base_url) in KINDS {
            let body = body(kind, base_url, &request);
            match kind {
                Kind::Anthropic => check_anthropic(&body),
                Kind::OpenAi => check_openai(&body, true),
                Kind::Ollama => check_openai(&body, false),
            }
        }
    }
}

#[test]
fn the_providers_own_types_take_every_body() {
    let mut runner = TestRunner::deterministic();
    let mut lines = String::new();
    for _ in 0..150 {
        let request = any_request().new_tree(&mut runner).unwrap().current();
        for (kind, name, base_url) in KINDS {
            lines.push_str(&format!("{}\n", json!([name, body(kind, base_url, &request)])));
        }
    }
    // What must not be taken, so that the judge is known to look.
    let wrong = [
        json!(["anthropic", {"model": "m", "max_tokens": 1, "stream": true, "messages": [{"role": "tool", "content": "x"}]}]),
        json!(["openai", {"model": "m", "stream": true, "messages": [{"role": "user", "text": "x"}]}]),
        json!(["ollama", {"model": "m", "messages": [], "surprise": 1}]),
    ];
    for line in &wrong {
        lines.push_str(&format!("{line}\n"));
    }
    let judged = python::answer(VALIDATE, &[], lines.as_bytes());
    let (refused, looked): (Vec<_>, Vec<_>) = judged.lines().partition(|line| !line.starts_with("looked at"));
    assert_eq!(looked, ["looked at 603"]);
    assert_eq!(refused.len(), wrong.len(), "{}", refused.join("\n"));
}

#[test]
fn the_same_conversation_gives_the_same_bytes_and_a_longer_one_begins_with_them() {
    let call = |id: &str| ToolCall { id: id.to_owned(), name: "exec".to_owned(), arguments: json!({"b": 1, "a": 2}) };
    let mut shorter = said("one");
    shorter.push(ModelMessage::Model { text: String::new(), calls: vec![call("x"), call("x")] });
    let mut longer = shorter.clone();
    longer.push(ModelMessage::Tool {
        call: "x".to_owned(),
        name: "exec".to_owned(),
        text: "1".to_owned(),
        failed: false,
    });
    longer.push(ModelMessage::Model { text: "done".to_owned(), calls: Vec::new() });
    longer.push(ModelMessage::Person("two".to_owned()));
    for (kind, _, base_url) in KINDS {
        let of = |messages: &[ModelMessage]| request_bytes(&endpoint(kind, base_url), &request("m", messages.to_vec()));
        assert_eq!(of(&longer), of(&longer));
        let (short, long) =
            (body(kind, base_url, &request("m", shorter.clone())), body(kind, base_url, &request("m", longer.clone())));
        assert_eq!(list(&short["messages"])[0]["role"], list(&long["messages"])[0]["role"]);
        let called =
            |body: &Value| list(&body["messages"])[..3].iter().map(|one| one["tool_calls"].clone()).collect::<Vec<_>>();
        assert_eq!(called(&short), called(&long), "ids stay, so that caches are found again");
    }
}

#[test]
fn each_server_is_told_the_longest_reply_in_the_word_it_knows() {
    let asked = request("m", said("x"));
    let cases = [
        (Kind::OpenAi, "https://api.openai.com/v1", "max_completion_tokens"),
        (Kind::OpenAi, "https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        (Kind::OpenAi, "https://api.openai.com.evil.example/v1", "max_tokens"),
        (Kind::OpenAi, "http://localhost:8080/v1", "max_tokens"),
        (Kind::Anthropic, "https://api.anthropic.com", "max_tokens"),
    ];
    for (kind, base_url, name) in cases {
        let body = body(kind, base_url, &asked);
        let given: Vec<_> =
            ["max_tokens", "max_completion_tokens"].into_iter().filter(|name| body.get(*name).is_some()).collect();
        assert_eq!(given, [name], "{base_url}");
        assert_eq!(body[name], 1000);
    }
    assert_eq!(
        body(Kind::Ollama, "http://localhost", &asked)["options"],
        json!({"num_ctx": 8192, "num_predict": 1000})
    );
}
