//! Telegram conversations from end to end: the real program, the real engine, the project's own Bot API
//! server (whose judges are TDLib, the Bot API's description and a second client), and model servers
//! that others wrote, or that say what no proper one would. A module is a story.
#![cfg(test)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "what only other stories use")]
mod common;
#[path = "../place/mod.rs"]
mod place;
#[path = "../models/raw.rs"]
#[expect(dead_code, reason = "what only the providers' tests use")]
mod raw;

mod approval;
mod conversation;
mod held;
mod hostile;
mod logs;
mod lost_answers;
mod model;
mod pairing;
mod restart;
mod slow;
mod stopping;
mod two_people;
