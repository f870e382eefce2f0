//! Names in an archive with an OCI image layout (image-spec, "Image Layout").

use oci::Digest;

/// The document that names the images.
pub(crate) const INDEX: &str = "index.json";

/// The first document of an archive of wharf: the names of all chosen images, in the form of `index.json`.
pub(crate) const ANNOUNCEMENT: &str = "wharf.json";

/// The last document of the stream of an export: the report.
pub(crate) const REPORT: &str = "wharf-report.json";

/// The name of a blob.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest that the name of a blob gives.
pub(crate) fn digest_in(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}
