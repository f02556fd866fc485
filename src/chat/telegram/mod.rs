//! Telegram: texts and cards as the person sees them, and the Bot API behind them.
//!
//! ```text
//!  model text ─ render ─▶ rich ─ split ─▶ HTML, a message each
//!  records ─ cards ─▶ Outgoing ─ client ─▶ Bot API ─ parse ─▶ Incoming
//! ```
//!
//! It decides nothing: who may talk and what a message sets off is for the caller. It never starts
//! work for a group, a channel, a bot, an edit or a forward, sends no link previews, and puts the
//! bot's token into nothing but addresses.

pub mod cards;
mod client;
mod error;
mod outgoing;
mod parse;
mod render;
mod rich;
mod split;
mod table;
mod text;
mod transport;

pub use client::{BOT_API, Me, Telegram, UPLOAD_BYTES_MAX};
pub use error::{SendError, TelegramError};
pub use outgoing::{Button, CAPTION_UNITS_MAX, DATA_BYTES_MAX, Outgoing, Press};
pub use parse::{FileRef, Ignored, Incoming, Message, What};
pub use render::render;
pub use text::plain;
