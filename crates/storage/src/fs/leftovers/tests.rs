use oci::{Algorithm, Digest};

use super::{LEFTOVER_COUNT_MAX, Leftovers};

fn digest(number: usize) -> Digest {
    Digest::of(Algorithm::Sha256, &number.to_le_bytes())
}

#[test]
fn every_digest_may_have_files_before_the_directory_was_listed() {
    let left = Leftovers::default();
    assert!(left.may_have(&digest(1)));
    left.set([digest(1)]);
    assert!(left.may_have(&digest(1)) && !left.may_have(&digest(2)));
    left.add(&digest(2));
    left.remove(&digest(1));
    assert!(left.may_have(&digest(2)) && !left.may_have(&digest(1)));
}

#[test]
fn with_too_many_leftovers_every_digest_is_looked_up() {
    let left = Leftovers::default();
    left.set([]);
    (0..LEFTOVER_COUNT_MAX).for_each(|number| left.add(&digest(number)));
    assert!(!left.may_have(&digest(LEFTOVER_COUNT_MAX)));
    left.add(&digest(LEFTOVER_COUNT_MAX));
    assert!(left.may_have(&digest(LEFTOVER_COUNT_MAX + 7)));
}
