use super::*;

const MIB: u64 = 1 << 20;
const WAIT_MAX: Duration = Duration::from_secs(1);

fn approach(distance: u64, age_ms: u64, pace: Option<(u64, u64)>) -> Approach {
    let pace = pace.map(|(latency_ms, rate)| Pace { latency: Duration::from_millis(latency_ms), rate });
    Approach { distance, age: Duration::from_millis(age_ms), pace }
}

#[test]
fn client_f5_a_range_that_cannot_be_there_in_time_does_not_wait() {
    let cases = [
        ("nobody brings it", None, [false, false]),
        ("a second away at 4 MiB/s", Some(approach(4 * MIB, 5_000, Some((200, 4 * MIB)))), [false, true]),
        ("farther", Some(approach(5 * MIB, 5_000, Some((200, 4 * MIB)))), [false, false]),
        ("as long as a request takes", Some(approach(MIB / 2, 5_000, Some((125, 4 * MIB)))), [true, true]),
        ("longer than a request takes", Some(approach(MIB / 2, 5_000, Some((100, 4 * MIB)))), [false, true]),
        ("next to nothing", Some(approach(50_000, 5_000, Some((0, MIB)))), [true, true]),
        ("silence", Some(approach(1, 5_000, Some((200, 0)))), [false, false]),
        ("a begin, far away", Some(approach(5 * MIB, 100, None)), [false, true]),
        ("a begin, near", Some(approach(NEAR_BYTES, 100, None)), [true, true]),
        ("no begin in time", Some(approach(NEAR_BYTES, 1_000, None)), [false, false]),
    ];
    for (name, approach, [small, large]) in cases {
        assert_eq!(wait(approach.as_ref(), true, WAIT_MAX).is_some(), small, "{name}, small");
        assert_eq!(wait(approach.as_ref(), false, WAIT_MAX).is_some(), large, "{name}, large");
    }
}

#[test]
fn a_wait_is_thought_over_before_it_is_over() {
    let begin = approach(5 * MIB, 900, None);
    assert_eq!(wait(Some(&begin), false, WAIT_MAX), Some(Duration::from_millis(100)));
    let on_its_way = approach(MIB, 900, Some((0, 4 * MIB)));
    assert_eq!(wait(Some(&on_its_way), false, WAIT_MAX), Some(REVIEW_INTERVAL));
}

#[test]
fn no_approach_makes_it_panic() {
    for distance in [0, 1, u64::MAX] {
        for pace in [None, Some((0, 0)), Some((u64::MAX, u64::MAX)), Some((0, 1))] {
            for wait_max in [Duration::ZERO, WAIT_MAX, Duration::MAX] {
                wait(Some(&approach(distance, u64::MAX, pace)), true, wait_max);
                wait(Some(&approach(distance, 0, pace)), false, wait_max);
            }
        }
    }
}
