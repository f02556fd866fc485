//! OpenAI's chat completions, streamed, as many servers speak them: platform.openai.com/docs,
//! "Chat completions" and its stream events. What servers leave out of it is read kindly; what would
//! make a cut reply look whole is not.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Endpoint;
use super::dialect::{Dialect, Reading, names, written};
use super::draft::Draft;
use super::failure::Fault;
use super::frames::Framing;
use super::history::{self, Part};
use crate::domain::model::{ModelRequest, ModelStop, TokenUsage};

#[derive(Debug)]
pub(super) struct OpenAi;

impl Dialect for OpenAi {
    fn body(&self, endpoint: &Endpoint, request: &ModelRequest) -> Vec<u8> {
        let tools: Vec<Tool> = (request.tools.iter())
            .map(|tool| Tool {
                r#type: "function",
                function: Function {
                    name: history::tool_name(tool.name),
                    description: &tool.description,
                    parameters: &tool.schema,
                },
            })
            .collect();
        // OpenAI's newer models refuse `max_tokens`; most other servers know nothing else.
        let newer = endpoint.is_openai();
        written(&Body {
            model: request.model.name(),
            max_tokens: (!newer).then_some(request.output_tokens_max),
            max_completion_tokens: newer.then_some(request.output_tokens_max),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            tools: (!tools.is_empty()).then_some(tools),
            messages: messages(&request.system, history::parts(&request.messages)),
        })
    }

    fn chat_path(&self) -> &'static str {
        "chat/completions"
    }

    fn models_path(&self) -> &'static str {
        "models"
    }

    fn listed(&self, list: &Value) -> Vec<String> {
        names(list, "data", "id")
    }

    fn framing(&self) -> Framing {
        Framing::ServerSent
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(Stream::default())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool<'a>>>,
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: String,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Message {
    System {
        content: String,
    },
    User {
        content: String,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_calls: Option<Vec<Call>>,
    },
    Tool {
        tool_call_id: String,
        content: String,
    },
}

#[derive(Serialize)]
struct Call {
    id: String,
    r#type: &'static str,
    function: CallFunction,
}

#[derive(Serialize)]
struct CallFunction {
    name: String,
    /// JSON within JSON.
    arguments: String,
}

fn messages(system: &str, parts: Vec<Part>) -> Vec<Message> {
    let mut messages = Vec::new();
    if !system.trim().is_empty() {
        messages.push(Message::System { content: system.to_owned() });
    }
    for part in parts {
        match part {
            Part::Person(content) => messages.push(Message::User { content }),
            Part::Model { text, calls } => {
                let made: Vec<Call> = (calls.iter())
                    .map(|call| Call {
                        id: call.id.clone(),
                        r#type: "function",
                        function: CallFunction { name: call.name.clone(), arguments: call.arguments.to_string() },
                    })
                    .collect();
                messages.push(Message::Assistant {
                    content: (!text.is_empty()).then_some(text),
                    tool_calls: (!made.is_empty()).then_some(made),
                });
                let results =
                    calls.into_iter().map(|call| Message::Tool { tool_call_id: call.id, content: call.result });
                messages.extend(results);
            }
        }
    }
    messages
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Piece>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Piece {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
struct CallPiece {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    /// Text; some servers send the object itself.
    arguments: Option<Value>,
}

/// Counts of the whole reply; the cached tokens are part of the prompt's.
#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

#[derive(Default)]
struct Stream {
    reason: Option<ModelStop>,
    refused: bool,
    over: bool,
    usage: Option<TokenUsage>,
}

impl Reading for Stream {
    fn take(&mut self, event: &[u8], draft: &mut Draft) -> Result<(), Fault> {
        if event.trim_ascii() == b"[DONE]" {
            self.over = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(event).map_err(|_error| Fault::not_json())?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(Fault::said(&error));
        }
        self.usage = chunk.usage.and_then(counted).or(self.usage);
        let ours = |choice: &Choice| choice.index.unwrap_or(0) == 0;
        for choice in chunk.choices.into_iter().flatten().filter(ours) {
            self.choice(choice, draft)?;
        }
        Ok(())
    }

    fn stop(&self) -> Option<ModelStop> {
        let reason = self.reason.filter(|_| self.over)?;
        Some(if self.refused { ModelStop::Refusal } else { reason })
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }
}

impl Stream {
    fn choice(&mut self, choice: Choice, draft: &mut Draft) -> Result<(), Fault> {
        if let Some(piece) = choice.delta {
            draft.text(piece.content.as_deref().unwrap_or_default())?;
            let refusal = piece.refusal.unwrap_or_default();
            self.refused |= !refusal.is_empty();
            draft.text(&refusal)?;
            for call in piece.tool_calls.into_iter().flatten() {
                call_piece(call, draft)?;
            }
        }
        self.reason = choice.finish_reason.as_deref().map(stop).or(self.reason);
        Ok(())
    }
}

fn counted(usage: Usage) -> Option<TokenUsage> {
    let (prompt, output) = (usage.prompt_tokens?, usage.completion_tokens?);
    let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
    let cache_read = cached.min(prompt);
    Some(TokenUsage { input: prompt.saturating_sub(cache_read), output, cache_read, cache_write: 0 })
}

/// A piece of a call. Where a server counts none, a new id begins a new call.
fn call_piece(piece: CallPiece, draft: &mut Draft) -> Result<(), Fault> {
    let id = piece.id.unwrap_or_default();
    let key = match (piece.index, draft.last_key()) {
        (Some(index), _) => index,
        (None, Some(last)) if draft.begins_another(&id) => last.saturating_add(1),
        (None, Some(last)) => last,
        (None, None) => 0,
    };
    let function = piece.function.unwrap_or(FunctionPiece { name: None, arguments: None });
    draft.call(key, &id, function.name.as_deref().unwrap_or_default())?;
    match function.arguments {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) => draft.arguments(key, &text),
        Some(whole @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            draft.arguments(key, &whole.to_string())
        }
    }
}

fn stop(reason: &str) -> ModelStop {
    match reason {
        "tool_calls" | "function_call" => ModelStop::Tools,
        "length" => ModelStop::Length,
        "content_filter" => ModelStop::Refusal,
        _ => ModelStop::End,
    }
}
