//! Exports: chosen images of stores as one OCI image layout (image-spec, "Image Layout"), as a tar stream.
//!
//! First comes the list of the images, for an import that knows at once where each blob belongs. Then, for
//! each image, its manifests and blobs. `index.json` comes last and names those images that are whole. wharf
//! hashes all blobs of an image before it writes the first, so nothing damaged gets into the archive.

mod choice;
mod failure;
mod held;
mod writer;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use oci::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::image_index::{ImageIndex, IndexEntry};
use crate::import::Tree;
use crate::layout::{ANNOUNCEMENT, REPORT, blob_name};
use crate::listing::{Refusal, Refusals, name_more};
use crate::selector::Selector;
use crate::target::Target;
use choice::{Chosen, choose};
pub use failure::ExportError;
use held::Held;
use writer::Writer;

/// The outcome of an export.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// Images in the archive.
    pub images: u64,
    /// Blobs in the archive.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that an earlier archive has.
    pub earlier_blobs: u64,
    /// Parts of exported images that the store does not hold.
    pub left_out_parts: u64,
    /// Some of these.
    pub left_out: Vec<Refusal>,
    /// Images that are not in the archive.
    pub refused: u64,
    /// Some of these.
    pub refusals: Vec<Refusal>,
}

impl ExportReport {
    fn refuse(&mut self, refusals: impl Into<Refusals>) {
        let Refusals { count, named } = refusals.into();
        self.refused += count;
        name_more(&mut self.refusals, named);
    }
}

/// The progress of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes written.
    pub done: u64,
    /// Bytes in all, about; 0: not known.
    pub total: u64,
}

/// Sends the archive with the images that `selectors` choose, without the blobs that `since` names.
///
/// # Errors
/// [`ExportError`]. The last item of `out` is an error then, too.
pub async fn export(
    targets: &[Arc<Target>],
    selectors: &[Selector],
    since: HashSet<Digest>,
    out: mpsc::Sender<io::Result<Bytes>>,
) -> Result<ExportReport, ExportError> {
    let mut run = Run {
        writer: Writer::new(out.clone()),
        since,
        sent: HashSet::new(),
        earlier: HashSet::new(),
        report: ExportReport::default(),
    };
    match run.send(targets, selectors).await {
        Ok(()) => Ok(run.report),
        Err(error) => {
            // The receiver may be gone.
            let _ = out.send(Err(io::Error::other(error.to_string()))).await;
            Err(error)
        }
    }
}

struct Run {
    writer: Writer,
    since: HashSet<Digest>,
    /// Manifests and blobs in the archive.
    sent: HashSet<Digest>,
    /// Blobs of these images that an earlier archive has.
    earlier: HashSet<Digest>,
    report: ExportReport,
}

impl Run {
    async fn send(&mut self, targets: &[Arc<Target>], selectors: &[Selector]) -> Result<(), ExportError> {
        let (chosen, _holds, refusals) = choose(targets, selectors)?;
        self.report.refuse(refusals);
        self.writer.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).await?;
        let (mut announced, mut total, mut seen) = (Vec::new(), 0_u64, HashSet::new());
        for image in &chosen {
            let Ok(tree) = held::tree(image).await else { continue };
            for blob in tree.blobs() {
                if !self.since.contains(&blob.digest) && seen.insert(blob.digest) {
                    total = total.saturating_add(blob.size.unwrap_or(0));
                }
            }
            announced.extend(entries(image, &tree).await);
        }
        drop(seen);
        let announcement = ImageIndex::new(announced).with_total(total).to_bytes();
        self.writer.document(ANNOUNCEMENT, &announcement).await?;
        let mut index = Vec::new();
        for image in &chosen {
            match self.image(image).await? {
                Ok(tree) => {
                    self.report.images += 1;
                    index.extend(entries(image, &tree).await);
                }
                Err(reason) => self.report.refuse(Refusal::new(image, reason)),
            }
        }
        self.writer.document("index.json", &ImageIndex::new(index).to_bytes()).await?;
        let report = serde_json::to_vec(&self.report).expect("a report is a document of text and numbers");
        self.writer.document(REPORT, &report).await?;
        self.writer.end().await
    }

    /// Sends the manifests and blobs of one image, or returns the reason why it is not in the archive.
    async fn image(&mut self, image: &Chosen) -> Result<Result<Tree, String>, ExportError> {
        let mut held = match Held::open(image, |digest| self.is_needed(digest)).await {
            Ok(held) => held,
            Err(reason) => return Ok(Err(reason)),
        };
        for (digest, blob) in &held.blobs {
            let hashed = self.writer.waiting_for(blob.digest(digest.algorithm())).await?;
            match hashed {
                Ok(found) if found == *digest => {}
                Ok(_) => return Ok(Err(format!("the stored blob {digest} is damaged"))),
                Err(error) => return Ok(Err(format!("the stored blob {digest} cannot be read: {error}"))),
            }
        }
        self.report.left_out_parts += held.left_out.len() as u64;
        name_more(&mut self.report.left_out, held.left_out.drain(..));
        // An index comes before its manifests, so that an import knows where they belong.
        for member in held.tree.manifests.iter().rev() {
            if self.sent.insert(member.manifest.digest().clone()) {
                let name = blob_name(member.manifest.digest());
                self.writer.document(&name, member.manifest.bytes()).await?;
            }
        }
        let blobs = held.tree.blobs().into_iter().map(|blob| blob.digest);
        self.earlier.extend(blobs.filter(|digest| self.since.contains(digest)));
        self.report.earlier_blobs = self.earlier.len() as u64;
        for (digest, blob) in held.blobs {
            self.writer.blob(&digest, &blob).await?;
            self.report.blobs += 1;
            self.report.bytes += blob.size();
            self.sent.insert(digest);
        }
        Ok(Ok(held.tree))
    }

    fn is_needed(&self, digest: &Digest) -> bool {
        !self.since.contains(digest) && !self.sent.contains(digest)
    }
}

/// The entries of an image in `index.json`: one for each tag, or one with the digest.
async fn entries(image: &Chosen, tree: &Tree) -> Vec<IndexEntry> {
    let Some(root) = tree.manifests.last() else { return Vec::new() };
    let (media_type, size) = (root.media_type.as_str(), root.manifest.bytes().len() as u64);
    let (registry, repository) = (&image.target.name, &image.repository);
    if image.tags.is_empty() {
        let name = format!("{repository}@{}", image.digest);
        return vec![IndexEntry::new(registry, &name, media_type, &image.digest, size, None)];
    }
    let mut entries = Vec::new();
    for tag in &image.tags {
        let record = image.target.store().tag(&image.repository, tag).await.ok().flatten();
        let checked_at = record.map(|record| record.checked_at);
        let name = format!("{repository}:{tag}");
        entries.push(IndexEntry::new(registry, &name, media_type, &image.digest, size, checked_at));
    }
    entries
}
