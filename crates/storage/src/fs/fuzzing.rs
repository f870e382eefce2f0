//! The readers of what lies on disk, for those who check what holds for every input. What a store finds there
//! may be anything: disks rot, and people edit files.

use std::path::{Path, PathBuf};

use oci::{Digest, Repository, Tag};
use policy::freshness::TagRecord;

use super::layout::{Layout, parse_partial_name};
use super::records::TagFile;
use super::sidecar::Sidecar;

/// The tag and the record that a file's bytes stand for.
pub fn parse_tag_record(bytes: &[u8]) -> Option<(String, TagRecord)> {
    let file: TagFile = serde_json::from_slice(bytes).ok()?;
    file.meaning().map(|(tag, record)| (tag.to_owned(), record))
}

/// The bytes that stand for a record.
pub fn print_tag_record(tag: &Tag, record: &TagRecord) -> Vec<u8> {
    serde_json::to_vec_pretty(&TagFile::new(tag, record)).expect("strings and numbers are always JSON")
}

/// A partial file's note: how much of a file of `len` bytes is believed after a start as `boot_id`, what size
/// the content is said to have, and the note as it is written again.
pub fn read_sidecar(bytes: &[u8], len: u64, boot_id: Option<&str>) -> Option<(u64, Option<u64>, Vec<u8>)> {
    let sidecar: Sidecar = serde_json::from_slice(bytes).ok()?;
    let again = serde_json::to_vec(&sidecar).expect("strings and numbers are always JSON");
    Some((sidecar.trusted(len, boot_id), sidecar.size, again))
}

/// The digest that a file in `partial` is named after.
pub fn parse_partial(name: &str) -> Option<Digest> {
    parse_partial_name(name)
}

/// Every path beneath `root` that is made of these names.
pub fn paths(root: &Path, repository: &Repository, tag: Option<&Tag>, digest: &Digest) -> Vec<PathBuf> {
    let layout = Layout::new(root);
    let mut paths = vec![
        layout.blob(digest),
        layout.manifest(digest),
        layout.manifest_record(repository, digest),
        layout.link(repository, digest),
        layout.partial(digest),
        layout.sidecar(digest),
    ];
    paths.extend(tag.map(|tag| layout.tag(repository, tag)));
    paths
}
