//! A model of a test's own: it says what is queued, also what no proper server would say or leave
//! unsaid, and counts its calls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::raw::{Answer, Raw, ok};

/// How long it takes to begin what it will not end: as long as others need for their first word.
const THINKS: Duration = Duration::from_millis(500);

/// An Anthropic server.
pub(crate) struct Model {
    raw: Raw,
    queue: Arc<Mutex<VecDeque<Answer>>>,
}

impl Model {
    pub(crate) fn start() -> Self {
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        let answers = Arc::clone(&queue);
        let raw = Raw::start(move |_, _| {
            let next = answers.lock().unwrap().pop_front().unwrap_or_else(|| says("Yes?"));
            if matches!(next, Answer::Hangs(_)) {
                std::thread::sleep(THINKS);
            }
            next
        });
        Self { raw, queue }
    }

    pub(crate) fn url(&self) -> &str {
        &self.raw.url
    }

    /// What it answers next, in order.
    pub(crate) fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.queue.lock().unwrap().extend(answers);
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.raw.seen()
    }

    /// How many that were.
    pub(crate) fn calls(&self) -> usize {
        self.asked().len()
    }
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn start(text: &str) -> String {
    start_with(9, text)
}

fn start_with(input_tokens: u64, text: &str) -> String {
    let usage = json!({ "input_tokens": input_tokens, "output_tokens": 1 });
    let started = json!({ "type": "message_start", "message": { "usage": usage } });
    event(&started) + &if text.is_empty() { String::new() } else { delta(text) }
}

fn delta(text: &str) -> String {
    event(&json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }))
}

fn end(reason: &str) -> String {
    end_with(reason, 5)
}

fn end_with(reason: &str, output_tokens: u64) -> String {
    let usage = json!({ "output_tokens": output_tokens });
    let stop = json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": usage });
    event(&stop) + &event(&json!({ "type": "message_stop" }))
}

/// A whole reply.
pub(crate) fn says(text: &str) -> Answer {
    Answer::Bytes(ok(start(text) + &end("end_turn")))
}

/// A whole reply that took this many tokens.
pub(crate) fn says_for(text: &str, input_tokens: u64, output_tokens: u64) -> Answer {
    Answer::Bytes(ok(start_with(input_tokens, text) + &end_with("end_turn", output_tokens)))
}

/// Nothing for so many seconds, said as late as others say their first word.
pub(crate) fn is_busy(seconds: u64) -> Answer {
    let body = json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "too many" } }).to_string();
    let head = format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {seconds}\r\ncontent-type: application/json");
    let answer = format!("{head}\r\nconnection: close\r\n\r\n{body}").into_bytes();
    Answer::Slowly(vec![Vec::new(), answer], THINKS)
}

/// A whole reply, a word each second and a half.
pub(crate) fn says_slowly(words: &[&str]) -> Answer {
    let mut pieces = vec![ok(start(""))];
    pieces.extend(words.iter().map(|word| delta(word).into_bytes()));
    pieces.push(end("end_turn").into_bytes());
    Answer::Slowly(pieces, Duration::from_millis(1500))
}

/// The beginning of a reply that goes on once its client is gone, which is never.
pub(crate) fn begins(text: &str) -> Answer {
    Answer::Hangs(ok(start(text)))
}

/// A command with words beside it, said as slowly as others do.
pub(crate) fn says_and_runs(text: &str, command: &str) -> Answer {
    let said = ok(start(""));
    let called = call_of("exec", &json!({ "command": command }).to_string()) + &end("tool_use");
    Answer::Slowly(vec![said, delta(text).into_bytes(), called.into_bytes()], Duration::from_millis(1500))
}

/// A call of a tool, with this for its arguments, JSON or not.
pub(crate) fn calls(tool: &str, arguments: &str) -> Answer {
    Answer::Bytes(ok(start("") + &call_of(tool, arguments) + &end("tool_use")))
}

fn call_of(tool: &str, arguments: &str) -> String {
    let block = json!({ "type": "tool_use", "id": "toolu_1", "name": tool, "input": {} });
    let begun = json!({ "type": "content_block_start", "index": 1, "content_block": block });
    let delta = json!({ "type": "input_json_delta", "partial_json": arguments });
    let said = json!({ "type": "content_block_delta", "index": 1, "delta": delta });
    event(&begun) + &event(&said)
}

/// A command.
pub(crate) fn runs(command: &str) -> Answer {
    calls("exec", &json!({ "command": command }).to_string())
}
