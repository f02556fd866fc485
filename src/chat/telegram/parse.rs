//! What Telegram hands out, as the little that Castoff takes of it.
//!
//! Only a person's own new message in their private chat, and a press of one of our buttons there,
//! are work. Whatever else comes (edits, forwards, bots, channels, groups, what a newer Bot API may
//! invent) is named and ignored. Quoted text of other messages is never read.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::domain::time::Timestamp;

use super::error::TelegramError;
use super::outgoing::{Press, safe_name};

/// One update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its number: the next poll asks from the one after it.
    pub update: i64,
    /// The numeric id of who caused it, as the update itself says; 0 when it names nobody, which is
    /// no person's id.
    pub from: i64,
    /// What it is.
    pub what: What,
}

/// What an update is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A new message in the private chat of the person who wrote it.
    Message(Message),
    /// A press of one of our buttons in that person's private chat.
    Press {
        /// To be answered with [`super::Telegram::answer_press`].
        id: String,
        /// The chat: the person's id.
        chat: i64,
        /// The message with the button.
        message: i32,
        /// The button.
        press: Press,
    },
    /// Nothing that sets off work.
    Ignored {
        /// Why not.
        why: Ignored,
    },
}

/// A message of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The chat: the person's id.
    pub chat: i64,
    /// Its id in the chat.
    pub message: i32,
    /// When it was sent, to the second, by Telegram's clock.
    pub sent_at: Timestamp,
    /// Its text, or the text below its file; may be empty when there are files.
    pub text: String,
    /// Its document, or its photo in the largest size.
    pub files: Vec<FileRef>,
    /// What else it holds that is not taken, for people: `a voice message`, …
    pub unread: Option<&'static str>,
    /// The message that it answers, if any; its text is not read.
    pub reply_to: Option<i32>,
}

/// A file that a person sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// Telegram's id of it, for [`super::Telegram::download`].
    pub id: String,
    /// A file name without path, made safe.
    pub name: String,
    /// Its type, as the sender's program says.
    pub mime: Option<String>,
    /// Its length, as Telegram says.
    pub bytes: Option<u64>,
}

/// Why an update sets off no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// A message was changed afterwards.
    Edited,
    /// The words are somebody else's.
    Forwarded,
    /// A bot wrote it, or it was written through one.
    Bot,
    /// It was written in a channel, or in the name of one.
    Channel,
    /// It was written in a group.
    Group,
    /// Anything else: joins, payments, buttons that are not ours.
    Other,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    is_bot: bool,
}

#[derive(Deserialize)]
struct WireMessage {
    message_id: i32,
    date: u64,
    chat: Chat,
    from: Option<User>,
    sender_chat: Option<IgnoredAny>,
    forward_origin: Option<IgnoredAny>,
    forward_date: Option<IgnoredAny>,
    is_automatic_forward: Option<IgnoredAny>,
    via_bot: Option<IgnoredAny>,
    sender_business_bot: Option<IgnoredAny>,
    business_connection_id: Option<IgnoredAny>,
    edit_date: Option<IgnoredAny>,
    text: Option<String>,
    caption: Option<String>,
    document: Option<Document>,
    #[serde(default)]
    photo: Vec<PhotoSize>,
    reply_to_message: Option<RepliedTo>,
}

#[derive(Deserialize)]
struct Document {
    file_id: String,
    file_name: Option<String>,
    mime_type: Option<String>,
    file_size: Option<u64>,
}

#[derive(Deserialize)]
struct PhotoSize {
    file_id: String,
    width: u64,
    height: u64,
    file_size: Option<u64>,
}

#[derive(Deserialize)]
struct RepliedTo {
    message_id: i32,
}

#[derive(Deserialize)]
struct Callback {
    id: String,
    from: User,
    message: Option<CallbackMessage>,
    data: Option<String>,
}

#[derive(Deserialize)]
struct CallbackMessage {
    message_id: i32,
    chat: Chat,
}

/// What a message may hold that is not taken.
const UNREAD: &[(&str, &str)] = &[
    ("voice", "a voice message"),
    ("audio", "a sound file"),
    ("video", "a video"),
    ("video_note", "a video message"),
    ("sticker", "a sticker"),
    ("location", "a location"),
    ("contact", "a contact"),
    ("poll", "a poll"),
    ("story", "a story"),
    ("paid_media", "paid media"),
    ("checklist", "a checklist"),
    ("dice", "a dice"),
    ("game", "a game"),
    ("rich_message", "a rich message"),
];

/// The update of this JSON.
///
/// # Errors
/// [`TelegramError::BadAnswer`] when it has no number, so that it could never be acknowledged.
pub(super) fn incoming(update: &Value) -> Result<Incoming, TelegramError> {
    let number = update
        .get("update_id")
        .and_then(Value::as_i64)
        // The next one is asked for by a 32-bit number.
        .filter(|number| (0..i64::from(i32::MAX)).contains(number))
        .ok_or_else(|| TelegramError::BadAnswer { why: "an update without a number".to_owned() })?;
    let (from, what) = match (update.get("message"), update.get("callback_query")) {
        (Some(message), None) => message_of(message),
        (None, Some(callback)) => press_of(callback),
        (Some(_), Some(_)) | (None, None) => unknown(update),
    };
    Ok(Incoming { update: number, from, what })
}

fn ignored(why: Ignored) -> What {
    What::Ignored { why }
}

fn id_of(value: &Value) -> i64 {
    value.pointer("/from/id").and_then(Value::as_i64).unwrap_or(0)
}

fn unknown(update: &Value) -> (i64, What) {
    let of = |key: &str| update.get(key).map(id_of);
    if let Some(from) = of("edited_message") {
        return (from, ignored(Ignored::Edited));
    }
    match of("channel_post").or_else(|| of("edited_channel_post")) {
        Some(from) => (from, ignored(Ignored::Channel)),
        None => (0, ignored(Ignored::Other)),
    }
}

fn message_of(value: &Value) -> (i64, What) {
    match WireMessage::deserialize(value) {
        Ok(message) => {
            let from = message.from.as_ref().map_or(0, |user| user.id);
            let what = match refused(&message) {
                Some(why) => ignored(why),
                None => taken(message, value),
            };
            (from, what)
        }
        Err(_) => (id_of(value), ignored(Ignored::Other)),
    }
}

/// Why a message is no work, if it is not.
fn refused(message: &WireMessage) -> Option<Ignored> {
    let chat = chat_refused(&message.chat);
    let forwarded =
        message.forward_origin.is_some() || message.forward_date.is_some() || message.is_automatic_forward.is_some();
    let by_bot = message.via_bot.is_some()
        || message.sender_business_bot.is_some()
        || message.from.as_ref().is_some_and(|user| user.is_bot);
    let own = message.from.as_ref().is_some_and(|user| user.id == message.chat.id && user.id > 0);
    chat.or(message.sender_chat.as_ref().map(|_| Ignored::Channel))
        .or(by_bot.then_some(Ignored::Bot))
        .or(forwarded.then_some(Ignored::Forwarded))
        .or(message.edit_date.as_ref().map(|_| Ignored::Edited))
        .or((message.business_connection_id.is_some() || !own).then_some(Ignored::Other))
}

fn chat_refused(chat: &Chat) -> Option<Ignored> {
    match chat.kind.as_str() {
        "private" => None,
        "group" | "supergroup" => Some(Ignored::Group),
        "channel" => Some(Ignored::Channel),
        _ => Some(Ignored::Other),
    }
}

fn taken(message: WireMessage, value: &Value) -> What {
    let document = message.document.map(|document| FileRef {
        id: document.file_id,
        name: safe_name(document.file_name.as_deref().unwrap_or("document")),
        mime: document.mime_type,
        bytes: document.file_size,
    });
    let photo = message.photo.into_iter().max_by_key(|photo| photo.width.saturating_mul(photo.height));
    let photo = photo.map(|photo| FileRef {
        id: photo.file_id,
        name: format!("photo-{}.jpg", message.message_id),
        mime: Some("image/jpeg".to_owned()),
        bytes: photo.file_size,
    });
    let files: Vec<FileRef> = document.into_iter().chain(photo).collect();
    let unread = UNREAD.iter().find(|(key, _)| value.get(key).is_some()).map(|(_, name)| *name);
    let text = message.text.or(message.caption).unwrap_or_default();
    if text.is_empty() && files.is_empty() && unread.is_none() {
        return ignored(Ignored::Other);
    }
    What::Message(Message {
        chat: message.chat.id,
        message: message.message_id,
        sent_at: Timestamp::from_ms(message.date.saturating_mul(1000)),
        text,
        files,
        unread,
        reply_to: message.reply_to_message.map(|message| message.message_id),
    })
}

fn press_of(value: &Value) -> (i64, What) {
    let Ok(callback) = Callback::deserialize(value) else { return (id_of(value), ignored(Ignored::Other)) };
    let from = callback.from.id;
    let what = match (callback.message, callback.data.as_deref().and_then(Press::parse)) {
        _ if callback.from.is_bot => ignored(Ignored::Bot),
        (Some(message), press) => match (chat_refused(&message.chat), press) {
            (Some(why), _) => ignored(why),
            (None, Some(press)) if message.chat.id == from => {
                What::Press { id: callback.id, chat: from, message: message.message_id, press }
            }
            (None, Some(_) | None) => ignored(Ignored::Other),
        },
        (None, Some(_) | None) => ignored(Ignored::Other),
    };
    (from, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!([])),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::sample::select(vec![7_i64, 8, 0, -7]).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            prop::sample::select(vec!["private", "group", "channel", "y:aaaaaaaaaaaa"]).prop_map(Value::from),
        ]
    }

    fn update() -> impl Strategy<Value = Value> {
        let chat = json!({ "id": 7, "type": "private" });
        let user = json!({ "id": 7, "is_bot": false });
        let message = json!({ "message_id": 1, "date": 5, "chat": chat, "from": user, "text": "hi",
            "photo": [{ "file_id": "f", "width": 1, "height": 2 }], "reply_to_message": { "message_id": 3 } });
        let callback =
            json!({ "id": "q", "from": user, "data": "y:aaaaaaaaaaaa", "message": { "message_id": 2, "chat": chat } });
        let whole =
            [json!({ "update_id": 1, "message": message }), json!({ "update_id": 1, "callback_query": callback })];
        prop::sample::select(whole.to_vec())
    }

    /// Every place in a value, as JSON pointers.
    fn places(value: &Value, at: &str) -> Vec<String> {
        let inside: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{at}/{name}"), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at_item, value)| (format!("{at}/{at_item}"), value)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let deeper = inside.iter().flat_map(|(place, value)| places(value, place));
        std::iter::once(at.to_owned()).chain(deeper).collect()
    }

    proptest! {
        #[test]
        fn whatever_comes_only_the_senders_own_chat_is_work(
            whole in update(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), json_value()), 0..4),
        ) {
            let mut changed = whole;
            for (index, value) in changes {
                let places = places(&changed, "");
                if let Some(place) = changed.pointer_mut(&places[index.index(places.len())]) {
                    *place = value;
                }
            }
            if let Ok(incoming) = incoming(&changed) {
                let chat = match &incoming.what {
                    What::Message(message) => message.chat,
                    What::Press { chat, .. } => *chat,
                    What::Ignored { .. } => return Ok(()),
                };
                prop_assert!(incoming.from > 0 && chat == incoming.from, "{changed}: {incoming:?}");
                let kind = changed.pointer("/message/chat/type").or_else(|| changed.pointer("/callback_query/message/chat/type"));
                prop_assert_eq!(kind, Some(&json!("private")));
            }
        }
    }

    #[test]
    fn an_update_that_is_as_it_should_be_is_work() {
        let message = json!({ "message_id": 1, "date": 5, "chat": { "id": 7, "type": "private" },
            "from": { "id": 7, "is_bot": false }, "text": "hi", "quote": { "text": "rm" } });
        let incoming = incoming(&json!({ "update_id": 3, "message": message })).unwrap();
        let What::Message(found) = incoming.what else { panic!("{incoming:?}") };
        assert_eq!((incoming.update, incoming.from, found.text.as_str()), (3, 7, "hi"));
    }
}
