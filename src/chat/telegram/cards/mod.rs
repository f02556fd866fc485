//! Cards: records of the domain as messages. Pure: the same records make the same card, so a card is
//! edited by making it anew.

mod approval;
mod changes;
mod run;
mod turn;

pub use approval::{always, approval};
pub use run::{run, standing, waits};
pub use turn::{draft, note, outcome, reply};

use crate::domain::ids::PersonId;
use crate::domain::text::visible;

use super::text::shortened;

/// Longest first line of a script on a card, in UTF-16 units.
const FIRST_LINE_UNITS: usize = 80;

/// What people call a person.
pub type Names<'a> = &'a dyn Fn(&PersonId) -> String;

/// The first line of a script, with an ellipsis when that is not all of it.
fn first_line(script: &str) -> String {
    let line = shortened(&visible(script.lines().next().unwrap_or_default()), FIRST_LINE_UNITS);
    if script.lines().nth(1).is_some() && !line.ends_with('…') { format!("{line} …") } else { line }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// A time span for people.
fn span(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}
