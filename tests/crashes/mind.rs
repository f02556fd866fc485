//! The model that people talk to here. Whatever it is asked, and however often, it says the same: what
//! comes of `do TOKEN: COMMAND` is that command and then `Done TOKEN.`, of `hello TOKEN` `Hello TOKEN.`

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::model::{runs, says};
use crate::raw::Raw;

/// A model that can be made to think until it may speak.
pub(crate) struct Mind {
    raw: Raw,
    holds: Arc<AtomicBool>,
    /// The word of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mind {
    pub(crate) fn start() -> Self {
        let (holds, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (held, heard) = (Arc::clone(&holds), Arc::clone(&asked));
        let raw = Raw::start(move |_, body| {
            let Some((token, command)) = understood(body) else { return says("Yes?") };
            heard.lock().unwrap().push(token.clone());
            if let Some(command) = command {
                return runs(&command);
            }
            while held.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
            says(&reply(&token))
        });
        Self { raw, holds, asked }
    }

    pub(crate) fn url(&self) -> &str {
        &self.raw.url
    }

    /// Whether it keeps its replies to itself.
    pub(crate) fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::Relaxed);
    }

    /// How often it was asked in the turn of this word.
    pub(crate) fn calls(&self, token: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == token).count()
    }
}

/// The reply of a turn.
pub(crate) fn reply(token: &str) -> String {
    format!("That was {token}.")
}

/// The word of what a person says, when it is for the model.
pub(crate) fn token(said: &str) -> Option<&str> {
    let rest = said.strip_prefix("do ").or_else(|| said.strip_prefix("hello "))?;
    Some(rest.split_once(": ").map_or(rest, |(token, _)| token).trim())
}

/// The word of the turn that a request is about, and the command that comes first.
fn understood(body: &str) -> Option<(String, Option<String>)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let messages = body["messages"].as_array()?;
    let said = messages.iter().rev().filter(|one| one["role"] == "user").flat_map(|one| texts(&one["content"]));
    let (verb, rest) = said
        .filter_map(|text| text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
        .find(|(verb, _)| verb == "do" || verb == "hello")?;
    let has_result = messages.last().is_some_and(|last| last["content"].to_string().contains("\"tool_result\""));
    match rest.split_once(": ") {
        Some((token, command)) if verb == "do" => Some((token.to_owned(), (!has_result).then(|| command.to_owned()))),
        _ => Some((rest.trim().to_owned(), None)),
    }
}

/// What a person said, the last first: messages that nobody answered come as one, with an empty line between them.
fn texts(content: &Value) -> Vec<String> {
    let blocks = content.as_array().into_iter().flatten().rev().filter_map(|block| block["text"].as_str());
    let texts = content.as_str().into_iter().chain(blocks);
    texts.flat_map(|text| text.rsplit("\n\n")).map(str::to_owned).collect()
}
