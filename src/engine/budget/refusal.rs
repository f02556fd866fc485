//! Refusals and alerts, in words: which cap, what is left, when it starts anew, what helps.

use std::fmt;

use crate::domain::model::ModelName;
use crate::domain::money::Money;

use super::Alert;
use super::windows::{Cap, Window};

/// Why a call may not be made. Shown with a `hint:` line that says what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoMoney {
    /// Nothing is known of what the model costs.
    UnknownPrice {
        /// Which.
        model: ModelName,
    },
    /// A cap has less left than even a short reply may cost.
    Short {
        /// The model that was wanted.
        model: ModelName,
        /// The worst case of a reply of the shortest length.
        needed: Money,
        /// The cap and where it stands; of several the one that lasts longest.
        window: Box<Window>,
    },
    /// The provider counted more than was reserved for a call: what it will count next cannot be
    /// held below a cap.
    CountedBeyond {
        /// Which.
        provider: String,
        /// When it may be called again, for people.
        starts_anew_local: String,
    },
}

impl NoMoney {
    /// Whether no waiting helps, but a prompt of half the length may.
    pub(in crate::engine) fn half_is_paid(&self) -> bool {
        let Self::Short { needed, window, .. } = self else { return false };
        window.limit.is_some_and(|limit| limit < *needed && *needed <= limit.plus(limit))
    }
}

impl fmt::Display for NoMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPrice { model } => write!(
                f,
                "what `{model}` costs is not known, so it is not called\n\
                 hint: write `{model}: {{ input: …, output: … }}` (dollars for a million tokens) or \
                 `{model}: {{ free: true }}` under `prices:` of config/prices.yaml, or choose another model"
            ),
            Self::Short { model, needed, window } => short(f, model, *needed, window),
            Self::CountedBeyond { provider, starts_anew_local } => write!(
                f,
                "`{provider}` counted more tokens for a call than its request could hold, so it is not called again \
                 before {starts_anew_local}\n\
                 hint: `castoff audit list` shows the call; choose a model of another provider until then"
            ),
        }
    }
}

fn short(f: &mut fmt::Formatter<'_>, model: &ModelName, needed: Money, window: &Window) -> fmt::Result {
    let (provider, key) = (model.provider(), window.cap.key());
    let (limit, left) = (window.limit.unwrap_or_default(), window.left().unwrap_or_default());
    let held = match window.reserved {
        Money::ZERO => String::new(),
        reserved => format!(" and {reserved} held for calls under way"),
    };
    let name = name(provider, window);
    writeln!(
        f,
        "a call of `{model}` may cost {needed}, and {name} has {left} left: {} of {limit} spent{held}; \
         it starts anew at {}",
        window.spent, window.starts_anew_local
    )?;
    let wait = if needed > limit {
        "waiting does not help; "
    } else if needed <= limit.minus(window.spent) {
        "wait for the calls under way, "
    } else {
        "wait until then, "
    };
    write!(f, "hint: {wait}raise `{key}` of `{provider}` in limits.yaml, or choose a cheaper model")
}

fn name(provider: &str, window: &Window) -> String {
    match (window.cap, &window.person) {
        (Cap::Daily, _) => format!("the daily budget of `{provider}`"),
        (Cap::Monthly, _) => format!("the monthly cap of `{provider}`"),
        (Cap::PersonDaily, Some(person)) => format!("the daily budget of {person} with `{provider}`"),
        (Cap::PersonDaily, None) => format!("a person's daily budget with `{provider}`"),
        (Cap::BackgroundDaily, _) => format!("the daily budget for background work with `{provider}`"),
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { spent, starts_anew_local, .. } = &self.window;
        let limit = self.window.limit.unwrap_or_default();
        let name = name(&self.provider, &self.window);
        write!(
            f,
            "{spent} of {limit} spent: over {} % of {name}, which starts anew at {starts_anew_local}",
            self.percent
        )
    }
}
