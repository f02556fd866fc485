//! Settings that the owner changes at the command line or in a chat.

use std::sync::Arc;

use serde_json::json;

use super::budget::{Alert, Budget, Need, NoMoney, Reserved};
use super::turn::note;
use super::{CONTEXT_TOKENS_DEFAULT, Effect, Engine, ModelInUse, Step, context};
use crate::domain::model::{ModelName, ModelRequest};
use crate::domain::money::Money;
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
            Ok((records, alerts)) => {
                step.records.extend(records);
                self.alert(&alerts, &request.turn, step);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        step.effects.push(Effect::Tried { call: request.call.clone(), may });
    }

    /// The policy's prices and caps, with what the owner set beside them.
    pub(super) fn amend_terms(&mut self) {
        let mut terms = Arc::clone(self.policy.terms());
        for (provider, amount) in &self.daily_budgets {
            terms = Arc::new(terms.with_daily(provider, *amount));
        }
        self.budget.set_terms(terms);
    }
}

/// Books a call that tries a model, at the worst it can cost: nobody waits for what the provider counts.
/// Returns what is to be put on record before the call, and which caps are near by it.
///
/// # Errors
/// No price is known, or a cap forbids it; nothing is booked then.
pub fn trial(
    budget: &mut Budget,
    by: &Principal,
    request: &ModelRequest,
    now: Timestamp,
) -> Result<(Vec<Record>, Vec<Alert>), NoMoney> {
    let need = Need {
        call: request.call.clone(),
        turn: &request.turn,
        person: &by.person,
        model: &request.model,
        background: false,
        prompt_tokens_max: context::tokens_max(request),
        output_tokens_wanted: request.output_tokens_max,
    };
    let Reserved { entry, .. } = budget.reserve(need, now)?;
    let settled = budget.settle(&request.call, None, true);
    let (entry, alerts) = settled.map_or((entry, Vec::new()), |settled| (settled.entry, settled.alerts));
    let detail = json!({
        "call": request.call.as_str(), "model": request.model.to_string(), "booked_micros": entry.reserved.as_micros(),
    });
    let audit = AuditEntry {
        at: now,
        person: Some(by.person.clone()),
        trust: Some(by.trust),
        what: "model.tried",
        run: None,
        detail,
    };
    Ok((vec![Record::Audit(audit), Record::Ledger(Box::new(entry))], alerts))
}
