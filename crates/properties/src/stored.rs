//! Files on disk: records of tags and sidecars of partial files.

use std::time::SystemTime;

use oci::Tag;
use storage::fs::fuzzing::{self, Note};

/// Checks that a record survives writing and reading, and that no byte beyond a partial file's length is
/// trusted. The input's first eight bytes are the partial file's length; the rest is a file.
pub fn check(input: &[u8]) {
    let Some((len, file)) = input.split_first_chunk::<8>() else { return };
    check_record(file);
    let len = u64::from_be_bytes(*len);
    for boot_id in [None, Some("1b4e28ba-2fa1-4d3b-8a0c-3f5d1f7c9e11"), Some("")] {
        let Some(note) = fuzzing::read_sidecar(file, len, boot_id) else { break };
        check_ranges(&note, len);
        let is_safe = boot_id.is_some() || note.trusted.is_empty() || is_synced(&note.again);
        assert!(is_safe, "a power loss may have eaten this");
        let read_again = fuzzing::read_sidecar(&note.again, len, boot_id);
        assert_eq!(read_again.as_ref(), Some(&note), "the note changed as it was written again");
        if boot_id.is_some() && note.trusted.len() <= LISTED_COUNT {
            let listed = fuzzing::read_sidecar(&note.listed, len, boot_id).expect("it was just written");
            assert_eq!(listed.trusted, note.trusted, "what is listed is believed");
        }
    }
}

/// The number of ranges that are always listed.
const LISTED_COUNT: usize = 64;

/// Checks that the trusted ranges are inside the file and the content, in order, and separated by holes.
fn check_ranges(note: &Note, len: u64) {
    let end = note.size.map_or(len, |size| size.min(len));
    assert!(note.trusted.iter().all(|(start, stop)| start < stop && *stop <= end), "{note:?} of {len}");
    assert!(note.trusted.windows(2).all(|pair| pair[0].1 < pair[1].0), "{note:?}");
}

/// Examines the sidecar as it is written again: the file may have keys that the reader ignores.
fn is_synced(note: &[u8]) -> bool {
    serde_json::from_slice(note).is_ok_and(|note: serde_json::Value| note["synced"] == true)
}

fn check_record(file: &[u8]) {
    let Some((name, record)) = fuzzing::parse_tag_record(file) else { return };
    assert!(record.checked_at >= SystemTime::UNIX_EPOCH, "{record:?}");
    // The reader compares the name with the requested tag, so an invalid one is never served.
    let Ok(tag) = name.parse::<Tag>() else { return };
    let printed = fuzzing::print_tag_record(&tag, &record);
    assert_eq!(fuzzing::parse_tag_record(&printed), Some((name, record)));
}
