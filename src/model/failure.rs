//! Why a call gave no reply, told so that a person knows what helps. What a provider says is quoted,
//! short and without the key.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{Endpoint, Kind};
use crate::domain::model::{FailureKind, ModelFailure};

/// How much of a provider's own words is shown, in characters.
const QUOTE_CHARS_MAX: usize = 300;
/// How much is told of a failure, in characters.
const WHY_CHARS_MAX: usize = 1000;
/// Shortest key that is looked for in a text, in bytes; shorter ones are no keys but placeholders.
const KEY_BYTES_MIN: usize = 6;

/// What is wrong with a stream, or what it said is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FailureKind,
    pub(super) why: String,
}

impl Fault {
    pub(super) fn too_long(what: &str, bytes: usize) -> Self {
        let kib = bytes >> 10;
        Self::broken(format!("{what} was longer than {kib} KiB, which Castoff does not take"))
    }

    pub(super) fn too_many_calls(most: usize) -> Self {
        Self::broken(format!("the model made more than {most} tool calls in one reply, which Castoff does not take"))
    }

    pub(super) fn not_json() -> Self {
        Self::broken("a part of the reply was not what this kind of provider sends".to_owned())
    }

    pub(super) fn cut_off() -> Self {
        Self::broken("the reply broke off before its end".to_owned())
    }

    pub(super) fn broken(why: String) -> Self {
        Self { kind: FailureKind::Broken, why }
    }

    /// An error that came inside a stream: the request was accepted before.
    pub(super) fn said(error: &Value) -> Self {
        let said = Said::of(error);
        let kind = match said.about() {
            About::Overload => FailureKind::Overloaded,
            About::TooLong => FailureKind::TooLong,
            About::Rate => FailureKind::RateLimited,
            About::Credit | About::Model | About::Tools | About::Other => FailureKind::Broken,
        };
        // Cut by `clean`, which takes the key out first.
        Self { kind, why: format!("the provider stopped the reply (it says: {})", plain(&said.message)) }
    }
}

/// What an error of a provider is about, as far as its words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    TooLong,
    Credit,
    Model,
    Tools,
    Overload,
    Rate,
    Other,
}

/// A provider's own words.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// Its `type` and `code`.
    codes: String,
    /// Whether it had the form of a provider's error at all.
    formed: bool,
}

impl Said {
    /// `{"error": {"message", "type", "code"}}`, `{"error": "text"}`, `{"message"}`, `{"detail"}`, or
    /// the inner part of the first.
    fn of(body: &Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let text = |value: &Value, name: &str| match value.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => String::new(),
        };
        let message = match error {
            Value::String(words) => words.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                [text(error, "message"), text(error, "detail")].concat()
            }
        };
        let codes = format!("{} {}", text(error, "type"), text(error, "code"));
        Self { formed: !message.is_empty(), message, codes }
    }

    fn about(&self) -> About {
        let words = format!("{} {}", self.codes, self.message).to_ascii_lowercase();
        let has = |needles: &[&str]| needles.iter().any(|needle| words.contains(needle));
        if has(&["context_length", "context length", "context window", "prompt is too long", "exceed context limit"])
            || has(&["exceed_context_size", "available context size", "too many tokens", "request_too_large"])
        {
            About::TooLong
        } else if has(&["insufficient_quota", "credit balance", "billing_error", "billing_hard_limit"]) {
            About::Credit
        } else if has(&["does not support tools"]) {
            About::Tools
        } else if has(&["overloaded"]) {
            About::Overload
        } else if has(&["rate_limit", "rate limit"]) {
            About::Rate
        } else if has(&["model_not_found", "model not found", "unknown model", "invalid model"])
            || (has(&["model"]) && has(&["not found", "does not exist", "not_found_error"]))
        {
            About::Model
        } else {
            About::Other
        }
    }

    fn quoted(&self, key: Option<&SecretString>) -> String {
        let words = cut(&plain(&without_key(key, self.message.clone())), QUOTE_CHARS_MAX);
        if words.trim().is_empty() { String::new() } else { format!(" (it says: {})", words.trim()) }
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What is told of an answer that was no reply: its status and its body, cut to what an error needs.
pub(super) fn of_status(endpoint: &Endpoint, model: &str, status: u16, body: &[u8]) -> ModelFailure {
    let said = serde_json::from_slice::<Value>(body).map(|body| Said::of(&body)).unwrap_or_default();
    let about = said.about();
    let (name, quote) = (&endpoint.name, said.quoted(endpoint.key.as_ref()));
    let (kind, why) = match (status, about) {
        (401 | 403, _) if endpoint.key.is_none() => (
            FailureKind::Key,
            format!("`{name}` wants a key and there is none{quote}: `castoff config --api-key` sets one"),
        ),
        (401, _) => (
            FailureKind::Key,
            format!("`{name}` does not accept the key{quote}: `castoff config --api-key` sets another one"),
        ),
        (402, _) | (_, About::Credit) => (
            FailureKind::Refused,
            format!("the account at `{name}` has no credit left{quote}: add some there, or choose another model"),
        ),
        (403, _) => (
            FailureKind::Key,
            format!("`{name}` does not allow this with the present key{quote}: see what the key may do there"),
        ),
        (413, _) | (400..=599, About::TooLong) => (
            FailureKind::TooLong,
            format!("the conversation is longer than `{model}` takes{quote}: a model with a larger context helps"),
        ),
        (429, _) => (FailureKind::RateLimited, format!("`{name}` takes no more requests now{quote}: try again later")),
        (503 | 529, _) => (FailureKind::Overloaded, format!("`{name}` is overloaded{quote}: try again later")),
        (500..=599, _) => (FailureKind::Overloaded, format!("`{name}` failed ({status}){quote}: try again later")),
        (404, _) if said.formed && about != About::Other => (
            FailureKind::UnknownModel,
            format!("`{name}` has no model `{model}`{quote}: {}", model_hint(endpoint, model)),
        ),
        (400..=499, About::Model) => (
            FailureKind::UnknownModel,
            format!("`{name}` has no model `{model}`{quote}: {}", model_hint(endpoint, model)),
        ),
        (404, _) => (
            FailureKind::Refused,
            format!(
                "`{name}` does not know what Castoff asks for (404){quote}: is the model's name right, and `{}` the \
                 base URL?",
                endpoint.base_url
            ),
        ),
        (_, About::Tools) => {
            (FailureKind::Refused, format!("`{model}` cannot call tools, which Castoff needs: choose one that can"))
        }
        (300..=399, _) => (
            FailureKind::Refused,
            format!("`{name}` sends on to another address, which Castoff does not follow: correct its base URL"),
        ),
        (408, _) => (FailureKind::Timeout, format!("`{name}` waited too long for the request{quote}: try again")),
        _ => (FailureKind::Refused, format!("`{name}` refused the request ({status}){quote}")),
    };
    let may_cost = (500..=599).contains(&status) && !matches!(status, 503 | 529);
    clean(endpoint, ModelFailure { kind, why, may_cost, usage: None })
}

fn model_hint(endpoint: &Endpoint, model: &str) -> String {
    match endpoint.kind {
        Kind::Ollama => format!("`ollama pull {model}` fetches it"),
        Kind::Anthropic | Kind::OpenAi => "`castoff config --model` chooses another one".to_owned(),
    }
}

/// A failure before anything was accepted.
pub(super) fn free(kind: FailureKind, why: String) -> ModelFailure {
    ModelFailure { kind, why, may_cost: false, usage: None }
}

/// `failure` without the key, should a provider have sent it back.
pub(super) fn clean(endpoint: &Endpoint, failure: ModelFailure) -> ModelFailure {
    ModelFailure { why: cut(&without_key(endpoint.key.as_ref(), failure.why), WHY_CHARS_MAX), ..failure }
}

fn without_key(key: Option<&SecretString>, text: String) -> String {
    match key.map(|key| key.expose_secret().trim()) {
        Some(key) if key.len() >= KEY_BYTES_MIN && text.contains(key) => text.replace(key, "[key]"),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(kind: Kind) -> Endpoint {
        Endpoint {
            name: "cloud".to_owned(),
            kind,
            base_url: "https://models.example/v1".to_owned(),
            key: Some(SecretString::from("sk-very-secret".to_owned())),
            context_tokens_max: None,
        }
    }

    #[test]
    fn a_status_and_the_providers_words_tell_what_happened() {
        let error = |message: &str, code: &str| {
            serde_json::json!({"error": {"message": message, "type": "e", "code": code}}).to_string()
        };
        let cases = [
            (401, error("bad key", ""), FailureKind::Key, false),
            (403, error("region", ""), FailureKind::Key, false),
            (404, error("The model `x` does not exist", "model_not_found"), FailureKind::UnknownModel, false),
            (
                404,
                "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}".to_owned(),
                FailureKind::UnknownModel,
                false,
            ),
            (404, "<html>nothing here</html>".to_owned(), FailureKind::Refused, false),
            (400, error("prompt is too long: 210000 tokens > 200000 maximum", ""), FailureKind::TooLong, false),
            (400, error("too much", "context_length_exceeded"), FailureKind::TooLong, false),
            (413, String::new(), FailureKind::TooLong, false),
            (500, error("the input length exceeds the context length", ""), FailureKind::TooLong, true),
            (400, error("Your credit balance is too low", ""), FailureKind::Refused, false),
            (429, error("quota", "insufficient_quota"), FailureKind::Refused, false),
            (
                429,
                error("Rate limit reached. Add a payment method at /account/billing.", ""),
                FailureKind::RateLimited,
                false,
            ),
            (429, error("slow down", "rate_limit_exceeded"), FailureKind::RateLimited, false),
            (400, error("messages: wrong", "invalid_request_error"), FailureKind::Refused, false),
            (500, String::new(), FailureKind::Overloaded, true),
            (502, "bad gateway".to_owned(), FailureKind::Overloaded, true),
            (503, String::new(), FailureKind::Overloaded, false),
            (529, error("Overloaded", ""), FailureKind::Overloaded, false),
            (302, String::new(), FailureKind::Refused, false),
        ];
        for (status, body, kind, may_cost) in cases {
            let failure = of_status(&endpoint(Kind::OpenAi), "x", status, body.as_bytes());
            assert_eq!((failure.kind, failure.may_cost), (kind, may_cost), "{status} {body}: {}", failure.why);
        }
    }

    #[test]
    fn a_key_that_a_provider_sends_back_is_not_shown() {
        let body = br#"{"error": {"message": "no such key: sk-very-secret\u0007"}}"#;
        let failure = of_status(&endpoint(Kind::Anthropic), "x", 401, body);
        assert!(!failure.why.contains("sk-very-secret"), "{}", failure.why);
        assert!(!failure.why.contains('\u{7}') && failure.why.contains("[key]"), "{}", failure.why);
        assert!(!format!("{:?}", endpoint(Kind::OpenAi)).contains("sk-very-secret"));
    }

    #[test]
    fn a_providers_words_are_cut() {
        let body = serde_json::json!({"error": {"message": "x".repeat(100_000)}}).to_string();
        let failure = of_status(&endpoint(Kind::OpenAi), "x", 400, body.as_bytes());
        assert!(failure.why.chars().count() < 400);
    }
}
