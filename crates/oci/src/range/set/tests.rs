use proptest::prelude::*;

use super::*;

fn parse(header: &str) -> Option<RangeSet> {
    RangeSet::parse(header)
}

/// The parts that `header` means of a content of 100 bytes, as `start..end` and in order.
fn parts(header: &str) -> String {
    let Some(set) = parse(header) else { return "ignored".to_owned() };
    match set.resolve(100) {
        ResolvedRanges::Unsatisfiable => "nothing".to_owned(),
        ResolvedRanges::WholeContent => "whole".to_owned(),
        ResolvedRanges::Parts(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| format!("{}..{}", part.start, part.end)).collect();
            parts.join(" ")
        }
    }
}

#[test]
fn client_f3_several_ranges_are_parts_in_the_order_asked_for() {
    for (header, wanted) in [
        ("bytes=0-9,20-29", "0..10 20..30"),
        ("bytes=20-29, 0-9", "20..30 0..10"),
        ("bytes=0-9,10-19", "0..10 10..20"),
        ("bytes=0-9,,\t20-29 ,", "0..10 20..30"),
        ("bytes=-10,0-0", "90..100 0..1"),
        ("bytes=0-0,90-", "0..1 90..100"),
        ("bytes=0-9,95-200", "0..10 95..100"),
        ("bytes=0-9,200-300", "0..10"),
        ("bytes=200-300,500-", "nothing"),
        ("bytes=5-4,-0", "nothing"),
        ("bytes=0-9,5-14", "0..10 5..15"),
        ("bytes=0-9,0-9,0-9", "0..10 0..10 0..10"),
        ("bytes=0-9,0-9,0-9,0-9", "whole"),
        ("bytes=0-1,0-2,0-3,0-4", "whole"),
        ("bytes=0-99,0-0", "whole"),
        ("bytes=0-,0-", "whole"),
        ("bytes=0-9,x", "ignored"),
        ("bytes=0-9,-", "ignored"),
        ("bytes=0-9", "0..10"),
        ("bytes=200-", "nothing"),
        ("items=0-9,20-29", "ignored"),
    ] {
        assert_eq!(parts(header), wanted, "{header}");
    }
}

#[test]
fn client_f3_a_header_names_no_more_ranges_than_one_client_needs() {
    let header = |count: usize| {
        let ranges: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 10, n * 10 + 4)).collect();
        format!("bytes={}", ranges.join(","))
    };
    let Some(RangeSet::Several(ranges)) = parse(&header(RANGE_COUNT_MAX)) else { panic!("it is ignored") };
    assert_eq!(ranges.len(), RANGE_COUNT_MAX);
    let ResolvedRanges::Parts(parts) = RangeSet::Several(ranges).resolve(1 << 20) else { panic!("no parts") };
    assert_eq!(parts.len(), RANGE_COUNT_MAX);
    assert_eq!(parse(&header(RANGE_COUNT_MAX + 1)), None);
    assert_eq!(parse(&header(100_000)), None);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let set = parse("bytes=0-,1-,-18446744073709551615").unwrap();
    assert_eq!(set.resolve(u64::MAX), ResolvedRanges::WholeContent);
}

proptest! {
    #[test]
    fn parts_are_what_each_range_means_alone(
        ranges in proptest::collection::vec((0_u64..30, 0_u64..30), 1..8),
        size in 0_u64..40,
    ) {
        let specs: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let alone: Vec<_> = specs
            .iter()
            .filter_map(|spec| RangeRequest::parse(&format!("bytes={spec}")).unwrap().unwrap().resolve(size))
            .collect();
        let set = RangeSet::parse(&format!("bytes={}", specs.join(","))).unwrap();
        match set.resolve(size) {
            ResolvedRanges::Unsatisfiable => prop_assert!(alone.is_empty()),
            ResolvedRanges::Parts(parts) => {
                let asked: u64 = parts.iter().map(ByteRange::len).sum();
                prop_assert!(asked <= size);
                prop_assert_eq!(parts, alone);
            }
            ResolvedRanges::WholeContent => {
                let asked: u64 = alone.iter().map(ByteRange::len).sum();
                prop_assert!(asked > size || overlap_count(&alone) > OVERLAP_COUNT_MAX);
            }
        }
    }

    #[test]
    fn no_text_makes_more_parts_than_there_may_be(header in "bytes=[0-9,\t -]{0,60}|.{0,30}", size in any::<u64>()) {
        if let Some(set) = RangeSet::parse(&header) {
            if let RangeSet::Several(ranges) = &set {
                prop_assert!((2..=RANGE_COUNT_MAX).contains(&ranges.len()));
            }
            if let ResolvedRanges::Parts(parts) = set.resolve(size) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
            }
        }
    }
}
