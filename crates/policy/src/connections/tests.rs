use super::*;

const MIB: u64 = 1 << 20;

/// 200 MiB left, one connection that brings a steady 20 MiB/s.
const SLOW: Flow = Flow {
    remaining_bytes: 200 * MIB,
    rate: 20 * MIB,
    rate_before: 20 * MIB,
    rate_for_long: Some(20 * MIB),
    connections: 1,
    trial: None,
};

const fn trial(rate: u64, connections: usize, age_ms: u64) -> Option<Trial> {
    Some(Trial { rate, connections, age: Duration::from_millis(age_ms) })
}

#[test]
fn a_connection_is_added_while_that_helps_and_the_rest_is_long() {
    let two = Flow { rate: 40 * MIB, rate_before: 40 * MIB, connections: 2, ..SLOW };
    let cases = [
        ("a long rest", SLOW, Plan::Add),
        ("a fast upstream", Flow { rate: 400 * MIB, rate_before: 400 * MIB, ..SLOW }, Plan::Wait),
        ("a short rest", Flow { remaining_bytes: 19 * MIB, ..SLOW }, Plan::Wait),
        ("a small rest", Flow { remaining_bytes: 3 * MIB, rate: MIB, rate_before: MIB, ..SLOW }, Plan::Wait),
        ("a rate that still grows", Flow { rate_before: 10 * MIB, ..SLOW }, Plan::Wait),
        ("a rate that falls", Flow { rate_before: 30 * MIB, ..SLOW }, Plan::Add),
        ("the first interval", Flow { rate_before: 0, ..SLOW }, Plan::Wait),
        ("a silent moment", Flow { rate: 0, ..SLOW }, Plan::Wait),
        ("silence from the begin", Flow { rate: 0, rate_before: 0, rate_for_long: None, ..SLOW }, Plan::Wait),
        ("silence", Flow { rate: 0, rate_before: 0, rate_for_long: Some(0), ..SLOW }, Plan::Add),
        ("a drip", Flow { rate: 8192, rate_before: 0, rate_for_long: Some(2048), ..SLOW }, Plan::Add),
        (
            "silence, of two connections",
            Flow { rate: 0, rate_before: 0, rate_for_long: Some(0), trial: trial(0, 1, 2_999), ..SLOW },
            Plan::Wait,
        ),
        (
            "nothing but silence",
            Flow { rate: 0, rate_before: 0, rate_for_long: Some(0), trial: trial(0, 1, 3_000), ..SLOW },
            Plan::Settle,
        ),
        (
            "a second one that does not drip",
            Flow {
                rate: MIB,
                rate_before: MIB,
                rate_for_long: Some(1000),
                trial: trial(1000, 1, 500),
                ..SLOW
            },
            Plan::Add,
        ),
        ("a second one that doubles", Flow { trial: trial(20 * MIB, 1, 500), ..two }, Plan::Add),
        (
            "one that brings half of the first",
            Flow { rate: 30 * MIB, rate_before: 30 * MIB, trial: trial(20 * MIB, 1, 500), ..two },
            Plan::Add,
        ),
        (
            "a gain at the end",
            Flow { remaining_bytes: 9 * MIB, trial: trial(20 * MIB, 1, 500), ..two },
            Plan::Pass,
        ),
        ("no gain yet", Flow { connections: 2, trial: trial(20 * MIB, 1, 2_999), ..SLOW }, Plan::Wait),
        ("no gain", Flow { connections: 2, trial: trial(20 * MIB, 1, 3_000), ..SLOW }, Plan::Settle),
        (
            "a loss",
            Flow { rate: MIB, connections: 2, trial: trial(20 * MIB, 1, 3_000), ..SLOW },
            Plan::Settle,
        ),
    ];
    for (name, flow, expected) in cases {
        assert_eq!(plan(&flow), expected, "{name}");
    }
}

#[test]
fn the_gain_that_is_wanted_shrinks_with_the_share_of_one_connection() {
    let after = |rate, connections| Flow {
        rate,
        rate_before: rate,
        connections: connections + 1,
        trial: trial(120 * MIB, connections, 3_000),
        ..Flow { remaining_bytes: 2_000 * MIB, ..SLOW }
    };
    for (connections, wanted) in [(1, 180), (2, 150), (3, 140), (6, 130)] {
        assert_eq!(plan(&after((wanted - 1) * MIB, connections)), Plan::Settle, "{connections}");
        assert_eq!(plan(&after(wanted * MIB, connections)), Plan::Add, "{connections}");
    }
}

#[test]
fn a_part_takes_two_seconds_and_less_towards_the_end() {
    let part = |remaining_bytes, rate, connections| {
        part_bytes(&Flow { remaining_bytes, rate, rate_before: rate, connections, ..SLOW })
    };
    assert_eq!(part(1_000 * MIB, 20 * MIB, 2), 20 * MIB);
    assert_eq!(part(10_000 * MIB, 400 * MIB, 4), PART_BYTES_MAX);
    assert_eq!(part(1_000 * MIB, 1_000, 2), PART_BYTES_MIN);
    assert_eq!(part(64 * MIB, 80 * MIB, 4), 10 * MIB, "half a second is the least");
    assert_eq!(part(96 * MIB, 80 * MIB, 4), 12 * MIB, "half of each one's share");
    assert_eq!(part(0, 0, 0), PART_BYTES_MIN);
    assert_eq!(part(u64::MAX, u64::MAX, 1), PART_BYTES_MAX);
}

#[test]
fn no_flow_makes_it_panic() {
    let extremes = [0, 1, u64::MAX / 2, u64::MAX];
    for remaining_bytes in extremes {
        for rate in extremes {
            for rate_before in extremes {
                for (connections, trial) in
                    [(0, None), (usize::MAX, trial(rate, usize::MAX, u64::MAX)), (1, trial(u64::MAX, 0, 0))]
                {
                    let rate_for_long = (rate > 0).then_some(rate_before);
                    let flow = Flow { remaining_bytes, rate, rate_before, rate_for_long, connections, trial };
                    plan(&flow);
                    assert!((PART_BYTES_MIN..=PART_BYTES_MAX).contains(&part_bytes(&flow)));
                }
            }
        }
    }
}
