//! Settings that the owner changes at the command line or in a chat.

use std::sync::Arc;

use serde_json::json;

use super::budget::{Budget, Need, NoMoney, Settled};
use super::turn::note;
use super::{CONTEXT_TOKENS_DEFAULT, Effect, Engine, ModelInUse, Step, context};
use crate::domain::ids::CallId;
use crate::domain::model::{ModelFailure, ModelName, ModelReply, ModelRequest};
use crate::domain::money::{Money, Terms};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{AuditEntry, Record, SettingName};
use crate::domain::time::Timestamp;

impl Engine {
    pub(super) fn settings_asked(
        &mut self,
        by: &Principal,
        settings: Vec<(SettingName, Option<String>)>,
        step: &mut Step,
    ) {
        if by.trust != Trust::Owner || settings.is_empty() {
            return;
        }
        for (name, value) in settings {
            // The names alone: values may be keys.
            note(step, Some(by), "setting.changed", json!({ "name": name.key(), "removed": value.is_none() }));
            if let SettingName::DailyBudget { provider } = &name {
                let amount = value.as_deref().and_then(|text| text.parse().ok()).map(Money::from_micros);
                match amount {
                    Some(amount) => drop(self.daily_budgets.insert(provider.clone(), amount)),
                    None => drop(self.daily_budgets.remove(provider)),
                }
                self.amend_terms();
            }
            if name == SettingName::Model {
                // What it takes is found out next.
                let chosen = value.clone().and_then(|text| ModelName::try_from(text).ok());
                self.model = chosen.map(|name| ModelInUse { name, context_tokens: CONTEXT_TOKENS_DEFAULT });
            }
            step.records.push(Record::Setting { name, value });
        }
        step.effects.push(Effect::SettingsChanged);
    }

    pub(super) fn trial_asked(&mut self, by: &Principal, request: &ModelRequest, step: &mut Step) {
        let may = match trial(&mut self.budget, by, request, step.now) {
            Ok(records) => {
                step.records.extend(records);
                self.in_flight.insert(request.call.clone(), request.turn.clone());
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        step.effects.push(Effect::Tried { call: request.call.clone(), may });
    }

    /// The policy's prices and caps, with what the owner set beside them.
    pub(super) fn amend_terms(&mut self) {
        self.budget.set_terms(self.terms());
    }

    /// The terms of the files, with the daily budgets that the owner set laid over.
    pub(super) fn terms(&self) -> Arc<Terms> {
        let mut terms = Arc::clone(self.policy.terms());
        for (provider, amount) in &self.daily_budgets {
            terms = Arc::new(terms.with_daily(provider, *amount));
        }
        terms
    }
}

/// Reserves a call that tries a model. Returns what is to be put on record before the call.
///
/// # Errors
/// No price is known, or a cap forbids it; nothing is reserved then.
pub fn trial(
    budget: &mut Budget,
    by: &Principal,
    request: &ModelRequest,
    now: Timestamp,
) -> Result<Vec<Record>, NoMoney> {
    let need = Need {
        call: request.call.clone(),
        turn: &request.turn,
        person: &by.person,
        model: &request.model,
        background: false,
        prompt_tokens_max: context::tokens_max(request),
        output_tokens_wanted: request.output_tokens_max,
    };
    let entry = budget.reserve(need, now)?.entry;
    let detail = json!({
        "call": request.call.as_str(), "model": request.model.to_string(), "reserved_micros": entry.reserved.as_micros(),
    });
    Ok(vec![Record::Audit(audit_of(by, "model.tried", detail, now)), Record::Ledger(Box::new(entry))])
}

/// Books what a call that tried a model cost, where no core does. Returns what is to be put on record.
pub fn tried(
    budget: &mut Budget,
    by: &Principal,
    (call, outcome): (&CallId, &Result<ModelReply, ModelFailure>),
    now: Timestamp,
) -> Vec<Record> {
    let (usage, may_cost) = match outcome {
        Ok(reply) => (reply.usage.as_ref(), true),
        Err(failure) => (failure.usage.as_ref(), failure.may_cost),
    };
    let Some(Settled { entry, .. }) = budget.settle(call, usage, may_cost) else { return Vec::new() };
    let detail = json!({ "call": call.as_str(), "paid_micros": entry.settled.map(Money::as_micros) });
    vec![Record::Audit(audit_of(by, "model.settled", detail, now)), Record::Ledger(Box::new(entry))]
}

fn audit_of(by: &Principal, what: &'static str, detail: serde_json::Value, at: Timestamp) -> AuditEntry {
    AuditEntry { at, person: Some(by.person.clone()), trust: Some(by.trust), what, run: None, detail }
}
