//! Ollama's own chat API, one JSON value a line: docs/api.md of Ollama, "Generate a chat completion"
//! and "Show Model Information". Ollama cuts a prompt that is longer than `num_ctx` without a word, so
//! each request asks for a context that holds it, and (`truncate`, `shift`, which an old Ollama does not
//! know) for an error where it does not.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Endpoint;
use super::dialect::{Dialect, Reading, names, written};
use super::draft::Draft;
use super::failure::Fault;
use super::frames::Framing;
use super::history::{self, Part};
use crate::domain::model::{ModelRequest, ModelStop, TokenUsage};

/// Smallest context that is asked for, in tokens. Larger ones are doubled, as each change makes
/// Ollama load the model anew.
const CONTEXT_TOKENS_MIN: u64 = 8192;
/// Bytes of a request that surely are no less than one token: dense text has two to three.
const BYTES_PER_TOKEN: u64 = 2;

#[derive(Debug)]
pub(super) struct Ollama;

impl Dialect for Ollama {
    fn body(&self, endpoint: &Endpoint, request: &ModelRequest) -> Vec<u8> {
        let tools: Vec<Tool> = (request.tools.iter())
            .map(|tool| Tool {
                r#type: "function",
                function: Function {
                    name: history::tool_name(tool.name),
                    description: &tool.description,
                    parameters: known(&tool.schema, &["type", "$defs", "items", "required", "properties"]),
                },
            })
            .collect();
        let mut body = Body {
            model: request.model.name(),
            stream: true,
            truncate: false,
            shift: false,
            options: Options { num_ctx: 0, num_predict: request.output_tokens_max },
            tools: (!tools.is_empty()).then_some(tools),
            messages: messages(&request.system, history::parts(&request.messages)),
        };
        let bytes = u64::try_from(written(&body).len()).unwrap_or(u64::MAX);
        let needed = (bytes / BYTES_PER_TOKEN).saturating_add(request.output_tokens_max.into());
        body.options.num_ctx = context(needed, endpoint.context_tokens_max);
        written(&body)
    }

    fn chat_path(&self) -> &'static str {
        "api/chat"
    }

    fn models_path(&self) -> &'static str {
        "api/tags"
    }

    fn listed(&self, list: &Value) -> Vec<String> {
        names(list, "models", "name")
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn reading(&self) -> Box<dyn Reading> {
        Box::new(Stream::default())
    }
}

/// A schema with the words that Ollama reads of one (`ToolFunctionParameters` of its API), and no
/// others.
fn known(schema: &Value, words: &[&str]) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let kept = fields.iter().filter(|(name, _)| words.contains(&name.as_str()));
    kept.map(|(name, value)| match (name.as_str(), value) {
        ("properties", Value::Object(properties)) => {
            let word = ["type", "items", "description", "enum", "anyOf", "properties", "required"];
            let properties = properties.iter().map(|(name, value)| (name.clone(), known(value, &word)));
            (name.clone(), Value::Object(properties.collect()))
        }
        (_, value) => (name.clone(), value.clone()),
    })
    .collect()
}

fn context(needed: u64, most: Option<u64>) -> u64 {
    let doubled = needed.clamp(CONTEXT_TOKENS_MIN, 1 << 32).next_power_of_two();
    doubled.min(most.unwrap_or(u64::MAX))
}

/// The context of a model that `/api/show` describes, in tokens: what its owner set (`num_ctx`), else
/// what it was trained for.
pub(super) fn shown_context(shown: &Value) -> Option<u64> {
    let set = shown.get("parameters").and_then(Value::as_str).and_then(|parameters| {
        let mut lines = parameters.lines().map(|line| line.trim().split_once(char::is_whitespace));
        lines.find_map(|line| line.filter(|(name, _)| *name == "num_ctx")?.1.trim().parse().ok())
    });
    let trained = || {
        let about = shown.get("model_info")?.as_object()?;
        about.iter().find(|(name, _)| name.ends_with(".context_length"))?.1.as_u64()
    };
    set.or_else(trained).filter(|tokens| *tokens > 0)
}

/// Whether a model that `/api/show` describes runs at another host (`remote_host`), as those of
/// Ollama's cloud do.
pub(super) fn shown_elsewhere(shown: &Value) -> bool {
    shown.get("remote_host").and_then(Value::as_str).is_some_and(|host| !host.is_empty())
}

/// Whether a model that `/api/show` describes can call tools; an older Ollama does not say.
pub(super) fn shown_tools(shown: &Value) -> bool {
    let able = shown.get("capabilities").and_then(Value::as_array);
    able.is_none_or(|able| able.iter().any(|one| one == "tools"))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    truncate: bool,
    shift: bool,
    options: Options,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool<'a>>>,
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct Options {
    num_ctx: u64,
    num_predict: u32,
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
    parameters: Value,
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
        content: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call>,
    },
    Tool {
        tool_name: String,
        content: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Call {
    function: CallFunction,
}

#[derive(Serialize, Deserialize)]
struct CallFunction {
    name: String,
    arguments: Value,
}

/// Ollama knows no ids: results stand in the order of their calls.
fn messages(system: &str, parts: Vec<Part>) -> Vec<Message> {
    let mut messages = Vec::new();
    if !system.trim().is_empty() {
        messages.push(Message::System { content: system.to_owned() });
    }
    for part in parts {
        match part {
            Part::Person(content) => messages.push(Message::User { content }),
            Part::Model { text, calls } => {
                let made = |call: &history::Answered| Call {
                    function: CallFunction { name: call.name.clone(), arguments: call.arguments.clone() },
                };
                messages.push(Message::Assistant { content: text, tool_calls: calls.iter().map(made).collect() });
                messages
                    .extend(calls.into_iter().map(|call| Message::Tool { tool_name: call.name, content: call.result }));
            }
        }
    }
    messages
}

#[derive(Deserialize)]
struct Line {
    message: Option<Piece>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    /// Left out when the whole prompt was cached.
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Piece {
    content: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Default)]
struct Stream {
    calls: u64,
    reason: Option<ModelStop>,
    usage: TokenUsage,
}

impl Reading for Stream {
    fn take(&mut self, event: &[u8], draft: &mut Draft) -> Result<(), Fault> {
        let line: Line = serde_json::from_slice(event).map_err(|_error| Fault::not_json())?;
        if let Some(error) = line.error {
            return Err(Fault::said(&error));
        }
        if let Some(piece) = line.message {
            draft.text(piece.content.as_deref().unwrap_or_default())?;
            for call in piece.tool_calls.into_iter().flatten() {
                draft.call(self.calls, "", &call.function.name)?;
                draft.arguments(self.calls, &call.function.arguments.to_string())?;
                self.calls += 1;
            }
        }
        if line.done {
            let length = line.done_reason.as_deref() == Some("length");
            self.reason = Some(if length { ModelStop::Length } else { ModelStop::End });
            self.usage = TokenUsage {
                input: line.prompt_eval_count.unwrap_or(0),
                output: line.eval_count.unwrap_or(0),
                cache_read: 0,
                cache_write: 0,
            };
        }
        Ok(())
    }

    fn stop(&self) -> Option<ModelStop> {
        self.reason
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.reason.map(|_| self.usage)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_context_holds_the_prompt_and_changes_rarely() {
        let cases = [(0, None, 8192), (8193, None, 16_384), (20_000, None, 32_768), (20_000, Some(30_000), 30_000)];
        for (needed, most, expected) in cases {
            assert_eq!(context(needed, most), expected, "{needed} {most:?}");
        }
        assert_eq!(context(u64::MAX, None), 1 << 32);
    }

    #[test]
    fn a_models_context_is_what_its_owner_set_or_what_it_was_trained_for() {
        let info = json!({"general.architecture": "llama", "llama.context_length": 131_072});
        let cases = [
            (json!({"parameters": "stop \"x\"\nnum_ctx      16384", "model_info": info}), Some(16_384)),
            (json!({"parameters": "stop \"x\"", "model_info": info}), Some(131_072)),
            (json!({"model_info": {}}), None),
            (json!({}), None),
        ];
        for (shown, expected) in cases {
            assert_eq!(shown_context(&shown), expected, "{shown}");
        }
        assert!(shown_tools(&json!({})) && !shown_tools(&json!({"capabilities": ["completion"]})));
    }
}
