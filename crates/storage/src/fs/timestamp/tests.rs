use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::{SECONDS_MAX, format, parse};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn known_times() {
    // From date(1): date -u -d @<seconds> +%FT%TZ
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_795_256_819, "2026-11-21T10:26:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (SECONDS_MAX, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(format(at(seconds)), text);
        assert_eq!(parse(text), Some(at(seconds)), "{text}");
    }
}

#[test]
fn times_that_cannot_be_written_become_the_nearest_that_can() {
    assert_eq!(format(UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01T00:00:00Z");
    assert_eq!(format(at(SECONDS_MAX + 1)), "9999-12-31T23:59:59Z");
    assert_eq!(format(at(7) + Duration::from_millis(999)), "1970-01-01T00:00:07Z");
}

#[test]
fn other_texts_are_refused() {
    for text in [
        "",
        "2026-11-21",
        "2026-11-21T10:26:59",
        "2026-11-21T10:26:59+01:00",
        "2026-11-21 10:26:59Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-1-1T0:0:0Z",
        "+026-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "65536-01-01T00:00:00Z",
        "2026-01-01-01T00:00:00Z",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(seconds in 0..=SECONDS_MAX) {
        prop_assert_eq!(parse(&format(at(seconds))), Some(at(seconds)));
    }

    #[test]
    fn no_text_panics(text in "[0-9TZ:+-]{0,24}") {
        let _ = parse(&text);
    }
}
