//! A Bot API server of the project's own, in the process of the test, at a free port of loopback. It
//! is pinned to what others wrote: the Bot API's description (`api.rs`), TDLib, which parses every
//! text, and aiogram, which reads every update (`authorities.rs`). A test speaks to it as people do
//! with their phones: they write, press buttons, and look at their chat.
//!
//! When it ends, it fails the test if the client did what the Bot API does not allow.

mod api;
pub(crate) mod authorities;
mod form;
mod methods;
mod server;
mod state;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use server::Shared;
pub(crate) use state::{Fault, Shown};
use state::{State, bot, file_id, message, user};

/// Longest wait for something that a person would see.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A running server. Ended when dropped.
#[derive(Debug)]
pub(crate) struct BotApi {
    shared: Arc<Shared>,
    url: String,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl BotApi {
    /// Starts one, with nobody in it.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::new("7000000001:AAtest-token_that-nobody_may-ever-read"));
        let stop = CancellationToken::new();
        let (thread, url) = server::start(Arc::clone(&shared), stop.clone());
        Self { shared, url, stop, thread: Some(thread) }
    }

    /// Its address: the base of the Bot API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The bot's token.
    pub(crate) fn token(&self) -> &str {
        &self.shared.token
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.state());
        self.shared.bell.notify_waiters();
        self.shared.seen.notify_all();
        changed
    }

    /// A person writes to the bot; returns the message's id.
    pub(crate) fn say(&self, person: i64, text: &str) -> i32 {
        self.post(person, text, None, |_| {})
    }

    /// A person sends a document with a text below it.
    pub(crate) fn send_document(&self, person: i64, name: &str, bytes: &[u8], caption: &str) -> i32 {
        self.post(person, caption, Some((name.to_owned(), bytes.to_vec())), |_| {})
    }

    /// A person sends a photo: Telegram makes several sizes of it.
    pub(crate) fn send_photo(&self, person: i64, bytes: &[u8]) -> i32 {
        self.post(person, "", Some(("photo".to_owned(), bytes.to_vec())), |message| {
            let id = message["document"]["file_id"].clone();
            let sizes: Vec<Value> = [(90, "small"), (1280, "large"), (320, "middle")]
                .iter()
                .map(|(width, name)| {
                    let id = if *name == "large" { id.clone() } else { (*name).into() };
                    json!({ "file_id": id, "file_unique_id": name, "width": width, "height": width })
                })
                .collect();
            message.as_object_mut().unwrap().remove("document");
            message["photo"] = sizes.into();
        })
    }

    /// A person sends something, changed by `adorn` before it is handed out: a forward, a voice
    /// message, …
    pub(crate) fn post(
        &self,
        person: i64,
        text: &str,
        document: Option<(String, Vec<u8>)>,
        adorn: impl FnOnce(&mut Value),
    ) -> i32 {
        self.change(|state| {
            let id = state.next_message();
            if let Some((_, bytes)) = &document {
                state.files.insert(file_id(person, id), bytes.clone());
            }
            let shown = Shown {
                id,
                by_bot: false,
                text: text.to_owned(),
                entities: Vec::new(),
                keyboard: Vec::new(),
                document,
                reply_to: None,
                edits: 0,
            };
            let mut value = message(person, &shown);
            adorn(&mut value);
            state.append(person, shown);
            state.push("message", &value);
            id
        })
    }

    /// A person presses the button with this text; returns the id of the press.
    pub(crate) fn press(&self, person: i64, message: i32, button: &str) -> String {
        let data = {
            let mut state = self.shared.state();
            let shown = state.message(person, message.into()).expect("the message is there");
            let found = shown.keyboard.iter().flatten().find(|(text, _)| text == button);
            found.unwrap_or_else(|| panic!("no button `{button}` below: {shown}")).1.clone()
        };
        self.press_data(person, (person, message), &data)
    }

    /// Somebody presses a button with this data below a message of a chat: perhaps not theirs.
    pub(crate) fn press_data(&self, person: i64, (chat, id): (i64, i32), data: &str) -> String {
        self.change(|state| {
            let below = state.message(chat, id.into()).expect("the message is there").clone();
            let query = format!("query{}", state.requests.len() + state.notifications.len() + state.updates.len());
            let query = format!("{query}-{}", state.next_message());
            state.open_queries.push(query.clone());
            let value = json!({
                "id": query, "from": user(person), "message": message(chat, &below), "chat_instance": "1", "data": data,
            });
            state.push("callback_query", &value);
            query
        })
    }

    /// Queues an update as it is; it has the next number unless it has its own.
    pub(crate) fn update(&self, update: Value) -> i64 {
        self.change(|state| state.push_raw(update))
    }

    /// The next request of this method (or of `file`, for a download) goes wrong so.
    pub(crate) fn fail(&self, method: &str, fault: Fault) {
        self.change(|state| state.faults.entry(method.to_owned()).or_default().push_back(fault));
    }

    /// Nobody listens at the server's port any more, and every connection ends; or the server is back.
    pub(crate) fn be_away(&self, away: bool) {
        self.change(|state| state.away = away);
        self.wait("the server leaves or comes back", |state| (state.listening != away).then_some(()));
    }

    /// Every update so far comes again, as if none of them had been acknowledged.
    pub(crate) fn redeliver(&self) {
        self.change(|state| {
            let mut before: Vec<Value> = state.handed.iter().map(|(update, _)| update.clone()).collect();
            before.sort_by_key(|update| update["update_id"].as_i64());
            before.dedup();
            state.updates.extend(before);
        });
    }

    /// A person deletes all messages of their chat.
    pub(crate) fn clear(&self, person: i64) {
        self.change(|state| state.chats.entry(person).or_default().clear());
    }

    /// A person blocks the bot.
    pub(crate) fn block(&self, person: i64) {
        self.change(|state| state.blocked.push(person));
    }

    /// What a person's chat shows.
    pub(crate) fn chat(&self, person: i64) -> Vec<Shown> {
        self.shared.state().chats.get(&person).cloned().unwrap_or_default()
    }

    /// What a person's chat shows, as on a screen.
    pub(crate) fn screen(&self, person: i64) -> String {
        self.chat(person).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// What `look` finds in a person's chat, as soon as it does.
    pub(crate) fn until<T>(&self, what: &str, person: i64, look: impl Fn(&[Shown]) -> Option<T>) -> T {
        self.wait(what, |state| look(state.chats.get(&person).map_or(&[], Vec::as_slice)))
    }

    fn wait<T>(&self, what: &str, look: impl Fn(&State) -> Option<T>) -> T {
        let began = state::now();
        let mut state = self.shared.state();
        loop {
            if let Some(found) = look(&state) {
                return found;
            }
            let left = WAIT_MAX.checked_sub(began.elapsed());
            let left = left.unwrap_or_else(|| panic!("it never came that {what}; requests: {:?}", state.requests));
            (state, _) = self.shared.seen.wait_timeout(state, left).unwrap();
        }
    }

    /// Waits until a poll waits for updates.
    pub(crate) fn until_polled(&self) {
        self.wait("the client polls", |state| state.polling.then_some(()));
    }

    /// How often the bot was shown typing.
    pub(crate) fn typing(&self, person: i64) -> usize {
        self.shared.state().typing.get(&person).copied().unwrap_or(0)
    }

    /// Answers to presses: id and text.
    pub(crate) fn notifications(&self) -> Vec<(String, Option<String>)> {
        self.shared.state().notifications.clone()
    }

    /// The menu that a person sees: that of their chat, else the one for all.
    pub(crate) fn commands(&self, chat: i64) -> Vec<(String, String)> {
        let state = self.shared.state();
        let own = state.commands.get(&Some(chat)).or_else(|| state.commands.get(&None));
        own.cloned().unwrap_or_default()
    }

    /// Updates that nobody has acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.shared.state().updates.len()
    }

    /// Messages that were ever handed out: whose, the number of the update, and the text.
    pub(crate) fn updates(&self) -> Vec<(i64, i64, String)> {
        let state = self.shared.state();
        let message = |update: &Value| {
            let message = update.get("message")?;
            let person = message.pointer("/from/id")?.as_i64()?;
            Some((person, update["update_id"].as_i64()?, message.get("text")?.as_str()?.to_owned()))
        };
        let mut all: Vec<_> = state.handed.iter().filter_map(|(update, _)| message(update)).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The parameters of every request of a method so far.
    pub(crate) fn requests(&self, method: &str) -> Vec<Value> {
        let state = self.shared.state();
        state.requests.iter().filter(|(name, _)| name == method).map(|(_, parameters)| parameters.clone()).collect()
    }

    /// When each request of a method came.
    pub(crate) fn arrivals(&self, method: &str) -> Vec<Instant> {
        let state = self.shared.state();
        let all = state.requests.iter().zip(&state.arrived);
        all.filter(|((name, _), _)| name == method).map(|(_, arrived)| *arrived).collect()
    }

    /// From handing out a person's last message to the next request that shows typing in their chat.
    pub(crate) fn typing_delay(&self, person: i64) -> Option<Duration> {
        let state = self.shared.state();
        let of = |update: &Value| update.pointer("/message/from/id").and_then(Value::as_i64) == Some(person);
        let (_, handed) = state.handed.iter().rev().find(|(update, _)| of(update))?;
        let shows =
            |(method, parameters): &(String, Value)| method == "sendChatAction" && parameters["chat_id"] == person;
        let mut shown = state.requests.iter().zip(&state.arrived).filter(|(request, _)| shows(request));
        shown.find_map(|(_, arrived)| arrived.checked_duration_since(*handed))
    }

    /// What was not as the Bot API has it, taken away: for tests of this server itself.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().violations)
    }

    /// The bot's `User`, for messages of bots.
    pub(crate) fn bot_user() -> Value {
        bot()
    }

    /// A person's `User`.
    pub(crate) fn user(id: i64) -> Value {
        user(id)
    }
}

impl Drop for BotApi {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the Bot API server panicked");
            let violations = self.take_violations();
            assert!(violations.is_empty(), "not as the Bot API has it:\n{}", violations.join("\n"));
        }
    }
}
