//! Turns: from a person's words to the reply. One live turn a person; the next ones wait.
//!
//! ```text
//!  Queued ──▶ Thinking ── text alone ───────────────────────▶ Done (replied)
//!     │        ▲  │  ╲── no longer fits ──▶ Summarising ─┐
//!     │        │  │ calls                     ◀──────────┘ (back to Thinking)
//!     │        │  ▼
//!     │        Working   one call after another, each a run of its own
//!     ▼
//!  Done (stopped, failed): /stop, no money, no model, a limit, a failure of the model's
//! ```
//!
//! INVARIANT: no call of a model without a reservation in the same step, and no answer without its
//! settlement. A call that was under way when Castoff stopped is booked, and made again once.

use serde_json::json;

use super::budget::{Alert, Settled};
use super::context::{self, Size};
use super::{Effect, Engine, Step, Stopping, keep};
use super::{limits, pace};
use crate::domain::ids::{CallId, PersonId, TurnId};
use crate::domain::model::{FailureKind, ModelFailure, ModelReply, ModelRequest, ModelStop};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{AuditEntry, Record, RunState};
use crate::domain::turn::{Body, Channel, TurnOutcome, TurnRecord, TurnState};

use super::serve::{Called, HeadTail};

/// Messages of one person that may wait for their live turn.
const WAITING_MAX: usize = 8;

/// What a person says.
#[derive(Debug, Clone)]
pub struct Saying {
    /// A fresh id for the turn.
    pub turn: TurnId,
    /// Who.
    pub caller: Principal,
    /// Where, and where the reply goes.
    pub channel: Channel,
    /// The words.
    pub text: String,
}

/// A turn that is not over.
#[derive(Debug)]
pub(super) struct LiveTurn {
    pub(super) record: TurnRecord,
    pub(super) caller: Principal,
    /// Calls after the one that is being served.
    pub(super) calls: std::collections::VecDeque<Called>,
    /// What the present run has said.
    pub(super) output: HeadTail,
    /// Its prompts are half as long, because one was too long for the model or for any budget.
    shortened: bool,
}

impl LiveTurn {
    pub(super) fn new(record: TurnRecord, caller: Principal) -> Self {
        Self { record, caller, calls: std::collections::VecDeque::new(), output: HeadTail::default(), shortened: false }
    }
}

impl Engine {
    pub(super) fn said(&mut self, saying: Saying, step: &mut Step) {
        let Saying { turn, caller, channel, text } = saying;
        if self.turns.contains_key(&turn) || caller.trust < Trust::Limited {
            return;
        }
        let person = caller.person.clone();
        let record = TurnRecord::new(turn.clone(), person.clone(), channel, step.now, text);
        note(step, Some(&caller), "turn.asked", json!({ "turn": turn.as_str(), "bytes": record.text.len() }));
        self.turns.insert(turn.clone(), LiveTurn::new(record, caller));
        self.keep_turn(&turn, step);
        if !self.said_lately.may(&person, pace::MESSAGES, step.now) {
            let why = format!("more than {} messages within a minute; wait a little", pace::MESSAGES.most);
            return self.end_turn(&turn, TurnOutcome::Failed { why }, step);
        }
        let waiting = self.waiting.entry(person.clone()).or_default();
        waiting.push_back(turn.clone());
        if waiting.len() > WAITING_MAX {
            waiting.pop_back();
            let why = format!("{WAITING_MAX} of your messages wait already; `/stop` ends the one under way");
            self.end_turn(&turn, TurnOutcome::Failed { why }, step);
            return;
        }
        self.next_turn(&person, step);
    }

    /// Begins the person's next turn, if none is under way.
    pub(super) fn next_turn(&mut self, person: &PersonId, step: &mut Step) {
        // What is said while Castoff stops waits for the next start.
        while self.stopping == Stopping::No && !self.talking.contains_key(person) {
            let Some(turn) = self.waiting.get_mut(person).and_then(std::collections::VecDeque::pop_front) else {
                self.waiting.remove(person);
                return;
            };
            let Some(live) = self.turns.get(&turn) else { continue };
            let text = live.record.text.clone();
            self.talking.insert(person.clone(), turn.clone());
            self.remember(&turn, Body::Person { text }, step);
            self.think(&turn, step);
        }
    }

    /// Calls the model with the conversation as it stands, or ends the turn with the reason why not.
    pub(super) fn think(&mut self, turn: &TurnId, step: &mut Step) {
        if self.stopping == Stopping::Cut {
            return self.park(turn, step);
        }
        let Some(model) = self.model.clone() else {
            let why = "no model is set, so I cannot think; everything else works.\n\
                       hint: `castoff setup`, or `castoff config --model ollama/NAME` (local) or `anthropic/NAME` with \
                       `castoff config --api-key`; `/run COMMAND` runs a command without a model"
                .to_owned();
            return self.end_turn(turn, TurnOutcome::Failed { why }, step);
        };
        let Some(live) = self.turns.get(turn) else { return };
        let known = self.policy.principal(live.caller.person.as_str());
        if known.is_none_or(|person| person.trust < Trust::Limited) {
            let why = "you are not on the list any more".to_owned();
            return self.end_turn(turn, TurnOutcome::Failed { why }, step);
        }
        if let Some(why) = limits::over_rounds(&live.record) {
            return self.end_turn(turn, TurnOutcome::Failed { why }, step);
        }
        let (system, tools) = self.place(&live.caller, step.now);
        let size = Size::of(model.context_tokens, &system, &tools);
        let person = live.record.person.clone();
        let conversation = self.conversations.entry(person).or_default();
        if conversation.bytes > size.crowded_bytes
            && let Some(older) = context::older_part(&conversation.messages, turn, size.summary_bytes)
        {
            return self.summarise(turn, older, step);
        }
        let room_bytes = if live.shortened { size.room_bytes / 2 } else { size.room_bytes };
        let mut messages = context::prompt(&conversation.messages, room_bytes);
        if !context::fit(&mut messages, room_bytes) {
            let why = context::too_long(&messages, &model.name, room_bytes);
            return self.end_turn(turn, TurnOutcome::Failed { why }, step);
        }
        let request = ModelRequest {
            call: CallId::derived(turn.as_str(), &format!("call {}.{}", live.record.rounds, live.record.retries)),
            turn: turn.clone(),
            person: live.record.person.clone(),
            model: model.name,
            system,
            messages,
            tools,
            output_tokens_max: size.output_tokens,
        };
        self.call_model(turn, request, false, step);
    }

    /// Reserves the worst case and calls the model; a turn that has no money ends with the reason.
    pub(super) fn call_model(&mut self, turn: &TurnId, mut request: ModelRequest, summary: bool, step: &mut Step) {
        let reserved = match self.reserve(turn, &request, summary, step.now) {
            Ok(reserved) => reserved,
            // What no summary can be paid for is left out of the prompt instead.
            Err(_) if summary => return self.forget_older(turn, step),
            Err(unpaid) => {
                if unpaid.half_is_paid
                    && let Some(live) = self.turns.get_mut(turn).filter(|live| !live.shortened)
                {
                    live.shortened = true;
                    return self.forget_older(turn, step);
                }
                return self.end_turn(turn, TurnOutcome::Failed { why: unpaid.why }, step);
            }
        };
        request.output_tokens_max = reserved.output_tokens_max;
        let Some(live) = self.turns.get_mut(turn) else { return };
        live.record.model = Some(request.model.clone());
        live.record.rounds += 1;
        live.record.cost = live.record.cost.plus(reserved.entry.reserved);
        let call = request.call.clone();
        live.record.state = if summary { TurnState::Summarising { call } } else { TurnState::Thinking { call } };
        let detail = json!({
            "turn": turn.as_str(), "call": request.call.as_str(), "model": request.model.to_string(),
            "reserved_micros": reserved.entry.reserved.as_micros(), "messages": request.messages.len(),
        });
        note(step, Some(&live.caller), "model.called", detail);
        step.records.push(Record::Ledger(Box::new(reserved.entry)));
        self.in_flight.insert(request.call.clone(), turn.clone());
        self.keep_turn(turn, step);
        step.effects.push(Effect::CallModel(Box::new(request)));
    }

    /// Books what a call cost. Returns its turn, when that still waits for it.
    fn settle(
        &mut self,
        call: &CallId,
        usage: Option<&crate::domain::model::TokenUsage>,
        may_cost: bool,
        step: &mut Step,
    ) -> Option<TurnId> {
        let turn = self.in_flight.remove(call)?;
        if let Some(Settled { entry, beyond, alerts }) = self.budget.settle(call, usage, may_cost) {
            let paid = entry.settled.unwrap_or(entry.reserved);
            let detail = json!({
                "turn": turn.as_str(), "call": call.as_str(), "paid_micros": paid.as_micros(),
                "reserved_micros": entry.reserved.as_micros(), "beyond_micros": beyond.as_micros(), "usage": entry.usage,
            });
            note(step, None, "model.settled", detail);
            if let Some(live) = self.turns.get_mut(&turn) {
                live.record.cost = live.record.cost.minus(entry.reserved).plus(paid);
            }
            step.records.push(Record::Ledger(Box::new(entry)));
            self.alert(&alerts, &turn, step);
        }
        let state = self.turns.get(&turn).map(|live| &live.record.state);
        let waits = matches!(state,
            Some(TurnState::Thinking { call: other } | TurnState::Summarising { call: other }) if other == call);
        waits.then_some(turn)
    }

    pub(super) fn model_replied(&mut self, call: &CallId, reply: ModelReply, calls: Vec<Called>, step: &mut Step) {
        let Some(turn) = self.settle(call, reply.usage.as_ref(), true, step) else { return };
        let Some(live) = self.turns.get_mut(&turn) else { return };
        if matches!(live.record.state, TurnState::Summarising { .. }) {
            return self.summarised(&turn, reply.text, step);
        }
        let ModelReply { text, stop, .. } = reply;
        // What it wanted before it declined is not done.
        live.calls = if stop == ModelStop::Refusal { Default::default() } else { calls.into() };
        let body =
            Body::Model { text: text.clone(), calls: live.calls.iter().map(|called| called.call.clone()).collect() };
        let done = live.calls.is_empty();
        if done && text.trim().is_empty() {
            let why = match stop {
                ModelStop::Refusal => "the model declined to answer this",
                ModelStop::Length => "the model's answer was cut off before it said anything; try a shorter question",
                ModelStop::End | ModelStop::Tools => "the model gave an empty answer; say it again, or in other words",
            };
            return self.end_turn(&turn, TurnOutcome::Failed { why: why.to_owned() }, step);
        }
        self.remember(&turn, body, step);
        if !done {
            return self.serve_next(&turn, step);
        }
        let text = match stop {
            ModelStop::Length => format!("{text}\n\n(cut off here: the longest reply was reached)"),
            ModelStop::Refusal => format!("{text}\n\n(the model declined to go on here)"),
            ModelStop::End | ModelStop::Tools => text,
        };
        self.end_turn(&turn, TurnOutcome::Replied { text }, step);
    }

    pub(super) fn model_failed(&mut self, call: &CallId, failure: ModelFailure, step: &mut Step) {
        let Some(turn) = self.settle(call, failure.usage.as_ref(), failure.may_cost, step) else { return };
        let Some(live) = self.turns.get_mut(&turn) else { return };
        if matches!(live.record.state, TurnState::Summarising { .. }) {
            return self.forget_older(&turn, step);
        }
        if failure.kind == FailureKind::TooLong && !live.shortened {
            live.shortened = true;
            return self.forget_older(&turn, step);
        }
        self.end_turn(&turn, TurnOutcome::Failed { why: failure.why }, step);
    }

    /// A person ends a turn of theirs, the one under way if none is named (the owner anybody's).
    pub(super) fn turn_stop_asked(&mut self, of: (&PersonId, Option<TurnId>), by: &Principal, step: &mut Step) {
        let (person, turn) = of;
        if by.trust != Trust::Owner && by.person != *person {
            return;
        }
        let Some(turn) = turn.or_else(|| self.talking.get(person).cloned()) else { return };
        let Some(live) = self.turns.get(&turn).filter(|live| live.record.person == *person) else { return };
        note(step, Some(by), "turn.stop-asked", json!({ "turn": turn.as_str() }));
        let state = live.record.state.clone();
        self.end_turn(&turn, TurnOutcome::Stopped, step);
        match state {
            TurnState::Thinking { call } | TurnState::Summarising { call } => {
                step.effects.push(Effect::CancelModel(call));
            }
            TurnState::Working { run, .. } => self.stop_run_of_turn(&run, by, step),
            TurnState::Queued => {
                self.waiting.entry(person.clone()).and_modify(|waiting| waiting.retain(|other| *other != turn));
            }
            TurnState::Done { .. } => {}
        }
    }

    /// Ends a turn. Calls that were not served get a result, so that the conversation stays whole.
    pub(super) fn end_turn(&mut self, turn: &TurnId, outcome: TurnOutcome, step: &mut Step) {
        let Some(live) = self.turns.get(turn) else { return };
        let person = live.record.person.clone();
        let mut open = Vec::new();
        if let TurnState::Working { call, run, .. } = &live.record.state {
            open.push((call.clone(), Some(run.clone())));
            // What became of it is shown where its turn was.
            if let (Channel::Telegram { chat, .. }, Some(served)) = (&live.record.channel, self.runs.get_mut(run))
                && matches!(served.record.state, RunState::Running | RunState::Applying)
            {
                served.record.chat = Some(*chat);
                keep(&served.record, step);
            }
        }
        open.extend(live.calls.iter().map(|called| (called.call.clone(), None)));
        for (call, run) in open {
            let text = "not done: the turn ended before this".to_owned();
            self.remember(turn, Body::Tool { call: call.id, name: call.name, text, failed: true, run }, step);
        }
        match &outcome {
            TurnOutcome::Replied { .. } => {}
            TurnOutcome::Stopped => self.remember(turn, Body::Note { text: "stopped".to_owned() }, step),
            TurnOutcome::Failed { why } => self.remember(turn, Body::Note { text: why.clone() }, step),
        }
        let Some(live) = self.turns.get_mut(turn) else { return };
        let how = match &outcome {
            TurnOutcome::Replied { .. } => "replied",
            TurnOutcome::Stopped => "stopped",
            TurnOutcome::Failed { .. } => "failed",
        };
        live.record.state = TurnState::Done { outcome };
        let detail = json!({
            "turn": turn.as_str(), "how": how, "rounds": live.record.rounds, "cost_micros": live.record.cost.as_micros(),
        });
        note(step, None, "turn.done", detail);
        self.keep_turn(turn, step);
        self.turns.remove(turn);
        if self.talking.get(&person) == Some(turn) {
            self.talking.remove(&person);
            self.next_turn(&person, step);
        }
    }

    /// Tells the owner that a cap is near.
    pub(super) fn alert(&mut self, alerts: &[Alert], turn: &TurnId, step: &mut Step) {
        for alert in alerts {
            note(step, None, "budget.alert", json!({ "text": alert.to_string() }));
            let owner = PersonId::owner();
            self.say_to(&owner, turn, Body::Note { text: alert.to_string() }, step);
            self.post_to_owner(alert.to_string(), step);
        }
    }

    pub(super) fn keep_turn(&self, turn: &TurnId, step: &mut Step) {
        let Some(live) = self.turns.get(turn) else { return };
        step.records.push(Record::Turn(Box::new(live.record.clone())));
        step.effects.push(Effect::ShowTurn(Box::new(live.record.clone())));
    }
}

/// Adds an audit entry that is about no run.
pub(super) fn note(step: &mut Step, by: Option<&Principal>, what: &'static str, detail: serde_json::Value) {
    step.records.push(Record::Audit(AuditEntry {
        at: step.now,
        person: by.map(|by| by.person.clone()),
        trust: by.map(|by| by.trust),
        what,
        run: None,
        detail,
    }));
}
