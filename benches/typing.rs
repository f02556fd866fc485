//! How long a person waits for a sign of life: `cargo bench --bench typing`.
//!
//! The real program between the test Bot API server and llmock. Measured at the server: from handing out
//! the update of a message to the arrival of the `sendChatAction` that shows typing, over messages of two
//! people in turns, each answered before the next. Ends with 1 when the median is beyond 50 ms. Needs what the tests of the engine need
//! (`CASTOFF_BIN_DIR`, Docker, Python).
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may fail loudly, and prints")]
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "as the tests that it borrows from")]

#[path = "../tests/common/mod.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "what only the tests use")]
mod common;
#[path = "../tests/place/mod.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "what only the tests use")]
mod place;

use std::process::ExitCode;
use std::time::Duration;

use place::{OWNER, PARTNER, Place, reply};
use serde_json::json;

/// Messages of each of the two; a person may send thirty a minute.
const MESSAGES: usize = 28;

fn main() -> ExitCode {
    let place = Place::new();
    let mut waited = Vec::new();
    for number in 0..MESSAGES {
        for person in [OWNER, PARTNER] {
            let text = format!("Reply {number}.");
            place.script(&json!([reply(&text)]));
            place.api.say(person, "what is the time?");
            place.sees(person, &[&text]);
            waited.push(place.api.typing_delay(person).expect("typing was shown"));
        }
    }
    waited.sort();
    let at = |part: usize| waited[(waited.len() * part / 100).min(waited.len() - 1)];
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "update to typing, {} messages: {:.1} ms p50, {:.1} ms p95, {:.1} ms at the most",
        waited.len(),
        millis(at(50)),
        millis(at(95)),
        millis(at(100))
    );
    if at(50) <= Duration::from_millis(50) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
