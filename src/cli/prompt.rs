//! What a run asks, put to the caller at the terminal.

use std::path::Path;

use super::run::{Manner, Seen};
use super::terminal::{self, More};
use super::view;
use crate::control::client::Client;
use crate::control::wire::Answer;
use crate::domain::learned::Words;
use crate::domain::record::{RunRecord, RunState};

/// What becomes of following a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// There is more to come.
    Follow,
    /// There is nothing more to wait for here.
    Leave,
    /// The caller pressed Ctrl-C at a question, which is still open.
    Stop,
}

/// Asks the caller what the run asks.
pub(super) async fn next_step(home: &Path, seen: &mut Seen, manner: Manner) -> anyhow::Result<Next> {
    let Some(record) = &seen.record else { return Ok(Next::Follow) };
    if matches!(record.state, RunState::Held { approval: None, .. }) {
        return Ok(Next::Leave);
    }
    let Some((approval, about_plan)) = open_question(record) else { return Ok(Next::Follow) };
    if manner.watch {
        return Ok(Next::Follow);
    }
    let may_answer = !seen.asked.contains(&approval);
    // `--yes` is answered by the core; `approve` and its kin answer one question and leave the next open.
    if record.yes && may_answer {
        return Ok(Next::Follow);
    }
    let mut terminal = if may_answer && !manner.json && !manner.yes { terminal::open() } else { None };
    let Some(terminal) = terminal.as_mut() else { return Ok(Next::Leave) };
    let text = if about_plan { plan_question(record) } else { changes_question(record) };
    let question = if about_plan { "Run this once?" } else { "Let these changes land?" };
    let always = record.verdict.as_ref().map(|verdict| verdict.always.clone()).unwrap_or_default();
    let more = match (about_plan, always.is_empty()) {
        (false, _) => More::Diff,
        (true, true) => More::None,
        (true, false) => More::Always,
    };
    seen.asked.push(approval.clone());
    loop {
        let answer = terminal.ask(&text, question, more).await?;
        match answer {
            terminal::Reply::More if about_plan => {
                let sure =
                    terminal.ask(&always_question(record, &always), "Save this rule and run?", More::None).await?;
                if sure == terminal::Reply::Stop {
                    return Ok(Next::Stop);
                }
                if sure == terminal::Reply::Yes {
                    let answer = Answer { yes: true, always };
                    Client::connect(home).await?.open(&format!("/approvals/{approval}"), &answer).await?;
                    return Ok(Next::Follow);
                }
            }
            terminal::Reply::More => {
                let diff: String = Client::connect(home).await?.get(&format!("/runs/{}/diff", record.run)).await?;
                terminal.show_diff(&diff)?;
            }
            terminal::Reply::Later => return Ok(Next::Leave),
            terminal::Reply::Stop => return Ok(Next::Stop),
            terminal::Reply::Yes | terminal::Reply::No => {
                let yes = answer == terminal::Reply::Yes;
                // The stream that we already follow shows what comes of it.
                let mut client = Client::connect(home).await?;
                client.open(&format!("/approvals/{approval}"), &Answer { yes, always: Vec::new() }).await?;
                return Ok(Next::Follow);
            }
        }
    }
}

/// A question about a plan, with all of it.
pub(super) fn plan_question(record: &RunRecord) -> String {
    let plan = record.plan.as_ref().map(|plan| view::plan(record, plan)).unwrap_or_default();
    format!("castoff: this needs a yes:\n{plan}")
}

fn always_question(record: &RunRecord, always: &[Words]) -> String {
    let commands: String = always.iter().map(|words| format!("  {words}\n")).collect();
    format!(
        "castoff: from now on this runs for {} without asking, in these very words and no others:\n{commands}It lifts no \
         refusal, and reviews stay as they are. `castoff policy show` lists it, `castoff policy revoke` takes it back.\n",
        record.person
    )
}

/// A question about changes, with every one that deletes.
pub(super) fn changes_question(record: &RunRecord) -> String {
    let why = if let RunState::Held { why, .. } = &record.state { why.as_str() } else { "" };
    format!("castoff: not applied yet: it {why}\n{}\n", view::changes_to_judge(record))
}

/// The open question of a run, and whether it is about the plan.
pub(super) fn open_question(record: &RunRecord) -> Option<(String, bool)> {
    if let RunState::Asking { approval } = &record.state {
        Some((approval.to_string(), true))
    } else if let RunState::Held { approval: Some(approval), .. } = &record.state {
        Some((approval.to_string(), false))
    } else {
        None
    }
}
