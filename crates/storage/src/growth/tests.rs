use std::sync::Arc;

use oci::ByteRange;

use super::{Growth, Refusal, Unfinished};
use crate::extents::Extents;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

fn growth() -> Arc<Growth> {
    with_front(10)
}

fn with_front(front: u64) -> Arc<Growth> {
    Arc::new(Growth::new(Extents::prefix(front), None))
}

#[test]
fn claims_never_overlap_written_or_claimed_ranges() {
    let growth = growth();
    let first = growth.claim(range(20, 30)).unwrap();
    let second = growth.claim(range(5, 40)).unwrap();
    assert_eq!(first.ranges(), [range(20, 30)]);
    assert_eq!(second.ranges(), [range(10, 20), range(30, 40)]);
    assert!(growth.claim(range(0, 40)).unwrap().ranges().is_empty());
    second.complete();
    assert_eq!((growth.watermark(), growth.available_from(30)), (20, 10));
    assert_eq!(growth.gaps(50), [range(20, 30), range(40, 50)]);
    drop(first);
    assert_eq!(growth.claim(range(0, 40)).unwrap().ranges(), [range(20, 30)], "given back unwritten");
}

#[test]
fn only_consecutive_writes_from_the_front_are_in_order() {
    let growth = growth();
    let first = growth.claim(range(10, 20)).unwrap();
    assert!(!first.is_scattered());
    first.complete();
    assert!(!growth.claim(range(5, 30)).unwrap().is_scattered(), "it overlaps, and adds to the end");
    assert!(!growth.claim(range(0, 5)).unwrap().is_scattered(), "it adds nothing");
    let ahead = growth.claim(range(20, 30)).unwrap();
    assert!(!ahead.is_scattered());
    assert!(growth.claim(range(30, 40)).unwrap().is_scattered(), "the one before is still under way");
    ahead.complete();
    assert!(growth.claim(range(30, 40)).unwrap().is_scattered(), "once out of order is enough");
    let overlapping = with_front(0);
    let _under_way = overlapping.claim(range(0, 10)).unwrap();
    assert!(overlapping.claim(range(0, 20)).unwrap().is_scattered(), "it adds after a range in flight");
    let gap = with_front(0);
    assert!(gap.claim(range(1, 2)).unwrap().is_scattered());
}

#[test]
fn a_size_binds_all_writers() {
    let growth = growth();
    let claim = growth.claim(range(10, 30)).unwrap();
    assert_eq!(growth.set_size(29), Err(Refusal::Size));
    growth.set_size(30).unwrap();
    assert_eq!(growth.claim(range(30, 31)).unwrap_err(), Refusal::Size);
    claim.complete();
    assert_eq!(growth.finish(30), Ok(()));
    assert_eq!(growth.set_size(30), Err(Refusal::Closed));
}

#[test]
fn reasons_against_finishing() {
    let growth = growth();
    assert_eq!(growth.finish(12), Err(Unfinished::Incomplete { missing: 2 }));
    let late = growth.claim(range(10, 20)).unwrap();
    assert_eq!(growth.finish(10), Err(Unfinished::TooLong { end: 20 }), "someone still writes");
    drop(late);
    assert_eq!(growth.finish(10), Err(Unfinished::Closed));
}

#[test]
fn resumed_content_with_holes_is_scattered_from_the_beginning() {
    let resumed = Arc::new(Growth::new(Extents::of([(0, 10), (20, 30)]), Some(40)));
    assert_eq!((resumed.watermark(), resumed.available_from(25), resumed.written_bytes()), (10, 5, 20));
    let claim = resumed.claim(range(0, 40)).unwrap();
    assert_eq!(claim.ranges(), [range(10, 20), range(30, 40)]);
    assert!(claim.is_scattered());
    claim.complete();
    assert_eq!(resumed.finish(40), Ok(()));
}

#[test]
fn t10_written_bytes_are_resumable_unless_they_are_finished() {
    let idle = growth();
    assert!(idle.retire());
    assert_eq!(idle.claim(range(10, 11)).unwrap_err(), Refusal::Closed);

    let scattered = growth();
    scattered.claim(range(15, 20)).unwrap().complete();
    assert!(scattered.retire(), "a reader beyond a hole does not prevent resumption");
    assert_eq!(scattered.settled().ranges(), [range(0, 10), range(15, 20)]);

    let finished = growth();
    finished.finish(10).unwrap();
    assert!(!finished.retire());
    assert!(!finished.close());
}

#[test]
fn a_successor_waits_for_the_writes_in_flight() {
    let busy = growth();
    let claims = [busy.claim(range(10, 20)).unwrap(), busy.claim(range(30, 40)).unwrap()];
    std::thread::scope(|scope| {
        let successor = scope.spawn(|| busy.retire().then(|| busy.settled()));
        while busy.claim(range(50, 60)).is_ok() {
            // The successor has not closed the growth yet.
            std::thread::yield_now();
        }
        let [first, second] = claims;
        assert!(!successor.is_finished());
        first.complete();
        assert!(!successor.is_finished(), "one is still under way");
        drop(second);
        let settled = successor.join().unwrap().expect("it is not finished");
        assert_eq!(settled.ranges(), [range(0, 20)], "a dropped claim was not written");
    });
}
