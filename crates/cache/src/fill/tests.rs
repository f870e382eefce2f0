use oci::{Algorithm, ByteRange};

use super::spans::Claim;
use super::*;

#[test]
fn no_span_is_released_between_reading_the_gaps_and_the_claim() {
    let fill = Fill::new(
        Digest::of(Algorithm::Sha256, b"blob"),
        "library/app".parse().unwrap(),
        0,
        Memory::default(),
    );
    let gaps = || {
        assert!(fill.claims().is_locked(), "a transfer could write the gap and give its span back");
        vec![ByteRange { start: 0, end: 8 }]
    };
    let range = ByteRange { start: 4, end: 8 };
    assert_eq!(fill.claims().claim_far(range, gaps, 4), Some((1, range)));
    assert_eq!(fill.claims().claim_part(gaps, None), Some((2, ByteRange { start: 0, end: 4 })));
    assert_eq!(fill.claims().claim_front(gaps, None), Claim::Wait);
}
