//! The headers of entries that wharf writes.

use tar::{EntryType, Header};

/// The unit of an archive, in bytes.
pub(crate) const BLOCK_BYTES: usize = 512;

/// The end of an archive.
pub(crate) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// The longest name that a header has room for, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// The header of a file, with an extension header if the name is long. Its time is the beginning of 1970, so
/// that the same images give the same bytes.
pub(crate) fn header_of(name: &str, size: u64) -> Vec<u8> {
    if name.len() <= NAME_BYTES_MAX {
        return block(name, EntryType::Regular, size).to_vec();
    }
    let shortened: String = name.chars().take(NAME_BYTES_MAX / 4).collect();
    let extension = extension("pax_header", EntryType::XHeader, &record("path", name));
    [&extension[..], &block(&shortened, EntryType::Regular, size)].concat()
}

/// A header for all entries that says nothing but a comment, which readers ignore (POSIX pax).
pub(crate) fn comment(text: &str) -> Vec<u8> {
    extension("pax_global_header", EntryType::XGlobalHeader, &record("comment", text))
}

fn block(name: &str, kind: EntryType, size: u64) -> [u8; BLOCK_BYTES] {
    let mut header = Header::new_gnu();
    header.set_path(name).expect("the name is short and relative");
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

fn extension(name: &str, kind: EntryType, record: &str) -> Vec<u8> {
    let padding = usize::try_from(padding_after(record.len() as u64)).expect("less than a block");
    [&block(name, kind, record.len() as u64), record.as_bytes(), &vec![0; padding]].concat()
}

/// A record, whose first number is its own length.
fn record(key: &str, value: &str) -> String {
    let body = format!(" {key}={value}\n");
    let length = (body.len()..).find(|length| length.to_string().len() + body.len() == *length);
    format!("{}{body}", length.expect("some length fits"))
}

/// The zeros after a content of `size` bytes.
pub(crate) fn padding_after(size: u64) -> u64 {
    let block = BLOCK_BYTES as u64;
    (block - size % block) % block
}
