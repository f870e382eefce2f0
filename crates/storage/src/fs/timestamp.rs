//! Times as text: RFC 3339 in UTC, to the second.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last second of the year 9999, the latest that four digits can express.
const SECONDS_MAX: u64 = 253_402_300_799;

/// `2026-11-21T10:26:59Z`. Fractions are cut off, so a check seems up to a second older than it is. A time
/// outside 1970 to 9999 becomes the nearest one inside.
pub(crate) fn format(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(SECONDS_MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds as i64).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).expect("a year from 1970 to 9999 can be written")
}

/// The time that [`format`] wrote; `None` for any other text.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let time = SystemTime::from(OffsetDateTime::parse(text, &Rfc3339).ok()?);
    // RFC 3339 allows other offsets, fractions and small letters.
    (format(time) == text).then_some(time)
}

#[cfg(test)]
mod tests;
