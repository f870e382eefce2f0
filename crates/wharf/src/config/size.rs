//! Sizes as people write them: `500GB`, `1.5TiB`, `90%`.

use std::num::NonZeroU64;

use policy::eviction::Cap;

/// Names of units with their bytes. A longer name stands before the one that it ends in.
const UNITS: [(&str, u64); 12] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("B", 1),
];

/// Parses a size above zero, or a share of the file system from `1%` to `100%`. `None`: it is neither.
pub(crate) fn parse_size(text: &str) -> Option<Cap> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = digits(percent.trim_end())?.parse().ok()?;
        return (1..=100).contains(&percent).then_some(Cap::Percent(percent));
    }
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, bytes) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = digits(whole)?.parse().ok()?;
    // Three decimals are more than anybody needs, and fit beside the largest unit.
    let decimals: u64 = format!("{:0<3}", digits(decimals).filter(|it| it.len() <= 3)?).parse().ok()?;
    let parts = bytes / 1000 * decimals + bytes % 1000 * decimals / 1000;
    let size = whole.checked_mul(bytes)?.checked_add(parts)?;
    (size > 0).then_some(Cap::Bytes(size))
}

/// Returns the size that a text nearly is: `100GB` for `100G`, `100gb` and `100 Gi`.
pub(crate) fn near_miss(text: &str) -> Option<String> {
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let is_meant = |name: &str| [name.to_owned(), format!("{name}b")].contains(&unit) && !unit.is_empty();
    let (name, _) = UNITS.into_iter().find(|(name, _)| {
        let name = name.to_ascii_lowercase();
        unit == name || is_meant(name.trim_end_matches('b'))
    })?;
    Some(format!("{number}{name}")).filter(|meant| parse_size(meant).is_some())
}

/// Parses bytes per second above zero: `10MB/s`, or `10MB`. `None`: it is no rate.
pub(crate) fn parse_rate(text: &str) -> Option<NonZeroU64> {
    match parse_size(text.strip_suffix("/s").unwrap_or(text).trim_end())? {
        Cap::Bytes(bytes) => NonZeroU64::new(bytes),
        Cap::Percent(_) => None,
    }
}

/// Writes bytes per second.
pub(crate) fn write_rate(rate: NonZeroU64) -> String {
    format!("{}/s", write_size(Cap::Bytes(rate.get())))
}

/// Writes a size in the largest unit that divides it.
pub(crate) fn write_size(cap: Cap) -> String {
    match cap {
        Cap::Percent(percent) => format!("{percent}%"),
        Cap::Bytes(bytes) => {
            let fits = |(_, unit): &(&str, u64)| bytes.is_multiple_of(*unit);
            let fitting = UNITS.into_iter().filter(fits).max_by_key(|(_, unit)| *unit);
            fitting.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
        }
    }
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let table = [
            ("0", None),
            ("0GB", None),
            ("1024", None),
            ("1024B", Some(Cap::Bytes(1024))),
            ("500GB", Some(Cap::Bytes(500_000_000_000))),
            ("500 GB", Some(Cap::Bytes(500_000_000_000))),
            ("1.5TiB", Some(Cap::Bytes(3 << 39))),
            ("0.5kB", Some(Cap::Bytes(500))),
            ("0.125KiB", Some(Cap::Bytes(128))),
            ("7B", Some(Cap::Bytes(7))),
            ("1%", Some(Cap::Percent(1))),
            ("90 %", Some(Cap::Percent(90))),
            ("100%", Some(Cap::Percent(100))),
            ("0%", None),
            ("101%", None),
            ("1.5%", None),
            ("", None),
            ("GB", None),
            (".5GB", None),
            ("1.GB", None),
            ("1.2345GB", None),
            ("-1GB", None),
            ("5gb", None),
            ("5G", None),
            ("20000PB", None),
            ("18446744073709551616", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_near_miss_of_a_unit_is_named() {
        let table = [
            ("100G", Some("100GB")),
            ("100gb", Some("100GB")),
            ("1.5 Ti", Some("1.5TiB")),
            ("5mib", Some("5MiB")),
            ("5K", Some("5kB")),
            ("0G", None),
            ("10", None),
            ("many", None),
            ("10 bananas", None),
        ];
        for (text, expected) in table {
            assert_eq!(near_miss(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn rates_are_sizes_with_or_without_a_second() {
        let table = [
            ("10MB/s", Some(10_000_000)),
            ("10 MB/s", Some(10_000_000)),
            ("10MB /s", Some(10_000_000)),
            ("1.5MiB", Some(3 << 19)),
            ("0MB/s", None),
            ("10/s", None),
            ("10%/s", None),
            ("10%", None),
            ("10MB/m", None),
            ("/s", None),
            ("10Mbit/s", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_rate(text).map(NonZeroU64::get), expected, "{text:?}");
        }
        for bytes in [1, 10_000_000, 3 << 19] {
            let rate = NonZeroU64::new(bytes).unwrap();
            assert_eq!(parse_rate(&write_rate(rate)), Some(rate));
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for cap in [Cap::Bytes(7), Cap::Bytes(1 << 30), Cap::Bytes(5_000_000_000), Cap::Percent(5)] {
            assert_eq!(parse_size(&write_size(cap)), Some(cap), "{}", write_size(cap));
        }
        assert_eq!(write_size(Cap::Bytes(5_000_000_000)), "5GB");
        assert_eq!(write_size(Cap::Bytes(3 << 39)), "1536GiB");
    }
}
