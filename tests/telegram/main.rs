//! What Castoff shows in Telegram and what it takes from there, against the project's own Bot API
//! server, whose judges are TDLib, the Bot API's description and a second client.
#![cfg(test)]

#[path = "../botapi/mod.rs"]
mod botapi;
mod cards;
mod client;
mod texts;
