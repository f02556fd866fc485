//! Stopping in good order: nothing new begins, what is under way gets a while to end, then it is cut; and
//! who waits is told each time. What was cut is on record as such, and turns go on after the next start.

use std::time::Duration;

use serde_json::json;

use super::turn::note;
use super::{Effect, Engine, Step, audit};
use crate::domain::ids::{CallId, PersonId, RunId, TurnId};
use crate::domain::record::RunState;
use crate::domain::run::StopCause;
use crate::domain::turn::{PostState, PostSubject, TurnState};
use crate::protocol::runner::ToRunner;

/// How far a stop has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopping {
    /// Nobody asked for one.
    #[default]
    No,
    /// Nothing new begins.
    Draining,
    /// Nothing goes on.
    Cut,
}

/// Why nothing begins any more, for people.
pub(super) const STOPS: &str = "Castoff is being stopped; nothing of it ran";

impl Engine {
    /// Runs and turns that go on by themselves: those that wait for a person do not count.
    pub fn under_way(&self) -> usize {
        let thinks = |state: &TurnState| matches!(state, TurnState::Thinking { .. } | TurnState::Summarising { .. });
        let turns = self.turns.values().filter(|live| thinks(&live.record.state)).count();
        self.runs_under_way() + turns
    }

    /// Those of them that are runs.
    pub fn runs_under_way(&self) -> usize {
        self.runs.values().filter(|live| goes_on(&live.record.state)).count()
    }

    /// Posts that are not shown yet.
    pub fn unsaid(&self) -> usize {
        let open = |state| matches!(state, PostState::Waiting | PostState::Sending);
        self.posts.values().filter(|post| self.telegram && open(post.state)).count()
    }

    /// How far a stop has come.
    pub fn stopping(&self) -> Stopping {
        self.stopping
    }

    /// Begins a stop: what is under way has so long to end.
    pub(super) fn stop_begun(&mut self, time: Duration, step: &mut Step) {
        if self.stopping != Stopping::No {
            return;
        }
        self.stopping = Stopping::Draining;
        note(step, None, "core.stopping", json!({ "under_way": self.under_way() }));
        let text = format!("Castoff is being stopped: what is under way has {} s to end", time.as_secs());
        self.inform(&text, step);
        let waiting: Vec<RunId> = self.queues.values().flatten().cloned().collect();
        for run in waiting {
            self.refuse(&run, STOPS.to_owned(), step);
        }
    }

    /// Ends what did not end by itself.
    pub(super) fn cut(&mut self, step: &mut Step) {
        self.stopping = Stopping::Cut;
        if self.under_way() == 0 {
            return;
        }
        note(step, None, "core.cut", json!({ "under_way": self.under_way() }));
        let text = "Castoff stops now: commands are ended, and a turn goes on when Castoff is back";
        self.inform(text, step);
        let running = self.runs.iter().filter(|(_, live)| live.record.state == RunState::Running);
        let running: Vec<RunId> = running.map(|(run, _)| run.clone()).collect();
        for run in running {
            audit(step, None, "run.cut", (&run, json!({})));
            step.effects.push(Effect::Tell(ToRunner::Stop { run, cause: StopCause::Shutdown }));
        }
    }

    /// Tells everybody who waits for something that is under way.
    fn inform(&mut self, text: &str, step: &mut Step) {
        let mut waiting: Vec<PersonId> = Vec::new();
        for live in self.runs.values().filter(|live| goes_on(&live.record.state)) {
            waiting.push(live.record.person.clone());
            step.effects.push(Effect::Inform { id: live.record.run.to_string(), text: text.to_owned() });
        }
        for (person, turn) in &self.talking {
            waiting.push(person.clone());
            step.effects.push(Effect::Inform { id: turn.to_string(), text: text.to_owned() });
        }
        waiting.sort();
        waiting.dedup();
        for person in waiting {
            if let Some(chat) = self.chat_of(&person) {
                self.post(&person, chat, PostSubject::Note(text.to_owned()), step);
            }
        }
    }

    /// Leaves a turn where a start takes it up again: a call of its model that nobody paid for yet.
    pub(super) fn park(&mut self, turn: &TurnId, step: &mut Step) {
        let Some(live) = self.turns.get_mut(turn) else { return };
        let call = CallId::derived(turn.as_str(), &format!("parked {}.{}", live.record.rounds, live.record.retries));
        live.record.state = TurnState::Thinking { call };
        self.keep_turn(turn, step);
    }
}

fn goes_on(state: &RunState) -> bool {
    match state {
        RunState::Planning
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing => true,
        RunState::Asking { .. } | RunState::Held { .. } | RunState::Refused { .. } | RunState::Done { .. } => false,
    }
}
