//! Amounts as people write them: `5m`, `90s`, `1GiB`, `512MB`, `2`, `$5.00`, `80%`.

use crate::domain::money::Money;

use super::raw::{Amount, TextOrNumber};

/// Largest amount of money, in dollars: a slip of the hand beyond it.
const DOLLARS_MAX: u64 = 1_000_000;

/// Milliseconds of `5m`, `1h30m`, `90` (seconds).
pub(super) fn duration_ms(value: &TextOrNumber) -> Option<u64> {
    let text = value.text();
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return seconds.checked_mul(1000).filter(|ms| *ms > 0);
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match rest.get(..letters)? {
            "ms" => 1,
            "s" | "sec" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(letters..)?.trim_start();
    }
    (total > 0).then_some(total)
}

/// Bytes of `1GiB`, `512MB`, `64k`, `4096`.
pub(super) fn bytes(value: &TextOrNumber) -> Option<u64> {
    let text = value.text();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = match text.get(digits..)?.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// Thousandths of a core of `2`, `1.5`, `500m`.
pub(super) fn cpu_millis(value: &Amount) -> Option<u32> {
    let text = value.text();
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok().filter(|millis| *millis > 0);
    }
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    let millis = whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(part.parse().ok()?)?;
    (millis > 0).then_some(millis)
}

/// Money of `$5.00`, `5`, `0.075`: dollars with at most six decimals, up to [`DOLLARS_MAX`].
pub(super) fn money(value: &Amount) -> Option<Money> {
    let text = value.text();
    let text = text.strip_prefix('$').unwrap_or(&text).trim_start();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let dollars: u64 = whole.parse().ok().filter(|dollars| *dollars <= DOLLARS_MAX)?;
    let micros: u64 = format!("{part:0<6}").parse().ok()?;
    Some(Money::from_micros(dollars * 1_000_000 + micros))
}

/// 1 to 100, of `80%` or `80`.
pub(super) fn percent(value: &Amount) -> Option<u8> {
    let text = value.text();
    let number = text.strip_suffix('%').unwrap_or(&text).trim_end();
    number.parse().ok().filter(|percent| (1..=100).contains(percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_to_the_millionth_or_not_at_all() {
        let text = |text: &str| Amount::Text(text.to_owned());
        for (value, micros) in [
            (text("$5.00"), Some(5_000_000)),
            (text("$ 5"), Some(5_000_000)),
            (text("0.075"), Some(75_000)),
            (text("0.000001"), Some(1)),
            (text("$1000000"), Some(1_000_000_000_000)),
            (Amount::Number(5.0), Some(5_000_000)),
            (Amount::Number(0.1), Some(100_000)),
            (Amount::Number(-5.0), None),
            (Amount::Number(f64::NAN), None),
            (Amount::Number(f64::INFINITY), None),
            (Amount::Number(1e300), None),
            (text("0.0000001"), None),
            (text("1000001"), None),
            (text("5."), None),
            (text(".5"), None),
            (text("1,000"), None),
            (text("5 USD"), None),
            (text("€5"), None),
            (text("$$5"), None),
            (text("-5"), None),
            (text("+5"), None),
            (text(""), None),
        ] {
            assert_eq!(money(&value), micros.map(Money::from_micros), "{value:?}");
        }
    }

    #[test]
    fn percent_are_1_to_100() {
        for (value, found) in
            [("80%", Some(80)), ("80", Some(80)), ("100 %", Some(100)), ("0", None), ("101%", None), ("0.8", None)]
        {
            assert_eq!(percent(&Amount::Text(value.to_owned())), found, "{value}");
        }
    }
}
