use std::time::SystemTime;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_address_that_fails_rests_until_a_probe_finds_it() {
    let now = Instant::now();
    let mut health = AddressHealth::default();
    assert!(!health.is_resting() && !health.take_probe(now));
    assert!(health.fail(now));
    assert!(!health.fail(now), "it rests already");
    assert!(health.is_resting());
    assert!(!health.take_probe(now + SECOND / 2), "too early");
    assert!(health.take_probe(now + SECOND));
    assert!(!health.take_probe(now + SECOND), "one at a time");
    assert!(health.probed(Some(true), now + SECOND));
    assert!(!health.is_resting());
}

#[test]
fn rests_double_until_a_request_is_answered() {
    let mut now = Instant::now();
    let mut health = AddressHealth::default();
    health.fail(now);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        assert!(!health.take_probe(now + SECOND * seconds - SECOND / 10), "{seconds}");
        now += SECOND * seconds;
        assert!(health.take_probe(now), "{seconds}");
        assert!(!health.probed(Some(false), now));
    }
    now += REST_MAX;
    assert!(health.take_probe(now));
    assert!(health.probed(Some(true), now));
    // Only the probe was answered.
    health.fail(now);
    assert!(!health.take_probe(now + REST_MAX - SECOND));
    assert!(health.answer());
    assert!(!health.answer());
    health.fail(now);
    assert!(health.take_probe(now + REST_MIN));
}

#[test]
fn an_abandoned_probe_is_due_again() {
    let now = Instant::now();
    let mut health = AddressHealth::default();
    health.fail(now);
    assert!(health.take_probe(now + SECOND));
    assert!(!health.probed(None, now + SECOND));
    assert!(health.is_resting() && health.take_probe(now + SECOND));
}

#[test]
fn a_probe_that_ends_after_an_answer_begins_no_rest() {
    let now = Instant::now();
    let mut health = AddressHealth::default();
    health.fail(now);
    assert!(health.take_probe(now + SECOND));
    health.answer();
    assert!(!health.probed(Some(false), now + SECOND));
    assert!(!health.is_resting());
}

#[test]
fn the_order_is_that_of_the_list_with_resting_and_broken_addresses_behind() {
    for (resting, broken, expected) in [
        (vec![false, false, false], None, vec![0, 1, 2]),
        (vec![true, false, false], None, vec![1, 2, 0]),
        (vec![true, true, true], None, vec![0, 1, 2]),
        (vec![false, false, false], Some(0), vec![1, 2, 0]),
        (vec![false, true, true], Some(0), vec![0, 1, 2]),
        (vec![true, false, true], Some(1), vec![1, 0, 2]),
    ] {
        assert_eq!(order(&resting, broken, &Doubts::default()), expected, "{resting:?} {broken:?}");
    }
}

#[test]
fn an_address_with_wrong_bytes_comes_after_all_others_for_this_content() {
    for (notes, resting, broken, expected) in [
        (vec![(vec![0], true)], [false, false, false], None, [1, 2, 0]),
        (vec![(vec![0], true)], [false, true, false], None, [2, 1, 0]),
        (vec![(vec![0], true)], [false, true, true], Some(1), [2, 1, 0]),
        (vec![(vec![0], true)], [false, false, false], Some(1), [2, 1, 0]),
        (vec![(vec![0, 1], true)], [false, false, false], None, [2, 0, 1]),
        // The second one was right about its part: the first one has now been wrong alone.
        (vec![(vec![0, 1], true), (vec![2], true), (vec![0], true)], [false; 3], None, [1, 0, 2]),
        (vec![(vec![0], true), (vec![1], true), (vec![2], true)], [false; 3], None, [0, 1, 2]),
    ] {
        let mut doubts = Doubts::of(3);
        for (senders, are_all) in &notes {
            doubts.note(senders, *are_all);
        }
        assert_eq!(order(&resting, broken, &doubts), expected, "{notes:?} {resting:?} {broken:?}");
    }
}

#[test]
fn a_retry_after_wrong_bytes_is_worthwhile_while_another_address_may_be_right() {
    let mut doubts = Doubts::of(2);
    assert!(doubts.note(&[0], true));
    assert!(!doubts.note(&[0], true), "nothing new: the other one did not answer");
    assert!(!doubts.note(&[1], true), "no address is left");
    let mut mixed = Doubts::of(2);
    assert!(mixed.note(&[0, 1], true), "one of the two may be right alone");
    assert!(mixed.note(&[0], true));
    assert!(!mixed.is_proved(1) && mixed.is_proved(0));
    // A part came from an earlier transfer, of which nobody knows the address.
    let mut resumed = Doubts::of(2);
    assert!(resumed.note(&[1], false));
    assert_eq!((resumed.about(0), resumed.about(1)), (Doubt::None, Doubt::Shared));
    assert!(resumed.note(&[1], false));
    assert!(resumed.is_proved(1));
    let mut only = Doubts::of(1);
    assert!(!only.note(&[0], true));
    assert!(!Doubts::of(2).note(&[], false), "bytes of an earlier process prove nothing");
}

proptest! {
    #[test]
    fn retries_after_wrong_bytes_end_whoever_sent_them(
        notes in vec((subsequence((0..8).collect::<Vec<usize>>(), 0..=8), any::<bool>()), 0..200)
    ) {
        let mut doubts = Doubts::of(8);
        let worthwhile = notes.iter().filter(|(senders, are_all)| doubts.note(senders, *are_all));
        // Each of the eight addresses can come into doubt, and be proved wrong.
        prop_assert!(worthwhile.count() <= 16);
    }
}

#[test]
fn a_stand_in_never_moves_a_tag_that_an_outage_would_leave_alone() {
    let digest = |byte: &str| format!("sha256:{}", byte.repeat(32)).parse::<Digest>().unwrap();
    let record = TagRecord {
        digest: digest("aa"),
        media_type: "application/vnd.oci.image.manifest.v1+json".parse().unwrap(),
        size: 1,
        checked_at: SystemTime::UNIX_EPOCH,
    };
    let serve = TagPlan::Revalidate { if_unreachable: Unreachable::Serve };
    let fail = TagPlan::Revalidate { if_unreachable: Unreachable::Fail };
    for (held, named, expected) in [
        (None, "bb", true),
        (Some((&record, serve)), "aa", true),
        (Some((&record, serve)), "bb", false),
        (Some((&record, TagPlan::Serve)), "bb", false),
        (Some((&record, fail)), "bb", true),
    ] {
        assert_eq!(may_stand_in_name(held, &digest(named)), expected, "{held:?} {named}");
    }
}
