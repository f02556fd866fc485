//! Sums of the ledger by provider and day, and the caps that they stand under.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::PersonId;
use crate::domain::money::{Caps, LedgerEntry, Money, Terms};
use crate::domain::time::Timestamp;

use super::calendar;

/// Which cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cap {
    /// All people together, a day.
    Daily,
    /// All people together, a month.
    Monthly,
    /// One person, a day.
    PersonDaily,
    /// Work that nobody waits for, a day.
    BackgroundDaily,
}

impl Cap {
    /// Its key in limits.yaml.
    pub fn key(self) -> &'static str {
        match self {
            Self::Daily => "daily_budget",
            Self::Monthly => "monthly_cap",
            Self::PersonDaily => "per_user_daily",
            Self::BackgroundDaily => "background_daily",
        }
    }

    fn limit(self, caps: &Caps) -> Option<Money> {
        match self {
            Self::Daily => caps.daily,
            Self::Monthly => caps.monthly,
            Self::PersonDaily => caps.per_person_daily,
            Self::BackgroundDaily => caps.background_daily,
        }
    }
}

/// A cap and where it stands in the window of the moment. Amounts are in micro-dollars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Which cap.
    pub cap: Cap,
    /// Whose, of a person's.
    pub person: Option<PersonId>,
    /// Settled.
    #[serde(rename = "spent_micro_usd")]
    pub spent: Money,
    /// Held for calls under way.
    #[serde(rename = "reserved_micro_usd")]
    pub reserved: Money,
    /// The cap; `None` when there is none.
    #[serde(rename = "limit_micro_usd")]
    pub limit: Option<Money>,
    /// When the next window begins.
    #[serde(rename = "starts_anew_ms")]
    pub starts_anew: Timestamp,
    /// The same for people, in the configured zone.
    pub starts_anew_local: String,
}

impl Window {
    /// What a further call may reserve; `None` when there is no cap.
    pub fn left(&self) -> Option<Money> {
        self.limit.map(|limit| limit.minus(self.spent.plus(self.reserved)))
    }

    /// Whether this many percent of the cap are spent.
    pub(super) fn is_at(&self, percent: u8) -> bool {
        let spent = u128::from(self.spent.as_micros()) * 100;
        self.limit.is_some_and(|limit| spent >= u128::from(limit.as_micros()) * u128::from(percent))
    }
}

/// On whose account a call is, for the caps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share<'a> {
    pub(super) person: &'a PersonId,
    pub(super) background: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    spent: Money,
    reserved: Money,
}

impl Sum {
    fn add(&mut self, entry: &LedgerEntry) {
        match entry.settled {
            Some(cost) => self.spent = self.spent.plus(cost),
            None => self.reserved = self.reserved.plus(entry.reserved),
        }
    }

    fn settle(&mut self, entry: &LedgerEntry) {
        self.reserved = self.reserved.minus(entry.reserved);
        self.add(entry);
    }
}

#[derive(Debug, Clone, Default)]
struct Day {
    all: Sum,
    background: Sum,
    people: BTreeMap<PersonId, Sum>,
    /// Whether the provider counted more than was reserved.
    beyond: bool,
}

/// The sums, by provider and day.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(BTreeMap<String, BTreeMap<u32, Day>>);

impl Ledger {
    /// Adds an entry as it stands.
    pub(super) fn add(&mut self, entry: &LedgerEntry) {
        self.change(entry, Sum::add);
    }

    /// Takes an entry that was added unsettled as settled.
    pub(super) fn settle(&mut self, entry: &LedgerEntry) {
        self.change(entry, Sum::settle);
    }

    fn change(&mut self, entry: &LedgerEntry, change: fn(&mut Sum, &LedgerEntry)) {
        let days = self.0.entry(entry.model.provider().to_owned()).or_default();
        let day = days.entry(entry.day).or_default();
        change(&mut day.all, entry);
        change(day.people.entry(entry.person.clone()).or_default(), entry);
        if entry.background {
            change(&mut day.background, entry);
        }
        day.beyond |= entry.settled.is_some_and(|cost| cost > entry.reserved);
    }

    /// Drops the days that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.0.values_mut().for_each(|days| days.retain(|day, _| keep(*day)));
    }

    /// Whether the provider counted more than was reserved on this day.
    pub(super) fn counted_beyond(&self, provider: &str, day: u32) -> bool {
        self.day(provider, day).is_some_and(|day| day.beyond)
    }

    /// Providers with sums in the month of `day`.
    pub(super) fn providers(&self, day: u32) -> impl Iterator<Item = &str> {
        let used = move |days: &BTreeMap<u32, Day>| days.keys().any(|kept| kept / 100 == day / 100);
        self.0.iter().filter(move |(_, days)| used(days)).map(|(provider, _)| provider.as_str())
    }

    /// People with sums on this day.
    pub(super) fn people(&self, provider: &str, day: u32) -> impl Iterator<Item = &PersonId> {
        self.day(provider, day).into_iter().flat_map(|day| day.people.keys())
    }

    /// The caps that a call stands under, with what stands below them; the same ones in the same
    /// order each time.
    pub(super) fn windows(&self, terms: &Terms, provider: &str, share: Share<'_>, day: u32) -> Vec<Window> {
        let caps: &[Cap] = match share.background {
            true => &[Cap::Daily, Cap::Monthly, Cap::PersonDaily, Cap::BackgroundDaily],
            false => &[Cap::Daily, Cap::Monthly, Cap::PersonDaily],
        };
        caps.iter().map(|cap| self.window(terms, provider, (*cap, share.person), day)).collect()
    }

    /// One cap; the person matters for a person's.
    pub(super) fn window(&self, terms: &Terms, provider: &str, cap: (Cap, &PersonId), day: u32) -> Window {
        let (cap, person) = cap;
        let today = self.day(provider, day);
        let sum = match cap {
            Cap::Daily => today.map(|day| day.all),
            Cap::Monthly => Some(self.month(provider, day / 100)),
            Cap::PersonDaily => today.and_then(|day| day.people.get(person)).copied(),
            Cap::BackgroundDaily => today.map(|day| day.background),
        };
        let Sum { spent, reserved } = sum.unwrap_or_default();
        let limit = cap.limit(&terms.caps_of(provider));
        let (starts_anew, starts_anew_local) = calendar::next(day, cap == Cap::Monthly, &terms.zone);
        let person = (cap == Cap::PersonDaily).then(|| person.clone());
        Window { cap, person, spent, reserved, limit, starts_anew, starts_anew_local }
    }

    fn day(&self, provider: &str, day: u32) -> Option<&Day> {
        self.0.get(provider)?.get(&day)
    }

    fn month(&self, provider: &str, month: u32) -> Sum {
        let days = self.0.get(provider).into_iter().flatten().filter(|(day, _)| **day / 100 == month);
        days.fold(Sum::default(), |sum, (_, day)| Sum {
            spent: sum.spent.plus(day.all.spent),
            reserved: sum.reserved.plus(day.all.reserved),
        })
    }
}
