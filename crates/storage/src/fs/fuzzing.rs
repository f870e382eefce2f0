//! The parsers of the store's files, for property tests. Their input may be anything: disks rot, and
//! operators edit files.

use std::path::{Path, PathBuf};

use oci::{Digest, Repository, Tag};
use policy::freshness::TagRecord;

use super::layout::{Layout, parse_partial_name};
use super::records::TagFile;
use super::sidecar::Sidecar;

/// The tag and the record in a file.
pub fn parse_tag_record(bytes: &[u8]) -> Option<(String, TagRecord)> {
    let file: TagFile = serde_json::from_slice(bytes).ok()?;
    file.meaning().map(|(tag, record)| (tag.to_owned(), record))
}

/// The file of a record.
pub fn print_tag_record(tag: &Tag, record: &TagRecord) -> Vec<u8> {
    serde_json::to_vec_pretty(&TagFile::new(tag, record)).expect("strings and numbers are always JSON")
}

/// The content of a partial file's sidecar.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// The trusted ranges of the file: starts and ends.
    pub trusted: Vec<(u64, u64)>,
    /// The size of the content, according to the sidecar.
    pub size: Option<u64>,
    /// The sidecar as it is written again.
    pub again: Vec<u8>,
    /// The sidecar of a file that has just the trusted ranges.
    pub listed: Vec<u8>,
}

/// Reads the sidecar of a file of `len` bytes, in the start `boot_id` of the machine.
pub fn read_sidecar(bytes: &[u8], len: u64, boot_id: Option<&str>) -> Option<Note> {
    let sidecar: Sidecar = serde_json::from_slice(bytes).ok()?;
    let print = |note: &Sidecar| serde_json::to_vec(note).expect("strings and numbers are always JSON");
    let trusted = sidecar.trusted(len, boot_id);
    let listed = Sidecar::listing(&trusted, sidecar.size, boot_id.map(str::to_owned), false);
    Some(Note {
        trusted: trusted.ranges().iter().map(|range| (range.start, range.end)).collect(),
        size: sidecar.size,
        again: print(&sidecar),
        listed: print(&listed),
    })
}

/// The digest in the name of a file in `partial`.
pub fn parse_partial(name: &str) -> Option<Digest> {
    parse_partial_name(name)
}

/// All paths below `root` that are made of these names.
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
