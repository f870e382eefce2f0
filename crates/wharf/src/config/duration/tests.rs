use super::*;

#[test]
fn numbers_with_units_are_added_up() {
    for (text, milliseconds) in [
        ("0s", 0),
        ("60s", 60_000),
        ("250ms", 250),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1h30m", 5_400_000),
        ("1m500ms", 60_500),
        ("7d", 604_800_000),
        ("007s", 7000),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
    }
}

#[test]
fn a_time_without_a_unit_or_a_number_is_none() {
    for text in
        ["", "60", "s", "5 m", "-1s", "+1s", "1.5h", "1w", "1h30", "forever", "5mm", "٣s", "1S", " 1s"]
    {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn a_length_is_written_in_the_largest_unit_that_leaves_no_rest() {
    for (milliseconds, text) in [
        (0, "0s"),
        (250, "250ms"),
        (1500, "1500ms"),
        (5000, "5s"),
        (60_000, "1m"),
        (90_000, "90s"),
        (900_000, "15m"),
        (604_800_000, "7d"),
    ] {
        let length = Duration::from_millis(milliseconds);
        assert_eq!(write(length), text);
        assert_eq!(parse_duration(text), Some(length), "{text}");
    }
}

#[test]
fn a_time_that_overflows_is_none() {
    assert_eq!(parse_duration("18446744073709551615ms"), Some(Duration::from_millis(u64::MAX)));
    for text in ["18446744073709551616ms", "18446744073709551615s", "18446744073709551615ms1ms"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}
