//! Lengths of time as people write them: `500ms`, `60s`, `5m`, `1h30m`, `7d`.

use std::time::Duration;

/// The advice on a malformed length of time.
pub(crate) const EXAMPLE: &str = "write a number and a unit, such as \"60s\", \"5m\", \"1h30m\" or \"7d\"";

/// Units from long to short, in milliseconds. `ms` stands before `m` because it begins with it.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1000)];

/// The length of time, or `None` if the text is not one or its milliseconds overflow.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut milliseconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (unit, factor) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        milliseconds = milliseconds.checked_add(number.checked_mul(factor)?)?;
        rest = &tail[unit.len()..];
    }
    Some(Duration::from_millis(milliseconds))
}

/// The length of time as people write it, in the largest unit that divides it.
pub(crate) fn write(length: Duration) -> String {
    let milliseconds = length.as_millis();
    // From long to short: a minute is tried before the milliseconds that it is a multiple of.
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let fitting = units.into_iter().find(|(_, unit)| milliseconds > 0 && milliseconds.is_multiple_of(*unit));
    fitting.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", milliseconds / unit))
}

#[cfg(test)]
mod tests;
