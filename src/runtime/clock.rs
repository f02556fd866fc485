//! The clock: the only place that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// Nanoseconds since 1970-01-01T00:00:00Z; 0 before it.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The present time.
pub fn now() -> Timestamp {
    Timestamp::from_ms(now_ns() / 1_000_000)
}
