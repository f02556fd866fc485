//! Conversations: what is remembered of each person's, and what no longer fits into a prompt.

use super::context;
use super::{Engine, Step};
use crate::domain::ids::{CallId, PersonId, TurnId};
use crate::domain::model::ModelRequest;
use crate::domain::record::Record;
use crate::domain::turn::{Body, Message};

/// What stands for messages that are left out of prompts without a summary.
const LEFT_OUT: &str = "\n(A part of this conversation after that is left out.)";

/// A person's conversation, as far as a prompt needs it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    next: u64,
    pub(super) bytes: usize,
}

impl Conversation {
    pub(super) fn new(messages: Vec<Message>) -> Self {
        let next = messages.last().map_or(0, |last| last.number + 1);
        let bytes = messages.iter().map(context::bytes).sum();
        Self { messages, next, bytes }
    }

    fn push(&mut self, message: Message) {
        self.next = message.number + 1;
        self.bytes += context::bytes(&message);
        if let Body::Summary { through, .. } = &message.body {
            self.messages.retain(|old| old.number > *through && !matches!(old.body, Body::Summary { .. }));
            self.messages.push(message);
            self.bytes = self.messages.iter().map(context::bytes).sum();
        } else {
            self.messages.push(message);
        }
    }
}

impl Engine {
    /// Adds to the conversation that the turn belongs to.
    pub(super) fn remember(&mut self, turn: &TurnId, body: Body, step: &mut Step) {
        let Some(person) = self.turns.get(turn).map(|live| live.record.person.clone()) else { return };
        self.say_to(&person, turn, body, step);
    }

    pub(super) fn say_to(&mut self, person: &PersonId, turn: &TurnId, body: Body, step: &mut Step) {
        let conversation = self.conversations.entry(person.clone()).or_default();
        let message =
            Message { person: person.clone(), number: conversation.next, at: step.now, turn: turn.clone(), body };
        step.records.push(Record::Message(message.clone()));
        conversation.push(message);
    }

    pub(super) fn summarise(&mut self, turn: &TurnId, older: context::Older, step: &mut Step) {
        let Some(model) = self.model.clone() else { return };
        let Some(live) = self.turns.get(turn) else { return };
        let request = ModelRequest {
            call: CallId::derived(turn.as_str(), &format!("call {}.{}", live.record.rounds, live.record.retries)),
            turn: turn.clone(),
            person: live.record.person.clone(),
            model: model.name,
            system: context::SUMMARY_SYSTEM.to_owned(),
            messages: vec![older.transcript],
            tools: Vec::new(),
            output_tokens_max: context::SUMMARY_TOKENS,
        };
        self.summary_through.insert(turn.clone(), older.through);
        self.call_model(turn, request, true, step);
    }

    pub(super) fn summarised(&mut self, turn: &TurnId, text: String, step: &mut Step) {
        if text.trim().is_empty() {
            return self.forget_older(turn, step);
        }
        if let Some(through) = self.summary_through.remove(turn) {
            self.remember(turn, Body::Summary { text, through }, step);
        }
        self.think(turn, step);
    }

    /// Leaves the older part of the conversation out of prompts, without a summary; it stays on record.
    pub(super) fn forget_older(&mut self, turn: &TurnId, step: &mut Step) {
        self.summary_through.remove(turn);
        let Some(live) = self.turns.get(turn) else { return };
        let conversation = self.conversations.entry(live.record.person.clone()).or_default();
        let half = conversation.bytes / 2;
        if let Some(older) = context::older_part(&conversation.messages, turn, half) {
            // What an earlier summary says stays.
            let before = conversation.messages.iter().find_map(|message| match &message.body {
                Body::Summary { text, .. } => Some(text.trim_end_matches(LEFT_OUT).to_owned()),
                Body::Person { .. } | Body::Model { .. } | Body::Tool { .. } | Body::Note { .. } => None,
            });
            let text = before.unwrap_or_default() + LEFT_OUT;
            self.remember(turn, Body::Summary { text, through: older.through }, step);
        }
        self.think(turn, step);
    }
}
