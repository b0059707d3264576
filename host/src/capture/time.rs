//! The times of records: moments as text, and durations as numbers.

use std::time::Duration;

use jiff::Timestamp;

/// Formats microseconds since 1970 (UTC) as RFC 3339: `2026-11-29T07:16:01.123456Z`.
#[must_use]
pub fn rfc3339(micros: u64) -> String {
    let at = i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}

/// Parses a date of RFC 3339 into microseconds since 1970 (UTC). `None` for other text, and for dates before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    text.parse().ok().and_then(|at: Timestamp| u64::try_from(at.as_microsecond()).ok())
}

/// A duration in microseconds, in which the times of records are.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
