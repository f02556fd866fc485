//! Money: micro-dollars as integers, and what models cost.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{CallId, PersonId, TurnId};
use super::model::{ModelName, TokenUsage};
use super::time::Timestamp;

/// An amount in millionths of a US dollar; never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money(u64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `micros` millionths of a dollar.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Millionths of a dollar.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The sum; the largest amount instead of an overflow.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; nothing when `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    /// `$1.50`; with four digits below a dollar, so that a call's price is not shown as nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if dollars == 0 && micros != 0 {
            // Rounded up: what is left is never shown as more than it is spent.
            return write!(f, "$0.{:04}", micros.div_ceil(100));
        }
        write!(f, "${dollars}.{:02}", micros / 10_000)
    }
}

/// What a model costs, each for a million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Prompt tokens that were not cached.
    pub input: Money,
    /// Tokens of the reply.
    pub output: Money,
    /// Prompt tokens that were read from the provider's cache.
    pub cache_read: Money,
    /// Prompt tokens that were written to it.
    pub cache_write: Money,
}

/// The caps of one provider; `None` is no cap of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// All people together, a day.
    pub daily: Option<Money>,
    /// All people together, a month.
    pub monthly: Option<Money>,
    /// One person, a day.
    pub per_person_daily: Option<Money>,
    /// What Castoff itself may spend a day on work that nobody waits for (summaries).
    pub background_daily: Option<Money>,
    /// Percent of a cap at which the owner is told, once in a window.
    pub alert_percent: u8,
}

/// Prices and caps of the moment.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Caps by provider; a provider that is not here gets [`Caps::default`].
    pub caps: BTreeMap<String, Caps>,
    /// Prices by `PROVIDER/NAME`, where NAME may end in `*`; a price of nothing marks a model free.
    pub prices: BTreeMap<String, Price>,
    /// The zone in which day and month begin.
    pub zone: jiff::tz::TimeZone,
}

/// One call of a model in the ledger: reserved, then settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The call.
    pub call: CallId,
    /// The turn that made it.
    pub turn: TurnId,
    /// On whose account.
    pub person: PersonId,
    /// Which model.
    pub model: ModelName,
    /// Whether it is work that nobody waits for.
    pub background: bool,
    /// When it was reserved.
    pub at: Timestamp,
    /// The day that it counts for, as `20261125`; never earlier than that of the entry before it.
    pub day: u32,
    /// The worst case, held until it is settled.
    pub reserved: Money,
    /// What it cost; `None` while it is under way.
    pub settled: Option<Money>,
    /// What the provider counted; `None` when it never said, and the whole reservation was booked.
    pub usage: Option<TokenUsage>,
}
