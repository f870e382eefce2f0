//! The entries of an archive, one after the other.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, Digest};

use super::{Current, Intake, MANIFEST_BYTES_MAX, SMALL_BLOB_BYTES_MAX, WAITING_COUNT_MAX, is_manifest};
use crate::blocking::blocking;
use crate::content::Content;
use crate::image_index::{INDEX_BYTES_MAX, ImageIndex};
use crate::import::scratch::Scratch;
use crate::import::{Copied, ImportError, copy_blob, take_room};
use crate::layout::{ANNOUNCEMENT, digest_in};
use crate::tarball::{Entry, Kind};
use crate::target::Target;

/// A blob for which the file system's free bytes are looked at before it is written.
const LARGE_BLOB_BYTES: u64 = 64 << 20;

impl Intake<'_> {
    pub(super) async fn begin_entry(&mut self, entry: Entry) -> Result<(), ImportError> {
        let Entry { name, kind, size, modified_at } = entry;
        if let Kind::Link(target) = kind {
            return self.files.add_link(name, target);
        }
        if matches!(name.as_str(), "index.json" | "manifest.json" | ANNOUNCEMENT) {
            if size > INDEX_BYTES_MAX as u64 {
                return Err(ImportError::Bound(format!("{name} has more than {INDEX_BYTES_MAX} bytes")));
            }
            // Archives that are made to be reproducible date from the beginning of 1970.
            if name != ANNOUNCEMENT && modified_at.elapsed().is_ok_and(|age| age < FIFTY_YEARS) {
                self.made_at = self.made_at.min(modified_at);
            }
            self.current = Current::Memory { name, digest: None, bytes: Vec::new() };
            return Ok(());
        }
        let digest = digest_in(&name).or_else(|| digest_of_docker_layer(&name));
        let is_document = name.ends_with(".json") && !name.contains('/');
        self.current = match digest {
            Some(digest) => self.begin_blob(name, digest, size).await?,
            None if is_document && size <= MANIFEST_BYTES_MAX as u64 => {
                Current::Memory { name, digest: None, bytes: Vec::new() }
            }
            None if name.ends_with(".tar") => {
                let home = self.home().await?;
                self.check_room(&home, &name, size).await?;
                self.begin_file(name, None, home).await?
            }
            None => Current::Skipped,
        };
        Ok(())
    }

    async fn begin_blob(&mut self, name: String, digest: Digest, size: u64) -> Result<Current, ImportError> {
        let may_be_manifest = self.is_unknown(&digest) || self.owners.expects_manifest(&digest);
        if size <= SMALL_BLOB_BYTES_MAX || (may_be_manifest && size <= MANIFEST_BYTES_MAX as u64) {
            return Ok(Current::Memory { name, digest: Some(digest), bytes: Vec::new() });
        }
        self.add_file(&name, &digest, size)?;
        if self.owners.size_of(&digest).is_some_and(|claimed| claimed != size) {
            let reason = format!("it has {size} bytes in the archive, and its manifest claims others");
            self.contents.refuse(digest, reason)?;
            return Ok(Current::Skipped);
        }
        if self.contents.waiting.contains_key(&digest) || self.contents.stored.contains_key(&digest) {
            return Ok(Current::Skipped);
        }
        let owners = self.owners.of(&digest).to_vec();
        let home = match owners.first() {
            Some(owner) => Arc::clone(owner),
            None => self.home().await?,
        };
        if home.store().open(&digest).await?.is_some() {
            self.contents.stored.insert(digest, home);
            self.run.report.held_blobs += 1;
            return Ok(Current::Skipped);
        }
        if home.inventory.is_filling(&digest) {
            self.refuse_pulled(digest)?;
            return Ok(Current::Skipped);
        }
        self.check_room(&home, &digest, size).await?;
        self.begin_file(name, Some(digest), home).await
    }

    async fn begin_file(
        &self,
        name: String,
        expected: Option<Digest>,
        home: Arc<Target>,
    ) -> Result<Current, ImportError> {
        let directory = home.scratch.clone();
        let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let scratch = blocking(move || Scratch::new(&directory, algorithm)).await?;
        Ok(Current::File { name, expected, scratch: Box::new(scratch), home })
    }

    /// Notes a file under its name, for an archive that may be one of `docker save`.
    fn add_file(&mut self, name: &str, digest: &Digest, size: u64) -> Result<(), ImportError> {
        match self.announced.images.is_empty() {
            true => self.files.add(name.to_owned(), digest.clone(), size),
            false => Ok(()),
        }
    }

    fn is_unknown(&self, digest: &Digest) -> bool {
        self.owners.of(digest).is_empty()
    }

    fn refuse_pulled(&mut self, digest: Digest) -> Result<(), ImportError> {
        let reason = "a client pulls this blob at the moment; import the archive again";
        self.contents.refuse(digest, reason.to_owned())
    }

    /// Checks that a content has room before its bytes are read.
    async fn check_room(
        &self,
        home: &Target,
        what: &(dyn fmt::Display + Sync),
        size: u64,
    ) -> Result<(), ImportError> {
        drop(take_room(home, what, size).await?);
        if size < LARGE_BLOB_BYTES {
            return Ok(());
        }
        match home.store().space().await? {
            Some(space) if space.free < size => Err(ImportError::NoRoom(format!(
                "no room in the store of {} for {what} ({size} bytes): {} bytes of the file system are free",
                home.name, space.free
            ))),
            _ => Ok(()),
        }
    }

    pub(super) async fn take(&mut self, piece: Bytes) -> Result<(), ImportError> {
        match &mut self.current {
            Current::Skipped => {}
            Current::Memory { bytes, .. } => bytes.extend_from_slice(&piece),
            Current::File { .. } => {
                let current = std::mem::replace(&mut self.current, Current::Skipped);
                let Current::File { name, expected, mut scratch, home } = current else {
                    return Ok(());
                };
                let write = move || scratch.write(&piece).map(|()| scratch);
                let scratch = blocking(write).await?;
                self.current = Current::File { name, expected, scratch, home };
            }
        }
        Ok(())
    }

    pub(super) async fn end_entry(&mut self) -> Result<(), ImportError> {
        match std::mem::replace(&mut self.current, Current::Skipped) {
            Current::Skipped => Ok(()),
            Current::Memory { name, digest: None, bytes } => self.end_document(name, bytes).await,
            Current::Memory { name, digest: Some(digest), bytes } => {
                self.end_small(name, digest, bytes.into()).await
            }
            Current::File { name, expected, scratch, home } => {
                let (file, size, digest) = scratch.finish();
                if let Some(expected) = expected.filter(|expected| *expected != digest) {
                    let reason = format!("its bytes have the digest {digest}");
                    return self.contents.refuse(expected, reason);
                }
                self.add_file(&name, &digest, size)?;
                let is_known = self.contents.waiting.contains_key(&digest)
                    || self.contents.stored.contains_key(&digest)
                    || home.store().open(&digest).await?.is_some();
                if is_known {
                    self.contents.stored.entry(digest).or_insert(home);
                    return Ok(());
                }
                let content = Content::Own(Arc::new(file), size);
                if self.is_unknown(&digest) && !self.is_full() {
                    self.contents.waiting.insert(digest, content);
                    return Ok(());
                }
                let copied = copy_blob(&home, &digest, &content).await?;
                self.end_blob(digest, size, copied, home)
            }
        }
    }

    fn is_full(&self) -> bool {
        self.contents.waiting.len() >= WAITING_COUNT_MAX
    }

    fn end_blob(
        &mut self,
        digest: Digest,
        size: u64,
        copied: Copied,
        home: Arc<Target>,
    ) -> Result<(), ImportError> {
        match copied {
            Copied::Stored(_) => {
                self.run.report.blobs += 1;
                self.run.report.bytes += size;
                self.contents.stored.insert(digest, home);
                Ok(())
            }
            Copied::Refused(reason) => self.contents.refuse(digest, reason),
            Copied::Pulled => self.refuse_pulled(digest),
        }
    }

    async fn end_document(&mut self, name: String, bytes: Vec<u8>) -> Result<(), ImportError> {
        match name.as_str() {
            "index.json" => self.index = Some(bytes),
            "manifest.json" => self.docker = Some(bytes),
            ANNOUNCEMENT => {
                let Ok(index) = ImageIndex::parse(&bytes) else { return Ok(()) };
                self.announced.images = index.listing(self.made_at).images;
                for at in 0..self.announced.images.len() {
                    let image = &self.announced.images[at];
                    self.announced.at.entry(image.digest.clone()).or_insert(at);
                    let (digest, host) = (image.digest.clone(), image.host.clone());
                    if let Ok(target) = self.run.target_of(host.as_deref()).await? {
                        self.own(&digest, &target).await?;
                    }
                }
            }
            _ => {
                let digest = Digest::of(Algorithm::Sha256, &bytes);
                self.add_file(&name, &digest, bytes.len() as u64)?;
                self.documents.add(digest, bytes.into())?;
            }
        }
        Ok(())
    }

    /// A content that may be a manifest, a configuration or a small layer.
    async fn end_small(&mut self, name: String, digest: Digest, bytes: Bytes) -> Result<(), ImportError> {
        self.add_file(&name, &digest, bytes.len() as u64)?;
        if !digest.is_of_manifest(&bytes) {
            let reason = format!("its bytes have the digest {}", Digest::of(digest.algorithm(), &bytes));
            return self.contents.refuse(digest, reason);
        }
        if is_manifest(&bytes) {
            self.documents.add(digest.clone(), bytes)?;
            self.begin_image(&digest).await?;
            let owners = self.owners.of(&digest).to_vec();
            for owner in owners {
                // What it names belongs there too.
                self.own(&digest, &owner).await?;
            }
            return Ok(());
        }
        let Some(home) = self.owners.of(&digest).first().cloned() else {
            return self.documents.add(digest, bytes);
        };
        if home.store().open(&digest).await?.is_some() {
            self.contents.stored.insert(digest, home);
            self.run.report.held_blobs += 1;
            return Ok(());
        }
        let copied = copy_blob(&home, &digest, &Content::Memory(bytes.clone())).await?;
        self.end_blob(digest, bytes.len() as u64, copied, home)
    }
}

/// An age that no archive of images has.
const FIFTY_YEARS: std::time::Duration = std::time::Duration::from_secs(50 * 365 * 24 * 3600);

/// `<hex>.tar`, as podman and skopeo write layers.
fn digest_of_docker_layer(name: &str) -> Option<Digest> {
    format!("sha256:{}", name.strip_suffix(".tar")?).parse().ok()
}
