use std::time::{Duration, Instant};

use super::{Admission, Breaker, FAILURE_COUNT_MAX, PROBE_INTERVAL_MAX, PROBE_INTERVAL_MIN, State};

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..FAILURE_COUNT_MAX {
        let admission = breaker.admit(now);
        assert_eq!(admission, Admission::Pass);
        breaker.fail(admission, FAILURE_COUNT_MAX, now);
    }
    breaker
}

#[test]
fn f09_five_failures_in_a_row_open_it() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.admit(now), Admission::Refuse(PROBE_INTERVAL_MIN));
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    for _ in 0..20 {
        for _ in 1..FAILURE_COUNT_MAX {
            breaker.fail(Admission::Pass, FAILURE_COUNT_MAX, now);
        }
        breaker.succeed();
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn f09_one_probe_at_a_time_passes_an_open_breaker() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + PROBE_INTERVAL_MIN;
    assert_eq!(breaker.admit(later), Admission::Probe);
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.admit(later + Duration::from_secs(100)), Admission::Refuse(Duration::ZERO));
    breaker.succeed();
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.admit(later), Admission::Pass);
}

#[test]
fn f01_probes_become_rarer_and_stay_below_one_per_second() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let mut now = start;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let Admission::Refuse(pause) = breaker.admit(now) else { panic!("a probe too early") };
        assert_eq!(
            breaker.admit(now + pause - Duration::from_nanos(1)),
            Admission::Refuse(Duration::from_nanos(1))
        );
        now += pause;
        pauses.push(pause.as_secs());
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.fail(Admission::Probe, FAILURE_COUNT_MAX, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(PROBE_INTERVAL_MAX.as_secs(), 30);
}

#[test]
fn an_abandoned_probe_makes_room_for_another_at_once() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + PROBE_INTERVAL_MIN;
    let probe = breaker.admit(later);
    breaker.abandon(probe);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.admit(later), Admission::Probe);
}

#[test]
fn a_rest_lasts_as_long_as_was_asked_and_ends_with_a_probe() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    breaker.pause(Duration::from_secs(20), now);
    breaker.pause(Duration::from_secs(2), now);
    assert_eq!(breaker.admit(now), Admission::Refuse(Duration::from_secs(20)));
    assert_eq!(breaker.admit(now + Duration::from_secs(20)), Admission::Probe);
}

#[test]
fn late_failures_of_earlier_requests_do_not_push_the_probe_away() {
    let now = Instant::now();
    let mut breaker = opened(now);
    for _ in 0..50 {
        breaker.fail(Admission::Pass, FAILURE_COUNT_MAX, now + Duration::from_millis(900));
    }
    assert_eq!(breaker.admit(now + PROBE_INTERVAL_MIN), Admission::Probe);
}

#[test]
fn a_late_success_of_an_earlier_request_closes_it() {
    let now = Instant::now();
    let mut breaker = opened(now);
    breaker.succeed();
    assert_eq!(breaker.admit(now), Admission::Pass);
}

#[test]
fn states_print_as_numbers() {
    assert_eq!([State::Closed, State::HalfOpen, State::Open].map(State::as_number), [0, 1, 2]);
}
