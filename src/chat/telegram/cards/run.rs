//! Run cards: how a run went, and what can be done about it.

use crate::domain::ids::PersonId;
use crate::domain::record::{Outcome, RunRecord, RunState};
use crate::domain::run::{Ending, RunEnd};
use crate::domain::text::visible_line;

use super::super::outgoing::{Button, Outgoing, Press};
use super::super::rich::Rich;
use super::super::text::shortened;
use super::{first_line, size, span};

/// Longest reason on a run card, in UTF-16 units.
const WHY_UNITS: usize = 600;
/// Conflicts that a run card names.
const CONFLICTS_SHOWN: usize = 5;

/// The card of a run: the first line of its script, how it ended, its time and changes; buttons for
/// what can be done: Log, Diff, Undo, and Apply and Discard while changes are held without a question.
pub fn run(run: &RunRecord) -> Outgoing {
    let mut card = Rich::default();
    card.code(&first_line(&run.task.title()));
    card.say(&format!("\n{}", stand(run)));
    if let Some(end) = &run.end {
        card.say(&format!(" · {}", span(end.ended.ms_since(end.started))));
        let output = end.usage.stdout_bytes.saturating_add(end.usage.stderr_bytes);
        if output > 0 {
            card.say(&format!(" · {} of output", size(output)));
        }
    }
    if let Some(changes) = changes(run) {
        card.say(&format!(" · {changes}"));
    }
    for reached in reached(run) {
        card.say(&format!("\n⚠️ {reached}"));
    }
    if let Some(why) = why(run) {
        card.say(&format!("\n{}", shortened(&visible_line(why), WHY_UNITS)));
    }
    if let (RunState::Refused { .. }, Some(hint)) = (&run.state, suggestion(run)) {
        card.say(&format!("\nallowed: {}", shortened(&visible_line(hint), WHY_UNITS)));
    }
    conflicts(run, &mut card);
    card.say("\n");
    card.code(run.run.as_str());
    Outgoing { keyboard: keyboard(run), ..Outgoing::text(card.html()) }
}

fn suggestion(run: &RunRecord) -> Option<&str> {
    run.verdict.as_ref().and_then(|verdict| verdict.suggestion.as_deref())
}

/// Where a run stands and what became of its changes, on one line.
pub fn standing(run: &RunRecord) -> String {
    let why = why(run).map(|why| shortened(&visible_line(why), WHY_UNITS));
    let parts = [Some(stand(run)), changes(run), why];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// What a run waits for that a person has to say, and who that is.
pub fn waits(run: &RunRecord) -> Option<&'static str> {
    let own = run.verdict.as_ref().is_some_and(|verdict| verdict.approvers.contains(&run.person));
    let is_owner = run.person == PersonId::owner();
    match &run.state {
        RunState::Asking { .. } if is_owner || own => Some("waits for an answer"),
        RunState::Held { approval: Some(_), .. } if is_owner => Some("waits for an answer"),
        RunState::Asking { .. } | RunState::Held { approval: Some(_), .. } => Some("waits for the owner's answer"),
        RunState::Planning
        | RunState::Queued
        | RunState::Running
        | RunState::Refused { .. }
        | RunState::Held { approval: None, .. }
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Done { .. } => None,
    }
}

fn stand(run: &RunRecord) -> String {
    match &run.state {
        RunState::Planning => "⏳ is being planned".to_owned(),
        RunState::Asking { .. } => format!("⏳ {}", waits(run).unwrap_or_default()),
        RunState::Queued => "⏳ waits for the run before it".to_owned(),
        RunState::Running => "▶️ running".to_owned(),
        RunState::Refused { .. } => "❌ refused".to_owned(),
        RunState::Held { .. } | RunState::Applying | RunState::Dropping | RunState::Undoing | RunState::Done { .. } => {
            run.end.as_ref().map_or_else(|| "⚠️ did not run".to_owned(), |end| ending(end))
        }
    }
}

fn ending(end: &RunEnd) -> String {
    match &end.ending {
        Ending::Exited { code: 0 } => "✅ exit 0".to_owned(),
        Ending::Exited { code } => format!("⚠️ exit {code}"),
        Ending::Signalled { out_of_memory: true, .. } => "⚠️ ended for want of memory".to_owned(),
        Ending::Signalled { signal, .. } => format!("⚠️ ended by signal {signal}"),
        Ending::Failed { .. } => "⚠️ did not start".to_owned(),
        Ending::Stopped { cause } => format!("⏹ stopped: {}", cause.because()),
    }
}

/// The limits that it ran into.
fn reached(run: &RunRecord) -> Vec<String> {
    let limits = run.plan.as_ref().map(|plan| plan.limits.clone()).unwrap_or_default();
    run.end.as_ref().map(|end| end.reached(&limits)).unwrap_or_default()
}

fn changed(run: &RunRecord) -> usize {
    run.end.iter().flat_map(|end| &end.changes).map(|set| set.changes.len()).sum()
}

fn changes(run: &RunRecord) -> Option<String> {
    let number = match changed(run) {
        0 => return None,
        1 => "1 change".to_owned(),
        more => format!("{more} changes"),
    };
    let became = match &run.state {
        RunState::Held { approval: Some(_), .. } => {
            return Some(format!("{number} held, {}", waits(run).unwrap_or_default()));
        }
        RunState::Held { approval: None, .. } => "held",
        RunState::Applying => "landing",
        RunState::Dropping => "being dropped",
        RunState::Undoing => "being taken back",
        RunState::Done { changes: Outcome::Applied } => "applied",
        RunState::Done { changes: Outcome::Dropped } => "dropped",
        RunState::Done { changes: Outcome::Undone } => "taken back",
        RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Refused { .. }
        | RunState::Done { changes: Outcome::None } => return Some(number),
    };
    Some(format!("{number} {became}"))
}

fn why(run: &RunRecord) -> Option<&str> {
    match &run.state {
        RunState::Refused { why } | RunState::Held { why, .. } => Some(why),
        RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Done { .. } => match run.end.as_ref().map(|end| &end.ending) {
            Some(Ending::Failed { why }) => Some(why),
            Some(Ending::Exited { .. } | Ending::Signalled { .. } | Ending::Stopped { .. }) | None => None,
        },
    }
}

fn conflicts(run: &RunRecord, card: &mut Rich) {
    let landings = if run.undone.is_empty() { &run.landings } else { &run.undone };
    let conflicts: Vec<_> = landings.iter().flat_map(|landing| &landing.conflicts).collect();
    for conflict in conflicts.iter().take(CONFLICTS_SHOWN) {
        let text = format!("{}: {}", conflict.path, conflict.why);
        card.say(&format!("\n⚠️ left alone: {}", shortened(&visible_line(&text), WHY_UNITS / 3)));
    }
    if conflicts.len() > CONFLICTS_SHOWN {
        card.say(&format!("\n⚠️ and {} more were left alone", conflicts.len() - CONFLICTS_SHOWN));
    }
}

fn keyboard(run: &RunRecord) -> Vec<Vec<Button>> {
    let id = || run.run.clone();
    let mut first = Vec::new();
    let mut second = Vec::new();
    if run.end.is_some() {
        first.push(Press::Log(id()).button("Log"));
        if changed(run) > 0 {
            first.push(Press::Diff(id()).button("Diff"));
        }
    }
    match &run.state {
        RunState::Done { changes: Outcome::Applied } => first.push(Press::Undo(id()).button("Undo")),
        RunState::Held { approval: None, .. } => {
            second.push(Press::Apply(id()).button("Apply"));
            second.push(Press::Discard(id()).button("Discard"));
        }
        RunState::Held { approval: Some(_), .. }
        | RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing
        | RunState::Refused { .. }
        | RunState::Done { changes: Outcome::None | Outcome::Dropped | Outcome::Undone } => {}
    }
    [first, second].into_iter().filter(|row| !row.is_empty()).collect()
}
