//! Models: three kinds of provider behind one [`Provider`]. It sends a conversation, reads the reply
//! as it comes, and says what it cost or why there is none.
//!
//! ```text
//!  ModelRequest ─▶ history (roles, pairs, ids) ─▶ dialect (body) ─▶ exchange (send, wait, retry)
//!                                                                         │ bytes
//!  ModelReply ◀─ draft (limits) ◀─ dialect (events) ◀─ frames (SSE, lines) ◀┘
//! ```
//!
//! All but `exchange` and `client` is pure. What a server sends is never trusted: every size has a
//! limit, a stream that broke off is no reply, a key is never in a text. It keeps no state and no
//! money, and never falls back to another provider.

mod anthropic;
mod client;
mod dialect;
mod draft;
mod exchange;
mod failure;
mod frames;
mod history;
mod known;
mod ollama;
mod openai;
mod provider;
mod retry;

use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

pub use client::{Client, ClientError, ClientRules, client};
pub use provider::Provider;

use crate::domain::model::ModelRequest;

/// Which API a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's chat completions, as many servers offer them.
    OpenAi,
    /// Ollama's own.
    Ollama,
}

impl Kind {
    /// Where it is, unless the owner says otherwise.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Ollama => "http://localhost:11434",
        }
    }
}

/// A provider as it is set up.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name in `PROVIDER/NAME`.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Its address: https, http to what is near, or `unix:///PATH`.
    pub base_url: String,
    /// Its key; `None` sends none.
    pub key: Option<SecretString>,
    /// Ollama: the largest context to ask for, in tokens, mostly [`Provider::context_tokens`]; `None`
    /// leaves it to the length of the conversation.
    pub context_tokens_max: Option<u64>,
}

impl Endpoint {
    /// Whether it is OpenAI itself, or Azure's: they alone want `max_completion_tokens`.
    fn is_openai(&self) -> bool {
        self.host().is_some_and(|host| host == "api.openai.com" || host.ends_with(".openai.azure.com"))
    }

    /// Whether its list of models needs a key, so that asking for one proves it.
    fn lists_by_key(&self) -> bool {
        self.host().is_some_and(|host| host == "api.openai.com" || host == "api.anthropic.com")
    }

    fn host(&self) -> Option<String> {
        Url::parse(&self.base_url).ok()?.host_str().map(str::to_owned)
    }
}

/// How long a call waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// For the first byte of a reply.
    pub first_byte: Duration,
    /// For the next byte of it.
    pub silence: Duration,
    /// For all of a call, retries included.
    pub total: Duration,
    /// For an answer that is no model's: lists, checks.
    pub answer: Duration,
    /// Before the first retry where the provider names no time; doubled each time.
    pub backoff: Duration,
    /// The longest wait that a provider may ask for before a retry.
    pub retry_after_max: Duration,
    /// Until it is said that a local model is still being loaded.
    pub loading: Duration,
}

impl Waits {
    /// What fits a provider of `kind`: Ollama may have to load the model first.
    pub fn of(kind: Kind) -> Self {
        let first_byte = match kind {
            Kind::Anthropic | Kind::OpenAi => 120,
            Kind::Ollama => 600,
        };
        Self {
            first_byte: Duration::from_secs(first_byte),
            silence: Duration::from_secs(90),
            total: Duration::from_secs(15 * 60),
            answer: Duration::from_secs(30),
            backoff: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(60),
            loading: Duration::from_secs(3),
        }
    }
}

/// Exactly the body that a call sends. Its length is an upper bound of the prompt's tokens: no tokenizer
/// makes more than one of a byte, and the few hundred that a provider adds by itself (Anthropic 346 with
/// tools) are fewer than the bytes that text has beyond its tokens, but for requests below 1 KiB.
pub fn request_bytes(endpoint: &Endpoint, request: &ModelRequest) -> Vec<u8> {
    dialect::of(endpoint.kind).body(endpoint, request)
}
