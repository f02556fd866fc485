//! What the server knows: chats as people see them, updates that wait, faults that are due.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::authorities::{Entity, validate};
use super::{api, authorities};

/// The time that every message has: the server has no clock.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The bot's own id.
pub(crate) const BOT: i64 = 7_000_000_001;

/// What goes wrong with the next request of a method.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An answer with this status and description, and nothing is done.
    Refuse(u16, &'static str),
    /// 429 with this `retry_after`, and nothing is done.
    TooMany(u64),
    /// The connection is closed before anything is done.
    DropBefore,
    /// It is done, and the connection is closed instead of an answer.
    DropAfter,
    /// It is done, and the answer comes so much later.
    Slow(Duration),
    /// It is done, and this is answered with this status instead.
    Answer(u16, Vec<u8>),
    /// The request is sent on to this address.
    Redirect(String),
}

/// A message as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its id in the chat.
    pub(crate) id: i32,
    /// Whether the bot wrote it.
    pub(crate) by_bot: bool,
    /// Its text, or the text below its document.
    pub(crate) text: String,
    /// How the text is styled.
    pub(crate) entities: Vec<Entity>,
    /// Rows of buttons: text and data.
    pub(crate) keyboard: Vec<Vec<(String, String)>>,
    /// Name and bytes.
    pub(crate) document: Option<(String, Vec<u8>)>,
    /// The message that it answers.
    pub(crate) reply_to: Option<i32>,
    /// How often it was edited.
    pub(crate) edits: u32,
}

impl fmt::Display for Shown {
    /// As on a screen: who, text, document, buttons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.by_bot { "◀" } else { "▶" }, self.text.replace('\n', "\n  "))?;
        if let Some((name, bytes)) = &self.document {
            write!(f, "\n  📎 {name} ({} bytes)", bytes.len())?;
        }
        for row in &self.keyboard {
            let buttons: Vec<String> = row.iter().map(|(text, _)| format!("[{text}]")).collect();
            write!(f, "\n  {}", buttons.join(" "))?;
        }
        Ok(())
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) chats: BTreeMap<i64, Vec<Shown>>,
    pub(crate) blocked: Vec<i64>,
    pub(crate) files: HashMap<String, Vec<u8>>,
    pub(crate) updates: VecDeque<Value>,
    pub(crate) allowed: Option<Vec<String>>,
    pub(crate) faults: HashMap<String, VecDeque<Fault>>,
    pub(crate) requests: Vec<(String, Value)>,
    /// When each of them came.
    pub(crate) arrived: Vec<Instant>,
    /// Updates that were ever handed out, and when.
    pub(crate) handed: Vec<(Value, Instant)>,
    /// Whether nobody listens at the server's port.
    pub(crate) away: bool,
    pub(crate) listening: bool,
    pub(crate) typing: HashMap<i64, usize>,
    pub(crate) open_queries: Vec<String>,
    pub(crate) notifications: Vec<(String, Option<String>)>,
    pub(crate) commands: BTreeMap<Option<i64>, Vec<(String, String)>>,
    /// What the client did that the Bot API's description does not allow, or what this server itself
    /// got wrong by the judgement of others.
    pub(crate) violations: Vec<String>,
    /// Counts polls: a later one ends an earlier one.
    pub(crate) poll: u64,
    pub(crate) polling: bool,
    last_update: i64,
    last_message: i32,
}

impl State {
    /// A number that no message had.
    pub(crate) fn next_message(&mut self) -> i32 {
        self.last_message += 1;
        self.last_message
    }

    /// Queues an update, unless the client asked not to have its kind; returns its number.
    pub(crate) fn push(&mut self, kind: &str, value: &Value) -> i64 {
        self.last_update += 1;
        let update = json!({ "update_id": self.last_update, kind: value });
        if let Err(error) = api::check_type("Update", &update) {
            self.violations.push(format!("the server itself: {error}"));
        }
        if let Err(error) = validate("Update", &update) {
            self.violations.push(format!("the server itself, says the second client: {error}"));
        }
        if self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|one| one == kind)) {
            self.updates.push_back(update);
        }
        self.last_update
    }

    /// Queues JSON as it is, with the next number unless it has one: what no Telegram would send.
    pub(crate) fn push_raw(&mut self, mut update: Value) -> i64 {
        self.last_update += 1;
        if let Some(object) = update.as_object_mut() {
            object.entry("update_id").or_insert_with(|| self.last_update.into());
        }
        self.updates.push_back(update);
        self.last_update
    }

    /// Up to `limit` updates that wait, handed out now.
    pub(crate) fn hand_out(&mut self, limit: usize) -> Value {
        let waiting: Vec<Value> = self.updates.iter().take(limit).cloned().collect();
        self.handed.extend(waiting.iter().map(|update| (update.clone(), now())));
        waiting.into()
    }

    /// Puts a request on record.
    pub(crate) fn request(&mut self, method: &str, parameters: &Value) {
        self.requests.push((method.to_owned(), parameters.clone()));
        self.arrived.push(now());
    }

    /// Appends a message to a chat.
    pub(crate) fn append(&mut self, chat: i64, shown: Shown) {
        self.chats.entry(chat).or_default().push(shown);
    }

    /// A message of a chat.
    pub(crate) fn message(&mut self, chat: i64, id: i64) -> Option<&mut Shown> {
        self.chats.get_mut(&chat)?.iter_mut().find(|shown| i64::from(shown.id) == id)
    }

    /// The fault that is due for a method.
    pub(crate) fn fault(&mut self, method: &str) -> Option<Fault> {
        self.faults.get_mut(method)?.pop_front()
    }
}

#[expect(clippy::disallowed_methods, reason = "the server tells how long the client took")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A person's `User`.
pub(crate) fn user(id: i64) -> Value {
    json!({ "id": id, "is_bot": false, "first_name": format!("Person {id}"), "language_code": "en" })
}

/// The bot's `User`.
pub(crate) fn bot() -> Value {
    json!({ "id": BOT, "is_bot": true, "first_name": "Castoff", "username": "castoff_test_bot" })
}

/// A private `Chat`.
pub(crate) fn chat(id: i64) -> Value {
    json!({ "id": id, "type": "private", "first_name": format!("Person {id}") })
}

/// A `Message` of a private chat, as it is shown.
pub(crate) fn message(chat_id: i64, shown: &Shown) -> Value {
    let from = if shown.by_bot { bot() } else { user(chat_id) };
    let mut message = json!({ "message_id": shown.id, "from": from, "date": NOW, "chat": chat(chat_id) });
    let (text, entities) =
        if shown.document.is_some() { ("caption", "caption_entities") } else { ("text", "entities") };
    if !shown.text.is_empty() {
        message[text] = shown.text.clone().into();
    }
    if !shown.entities.is_empty() {
        message[entities] = serde_json::to_value(&shown.entities).unwrap();
    }
    if let Some((name, bytes)) = &shown.document {
        message["document"] = json!({
            "file_id": file_id(chat_id, shown.id), "file_unique_id": format!("u{}", shown.id),
            "file_name": name, "file_size": bytes.len(),
        });
    }
    if !shown.keyboard.is_empty() {
        let button = |(text, data): &(String, String)| json!({ "text": text, "callback_data": data });
        let rows: Vec<Vec<Value>> = shown.keyboard.iter().map(|row| row.iter().map(button).collect()).collect();
        message["reply_markup"] = json!({ "inline_keyboard": rows });
    }
    if shown.edits > 0 {
        message["edit_date"] = NOW.into();
    }
    message
}

/// The id of a message's file.
pub(crate) fn file_id(chat: i64, message: i32) -> String {
    format!("file-{chat}-{message}")
}

/// Text and entities of what a client sends, or Telegram's reason against it. `most` is in units.
pub(crate) fn parsed(text: &str, mode: Option<&str>, most: usize) -> Result<authorities::Parsed, String> {
    if text.len() > 1 << 15 {
        return Err("Bad Request: text is too long".to_owned());
    }
    let mut parsed = match mode {
        None => authorities::Parsed { text: text.to_owned(), entities: Vec::new() },
        Some("HTML") => authorities::parse_html(text).map_err(|error| {
            let mut error = error;
            error.get_mut(..1).map(str::make_ascii_lowercase);
            format!("Bad Request: {error}")
        })?,
        Some(_) => return Err("Bad Request: unsupported parse_mode".to_owned()),
    };
    parsed.text.truncate(parsed.text.trim_end().len());
    if parsed.text.encode_utf16().count() > most {
        let what = if most == 1024 { "message caption is too long" } else { "message is too long" };
        return Err(format!("Bad Request: {what}"));
    }
    Ok(parsed)
}
