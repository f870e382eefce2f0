use proptest::prelude::*;

use super::{ByteRange, RangeError, RangeRequest};

// What is accepted and what is refused stands in `tests/data`.

#[test]
fn a_range_knows_its_length() {
    assert_eq!(ByteRange::whole(10), ByteRange { start: 0, end: 10 });
    assert_eq!(ByteRange { start: 3, end: 10 }.len(), 7);
    assert!(ByteRange { start: 3, end: 3 }.is_empty());
    assert!(!ByteRange::whole(1).is_empty());
    assert_eq!(ByteRange::whole(u64::MAX).len(), u64::MAX);
}

#[test]
fn of_an_empty_content_nothing_can_be_meant() {
    for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
        let range = RangeRequest::parse(header).unwrap().unwrap();
        assert_eq!(range.resolve(0), None, "{header}");
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let max = u64::MAX;
    for (range, wanted) in [
        (RangeRequest::From { start: 0, last: Some(max) }, Some(ByteRange::whole(max))),
        (RangeRequest::From { start: max - 1, last: None }, Some(ByteRange { start: max - 1, end: max })),
        (RangeRequest::From { start: max, last: Some(max) }, None),
        (RangeRequest::Suffix { len: max }, Some(ByteRange::whole(max))),
    ] {
        assert_eq!(range.resolve(max), wanted, "{range:?}");
    }
}

#[test]
fn several_ranges_are_told_from_nonsense() {
    assert_eq!(RangeRequest::parse("bytes=0-1,2-3"), Err(RangeError::Multiple));
    assert_eq!(RangeRequest::parse("bytes=0-1,nonsense"), Ok(None));
}

proptest! {
    #[test]
    fn what_is_meant_is_what_a_loop_over_the_content_picks(
        first in proptest::option::of(0_u64..30),
        last in proptest::option::of(0_u64..30),
        size in 0_u64..20,
    ) {
        let header = format!(
            "bytes={}-{}",
            first.map(|it| it.to_string()).unwrap_or_default(),
            last.map(|it| it.to_string()).unwrap_or_default(),
        );
        let is_meant = |offset: &u64| match (first, last) {
            (Some(first), Some(last)) => first <= *offset && *offset <= last,
            (Some(first), None) => first <= *offset,
            (None, Some(suffix)) => *offset + suffix >= size,
            (None, None) => true,
        };
        let meant: Vec<u64> = (0..size).filter(is_meant).collect();
        match RangeRequest::parse(&header).unwrap() {
            Some(range) => {
                let resolved = range.resolve(size);
                let picked: Vec<u64> = resolved.map(|it| (it.start..it.end).collect()).unwrap_or_default();
                prop_assert_eq!(picked, meant);
                prop_assert!(resolved.is_none_or(|it| !it.is_empty()));
            }
            None => prop_assert!(first.is_none() && last.is_none()),
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_reach_past_the_end(header in "(bytes=)?[0-9,\t -]{0,30}|.{0,30}", size in any::<u64>()) {
        if let Ok(Some(range)) = RangeRequest::parse(&header)
            && let Some(bytes) = range.resolve(size)
        {
            prop_assert!(bytes.start < bytes.end && bytes.end <= size);
        }
    }
}
