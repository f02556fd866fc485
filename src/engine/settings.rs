//! Settings that the owner changes at the command line or in a chat.

use std::sync::Arc;

use serde_json::json;

use super::turn::note;
use super::{CONTEXT_TOKENS_DEFAULT, Effect, Engine, ModelInUse, Step};
use crate::domain::model::ModelName;
use crate::domain::money::Money;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{Record, SettingName};

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

    /// The policy's prices and caps, with what the owner set beside them.
    pub(super) fn amend_terms(&mut self) {
        let mut terms = Arc::clone(self.policy.terms());
        for (provider, amount) in &self.daily_budgets {
            terms = Arc::new(terms.with_daily(provider, *amount));
        }
        self.budget.set_terms(terms);
    }
}
