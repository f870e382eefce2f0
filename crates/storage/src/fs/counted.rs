//! The directories whose files count as content of the store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use oci::Digest;

use super::layout::{ALGORITHMS, Layout};

/// The number of directories of blobs, and also of manifests: 256 for each algorithm.
const FANNED_OUT_COUNT: usize = ALGORITHMS.len() * 256;

/// One of the directories, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Counted(usize);

/// The kind of a directory's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blob,
    Manifest,
    Damaged,
}

impl Counted {
    /// The quarantine has the highest number, so that a file is moved there with the locks in order.
    const QUARANTINE: Self = Self(2 * FANNED_OUT_COUNT);

    /// The number of directories.
    pub(super) const COUNT: usize = Self::QUARANTINE.0 + 1;

    /// All directories from number `first` on.
    pub(super) fn from(first: usize) -> impl Iterator<Item = Self> {
        (first..Self::COUNT).map(Self)
    }

    /// The directory in which the file of this path counts. `None`: it does not count.
    pub(super) fn of(layout: &Layout, path: &Path) -> Option<Self> {
        let inside = path.strip_prefix(layout.root()).ok()?;
        let mut names = inside.iter().map(|name| name.to_str());
        let top = names.next()??;
        let first = match top {
            "blobs" => 0,
            "manifests" => FANNED_OUT_COUNT,
            "quarantine" => {
                return (names.next().is_some() && names.next().is_none()).then_some(Self::QUARANTINE);
            }
            _ => return None,
        };
        let (algorithm, two, name) = (names.next()??, names.next()??, names.next()??);
        let algorithm = ALGORITHMS.iter().position(|known| known.as_str() == algorithm)?;
        let counted = Self(first + 256 * algorithm + byte_of(two)?);
        (names.next().is_none() && counted.takes(name)).then_some(counted)
    }

    pub(super) fn number(self) -> usize {
        self.0
    }

    pub(super) fn kind(self) -> Kind {
        match self.0 / FANNED_OUT_COUNT {
            0 => Kind::Blob,
            1 => Kind::Manifest,
            _ => Kind::Damaged,
        }
    }

    pub(super) fn path(self, layout: &Layout) -> PathBuf {
        let top = match self.kind() {
            Kind::Blob => "blobs",
            Kind::Manifest => "manifests",
            Kind::Damaged => return layout.quarantine(),
        };
        layout.root().join(top).join(self.algorithm()).join(self.two())
    }

    /// Whether a file of this name counts here: other files are not the store's.
    pub(super) fn takes(self, name: &str) -> bool {
        let is_digest = || format!("{}:{name}", self.algorithm()).parse::<Digest>().is_ok();
        self == Self::QUARANTINE || (name.starts_with(&self.two()) && is_digest())
    }

    /// The directories that exist; `names_in` lists the names in their parents.
    pub(super) fn present<E>(
        layout: &Layout,
        mut names_in: impl FnMut(&Path, &mut dyn FnMut(&str)) -> Result<(), E>,
    ) -> Result<HashSet<Self>, E> {
        let mut present = HashSet::from([Self::QUARANTINE]);
        for first in (0..Self::QUARANTINE.0).step_by(256) {
            let parent = Self(first).path(layout).parent().map(Path::to_owned).unwrap_or_default();
            names_in(&parent, &mut |name| {
                present.extend(byte_of(name).map(|byte| Self(first + byte)));
            })?;
        }
        Ok(present)
    }

    fn algorithm(self) -> &'static str {
        ALGORITHMS[self.0 % FANNED_OUT_COUNT / 256].as_str()
    }

    fn two(self) -> String {
        format!("{:02x}", self.0 % 256)
    }
}

/// The byte that two hexadecimal digits stand for.
fn byte_of(two: &str) -> Option<usize> {
    usize::from_str_radix(two, 16).ok().filter(|byte| format!("{byte:02x}") == two)
}

#[cfg(test)]
mod tests;
