//! Processes are killed where it hurts, and nothing is lost, doubled or left behind. The real program,
//! built with the feature `crash-points`, on the real engine, with a Bot API server and a model of the
//! tests' own. `make test` goes to each point once; `scripts/crashes` to each with every victim, again and
//! again, and kills at random.
#![cfg(test)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "what only other stories use")]
mod common;
#[path = "../telegram_chat/model.rs"]
#[expect(dead_code, reason = "what only other stories use")]
mod model;
#[path = "../place/mod.rs"]
#[expect(dead_code, reason = "what only other stories use")]
mod place;
#[path = "../models/raw.rs"]
#[expect(dead_code, reason = "what only the providers' tests use")]
mod raw;

mod books;
mod checks;
mod engine;
mod mind;
mod points;
mod random;
mod stage;
