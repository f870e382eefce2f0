use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{
    ATTEMPT_COUNT_MAX, BACKOFF_MAX, BACKOFF_MIN, RETRY_AFTER_MAX, RETRY_RESERVE, RetryBudget, backoff,
    parse_retry_after,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

#[test]
fn f10_retry_after_in_every_shape() {
    let cases = [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 120 ", Some(120)),
        ("900", Some(900)),
        ("901", Some(900)),
        ("99999999999999999999999999", Some(900)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
        ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
        ("Wed, 01 Jan 2098 00:00:00 GMT", Some(900)),
        ("", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("soon", None),
        ("1e3", None),
    ];
    for (value, seconds) in cases {
        assert_eq!(parse_retry_after(value, now()), seconds.map(Duration::from_secs), "{value:?}");
    }
}

#[test]
fn backoff_grows_within_its_bounds() {
    assert_eq!(backoff(2, 0), BACKOFF_MIN / 2);
    assert_eq!(backoff(2, 50), BACKOFF_MIN);
    assert_eq!(backoff(3, 0), BACKOFF_MIN);
    assert_eq!(backoff(u32::MAX, 0), BACKOFF_MAX / 2);
}

#[test]
fn f09_retries_stay_at_a_tenth_of_the_traffic() {
    let mut budget = RetryBudget::default();
    let requests: u32 = 10_000;
    let mut retries = 0;
    for _ in 0..requests {
        budget.deposit();
        for _ in 1..ATTEMPT_COUNT_MAX {
            retries += u32::from(budget.withdraw(0));
        }
    }
    assert!(retries <= RETRY_RESERVE + requests / 10, "{retries} retries");
    assert!(retries >= requests / 10, "{retries} retries");
}

proptest! {
    #[test]
    fn any_backoff_lies_in_the_upper_half_of_its_step(attempt: u32, random: u64) {
        let pause = backoff(attempt, random);
        prop_assert!(pause >= BACKOFF_MIN / 2 && pause <= BACKOFF_MAX);
    }

    #[test]
    fn no_retry_after_exceeds_the_cap(value in "\\PC{0,40}") {
        if let Some(pause) = parse_retry_after(&value, now()) {
            prop_assert!(pause <= RETRY_AFTER_MAX);
        }
    }
}
