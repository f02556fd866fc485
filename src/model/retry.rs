//! When a request is sent again: only what cannot have been accepted, seldom, and not before the
//! provider wants it. Pure.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How often a request is sent at most.
pub(super) const ATTEMPTS_MAX: u32 = 3;

/// Whether a request that was refused may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It would be refused again, or may have been accepted.
    Never,
    /// Nobody listened: once, in case somebody is about to.
    Once,
    /// After what the provider named, else after a pause that doubles.
    After(Option<Duration>),
}

impl Again {
    /// By the status of an answer.
    pub(super) fn of(status: u16, headers: &HeaderMap) -> Self {
        if matches!(status, 429 | 503 | 529) { Self::After(wanted(headers)) } else { Self::Never }
    }

    /// How long to wait after attempt number `attempt` (from 1) failed; `None` gives up.
    pub(super) fn pause(self, attempt: u32, backoff: Duration) -> Option<Duration> {
        let doubled = backoff.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        match self {
            Self::Never => None,
            Self::Once => (attempt == 1).then_some(backoff),
            Self::After(_) if attempt >= ATTEMPTS_MAX => None,
            Self::After(wanted) => Some(wanted.unwrap_or(doubled)),
        }
    }
}

/// The wait that a provider names, in `retry-after-ms` or in `Retry-After` (RFC 9110, section 10.2.3:
/// seconds, or a date, which is read against the answer's own `Date`).
fn wanted(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
    if let Some(millis) = headers.get("retry-after-ms").and_then(|value| seconds(value.to_str().ok()?.trim())) {
        return Some(millis / 1000);
    }
    let after = text(RETRY_AFTER)?;
    seconds(after).or_else(|| {
        let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
        let wait = date(after)?.as_second() - date(text(DATE)?)?.as_second();
        Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_wait_is_what_the_provider_names() {
        let date = "Wed, 25 Nov 2026 14:00:00 GMT";
        type Case<'a> = (&'a [(&'static str, &'a str)], Option<u64>);
        let cases: &[Case<'_>] = &[
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after-ms", "250"), ("retry-after", "7")], Some(250)),
            (&[("retry-after", "Wed, 25 Nov 2026 14:00:30 GMT"), ("date", date)], Some(30_000)),
            (&[("retry-after", "Wed, 25 Nov 2026 13:00:30 GMT"), ("date", date)], Some(0)),
            (&[("retry-after", "Wed, 25 Nov 2026 14:00:30 GMT")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ];
        for (pairs, expected) in cases {
            assert_eq!(wanted(&headers(pairs)), expected.map(Duration::from_millis), "{pairs:?}");
        }
    }

    #[test]
    fn only_what_cannot_have_been_accepted_is_sent_again_and_seldom() {
        let second = Duration::from_secs(1);
        for status in [400, 401, 403, 404, 413, 422, 500, 502, 504] {
            assert_eq!(Again::of(status, &HeaderMap::new()), Again::Never, "{status}");
        }
        let after = Again::of(529, &HeaderMap::new());
        assert_eq!([1, 2, 3].map(|attempt| after.pause(attempt, second)), [Some(second), Some(second * 2), None]);
        assert_eq!([1, 2].map(|attempt| Again::Once.pause(attempt, second)), [Some(second), None]);
        let named = Again::of(429, &headers(&[("retry-after", "9")]));
        assert_eq!(named.pause(1, second), Some(second * 9));
    }
}
