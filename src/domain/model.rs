//! What is asked of a model and what it answers, whichever provider it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{CallId, PersonId, TurnId};

/// A model as people name it: `PROVIDER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName {
    provider: String,
    name: String,
}

impl ModelName {
    /// `anthropic`, `openai`, `ollama`, or a provider of `settings.yaml`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The name that the provider knows.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A text that names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no model (write PROVIDER/NAME, such as `ollama/llama3.3`)")]
pub struct BadModelName(String);

impl TryFrom<String> for ModelName {
    type Error = BadModelName;

    fn try_from(text: String) -> Result<Self, BadModelName> {
        let fits = |provider: &str, name: &str| {
            let provider_fits = (1..=32).contains(&provider.len())
                && provider.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            let name_fits = (1..=200).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
            provider_fits && name_fits
        };
        match text.split_once('/') {
            Some((provider, name)) if fits(provider, name) => {
                Ok(Self { provider: provider.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err(BadModelName(text)),
        }
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

/// One call of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// Names its reservation.
    pub call: CallId,
    /// The turn that needs it.
    pub turn: TurnId,
    /// On whose account.
    pub person: PersonId,
    /// Which model.
    pub model: ModelName,
    /// What the model is told about its place.
    pub system: String,
    /// The conversation, oldest first: begins with a person's words, and every tool call is followed
    /// by its result before anything else is said.
    pub messages: Vec<ModelMessage>,
    /// What it may call.
    pub tools: Vec<ToolSpec>,
    /// Longest reply, in tokens; what the reservation was made for.
    pub output_tokens_max: u32,
}

/// A part of the conversation as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelMessage {
    /// The person's words.
    Person(String),
    /// The model's own, earlier.
    Model {
        /// Text; may be empty when there are calls.
        text: String,
        /// What it called.
        calls: Vec<ToolCall>,
    },
    /// What came of a tool call.
    Tool {
        /// The id that the model gave the call.
        call: String,
        /// The tool's name.
        name: String,
        /// For the model.
        text: String,
        /// Whether it was refused or failed.
        failed: bool,
    },
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// For the model.
    pub description: String,
    /// JSON Schema of its arguments (an object, `additionalProperties: false`).
    pub schema: serde_json::Value,
}

/// What a model wants called; untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's (or our own, where the provider has none) id of it.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// Its arguments; what was no JSON is a string with the text as it came.
    pub arguments: serde_json::Value,
}

/// A finished reply.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelReply {
    /// Text; may be empty.
    pub text: String,
    /// What it wants called, in order.
    pub calls: Vec<ToolCall>,
    /// Why it ended.
    pub stop: ModelStop,
    /// What the provider counted, if it did.
    pub usage: Option<TokenUsage>,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelStop {
    /// It was done.
    End,
    /// It wants tools called.
    Tools,
    /// It reached the longest reply that was asked for.
    Length,
    /// The provider or the model declined.
    Refusal,
}

/// Tokens as a provider counted them. The four are apart: none is part of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Of the prompt, neither read from nor written to a cache.
    pub input: u64,
    /// Of the reply.
    pub output: u64,
    /// Of the prompt, read from a cache.
    pub cache_read: u64,
    /// Of the prompt, written to a cache.
    pub cache_write: u64,
}

/// A call that gave no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFailure {
    /// What kind.
    pub kind: FailureKind,
    /// For people: what happened and what helps; holds no key.
    pub why: String,
    /// Whether the provider may charge for it. If so, and it did not say how much, all that was
    /// reserved is booked.
    pub may_cost: bool,
    /// What the provider counted, when it said so.
    pub usage: Option<TokenUsage>,
}

/// Why a call gave no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The key is missing, wrong, or not allowed to.
    Key,
    /// The provider does not know the model.
    UnknownModel,
    /// The conversation is longer than the model takes.
    TooLong,
    /// Too many requests, for longer than we wait.
    RateLimited,
    /// The provider is overloaded, for longer than we wait.
    Overloaded,
    /// Nobody answered at the address.
    Unreachable,
    /// It took longer than a call may.
    Timeout,
    /// The stream broke off or was no valid stream.
    Broken,
    /// The provider refused the request as it was.
    Refused,
    /// The turn was stopped.
    Cancelled,
}

/// A piece of a reply that is still coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More text.
    Text(String),
    /// It begins to write a call of this tool.
    Tool(String),
    /// What a longer wait is for (a retry, a model that is loading).
    Waiting(String),
}
