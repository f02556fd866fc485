//! What differs between the providers: how a request is written and how a reply is read. Pure.

use serde_json::Value;

use super::draft::Draft;
use super::failure::Fault;
use super::frames::Framing;
use super::{Endpoint, Kind};
use crate::domain::model::{ModelRequest, ModelStop, TokenUsage};

/// One provider's API.
pub(super) trait Dialect: Sync {
    /// The body of a request for a streamed reply.
    fn body(&self, endpoint: &Endpoint, request: &ModelRequest) -> Vec<u8>;

    /// Where it is sent, below the base URL.
    fn chat_path(&self) -> &'static str;

    /// Where the models are listed, below the base URL.
    fn models_path(&self) -> &'static str;

    /// The names in such a list.
    fn listed(&self, list: &Value) -> Vec<String>;

    /// How the events of a reply are told apart.
    fn framing(&self) -> Framing;

    /// Reads one reply.
    fn reading(&self) -> Box<dyn Reading>;
}

/// A reply being read, event by event.
pub(super) trait Reading: Send {
    /// Takes the next event. Fails when it is none, when it is too much, or when it tells of an error.
    fn take(&mut self, event: &[u8], draft: &mut Draft) -> Result<(), Fault>;

    /// How the reply ended, once its last event was taken: never before.
    fn stop(&self) -> Option<ModelStop>;

    /// What the provider counted for the whole reply, once it has said so.
    fn usage(&self) -> Option<TokenUsage>;
}

/// The API of `kind`.
pub(super) fn of(kind: Kind) -> &'static dyn Dialect {
    match kind {
        Kind::Anthropic => &super::anthropic::Anthropic,
        Kind::OpenAi => &super::openai::OpenAi,
        Kind::Ollama => &super::ollama::Ollama,
    }
}

/// `body` as bytes. Our own wire types always can be written.
pub(super) fn written(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

/// The texts at `name` of each entry of the array at `list`.
pub(super) fn names(value: &Value, list: &str, name: &str) -> Vec<String> {
    let entries = value.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.get(name)?.as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Events of all three APIs, whole and broken, the ends of replies among them.
    const EVENTS: [&str; 20] = [
        r#"{"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"i","name":"exec"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
        r#"{"type":"content_block_delta","index":18446744073709551615,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":18446744073709551615}}"#,
        r#"{"type":"message_stop"}"#,
        r#"{"type":"new_in_2027"}"#,
        r#"{"choices":[{"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":18446744073709551615,"id":"a","function":{"name":"exec"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"x","arguments":[1]}},{}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}}"#,
        r#"{"choices":[],"usage":{}}"#,
        "[DONE]",
        r#"{"message":{"content":"x","tool_calls":[{"function":{"name":"exec","arguments":"no object"}}]},"done":false}"#,
        r#"{"message":{"content":""},"done":true,"done_reason":"stop","eval_count":3}"#,
        r#"{"error":"no"}"#,
        "{",
        "null",
        "\u{0}",
    ];

    fn ends(kind: Kind, event: &str) -> bool {
        match kind {
            Kind::Anthropic => event.contains("message_stop"),
            Kind::OpenAi => event == "[DONE]",
            Kind::Ollama => event.contains("\"done\":true"),
        }
    }

    proptest! {
        #[test]
        fn whatever_events_come_only_the_end_of_a_reply_ends_it(
            events in proptest::collection::vec(proptest::sample::select(EVENTS.as_slice()), 0..24),
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            kind in proptest::sample::select(vec![Kind::Anthropic, Kind::OpenAi, Kind::Ollama]),
        ) {
            let (mut reading, mut draft) = (of(kind).reading(), Draft::default());
            let mut ended = false;
            for event in events {
                if reading.take(event.as_bytes(), &mut draft).is_ok() {
                    ended |= ends(kind, event);
                }
                prop_assert!(reading.stop().is_none() || ended, "{event}");
            }
            drop(reading.take(&noise, &mut draft));
            let stop = reading.stop().unwrap_or(ModelStop::End);
            let reply = draft.finish(&crate::domain::ids::CallId::from_random([0; 11]), stop, None);
            let ids: std::collections::BTreeSet<_> = reply.calls.iter().map(|call| &call.id).collect();
            prop_assert_eq!(ids.len(), reply.calls.len());
        }
    }
}
