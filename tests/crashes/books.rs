//! What the calls of the model cost: the ledger agrees with what the model was asked, turn by turn and call by call.

use std::collections::{BTreeMap, BTreeSet};

use castoff::domain::ids::TurnId;
use castoff::domain::money::{LedgerEntry, Money};
use castoff::store::Store;

use crate::mind;
use crate::stage::Stage;

/// Each call is of 9 tokens and gets 5, at $3 and $15 for a million.
const CALL: Money = Money::from_micros(9 * 3 + 5 * 15);
/// A turn is given up with the second call that is cut off.
const CUT_MAX: usize = 2;

impl Stage {
    /// A booking that was lost or made twice is found. Castoff must be stopped; it said before that so much was spent
    /// today.
    pub(crate) fn books_agree(&self, spent_micros: u64) {
        let store = Store::open(&self.castoff().home().join("state/core")).unwrap();
        let entries = store.ledger(0).unwrap();
        let calls: BTreeSet<&str> = entries.iter().map(|entry| entry.call.as_str()).collect();
        assert_eq!(calls.len(), entries.len(), "a call is booked twice: {entries:#?}");
        let audit = store.audit_list(1_000_000).unwrap();
        let called = audit.iter().filter(|entry| ["model.called", "model.tried"].contains(&entry.what.as_str()));
        assert_eq!(called.count(), entries.len(), "a call was booked and not audited, or not booked");

        // By turn: calls that were answered, and calls that were cut.
        let mut counts: BTreeMap<&TurnId, (usize, usize)> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.background) {
            let count = counts.entry(&entry.turn).or_default();
            match is_answered(entry) {
                true => count.0 += 1,
                false => count.1 += 1,
            }
        }
        for (person, update, text) in self.place.api.updates() {
            let Some(token) = mind::token(&text) else { continue };
            let turn = TurnId::derived("telegram", &format!("{person} {update}"));
            let (answered, cut) = counts.get(&turn).copied().unwrap_or_default();
            let asked = self.mind.calls(token);
            // One that was cut may not have reached it.
            let is_fit = answered <= asked && asked <= answered + cut && cut <= CUT_MAX;
            assert!(is_fit, "of {token} {answered} calls are booked and {cut} that were cut, and {asked} were made");
        }
        let now = castoff::runtime::clock::now().to_string();
        let today: u32 = now.split('T').next().unwrap().replace('-', "").parse().unwrap();
        let booked = entries.iter().filter(|entry| entry.day == today).filter_map(|entry| entry.settled);
        assert_eq!(booked.map(Money::as_micros).sum::<u64>(), spent_micros, "what is booked today, and what was told");
    }
}

/// Whether the model answered; else all that was held is booked.
fn is_answered(entry: &LedgerEntry) -> bool {
    let cost = if entry.usage.is_some() { CALL } else { entry.reserved };
    assert_eq!(entry.settled, Some(cost), "{entry:#?}");
    entry.usage.is_some()
}
