//! What one turn may take: rounds, seconds of its own, and money.

use super::budget::{Need, NoMoney, Reserved};
use super::{Effect, Engine, Step, context};
use crate::domain::ids::TurnId;
use crate::domain::model::ModelRequest;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::domain::turn::{TurnOutcome, TurnRecord, TurnState};

/// Calls of the model in one turn.
const ROUNDS_MAX: u32 = 30;
/// Seconds that a turn may take, waiting for people not counted.
const ACTIVE_S_MAX: u32 = 30 * 60;
/// What one turn may cost.
const COST_MAX: Money = Money::from_micros(2_000_000);

/// A call that is not paid for.
#[derive(Debug)]
pub(super) struct Unpaid {
    /// For people.
    pub(super) why: String,
    /// Whether no waiting helps, but a shorter prompt may.
    pub(super) half_is_paid: bool,
}

impl Engine {
    /// Counts the time of turns that do not wait for a person, and ends those that take too long.
    pub(super) fn tick_turns(&mut self, step: &mut Step) {
        let mut late = Vec::new();
        let runs = &self.runs;
        for live in self.turns.values_mut() {
            let waits = match &live.record.state {
                TurnState::Working { run, .. } => runs.get(run).is_some_and(|run| run.record.state.is_asked_about()),
                TurnState::Queued => true,
                TurnState::Thinking { .. } | TurnState::Summarising { .. } | TurnState::Done { .. } => false,
            };
            live.record.active_s += u32::from(!waits);
            if live.record.active_s > ACTIVE_S_MAX {
                late.push((live.record.turn.clone(), live.record.state.clone(), live.caller.clone()));
            }
        }
        for (turn, state, caller) in late {
            let why = format!("it took longer than {} minutes", ACTIVE_S_MAX / 60);
            self.end_turn(&turn, TurnOutcome::Failed { why }, step);
            match state {
                TurnState::Thinking { call } | TurnState::Summarising { call } => {
                    step.effects.push(Effect::CancelModel(call));
                }
                TurnState::Working { run, .. } => self.stop_run_of_turn(&run, &caller, step),
                TurnState::Queued | TurnState::Done { .. } => {}
            }
        }
    }

    /// Reserves the worst case of a call, so that neither a cap is passed nor what its turn may cost: the
    /// reply is as long as both pay for.
    ///
    /// # Errors
    /// Why the call may not be made, for people.
    pub(super) fn reserve(
        &mut self,
        turn: &TurnId,
        request: &ModelRequest,
        summary: bool,
        now: Timestamp,
    ) -> Result<Reserved, Unpaid> {
        let cost = self.turns.get(turn).map_or(Money::ZERO, |live| live.record.cost);
        let mut need = Need {
            call: request.call.clone(),
            turn,
            person: &request.person,
            model: &request.model,
            background: summary,
            prompt_tokens_max: context::tokens_max(request),
            output_tokens_wanted: request.output_tokens_max,
        };
        let within = self.budget.output_tokens_within(&need, COST_MAX.minus(cost));
        need.output_tokens_wanted = within.ok_or_else(|| {
            let why = format!("this turn has cost {cost}, and one more call may cost more than {COST_MAX} allows it");
            Unpaid { why: format!("{why}; say `go on` if it should"), half_is_paid: cost == Money::ZERO }
        })?;
        let unpaid = |error: NoMoney| Unpaid { why: error.to_string(), half_is_paid: error.half_is_paid() };
        self.budget.reserve(need, now).map_err(unpaid)
    }
}

/// Why a turn may not call the model once more, by its rounds; `None` when it may.
pub(super) fn over_rounds(record: &TurnRecord) -> Option<String> {
    let over = record.rounds >= ROUNDS_MAX;
    over.then(|| format!("it took more than {ROUNDS_MAX} rounds; say `go on` if it should"))
}
