//! The bytes that come free when some images of a store go together: shared layers count once, and only if no
//! image that stays needs them.

use std::collections::{HashMap, HashSet};

use crate::inventory::Inventory;
use crate::repositories::Number;

/// Images of one store that may go together.
#[derive(Debug, Default)]
pub struct Tally {
    roots: Vec<Key>,
    manifests: HashMap<Key, Tallied>,
    blob_bytes: HashMap<u64, u64>,
}

/// A manifest in a repository, by the first bytes of its digest.
pub(crate) type Key = (Number, u64);

/// A held manifest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallied {
    pub(crate) bytes: u64,
    pub(crate) children: Vec<u64>,
    pub(crate) blobs: Vec<u64>,
}

/// One image, by the first bytes of digests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    /// The image's own manifest.
    pub(crate) root: Key,
    /// The held manifests.
    pub(crate) manifests: Vec<(Key, Tallied)>,
    /// The held blobs with their sizes in bytes.
    pub(crate) blobs: Vec<(u64, u64)>,
}

/// The objects that go with the images.
#[derive(Debug, Default)]
pub(crate) struct Going {
    pub(crate) manifests: HashSet<Key>,
    pub(crate) blobs: HashSet<u64>,
    pub(crate) bytes: u64,
}

impl Tally {
    pub(crate) fn add_pieces(&mut self, pieces: &Pieces) {
        self.roots.push(pieces.root);
        self.manifests.extend(pieces.manifests.iter().cloned());
        self.blob_bytes.extend(pieces.blobs.iter().copied());
    }

    /// The bytes that come free if all of them go. `inventory` is that of their store.
    pub fn freed_bytes(&self, inventory: &Inventory) -> u64 {
        self.going(inventory).bytes
    }

    /// The objects that nothing needs once the images are gone, by the rule for removing an image.
    pub(crate) fn going(&self, inventory: &Inventory) -> Going {
        let model = &inventory.model;
        let mut going = Going::default();
        let (mut named, mut copies, mut needed) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut ahead = self.roots.clone();
        while let Some(key) = ahead.pop() {
            let Some(manifest) = self.manifests.get(&key) else { continue };
            if !going.manifests.insert(key) {
                continue;
            }
            for child in &manifest.children {
                let count: &mut u32 = named.entry((key.0, *child)).or_default();
                *count += 1;
                if *count == model.child_count(key.0, *child) {
                    ahead.push((key.0, *child));
                }
            }
            for blob in &manifest.blobs {
                *needed.entry(*blob).or_insert(0_u32) += 1;
            }
            *copies.entry(key.1).or_insert(0_u32) += 1;
            // The bytes of a manifest are those of all repositories that have it.
            if copies[&key.1] == model.copy_count(key.1) {
                going.bytes += manifest.bytes;
            }
        }
        for (blob, count) in needed {
            let Some(bytes) = self.blob_bytes.get(&blob) else { continue };
            if model.blobs.get(blob).count == count {
                going.blobs.insert(blob);
                going.bytes += bytes;
            }
        }
        going
    }
}
