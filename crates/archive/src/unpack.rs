//! Writes the stream of an export to a directory, a tar archive, or one that zstd compresses.
//!
//! Everything is written under a temporary name beside the final one, each blob is hashed, and the final name
//! comes last. So whatever has the final name is a complete archive.

mod place;
mod temporary;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Hasher, MANIFEST_BYTES_MAX};

use crate::export::{ExportReport, Progress};
use crate::image_index::{INDEX_BYTES_MAX, ImageIndex};
use crate::layout::{ANNOUNCEMENT, INDEX, REPORT, digest_in};
use crate::tarball::{Entries, Entry, Kind, TarError};
use place::Place;

/// Bytes written at once.
const PIECE_BYTES: usize = 1 << 20;

/// A written archive.
#[derive(Clone, Debug)]
pub struct Written {
    /// The report of the export.
    pub report: ExportReport,
    /// The digests of the blobs in it.
    pub digests: BTreeSet<Digest>,
    /// The digest of its `index.json`.
    pub index: Digest,
}

/// The reasons why an archive was not written. Nothing has its final name then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The stream broke off, or is no archive.
    #[error(transparent)]
    Stream(#[from] TarError),
    /// A blob of the stream has another digest than its name says.
    #[error("{0} arrived damaged")]
    Damaged(String),
    /// The stream has no index or no report at its end.
    #[error("the archive ends without its index and its report")]
    NoReport,
    /// No image was exported.
    #[error("no image was exported")]
    NoImages(ExportReport),
    /// The archive cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Write {
        /// The final path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Writes the stream to `path`: a tar archive if it ends in `.tar`, a compressed one if it ends in
/// `.tar.zst`, otherwise a directory, which must not exist. Blocks.
///
/// # Errors
/// [`WriteError`].
pub fn write_export(
    input: impl Read,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, WriteError> {
    let failed = |source| WriteError::Write { path: path.to_owned(), source };
    let mut place = Place::new(path).map_err(failed)?;
    let mut entries = Entries::new(input);
    let (mut report, mut index, mut digests) = (None, None, BTreeSet::new());
    let mut now = Progress::default();
    while let Some(entry) = entries.next()? {
        if entry.kind != Kind::File {
            continue;
        }
        if entry.name == REPORT {
            report = serde_json::from_slice(&whole(&mut entries, &entry)?).ok();
            continue;
        }
        if matches!(entry.name.as_str(), ANNOUNCEMENT | INDEX) {
            let bytes = whole(&mut entries, &entry)?;
            match entry.name.as_str() {
                INDEX => index = Some(Digest::of(Algorithm::Sha256, &bytes)),
                _ => now.total = ImageIndex::parse(&bytes).ok().and_then(|it| it.total()).unwrap_or(0),
            }
            place.begin(&entry.name, entry.size).map_err(failed)?;
            place.write(&bytes).map_err(failed)?;
            place.end().map_err(failed)?;
            continue;
        }
        place.begin(&entry.name, entry.size).map_err(failed)?;
        let digest = digest_in(&entry.name);
        let is_right = match &digest {
            // A manifest may have a digest that does not cover all its bytes.
            Some(digest) if entry.size <= MANIFEST_BYTES_MAX as u64 => {
                let bytes = entries.read(MANIFEST_BYTES_MAX)?;
                place.write(&bytes).map_err(failed)?;
                now.done += bytes.len() as u64;
                progress(now);
                digest.is_of_manifest(&bytes)
            }
            _ => {
                let mut hasher = Hasher::new(digest.as_ref().map_or(Algorithm::Sha256, Digest::algorithm));
                loop {
                    let piece = entries.read(PIECE_BYTES)?;
                    if piece.is_empty() {
                        break;
                    }
                    hasher.update(&piece);
                    place.write(&piece).map_err(failed)?;
                    now.done += piece.len() as u64;
                    progress(now);
                }
                let found = hasher.finish();
                digest.as_ref().is_none_or(|digest| found == *digest)
            }
        };
        place.end().map_err(failed)?;
        if !is_right {
            return Err(WriteError::Damaged(entry.name));
        }
        digests.extend(digest);
    }
    let report: ExportReport = report.ok_or(WriteError::NoReport)?;
    let index = index.ok_or(WriteError::NoReport)?;
    if report.images == 0 {
        return Err(WriteError::NoImages(report));
    }
    place.finish().map_err(failed)?;
    Ok(Written { report, digests, index })
}

fn whole<R: Read>(entries: &mut Entries<R>, entry: &Entry) -> Result<Vec<u8>, TarError> {
    if entry.size > INDEX_BYTES_MAX as u64 {
        return Err(TarError::Malformed("a document is too large"));
    }
    Ok(entries.read(INDEX_BYTES_MAX)?.to_vec())
}
