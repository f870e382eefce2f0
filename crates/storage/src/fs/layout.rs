//! The paths below a root. Every path is made of parsed values, so none can lead outside.
//!
//! ```text
//! VERSION                                           the layout's number: this directory is a store
//! lock                                              locked by the process that uses it
//! blobs/<algorithm>/<2 hex>/<hex>                   verified content
//! manifests/<algorithm>/<2 hex>/<hex>               manifests, which the blob endpoint must not serve
//! repositories/<name>/_tags/<tag>                   JSON: the tag's manifest, and when it was checked
//! repositories/<name>/_manifests/<algorithm>/<hex>  JSON: the media type
//! repositories/<name>/_blobs/<algorithm>/<hex>      empty: this blob is granted to the repository
//! repositories/<name>/_lists/<hex>                 a line of JSON, then a page of a list as served
//! partial/<algorithm>-<hex>, ….json                 unverified bytes, and which of them can be trusted
//! tmp/                                              files that have no name yet; emptied at the start
//! quarantine/<seconds>-<name>                       damaged files
//! notes/<name>                                      notes of the store as a whole
//! ```
//! No component of a repository name begins with `_`, so `foo` with a tag `tags` and a repository `foo/tags`
//! stay apart.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Repository, Tag};

use crate::note;

/// The directories that every store has.
pub(crate) const TOP_DIRECTORIES: [&str; 6] =
    ["blobs", "manifests", "repositories", "partial", "tmp", "quarantine"];

/// The algorithms that blobs are filed under.
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn version(&self) -> PathBuf {
        self.root.join("VERSION")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.fanned_out("blobs", digest)
    }

    pub(crate) fn manifest(&self, digest: &Digest) -> PathBuf {
        self.fanned_out("manifests", digest)
    }

    pub(crate) fn tag(&self, repository: &Repository, tag: &Tag) -> PathBuf {
        self.tags(repository).join(tag.as_str())
    }

    pub(crate) fn manifest_record(&self, repository: &Repository, digest: &Digest) -> PathBuf {
        by_digest(self.all_manifest_records(repository), digest)
    }

    pub(crate) fn link(&self, repository: &Repository, digest: &Digest) -> PathBuf {
        by_digest(self.all_links(repository), digest)
    }

    /// The directory of a repository's manifest records with this algorithm.
    pub(crate) fn manifest_records(&self, repository: &Repository, algorithm: Algorithm) -> PathBuf {
        self.all_manifest_records(repository).join(algorithm.as_str())
    }

    /// The directory over those of a repository's manifest records.
    pub(crate) fn all_manifest_records(&self, repository: &Repository) -> PathBuf {
        self.repository(repository).join("_manifests")
    }

    /// The directory of a repository's tags.
    pub(crate) fn tags(&self, repository: &Repository) -> PathBuf {
        self.repository(repository).join("_tags")
    }

    /// The directory over those of a repository's grants.
    pub(crate) fn all_links(&self, repository: &Repository) -> PathBuf {
        self.repository(repository).join("_blobs")
    }

    /// The file of a note.
    pub(crate) fn note(&self, name: &str) -> PathBuf {
        note::assert_name(name);
        self.root.join("notes").join(name)
    }

    /// The directory of a repository's stored pages of lists.
    pub(crate) fn lists(&self, repository: &Repository) -> PathBuf {
        self.repository(repository).join("_lists")
    }

    /// A key is text that a client chose, so its file is named by its hash.
    pub(crate) fn list(&self, repository: &Repository, key: &str) -> PathBuf {
        self.lists(repository).join(Digest::of(Algorithm::Sha256, key.as_bytes()).hex())
    }

    /// Spreads digests over 256 directories, so that none of them becomes too large for common tools.
    fn fanned_out(&self, directory: &str, digest: &Digest) -> PathBuf {
        let first_two = digest.hex().get(..2).expect("a digest has at least 64 hex digits");
        let names = [directory, digest.algorithm().as_str(), first_two, digest.hex()];
        // Each hit builds one of these paths: it takes one allocation.
        let length = names.iter().map(|name| 1 + name.len()).sum::<usize>();
        let mut path = PathBuf::with_capacity(self.root.as_os_str().len() + length);
        path.push(&self.root);
        path.extend(names);
        path
    }

    pub(crate) fn repository(&self, repository: &Repository) -> PathBuf {
        self.root.join("repositories").join(repository.as_str())
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(partial_name(digest))
    }

    pub(crate) fn sidecar(&self, digest: &Digest) -> PathBuf {
        self.partials().join(partial_name(digest) + SIDECAR_SUFFIX)
    }

    /// The parent of the directories with the manifests of an algorithm.
    pub(crate) fn manifests_of(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("manifests").join(algorithm.as_str())
    }

    /// The parent of the directories with the blobs of an algorithm.
    pub(crate) fn blobs_of(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }
}

const SIDECAR_SUFFIX: &str = ".json";

/// Names of quarantined files begin with the time.
pub(crate) fn is_name_of_quarantined(name: &OsStr) -> bool {
    let seconds = name.to_str().and_then(|name| name.split_once('-'));
    seconds.is_some_and(|(seconds, _)| seconds.parse::<u64>().is_ok())
}

/// The digest whose bytes, or whose sidecar, is the file of this name in `partial`.
pub(crate) fn parse_partial_name(name: &str) -> Option<Digest> {
    let name = name.strip_suffix(SIDECAR_SUFFIX).unwrap_or(name);
    let (algorithm, hex) = name.split_once('-')?;
    format!("{algorithm}:{hex}").parse().ok()
}

fn partial_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}

fn by_digest(directory: PathBuf, digest: &Digest) -> PathBuf {
    directory.join(digest.algorithm().as_str()).join(digest.hex())
}
