//! The content of a store that is not in use, read without the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::digest_of;

use crate::library::REPOSITORY;

/// More files than any process renames at one time.
const TEMPORARY_COUNT_MAX: usize = 64;

/// A blob up to this size goes into its file at once, when it is verified.
const COLLECTED_BYTES_MAX: u64 = 256 * 1024;

/// The content of a store.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Sizes of blobs and manifests by digest; all digests were checked.
    pub(crate) stored: BTreeMap<String, u64>,
    /// The stored bytes of a blob, by the note next to it.
    partial: BTreeMap<String, u64>,
    /// The recorded digest of each tag.
    pub(crate) tags: BTreeMap<String, String>,
    /// The sizes of all files together.
    bytes: u64,
    partial_count: usize,
    temporary_count: usize,
    quarantine_count: usize,
}

impl Audit {
    /// Reads everything below `root`.
    ///
    /// # Panics If a file under a final name has other content than the name says.
    pub(crate) fn of(root: &Path) -> Self {
        let mut audit = Self::default();
        for path in files_beneath(root) {
            let relative = path.strip_prefix(root).expect("beneath the root").to_str().expect("plain text");
            let parts: Vec<_> = relative.split('/').collect();
            audit.bytes += fs::metadata(&path).expect("a file").len();
            match parts[..] {
                ["VERSION" | "lock"] | ["notes", _] => {}
                ["blobs" | "manifests", "sha256", first_two, hex] => audit.take_stored(&path, first_two, hex),
                ["repositories", .., "_tags", tag] if relative.contains(REPOSITORY) => {
                    let digest = record(&path)["digest"].as_str().expect("a digest").to_owned();
                    audit.tags.insert(tag.to_owned(), digest);
                }
                ["repositories", .., "_manifests", "sha256", _] => {
                    assert!(record(&path)["media_type"].is_string(), "{}", path.display());
                }
                ["partial", name] => audit.take_partial(&path, name),
                ["tmp", _] => audit.temporary_count += 1,
                ["quarantine", _] => audit.quarantine_count += 1,
                _ => panic!("{} has no place in a store", path.display()),
            }
        }
        audit
    }

    fn take_stored(&mut self, path: &Path, first_two: &str, hex: &str) {
        let bytes = fs::read(path).expect("a stored file can be read");
        let digest = format!("sha256:{hex}");
        assert_eq!(digest_of(&bytes), digest, "{} holds {} bytes", path.display(), bytes.len());
        assert!(hex.starts_with(first_two), "{}", path.display());
        self.stored.insert(digest, bytes.len() as u64);
    }

    fn take_partial(&mut self, path: &Path, name: &str) {
        self.partial_count += 1;
        let Some(hex) = name.strip_prefix("sha256-").filter(|hex| hex.len() == 64) else {
            assert!(name.ends_with(".json"), "{}", path.display());
            return;
        };
        let len = fs::metadata(path).expect("a file").len();
        let note = fs::read(path.with_file_name(format!("{name}.json"))).unwrap_or_default();
        // Without a readable note, only a whole blob is trusted, by its digest.
        let Ok(note) = serde_json::from_slice::<Value>(&note) else {
            if len <= COLLECTED_BYTES_MAX
                && digest_of(&fs::read(path).expect("a file")) == format!("sha256:{hex}")
            {
                self.partial.insert(format!("sha256:{hex}"), len);
            }
            return;
        };
        let front = note["front"].as_u64().unwrap_or(len).min(len);
        let beyond = note["beyond"].as_array().into_iter().flatten().map(|range| {
            let [start, end] = [0, 1].map(|at| range[at].as_u64().expect("a start and an end"));
            assert!(front < start && start < end && end <= len, "{note} beside {len} bytes");
            end - start
        });
        self.partial.insert(format!("sha256:{hex}"), front + beyond.sum::<u64>());
    }

    /// The bytes of a blob that need not be fetched, unless the machine has stopped.
    pub(crate) fn kept(&self, digest: &str) -> u64 {
        self.stored.get(digest).or_else(|| self.partial.get(digest)).copied().unwrap_or(0)
    }

    /// Drops content that was never made durable, which is not trusted after the machine has stopped. Returns
    /// the number of such files.
    pub(crate) fn forget_partial(&mut self) -> usize {
        std::mem::take(&mut self.partial).len()
    }

    /// Nothing was damaged, and leftovers do not pile up: each of `blob_count` blobs has one partial file at
    /// most, with its note, and all files together have at most twice the bytes of the content.
    pub(crate) fn expect_tidy(&self, content_bytes: u64, blob_count: usize) {
        assert_eq!(self.quarantine_count, 0, "{self:?}");
        assert!(self.temporary_count <= TEMPORARY_COUNT_MAX, "{self:?}");
        assert!(self.partial_count <= 2 * blob_count, "{self:?}");
        assert!(self.bytes <= 2 * content_bytes + (1 << 20), "{self:?}");
    }
}

/// The temporary files.
pub(crate) fn temporary_files(root: &Path) -> Vec<PathBuf> {
    files_beneath(&root.join("tmp"))
}

/// A start has removed the temporary files from `before` it. The new process may have made others.
pub(crate) fn expect_removed(before: &[PathBuf]) {
    let left: Vec<_> = before.iter().filter(|path| path.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn record(path: &Path) -> Value {
    let bytes = fs::read(path).expect("a record can be read");
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}: {bytes:?}", path.display()))
}

/// Every file below a directory; none if it does not exist.
pub(crate) fn files_beneath(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return files };
    for entry in entries {
        let entry = entry.expect("a directory can be read to its end");
        if entry.file_type().expect("its type is known").is_dir() {
            files.extend(files_beneath(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
