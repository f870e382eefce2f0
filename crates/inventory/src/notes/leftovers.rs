//! The note of manifests whose bytes are about to be removed, one digest a line.
//!
//! The bytes of a manifest without a record are not found by a walk over records. If the process ends between
//! the removal of the record and that of the bytes, the next one reads the rest here. A digest that stays
//! in the note does no harm: its manifest is gone, or a repository has it again and it stays.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use oci::Digest;

/// The note's name in the store.
pub(crate) const NAME: &str = "leftovers";

/// The most digests in a note.
pub(crate) const COUNT_MAX: usize = 1024;

/// Reads a note. Lines that are no digests are left out.
pub(crate) fn parse(note: &[u8]) -> BTreeSet<Digest> {
    let text = str::from_utf8(note).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).take(COUNT_MAX).collect()
}

/// The note's text.
pub(crate) fn to_bytes<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Bytes {
    let mut text = String::new();
    for digest in digests.into_iter().take(COUNT_MAX) {
        writeln!(text, "{digest}").expect("writing to a string does not fail");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    #[test]
    fn digests_come_back_and_a_damaged_note_names_none() {
        let digests: BTreeSet<_> = [&b"a"[..], b"b"].map(|bytes| Digest::of(Algorithm::Sha256, bytes)).into();
        let note = to_bytes(&digests);
        assert_eq!(parse(&note), digests);
        assert_eq!(parse(&note[..note.len() - 2]).len(), 1);
        assert!(parse(&[0; 100]).is_empty() && parse(&[0xff; 9]).is_empty());
    }
}
