use super::*;

const MIB: u64 = 1 << 20;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

#[test]
fn the_front_claims_the_whole_blob_once() {
    let mut spans = Spans::default();
    assert_eq!(spans.claim_front(&[range(0, 10 * MIB)], false), Claim::Fetch(1, range(0, 10 * MIB)));
    assert_eq!(spans.claim_front(&[range(0, 10 * MIB)], false), Claim::Wait);
    assert_eq!(spans.claim_front(&[], false), Claim::Complete);
}

#[test]
fn a_far_open_range_cuts_the_front_short_and_takes_the_rest() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    spans.claim_front(&gaps, false);
    assert_eq!(spans.claim_far(range(6 * MIB, 10 * MIB), &gaps, 4), Some((2, range(6 * MIB, 10 * MIB))));
    assert_eq!(spans.advance(1, MIB).stop, 6 * MIB);
    assert_eq!(spans.advance(2, 7 * MIB).stop, 10 * MIB);
}

#[test]
fn a_far_closed_range_leaves_the_rest_to_the_front() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, 10 * MIB)], false);
    let claimed = spans.claim_far(range(6 * MIB, 6 * MIB + 10), &[range(0, 10 * MIB)], 4);
    assert_eq!(claimed, Some((2, range(6 * MIB, 7 * MIB))));
    spans.release(1);
    spans.release(2);
    let gaps = [range(7 * MIB, 10 * MIB)];
    assert_eq!(spans.claim_front(&gaps, false), Claim::Fetch(3, range(7 * MIB, 10 * MIB)));
}

#[test]
fn no_two_live_spans_overlap() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut spans = Spans::default();
        let gaps = [range(0, 8 * MIB), range(9 * MIB, 40 * MIB)];
        for _ in 0..12 {
            let start = random.u64(0..40 * MIB);
            match random.u8(0..6) {
                0 => drop(spans.claim_front(&gaps, false)),
                1 => drop(spans.claim_far(range(start, 40 * MIB), &gaps, 4)),
                2 => drop(spans.claim_far(range(start, (start + 100).min(40 * MIB)), &gaps, 4)),
                3 => drop(spans.claim_part(&gaps)),
                4 if random.bool() => {
                    spans.release(random.u64(spans.last_id.saturating_sub(3)..=spans.last_id))
                }
                4 => spans.set_part_bytes(*random.choice(&[MIB, 3 * MIB, u64::MAX]).unwrap()),
                _ => {
                    if let Some(span) = spans.live.first() {
                        let (id, next) = (span.id, (span.next + MIB).min(span.stop));
                        spans.advance(id, next);
                    }
                }
            }
            for (index, one) in spans.live.iter().enumerate() {
                assert!(one.next <= one.stop && one.enough <= one.stop);
                for other in spans.live.iter().skip(index + 1) {
                    let apart = one.stop <= other.from || other.stop <= one.from;
                    assert!(apart, "{one:?} and {other:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_being_received_or_is_there_is_not_claimed_again() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    spans.claim_front(&gaps, false);
    spans.advance(1, 4 * MIB);
    assert_eq!(spans.claim_far(range(4 * MIB, 10 * MIB), &gaps, 4), None);
    assert_eq!(spans.claim_far(range(3 * MIB, 10 * MIB), &[range(4 * MIB, 10 * MIB)], 4), None);
    assert_eq!(spans.claim_far(range(5 * MIB, 10 * MIB), &gaps, 1), None, "the bound holds");
}

#[test]
fn a_relay_takes_bytes_in_order_only() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    let far = spans.claim_far(range(0, 2 * MIB), &gaps, 4);
    assert_eq!(far, Some((1, range(0, 2 * MIB))));
    assert_eq!(spans.claim_front(&gaps, true), Claim::Wait);
    assert_eq!(spans.claim_front(&gaps, false), Claim::Fetch(2, range(2 * MIB, 10 * MIB)));
}

#[test]
fn a_part_is_taken_from_ahead_of_the_front_and_the_next_ones_follow() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&[range(0, u64::MAX)], false);
    assert_eq!(spans.claim_part(&gaps), None, "nothing is shared before the length of a part is known");
    spans.set_part_bytes(8 * MIB);
    spans.advance(1, 2 * MIB);
    assert_eq!(spans.claim_part(&gaps), Some((2, range(18 * MIB, 26 * MIB))));
    let reach = Reach { enough: 10 * MIB, stop: 18 * MIB };
    assert_eq!(spans.advance(1, 3 * MIB), reach, "the front leaves early enough to use what has arrived");
    assert_eq!(spans.claim_part(&gaps), Some((3, range(26 * MIB, 34 * MIB))));
    spans.advance(1, 11 * MIB);
    spans.release(1);
    let gaps = [range(11 * MIB, 40 * MIB)];
    assert_eq!(spans.claim_front(&gaps, false), Claim::Fetch(4, range(11 * MIB, 18 * MIB)));
    assert_eq!(spans.claim_part(&gaps), Some((5, range(34 * MIB, 40 * MIB))));
    assert_eq!(spans.claim_part(&gaps), None, "parts are not cut again");
    assert_eq!(spans.claim_front(&gaps, false), Claim::Wait);
    assert_eq!(spans.received_bytes(), 11 * MIB);
}

#[test]
fn a_part_that_failed_is_the_next_to_be_taken() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, 40 * MIB)], false);
    spans.set_part_bytes(8 * MIB);
    let gaps = [range(0, 40 * MIB)];
    assert_eq!(spans.claim_part(&gaps), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(spans.claim_part(&gaps), Some((3, range(24 * MIB, 32 * MIB))));
    spans.advance(2, 17 * MIB);
    spans.release(2);
    let gaps = [range(0, 16 * MIB), range(17 * MIB, 40 * MIB)];
    assert_eq!(spans.claim_part(&gaps), Some((4, range(17 * MIB, 24 * MIB))));
}

#[test]
fn bytes_that_were_received_and_not_yet_written_are_nobody_elses() {
    let mut spans = Spans::default();
    let gaps = [range(0, 10 * MIB)];
    let far = spans.claim_far(range(6 * MIB, 10 * MIB), &gaps, 4);
    assert_eq!(far, Some((1, range(6 * MIB, 10 * MIB))));
    spans.advance(1, 8 * MIB);
    assert_eq!(spans.claim_far(range(7 * MIB, 10 * MIB), &gaps, 4), None);
    assert_eq!(spans.claim_front(&gaps, false), Claim::Fetch(2, range(0, 6 * MIB)));
    assert_eq!(spans.claim_front(&gaps, false), Claim::Wait);
}

#[test]
fn a_part_that_is_refused_gives_the_front_its_way_back() {
    let mut spans = Spans::default();
    spans.claim_front(&[range(0, u64::MAX)], false);
    spans.set_part_bytes(8 * MIB);
    let gaps = [range(0, 40 * MIB)];
    spans.claim_part(&gaps);
    assert_eq!(spans.advance(1, MIB), Reach { enough: 8 * MIB, stop: 16 * MIB });
    spans.release(2);
    assert_eq!(spans.advance(1, 2 * MIB), Reach { enough: u64::MAX, stop: u64::MAX });
    assert_eq!(spans.claim_far(range(30 * MIB, 40 * MIB), &gaps, 4), Some((3, range(30 * MIB, 40 * MIB))));
    assert_eq!(spans.claim_part(&gaps), Some((4, range(18 * MIB, 26 * MIB))));
    spans.release(3);
    let reach = Reach { enough: 10 * MIB, stop: 18 * MIB };
    assert_eq!(spans.advance(1, 2 * MIB), reach, "only what was claimed last is forgotten");
}

#[test]
fn a_refused_part_gives_back_only_what_was_cut_for_it() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&gaps, false);
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&gaps), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(spans.claim_part(&gaps), Some((3, range(24 * MIB, 32 * MIB))));
    spans.release(2);
    assert_eq!(spans.claim_part(&gaps), Some((4, range(16 * MIB, 24 * MIB))), "it is claimed anew");
    spans.release(4);
    let stop = spans.advance(1, MIB).stop;
    assert_eq!(stop, 16 * MIB, "another has bytes between here and where the front would have stopped");
}

#[test]
fn where_a_part_was_cut_the_transfer_before_it_is_not_left_early() {
    let mut spans = Spans::default();
    let gaps = [range(0, 40 * MIB)];
    spans.claim_front(&gaps, false);
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&gaps), Some((2, range(16 * MIB, 24 * MIB))));
    spans.advance(2, 16 * MIB + 1);
    spans.release(2);
    assert_eq!(spans.advance(1, MIB), Reach { enough: 16 * MIB, stop: 16 * MIB });
}

#[test]
fn a_part_is_a_part_again_once_a_far_range_gives_it_back() {
    let mut spans = Spans::default();
    let gaps = [range(0, 24 * MIB)];
    spans.claim_front(&gaps, false);
    spans.set_part_bytes(8 * MIB);
    assert_eq!(spans.claim_part(&gaps), Some((2, range(16 * MIB, 24 * MIB))));
    assert_eq!(spans.claim_far(range(20 * MIB, 24 * MIB), &gaps, 4), Some((3, range(20 * MIB, 24 * MIB))));
    spans.release(3);
    spans.set_part_bytes(MIB);
    assert_eq!(spans.claim_part(&gaps), None, "parts are not cut again");
    assert_eq!(spans.advance(2, 17 * MIB).stop, 24 * MIB);
}
