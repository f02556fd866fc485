//! A reply while it comes: its text and calls so far, within limits, and the deltas to show.

use std::collections::BTreeSet;

use serde_json::Value;

use super::failure::Fault;
use crate::domain::ids::CallId;
use crate::domain::model::{Delta, ModelReply, ModelStop, TokenUsage, ToolCall};

/// Longest text of a reply, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 256 << 10;
/// Names and arguments of all calls of a reply together, in bytes.
pub(super) const ARGUMENTS_BYTES_MAX: usize = 1 << 20;
/// Calls of one reply.
pub(super) const CALLS_MAX: usize = 64;
/// Longest id of a call that is taken over, in bytes.
const ID_BYTES_MAX: usize = 128;
/// How much of a tool's name is shown while it comes, in characters.
const SHOWN_NAME_CHARS: usize = 64;

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Draft {
    text: String,
    calls: Vec<Open>,
    call_bytes: usize,
    deltas: Vec<Delta>,
}

/// A call that is being written.
#[derive(Debug)]
struct Open {
    key: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Draft {
    /// More text.
    pub(super) fn text(&mut self, piece: &str) -> Result<(), Fault> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.text.len() + piece.len() > TEXT_BYTES_MAX {
            return Err(Fault::too_long("the text of a reply", TEXT_BYTES_MAX));
        }
        self.text.push_str(piece);
        self.deltas.push(Delta::Text(piece.to_owned()));
        Ok(())
    }

    /// A call begins, or says more about itself: what is still unknown of `key` is filled in.
    pub(super) fn call(&mut self, key: u64, id: &str, name: &str) -> Result<(), Fault> {
        if !self.calls.iter().any(|call| call.key == key) {
            if self.calls.len() == CALLS_MAX {
                return Err(Fault::too_many_calls(CALLS_MAX));
            }
            self.calls.push(Open { key, id: String::new(), name: String::new(), arguments: String::new() });
        }
        self.count(name.len())?;
        let Some(call) = self.calls.iter_mut().find(|call| call.key == key) else { return Ok(()) };
        if call.id.is_empty() && id.len() <= ID_BYTES_MAX {
            id.clone_into(&mut call.id);
        }
        if call.name.is_empty() && !name.is_empty() {
            name.clone_into(&mut call.name);
            self.deltas.push(Delta::Tool(name.chars().take(SHOWN_NAME_CHARS).collect()));
        }
        Ok(())
    }

    /// More arguments of the call `key`; those of no call of ours are dropped.
    pub(super) fn arguments(&mut self, key: u64, piece: &str) -> Result<(), Fault> {
        self.count(piece.len())?;
        if let Some(call) = self.calls.iter_mut().find(|call| call.key == key) {
            call.arguments.push_str(piece);
        }
        Ok(())
    }

    /// The key of the call that was begun last.
    pub(super) fn last_key(&self) -> Option<u64> {
        self.calls.last().map(|call| call.key)
    }

    /// Whether the last call has another id than `id`, which a new call begins with.
    pub(super) fn begins_another(&self, id: &str) -> bool {
        self.calls.last().is_none_or(|call| !id.is_empty() && call.id != id)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        self.call_bytes = self.call_bytes.saturating_add(bytes);
        if self.call_bytes > ARGUMENTS_BYTES_MAX {
            return Err(Fault::too_long("the arguments of a reply's tool calls", ARGUMENTS_BYTES_MAX));
        }
        Ok(())
    }

    /// What is new since the last time.
    pub(super) fn deltas(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.deltas)
    }

    /// The reply. Calls without an id, or with one that another has, get their own, made from `call`;
    /// arguments that are no JSON are the text as it came.
    pub(super) fn finish(self, call: &CallId, stop: ModelStop, usage: Option<TokenUsage>) -> ModelReply {
        let mut taken = BTreeSet::new();
        let calls: Vec<ToolCall> = (self.calls.into_iter().enumerate())
            .map(|(number, open)| {
                let id =
                    if open.id.is_empty() || taken.contains(&open.id) { format!("{call}-{number}") } else { open.id };
                taken.insert(id.clone());
                ToolCall { id, name: open.name, arguments: parsed(open.arguments) }
            })
            .collect();
        let stop = match stop {
            ModelStop::End if !calls.is_empty() => ModelStop::Tools,
            ModelStop::Tools if calls.is_empty() => ModelStop::End,
            ModelStop::End | ModelStop::Tools | ModelStop::Length | ModelStop::Refusal => stop,
        };
        ModelReply { text: self.text, calls, stop, usage }
    }
}

fn parsed(arguments: String) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(&arguments).unwrap_or(Value::String(arguments))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call() -> CallId {
        CallId::from_random([0; 11])
    }

    #[test]
    fn a_draft_holds_what_came_and_no_more_than_its_limits() {
        let mut draft = Draft::default();
        let piece = "x".repeat(64 << 10);
        for _ in 0..4 {
            draft.text(&piece).unwrap();
        }
        assert!(draft.text("y").is_err());
        let mut draft = Draft::default();
        draft.call(0, "a", "exec").unwrap();
        let written = (0..20).take_while(|_| draft.arguments(0, &piece).is_ok()).count();
        assert_eq!(written, 15, "1 MiB less the name");
        let mut draft = Draft::default();
        let begun = (0..100).take_while(|key| draft.call(*key, "", "exec").is_ok()).count();
        assert_eq!(begun, CALLS_MAX);
        let mut draft = Draft::default();
        assert!((0..u64::MAX).take(20).any(|key| draft.call(key, "", &piece).is_err()), "names count too");
    }

    #[test]
    fn ids_are_unique_and_arguments_are_json_or_the_text_as_it_came() {
        let mut draft = Draft::default();
        for (key, id, arguments) in [(0, "a", "{\"x\": 1}"), (1, "a", ""), (2, "", "{\"x\": "), (3, "b", "[1]")] {
            draft.call(key, id, "exec").unwrap();
            draft.arguments(key, arguments).unwrap();
        }
        let reply = draft.finish(&call(), ModelStop::End, None);
        let own = |number: usize| format!("{}-{number}", call());
        let got: Vec<_> = reply.calls.iter().map(|call| (call.id.clone(), call.arguments.clone())).collect();
        let expected = vec![
            ("a".to_owned(), json!({"x": 1})),
            (own(1), json!({})),
            (own(2), json!("{\"x\": ")),
            ("b".to_owned(), json!([1])),
        ];
        assert_eq!(got, expected);
        assert_eq!(reply.stop, ModelStop::Tools);
    }
}
