//! Servers that lie, flood, hang and lead astray; and people who stop a call.

use std::net::TcpListener;
use std::time::Duration;

use castoff::domain::model::{Delta, FailureKind, ModelFailure, ModelReply, ModelStop, TokenUsage};
use castoff::model::{ClientRules, Kind, Provider, Waits, client};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use crate::raw::{Answer, Raw, ok};
use crate::{call, dialler, endpoint, provider, request, said, waited, waits};

const KINDS: [Kind; 3] = [Kind::Anthropic, Kind::OpenAi, Kind::Ollama];

/// A stream of `kind` that brings `text` and one call with `arguments`, whole.
fn stream(kind: Kind, text: &str, arguments: &str) -> String {
    let event = |value: serde_json::Value| format!("data: {value}\n\n");
    match kind {
        Kind::Anthropic => [
            event(json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}})),
            event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})),
            event(json!({"type": "content_block_start", "index": 1,
                         "content_block": {"type": "tool_use", "id": "a", "name": "exec", "input": {}}})),
            event(json!({"type": "content_block_delta", "index": 1,
                         "delta": {"type": "input_json_delta", "partial_json": arguments}})),
            event(
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}),
            ),
            event(json!({"type": "message_stop"})),
        ]
        .concat(),
        Kind::OpenAi => [
            event(json!({"choices": [{"delta": {"content": text}}]})),
            event(json!({"choices": [{"delta": {"tool_calls": [
                {"index": 0, "id": "a", "function": {"name": "exec", "arguments": arguments}}]}}]})),
            event(json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})),
            event(json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}})),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat(),
        Kind::Ollama => {
            let call = json!({"function": {"name": "exec", "arguments": {"script": arguments}}});
            let line = json!({"message": {"content": text, "tool_calls": [call]}, "done": true, "eval_count": 5});
            format!("{line}\n")
        }
    }
}

async fn ask(provider: &Provider) -> Result<ModelReply, ModelFailure> {
    call(provider, &request("m", said("x"))).await.0
}

#[tokio::test]
async fn what_is_too_much_is_broken_off_and_said() {
    let (text, arguments) = ("x".repeat(10 << 20), format!("{{\"script\": \"{}\"}}", "y".repeat(1 << 20)));
    for kind in KINDS {
        let cases = [
            (text.clone(), "{}".to_owned()),
            ("ok".to_owned(), arguments.clone()),
            ("z".repeat(300 << 10), String::new()),
        ];
        for (text, arguments) in cases {
            let whole = ok(stream(kind, &text, &arguments));
            let server = Raw::start(move |_, _| Answer::Bytes(whole.clone()));
            let failure = ask(&provider(kind, &server.url)).await.unwrap_err();
            assert_eq!((failure.kind, failure.may_cost), (FailureKind::Broken, true), "{kind:?}");
            assert!(failure.why.contains("KiB"), "{}", failure.why);
        }
        let whole = ok(stream(kind, "fine", "{\"script\": \"ls\"}"));
        let server = Raw::start(move |_, _| Answer::Bytes(whole.clone()));
        assert_eq!(ask(&provider(kind, &server.url)).await.unwrap().stop, ModelStop::Tools, "{kind:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_is_no_reply() {
    let client = dialler();
    for kind in KINDS {
        let whole = stream(kind, "Some text", "{\"script\": \"ls\"}");
        let end = whole.trim_end().len();
        let served = whole.clone();
        let server = Raw::start(move |path, _| {
            let cut: usize = path.split('/').nth(1).unwrap().parse().unwrap();
            Answer::Bytes(ok(&served.as_bytes()[..cut]))
        });
        let cuts = (0..end).filter(|cut| cut % 5 == 0 || cut + 20 > end).chain([end, whole.len()]);
        for cut in cuts {
            let here = endpoint(kind, &format!("{}/{cut}/v1", server.url));
            let reply = ask(&Provider::new(here, &client, waits()).unwrap()).await;
            assert_eq!(reply.is_ok(), cut >= end, "{kind:?} cut at {cut} of {end}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_flood_ends_at_the_limits_whatever_it_is_made_of() {
    let padding = "x".repeat(1000);
    let floods = [
        (Kind::Anthropic, format!("data: {padding}")),
        (Kind::OpenAi, format!(": {padding}\n\n")),
        (Kind::OpenAi, format!("data: {{\"other\": \"{padding}\"}}\n\n")),
        (Kind::Ollama, padding.clone()),
        (Kind::Ollama, format!("{{\"message\": {{\"thinking\": \"{padding}\"}}}}\n")),
    ];
    for (kind, piece) in floods {
        let many = piece.repeat(64).into_bytes();
        let server = Raw::start(move |_, _| Answer::Endless(ok(""), many.clone()));
        let failure = ask(&provider(kind, &server.url)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Broken, "{kind:?}: {}", failure.why);
        assert!(failure.why.contains("KiB"), "{}", failure.why);
    }
}

#[tokio::test]
async fn an_endless_error_page_is_cut() {
    let head = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n".to_vec();
    let server = Raw::start(move |_, _| Answer::Endless(head.clone(), vec![b'x'; 1 << 16]));
    let failure = ask(&provider(Kind::OpenAi, &server.url)).await.unwrap_err();
    assert_eq!((failure.kind, failure.may_cost), (FailureKind::Refused, false));
    assert!(failure.why.len() < 500, "{}", failure.why);
    let server = Raw::start(move |_, _| Answer::Endless(ok(""), vec![b'['; 1 << 16]));
    assert_eq!(provider(Kind::OpenAi, &server.url).models().await.unwrap_err().kind, FailureKind::Broken);
}

#[tokio::test]
async fn silence_ends_a_call_at_each_of_its_limits() {
    let short = Duration::from_millis(300);
    let begun = b"HTTP/1.1 200 OK\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".to_vec();
    let cases = [
        ("no byte", Answer::Hangs(Vec::new()), Waits { first_byte: short, ..waits() }),
        ("headers only", Answer::Hangs(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Waits { first_byte: short, ..waits() }),
        ("half a reply", Answer::Hangs(begun.clone()), Waits { silence: short, ..waits() }),
        ("all of it", Answer::Hangs(begun), Waits { total: short, ..waits() }),
    ];
    for (what, answer, waits) in cases {
        let server = Raw::start(move |_, _| answer.clone());
        let provider = Provider::new(endpoint(Kind::OpenAi, &server.url), &dialler(), waits).unwrap();
        let failure = ask(&provider).await.unwrap_err();
        assert_eq!((failure.kind, failure.may_cost), (FailureKind::Timeout, true), "{what}: {}", failure.why);
    }
}

#[tokio::test]
async fn a_stopped_call_ends_at_once_and_may_cost_once_it_was_sent() {
    let begun = b"HTTP/1.1 200 OK\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".to_vec();
    let server = Raw::start(move |_, _| Answer::Hangs(begun.clone()));
    let provider = provider(Kind::OpenAi, &server.url);
    let (sender, mut deltas) = unbounded_channel();
    let cancel = CancellationToken::new();
    let asked = request("m", said("x"));
    let stop = async {
        assert_eq!(deltas.recv().await, Some(Delta::Text("x".to_owned())));
        cancel.cancel();
    };
    let (reply, ()) = tokio::join!(provider.call(&asked, sender, cancel.clone()), stop);
    let failure = reply.unwrap_err();
    assert_eq!((failure.kind, failure.may_cost), (FailureKind::Cancelled, true));

    let busy =
        Raw::start(|_, _| Answer::Bytes(b"HTTP/1.1 429 No\r\nretry-after: 50\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let provider = crate::provider(Kind::OpenAi, &busy.url);
    let (sender, mut deltas) = unbounded_channel();
    let cancel = CancellationToken::new();
    let stop = async {
        assert!(matches!(deltas.recv().await, Some(Delta::Waiting(_))));
        cancel.cancel();
    };
    let (reply, ()) = tokio::join!(provider.call(&asked, sender.clone(), cancel.clone()), stop);
    let failure = reply.unwrap_err();
    assert_eq!((failure.kind, failure.may_cost), (FailureKind::Cancelled, false), "nothing was accepted yet");
    let failure = provider.call(&asked, sender, cancel).await.unwrap_err();
    assert_eq!((failure.kind, failure.may_cost), (FailureKind::Cancelled, false), "it was stopped before");
    assert_eq!(busy.seen().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_tried_twice_and_costs_nothing() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for kind in KINDS {
        let provider = provider(kind, &format!("http://{free}"));
        let (reply, deltas) = call(&provider, &request("m", said("x"))).await;
        let failure = reply.unwrap_err();
        assert_eq!((failure.kind, failure.may_cost), (FailureKind::Unreachable, false), "{}", failure.why);
        assert_eq!(waited(&deltas), 1, "one retry: {deltas:?}");
        assert!(failure.why.contains(&free.to_string()), "{}", failure.why);
    }
}

#[tokio::test]
async fn no_redirect_is_followed_and_no_key_goes_elsewhere() {
    let elsewhere = Raw::start(|_, _| Answer::Bytes(ok("")));
    let there = elsewhere.url.clone();
    let server = Raw::start(move |_, _| {
        Answer::Bytes(format!("HTTP/1.1 307 Go\r\nlocation: {there}/v1/x\r\ncontent-length: 0\r\n\r\n").into_bytes())
    });
    for kind in KINDS {
        let failure = ask(&provider(kind, &server.url)).await.unwrap_err();
        assert_eq!((failure.kind, failure.may_cost), (FailureKind::Refused, false), "{}", failure.why);
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
    let sent = server.seen();
    let header = |request: &String, name: &str| request.to_ascii_lowercase().contains(name);
    assert!(header(&sent[0], "x-api-key: sk-test-0123456789\r\n") && header(&sent[0], "anthropic-version: 2023-06-01"));
    assert!(header(&sent[1], "authorization: bearer sk-test-0123456789\r\n"));
    assert!(sent.iter().all(|request| !request.lines().next().unwrap().contains("sk-test")), "{sent:?}");
}

#[tokio::test]
async fn a_key_that_comes_back_in_any_answer_is_not_told() {
    let key = "sk-test-0123456789";
    let long = format!("{}{key}", "x".repeat(290));
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": long}}).to_string();
    let status = format!("HTTP/1.1 400 No\r\ncontent-length: {}\r\n\r\n{error}", error.len()).into_bytes();
    for answer in [status, ok(format!("data: {error}\n\n"))] {
        let server = Raw::start(move |_, _| Answer::Bytes(answer.clone()));
        for kind in [Kind::Anthropic, Kind::OpenAi] {
            let failure = ask(&provider(kind, &server.url)).await.unwrap_err();
            assert!(!failure.why.contains("sk-test") && !failure.why.contains("sk-te"), "{}", failure.why);
        }
    }
    assert!(!format!("{:?}", provider(Kind::OpenAi, "http://127.0.0.1:1")).contains(key));
}

#[tokio::test]
async fn a_name_without_tls_is_dialled_only_when_it_is_listed_and_near() {
    let server = Raw::start(|_, _| Answer::Bytes(ok(stream(Kind::OpenAi, "near", "{}"))));
    let port = server.url.rsplit(':').next().unwrap();
    let reply = ask(&provider(Kind::OpenAi, &format!("http://localhost:{port}"))).await.unwrap();
    assert_eq!(reply.text, "near");
    assert!(Provider::new(endpoint(Kind::OpenAi, &format!("http://far.example:{port}")), &dialler(), waits()).is_err());
    let rules = ClientRules { plain_http_hosts: vec!["far.example".to_owned()], ..ClientRules::default() };
    let provider =
        Provider::new(endpoint(Kind::OpenAi, "http://far.example"), &client(rules).unwrap(), waits()).unwrap();
    assert_eq!(ask(&provider).await.unwrap_err().kind, FailureKind::Unreachable);
}

#[tokio::test]
async fn a_model_behind_a_socket_is_reached() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.sock");
    let whole = ok(stream(Kind::OpenAi, "by socket", "{}"));
    let server = Raw::start_at(&path, move |_, _| Answer::Bytes(whole.clone()));
    let reply = ask(&provider(Kind::OpenAi, &server.url)).await.unwrap();
    assert_eq!(reply.text, "by socket");
    assert!(server.seen()[0].starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{:?}", server.seen());
}

#[tokio::test]
async fn servers_that_speak_openai_their_own_way_are_understood() {
    let event = |value: serde_json::Value| format!("data: {value}\r\n\r\n");
    let calls = |value: serde_json::Value| event(json!({"choices": [{"delta": {"tool_calls": value}}]}));
    let body = [
        event(json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": null}}], "usage": null})),
        // No index, whole arguments, one of them as an object.
        calls(json!([{"id": "a", "function": {"name": "exec", "arguments": "{\"script\":\"ls\"}"}}])),
        calls(json!([{"id": "b", "function": {"name": "exec", "arguments": {"script": "id"}}}])),
        event(json!({"choices": [{"index": 1, "delta": {"content": "another choice"}}]})),
        event(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})),
        event(json!({"choices": null, "usage": {"prompt_tokens": 100, "completion_tokens": 7,
                     "prompt_tokens_details": {"cached_tokens": 80}}})),
        "data:[DONE]\r\n\r\n".to_owned(),
    ]
    .concat();
    let server = Raw::start(move |_, _| Answer::Bytes(ok(&body)));
    let reply = ask(&provider(Kind::OpenAi, &server.url)).await.unwrap();
    let made: Vec<_> = reply.calls.iter().map(|one| (one.id.as_str(), one.arguments["script"].clone())).collect();
    assert_eq!(made, [("a", json!("ls")), ("b", json!("id"))]);
    assert_eq!((reply.text.as_str(), reply.stop), ("", ModelStop::Tools));
    assert_eq!(reply.usage, Some(TokenUsage { input: 20, output: 7, cache_read: 80, cache_write: 0 }));
}

#[tokio::test]
async fn a_refusal_is_a_reply_that_says_so() {
    let event = |value: serde_json::Value| format!("data: {value}\n\n");
    let bodies = [
        event(json!({"choices": [{"delta": {"refusal": "I will not."}, "finish_reason": "stop"}]})),
        event(json!({"choices": [{"delta": {}, "finish_reason": "content_filter"}]})),
    ];
    for body in bodies {
        let server = Raw::start(move |_, _| Answer::Bytes(ok(format!("{body}data: [DONE]\n\n"))));
        assert_eq!(ask(&provider(Kind::OpenAi, &server.url)).await.unwrap().stop, ModelStop::Refusal);
    }
}
