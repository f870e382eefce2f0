//! The readers of tar archives and of containerd's database, for property tests. Their input may be anything.

use std::fs::File;
use std::io::{Read, Write};

use oci::Digest;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::source::names_in;
use crate::tarball::{Entries, Kind, comment, header_of, padding_after};

/// The largest piece of content that is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// An entry that the reader let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its name.
    pub name: String,
    /// The target of a link.
    pub link: Option<String>,
    /// Its content.
    pub content: Vec<u8>,
}

/// The names of images in a database of containerd; `None`: it is none.
pub fn names(database: &[u8]) -> Option<Vec<(String, Digest)>> {
    let mut file = File::from(memfd_create("database", MemfdFlags::CLOEXEC).expect("files in memory"));
    file.write_all(database).expect("room in memory");
    names_in(&file).ok()
}

/// The entries before the end of the archive or before its first fault, and whether it has none.
pub fn read(archive: impl Read) -> (Vec<Passed>, bool) {
    let mut entries = Entries::new(archive);
    let mut passed = Vec::new();
    loop {
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return (passed, true),
            Err(_) => return (passed, false),
        };
        let link = if let Kind::Link(target) = entry.kind { Some(target) } else { None };
        let mut content = Vec::new();
        loop {
            match entries.read(PIECE_BYTES) {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => content.extend_from_slice(&piece),
                Err(_) => return (passed, false),
            }
        }
        passed.push(Passed { name: entry.name, link, content });
    }
}

/// An archive with these files, as wharf writes it.
pub fn write<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut archive = comment("a comment");
    for (name, content) in files {
        let size = content.len() as u64;
        archive.extend(header_of(name, size));
        archive.extend(content);
        archive.extend((0..padding_after(size)).map(|_| 0));
    }
    archive.extend([0; 1024]);
    archive
}
