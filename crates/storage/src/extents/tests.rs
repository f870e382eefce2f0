use oci::ByteRange;
use proptest::prelude::*;

use super::Extents;

const SIZE: u64 = 64;

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

/// The obvious model: one flag per offset.
#[derive(Default)]
struct Flags(Vec<bool>);

impl Flags {
    fn insert(&mut self, range: ByteRange) {
        self.0.resize(SIZE as usize, false);
        self.0[range.start as usize..range.end as usize].fill(true);
    }

    fn has(&self, offset: u64) -> bool {
        self.0.get(offset as usize).copied().unwrap_or(false)
    }

    fn contiguous_from(&self, offset: u64) -> u64 {
        (offset..SIZE).take_while(|offset| self.has(*offset)).count() as u64
    }

    fn missing_in(&self, range: ByteRange) -> Vec<u64> {
        (range.start..range.end).filter(|offset| !self.has(*offset)).collect()
    }
}

fn ranges() -> impl Strategy<Value = ByteRange> {
    (0..=SIZE, 0..=SIZE).prop_map(|(one, other)| range(one.min(other), one.max(other)))
}

proptest! {
    #[test]
    fn extents_agree_with_one_flag_per_offset(
        inserted in prop::collection::vec(ranges(), 0..12),
        asked in ranges(),
    ) {
        let (mut extents, mut flags) = (Extents::default(), Flags::default());
        for range in inserted {
            extents.insert(range);
            flags.insert(range);
        }
        for offset in 0..=SIZE {
            prop_assert_eq!(extents.contiguous_from(offset), flags.contiguous_from(offset));
        }
        let offsets = |gaps: Vec<ByteRange>| -> Vec<u64> {
            gaps.iter().flat_map(|gap| gap.start..gap.end).collect()
        };
        prop_assert_eq!(offsets(extents.gaps_in(asked)), flags.missing_in(asked));
        prop_assert_eq!(offsets(extents.gaps(SIZE)), flags.missing_in(range(0, SIZE)));
        let end = (0..SIZE).rev().find(|offset| flags.has(*offset)).map_or(0, |last| last + 1);
        prop_assert_eq!(extents.end(), end);
    }

    #[test]
    fn extents_stay_sorted_apart_and_nonempty(inserted in prop::collection::vec(ranges(), 0..12)) {
        let mut extents = Extents::default();
        for range in inserted {
            extents.insert(range);
        }
        prop_assert!(extents.0.iter().all(|extent| !extent.is_empty()));
        prop_assert!(extents.0.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
}

#[test]
fn content_received_in_order_is_one_extent() {
    let mut extents = Extents::prefix(3);
    extents.insert(range(3, 7));
    extents.insert(range(7, 9));
    assert_eq!(extents.0, [range(0, 9)]);
}

#[test]
fn the_gaps_of_a_content_of_unknown_size_are_open_ended() {
    assert_eq!(Extents::prefix(5).gaps(u64::MAX), [range(5, u64::MAX)]);
}
