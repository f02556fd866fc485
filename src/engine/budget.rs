//! What models may cost: every call reserves its worst case before it is made and is settled with
//! what the provider counted.
//!
//! ```text
//!  Need ── reserve ──▶ Reserved { entry }      the caller commits the entry, then calls
//!             │
//!             └──────▶ NoMoney                 unknown price, a cap, a provider that counted too much
//!
//!  usage ── settle ──▶ Settled { entry, alerts }   the caller commits the entry
//!  entries ─ recover ▶ Budget, and what was under way, settled at all that was reserved
//! ```
//!
//! INVARIANT: what is settled and reserved in a window is never more than any cap that was in force
//! when it was reserved. A call counts for the day at which it was reserved; that day never goes
//! back, so neither a clock nor a time zone that changes opens a window again. Owns no money but what
//! is in committed entries: after a crash the entries say all.

mod calendar;
mod refusal;
mod view;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::domain::ids::{CallId, PersonId, TurnId};
use crate::domain::model::{ModelName, TokenUsage};
use crate::domain::money::{LedgerEntry, Money, Price, Terms};
use crate::domain::time::Timestamp;

pub use refusal::NoMoney;
pub use view::{BudgetView, ProviderView};
pub use windows::{Cap, Window};

use windows::{Ledger, Share};

/// Shortest reply, in tokens, that a call is shrunk to before it is refused.
pub const OUTPUT_TOKENS_MIN: u32 = 1000;
/// Tokens that a provider adds to a prompt on its own account (what it tells the model about tools;
/// Anthropic documents up to 530), so that an honest one never counts more than was reserved.
pub const PROMPT_TOKENS_ADDED: u64 = 1000;

/// A call that somebody wants to make.
#[derive(Debug)]
pub struct Need<'a> {
    /// Names the reservation; used for one call only, also across restarts.
    pub call: CallId,
    /// The turn that needs it.
    pub turn: &'a TurnId,
    /// On whose account.
    pub person: &'a PersonId,
    /// Which model.
    pub model: &'a ModelName,
    /// Whether it is work that nobody waits for.
    pub background: bool,
    /// Bytes of the request body: no tokenizer makes more tokens than bytes.
    pub prompt_tokens_max: u64,
    /// Longest reply that would be of use.
    pub output_tokens_wanted: u32,
}

/// Money that is held for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// To commit before the call is made.
    pub entry: LedgerEntry,
    /// The longest reply that the call may ask for: what was wanted, or less where a cap is near.
    pub output_tokens_max: u32,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// To commit.
    pub entry: LedgerEntry,
    /// What the provider counted beyond the reservation: for the audit log when it is more than
    /// nothing. It is booked, and the provider is not called again on that day.
    pub beyond: Money,
    /// For the owner.
    pub alerts: Vec<Alert>,
}

/// A budget as the ledger tells it after a restart.
#[derive(Debug)]
pub struct Recovered {
    /// The budget.
    pub budget: Budget,
    /// To commit: the calls that were under way, each settled at all that was reserved.
    pub cut_off: Vec<LedgerEntry>,
    /// For the owner, to commit with them.
    pub alerts: Vec<Alert>,
}

/// Much of a cap is spent: told once for each cap and window, at the settlement that passes the mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Of which provider.
    pub provider: String,
    /// The cap and where it stands.
    pub window: Window,
    /// The mark, in percent of the cap.
    pub percent: u8,
}

/// Ledger, prices and caps of the moment.
#[derive(Debug, Clone)]
pub struct Budget {
    terms: Arc<Terms>,
    ledger: Ledger,
    open: BTreeMap<CallId, Open>,
    /// No entry is stamped with an earlier day.
    latest_day: u32,
}

/// A call under way, at the price of its reservation.
#[derive(Debug, Clone)]
struct Open {
    reserved: Reserved,
    price: Price,
}

impl Budget {
    /// A budget of which nothing was ever spent.
    pub fn new(terms: Arc<Terms>) -> Self {
        Self { terms, ledger: Ledger::default(), open: BTreeMap::new(), latest_day: 0 }
    }

    /// From which day on (as `20261125`) [`recover`](Self::recover) needs the ledger at the time `now`:
    /// the first of the month before.
    pub fn ledger_since(zone: &TimeZone, now: Timestamp) -> u32 {
        calendar::month_before(now, zone)
    }

    /// The budget that `entries` tell of: all those of the ledger since [`ledger_since`](Self::ledger_since)
    /// of the same `now`.
    pub fn recover(terms: Arc<Terms>, entries: Vec<LedgerEntry>, now: Timestamp) -> Recovered {
        let mut budget = Self::new(terms);
        // Earlier days are not known here, so nothing may be stamped with them.
        budget.latest_day = Self::ledger_since(&budget.terms.zone, now);
        for entry in &entries {
            budget.latest_day = budget.latest_day.max(entry.day);
            budget.ledger.add(entry);
        }
        let (mut cut_off, mut alerts) = (Vec::new(), Vec::new());
        for mut entry in entries.into_iter().filter(|entry| entry.settled.is_none()) {
            entry.settled = Some(entry.reserved);
            alerts.extend(budget.book(&entry));
            cut_off.push(entry);
        }
        Recovered { budget, cut_off, alerts }
    }

    /// Other prices and caps from now on. What is under way keeps the price of its reservation.
    pub fn set_terms(&mut self, terms: Arc<Terms>) {
        self.terms = terms;
    }

    /// Holds the worst case of a call. A call that is already under way gets what it has.
    ///
    /// # Errors
    /// Why the call may not be made, and what helps. Nothing is held then.
    pub fn reserve(&mut self, need: Need<'_>, now: Timestamp) -> Result<Reserved, NoMoney> {
        if let Some(open) = self.open.get(&need.call) {
            return Ok(open.reserved.clone());
        }
        let unknown = || NoMoney::UnknownPrice { model: need.model.clone() };
        let price = self.terms.price_of(need.model).ok_or_else(unknown)?;
        let day = calendar::day_of(now, &self.terms.zone).max(self.latest_day);
        let prompt_tokens = need.prompt_tokens_max.saturating_add(PROMPT_TOKENS_ADDED);
        let output_tokens_max = self.longest_reply(&need, &price, prompt_tokens, day)?;
        let entry = LedgerEntry {
            call: need.call,
            turn: need.turn.clone(),
            person: need.person.clone(),
            model: need.model.clone(),
            background: need.background,
            at: now,
            day,
            reserved: price.worst(prompt_tokens, output_tokens_max),
            settled: None,
            usage: None,
        };
        self.latest_day = day;
        self.ledger.add(&entry);
        // Months before it matter only for the alerts of what is still under way in them.
        let month = |day: u32| day / 100;
        let open: BTreeSet<u32> = self.open.values().map(|call| month(call.reserved.entry.day)).collect();
        self.ledger.retain(|kept| month(kept) >= month(day) || open.contains(&month(kept)));
        let reserved = Reserved { entry, output_tokens_max };
        self.open.insert(reserved.entry.call.clone(), Open { reserved: reserved.clone(), price });
        Ok(reserved)
    }

    /// The longest reply of use that costs no more than `most` with its prompt; `None` when that does not
    /// pay for a useful one. Of a model without a price the reservation decides.
    pub(super) fn output_tokens_within(&self, need: &Need<'_>, most: Money) -> Option<u32> {
        let wanted = need.output_tokens_wanted;
        let Some(price) = self.terms.price_of(need.model) else { return Some(wanted) };
        let prompt_tokens = need.prompt_tokens_max.saturating_add(PROMPT_TOKENS_ADDED);
        let longest = price.output_tokens_within(most, prompt_tokens)?;
        (longest >= wanted.min(OUTPUT_TOKENS_MIN)).then(|| longest.min(wanted))
    }

    /// The longest reply that no cap forbids.
    fn longest_reply(&self, need: &Need<'_>, price: &Price, prompt_tokens: u64, day: u32) -> Result<u32, NoMoney> {
        let provider = need.model.provider();
        if price.is_free() {
            return Ok(need.output_tokens_wanted);
        }
        if self.ledger.counted_beyond(provider, day) {
            let (_, starts_anew_local) = calendar::next(day, false, &self.terms.zone);
            return Err(NoMoney::CountedBeyond { provider: provider.to_owned(), starts_anew_local });
        }
        let share = Share { person: need.person, background: need.background };
        let windows = self.ledger.windows(&self.terms, provider, share, day);
        let least = need.output_tokens_wanted.min(OUTPUT_TOKENS_MIN);
        let needed = price.worst(prompt_tokens, least);
        // Of several, the one that lasts longest: waiting for another would not help.
        let short = windows.iter().filter(|window| window.left().is_some_and(|left| left < needed));
        if let Some(window) = short.max_by_key(|window| window.starts_anew) {
            return Err(NoMoney::Short { model: need.model.clone(), needed, window: Box::new(window.clone()) });
        }
        let within = |left| price.output_tokens_within(left, prompt_tokens).unwrap_or(0);
        let longest = windows.iter().filter_map(Window::left).map(within).min();
        Ok(longest.map_or(need.output_tokens_wanted, |longest| longest.min(need.output_tokens_wanted)))
    }

    /// Books what a call cost: by `usage` if the provider said it; else all that was reserved, or
    /// nothing where the call cannot have cost anything (`may_cost`). `None` for a call that is not
    /// under way: a late or doubled event.
    pub fn settle(&mut self, call: &CallId, usage: Option<&TokenUsage>, may_cost: bool) -> Option<Settled> {
        let Open { reserved, price } = self.open.remove(call)?;
        let mut entry = reserved.entry;
        let cost = match usage {
            Some(usage) => price.cost(usage),
            None if may_cost => entry.reserved,
            None => Money::ZERO,
        };
        entry.settled = Some(cost);
        entry.usage = usage.copied();
        let alerts = self.book(&entry);
        Some(Settled { beyond: cost.minus(entry.reserved), entry, alerts })
    }

    /// Moves the entry's money from what is reserved to what is spent.
    fn book(&mut self, entry: &LedgerEntry) -> Vec<Alert> {
        let provider = entry.model.provider();
        let share = Share { person: &entry.person, background: entry.background };
        let before = self.ledger.windows(&self.terms, provider, share, entry.day);
        self.ledger.settle(entry);
        let after = self.ledger.windows(&self.terms, provider, share, entry.day);
        let percent = self.terms.caps_of(provider).alert_percent;
        let passed = before.iter().zip(after).filter(|(before, after)| !before.is_at(percent) && after.is_at(percent));
        passed.map(|(_, window)| Alert { provider: provider.to_owned(), window, percent }).collect()
    }

    /// Where the caps stand: for `person` their own and the common ones, for `None` everybody's.
    pub fn view(&self, person: Option<&PersonId>, now: Timestamp) -> BudgetView {
        let day = calendar::day_of(now, &self.terms.zone).max(self.latest_day);
        view::of(&self.terms, &self.ledger, person, day)
    }
}
