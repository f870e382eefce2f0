use std::time::Duration;

use super::super::Claim;
use super::super::doubt::DOUBT_COUNT_MAX;
use super::*;

const MIB: u64 = 1 << 20;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The front of a blob of 40 MiB in parts of 8 MiB, and one part beside it from 18 MiB on. The front is at 2
/// MiB after half a second and at its stop, at 18 MiB, after four seconds, the returned time.
fn front_at_its_stop(part: impl Fn(&mut Spans, Instant)) -> (Spans, Instant) {
    let (mut spans, began) = (Spans::default(), Instant::now());
    spans.claim_front(&[range(0, u64::MAX)], None, began);
    spans.advance(1, 2 * MIB, began + millis(500));
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&[range(0, 40 * MIB)], None, began), Some((2, range(18 * MIB, 26 * MIB))));
    for tenth in 6..40 {
        spans.advance(1, 2 * MIB + (tenth - 5) * 16 * MIB / 35, began + millis(tenth * 100));
    }
    part(&mut spans, began);
    let now = began + millis(4000);
    spans.advance(1, 18 * MIB, now);
    (spans, now)
}

/// The gaps when the front is at its stop and the part has not written any byte.
const GAPS: [ByteRange; 1] = [ByteRange { start: 14 * MIB, end: 40 * MIB }];

#[test]
fn a_front_is_left_early_only_for_a_part_that_brings_its_bytes() {
    let brings = |rate: u64| {
        move |spans: &mut Spans, began: Instant| {
            for tenth in 0..40 {
                spans.advance(2, 18 * MIB + tenth * rate / 10, began + millis(tenth * 100));
            }
        }
    };
    let reach = |part: &dyn Fn(&mut Spans, Instant)| {
        let (mut spans, now) = front_at_its_stop(|_, _| {});
        part(&mut spans, now - millis(4000));
        spans.advance(1, 18 * MIB, now)
    };
    let (stop, early) = (18 * MIB, 10 * MIB);
    assert_eq!(reach(&brings(2 * MIB)), Reach { enough: early, stop }, "half the front's rate");
    assert_eq!(reach(&brings(MIB / 2)), Reach { enough: stop, stop });
    assert_eq!(reach(&brings(0)), Reach { enough: stop, stop });
    let silent = |spans: &mut Spans, began: Instant| {
        spans.advance(2, 18 * MIB + 1, began + millis(100));
        spans.advance(2, 24 * MIB, began + millis(3500));
    };
    assert_eq!(reach(&silent), Reach { enough: stop, stop }, "it has stopped again");
    let young = |spans: &mut Spans, began: Instant| {
        spans.advance(2, 20 * MIB, began + millis(3501));
        spans.advance(2, 24 * MIB, began + millis(3900));
    };
    assert_eq!(reach(&young), Reach { enough: stop, stop }, "it has only just begun");
}

#[test]
fn a_front_that_was_to_be_left_stays_so_until_what_follows_it_breaks_off() {
    let (mut spans, now) = front_at_its_stop(|_, _| {});
    for (next, millis_ago) in [(18 * MIB + 1, 2000), (22 * MIB, 1000), (26 * MIB - 1, 10)] {
        spans.advance(2, next, now - millis(millis_ago));
    }
    assert_eq!(spans.advance(1, 18 * MIB, now).enough, 10 * MIB);
    assert_eq!(spans.advance(1, 18 * MIB, now + millis(5000)).enough, 10 * MIB);
    spans.release(2, now);
    assert_eq!(spans.advance(1, 18 * MIB, now).enough, 18 * MIB);
}

#[test]
fn a_complete_part_lets_the_front_end_early() {
    let (mut spans, now) = front_at_its_stop(|spans, began| {
        spans.advance(2, 26 * MIB, began + millis(100));
        spans.release(2, began + millis(100));
    });
    assert_eq!(spans.advance(1, 18 * MIB, now), Reach { enough: 10 * MIB, stop: 18 * MIB });
    let gaps = [range(14 * MIB, 18 * MIB), range(26 * MIB, 40 * MIB)];
    assert_eq!(spans.extend(1, &gaps, now), None);
}

#[test]
fn a_front_continues_over_undelivered_parts_to_the_blobs_end() {
    let (mut spans, now) = front_at_its_stop(|_, _| {});
    assert_eq!(spans.claim_part(&GAPS, None, now), Some((3, range(26 * MIB, 34 * MIB))));
    assert_eq!(spans.extend(1, &GAPS, now), Some(26 * MIB));
    assert!(spans.is_taken_over(2), "whoever was to bring it is told");
    assert_eq!(spans.advance(2, 19 * MIB, now).stop, 18 * MIB, "and brings nothing any more");
    spans.release(2, now);
    assert_eq!(spans.advance(1, 20 * MIB, now), Reach { enough: 26 * MIB, stop: 26 * MIB });
    assert_eq!(spans.extend(1, &[range(20 * MIB, 40 * MIB)], now), Some(34 * MIB));
    assert_eq!(spans.extend(1, &[range(20 * MIB, 40 * MIB)], now), Some(40 * MIB));
    assert_eq!(spans.extend(1, &[range(20 * MIB, 40 * MIB)], now), None);
    assert_eq!(spans.passed_bytes, 0);
    assert_eq!(spans.claim_front(&[range(20 * MIB, 40 * MIB)], None, now), Claim::Wait);
}

#[test]
fn a_front_that_has_all_again_is_shared_again_until_no_range_has_come_for_long() {
    let (mut spans, now) = front_at_its_stop(|spans, began| {
        spans.release(2, began);
    });
    assert_eq!(spans.advance(1, 18 * MIB, now).stop, u64::MAX, "as if it had never been cut");
    spans.set_part_bytes(MIB);
    let mut count = 0;
    while let Some((id, part)) = spans.claim_part(&GAPS, None, now) {
        assert_eq!(spans.advance(1, part.start, now).stop, part.start);
        assert_eq!(spans.extend(1, &GAPS, now), Some(part.end));
        spans.release(id, now);
        assert_eq!(spans.extend(1, &GAPS, now), Some(40 * MIB));
        count += 1;
    }
    assert_eq!(count, DOUBT_COUNT_MAX);
    assert_eq!(spans.claim_far(range(30 * MIB, 40 * MIB), &GAPS, 4, now), None);
}

#[test]
fn dripping_parts_are_passed_over_and_fast_ones_are_not() {
    let dripped = |bytes: u64| {
        move |spans: &mut Spans, began: Instant| {
            spans.advance(2, 18 * MIB + 1, began + millis(100));
            spans.advance(2, 18 * MIB + bytes, began + millis(200));
        }
    };
    let budget = PASSED_BYTES_MIN + 18 * MIB / ASIDE_SHARE;
    let (mut spans, now) = front_at_its_stop(dripped(budget + MIB));
    assert_eq!(spans.extend(1, &GAPS, now), None, "that would be too much to bring once more");
    let (mut spans, now) = front_at_its_stop(dripped(budget));
    assert_eq!(spans.extend(1, &GAPS, now), Some(26 * MIB));
    assert_eq!(spans.passed_bytes, budget);
    let (mut spans, now) = front_at_its_stop(|spans, began| {
        for tenth in 20..40 {
            spans.advance(2, 18 * MIB + tenth * 2 * MIB / 10, began + millis(tenth * 100));
        }
    });
    assert_eq!(spans.extend(1, &GAPS, now), None);
}

#[test]
fn a_new_transfer_is_judged_by_its_bytes() {
    for (bytes, way) in [(SMALL_RANGE_BYTES_MAX, Some(26 * MIB)), (SMALL_RANGE_BYTES_MAX + 1, None)] {
        let (mut spans, now) = front_at_its_stop(|spans, began| {
            spans.advance(2, 18 * MIB + bytes, began + millis(3900));
        });
        assert_eq!(spans.extend(1, &GAPS, now), way, "{bytes}");
    }
}

#[test]
fn bytes_of_a_slow_part_are_passed_over_while_no_range_is_complete() {
    let left_behind = |bytes: u64| {
        move |spans: &mut Spans, began: Instant| {
            spans.advance(2, 18 * MIB + bytes, began + millis(100));
            assert!(spans.end_lost(40 * MIB, began + millis(3900)), "it is far slower than the front");
            spans.release(2, began + millis(3900));
        }
    };
    let gaps = [range(14 * MIB, 18 * MIB), range(18 * MIB + 300_000, 40 * MIB)];
    let (mut spans, now) = front_at_its_stop(left_behind(300_000));
    assert_eq!(spans.doubt.count, 1);
    assert_eq!(spans.extend(1, &gaps, now), Some(18 * MIB + 300_000));
    assert_eq!(spans.passed_bytes, 300_000);
    assert_eq!(spans.extend(1, &gaps, now), Some(40 * MIB));

    // If another range was complete since, the next one will be too.
    let (mut spans, now) = front_at_its_stop(left_behind(300_000));
    let (id, part) = spans.claim_part(&gaps[1..], None, now).unwrap();
    spans.advance(id, part.end, now);
    spans.release(id, now);
    assert_eq!(spans.doubt.count, 0);
    assert_eq!(spans.extend(1, &[gaps[0], range(part.end, 40 * MIB)], now), None);

    // Or if one is just fetching the next bytes.
    let (mut spans, now) = front_at_its_stop(left_behind(300_000));
    let (id, part) = spans.claim_part(&gaps[1..], None, now - millis(1000)).unwrap();
    spans.advance(id, part.start + MIB, now - millis(900));
    spans.advance(id, part.start + 3 * MIB, now);
    assert_eq!(spans.extend(1, &gaps, now), None);
}

#[test]
fn only_a_body_that_extends_further_continues() {
    let (mut spans, now) = (Spans::default(), Instant::now());
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_front(&[range(0, 40 * MIB)], None, now), Claim::Fetch(1, range(0, 8 * MIB)));
    spans.advance(1, 8 * MIB, now);
    assert_eq!(spans.extend(1, &[range(0, 40 * MIB)], now), None, "it was asked for so far");
    let (mut spans, now) = front_at_its_stop(|_, _| {});
    assert!(spans.claim_in_order(&GAPS, now) == Claim::Wait);
    assert_eq!(spans.extend(1, &GAPS, now), None, "it was taken over");
    assert_eq!(spans.extend(99, &GAPS, now), None, "there is no such transfer");
}

/// Two ranges of 8 MiB after a complete one, at 4 MiB a second, of a blob whose first 16 MiB are stored.
fn two_ranges_after_a_whole_one() -> (Spans, Instant) {
    let (mut spans, began) = (Spans::default(), Instant::now());
    spans.set_part_bytes(8 * MIB);
    let gaps = [range(8 * MIB, 40 * MIB)];
    for id in 1..4 {
        let from = id * 8 * MIB;
        assert_eq!(spans.claim_part(&gaps, None, began), Some((id, range(from, from + 8 * MIB))));
    }
    for tenth in 1..=20 {
        spans.advance(1, 8 * MIB + tenth * 8 * MIB / 20, began + millis(tenth * 100));
    }
    spans.release(1, began + millis(2000));
    (spans, began)
}

#[test]
fn ranges_that_are_all_slow_are_measured_against_one_that_came_whole() {
    let drip = |spans: &mut Spans, id: u64, began: Instant, rate: u64| {
        for second in 1..=6 {
            spans.advance(id, id * 8 * MIB + second * rate, began + millis(second * 1000));
        }
    };
    // Together they have a quarter of that one's rate, or less.
    for (rate, is_ended) in [(100, true), (MIB / 4, true), (MIB, false)] {
        let (mut spans, began) = two_ranges_after_a_whole_one();
        drip(&mut spans, 2, began, rate);
        drip(&mut spans, 3, began, rate);
        assert_eq!(spans.end_lost(40 * MIB, began + millis(6000)), is_ended, "{rate}");
        assert_eq!(spans.doubt.count, if is_ended { DOUBT_COUNT_MAX / 2 } else { 0 }, "{rate}");
    }
    let (mut spans, began) = two_ranges_after_a_whole_one();
    assert!(!spans.end_lost(40 * MIB, began + millis(2999)), "they are given some time");
    assert!(spans.end_lost(40 * MIB, began + millis(3000)));
}

#[test]
fn a_range_that_is_slow_beside_a_plain_connection_puts_ranges_in_doubt() {
    let (mut spans, _) = front_at_its_stop(|spans, began| {
        assert!(spans.end_lost(40 * MIB, began + millis(3900)));
    });
    assert_eq!(spans.doubt.count, 1);
    assert!(!spans.are_ranges_in_doubt());
    spans.doubt.count = DOUBT_COUNT_MAX;
    assert!(spans.are_ranges_in_doubt());
}

#[test]
fn a_body_to_the_blobs_end_continues_however_little_was_claimed() {
    let (mut spans, now) = (Spans::default(), Instant::now());
    spans.set_part_bytes(8 * MIB);
    spans.claim_front(&[range(0, 40 * MIB)], None, now);
    spans.note_open_end(1);
    spans.advance(1, 8 * MIB, now);
    assert_eq!(spans.extend(1, &[range(0, 40 * MIB)], now), Some(40 * MIB));
}

#[test]
fn in_doubt_all_bytes_of_slow_ranges_are_passed_over() {
    let (mut spans, now) = front_at_its_stop(|spans, began| {
        spans.advance(2, 20 * MIB, began + millis(100));
        spans.advance(2, 24 * MIB, began + millis(200));
    });
    assert_eq!(spans.extend(1, &GAPS, now), None, "6 MiB are too much");
    spans.doubt.count = DOUBT_COUNT_MAX;
    assert_eq!(spans.extend(1, &GAPS, now), Some(26 * MIB));
}

#[test]
fn a_body_that_skips_stored_bytes_is_measured_by_all_its_bytes() {
    let (mut spans, began) = two_ranges_after_a_whole_one();
    for id in [2, 3] {
        spans.release(id, began + millis(3000));
    }
    let gaps = [range(16 * MIB, 40 * MIB)];
    spans.set_part_bytes(u64::MAX);
    assert_eq!(spans.claim_front(&gaps, None, began + millis(3000)), Claim::Fetch(4, gaps[0]));
    spans.note_plain(4);
    let now = began + millis(9000);
    assert!(!spans.end_lost(40 * MIB, now), "silent as it is, another request would be no better");
    for tenth in 1..=20 {
        spans.skip(4, MIB / 5, now + millis(tenth * 100));
    }
    assert!(spans.release(4, now + millis(2000)).is_some_and(|pace| pace.rate >= 2 * MIB));
}

#[test]
fn a_range_whose_bytes_wait_for_the_disk_is_not_lost() {
    let (mut spans, began) = two_ranges_after_a_whole_one();
    let at = |count: u64| began + millis(count);
    for id in [2, 3] {
        spans.hold_up(id, true, at(2000));
    }
    assert!(!spans.end_lost(40 * MIB, at(9000)));
    for id in [2, 3] {
        spans.hold_up(id, false, at(9000));
    }
    assert!(!spans.end_lost(40 * MIB, at(9999)), "it has just begun to be read again");
    assert!(spans.end_lost(40 * MIB, at(10_000)));
}

#[test]
fn ranges_that_fail_at_the_same_time_fail_once_and_those_that_follow_them_once_more() {
    let (mut spans, began) = two_ranges_after_a_whole_one();
    let at = |count: u64| began + millis(count);
    assert!(spans.end_lost(40 * MIB, at(3000)) && spans.end_lost(40 * MIB, at(3250)));
    assert_eq!(spans.doubt.count, DOUBT_COUNT_MAX / 2);
    for id in [2, 3] {
        spans.release(id, at(3250));
    }
    spans.claim_part(&[range(16 * MIB, 40 * MIB)], None, at(3250));
    assert!(!spans.are_ranges_in_doubt());
    assert!(!spans.end_lost(40 * MIB, at(6249)));
    assert!(spans.end_lost(40 * MIB, at(6250)));
    assert!(spans.are_ranges_in_doubt());
}

#[test]
fn ranges_none_of_which_came_whole_are_measured_against_the_best_of_them() {
    for (rate, is_ended) in [(MIB / 100, true), (MIB, false)] {
        let (mut spans, now) = front_at_its_stop(|_, _| {});
        spans.release(1, now);
        for tenth in 10..40 {
            spans.advance(2, 18 * MIB + tenth * rate / 10, now + millis(tenth * 100));
        }
        assert_eq!(spans.end_lost(40 * MIB, now + millis(4000)), is_ended, "{rate}");
    }
}

#[test]
fn the_whole_takes_over_silent_ranges_and_in_doubt_all_of_them() {
    for (doubt, free) in [(0, vec![2]), (DOUBT_COUNT_MAX, vec![2, 3])] {
        let (mut spans, began) = two_ranges_after_a_whole_one();
        spans.advance(3, 25 * MIB, began + millis(4500));
        spans.doubt.count = doubt;
        spans.make_way(began + millis(5000));
        let taken: Vec<u64> = (2..4).filter(|id| spans.is_taken_over(*id)).collect();
        assert_eq!(taken, free);
    }
}
