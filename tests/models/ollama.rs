//! Ollama's API as its docs/api.md describes it. No server of others exists to test against, so this
//! one is pinned to Ollama's own Python client: both read the same answers, and must read the same.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use castoff::domain::ids::CallId;
use castoff::domain::model::{Delta, FailureKind, ModelFailure, ModelMessage, ModelName, ModelReply, ModelStop};
use castoff::model::{Endpoint, Kind, Provider, Waits};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::raw::{Answer, Raw, ok};
use crate::{call, dialler, endpoint, python, request, result_of, said, tools, waits};

type Bodies = Arc<Mutex<Vec<Value>>>;

struct Ollama {
    url: String,
    bodies: Bodies,
    _serving: JoinSet<()>,
}

impl Ollama {
    async fn start() -> Self {
        let bodies = Bodies::default();
        let app = Router::new()
            .route("/api/tags", get(tags))
            .route("/api/show", post(show))
            .route("/api/chat", post(chat))
            .with_state(Arc::clone(&bodies));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, bodies, _serving: serving }
    }

    fn provider(&self) -> Provider {
        let keyless = Endpoint { key: None, ..endpoint(Kind::Ollama, &self.url) };
        Provider::new(keyless, &dialler(), waits()).unwrap()
    }

    async fn ask(&self, words: &str) -> Result<ModelReply, ModelFailure> {
        let mut asked = request("llama3.3", said(words));
        asked.tools = tools();
        call(&self.provider(), &asked).await.0
    }
}

async fn tags() -> Json<Value> {
    let model = |name: &str| {
        json!({
            "name": name, "model": name, "modified_at": "2026-10-02T14:56:49.277302595-07:00", "size": 7_365_960_935_u64,
            "digest": "9f438cb9cd581fc025612d27f7c1a6669ff83a8bb0ed86c94fcf4c5440555697",
            "details": {"format": "gguf", "family": "llama", "families": null, "parameter_size": "13B",
                        "quantization_level": "Q4_0"}
        })
    };
    Json(json!({"models": [model("mistral:7b"), model("llama3.3:latest")]}))
}

fn missing(name: &Value) -> Response {
    let told = json!({"error": format!("model '{}' not found", name.as_str().unwrap_or_default())});
    (StatusCode::NOT_FOUND, Json(told)).into_response()
}

async fn show(Json(body): Json<Value>) -> Response {
    let shown = |parameters: &str, capabilities: Value| {
        Json(json!({
            "modelfile": "FROM x", "parameters": parameters, "template": "{{ .Prompt }}",
            "details": {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                        "parameter_size": "8.0B", "quantization_level": "Q4_0"},
            "model_info": {"general.architecture": "llama", "general.parameter_count": 8_030_261_248_u64,
                           "llama.context_length": 131_072, "llama.embedding_length": 4096},
            "capabilities": capabilities
        }))
        .into_response()
    };
    match body["model"].as_str() {
        Some("llama3.3") => shown("stop \"<|eot|>\"", json!(["completion", "tools"])),
        Some("small") => shown("num_ctx                        16384\nstop \"x\"", json!(["completion", "tools"])),
        Some("old") => shown("", json!(["completion", "vision"])),
        Some("alias") => Json(json!({
            "details": {"parent_model": "gpt-oss:120b-cloud"}, "capabilities": ["completion", "tools"],
            "remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443"
        }))
        .into_response(),
        _ => missing(&body["model"]),
    }
}

/// Answers by the person's last words.
async fn chat(State(bodies): State<Bodies>, Json(body): Json<Value>) -> Response {
    bodies.lock().unwrap().push(body.clone());
    if body["model"] != "llama3.3" {
        return missing(&body["model"]);
    }
    let words = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    if words == "dense" && body["truncate"] == false && body["shift"] == false {
        let told = json!({"error": "the prompt is longer than the context length currently available to the model"});
        return (StatusCode::BAD_REQUEST, Json(told)).into_response();
    }
    let piece = |message: Value, more: Value| {
        let mut line = json!({"model": "llama3.3", "created_at": "2026-11-25T08:52:19.385406455-07:00",
                              "message": message, "done": false});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let text = |content: &str| piece(json!({"role": "assistant", "content": content}), json!({}));
    let done = |reason: &str, counts: Value| {
        let mut more = json!({"done": true, "done_reason": reason, "total_duration": 4_883_583_458_u64,
                              "load_duration": 1_334_875, "eval_duration": 4_535_599_000_u64});
        more.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
        piece(json!({"role": "assistant", "content": ""}), more)
    };
    let counts = json!({"prompt_eval_count": 26, "eval_count": 282});
    let tool = |name: &str, script: &str| json!({"function": {"name": name, "arguments": {"script": script}}});
    let both = json!({"role": "assistant", "content": "", "tool_calls": [tool("exec", "ls"), tool("exec", "id")]});
    let lines = match words.as_str() {
        "tools" => vec![text("I look."), piece(both, json!({})), done("stop", counts)],
        "cached" => vec![text("Yes."), done("stop", json!({"eval_count": 3}))],
        "long" => vec![text("On and on"), done("length", counts)],
        "thinking" => vec![
            piece(json!({"role": "assistant", "content": "", "thinking": "Hm."}), json!({})),
            text("42"),
            done("stop", counts),
        ],
        "cut" => vec![text("The sky")],
        "error" => vec![text("The"), json!({"error": "an error was encountered while running the model"})],
        _ => vec![text("The sky"), text(" is blue ünd wide."), done("stop", counts)],
    };
    let lines: Vec<_> = lines.into_iter().map(|line| Ok::<_, std::io::Error>(format!("{line}\n"))).collect();
    let stream = Body::from_stream(futures_util::stream::iter(lines));
    ([("content-type", "application/x-ndjson")], stream).into_response()
}

/// Prints what Ollama's client reads: the models, the contexts, and a reply for each word of `argv`.
const CLIENT: &str = r#"
import json, sys, ollama

client = ollama.Client(host=sys.argv[1])
print(json.dumps(sorted(model.model for model in client.list().models)))
print(json.dumps([client.show(name).modelinfo["llama.context_length"] for name in ("llama3.3", "small")]))
for words in sys.argv[2:]:
    messages = [{"role": "user", "content": words}]
    text, calls = "", []
    for part in client.chat(model="llama3.3", messages=messages, stream=True):
        text += part.message.content or ""
        calls += [[call.function.name, call.function.arguments] for call in part.message.tool_calls or []]
    print(json.dumps([text, calls, part.done_reason, part.prompt_eval_count or 0, part.eval_count or 0]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn ollamas_own_client_reads_what_we_read() {
    let ollama = Ollama::start().await;
    let words = ["sky", "tools", "cached", "long", "thinking"];
    let arguments: Vec<String> = std::iter::once(ollama.url.clone()).chain(words.map(str::to_owned)).collect();
    let read = tokio::task::spawn_blocking(move || {
        python::answer(CLIENT, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"")
    });
    let read = read.await.unwrap();
    let mut lines = read.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let provider = ollama.provider();
    assert_eq!(json!(provider.models().await.unwrap()), lines.next().unwrap());
    assert_eq!(lines.next().unwrap(), json!([131_072, 131_072]));
    for word in words {
        let reply = ollama.ask(word).await;
        let reply = reply.unwrap();
        let calls: Vec<_> = reply.calls.iter().map(|one| json!([one.name, one.arguments])).collect();
        let reason = if reply.stop == ModelStop::Length { "length" } else { "stop" };
        let ours = json!([reply.text, calls, reason, reply.usage.unwrap().input, reply.usage.unwrap().output]);
        assert_eq!(ours, lines.next().unwrap(), "{word}");
        assert_eq!(reply.stop == ModelStop::Tools, word == "tools");
    }
}

#[tokio::test]
async fn calls_get_ids_of_their_own_and_results_go_back_by_name() {
    let ollama = Ollama::start().await;
    let mut asked = request("llama3.3", said("tools"));
    let reply = call(&ollama.provider(), &asked).await.0.unwrap();
    assert!(reply.calls[0].id != reply.calls[1].id && !reply.calls[0].id.is_empty(), "{reply:?}");
    asked.messages.push(ModelMessage::Model { text: reply.text, calls: reply.calls.clone() });
    asked.messages.push(result_of(&reply.calls[1], "uid=0"));
    asked.messages.push(result_of(&reply.calls[0], "a b"));
    call(&ollama.provider(), &asked).await.0.unwrap();
    let sent = ollama.bodies.lock().unwrap().pop().unwrap();
    let tool = |content: &str| json!({"role": "tool", "tool_name": "exec", "content": content});
    assert_eq!(sent["messages"].as_array().unwrap()[3..], [tool("a b"), tool("uid=0")], "{sent:#}");
}

#[tokio::test]
async fn what_goes_wrong_at_ollama_is_told_with_what_helps() {
    let ollama = Ollama::start().await;
    for (words, may_cost) in [("cut", true), ("error", true)] {
        let failure = ollama.ask(words).await.unwrap_err();
        assert_eq!((failure.kind, failure.may_cost), (FailureKind::Broken, may_cost), "{}", failure.why);
    }
    let failure = call(&ollama.provider(), &request("missing", said("x"))).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::UnknownModel);
    assert!(failure.why.contains("`ollama pull missing`"), "{}", failure.why);
}

#[tokio::test]
async fn a_prompt_that_is_longer_than_the_context_is_told_and_not_cut() {
    let ollama = Ollama::start().await;
    let failure = ollama.ask("dense").await.unwrap_err();
    assert_eq!((failure.kind, failure.may_cost), (FailureKind::TooLong, false), "{}", failure.why);
    assert!(failure.why.contains("longer than `llama3.3` takes"), "{}", failure.why);
}

#[tokio::test]
async fn a_model_is_tried_without_a_call_and_its_context_is_the_true_one() {
    let ollama = Ollama::start().await;
    let provider = ollama.provider();
    let check = async |name: &str| {
        provider.check(&ModelName::try_from(format!("ollama/{name}")).unwrap(), CallId::from_random([1; 11])).await
    };
    assert!(check("llama3.3").await.unwrap().is_none(), "it costs something");
    let failure = check("old").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.why.contains("cannot call tools"), "{}", failure.why);
    assert_eq!(check("missing").await.unwrap_err().kind, FailureKind::UnknownModel);
    // Models that Ollama passes on are not local, under whatever name.
    for name in ["gpt-oss:120b-cloud", "kimi-k2:cloud", "alias"] {
        let failure = check(name).await.unwrap_err();
        assert!(failure.why.contains("its cloud"), "{name}: {}", failure.why);
    }
    let (failure, _) = call(&provider, &request("gpt-oss:120b-cloud", said("x"))).await;
    assert!(failure.unwrap_err().why.contains("its cloud"));
    let mut contexts = Vec::new();
    for name in ["llama3.3", "small", "missing"] {
        contexts.push(provider.context_tokens(name).await);
    }
    assert_eq!(contexts, [Some(131_072), Some(16_384), None]);
    assert!(ollama.bodies.lock().unwrap().is_empty(), "a check calls no model");
}

#[tokio::test]
async fn while_a_model_is_being_loaded_it_is_said() {
    let (loaded, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = Raw::start(move |_, _| {
        wait.lock().unwrap().recv().unwrap();
        Answer::Bytes(ok("{\"message\": {\"content\": \"Here.\"}, \"done\": true}\n"))
    });
    let waits = Waits { loading: Duration::from_millis(10), ..waits() };
    let provider = Provider::new(endpoint(Kind::Ollama, &server.url), &dialler(), waits).unwrap();
    let (sender, mut deltas) = unbounded_channel();
    let asked = request("llama3.3", said("x"));
    let load = async {
        let told = deltas.recv().await.unwrap();
        assert!(matches!(&told, Delta::Waiting(what) if what.contains("`llama3.3` is being loaded")), "{told:?}");
        loaded.send(()).unwrap();
    };
    let (reply, ()) = tokio::join!(provider.call(&asked, sender, CancellationToken::new()), load);
    assert_eq!(reply.unwrap().text, "Here.");
}

#[tokio::test]
async fn a_first_load_has_a_patience_of_its_own() {
    assert_eq!(Waits::of(Kind::Ollama).first_byte, Duration::from_secs(600));
    let line = ok("{\"message\": {\"content\": \"Here.\"}, \"done\": true}\n");
    let server = Raw::start(move |_, _| Answer::Slowly(vec![Vec::new(), line.clone()], Duration::from_secs(1)));
    let provider = |first_byte| {
        let waits = Waits { first_byte, silence: Duration::from_millis(100), ..waits() };
        Provider::new(endpoint(Kind::Ollama, &server.url), &dialler(), waits).unwrap()
    };
    let asked = request("llama3.3", said("x"));
    let reply = call(&provider(Duration::from_secs(600)), &asked).await.0;
    assert_eq!(reply.unwrap().text, "Here.", "silence is counted from the first byte on");
    let failure = call(&provider(Duration::from_millis(300)), &asked).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout, "{}", failure.why);
}
