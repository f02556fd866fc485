//! What a turn looks like while it goes on, and its reply.

use crate::domain::model::ToolCall;
use crate::domain::text::visible_line;
use crate::domain::turn::{TurnOutcome, TurnRecord, TurnState};

use super::super::outgoing::{Outgoing, ROOM_UNITS};
use super::super::render;
use super::super::rich::{Rich, html};
use super::super::split::{MESSAGE_MAX, split};
use super::super::text::{shortened, units};
use super::first_line;

/// Messages of one reply; a longer one is sent as a file.
const REPLY_MESSAGES_MAX: usize = 6;
/// Longest line about what a turn is doing, in UTF-16 units.
const DOING_UNITS: usize = 200;
/// What is shown of a reply while it is being written, from its end, in UTF-16 units.
const DRAFT_UNITS: usize = 3000;

/// The message of a turn that is not over: a line about what it is doing, and what it waits for if that takes
/// longer, and the end of what it has written so far.
pub fn draft(turn: &TurnRecord, waits: Option<&str>, so_far: &str) -> Outgoing {
    let mut card = Rich::default();
    let waits = waits.map(|waits| format!(" {}", shortened(&visible_line(waits), DOING_UNITS))).unwrap_or_default();
    card.italic(&format!("castoff: {}{waits}", doing(&turn.state)));
    let tail = tail(so_far);
    if tail.chars().any(|character| !character.is_whitespace()) {
        card.border(2, false);
        card.runs.extend(render::rich(tail).runs);
    }
    let mut most = MESSAGE_MAX;
    most.units -= ROOM_UNITS;
    let parts = split(&card.runs, most);
    Outgoing::text(parts.first().map(|part| html(part)).unwrap_or_default())
}

/// What a turn is doing, for people.
fn doing(state: &TurnState) -> String {
    match state {
        TurnState::Queued => "queued until the turn before it is over".to_owned(),
        TurnState::Thinking { .. } => "thinking…".to_owned(),
        TurnState::Summarising { .. } => "summing up the conversation so far…".to_owned(),
        TurnState::Working { call, .. } => work(call),
        TurnState::Done { .. } => "done".to_owned(),
    }
}

fn work(call: &ToolCall) -> String {
    let argument = |name: &str| call.arguments.get(name).and_then(serde_json::Value::as_str);
    let about = argument("command").map(first_line).or_else(|| argument("path").map(visible_line)).unwrap_or_default();
    // It may wait for a yes: whether it runs its own card says.
    let tool = if call.name == "exec" { "command:".to_owned() } else { visible_line(&call.name) };
    let line = shortened(format!("{tool} {about}").trim_end(), DOING_UNITS);
    if line.ends_with('…') { line } else { format!("{line}…") }
}

fn tail(text: &str) -> &str {
    let mut left = DRAFT_UNITS;
    for (index, character) in text.char_indices().rev() {
        match left.checked_sub(character.len_utf16()) {
            Some(rest) => left = rest,
            None => {
                let rest = text.get(index..).unwrap_or_default();
                // From the next line on, so that it does not begin in the middle of a sentence.
                return rest.split_once('\n').map_or(rest, |(_, lines)| lines);
            }
        }
    }
    text
}

/// The messages of a reply, in order; one that takes more than six is sent as its beginning, with
/// the whole of it as a file.
pub fn reply(text: &str) -> Vec<Outgoing> {
    let runs = render::rich(text).runs;
    let mut most = MESSAGE_MAX;
    most.units -= ROOM_UNITS;
    let parts = split(&runs, most);
    if parts.len() <= REPLY_MESSAGES_MAX {
        let messages: Vec<_> = parts.iter().map(|part| Outgoing::text(html(part))).collect();
        return if messages.is_empty() { note("The model sent an empty reply.") } else { messages };
    }
    let mut messages: Vec<_> = parts.first().map(|part| Outgoing::text(html(part))).into_iter().collect();
    let length = format!("The reply goes on; the file has all of it ({} characters).", units(text));
    let mut below = Rich::default();
    below.say(&length);
    messages.push(Outgoing::document("reply.md", text.as_bytes().to_vec(), below.html()));
    messages
}

/// The messages of a turn that is over.
pub fn outcome(outcome: &TurnOutcome) -> Vec<Outgoing> {
    match outcome {
        TurnOutcome::Replied { text } => reply(text),
        TurnOutcome::Stopped => note("Stopped."),
        TurnOutcome::Failed { why } => note(&format!("It could not go on: {why}")),
    }
}

/// The messages of a text by Castoff itself: as it is, without any markup; none for an empty one.
pub fn note(text: &str) -> Vec<Outgoing> {
    let mut card = Rich::default();
    card.say(text);
    let mut most = MESSAGE_MAX;
    most.units -= ROOM_UNITS;
    split(&card.runs, most).iter().map(|part| Outgoing::text(html(part))).collect()
}
