//! What Castoff shows in Telegram and what it takes from there, against the project's own Bot API
//! server, whose judges are TDLib, the Bot API's description and a second client.
#![cfg(test)]

#[path = "../botapi/mod.rs"]
#[expect(dead_code, reason = "what only the stories use")]
mod botapi;
mod cards;
mod client;
mod texts;
