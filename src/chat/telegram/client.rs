//! The bot: what it asks of Telegram. One attempt each; whether and when to try again is for the
//! caller, who keeps what is to be sent.

use std::fmt;
use std::time::Duration;

use reqwest_teloxide::multipart;
use secrecy::SecretString;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teloxide::payloads::{self, setters::*};
use teloxide::requests::Payload;
use teloxide::types::{
    AllowedUpdate, BotCommand, BotCommandScope, CallbackQueryId, ChatAction, ChatId, FileId, InlineKeyboardButton,
    InlineKeyboardButtonKind, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ParseMode, ReplyMarkup,
    ReplyParameters,
};

use super::error::{SendError, TelegramError};
use super::outgoing::Outgoing;
use super::parse::{FileRef, Incoming, incoming};
use super::text::{plain, shortened};
use super::transport::{Bounds, Transport};

/// Where Telegram's own Bot API is.
pub const BOT_API: &str = "https://api.telegram.org";
/// Longest document that Telegram takes from a bot.
pub const UPLOAD_BYTES_MAX: usize = 50 << 20;
/// Longest poll, in seconds.
const POLL_SECONDS_MAX: u32 = 50;
/// Updates of one poll: as many as Telegram hands out.
const UPDATES_MAX: u8 = 100;
/// Longest notification of a press, in UTF-16 units ("0-200 characters").
const PRESS_UNITS_MAX: usize = 200;

/// How long a request may take unless told otherwise; one with a file, so many times as long.
const TIME_MAX: Duration = Duration::from_secs(30);
const FILE_TIMES: u32 = 6;
/// Longest answers, in bytes: to a poll, and to everything else.
const UPDATES_BYTES_MAX: usize = 8 << 20;
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A bot of Telegram. Its token is in no error, no log and not in `Debug`.
pub struct Telegram {
    transport: Transport,
    time_max: Duration,
}

/// What the bot is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Me {
    /// Its numeric id.
    pub id: i64,
    /// Its name in `t.me/NAME`.
    pub username: String,
}

#[derive(Deserialize)]
struct Sent {
    message_id: i32,
}

#[derive(Deserialize)]
struct File {
    file_path: Option<String>,
    file_size: Option<u64>,
}

impl fmt::Debug for Telegram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telegram").field("address", &self.transport.base()).finish_non_exhaustive()
    }
}

impl Telegram {
    /// The bot with this token, at this Bot API ([`BOT_API`], or a server of one's own); nothing is
    /// asked yet.
    ///
    /// # Errors
    /// When the token does not look like one, or the address is neither https nor http to this machine.
    pub fn new(token: SecretString, address: &str) -> Result<Self, TelegramError> {
        Ok(Self { transport: Transport::new(token, address)?, time_max: TIME_MAX })
    }

    /// The same, where a request may take so long (30 s otherwise): a poll, besides what it waits; one
    /// with a file, six times as long.
    #[must_use]
    pub fn patient(self, time_max: Duration) -> Self {
        Self { time_max, ..self }
    }

    fn bounds(&self) -> Bounds {
        Bounds { time_max: self.time_max, bytes_max: ANSWER_BYTES_MAX }
    }

    fn file_bounds(&self, bytes_max: usize) -> Bounds {
        Bounds { time_max: self.time_max.saturating_mul(FILE_TIMES), bytes_max }
    }

    /// Who the bot is.
    ///
    /// # Errors
    /// [`TelegramError::WrongToken`] when there is no such bot; any other when nobody can tell.
    pub async fn me(&self) -> Result<Me, TelegramError> {
        self.call(payloads::GetMe::new(), self.bounds()).await
    }

    /// The updates from number `offset` on, which acknowledges those before it: Telegram forgets
    /// them. Waits up to `timeout_s` (at most 50 s) for the first one; none is no error. The next
    /// offset is the last update's number and one.
    ///
    /// # Errors
    /// [`TelegramError::AnotherPoller`] when somebody else polls for this bot; others as they say.
    pub async fn updates(&self, offset: i64, timeout_s: u32) -> Result<Vec<Incoming>, TelegramError> {
        let offset = i32::try_from(offset).map_err(|error| TelegramError::BadAnswer { why: error.to_string() })?;
        let timeout_s = timeout_s.min(POLL_SECONDS_MAX);
        let poll = payloads::GetUpdates::new()
            .offset(offset)
            .limit(UPDATES_MAX)
            .timeout(timeout_s)
            .allowed_updates([AllowedUpdate::Message, AllowedUpdate::CallbackQuery]);
        let time_max = self.time_max.saturating_add(Duration::from_secs(timeout_s.into()));
        let updates: Vec<Value> = self.call(poll, Bounds { time_max, bytes_max: UPDATES_BYTES_MAX }).await?;
        updates.iter().map(incoming).collect()
    }

    /// Sends a message, with its document if it has one; returns its id in the chat. Text that
    /// Telegram refuses is sent once more, plain.
    ///
    /// # Errors
    /// [`SendError`] says whether it may have been sent all the same.
    pub async fn send(&self, chat: i64, message: &Outgoing, reply_to: Option<i32>) -> Result<i32, SendError> {
        if let Some((name, bytes)) = &message.document {
            return self.send_document(chat, message, (name, bytes), reply_to).await;
        }
        let request = |text: String, html: Option<ParseMode>| {
            let mut request = payloads::SendMessage::new(ChatId(chat), text).link_preview_options(no_preview());
            request.parse_mode = html;
            request.reply_markup = keyboard(message).map(ReplyMarkup::InlineKeyboard);
            request.reply_parameters = reply_to.map(answering);
            request
        };
        let sent = self.call::<_, Sent>(request(message.html.clone(), Some(ParseMode::Html)), self.bounds()).await;
        let sent = match sent {
            Err(error) if may_go_plain(&error) => self.call(request(plain(&message.html), None), self.bounds()).await?,
            other => other?,
        };
        Ok(sent.message_id)
    }

    async fn send_document(
        &self,
        chat: i64,
        message: &Outgoing,
        (name, bytes): (&str, &[u8]),
        reply_to: Option<i32>,
    ) -> Result<i32, SendError> {
        if bytes.len() > UPLOAD_BYTES_MAX {
            return Err(TelegramError::TooLarge { bytes_max: UPLOAD_BYTES_MAX as u64 }.into());
        }
        let form = |caption: String, html: bool| {
            let file = multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned());
            let mut form = multipart::Form::new().text("chat_id", chat.to_string()).part("document", file);
            if !caption.is_empty() {
                form = form.text("caption", caption);
            }
            if html {
                form = form.text("parse_mode", "HTML");
            }
            if let Some(keyboard) = keyboard(message) {
                form = form.text("reply_markup", json(&keyboard));
            }
            match reply_to {
                Some(to) => form.text("reply_parameters", json(&answering(to))),
                None => form,
            }
        };
        let sent = self
            .transport
            .upload::<Sent>("sendDocument", form(message.html.clone(), true), self.file_bounds(ANSWER_BYTES_MAX))
            .await;
        let sent = match sent {
            Err(error) if may_go_plain(&error) => {
                self.transport
                    .upload("sendDocument", form(plain(&message.html), false), self.file_bounds(ANSWER_BYTES_MAX))
                    .await?
            }
            other => other?,
        };
        Ok(sent.message_id)
    }

    /// Shows this instead of what the message shows now; its document stays the one it was sent with, or
    /// none. A message that shows it already is no error.
    ///
    /// # Errors
    /// [`SendError`]; an edit may be made again at any time.
    pub async fn edit(&self, chat: i64, id: i32, message: &Outgoing) -> Result<(), SendError> {
        let below = message.document.is_some();
        let edited = match self.edit_html(chat, id, message, below).await {
            Err(error) if stands_otherwise(&error) && !below => {
                let caption = message.caption.clone().unwrap_or_else(|| message.html.clone());
                self.edit_html(chat, id, &Outgoing { html: caption, ..message.clone() }, true).await
            }
            Err(error) if stands_otherwise(&error) => self.edit_html(chat, id, message, false).await,
            other => other,
        };
        match edited {
            Err(TelegramError::Refused { code: 400, why }) if why.contains("message is not modified") => Ok(()),
            other => Ok(other?),
        }
    }

    /// Edits the text, plain if Telegram cannot parse it; `below`: that below a document.
    async fn edit_html(&self, chat: i64, id: i32, message: &Outgoing, below: bool) -> Result<(), TelegramError> {
        let markup = keyboard(message);
        match self.edit_as((chat, id), (&message.html, Some(ParseMode::Html)), markup.clone(), below).await {
            Err(error) if unparsable(&error) => {
                self.edit_as((chat, id), (&plain(&message.html), None), markup, below).await
            }
            other => other,
        }
    }

    /// A keyboard that is left out is taken away.
    async fn edit_as(
        &self,
        (chat, id): (i64, i32),
        (text, parse_mode): (&str, Option<ParseMode>),
        markup: Option<InlineKeyboardMarkup>,
        below: bool,
    ) -> Result<(), TelegramError> {
        let IgnoredAny = if below {
            let mut request = payloads::EditMessageCaption::new(ChatId(chat), MessageId(id)).caption(text);
            request.parse_mode = parse_mode;
            request.reply_markup = markup;
            self.call(request, self.bounds()).await?
        } else {
            let mut request =
                payloads::EditMessageText::new(ChatId(chat), MessageId(id), text).link_preview_options(no_preview());
            request.parse_mode = parse_mode;
            request.reply_markup = markup;
            self.call(request, self.bounds()).await?
        };
        Ok(())
    }

    /// Shows for five seconds that the bot is typing.
    ///
    /// # Errors
    /// As they say; nothing is lost by one.
    pub async fn typing(&self, chat: i64) -> Result<(), TelegramError> {
        self.done(payloads::SendChatAction::new(ChatId(chat), ChatAction::Typing)).await
    }

    /// Ends the waiting of a pressed button, with a notification of at most 200 units if `text` is
    /// not empty. A press that is too old for an answer is no error.
    ///
    /// # Errors
    /// As they say.
    pub async fn answer_press(&self, id: &str, text: &str) -> Result<(), TelegramError> {
        let mut request = payloads::AnswerCallbackQuery::new(CallbackQueryId(id.to_owned()));
        if !text.is_empty() {
            request.text = Some(shortened(text, PRESS_UNITS_MAX));
        }
        match self.done(request).await {
            Err(TelegramError::Refused { code: 400, why }) if why.contains("query is too old") => Ok(()),
            other => other,
        }
    }

    /// Sets the menu of commands (name without `/`, and description) in one chat, or in all private
    /// chats that have none of their own.
    ///
    /// # Errors
    /// As they say.
    pub async fn set_commands(&self, chat: Option<i64>, commands: &[(&str, &str)]) -> Result<(), TelegramError> {
        let commands = commands.iter().map(|(name, description)| BotCommand::new(*name, *description));
        let scope = chat
            .map_or(BotCommandScope::AllPrivateChats, |chat| BotCommandScope::Chat { chat_id: ChatId(chat).into() });
        self.done(payloads::SetMyCommands::new(commands).scope(scope)).await
    }

    /// The bytes of a file that a person sent, at most `bytes_max` (Telegram itself: 20 MB).
    ///
    /// # Errors
    /// [`TelegramError::TooLarge`] before more than that was read; others as they say.
    pub async fn download(&self, file: &FileRef, bytes_max: usize) -> Result<Vec<u8>, TelegramError> {
        let too_large = TelegramError::TooLarge { bytes_max: bytes_max as u64 };
        if file.bytes.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_large);
        }
        let found: File = self.call(payloads::GetFile::new(FileId(file.id.clone())), self.bounds()).await?;
        if found.file_size.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(too_large);
        }
        let path =
            found.file_path.ok_or_else(|| TelegramError::BadAnswer { why: "a file without a path".to_owned() })?;
        self.transport.file(&path, self.file_bounds(bytes_max)).await
    }

    async fn call<P: Payload + Serialize, T: DeserializeOwned>(
        &self,
        payload: P,
        bounds: Bounds,
    ) -> Result<T, TelegramError> {
        let method = method(P::NAME);
        self.transport.call(&method, &payload, bounds).await
    }

    /// A call whose result is `True`.
    async fn done<P: Payload + Serialize>(&self, payload: P) -> Result<(), TelegramError> {
        match self.call::<P, bool>(payload, self.bounds()).await? {
            true => Ok(()),
            false => Err(TelegramError::BadAnswer { why: "`false` for a call that was accepted".to_owned() }),
        }
    }
}

/// `SendMessage` as the Bot API's description writes it: `sendMessage`.
fn method(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect()
}

fn json(value: &impl Serialize) -> String {
    // Our own types are always written.
    serde_json::to_string(value).unwrap_or_default()
}

fn unparsable(error: &TelegramError) -> bool {
    matches!(error, TelegramError::Refused { code: 400, why } if why.to_ascii_lowercase().contains("can't parse entities"))
}

/// Whether a refusal may be about how the text is written, so that it goes through plain.
fn may_go_plain(error: &TelegramError) -> bool {
    matches!(error, TelegramError::Refused { code: 400, why } if !why.contains("chat not found"))
}

/// Whether the message has a document where none was expected, or none where one was.
fn stands_otherwise(error: &TelegramError) -> bool {
    matches!(error, TelegramError::Refused { code: 400, why }
        if why.contains("there is no text in the message to edit") || why.contains("there is no caption in the message to edit"))
}

fn keyboard(message: &Outgoing) -> Option<InlineKeyboardMarkup> {
    let button = |button: &super::outgoing::Button| {
        InlineKeyboardButton::new(button.text.clone(), InlineKeyboardButtonKind::CallbackData(button.data.clone()))
    };
    let rows = message.keyboard.iter().map(|row| row.iter().map(button).collect::<Vec<_>>());
    (!message.keyboard.is_empty()).then(|| InlineKeyboardMarkup::new(rows))
}

/// A page that a link leads to is not fetched for a preview: that would carry out what stands in it.
fn no_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

fn answering(message: i32) -> ReplyParameters {
    ReplyParameters::new(MessageId(message)).allow_sending_without_reply()
}
