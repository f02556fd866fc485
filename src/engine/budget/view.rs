//! Where the caps stand, for people and scripts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::PersonId;
use crate::domain::money::Terms;

use super::windows::{Cap, Ledger, Window};

/// All providers, by name: those of the limits, and others that were called this month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    /// The day that a call would count for, as `20261125`.
    pub day: u32,
    /// One for each provider.
    pub providers: Vec<ProviderView>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderView {
    /// Its name.
    pub provider: String,
    /// Whether it is not called any more today, since it counted more than was reserved.
    pub counted_beyond: bool,
    /// Day, month, people by id, background work.
    pub windows: Vec<Window>,
}

pub(super) fn of(terms: &Terms, ledger: &Ledger, person: Option<&PersonId>, day: u32) -> BudgetView {
    let names: BTreeSet<&str> = terms.caps.keys().map(String::as_str).chain(ledger.providers(day)).collect();
    let providers = names.into_iter().map(|provider| {
        let owner = PersonId::owner();
        let window = |cap: Cap, person: &PersonId| ledger.window(terms, provider, (cap, person), day);
        let mut windows = vec![window(Cap::Daily, &owner), window(Cap::Monthly, &owner)];
        match person {
            Some(person) => windows.push(window(Cap::PersonDaily, person)),
            None => {
                windows.extend(ledger.people(provider, day).map(|person| window(Cap::PersonDaily, person)));
            }
        }
        windows.push(window(Cap::BackgroundDaily, &owner));
        let counted_beyond = ledger.counted_beyond(provider, day);
        ProviderView { provider: provider.to_owned(), counted_beyond, windows }
    });
    BudgetView { day, providers: providers.collect() }
}
