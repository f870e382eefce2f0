//! Images that stay for a while, because they are being fetched or exported.

use std::collections::HashMap;
use std::sync::Arc;

use oci::{Digest, Repository};
use parking_lot::Mutex;

/// The held images of one store, with the number of holds on each.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<HashMap<(Repository, Digest), u32>>);

impl Holds {
    pub(crate) fn has(&self, repository: &Repository, digest: &Digest) -> bool {
        let holds = self.0.lock();
        !holds.is_empty() && holds.contains_key(&(repository.clone(), digest.clone()))
    }
}

/// Keeps images from removal as long as it lives.
#[derive(Debug)]
pub struct Hold {
    holds: Arc<Holds>,
    images: Vec<(Repository, Digest)>,
}

impl Hold {
    pub(crate) fn new(holds: Arc<Holds>, images: impl IntoIterator<Item = (Repository, Digest)>) -> Self {
        let images: Vec<_> = images.into_iter().collect();
        let mut held = holds.0.lock();
        for image in &images {
            *held.entry(image.clone()).or_default() += 1;
        }
        drop(held);
        Self { holds, images }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.holds.0.lock();
        for image in &self.images {
            if let Some(count) = held.get_mut(image) {
                *count -= 1;
                if *count == 0 {
                    held.remove(image);
                }
            }
        }
    }
}
