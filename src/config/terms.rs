//! `rate_limits:` and `time_zone:` of `limits.yaml`, with the prices, to the terms of the budget.

use std::collections::BTreeMap;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_yaml::Spanned;

use crate::domain::model::ModelName;
use crate::domain::money::{Caps, Money, Price, Terms};

use super::Files;
use super::errors::{LoadError, Source};
use super::prices;
use super::raw::{Amount, LimitsFile, RateLimit};
use super::rules::place;
use super::settings::{Surroundings, settings};
use super::units;

/// Prices and caps as the files say.
pub(super) fn terms(files: Files<'_>, limits: &LimitsFile, source: &Source, errors: &mut Vec<LoadError>) -> Terms {
    let zone = limits.time_zone.as_ref().and_then(|name| zone(name, source, errors)).unwrap_or(TimeZone::UTC);
    let mut caps = BTreeMap::new();
    for (provider, entry) in &limits.rate_limits {
        if ModelName::try_from(format!("{provider}/model")).is_err() {
            let message = format!("`{provider}` names no provider");
            errors.push(source.error(place(entry), message, Some("use 1 to 32 of a-z, 0-9 and -")));
        }
        caps.insert(provider.clone(), self::caps(&entry.value, source, errors));
    }
    // Only what is free matters here, and that does not depend on where the core runs.
    let settings = settings(files, Surroundings::Host, errors);
    let prices = settings.map(|settings| prices::prices(files, &settings, errors)).unwrap_or_default();
    Terms { caps, prices, zone }
}

/// The prices as text, for the policy's digest.
pub(super) fn text(prices: &BTreeMap<String, Price>) -> String {
    prices.iter().map(|(model, price)| format!("{model} {price:?}\n")).collect()
}

/// From the database that is compiled in: the same on every host and in every container.
fn zone(name: &Spanned<String>, source: &Source, errors: &mut Vec<LoadError>) -> Option<TimeZone> {
    let found = TimeZoneDatabase::bundled().get(&name.value).ok();
    if found.is_none() {
        let message = format!("`{}` is no time zone", name.value);
        let hint = "write a name of the IANA database, such as `Europe/Berlin` or `UTC`";
        errors.push(source.error(place(name), message, Some(hint)));
    }
    found
}

fn caps(entry: &RateLimit, source: &Source, errors: &mut Vec<LoadError>) -> Caps {
    let before = errors.len();
    let mut money = |entry: &Option<Spanned<Amount>>| {
        let entry = entry.as_ref()?;
        let money = units::money(&entry.value);
        if money.is_none() {
            errors.push(super::bad(source, entry, &entry.value.text(), "write dollars such as `$5.00`"));
        }
        money
    };
    let (mut daily, monthly) = (money(&entry.daily_budget), money(&entry.monthly_cap));
    let (per_person_daily, background_daily) = (money(&entry.per_user_daily), money(&entry.background_daily));
    let alert = entry.alert_at.as_ref().map(|alert| (alert, units::percent(&alert.value)));
    if let Some((alert, None)) = alert {
        errors.push(super::bad(source, alert, &alert.value.text(), "write percent of a cap, such as `80%`"));
    }
    if errors.len() == before {
        never_mattering(entry, [daily, monthly, per_person_daily, background_daily], source, errors);
    }
    if daily.or(monthly).or(per_person_daily).is_none() {
        daily = Some(Caps::DAILY);
    }
    let a_day = daily.or_else(|| monthly.map(|monthly| Money::from_micros(monthly.as_micros() / 30)));
    let background = a_day.or(per_person_daily).and_then(|a_day| Caps::of_daily(a_day).background_daily);
    Caps {
        daily,
        monthly,
        per_person_daily,
        background_daily: background_daily.or(background),
        alert_percent: alert.and_then(|(_, percent)| percent).unwrap_or(Caps::ALERT_PERCENT),
    }
}

/// A cap above one that holds for more people or a longer time.
fn never_mattering(entry: &RateLimit, caps: [Option<Money>; 4], source: &Source, errors: &mut Vec<LoadError>) {
    let [daily, monthly, per_person_daily, background_daily] = caps;
    let of_month = monthly.map(|monthly| ("monthly_cap", monthly));
    let of_day = daily.map(|daily| ("daily_budget", daily)).or(of_month);
    let pairs = [
        ("daily_budget", &entry.daily_budget, daily, of_month),
        ("per_user_daily", &entry.per_user_daily, per_person_daily, of_day),
        ("background_daily", &entry.background_daily, background_daily, of_day),
    ];
    for (name, written, amount, above) in pairs {
        if let (Some(written), Some(amount), Some((wider, most))) = (written, amount, above)
            && amount > most
        {
            let message = format!("`{name}` ({amount}) can never matter: `{wider}` ({most}) is reached before it");
            errors.push(source.error(place(written), message, Some("lower the one, raise the other, or remove one")));
        }
    }
}
