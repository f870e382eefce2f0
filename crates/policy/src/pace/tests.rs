use super::*;

const MIB: u64 = 1 << 20;

/// Brings 10 MiB/s, a tenth of a second after it was asked.
const FAST: Pace = Pace { latency: Duration::from_millis(100), rate: 10 * MIB };

fn tenure(age_ms: u64, rate: u64, rest_bytes: u64) -> Tenure {
    Tenure { age: Duration::from_millis(age_ms), rate, rest_bytes }
}

#[test]
fn t24_an_idle_connection_takes_what_it_brings_in_less_than_half_the_time() {
    let cases = [
        ("silence", tenure(2_000, 0, 8 * MIB), Some(0)),
        ("a drip", tenure(2_000, 2048, 8 * MIB), Some(0)),
        ("a byte a second", tenure(2_000, 1, 100), Some(0)),
        ("an eighth", tenure(2_000, 10 * MIB / 8, 8 * MIB), Some(0)),
        ("a quarter keeps a fifth", tenure(2_000, 10 * MIB / 4, 100 * MIB), Some(20 * MIB)),
        ("half as fast", tenure(2_000, 5 * MIB, 90 * MIB), Some(30 * MIB)),
        ("more than half as fast", tenure(2_000, 5 * MIB + 1, 90 * MIB), None),
        ("as fast", tenure(2_000, 10 * MIB, 100 * MIB), None),
        ("too young", tenure(1_199, 0, 8 * MIB), None),
        ("a drip that is done sooner than a request is answered", tenure(2_000, 2048, 400), None),
        ("nothing left", tenure(2_000, 0, 0), None),
    ];
    for (name, tenure, expected) in cases {
        assert_eq!(kept_bytes(&tenure, &FAST), expected, "{name}");
    }
    assert_eq!(
        kept_bytes(&tenure(2_000, 0, MIB), &Pace { rate: 0, ..FAST }),
        None,
        "it brought nothing itself"
    );
}

#[test]
fn t24_a_connection_far_behind_the_others_is_lost() {
    let cases = [
        ("silence", tenure(1_200, 0, 8 * MIB), true),
        ("a drip", tenure(1_200, 2048, 8 * MIB), true),
        ("a quarter", tenure(1_200, 10 * MIB / 4, 100 * MIB), true),
        ("more than a quarter", tenure(1_200, 10 * MIB / 4 + 1, 100 * MIB), false),
        ("too young", tenure(1_199, 0, 8 * MIB), false),
        ("nearly done", tenure(1_200, 2 * MIB, MIB / 4), false),
    ];
    for (name, tenure, expected) in cases {
        assert_eq!(is_lost(&tenure, &FAST), expected, "{name}");
    }
}

#[test]
fn t24_a_long_way_to_the_first_byte_is_no_slowness() {
    let far_away = Pace { latency: Duration::from_secs(2), ..FAST };
    assert!(!is_lost(&tenure(4_999, 0, 8 * MIB), &far_away));
    assert!(is_lost(&tenure(5_000, 0, 8 * MIB), &far_away));
}

#[test]
fn no_pace_makes_it_panic() {
    let extremes = [0, 1, u64::MAX / 2, u64::MAX];
    for rate in extremes {
        for rest_bytes in extremes {
            for other in extremes {
                for latency in [Duration::ZERO, Duration::from_secs(u64::from(u32::MAX))] {
                    let (tenure, pace) = (tenure(u64::MAX, rate, rest_bytes), Pace { latency, rate: other });
                    assert!(kept_bytes(&tenure, &pace).is_none_or(|kept| kept <= rest_bytes / 3 + 1));
                    is_lost(&tenure, &pace);
                }
            }
        }
    }
}
