use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn lasting(lifetime: Duration) -> Validity {
    Validity { expires_in: Some(lifetime), recheck_after: DAY }
}

#[test]
fn a_login_is_renewed_before_it_ends_and_used_until_then() {
    let start = Instant::now();
    // Lifetime, draw, then seconds at which the advice changes to renewing, and to asking.
    let table = [
        (HOUR, 0, 3600 - 720, 3600 - 10),
        (HOUR, 50, 3600 - 1080, 3600 - 10),
        (12 * HOUR, 0, 12 * 3600 - 900, 12 * 3600 - 10),
        (secs(60), 0, 48, 54),
        (secs(10), 50, 7, 9),
    ];
    for (lifetime, draw, renewed, ended) in table {
        let mut state = RenewalState::default();
        assert_eq!(state.advise(start), Advice::Ask);
        state.grant(start, lasting(lifetime), draw);
        let at = |seconds| state.advise(start + secs(seconds));
        assert_eq!([at(0), at(renewed - 1)], [Advice::Use; 2], "{lifetime:?}");
        assert_eq!([at(renewed), at(ended - 1)], [Advice::UseAndRenew; 2], "{lifetime:?}");
        assert_eq!(at(ended), Advice::Ask, "{lifetime:?}");
    }
}

#[test]
fn a_login_without_an_end_is_looked_at_again_and_stays() {
    let start = Instant::now();
    let mut state = RenewalState::default();
    state.grant(start, Validity { expires_in: None, recheck_after: secs(5) }, 7);
    assert_eq!(state.advise(start + secs(4)), Advice::Use);
    assert_eq!(state.advise(start + secs(5)), Advice::UseAndRenew);
    assert_eq!(state.advise(start + DAY), Advice::UseAndRenew);
}

#[test]
fn a_source_that_fails_takes_no_login_away_and_is_asked_less_and_less_often() {
    let start = Instant::now();
    let mut state = RenewalState::default();
    state.grant(start, lasting(HOUR), 0);
    let renewal = start + secs(3600 - 720);
    assert!(state.fail(renewal, 0), "the first failure is news");
    assert_eq!(state.advise(renewal), Advice::Use);
    assert_eq!(state.advise(renewal + secs(1)), Advice::UseAndRenew);
    assert!(!state.fail(renewal + secs(1), 0));
    assert_eq!(state.advise(renewal + secs(2)), Advice::Use);
    for _ in 0..20 {
        state.fail(renewal + secs(3), 0);
    }
    assert_eq!(state.advise(renewal + secs(3 + 59)), Advice::Use);
    assert_eq!(state.advise(renewal + secs(3 + 60)), Advice::UseAndRenew);
    let end = start + HOUR;
    state.fail(end, 0);
    assert_eq!(state.advise(end), Advice::Fail, "the login has ended");
    assert_eq!(state.advise(end + secs(60)), Advice::Ask);
    assert!(state.is_failing());
    state.grant(end, lasting(HOUR), 0);
    assert!(!state.is_failing());
}

#[test]
fn refusals_cause_one_question_per_interval() {
    let start = Instant::now();
    let mut state = RenewalState::default();
    state.grant(start, lasting(HOUR), 0);
    assert!(state.refuse(start));
    state.grant(start, lasting(HOUR), 0);
    assert!(!state.refuse(start + secs(29)), "a new login does not reset the interval");
    assert!(state.refuse(start + secs(30)));
    // A file is read again at any rate, so a refusal may cause it as often.
    state.grant(start, Validity { expires_in: None, recheck_after: secs(2) }, 0);
    assert!(!state.refuse(start + secs(31)));
    assert!(state.refuse(start + secs(32)));
}

#[test]
fn refusals_do_not_shorten_the_pause_of_a_source_that_fails() {
    let start = Instant::now();
    let mut state = RenewalState::default();
    state.grant(start, Validity { expires_in: None, recheck_after: secs(2) }, 0);
    for _ in 0..20 {
        state.fail(start, 0);
    }
    assert!(!state.refuse(start + secs(59)));
    assert!(state.refuse(start + secs(60)));
}
