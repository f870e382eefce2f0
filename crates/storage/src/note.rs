//! Notes of a store as a whole: a few files that later processes read.

/// The largest note that a store takes and gives, in bytes.
pub const NOTE_BYTES_MAX: u64 = 256 << 20;

/// Checks a note's name, which is always a constant of this program.
///
/// # Panics
/// When the name is empty or has a character other than a to z.
pub(crate) fn assert_name(name: &str) {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    assert!(is_name, "a note's name consists of lower-case letters: {name:?}");
}
