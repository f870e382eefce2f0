//! Artifacts that refer to an image: signatures, bills of materials and the like.

use serde_json::json;

use super::{Blob, Format};

/// A manifest about another one (image-spec, "Guidelines for Artifact Usage").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest, with `subject` and `artifactType`.
    pub manifest: Blob,
    /// The empty configuration.
    pub config: Blob,
    /// The content.
    pub layer: Blob,
}

impl Artifact {
    /// An artifact of that type about `subject`, a manifest or an index.
    pub fn about(subject: &Blob, artifact_type: &str, content: &[u8]) -> Self {
        let config = Blob::new("application/vnd.oci.empty.v1+json", b"{}");
        let layer = Blob::new(artifact_type, content.to_vec());
        let media_type = Format::Oci.manifest();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "artifactType": artifact_type,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "subject": subject.descriptor(),
        });
        Self { manifest: Blob::document(media_type, &manifest), config, layer }
    }

    /// The index that registries without the referrers API have for `subject`, and its tag
    /// (distribution-spec, "Referrers Tag Schema").
    pub fn fallback(subject: &Blob, artifacts: &[Self]) -> (String, Blob) {
        let manifests: Vec<_> = artifacts
            .iter()
            .map(|artifact| {
                let mut descriptor = artifact.manifest.descriptor();
                descriptor["artifactType"] = artifact.layer.media_type.as_str().into();
                descriptor
            })
            .collect();
        let media_type = Format::Oci.index();
        let document = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        (subject.digest.replace(':', "-"), Blob::document(media_type, &document))
    }
}
