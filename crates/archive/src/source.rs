//! Sources of images, and how a path shows which kind it is.

mod layout;
mod registry;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci::{Digest, Repository};

use crate::confined::Confined;
use crate::listing::{Listing, Refusal};

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The storage directory of the `distribution` registry, as `registry:2` and v3 write it.
    Registry,
    /// An OCI image layout in a directory (image-spec, "Image Layout").
    Layout,
}

/// An open source.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    root: Confined,
}

/// The reasons why a path is no source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The path cannot be opened or read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The directory is neither of the kinds.
    #[error(
        "{path} is neither a registry's storage directory (it would contain docker/registry/v2) nor an OCI image \
         layout (it would contain oci-layout and index.json)",
        path = path.display()
    )]
    Unknown {
        /// The path.
        path: PathBuf,
    },
}

impl Source {
    /// Opens the directory at `path`. Blocks.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Io { path: path.to_owned(), source };
        let root = Confined::open(path).map_err(failed)?;
        for above in [&["docker", "registry", "v2"][..], &["registry", "v2"], &["v2"], &[]] {
            let beneath = root.directory(above).map_err(failed)?;
            if let Some(root) = beneath
                && root.directory(&["repositories"]).map_err(failed)?.is_some()
                && root.directory(&["blobs"]).map_err(failed)?.is_some()
            {
                return Ok(Self { kind: Kind::Registry, root });
            }
        }
        if root.file(&["oci-layout"]).map_err(failed)?.is_some()
            && root.file(&["index.json"]).map_err(failed)?.is_some()
        {
            return Ok(Self { kind: Kind::Layout, root });
        }
        Err(SourceError::Unknown { path: path.to_owned() })
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The repositories of a registry, or one `None` for all images of a layout.
    pub(crate) fn parts(&self) -> io::Result<(Vec<Option<Repository>>, Vec<Refusal>)> {
        match self.kind {
            Kind::Registry => registry::repositories(&self.root),
            Kind::Layout => Ok((vec![None], Vec::new())),
        }
    }

    /// The images of one part.
    pub(crate) fn images(&self, part: Option<&Repository>) -> io::Result<Listing> {
        match part {
            Some(repository) => registry::images(&self.root, repository),
            None => layout::images(&self.root),
        }
    }

    /// The unverified content under a digest and its size in bytes; `None`: the source has none.
    pub(crate) fn content(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        match self.kind {
            Kind::Registry => self.root.file(&["blobs", algorithm, &hex[..2], hex, "data"]),
            Kind::Layout => self.root.file(&["blobs", algorithm, hex]),
        }
    }
}
