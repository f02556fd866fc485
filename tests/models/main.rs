//! The model providers against servers that others wrote, against recorded streams, and against the
//! providers' own types.
//!
//! Needs Python 3 with `venv`, and PyPI: the tests make their environment under `target/` themselves.
#![cfg(test)]

mod bodies;
mod fakellm;
mod hostile;
mod llmock;
mod ollama;
mod python;
mod raw;
mod recorded;
mod tls;

use std::time::Duration;

use castoff::domain::ids::{CallId, PersonId, TurnId};
use castoff::domain::model::{
    Delta, ModelFailure, ModelMessage, ModelName, ModelReply, ModelRequest, ToolCall, ToolSpec,
};
use castoff::model::{Client, ClientRules, Endpoint, Kind, Provider, Waits, client};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// No test waits for what should not come longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

fn waits() -> Waits {
    Waits { first_byte: PATIENCE, silence: PATIENCE, backoff: Duration::from_millis(100), ..Waits::of(Kind::OpenAi) }
}

fn dialler() -> Client {
    client(ClientRules::default()).unwrap()
}

fn endpoint(kind: Kind, base_url: &str) -> Endpoint {
    let key = Some("sk-test-0123456789".to_owned().into());
    Endpoint { name: "here".to_owned(), kind, base_url: base_url.to_owned(), key, context_tokens_max: None }
}

fn provider(kind: Kind, base_url: &str) -> Provider {
    Provider::new(endpoint(kind, base_url), &dialler(), waits()).unwrap()
}

fn request(model: &str, messages: Vec<ModelMessage>) -> ModelRequest {
    ModelRequest {
        call: CallId::from_random([1; 11]),
        turn: TurnId::from_random([2; 11]),
        person: PersonId::owner(),
        model: ModelName::try_from(format!("here/{model}")).unwrap(),
        system: "You are a test.".to_owned(),
        messages,
        tools: Vec::new(),
        output_tokens_max: 1000,
    }
}

fn tools() -> Vec<ToolSpec> {
    let schema = json!({
        "type": "object", "properties": {"script": {"type": "string"}}, "required": ["script"],
        "additionalProperties": false
    });
    vec![
        ToolSpec { name: "exec", description: "Runs a shell script.".to_owned(), schema: schema.clone() },
        ToolSpec { name: "read_file", description: "Reads a file.".to_owned(), schema },
    ]
}

fn said(text: &str) -> Vec<ModelMessage> {
    vec![ModelMessage::Person(text.to_owned())]
}

fn result_of(call: &ToolCall, text: &str) -> ModelMessage {
    ModelMessage::Tool { call: call.id.clone(), name: call.name.clone(), text: text.to_owned(), failed: false }
}

/// The reply and all deltas that came before it.
async fn call(provider: &Provider, request: &ModelRequest) -> (Result<ModelReply, ModelFailure>, Vec<Delta>) {
    let (sender, mut deltas) = unbounded_channel();
    let reply = provider.call(request, sender, CancellationToken::new()).await;
    let mut all = Vec::new();
    while let Some(delta) = deltas.recv().await {
        all.push(delta);
    }
    (reply, all)
}

fn shown_text(deltas: &[Delta]) -> String {
    let text = |delta: &Delta| match delta {
        Delta::Text(text) => text.clone(),
        Delta::Tool(_) | Delta::Waiting(_) => String::new(),
    };
    deltas.iter().map(text).collect()
}

fn waited(deltas: &[Delta]) -> usize {
    deltas.iter().filter(|delta| matches!(delta, Delta::Waiting(_))).count()
}
