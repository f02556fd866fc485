//! Amounts as people write them: `5m`, `90s`, `1GiB`, `512MB`, `2`.

use super::raw::{Cpus, TextOrNumber};

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
pub(super) fn cpu_millis(value: &Cpus) -> Option<u32> {
    let text = match value {
        Cpus::Number(number) => number.to_string(),
        Cpus::Text(text) => text.trim().to_owned(),
    };
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok().filter(|millis| *millis > 0);
    }
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    let millis = whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(part.parse().ok()?)?;
    (millis > 0).then_some(millis)
}
