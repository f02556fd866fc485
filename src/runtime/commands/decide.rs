//! Commands that decide about the changes of a run.

use super::{Answer, find, line_about, read, send};
use crate::chat::telegram::cards;
use crate::domain::ids::RunId;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{RunRecord, RunState};
use crate::engine::Event;
use crate::runtime::handle::{Handle, News};

/// Without an id the caller's last run: it takes back no more than that run did, and leaves alone what changed since.
pub(super) async fn undo(handle: &Handle, caller: &Principal, id: &str) -> Result<Answer, String> {
    let record = find(handle, caller, id).await?;
    let run = record.run.clone();
    let event = handle.undo(record, caller.clone());
    decided(handle, &run, event).await
}

pub(super) async fn apply(handle: &Handle, caller: &Principal, id: &str) -> Result<Answer, String> {
    let record = held(handle, caller, ("apply", id)).await?;
    let run = record.run.clone();
    let event = Event::ApplyAsked { record: Box::new(record), by: caller.clone(), paths: None };
    decided(handle, &run, event).await
}

pub(super) async fn drop_changes(handle: &Handle, caller: &Principal, id: &str) -> Result<Answer, String> {
    let record = held(handle, caller, ("drop", id)).await?;
    let run = record.run.clone();
    let event = Event::DropAsked { record: Box::new(record), by: caller.clone() };
    decided(handle, &run, event).await
}

/// The run that `id` names. Nothing is decided without one: a client makes a bare command in anybody's text a link,
/// and a tap on what a model wrote is no answer to a question.
async fn held(handle: &Handle, caller: &Principal, (command, id): (&str, &str)) -> Result<RunRecord, String> {
    if !id.is_empty() {
        return find(handle, caller, id).await;
    }
    let open = read(handle, |store| store.open_runs()).await?;
    let mine = |run: &&RunRecord| caller.trust == Trust::Owner || run.person == caller.person;
    let held = open.iter().filter(|run| matches!(run.state, RunState::Held { .. })).filter(mine);
    let lines: Vec<String> = held.map(|run| line_about(run, caller)).collect();
    let what = if lines.is_empty() { "no changes are held".to_owned() } else { lines.join("\n") };
    Err(format!("which run? Use the buttons below its card, or `/{command} ID`\n\n{what}"))
}

/// Sends a decision about a run, and says what came of it.
async fn decided(handle: &Handle, run: &RunId, event: Event) -> Result<Answer, String> {
    let mut news = handle.watch(run);
    send(handle, event).await?;
    while let Some(news) = news.recv().await {
        match news {
            News::Declined(why) => return Err(why),
            News::Record(record) if matches!(record.state, RunState::Done { .. } | RunState::Held { .. }) => {
                let left: Vec<String> = record
                    .undone
                    .iter()
                    .flat_map(|landing| &landing.conflicts)
                    .map(|conflict| format!("- not taken back: `{}`: {}", conflict.path, conflict.why))
                    .collect();
                let text = format!("`{}`: {}\n{}", record.run, cards::standing(&record), left.join("\n"));
                return Ok(Answer::Text(text.trim_end().to_owned()));
            }
            News::Record(_)
            | News::Output(..)
            | News::Progress(_)
            | News::Turn(_)
            | News::Delta(_)
            | News::Posted(_)
            | News::Tried(_) => {}
        }
    }
    Err("Castoff is shutting down".to_owned())
}
