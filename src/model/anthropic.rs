//! Anthropic's Messages API, version 2023-06-01, streamed: docs.claude.com, "Messages" and
//! "Streaming Messages". Tools, instructions and the last two turns of the conversation are marked
//! for its prompt cache, so that each call reads what the one before wrote.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Endpoint;
use super::dialect::{Dialect, Reading, names, written};
use super::draft::Draft;
use super::failure::Fault;
use super::frames::Framing;
use super::history::{self, Answered, Part};
use crate::domain::model::{ModelRequest, ModelStop, TokenUsage};

#[derive(Debug)]
pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn body(&self, _: &Endpoint, request: &ModelRequest) -> Vec<u8> {
        let mut tools: Vec<Tool> = (request.tools.iter())
            .map(|tool| Tool {
                name: history::tool_name(tool.name),
                description: &tool.description,
                input_schema: &tool.schema,
                cache_control: None,
            })
            .collect();
        if let Some(last) = tools.last_mut() {
            last.cache_control = CACHED;
        }
        let system = (!request.system.trim().is_empty())
            .then(|| vec![Block { cache_control: CACHED, content: Content::Text { text: request.system.clone() } }]);
        written(&Body {
            model: request.model.name(),
            max_tokens: request.output_tokens_max,
            stream: true,
            system,
            tools: (!tools.is_empty()).then_some(tools),
            messages: messages(history::parts(&request.messages)),
        })
    }

    fn chat_path(&self) -> &'static str {
        "v1/messages"
    }

    fn models_path(&self) -> &'static str {
        "v1/models?limit=1000"
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
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<Vec<Block>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool<'a>>>,
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: String,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: Vec<Block>,
}

#[derive(Serialize)]
struct Block {
    #[serde(flatten)]
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    Text { text: String },
    ToolUse { id: String, name: String, input: Value },
    ToolResult { tool_use_id: String, content: String, is_error: bool },
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
}

const CACHED: Option<CacheControl> = Some(CacheControl { r#type: "ephemeral" });

/// Alternating messages: results of calls and the person's words after them are one.
fn messages(parts: Vec<Part>) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for part in parts {
        match part {
            Part::Person(text) => said_to_model(&mut messages, vec![block(Content::Text { text })]),
            Part::Model { text, calls } => {
                let mut content = Vec::new();
                if !text.is_empty() {
                    content.push(block(Content::Text { text }));
                }
                let mut results = Vec::new();
                for Answered { id, name, arguments, result, failed } in calls {
                    content.push(block(Content::ToolUse { id: id.clone(), name, input: arguments }));
                    results.push(block(Content::ToolResult { tool_use_id: id, content: result, is_error: failed }));
                }
                messages.push(Message { role: "assistant", content });
                if !results.is_empty() {
                    said_to_model(&mut messages, results);
                }
            }
        }
    }
    // The last one is written to the cache; the one before it was the last of the call before.
    let last_two = messages.iter_mut().rev().filter(|message| message.role == "user").take(2);
    last_two.filter_map(|message| message.content.last_mut()).for_each(|block| block.cache_control = CACHED);
    messages
}

fn said_to_model(messages: &mut Vec<Message>, content: Vec<Block>) {
    match messages.last_mut() {
        Some(message) if message.role == "user" => message.content.extend(content),
        Some(_) | None => messages.push(Message { role: "user", content }),
    }
}

fn block(content: Content) -> Block {
    Block { content, cache_control: None }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Opened,
    },
    ContentBlockDelta {
        index: u64,
        delta: Piece,
    },
    MessageDelta {
        delta: End,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Opened {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct End {
    stop_reason: Option<String>,
}

/// Counts so far; a later one replaces an earlier one of its kind.
#[derive(Default, Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

#[derive(Default)]
struct Stream {
    started: bool,
    reason: Option<ModelStop>,
    over: bool,
    usage: TokenUsage,
    /// Whether the counts of the whole reply have come.
    counted: bool,
}

impl Stream {
    fn count(&mut self, usage: &Usage) {
        let replace = |to: &mut u64, from: Option<u64>| *to = from.unwrap_or(*to);
        replace(&mut self.usage.input, usage.input_tokens);
        replace(&mut self.usage.output, usage.output_tokens);
        replace(&mut self.usage.cache_read, usage.cache_read_input_tokens);
        replace(&mut self.usage.cache_write, usage.cache_creation_input_tokens);
    }
}

impl Reading for Stream {
    fn take(&mut self, event: &[u8], draft: &mut Draft) -> Result<(), Fault> {
        match serde_json::from_slice::<Event>(event).map_err(|_error| Fault::not_json())? {
            Event::Error { error } => Err(Fault::said(&error)),
            Event::MessageStart { message } => {
                self.started = true;
                self.count(&message.usage.unwrap_or_default());
                Ok(())
            }
            Event::ContentBlockStart { index, content_block } => match content_block {
                Opened::Text { text } => draft.text(&text),
                Opened::ToolUse { id, name } => draft.call(index, &id, &name),
                Opened::Other => Ok(()),
            },
            Event::ContentBlockDelta { index, delta } => match delta {
                Piece::TextDelta { text } => draft.text(&text),
                Piece::InputJsonDelta { partial_json } => draft.arguments(index, &partial_json),
                Piece::Other => Ok(()),
            },
            Event::MessageDelta { delta, usage } => {
                if let Some(usage) = usage {
                    self.count(&usage);
                    self.counted = self.started && usage.output_tokens.is_some();
                }
                self.reason = delta.stop_reason.as_deref().map(stop).or(self.reason);
                Ok(())
            }
            Event::MessageStop => {
                self.over = self.started;
                Ok(())
            }
            Event::Other => Ok(()),
        }
    }

    fn stop(&self) -> Option<ModelStop> {
        self.reason.filter(|_| self.over)
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.counted.then_some(self.usage)
    }
}

fn stop(reason: &str) -> ModelStop {
    match reason {
        "tool_use" => ModelStop::Tools,
        "max_tokens" | "model_context_window_exceeded" => ModelStop::Length,
        "refusal" => ModelStop::Refusal,
        _ => ModelStop::End,
    }
}
