//! What lies on disk: tags' records and the notes beside partial files.

use std::time::SystemTime;

use oci::Tag;
use storage::fs::fuzzing;

/// Checks that a record reads as it is written, and that of a partial file never more is believed than there
/// is. The input's first eight bytes are the partial file's length; the rest is a file.
pub fn check(input: &[u8]) {
    let Some((len, file)) = input.split_first_chunk::<8>() else { return };
    check_record(file);
    let len = u64::from_be_bytes(*len);
    for boot_id in [None, Some("1b4e28ba-2fa1-4d3b-8a0c-3f5d1f7c9e11"), Some("")] {
        let Some((trusted, size, again)) = fuzzing::read_sidecar(file, len, boot_id) else { break };
        assert!(trusted <= len && size.is_none_or(|size| trusted <= size));
        assert!(boot_id.is_some() || trusted == 0 || is_synced(&again), "a power loss may have eaten this");
        let read_again = fuzzing::read_sidecar(&again, len, boot_id);
        assert_eq!(read_again, Some((trusted, size, again)), "the note changed as it was written again");
    }
}

/// Looks into the note as it is written: what lies on disk may hold keys that this reader does not take.
fn is_synced(note: &[u8]) -> bool {
    serde_json::from_slice(note).is_ok_and(|note: serde_json::Value| note["synced"] == true)
}

fn check_record(file: &[u8]) {
    let Some((name, record)) = fuzzing::parse_tag_record(file) else { return };
    assert!(record.checked_at >= SystemTime::UNIX_EPOCH, "{record:?}");
    // The reader compares the name with the tag asked for, so one that is none is never served.
    let Ok(tag) = name.parse::<Tag>() else { return };
    let printed = fuzzing::print_tag_record(&tag, &record);
    assert_eq!(fuzzing::parse_tag_record(&printed), Some((name, record)));
}
