//! The registry's content: blobs, manifests by repository, and tags.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::blob_source::BlobSource;

/// Everything that can be pulled.
#[derive(Debug, Default)]
pub(crate) struct Content {
    blobs: HashMap<String, StoredBlob>,
    repositories: HashMap<String, Repository>,
}

#[derive(Debug)]
struct StoredBlob {
    source: BlobSource,
    /// `None`: found in every repository.
    repositories: Option<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Repository {
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

/// A stored manifest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

impl Content {
    /// Puts a blob under `digest`, into one repository or into all.
    pub(crate) fn put_blob(&mut self, digest: &str, source: BlobSource, repository: Option<&str>) {
        let earlier = self.blobs.remove(digest).and_then(|blob| blob.repositories);
        let repositories = repository.map(|name| {
            let mut names = earlier.unwrap_or_default();
            names.insert(name.to_owned());
            names
        });
        self.blobs.insert(digest.to_owned(), StoredBlob { source, repositories });
    }

    /// Replaces the content of a digest in all repositories.
    pub(crate) fn replace_blob(&mut self, digest: &str, source: BlobSource) {
        let repositories = self.blobs.remove(digest).and_then(|blob| blob.repositories);
        self.blobs.insert(digest.to_owned(), StoredBlob { source, repositories });
    }

    /// Removes a blob.
    pub(crate) fn remove_blob(&mut self, digest: &str) {
        self.blobs.remove(digest);
    }

    /// A blob as `repository` sees it.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<&BlobSource> {
        let blob = self.blobs.get(digest)?;
        let is_here = blob.repositories.as_ref().is_none_or(|names| names.contains(repository));
        is_here.then_some(&blob.source)
    }

    /// Puts a manifest under `digest`.
    pub(crate) fn put_manifest(&mut self, repository: &str, digest: &str, manifest: Manifest) {
        self.repository(repository).manifests.insert(digest.to_owned(), manifest);
    }

    /// Removes a manifest; tags that point to it dangle.
    pub(crate) fn remove_manifest(&mut self, repository: &str, digest: &str) {
        self.repository(repository).manifests.remove(digest);
    }

    /// Points a tag to a digest, which need not exist.
    pub(crate) fn move_tag(&mut self, repository: &str, tag: &str, digest: &str) {
        self.repository(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// Removes a tag.
    pub(crate) fn remove_tag(&mut self, repository: &str, tag: &str) {
        self.repository(repository).tags.remove(tag);
    }

    /// The digest and the manifest that a tag or digest names.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<(&str, &Manifest)> {
        let repository = self.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        let (digest, manifest) = repository.manifests.get_key_value(digest)?;
        Some((digest, manifest))
    }

    /// The tags of a repository in order, or `None` where there is no such repository.
    pub(crate) fn tags(&self, repository: &str) -> Option<Vec<&str>> {
        let repository = self.repositories.get(repository)?;
        Some(repository.tags.keys().map(String::as_str).collect())
    }

    /// Descriptors of the manifests whose `subject` is `digest`, in the order of their own digests.
    pub(crate) fn referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        let manifests = self.repositories.get(repository).map(|repository| &repository.manifests);
        let descriptors = manifests.into_iter().flatten().filter_map(|(own, manifest)| {
            let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
            let is_about = document["subject"]["digest"] == digest;
            is_about.then(|| describe(own, manifest, &document))
        });
        descriptors.collect()
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}

/// A descriptor as the referrers API lists it: the artifact type is the manifest's own or, without one, the
/// media type of its config.
fn describe(digest: &str, manifest: &Manifest, document: &Value) -> Value {
    let own_type = &document["artifactType"];
    let artifact_type = if own_type.is_null() { &document["config"]["mediaType"] } else { own_type };
    let mut descriptor = json!({
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": manifest.bytes.len(),
        "artifactType": artifact_type,
    });
    if let Some(annotations) = document.get("annotations") {
        descriptor["annotations"] = annotations.clone();
    }
    descriptor
}
