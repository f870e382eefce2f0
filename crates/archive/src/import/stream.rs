//! Imports an archive in one pass, whatever the order of its entries.
//!
//! An archive of wharf names its images first and has the manifests of each before its blobs, so each blob
//! goes into the right store as soon as it is verified. Other programs write the names last. Until they come,
//! blobs wait in files without a name.

mod arrivals;
mod settle;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use oci::{Digest, MANIFEST_BYTES_MAX};

use super::docker::Files;
use super::scratch::Scratch;
use super::{ImportError, Options, Report, Run};
use crate::blocking::blocking;
use crate::content::Content;
use crate::listing::{Found, Refusal};
use crate::tarball::{Arrival, read_ahead};
use crate::target::{Owners, Target, Targets};

/// Manifests, configurations and small blobs of one archive that are in memory together, in bytes.
const DOCUMENT_BYTES_MAX: usize = 128 << 20;

/// The memory for one of them beside its bytes, in bytes, about.
const DOCUMENT_BYTES: usize = 256;

/// The bytes of these that one archive may have read, in all: each name reads the manifests of its image.
const READ_BYTES_MAX: usize = 2 << 30;

/// A blob up to this size may wait in memory.
const SMALL_BLOB_BYTES_MAX: u64 = 256 * 1024;

/// An archive with more wrong blobs than this is refused as a whole.
const REFUSED_COUNT_MAX: usize = 1000;

/// The most blobs that wait, each in an open file. A further one is stored at once, in a store
/// that may not be its own.
const WAITING_COUNT_MAX: usize = 256;

/// Imports the archive that `input` reads: a tar archive, plain or compressed with gzip or zstd, with an OCI
/// image layout or as `docker save` writes it. `say` gets the name of each image that was imported. Images
/// that are not whole are refused, except for platforms that the archive leaves out.
///
/// # Errors
/// [`ImportError`]. Images before the error may have been imported.
pub async fn import_archive(
    input: impl Read + Send + 'static,
    targets: &dyn Targets,
    options: &Options,
    say: impl FnMut(&str) + Send + Sync,
) -> Result<Report, ImportError> {
    let run = Run::begin(targets, options).await?;
    let mut intake = Intake::new(run, options.made_at, Box::new(say));
    let mut arrivals = read_ahead(input);
    while let Some(arrival) = arrivals.recv().await {
        match arrival? {
            Arrival::Entry(entry) => {
                intake.end_entry().await?;
                intake.begin_entry(entry).await?;
            }
            Arrival::Bytes(bytes) => intake.take(bytes).await?,
        }
    }
    intake.end_entry().await?;
    intake.settle().await
}

/// The state of an import.
struct Intake<'a> {
    run: Run<'a>,
    say: Box<dyn FnMut(&str) + Send + Sync + 'a>,
    made_at: SystemTime,
    current: Current,
    announced: Announced,
    documents: Documents,
    owners: Owners,
    contents: Contents,
    files: Files,
    /// `index.json` and `manifest.json`.
    index: Option<Vec<u8>>,
    docker: Option<Vec<u8>>,
}

/// The images that the archive announces at its beginning.
#[derive(Debug, Default)]
struct Announced {
    images: Vec<Found>,
    /// The number of those that were tried.
    tried_count: usize,
    /// Those of them that are in their stores, with the names of their images.
    done: HashSet<(String, Digest)>,
    /// The first of them with each digest.
    at: HashMap<Digest, usize>,
}

/// The content of the entry that is being read.
#[derive(Debug)]
enum Current {
    /// Of no use.
    Skipped,
    /// A document, or a small blob.
    Memory { name: String, digest: Option<Digest>, bytes: Vec<u8> },
    /// A blob for the store of `home`. `None`: its digest is known at its end.
    File { name: String, expected: Option<Digest>, scratch: Box<Scratch>, home: Arc<Target> },
}

/// Manifests, configurations and small blobs, verified, in memory.
#[derive(Debug, Default)]
struct Documents {
    of: HashMap<Digest, Bytes>,
    bytes: usize,
    read_bytes: usize,
}

impl Documents {
    /// A document, to be parsed; `None`: it did not come, or too much was read.
    fn read(&mut self, digest: &Digest) -> Option<Bytes> {
        let bytes = self.of.get(digest).filter(|_| self.read_bytes <= READ_BYTES_MAX)?;
        self.read_bytes += bytes.len();
        Some(bytes.clone())
    }

    /// Whether all reads were within their bound.
    fn check_reads(&self) -> Result<(), ImportError> {
        match self.read_bytes {
            0..=READ_BYTES_MAX => Ok(()),
            _ => Err(ImportError::Bound(format!(
                "its names need its manifests and configurations so often that these have more than \
                 {READ_BYTES_MAX} bytes together; import its images in several archives"
            ))),
        }
    }

    fn add(&mut self, digest: Digest, bytes: Bytes) -> Result<(), ImportError> {
        self.bytes += bytes.len() + DOCUMENT_BYTES;
        if self.bytes > DOCUMENT_BYTES_MAX {
            let reason = format!(
                "the manifests and configurations of the archive have more than {DOCUMENT_BYTES_MAX} bytes; \
                 import its images in several archives"
            );
            return Err(ImportError::Bound(reason));
        }
        self.of.insert(digest, bytes);
        Ok(())
    }
}

/// The blobs that came.
#[derive(Debug, Default)]
struct Contents {
    /// Verified, and not stored yet.
    waiting: HashMap<Digest, Content>,
    /// In this store.
    stored: HashMap<Digest, Arc<Target>>,
    /// Not usable, with the reason.
    refused: HashMap<Digest, String>,
}

/// Whether more contents may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Middle,
    End,
}

impl Contents {
    /// Notes that a content cannot be used.
    fn refuse(&mut self, digest: Digest, reason: String) -> Result<(), ImportError> {
        self.refused.insert(digest, reason);
        match self.refused.len() {
            0..=REFUSED_COUNT_MAX => Ok(()),
            _ => Err(ImportError::Bound(format!("more than {REFUSED_COUNT_MAX} of its blobs are wrong"))),
        }
    }
}

impl<'a> Intake<'a> {
    fn new(run: Run<'a>, made_at: SystemTime, say: Box<dyn FnMut(&str) + Send + Sync + 'a>) -> Self {
        Self {
            run,
            say,
            made_at,
            current: Current::Skipped,
            announced: Announced::default(),
            documents: Documents::default(),
            owners: Owners::default(),
            contents: Contents::default(),
            files: Files::default(),
            index: None,
            docker: None,
        }
    }

    /// The registry in whose store a content waits whose owner is not known.
    async fn home(&self) -> Result<Arc<Target>, ImportError> {
        match &self.run.chosen {
            Some(chosen) => Ok(Arc::clone(chosen)),
            None => self.run.targets.any().await.map_err(ImportError::Target),
        }
    }

    /// Notes that a manifest belongs to a registry, with all that it names, as far as that came. Parses off
    /// the runtime's threads.
    async fn own(&mut self, digest: &Digest, target: &Arc<Target>) -> Result<(), ImportError> {
        let (mut documents, mut owners) =
            (std::mem::take(&mut self.documents), std::mem::take(&mut self.owners));
        let (digest, target) = (digest.clone(), Arc::clone(target));
        let note = move || {
            owners.add_tree(&digest, &target, |digest| documents.read(digest));
            Ok((documents, owners))
        };
        (self.documents, self.owners) = blocking(note).await?;
        self.documents.check_reads()
    }
}

/// Whether bytes are a manifest.
fn is_manifest(bytes: &[u8]) -> bool {
    bytes.len() <= MANIFEST_BYTES_MAX && oci::Manifest::parse(bytes, None).is_ok()
}

fn refusals_of<'r>(
    contents: &'r Contents,
    missing: &'r HashSet<Digest>,
) -> impl Iterator<Item = Refusal> + use<'r> {
    let refused = missing.iter().filter_map(|digest| Some((digest, contents.refused.get(digest)?)));
    refused.map(|(digest, reason)| Refusal::new(digest, reason))
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    #[test]
    fn many_names_of_one_large_document_do_not_read_it_without_end() {
        let mut documents = Documents::default();
        let bytes = Bytes::from(vec![b'x'; 4 << 20]);
        let digest = Digest::of(Algorithm::Sha256, b"the document");
        documents.add(digest.clone(), bytes).unwrap();
        let read_count = std::iter::from_fn(|| documents.read(&digest)).take(10_000).count();
        assert_eq!(read_count, 513);
        assert!(documents.check_reads().unwrap_err().to_string().contains("so often"));
    }
}
