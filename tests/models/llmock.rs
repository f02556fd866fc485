//! Both cloud APIs against llmock, which breaks what can break and then judges its client.

use castoff::domain::ids::CallId;
use castoff::domain::model::{Delta, FailureKind, ModelMessage, ModelName, ModelStop};
use castoff::model::{Kind, Provider};
use serde_json::{Value, json};

use crate::python::Server;
use crate::{call, provider, request, result_of, said, shown_text, tools, waited};

struct Llmock {
    server: Server,
    http: reqwest::Client,
}

impl Llmock {
    fn start() -> Self {
        let server = Server::start("llmock.main:app", &[("LLMOCK_RESPONSE_STYLE", "static")]);
        crate::dialler();
        Self { server, http: reqwest::Client::new() }
    }

    fn providers(&self) -> Vec<(Kind, Provider)> {
        let url = &self.server.url;
        vec![
            (Kind::Anthropic, provider(Kind::Anthropic, &format!("{url}/anthropic"))),
            (Kind::OpenAi, provider(Kind::OpenAi, &format!("{url}/v1"))),
        ]
    }

    async fn script(&self, behaviors: Value) {
        let url = format!("{}/_llmock/scenario", self.server.url);
        let answer = self.http.post(url).json(&json!({"behaviors": behaviors})).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn get(&self, what: &str) -> Value {
        self.http.get(format!("{}/_llmock/{what}", self.server.url)).send().await.unwrap().json().await.unwrap()
    }

    /// llmock finds no fault, not even one to warn of, in at least `calls` calls.
    async fn judge(&self, calls: u64) {
        let verdict = self.get("verdict").await;
        assert_eq!(verdict["findings"], json!([]), "{verdict:#}\n{}", self.server.log());
        assert_eq!(verdict["passed"], true);
        assert!(verdict["calls"].as_u64().unwrap() >= calls, "{verdict}");
    }

    async fn attempts(&self) -> u64 {
        self.get("requests").await["count"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn text_and_parallel_tool_calls_come_whole_and_go_back_in_pairs() {
    let llmock = Llmock::start();
    for (kind, provider) in llmock.providers() {
        let (reply, deltas) = call(&provider, &request("model-x", said("hello"))).await;
        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("Mock response from model-x.", ModelStop::End), "{kind:?}");
        assert_eq!(shown_text(&deltas), reply.text);
        let counted = reply.usage.is_some_and(|usage| usage.input > 0 && usage.output > 0);
        assert!(counted && reply.calls.is_empty(), "{reply:?}");

        let made = json!([
            {"name": "exec", "arguments": {"script": "printf 'ü\\n' | wc -c"}},
            {"name": "read_file", "arguments": {"script": "x".repeat(300)}},
        ]);
        llmock.script(json!([{"type": "reply", "text": "Let me see.", "tool_calls": made}])).await;
        let mut asked = request("model-x", said("do both"));
        asked.tools = tools();
        let (reply, deltas) = call(&provider, &asked).await;
        let reply = reply.unwrap();
        let calls: Vec<_> =
            reply.calls.iter().map(|one| json!({"name": one.name, "arguments": one.arguments})).collect();
        assert_eq!((json!(calls), reply.stop), (made, ModelStop::Tools), "{kind:?}");
        let begun = |name: &str| deltas.contains(&Delta::Tool(name.to_owned()));
        assert!(begun("exec") && begun("read_file"), "{deltas:?}");

        asked.messages.push(ModelMessage::Model { text: reply.text.clone(), calls: reply.calls.clone() });
        asked.messages.extend(reply.calls.iter().map(|one| result_of(one, "3")));
        let (reply, _) = call(&provider, &asked).await;
        assert_eq!(reply.unwrap().stop, ModelStop::End, "{kind:?}");
    }
    llmock.judge(6).await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_asked_once_and_told_clearly() {
    let llmock = Llmock::start();
    let cases = [
        (400, FailureKind::Refused),
        (401, FailureKind::Key),
        (403, FailureKind::Key),
        (404, FailureKind::UnknownModel),
        (413, FailureKind::TooLong),
    ];
    for (kind, provider) in llmock.providers() {
        for (status, expected) in cases {
            let before = llmock.attempts().await;
            // The words of the real providers: llmock's own do not name the model.
            let message = if status == 404 { "The model `model-x` does not exist" } else { "No." };
            llmock.script(json!([{"type": "fail", "status": status, "message": message}])).await;
            let (reply, _) = call(&provider, &request("model-x", said(&format!("{kind:?} {status}")))).await;
            let failure = reply.unwrap_err();
            assert_eq!((failure.kind, failure.may_cost), (expected, false), "{kind:?} {status}: {}", failure.why);
            assert!(!failure.why.contains("sk-test"), "{}", failure.why);
            assert_eq!(llmock.attempts().await, before + 1, "{kind:?} {status}");
        }
    }
    llmock.judge(10).await;
}

#[tokio::test]
async fn a_busy_provider_is_obeyed_a_few_times() {
    let llmock = Llmock::start();
    for (kind, provider) in llmock.providers() {
        llmock.script(json!([{"type": "fail", "status": 429, "retry_after": 1, "times": 1}])).await;
        let (reply, deltas) = call(&provider, &request("model-x", said(&format!("{kind:?} busy")))).await;
        assert_eq!((reply.unwrap().stop, waited(&deltas)), (ModelStop::End, 1), "{kind:?}: {deltas:?}");

        let overloaded = if kind == Kind::Anthropic { 529 } else { 503 };
        llmock.script(json!([{"type": "fail", "status": overloaded, "times": 2}])).await;
        let (reply, deltas) = call(&provider, &request("model-x", said(&format!("{kind:?} overloaded")))).await;
        assert_eq!((reply.unwrap().stop, waited(&deltas)), (ModelStop::End, 2), "{kind:?}: {deltas:?}");

        let before = llmock.attempts().await;
        llmock.script(json!([{"type": "fail", "status": 429, "times": 3}])).await;
        let (reply, _) = call(&provider, &request("model-x", said(&format!("{kind:?} for long")))).await;
        let failure = reply.unwrap_err();
        assert_eq!((failure.kind, failure.may_cost), (FailureKind::RateLimited, false), "{}", failure.why);
        assert_eq!(llmock.attempts().await, before + 3);

        let before = llmock.attempts().await;
        llmock.script(json!([{"type": "fail", "status": 429, "retry_after": 61, "times": 1}])).await;
        let patient = request("model-x", said(&format!("{kind:?} for too long")));
        let failure = call(&provider, &patient).await.0.unwrap_err();
        assert_eq!(failure.kind, FailureKind::RateLimited, "{}", failure.why);
        assert!(failure.why.contains("61 s"), "{}", failure.why);
        assert_eq!(llmock.attempts().await, before + 1, "asked again before it may");
    }
    let verdict = llmock.get("verdict").await;
    // Giving up at once is right when the wait is too long; nothing else is found.
    let only = |finding: &Value| finding["code"] == "gave_up";
    assert!(verdict["passed"] == true && verdict["findings"].as_array().unwrap().iter().all(only), "{verdict:#}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_no_reply_and_may_cost() {
    let llmock = Llmock::start();
    for (kind, provider) in llmock.providers() {
        for fault in ["truncate", "disconnect", "malformed"] {
            for after in [0, 1, 3] {
                llmock.script(json!([{"type": "stream_fault", "kind": fault, "after_chunks": after}])).await;
                let asked = request("model-x", said(&format!("{kind:?} {fault} {after}")));
                let failure = call(&provider, &asked).await.0.unwrap_err();
                let got = (failure.kind, failure.may_cost, failure.usage);
                assert_eq!(got, (FailureKind::Broken, true, None), "{kind:?} {fault} {after}: {}", failure.why);
                // The one further call that a turn may make.
                assert_eq!(call(&provider, &asked).await.0.unwrap().stop, ModelStop::End);
            }
        }
        llmock.script(json!([{"type": "fail", "status": 500}])).await;
        let asked = request("model-x", said(&format!("{kind:?} 500")));
        let failure = call(&provider, &asked).await.0.unwrap_err();
        assert_eq!((failure.kind, failure.may_cost), (FailureKind::Overloaded, true), "{}", failure.why);
        assert!(call(&provider, &asked).await.0.is_ok());
    }
    // llmock sends a malformed event and then all the rest at once, so it cannot see who stopped reading.
    let verdict = llmock.get("verdict").await;
    let unseen = |finding: &Value| finding["code"] == "malformed_chunk_ignored";
    assert!(verdict["passed"] == true && verdict["findings"].as_array().unwrap().iter().all(unseen), "{verdict:#}");
}

#[tokio::test]
async fn models_are_listed_and_a_key_and_model_are_tried_with_one_token() {
    let llmock = Llmock::start();
    for (kind, provider) in llmock.providers() {
        let models = provider.models().await.unwrap();
        assert!(models.len() > 2 && models.is_sorted(), "{kind:?} {models:?}");
        let model = &models[0];
        let name = ModelName::try_from(format!("mock/{model}")).unwrap();
        let trial = provider.check(&name, CallId::from_random([1; 11])).await.unwrap().unwrap();
        assert!(call(&provider, &trial).await.0.is_ok());
        llmock.script(json!([{"type": "fail", "status": 401}])).await;
        assert_eq!(call(&provider, &trial).await.0.unwrap_err().kind, FailureKind::Key, "{kind:?}");
    }
    let calls = llmock.get("requests").await;
    assert!(calls.to_string().contains("chat/completions"), "{calls}");
}

#[tokio::test]
async fn arguments_that_are_no_json_and_tools_that_do_not_exist_come_as_they_are() {
    let llmock = Llmock::start();
    for (kind, provider) in llmock.providers() {
        let mut asked = request("model-x", said("run it"));
        asked.tools = tools();
        llmock.script(json!([{"type": "tool_fault", "kind": "malformed_arguments"}])).await;
        let reply = call(&provider, &asked).await.0.unwrap();
        assert!(reply.calls[0].arguments.is_string(), "{kind:?} {reply:?}");
        asked.messages.push(ModelMessage::Model { text: String::new(), calls: reply.calls.clone() });
        asked.messages.push(result_of(&reply.calls[0], "The arguments were no JSON."));
        assert!(call(&provider, &asked).await.0.is_ok(), "{kind:?}: broken arguments go back in a form that is taken");

        llmock.script(json!([{"type": "tool_fault", "kind": "unknown_tool"}])).await;
        asked.messages = said("run something else");
        let reply = call(&provider, &asked).await.0.unwrap();
        assert_eq!(reply.calls[0].name, "llmock_unknown_tool", "{kind:?}");
    }
    llmock.judge(6).await;
}
