//! Decides which kind of manifest a document is. Its own `mediaType` outweighs the `Content-Type` header, and
//! its structure outweighs both: JSON without pullable parts is no manifest, whatever its media type says.

use super::error::ManifestError;
use crate::media_type::MediaType;

pub(super) const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";
pub(super) const SIGNED_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// The kinds that clients tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image of one platform, or an artifact in its shape.
    Image,
    /// An index, also called a manifest list.
    Index,
    /// Docker's schema 1, signed or not.
    Schema1,
    /// An unknown kind that its own media type or `schemaVersion` shows to be a manifest.
    Other,
}

/// The kind of document that a media type claims.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TypeClaim {
    Of(ManifestKind),
    /// `text/plain`, `application/json` and similar types claim nothing.
    Nothing,
}

/// The parts that a document has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Structure {
    pub(super) schema_version: Option<i64>,
    /// `config` or `layers`.
    pub(super) has_image_parts: bool,
    pub(super) has_manifests: bool,
    /// `manifests` is present but `null`: Go programs write an empty list like that.
    pub(super) has_no_manifests: bool,
    pub(super) has_fs_layers: bool,
    pub(super) has_signatures: bool,
    /// The config has one of Docker's media types.
    pub(super) has_docker_config: bool,
}

/// Returns the kind of a document with these parts, and the media type to serve it under.
///
/// # Errors
/// [`ManifestError::Ambiguous`], [`ManifestError::NotAManifest`].
pub(super) fn recognise(
    parts: &Structure,
    inside: Option<MediaType>,
    served: Option<&MediaType>,
) -> Result<(ManifestKind, MediaType), ManifestError> {
    if parts.has_manifests && parts.has_image_parts {
        return Err(ManifestError::Ambiguous);
    }
    if let Some(inside) = inside
        && let TypeClaim::Of(kind) = claim(&inside)
    {
        let contradicts = match kind {
            ManifestKind::Image => parts.has_manifests,
            ManifestKind::Index => parts.has_image_parts,
            ManifestKind::Schema1 | ManifestKind::Other => false,
        };
        if contradicts {
            return Err(ManifestError::Ambiguous);
        }
        if parts.are_of(kind) {
            // Where the two agree, keep the header's spelling with its parameters.
            let agrees = served.filter(|it| it.essence().eq_ignore_ascii_case(inside.essence()));
            return Ok((kind, agrees.cloned().unwrap_or(inside)));
        }
    }
    if let Some(served) = served
        && let TypeClaim::Of(kind) = claim(served)
        && parts.are_of(kind)
        && (kind != ManifestKind::Other || parts.schema_version.is_some())
    {
        return Ok((kind, served.clone()));
    }
    let (kind, media_type) = parts.infer().ok_or(ManifestError::NotAManifest)?;
    Ok((kind, MediaType::known(media_type)))
}

impl Structure {
    fn are_of(&self, kind: ManifestKind) -> bool {
        match kind {
            ManifestKind::Image => self.has_image_parts,
            ManifestKind::Index => {
                self.has_manifests || (self.has_no_manifests && self.schema_version == Some(2))
            }
            ManifestKind::Schema1 => self.schema_version == Some(1) && self.has_fs_layers,
            ManifestKind::Other => true,
        }
    }

    /// Infers the kind of a document that no media type names, from the properties that the specifications
    /// require: image-spec, "schemaVersion", "config", "manifests". Docker's schema 2 always names itself,
    /// except in some early images.
    fn infer(&self) -> Option<(ManifestKind, &'static str)> {
        match self.schema_version {
            Some(2) if self.has_image_parts && self.has_docker_config => {
                Some((ManifestKind::Image, DOCKER_IMAGE))
            }
            Some(2) if self.has_image_parts => Some((ManifestKind::Image, OCI_IMAGE)),
            Some(2) if self.has_manifests => Some((ManifestKind::Index, OCI_INDEX)),
            Some(1) if self.has_fs_layers && self.has_signatures => {
                Some((ManifestKind::Schema1, SIGNED_SCHEMA_1))
            }
            Some(1) if self.has_fs_layers => Some((ManifestKind::Schema1, SCHEMA_1)),
            _ => None,
        }
    }
}

fn claim(media_type: &MediaType) -> TypeClaim {
    match media_type.essence().to_ascii_lowercase().as_str() {
        OCI_IMAGE | DOCKER_IMAGE => TypeClaim::Of(ManifestKind::Image),
        OCI_INDEX | DOCKER_LIST => TypeClaim::Of(ManifestKind::Index),
        SCHEMA_1 | SIGNED_SCHEMA_1 => TypeClaim::Of(ManifestKind::Schema1),
        other if other.starts_with("application/vnd.") => TypeClaim::Of(ManifestKind::Other),
        _ => TypeClaim::Nothing,
    }
}

impl MediaType {
    /// Tells whether the type names a kind of document. `application/json`, `text/plain` and
    /// `application/octet-stream` do not: servers send them for every unknown content.
    pub fn is_specific(&self) -> bool {
        claim(self) != TypeClaim::Nothing
    }
}
