//! Sources of images, and how a path shows which kind it is.

mod bolt;
mod containerd;
mod layout;
mod named;
mod registry;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci::{Digest, Repository};

use crate::confined::{Confined, read_all};
use crate::listing::{Listing, Refusals};
use containerd::CONTENT;
use named::Named;

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The storage directory of the `distribution` registry, as `registry:2` and v3 write it.
    Registry,
    /// An OCI image layout in a directory (image-spec, "Image Layout").
    Layout,
    /// containerd's root directory, or its content store.
    Containerd,
}

/// The names of a directory that are looked at for a store of wharf.
const STORE_COUNT_MAX: usize = 1000;

/// An open source.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    root: Confined,
    /// The images by their names, if `root` does not have them.
    named: Option<Vec<Named>>,
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
    /// The directory is none of the kinds.
    #[error(
        "{path} is no registry's storage directory (it would contain docker/registry/v2), no OCI image layout \
         (it would contain oci-layout and index.json), and no root directory of containerd (it would contain \
         {CONTENT})",
        path = path.display()
    )]
    Unknown {
        /// The path.
        path: PathBuf,
    },
    /// The directory is a store of wharf, or that of several.
    #[error(
        "{path} belongs to wharf: run `wharf export --all` where it comes from and import the archive, or copy \
         it to the storage root while no wharf uses either",
        path = path.display()
    )]
    Store {
        /// The path.
        path: PathBuf,
    },
    /// The names of the images are elsewhere.
    #[error(
        "{path} has no names: containerd's database, io.containerd.metadata.v1.bolt/meta.db, is not beside it; \
         name containerd's root directory, or write the output of `ctr images list` to a file and name it \
         with --names",
        path = path.display()
    )]
    NoNames {
        /// The path.
        path: PathBuf,
    },
    /// A list of names, for a directory that has them.
    #[error(
        "{path} is a registry's storage directory, which has the names; leave out --names",
        path = path.display()
    )]
    NeedlessNames {
        /// The path.
        path: PathBuf,
    },
}

/// Whether the directory is a store of wharf. It has the same names as a registry's storage directory, and
/// no other program's.
fn is_store(directory: &Confined) -> io::Result<bool> {
    Ok(directory.file(&["VERSION"])?.is_some() && directory.directory(&["quarantine"])?.is_some())
}

impl Source {
    /// Opens the directory at `path`. The file at `names` lists names and digests of images. Blocks.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(path: &Path, names: Option<&Path>) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Io { path: path.to_owned(), source };
        if is_store(&Confined::open(path).map_err(failed)?).map_err(failed)? {
            return Err(SourceError::Store { path: path.to_owned() });
        }
        let recognised = Self::recognise(path).map_err(failed)?;
        let (kind, root) = recognised.ok_or_else(|| Self::unknown(path))?;
        let named = match (names, kind) {
            (Some(_), Kind::Registry) => return Err(SourceError::NeedlessNames { path: path.to_owned() }),
            (Some(list), _) => Some(read_names(list)?),
            (None, Kind::Containerd) => {
                let chosen = Confined::open(path).map_err(failed)?;
                let database = containerd::database(path, &chosen).map_err(failed)?;
                let database = database.ok_or_else(|| SourceError::NoNames { path: path.to_owned() })?;
                let images = containerd::images(&database);
                Some(images.map_err(|error| failed(io::Error::other(format!("its database: {error}"))))?)
            }
            (None, _) => None,
        };
        Ok(Self { kind, root, named })
    }

    fn recognise(path: &Path) -> io::Result<Option<(Kind, Confined)>> {
        let root = Confined::open(path)?;
        for above in [&["docker", "registry", "v2"][..], &["registry", "v2"], &["v2"], &[]] {
            if let Some(beneath) = root.directory(above)?
                && beneath.directory(&["repositories"])?.is_some()
                && beneath.directory(&["blobs"])?.is_some()
            {
                return Ok(Some((Kind::Registry, beneath)));
            }
        }
        if root.file(&["oci-layout"])?.is_some() && root.file(&["index.json"])?.is_some() {
            return Ok(Some((Kind::Layout, root)));
        }
        Ok(containerd::content_store(path, &root)?.map(|content| (Kind::Containerd, content)))
    }

    fn unknown(path: &Path) -> SourceError {
        let path = path.to_owned();
        let has_stores = || -> io::Result<bool> {
            let root = Confined::open(&path)?;
            for name in root.names()?.into_iter().take(STORE_COUNT_MAX) {
                if let Ok(Some(beneath)) = root.directory(&[&name])
                    && is_store(&beneath)?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // What cannot be read is not known.
        match has_stores().unwrap_or(false) {
            true => SourceError::Store { path },
            false => SourceError::Unknown { path },
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The repositories of a registry, or one `None` for all images of a layout.
    pub(crate) fn parts(&self) -> io::Result<(Vec<Option<Repository>>, Refusals)> {
        match self.kind {
            Kind::Registry => registry::repositories(&self.root),
            Kind::Layout | Kind::Containerd => Ok((vec![None], Refusals::default())),
        }
    }

    /// The images of one part.
    pub(crate) fn images(&self, part: Option<&Repository>) -> io::Result<Listing> {
        match (part, &self.named) {
            (Some(repository), _) => registry::images(&self.root, repository),
            (None, Some(named)) => Ok(named::listing(named.clone())),
            (None, None) => layout::images(&self.root),
        }
    }

    /// The unverified content under a digest and its size in bytes; `None`: the source has none.
    pub(crate) fn content(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        match self.kind {
            Kind::Registry => self.root.file(&["blobs", algorithm, &hex[..2], hex, "data"]),
            Kind::Layout | Kind::Containerd => self.root.file(&["blobs", algorithm, hex]),
        }
    }
}

/// The names in a database of containerd.
#[cfg(feature = "fuzzing")]
pub(crate) fn names_in(database: &File) -> io::Result<Vec<(String, Digest)>> {
    Ok(containerd::images(database)?.into_iter().map(|image| (image.name, image.digest)).collect())
}

fn read_names(path: &Path) -> Result<Vec<Named>, SourceError> {
    let read = || {
        let file = File::open(path)?;
        let modified_at = file.metadata()?.modified()?;
        named::read_list(&read_all(file, named::LIST_BYTES_MAX)?, modified_at)
    };
    read().map_err(|source| SourceError::Io { path: path.to_owned(), source })
}
