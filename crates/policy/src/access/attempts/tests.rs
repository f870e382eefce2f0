use super::*;

#[test]
fn after_a_burst_of_failures_one_attempt_a_second_is_left() {
    let (mut attempts, now) = (Attempts::default(), Instant::now());
    for _ in 0..BURST_COUNT {
        assert_eq!(attempts.begin(now), Ok(()));
    }
    assert_eq!(attempts.begin(now), Err(INTERVAL));
    assert_eq!(attempts.begin(now + INTERVAL / 2), Err(INTERVAL / 2));
    assert_eq!(attempts.begin(now + INTERVAL), Ok(()));
    assert_eq!(attempts.begin(now + INTERVAL), Err(INTERVAL));
    let later = now + INTERVAL * 1000;
    for _ in 0..BURST_COUNT {
        assert_eq!(attempts.begin(later), Ok(()), "old failures are forgotten");
    }
}

#[test]
fn a_success_does_not_count() {
    let (mut attempts, now) = (Attempts::default(), Instant::now());
    for _ in 0..10 * BURST_COUNT {
        assert_eq!(attempts.begin(now), Ok(()));
        attempts.forgive();
    }
}
