//! `castoff setup`, from end to end: the five questions at a terminal, and the same by flags. Pairing with
//! Telegram has its own stories in `tests/telegram_chat`.
#![cfg(test)]

#[expect(dead_code, reason = "what only other stories use")]
mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use common::{Castoff, Live};
use serde_json::{Value, json};

const KEY: &str = "sk-right-0123456789";
const PRICES: &str = "as_of: 2026-11-01\nprices:\n  openai/*: { input: 3, output: 15 }\n";
const TOOLS: &str = "# Mine.\nrequire_approval: [\"delete\"]\n";

/// An Ollama with two models, and a server of OpenAI's interface that takes one key.
struct Models {
    url: String,
    /// What was asked for, in order.
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Models {
    fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let app = Router::new()
            .route(
                "/api/tags",
                get(async || Json(json!({ "models": [{ "name": "mistral:7b" }, { "name": "llama3.3:latest" }] }))),
            )
            .route("/api/show", post(show))
            .route("/v1/models", get(list))
            .route("/v1/chat/completions", post(complete))
            .layer(axum::middleware::map_request(move |request: axum::extract::Request| {
                heard.lock().unwrap().push(request.uri().path().to_owned());
                std::future::ready(request)
            }));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, _runtime: runtime }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// A Castoff that knows these, a cloud provider that cannot be reached, and no model.
    fn castoff(&self) -> Castoff {
        let settings = format!(
            "providers:\n  ollama: {{ base_url: \"{0}\" }}\n  openai: {{ base_url: \"{0}/v1\" }}\n  anthropic: {{ base_url: \
             \"https://model.invalid\" }}\n",
            self.url
        );
        Castoff::start(&[("settings.yaml", &settings), ("prices.yaml", PRICES), ("tools.yaml", TOOLS)])
    }
}

async fn show(Json(body): Json<Value>) -> Response {
    if body["model"] != "llama3.3:latest" {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": "model not found" }))).into_response();
    }
    Json(json!({ "capabilities": ["completion", "tools"], "model_info": { "general.architecture": "llama" } }))
        .into_response()
}

fn refused(headers: &HeaderMap) -> Option<Response> {
    let right = headers.get("authorization").is_some_and(|given| *given == format!("Bearer {KEY}"));
    let error = json!({ "error": { "message": "Incorrect API key", "code": "invalid_api_key" } });
    (!right).then(|| (StatusCode::UNAUTHORIZED, Json(error)).into_response())
}

async fn list(headers: HeaderMap) -> Response {
    let models = json!({ "object": "list", "data": [{ "id": "model-b" }, { "id": "model-a" }] });
    refused(&headers).unwrap_or_else(|| Json(models).into_response())
}

async fn complete(headers: HeaderMap) -> Response {
    let chunk = |delta: Value, end: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": end });
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] })
    };
    let usage = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                        "usage": { "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 } });
    let words = chunk(json!({ "role": "assistant", "content": "Yes." }), Value::Null);
    let body =
        format!("data: {words}\n\ndata: {}\n\ndata: {usage}\n\ndata: [DONE]\n\n", chunk(json!({}), json!("stop")));
    refused(&headers).unwrap_or_else(|| ([("content-type", "text/event-stream")], body).into_response())
}

/// Answers questions in order: what is waited for, and what is typed then.
fn answers(setup: &mut Live, answers: &[(&str, &str)]) {
    for (question, answer) in answers {
        setup.until(question);
        setup.types(format!("{answer}\r").as_bytes());
    }
}

/// Another directory of the files uid, beside the workspace.
fn directory(castoff: &Castoff, name: &str) -> PathBuf {
    let directory = castoff.root().join(name);
    fs::create_dir(&directory).unwrap();
    castoff.give(&directory);
    directory
}

#[test]
fn a_newcomer_answers_and_has_a_local_model_a_workspace_and_a_cap() {
    let models = Models::start();
    let castoff = models.castoff();
    let place = directory(&castoff, "projects");
    let mut setup = castoff.at_terminal(&["setup"]);
    answers(&mut setup, &[("1, 2, 3 or Enter", "1"), ("Which model", "1")]);
    answers(&mut setup, &[("Bot token", ""), ("Directory (Enter", place.to_str().unwrap()), ("Daily cap", "2.50")]);
    let said = setup.finish().ended(0).stdout;
    for shown in [
        "1  llama3.3:latest",
        "2  mistral:7b",
        "ollama/llama3.3:latest answers",
        "Nothing is sent to a cloud provider.",
        &format!("`{}` is a workspace now", place.display()),
        "`ollama` may cost $2.50 a day",
        "castoff chat",
    ] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
    assert!(!said.contains("will be sent to") && !said.contains("API key"), "{said}");
    let shown = castoff.castoff(&["config"]).ended(0).stdout;
    assert!(shown.contains("model: ollama/llama3.3:latest"), "{shown}");
    castoff.run_in(&place, &["run", "--", "echo here > here"]).ended(0);
    assert_eq!(fs::read_to_string(place.join("here")).unwrap(), "here\n");
    let tools = fs::read_to_string(castoff.home().join("config/tools.yaml")).unwrap();
    assert!(tools.starts_with(TOOLS), "{tools}");
}

#[test]
fn a_provider_with_a_key_is_asked_for_its_models_and_the_key_is_never_shown() {
    let models = Models::start();
    let castoff = models.castoff();
    let rest = [("Bot token", ""), ("Directory (Enter", ""), ("Daily cap", "")];
    let mut setup = castoff.at_terminal(&["setup"]);
    answers(&mut setup, &[("1, 2, 3 or Enter", "3"), ("API key", "sk-wrong")]);
    answers(&mut setup, &rest);
    let said = setup.finish().ended(0).stdout;
    assert!(said.contains("(skipped)") && !said.contains("Which model") && !said.contains("sk-wrong"), "{said}");
    let mut setup = castoff.at_terminal(&["setup"]);
    answers(&mut setup, &[("1, 2, 3 or Enter", "3"), ("API key", KEY), ("Which model", "model-b")]);
    answers(&mut setup, &rest);
    let said = setup.finish().ended(0).stdout;
    assert!(
        said.contains("1  model-a") && said.contains("openai/model-b answers") && said.contains("sealed"),
        "{said}"
    );
    assert!(!said.contains(KEY), "{said}");
    castoff.run_in(castoff.root(), &["chat", "well?"]).ended(0);
    assert_eq!(models.asked().iter().filter(|path| *path == "/v1/models").count(), 2);
}

#[test]
fn what_a_cloud_model_is_sent_is_said_before_it_is_called() {
    let models = Models::start();
    let castoff = models.castoff();
    let notice = ["will be sent to https://model.invalid; nothing else is", "`castoff config --model ollama/NAME`"];
    // At the questions before there is a key, by flags before the trial, which cannot succeed here.
    let mut setup = castoff.at_terminal(&["setup"]);
    answers(&mut setup, &[("1, 2, 3 or Enter", "2")]);
    setup.until("API key (not shown");
    assert!(notice.iter().all(|part| setup.said().contains(part)), "{}", setup.said());
    drop(setup);
    for command in ["setup", "config"] {
        let words = [command, "--model", "anthropic/model-x", "--api-key", KEY];
        let answer = castoff.castoff(&words);
        assert_ne!(answer.code, 0, "{answer:?}");
        let (before, after) = answer.stderr.split_once(notice[1]).unwrap_or_else(|| panic!("{answer:?}"));
        assert!(before.contains(notice[0]) && after.contains("castoff: "), "{answer:?}");
        answer.says(&["the API key now stands in your shell's history"]);
    }
    let shown = castoff.castoff(&["config"]).ended(0).stdout;
    assert!(shown.contains("model: none"), "{shown}");
    let local = castoff.castoff(&["setup", "--model", "ollama/llama3.3:latest"]).ended(0);
    assert!(!local.stderr.contains("will be sent"), "{local:?}");
    // As well while no core runs.
    castoff.stop();
    let answer = castoff.castoff(&["config", "--model", "anthropic/model-x", "--api-key", KEY]);
    assert_ne!(answer.code, 0, "{answer:?}");
    answer.says(&notice);
}

#[test]
fn flags_set_up_what_the_questions_would() {
    let models = Models::start();
    let castoff = models.castoff();
    let key = castoff.castoff(&["setup", "--model", "openai/model-a", "--api-key", KEY]).ended(0);
    let key = key.says(&["openai/model-a answers", "the API key now stands in your shell's history"]);
    assert!(!format!("{key:?}").contains(KEY), "{key:?}");
    castoff.castoff(&["setup", "--owner-telegram-id", "4242"]).ended(0).says(&["Telegram id 4242 is the owner's"]);
    let people = castoff.castoff(&["audit", "list"]).ended(0).stdout;
    assert!(people.contains("owner-telegram-id"), "{people}");

    let (one, two) = (directory(&castoff, "one"), directory(&castoff, "two"));
    let workspace = |path: &PathBuf| castoff.castoff(&["setup", "--workspace", path.to_str().unwrap()]);
    workspace(&one).ended(0).says(&["is a workspace now"]);
    workspace(&two).ended(0).says(&["is a workspace now"]);
    workspace(&one).ended(0).says(&["is a workspace already"]);
    for path in [&one, &two] {
        castoff.run_in(path, &["run", "--", "echo here > here"]).ended(0);
        assert!(path.join("here").exists());
    }
    let three = directory(&castoff, "three");
    let mine = format!("files: {{ allowed_paths: [\"{}\"] }}\n", one.display());
    castoff.configure("tools.yaml", &mine);
    workspace(&three).ended(65).says(&["not added", "hint: add this to `allowed_paths:`", three.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(castoff.home().join("config/tools.yaml")).unwrap(), mine);
    let missing = castoff.castoff(&["setup", "--workspace", "/nowhere/at/all"]);
    assert_ne!(missing.code, 0);
    missing.says(&["there is no directory `/nowhere/at/all`"]);
}
