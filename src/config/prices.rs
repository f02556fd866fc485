//! Prices: the list that is compiled in, what the settings call free, and `prices.yaml` of the owner
//! over both.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_yaml::Spanned;

use crate::domain::model::ModelName;
use crate::domain::money::{LongPrice, Price};

use super::Files;
use super::errors::{LoadError, Source};
use super::raw::{Amount, LongEntry, PriceEntry, PricesFile};
use super::rules::place;
use super::settings::Settings;
use super::units;

const BUILT_IN: &str = include_str!("../../policies/prices.yaml");
const DOLLARS: &str = "write dollars for a million tokens, such as `2.50`";

/// Prices by `PROVIDER/NAME`.
pub(super) fn prices(files: Files<'_>, settings: &Settings, errors: &mut Vec<LoadError>) -> BTreeMap<String, Price> {
    let source = Source { file: PathBuf::from("policies/prices.yaml"), text: BUILT_IN.to_owned() };
    let file = super::parse::<PricesFile>(&source, errors);
    let mut prices = listed(&file, &source, errors);
    for (name, _) in settings.providers.iter().filter(|(_, provider)| provider.free) {
        let beginning = format!("{name}/");
        prices.retain(|model, _| !model.starts_with(&beginning));
        prices.insert(format!("{beginning}*"), Price::FREE);
    }
    let (source, file) = super::read::<PricesFile>(files, "prices.yaml", errors);
    prices.extend(listed(&file, &source, errors));
    prices
}

fn listed(file: &PricesFile, source: &Source, errors: &mut Vec<LoadError>) -> BTreeMap<String, Price> {
    if let Some(entry) = &file.as_of
        && entry.value.parse::<jiff::civil::Date>().is_err()
    {
        let message = format!("`{}` is no date", entry.value);
        errors.push(source.error(place(entry), message, Some("write one such as `2026-11-25`")));
    }
    let mut prices = BTreeMap::new();
    for (name, entry) in &file.prices {
        let beginning = name.strip_suffix('*').unwrap_or(name);
        if beginning.contains('*') || ModelName::try_from(name.clone()).is_err() {
            let message = format!("`{name}` names no model");
            let hint = "write PROVIDER/NAME; NAME may end in `*`";
            errors.push(source.error(place(entry), message, Some(hint)));
            continue;
        }
        prices.extend(price(name, entry, source, errors).map(|price| (name.clone(), price)));
    }
    prices
}

fn price(name: &str, entry: &Spanned<PriceEntry>, source: &Source, errors: &mut Vec<LoadError>) -> Option<Price> {
    let PriceEntry { free, input, output, cache_read, cache_write, long } = &entry.value;
    let given = [input, output, cache_read, cache_write].map(Option::as_ref);
    let priced = long.is_some() || given.iter().any(Option::is_some);
    let (message, hint) = match (*free, input, output) {
        (true, _, _) if priced => (format!("`{name}` is free and has a price"), "remove one of the two"),
        (true, _, _) => return Some(Price::FREE),
        (false, None, _) => (format!("`{name}` has no `input` price"), DOLLARS),
        (false, _, None) => (format!("`{name}` has no `output` price"), DOLLARS),
        (false, Some(_), Some(_)) => {
            let price = rates(given, source, errors)?;
            let long = match long {
                Some(long) => Some(long_price(long, source, errors)?),
                None => None,
            };
            if !price.is_free() {
                return Some(Price { long, ..price });
            }
            (format!("`{name}` costs nothing"), "write `free: true` if that is so")
        }
    };
    errors.push(source.error(place(entry), message, Some(hint)));
    None
}

/// Of input, output, cache_read and cache_write, the latter two as input where they are not given.
fn rates(given: [Option<&Spanned<Amount>>; 4], source: &Source, errors: &mut Vec<LoadError>) -> Option<Price> {
    let before = errors.len();
    let [input, output, cache_read, cache_write] = given.map(|entry| {
        let entry = entry?;
        let money = units::money(&entry.value);
        if money.is_none() {
            errors.push(super::bad(source, entry, &entry.value.text(), DOLLARS));
        }
        money
    });
    let (input, output) = (input.filter(|_| errors.len() == before)?, output?);
    let (cache_read, cache_write) = (cache_read.unwrap_or(input), cache_write.unwrap_or(input));
    Some(Price { input, output, cache_read, cache_write, long: None })
}

fn long_price(long: &LongEntry, source: &Source, errors: &mut Vec<LoadError>) -> Option<LongPrice> {
    let LongEntry { above, input, output, cache_read, cache_write } = long;
    let given = [Some(input), Some(output), cache_read.as_ref(), cache_write.as_ref()];
    let Price { input, output, cache_read, cache_write, .. } = rates(given, source, errors)?;
    Some(LongPrice { above_tokens: *above, input, output, cache_read, cache_write })
}
