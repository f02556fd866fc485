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
        // Rounded up below a dollar, so that nothing but nothing is shown as nothing.
        match micros.div_ceil(100) {
            hundredths @ 1..10_000 if dollars == 0 => write!(f, "$0.{hundredths:04}"),
            10_000 if dollars == 0 => f.write_str("$1.00"),
            _ => write!(f, "${dollars}.{:02}", micros / 10_000),
        }
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
    /// What the whole call costs instead when its prompt is long, where the provider has such a rate.
    pub long: Option<LongPrice>,
}

/// The price of calls with a long prompt, each for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongPrice {
    /// Holds for prompts of more tokens than this, whether cached or not.
    pub above_tokens: u64,
    /// See [`Price::input`].
    pub input: Money,
    /// See [`Price::output`].
    pub output: Money,
    /// See [`Price::cache_read`].
    pub cache_read: Money,
    /// See [`Price::cache_write`].
    pub cache_write: Money,
}

/// What prices are for.
const PRICED_TOKENS: u128 = 1_000_000;

impl Price {
    /// What a model costs that costs nothing.
    pub const FREE: Self =
        Self { input: Money::ZERO, output: Money::ZERO, cache_read: Money::ZERO, cache_write: Money::ZERO, long: None };

    /// Whether nothing is ever charged.
    pub fn is_free(&self) -> bool {
        *self == Self::FREE
    }

    /// What `usage` costs, rounded up to a whole micro-dollar; the largest amount instead of an
    /// overflow.
    pub fn cost(&self, usage: &TokenUsage) -> Money {
        let prompt = usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
        let price = self.of_prompt(prompt);
        rounded_up(&[
            (price.input, usage.input),
            (price.output, usage.output),
            (price.cache_read, usage.cache_read),
            (price.cache_write, usage.cache_write),
        ])
    }

    /// The most that a call can cost whose prompt has at most `prompt_tokens`: every token of the
    /// prompt at the dearest price that one can have, and a reply of full length. Rounded up.
    pub fn worst(&self, prompt_tokens: u64, output_tokens: u32) -> Money {
        let (input, output) = self.dearest(prompt_tokens);
        rounded_up(&[(input, prompt_tokens), (output, output_tokens.into())])
    }

    /// The longest reply, in tokens, with which a call costs `most` at the worst; at most `u32::MAX`,
    /// and `None` when the prompt alone may cost more.
    pub fn output_tokens_within(&self, most: Money, prompt_tokens: u64) -> Option<u32> {
        let (input, output) = self.dearest(prompt_tokens);
        let prompt = u128::from(input.0) * u128::from(prompt_tokens);
        let left = (u128::from(most.0) * PRICED_TOKENS).checked_sub(prompt)?;
        let tokens = left.checked_div(u128::from(output.0));
        Some(tokens.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(u32::MAX))
    }

    /// The price of a call with so many tokens of prompt.
    fn of_prompt(&self, tokens: u64) -> Self {
        match self.long {
            Some(LongPrice { above_tokens, input, output, cache_read, cache_write }) if tokens > above_tokens => {
                Self { input, output, cache_read, cache_write, long: None }
            }
            Some(_) | None => *self,
        }
    }

    /// The dearest price of a prompt's token and of a reply's, for prompts of up to so many tokens.
    fn dearest(&self, prompt_tokens: u64) -> (Money, Money) {
        let long = self.of_prompt(prompt_tokens);
        let prompt = |price: &Self| price.input.max(price.cache_read).max(price.cache_write);
        (prompt(self).max(prompt(&long)), self.output.max(long.output))
    }
}

/// The sum of amounts of tokens, each at its price for a million.
fn rounded_up(parts: &[(Money, u64)]) -> Money {
    let part = |(price, tokens): &(Money, u64)| u128::from(price.0) * u128::from(*tokens);
    let total = parts.iter().map(part).fold(0_u128, u128::saturating_add);
    Money(u64::try_from(total.div_ceil(PRICED_TOKENS)).unwrap_or(u64::MAX))
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

impl Caps {
    /// Percent of a cap at which the owner is told unless the limits say otherwise.
    pub const ALERT_PERCENT: u8 = 80;
    /// What a provider may cost a day that the limits do not name.
    pub const DAILY: Money = Money(1_000_000);

    /// A daily cap and what follows from it: a tenth of it for background work.
    pub const fn of_daily(daily: Money) -> Self {
        Self {
            daily: Some(daily),
            monthly: None,
            per_person_daily: None,
            background_daily: Some(Money(daily.0 / 10)),
            alert_percent: Self::ALERT_PERCENT,
        }
    }
}

impl Default for Caps {
    /// A dollar a day: for a provider that the limits do not name.
    fn default() -> Self {
        Self::of_daily(Self::DAILY)
    }
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

impl Terms {
    /// The caps of a provider.
    pub fn caps_of(&self, provider: &str) -> Caps {
        self.caps.get(provider).copied().unwrap_or_default()
    }

    /// The price of a model: by its whole name, else by the longest beginning that is listed with a
    /// `*`. `None` when nothing is known of it.
    pub fn price_of(&self, model: &ModelName) -> Option<Price> {
        let name = model.to_string();
        let by_beginning = || {
            let fits = |listed: &str| listed.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning));
            self.prices.iter().filter(|(listed, _)| fits(listed)).max_by_key(|(listed, _)| listed.len())
        };
        self.prices.get(&name).or_else(|| by_beginning().map(|(_, price)| price)).copied()
    }

    /// These terms with another daily cap for `provider` (an amendment by the owner). A provider
    /// that the limits do not name gets all that follows from the amount ([`Caps::of_daily`]).
    #[must_use]
    pub fn with_daily(&self, provider: &str, daily: Money) -> Self {
        let mut terms = self.clone();
        let caps = terms.caps.entry(provider.to_owned()).or_insert_with(|| Caps::of_daily(daily));
        caps.daily = Some(daily);
        terms
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_never_shown_as_nothing_or_as_a_tenth() {
        for (micros, text) in [
            (0, "$0.00"),
            (1, "$0.0001"),
            (12_300, "$0.0123"),
            (999_900, "$0.9999"),
            (999_901, "$1.00"),
            (1_000_000, "$1.00"),
            (5_019_999, "$5.01"),
        ] {
            assert_eq!(Money::from_micros(micros).to_string(), text, "{micros}");
        }
    }

    fn dollars(price: &[u64; 4]) -> Price {
        let [input, output, cache_read, cache_write] = price.map(|dollars| Money::from_micros(dollars * 1_000_000));
        Price { input, output, cache_read, cache_write, long: None }
    }

    #[test]
    fn a_cost_is_rounded_up_and_never_overflows() {
        let price = dollars(&[3, 15, 0, 4]);
        let usage = |input, output, cache_read, cache_write| TokenUsage { input, output, cache_read, cache_write };
        assert_eq!(price.cost(&usage(1, 1, 7, 1)), Money::from_micros(22));
        let thin = Price { input: Money::from_micros(1), ..Price::FREE };
        assert_eq!(thin.cost(&usage(1, 0, 0, 0)), Money::from_micros(1));
        assert_eq!(price.cost(&usage(u64::MAX, u64::MAX, u64::MAX, u64::MAX)), Money::from_micros(u64::MAX));
    }

    #[test]
    fn the_worst_case_takes_the_dearest_kind_of_prompt_token() {
        assert_eq!(dollars(&[3, 15, 1, 4]).worst(1000, 100), Money::from_micros(5500));
        assert_eq!(dollars(&[3, 15, 9, 4]).worst(1000, 100), Money::from_micros(10_500));
    }

    #[test]
    fn a_long_prompt_makes_the_whole_call_dearer() {
        let twice = LongPrice {
            above_tokens: 1000,
            input: Money::from_micros(6_000_000),
            output: Money::from_micros(20_000_000),
            cache_read: Money::from_micros(1_000_000),
            cache_write: Money::from_micros(8_000_000),
        };
        let price = Price { long: Some(twice), ..dollars(&[3, 15, 0, 4]) };
        let cost = |input| price.cost(&TokenUsage { input, output: 10, cache_read: 400, cache_write: 100 });
        assert_eq!(cost(500), Money::from_micros(1500 + 150 + 400));
        assert_eq!(cost(501), Money::from_micros(3006 + 200 + 400 + 800));
        assert_eq!(price.worst(1000, 10), Money::from_micros(4150));
        assert_eq!(price.worst(1001, 10), Money::from_micros(8208));
        assert_eq!(price.output_tokens_within(Money::from_micros(8208), 1001), Some(10));
    }

    #[test]
    fn the_longest_reply_within_an_amount_costs_no_more_and_one_token_more_does() {
        let price = dollars(&[3, 15, 0, 4]);
        for micros in [4000, 4014, 4015, 4016, 9999, 1_234_567] {
            let most = Money::from_micros(micros);
            let tokens = price.output_tokens_within(most, 1000).unwrap();
            assert!(price.worst(1000, tokens) <= most, "{micros}");
            assert!(price.worst(1000, tokens + 1) > most, "{micros}");
        }
        assert_eq!(price.output_tokens_within(Money::from_micros(3999), 1000), None);
        assert_eq!(Price::FREE.output_tokens_within(Money::ZERO, u64::MAX), Some(u32::MAX));
    }

    #[test]
    fn the_most_specific_price_counts() {
        let prices = ["a/x", "a/x*", "a/x-1*", "a/x-10", "b/*"];
        let price = |position: usize| dollars(&[position as u64, 0, 0, 0]);
        let prices = prices.iter().enumerate().map(|(at, name)| ((*name).to_owned(), price(at))).collect();
        let terms = Terms { caps: BTreeMap::new(), prices, zone: jiff::tz::TimeZone::UTC };
        for (model, found) in [
            ("a/x", Some(0)),
            ("a/xy", Some(1)),
            ("a/x-1", Some(2)),
            ("a/x-11", Some(2)),
            ("a/x-10", Some(3)),
            ("b/anything", Some(4)),
            ("a/y", None),
            ("bb/x", None),
        ] {
            let found = found.map(price);
            assert_eq!(terms.price_of(&ModelName::try_from(model.to_owned()).unwrap()), found, "{model}");
        }
    }
}
