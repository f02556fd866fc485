//! The conversation as every provider takes it: roles alternate, each call has its result right
//! after it, ids are unique and of the form that all accept, nothing is empty. What a caller
//! guarantees is checked once more here, because one wrong message makes a provider refuse all.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::model::{ModelMessage, ToolCall};

/// Longest id of a call that every provider takes, in bytes.
const ID_BYTES_MAX: usize = 40;
/// Longest name of a tool that every provider takes, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Stands where a person's words must stand and there are none.
const GO_ON: &str = "Go on.";
/// The result of a call that has none.
const NO_RESULT: &str = "This call was not carried out.";
/// The result of a call that said nothing.
const NO_OUTPUT: &str = "(no output)";

/// One part of the conversation; persons and models alternate.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Person(String),
    Model { text: String, calls: Vec<Answered> },
}

/// A call with its result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answered {
    pub(super) id: String,
    pub(super) name: String,
    /// Always an object.
    pub(super) arguments: Value,
    pub(super) result: String,
    pub(super) failed: bool,
}

/// The parts of a conversation, beginning with a person and ending so that the model is next.
pub(super) fn parts(messages: &[ModelMessage]) -> Vec<Part> {
    let mut history = History::default();
    for message in messages {
        match message {
            ModelMessage::Person(text) => history.person(text),
            ModelMessage::Model { text, calls } => history.model(text, calls),
            ModelMessage::Tool { call, text, failed, .. } => history.result(call, text, *failed),
        }
    }
    history.finish()
}

/// `name` as every provider takes a tool's name.
pub(super) fn tool_name(name: &str) -> String {
    let fitting: String = name.chars().map(|c| if is_word(c) { c } else { '_' }).take(NAME_BYTES_MAX).collect();
    if fitting.is_empty() { "unnamed".to_owned() } else { fitting }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[derive(Debug, Default)]
struct History {
    parts: Vec<Part>,
    /// Calls without a result, oldest first: the id as the model gave it, part and place in it.
    open: Vec<(String, usize, usize)>,
    ids: BTreeSet<String>,
}

impl History {
    fn person(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Person(words)) => {
                words.push_str("\n\n");
                words.push_str(text);
            }
            Some(Part::Model { .. }) => self.parts.push(Part::Person(text.to_owned())),
            None => self.parts.push(Part::Person(text.to_owned())),
        }
    }

    fn model(&mut self, text: &str, calls: &[ToolCall]) {
        let text = if text.trim().is_empty() { "" } else { text.trim_end() };
        if text.is_empty() && calls.is_empty() {
            return;
        }
        if self.parts.is_empty() {
            self.parts.push(Part::Person(GO_ON.to_owned()));
        }
        let part = match self.parts.last_mut() {
            Some(Part::Model { text: earlier, calls: made }) if made.is_empty() => {
                if !earlier.is_empty() && !text.is_empty() {
                    earlier.push_str("\n\n");
                }
                earlier.push_str(text);
                self.parts.len() - 1
            }
            Some(Part::Person(_) | Part::Model { .. }) | None => {
                self.parts.push(Part::Model { text: text.to_owned(), calls: Vec::new() });
                self.parts.len() - 1
            }
        };
        for call in calls {
            let id = self.fresh_id(&call.id);
            let Some(Part::Model { calls: made, .. }) = self.parts.get_mut(part) else { return };
            self.open.push((call.id.clone(), part, made.len()));
            made.push(Answered {
                id,
                name: tool_name(&call.name),
                arguments: object(&call.arguments),
                result: NO_RESULT.to_owned(),
                failed: true,
            });
        }
    }

    /// The oldest open call with this id in the latest part that has one gets the result; a result of
    /// no call is dropped, as no provider takes it.
    fn result(&mut self, call: &str, text: &str, failed: bool) {
        let latest = self.open.iter().rev().find(|(id, ..)| id == call).map(|(_, part, _)| *part);
        let Some(at) = self.open.iter().position(|(id, part, _)| id == call && Some(*part) == latest) else { return };
        let (_, part, place) = self.open.remove(at);
        if let Some(Part::Model { calls, .. }) = self.parts.get_mut(part)
            && let Some(answered) = calls.get_mut(place)
        {
            answered.result = if text.trim().is_empty() { NO_OUTPUT.to_owned() } else { text.to_owned() };
            answered.failed = failed;
        }
    }

    /// `id` if it fits and is new, else one that is; the same for the same conversation, so that
    /// providers find their cache again.
    fn fresh_id(&mut self, id: &str) -> String {
        let fits = (1..=ID_BYTES_MAX).contains(&id.len()) && id.chars().all(is_word);
        let mut fresh = id.to_owned();
        let mut number = self.ids.len();
        while !fits && fresh == id || self.ids.contains(&fresh) {
            fresh = format!("call-{number}");
            number += 1;
        }
        self.ids.insert(fresh.clone());
        fresh
    }

    fn finish(mut self) -> Vec<Part> {
        let modest = match self.parts.last() {
            Some(Part::Model { calls, .. }) => calls.is_empty(),
            Some(Part::Person(_)) => false,
            None => true,
        };
        if modest {
            self.parts.push(Part::Person(GO_ON.to_owned()));
        }
        self.parts
    }
}

/// Arguments as an object: what a model wrote instead stands in one.
fn object(arguments: &Value) -> Value {
    match arguments {
        Value::Object(_) => arguments.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            serde_json::json!({ "invalid_arguments": arguments })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person(text: &str) -> ModelMessage {
        ModelMessage::Person(text.to_owned())
    }

    fn model(text: &str, ids: &[&str]) -> ModelMessage {
        let call = |id: &&str| ToolCall { id: (*id).to_owned(), name: "exec".to_owned(), arguments: json!({}) };
        ModelMessage::Model { text: text.to_owned(), calls: ids.iter().map(call).collect() }
    }

    fn result(id: &str, text: &str) -> ModelMessage {
        ModelMessage::Tool { call: id.to_owned(), name: "exec".to_owned(), text: text.to_owned(), failed: false }
    }

    /// `p:words` for a person, `m:text[id=result, …]` for a model.
    fn shown(messages: &[ModelMessage]) -> Vec<String> {
        let call = |call: &Answered| format!("{}={}", call.id, call.result);
        let part = |part: &Part| match part {
            Part::Person(text) => format!("p:{text}"),
            Part::Model { text, calls } if calls.is_empty() => format!("m:{text}"),
            Part::Model { text, calls } => {
                format!("m:{text}[{}]", calls.iter().map(call).collect::<Vec<_>>().join(", "))
            }
        };
        parts(messages).iter().map(part).collect()
    }

    #[test]
    fn every_history_is_put_into_the_order_that_providers_take() {
        let cases: Vec<(&str, Vec<ModelMessage>, &[&str])> = vec![
            ("nothing", vec![], &["p:Go on."]),
            ("one", vec![person("hi")], &["p:hi"]),
            (
                "same roles",
                vec![person("a"), person(" "), person("b"), model("c", &[]), model("d", &[]), person("e")],
                &["p:a\n\nb", "m:c\n\nd", "p:e"],
            ),
            (
                "pairs",
                vec![person("a"), model("", &["x", "y"]), result("y", "2"), result("x", "1")],
                &["p:a", "m:[x=1, y=2]"],
            ),
            (
                "orphan call",
                vec![person("a"), model("b", &["x"]), person("c")],
                &["p:a", "m:b[x=This call was not carried out.]", "p:c"],
            ),
            (
                "late result",
                vec![person("a"), model("b", &["x"]), person("c"), result("x", "1")],
                &["p:a", "m:b[x=1]", "p:c"],
            ),
            (
                "orphan result",
                vec![person("a"), result("x", "1"), model("b", &[]), person("c")],
                &["p:a", "m:b", "p:c"],
            ),
            (
                "one id twice",
                vec![person("a"), model("", &["x"]), result("x", "1"), model("", &["x"]), result("x", "2")],
                &["p:a", "m:[x=1]", "m:[call-1=2]"],
            ),
            (
                "one id in parallel",
                vec![person("a"), model("", &["x", "x"]), result("x", "1"), result("x", "2")],
                &["p:a", "m:[x=1, call-1=2]"],
            ),
            (
                "strange ids",
                vec![person("a"), model("", &["ü/", ""]), result("", ""), result("ü/", "1")],
                &["p:a", "m:[call-0=1, call-1=(no output)]"],
            ),
            ("model first and last", vec![model("a", &[])], &["p:Go on.", "m:a", "p:Go on."]),
        ];
        for (what, messages, expected) in cases {
            assert_eq!(shown(&messages), expected, "{what}");
        }
    }

    #[test]
    fn names_and_arguments_get_a_form_that_is_taken() {
        assert_eq!(tool_name("rm -rf /; ü"), "rm_-rf_____");
        assert_eq!(tool_name(""), "unnamed");
        assert_eq!(tool_name(&"x".repeat(100)).len(), 64);
        assert_eq!(object(&json!("{\"a")), json!({"invalid_arguments": "{\"a"}));
        assert_eq!(object(&json!({"a": 1})), json!({"a": 1}));
    }
}
