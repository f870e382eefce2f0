use std::time::Duration;

use super::*;

const MIB: u64 = 1 << 20;

fn now() -> Instant {
    Instant::now()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

#[test]
fn the_front_claims_the_whole_blob_once() {
    let mut spans = Spans::default();
    assert_eq!(spans.claim_front(&[range(0, 10 * MIB)], None, now()), Claim::Fetch(1, range(0, 10 * MIB)));
    assert_eq!(spans.claim_front(&[range(0, 10 * MIB)], None, now()), Claim::Wait);
    assert_eq!(spans.claim_front(&[], None, now()), Claim::Complete);
}

#[test]
fn a_far_open_range_cuts_the_front_short_and_takes_the_rest() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    spans.claim_front(&gaps, None, now());
    assert_eq!(
        spans.claim_far(range(6 * MIB, 10 * MIB), &gaps, 4, now()),
        Some((2, range(6 * MIB, 10 * MIB)))
    );
    assert_eq!(spans.advance(1, MIB, now()).stop, 6 * MIB);
    assert_eq!(spans.advance(2, 7 * MIB, now()).stop, 10 * MIB);
}

#[test]
fn nothing_is_cut_short_before_the_size_is_known() {
    let mut spans = Spans::default();
    let gaps = [range(0, u64::MAX)];
    spans.claim_front(&gaps, None, now());
    let (first, second) = (range(70_000, 80_000), range(90_000, 100_000));
    assert_eq!(spans.claim_far(first, &gaps, 4, now()), Some((2, first)), "beside the front");
    assert_eq!(spans.claim_far(second, &gaps, 4, now()), None, "the whole may be on its way already");
    assert_eq!(spans.advance(1, 0, now()).stop, u64::MAX);
}

#[test]
fn a_far_closed_range_leaves_the_rest_to_the_front() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, 10 * MIB)], None, now());
    let wanted = range(6 * MIB, 6 * MIB + SMALL_RANGE_BYTES_MAX + 1);
    let claimed = spans.claim_far(wanted, &[range(0, 10 * MIB)], 4, now());
    assert_eq!(claimed, Some((2, range(6 * MIB, 7 * MIB))));
    spans.release(1, now());
    spans.release(2, now());
    let gaps = [range(7 * MIB, 10 * MIB)];
    assert_eq!(spans.claim_front(&gaps, None, now()), Claim::Fetch(3, range(7 * MIB, 10 * MIB)));
}

#[test]
fn no_two_live_spans_overlap() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut spans = Spans::default();
        let gaps = [range(0, 8 * MIB), range(9 * MIB, 40 * MIB)];
        let mut at = now();
        for _ in 0..20 {
            at += Duration::from_millis(random.u64(0..2_000));
            let start = random.u64(0..40 * MIB);
            match random.u8(0..7) {
                6 => {
                    let id = random.u64(spans.last_id.saturating_sub(3)..=spans.last_id);
                    let _ = spans.extend(id, &gaps, at);
                }
                0 => drop(spans.claim_front(&gaps, None, at)),
                1 => drop(spans.claim_far(range(start, 40 * MIB), &gaps, 4, at)),
                2 => drop(spans.claim_far(range(start, (start + 100).min(40 * MIB)), &gaps, 4, at)),
                3 if random.bool() => drop(spans.claim_part(&gaps, None, at)),
                3 => {
                    let idle = Pace { latency: Duration::ZERO, rate: random.u64(..10 * MIB) };
                    match random.u8(0..4) {
                        0 => drop(spans.claim_part(&gaps, Some(idle), at)),
                        1 => drop(spans.claim_front(&gaps, Some(idle), at)),
                        2 => drop(spans.end_lost(40 * MIB, at)),
                        _ => drop(spans.claim_in_order(&gaps, at)),
                    }
                }
                4 if random.bool() => {
                    let id = random.u64(spans.last_id.saturating_sub(3)..=spans.last_id);
                    spans.release(id, at);
                }
                4 => spans.set_part_bytes(*random.choice(&[MIB, 3 * MIB, u64::MAX]).unwrap()),
                _ => {
                    if let Some(span) = random.choice(&spans.live) {
                        let (id, next) = (span.id, (span.next + MIB).min(span.reach.stop));
                        spans.advance(id, next, at);
                    }
                }
            }
            let live: Vec<_> = spans.live.iter().filter(|span| !span.is_taken_over).collect();
            for (index, one) in live.iter().enumerate() {
                assert!(
                    one.next <= one.reach.stop
                        && one.reach.enough <= one.reach.stop
                        && one.reach.stop <= one.asked_end
                );
                for other in live.iter().skip(index + 1) {
                    let apart = one.reach.stop <= other.from || other.reach.stop <= one.from;
                    assert!(apart, "{one:?} and {other:?}");
                }
            }
        }
    }
}

#[test]
fn received_or_stored_bytes_are_not_claimed_again() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    spans.claim_front(&gaps, None, now());
    spans.advance(1, 4 * MIB, now());
    assert_eq!(spans.claim_far(range(4 * MIB, 10 * MIB), &gaps, 4, now()), None);
    assert_eq!(spans.claim_far(range(3 * MIB, 10 * MIB), &[range(4 * MIB, 10 * MIB)], 4, now()), None);
    assert_eq!(spans.claim_far(range(5 * MIB, 10 * MIB), &gaps, 1, now()), None, "the bound holds");
}

#[test]
fn a_relay_claims_in_order_and_ends_other_transfers() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    let far = spans.claim_far(range(0, 2 * MIB), &gaps, 4, now());
    assert_eq!(far, Some((1, range(0, 2 * MIB))));
    spans.advance(1, MIB, now());
    assert_eq!(spans.claim_in_order(&gaps, now()), Claim::Wait);
    assert!(spans.is_taken_over(1));
    assert_eq!(spans.claim_in_order(&gaps, now()), Claim::Wait, "until it is gone");
    spans.release(1, now());
    assert_eq!(spans.claim_in_order(&gaps, now()), Claim::Fetch(2, range(0, 10 * MIB)));
}

#[test]
fn a_part_is_taken_from_ahead_of_the_front_and_the_next_ones_follow() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&[range(0, u64::MAX)], None, now());
    assert_eq!(
        spans.claim_part(&gaps, None, now()),
        None,
        "nothing is shared before the length of a part is known"
    );
    spans.set_part_bytes(8 * MIB);
    spans.advance(1, 2 * MIB, now());
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((2, range(18 * MIB, 26 * MIB))));
    let reach = Reach { enough: 10 * MIB, stop: 18 * MIB };
    assert_eq!(
        spans.advance(1, 3 * MIB, now()),
        reach,
        "the front leaves early enough to use what has arrived"
    );
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((3, range(26 * MIB, 34 * MIB))));
    spans.advance(1, 11 * MIB, now());
    spans.release(1, now());
    let gaps = [range(11 * MIB, 40 * MIB)];
    assert_eq!(spans.claim_front(&gaps, None, now()), Claim::Fetch(4, range(11 * MIB, 18 * MIB)));
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((5, range(34 * MIB, 40 * MIB))));
    assert_eq!(spans.claim_part(&gaps, None, now()), None, "parts are not cut again");
    assert_eq!(spans.claim_front(&gaps, None, now()), Claim::Wait);
    assert_eq!(spans.received_bytes(), 11 * MIB);
}

#[test]
fn a_part_that_failed_is_the_next_to_be_taken() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, 40 * MIB)], None, now());
    spans.set_part_bytes(8 * MIB);
    let gaps = [range(0, 40 * MIB)];
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((3, range(24 * MIB, 32 * MIB))));
    spans.advance(2, 17 * MIB, now());
    spans.release(2, now());
    let gaps = [range(0, 16 * MIB), range(17 * MIB, 40 * MIB)];
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((4, range(17 * MIB, 24 * MIB))));
}

#[test]
fn received_bytes_stay_claimed_until_they_are_written() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    let far = spans.claim_far(range(6 * MIB, 10 * MIB), &gaps, 4, now());
    assert_eq!(far, Some((1, range(6 * MIB, 10 * MIB))));
    spans.advance(1, 8 * MIB, now());
    assert_eq!(spans.claim_far(range(7 * MIB, 10 * MIB), &gaps, 4, now()), None);
    assert_eq!(spans.claim_front(&gaps, None, now()), Claim::Fetch(2, range(0, 6 * MIB)));
    assert_eq!(spans.claim_front(&gaps, None, now()), Claim::Wait);
}

#[test]
fn a_part_that_is_refused_gives_the_front_its_way_back() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, u64::MAX)], None, now());
    spans.set_part_bytes(8 * MIB);
    let gaps = [range(0, 40 * MIB)];
    spans.claim_part(&gaps, None, now());
    assert_eq!(spans.advance(1, MIB, now()), Reach { enough: 8 * MIB, stop: 16 * MIB });
    spans.release(2, now());
    assert_eq!(spans.advance(1, 2 * MIB, now()), Reach { enough: u64::MAX, stop: u64::MAX });
    assert_eq!(
        spans.claim_far(range(30 * MIB, 40 * MIB), &gaps, 4, now()),
        Some((3, range(30 * MIB, 40 * MIB)))
    );
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((4, range(18 * MIB, 26 * MIB))));
    spans.release(3, now());
    let reach = Reach { enough: 10 * MIB, stop: 18 * MIB };
    assert_eq!(spans.advance(1, 2 * MIB, now()), reach, "only what was claimed last is forgotten");
}

#[test]
fn a_refused_part_gives_back_only_what_was_cut_for_it() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&gaps, None, now());
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((3, range(24 * MIB, 32 * MIB))));
    spans.release(2, now());
    assert_eq!(
        spans.claim_part(&gaps, None, now()),
        Some((4, range(16 * MIB, 24 * MIB))),
        "it is claimed anew"
    );
    spans.release(4, now());
    let stop = spans.advance(1, MIB, now()).stop;
    assert_eq!(stop, 16 * MIB, "another has bytes between here and where the front would have stopped");
}

#[test]
fn where_a_part_was_cut_the_transfer_before_it_is_not_left_early() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&gaps, None, now());
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((2, range(16 * MIB, 24 * MIB))));
    spans.advance(2, 16 * MIB + 1, now());
    spans.release(2, now());
    assert_eq!(spans.advance(1, MIB, now()), Reach { enough: 16 * MIB, stop: 16 * MIB });
}

#[test]
fn a_part_is_a_part_again_once_a_far_range_gives_it_back() {
    let mut spans = Spans::default();
    let gaps = [range(0, 24 * MIB)];
    spans.claim_front(&gaps, None, now());
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&gaps, None, now()), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(
        spans.claim_far(range(20 * MIB, 24 * MIB), &gaps, 4, now()),
        Some((3, range(20 * MIB, 24 * MIB)))
    );
    spans.release(3, now());
    spans.set_part_bytes(MIB);
    assert_eq!(spans.claim_part(&gaps, None, now()), None, "parts are not cut again");
    assert_eq!(spans.advance(2, 17 * MIB, now()).stop, 24 * MIB);
}

#[test]
fn client_f1_a_small_range_is_fetched_beside_the_transfer_that_comes_past_it() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&gaps, None, now());
    let small = range(6 * MIB, 6 * MIB + 50_000);
    assert_eq!(spans.claim_far(small, &gaps, 4, now()), Some((2, small)), "and no more than that");
    assert_eq!(spans.advance(1, MIB, now()), Reach { enough: 40 * MIB, stop: 40 * MIB });
    assert_eq!(spans.claim_far(range(6 * MIB + 9, 6 * MIB + 99), &gaps, 4, now()), None, "it is on its way");
    assert_eq!(spans.advance(2, 6 * MIB + 50_000, now()).stop, 6 * MIB + 50_000);
    spans.release(2, now());
    assert_eq!(spans.claim_far(small, &gaps, 1, now()), None, "the bound holds");
}

#[test]
fn client_f1_the_end_of_a_blob_is_fetched_alone_and_comes_once() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, u64::MAX)], None, now());
    let (gaps, tail) = ([range(0, 40 * MIB)], range(40 * MIB - 9000, 40 * MIB));
    assert_eq!(spans.claim_far(tail, &gaps, 4, now()), Some((2, tail)));
    assert_eq!(spans.advance(1, MIB, now()).stop, 40 * MIB - 9000);
}

#[test]
fn client_f1_an_expected_tail_stays_claimed() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, u64::MAX)], None, now());
    assert!(spans.expect_tail(9000) && !spans.expect_tail(8000));
    let (gaps, tail) = ([range(0, 40 * MIB)], range(40 * MIB - 8000, 40 * MIB));
    assert_eq!(spans.claim_far(tail, &gaps, 4, now()), None);
    spans.expect_no_tail();
    assert_eq!(spans.claim_far(tail, &gaps, 4, now()), Some((2, tail)));
}

#[test]
fn client_f1_small_ranges_beside_others_are_bounded_by_the_blobs_length() {
    let mut spans = Spans::default();
    let gaps = [range(0, 8 * MIB)];
    spans.claim_front(&gaps, None, now());
    let claims =
        (1..7).map(|index| spans.claim_far(range(index * MIB, index * MIB + 100_000), &gaps, 9, now()));
    let exact = claims.map(Option::unwrap).take_while(|(_, claimed)| claimed.len() == 100_000).count();
    assert_eq!(exact, 2, "a thirty-second of 8 MiB");
}

#[test]
fn client_f5_reading_on_claims_more_at_a_time() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, 100 * MIB)], None, now());
    let gaps = [range(0, 40 * MIB), range(40 * MIB + 50_000, 100 * MIB)];
    let next = range(40 * MIB + 50_000, 40 * MIB + 100_000);
    assert_eq!(spans.claim_far(next, &gaps, 4, now()), Some((2, range(next.start, 45 * MIB))));
    let open = range(60 * MIB, 100 * MIB);
    assert_eq!(
        spans.claim_far(open, &gaps, 4, now()),
        Some((3, range(60 * MIB, 76 * MIB))),
        "nor all at once"
    );
}

#[test]
fn client_f5_how_a_byte_is_on_its_way() {
    let (mut spans, began) = (Spans::default(), now());
    assert_eq!(spans.approach(MIB, began), None);
    spans.claim_front(&[range(0, 40 * MIB)], None, began);
    let unknown = Approach { distance: MIB, age: seconds(1), pace: None };
    assert_eq!(spans.approach(MIB, began + seconds(1)), Some(unknown));
    spans.advance(1, MIB, began + seconds(1));
    spans.advance(1, 2 * MIB, began + seconds(2));
    let pace = Some(Pace { latency: seconds(1), rate: 2 * MIB });
    let known = Approach { distance: 3 * MIB, age: seconds(2), pace };
    assert_eq!(spans.approach(5 * MIB, began + seconds(2)), Some(known));
    assert_eq!(spans.approach(MIB, began + seconds(2)).unwrap().distance, 0);
    assert_eq!(spans.approach(40 * MIB, began + seconds(2)), None);
}

/// A fill of 40 MiB in parts of 8 MiB, two of them beside the front, all claimed at the returned time.
fn three_transfers() -> (Spans, Instant) {
    let (mut spans, began) = (Spans::default(), now());
    spans.claim_front(&[range(0, 40 * MIB)], None, began);
    spans.set_part_bytes(8 * MIB);
    let gaps = [range(0, 40 * MIB)];
    assert_eq!(spans.claim_part(&gaps, None, began), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(spans.claim_part(&gaps, None, began), Some((3, range(24 * MIB, 32 * MIB))));
    (spans, began)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const IDLE: Option<Pace> = Some(Pace { latency: Duration::from_millis(10), rate: 4 * MIB });

#[test]
fn t24_an_idle_transfer_takes_over_the_span_whose_rest_takes_longest() {
    let (mut spans, began) = three_transfers();
    for second in 1..=2 {
        spans.advance(1, second * MIB, began + seconds(second));
        spans.advance(2, 16 * MIB + second * 2048, began + seconds(second));
    }
    let now = began + seconds(2);
    let gaps = [range(0, 32 * MIB)];
    assert_eq!(spans.claim_part(&gaps, None, now), None, "nobody knows how fast a new one is");
    assert_eq!(spans.claim_part(&gaps, IDLE, now), Some((4, range(24 * MIB, 32 * MIB))), "3 brought nothing");
    assert!(spans.is_taken_over(3));
    assert_eq!(spans.advance(3, 24 * MIB, now), Reach { enough: 24 * MIB, stop: 24 * MIB });
    let rest = range(16 * MIB + 4096, 24 * MIB);
    assert_eq!(spans.claim_front(&gaps, IDLE, now), Claim::Fetch(5, rest), "2 drips");
    let quarter = Some(Pace { latency: Duration::ZERO, rate: 6 * MIB });
    let kept = spans.claim_part(&[range(0, 16 * MIB)], quarter, now);
    assert_eq!(
        kept,
        Some((6, range(5 * MIB + MIB / 2, 13 * MIB + MIB / 2))),
        "1 keeps a quarter of its 14 MiB"
    );
    assert!(!spans.is_taken_over(1));
    assert_eq!(spans.advance(1, 3 * MIB, now).stop, 5 * MIB + MIB / 2);
}

#[test]
fn t24_a_takeover_that_is_refused_gives_the_bytes_back() {
    let (mut spans, began) = three_transfers();
    let now = began + seconds(2);
    let gaps = [range(0, 32 * MIB)];
    for (id, from) in [(1, 0), (3, 24 * MIB)] {
        spans.advance(id, from + 6 * MIB, now);
    }
    assert_eq!(spans.claim_part(&gaps, IDLE, now), Some((4, range(16 * MIB, 24 * MIB))));
    assert!(spans.is_taken_over(2));
    spans.release(4, now);
    assert!(!spans.is_taken_over(2));
    assert_eq!(spans.advance(2, 17 * MIB, now).stop, 24 * MIB);
}

#[test]
fn t24_the_transfer_that_is_farthest_behind_the_others_is_ended() {
    let (mut spans, began) = three_transfers();
    for (id, from, rate) in [(1, 0, 4 * MIB), (2, 16 * MIB, 2048), (3, 24 * MIB, 4 * MIB)] {
        spans.advance(id, from + 1, began + Duration::from_millis(10));
        spans.advance(id, from + rate, began + seconds(1));
    }
    assert!(!spans.end_lost(40 * MIB, began + seconds(1)), "it is too young");
    for (id, from, rate) in [(1, 0, 4 * MIB), (2, 16 * MIB, 2048), (3, 24 * MIB, 4 * MIB)] {
        spans.advance(id, from + rate * 3 / 2, began + seconds(1) + Duration::from_millis(500));
    }
    let now = began + seconds(1) + Duration::from_millis(500);
    assert!(!spans.end_lost(u64::MAX, now), "nobody knows the size");
    assert!(spans.end_lost(40 * MIB, now));
    assert!(spans.is_taken_over(2) && !spans.is_taken_over(1) && !spans.is_taken_over(3));
    assert!(!spans.end_lost(40 * MIB, now), "the others are as fast as each other");
    let rest = range(16 * MIB + 3072, 24 * MIB);
    assert_eq!(spans.claim_part(&[rest], None, now), Some((4, rest)), "it goes to whoever claims next");
}

#[test]
fn t24_silence_everywhere_ends_no_transfer() {
    let (mut spans, began) = three_transfers();
    for (id, from) in [(1, 0), (2, 16 * MIB), (3, 24 * MIB)] {
        spans.advance(id, from + MIB, began + Duration::from_millis(100));
    }
    assert!(!spans.end_lost(40 * MIB, began + seconds(20)));
}

#[test]
fn t24_takeovers_are_bounded() {
    let (mut spans, began) = three_transfers();
    let gaps = [range(0, 32 * MIB)];
    for tens in 1..100 {
        spans.claim_part(&gaps, IDLE, began + seconds(10 * tens));
    }
    assert_eq!(spans.takeover_count, TAKEOVER_COUNT);
}
