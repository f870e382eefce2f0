//! Random lives of a store: whatever happens in whatever order, no image that is listed has a hole.

use storage::{Operation, StoreErrorKind};

use super::*;

const REPOSITORIES: [&str; 3] = ["a", "b/c", "d"];
const TAGS: [&str; 3] = ["latest", "v1", "a-tag-with-a-long-name"];

/// Repositories of which clients ask for lists.
const LISTED: [&str; 4] = ["a", "b/c", "never/pulled", "b"];

const OPERATIONS: [Operation; 12] = [
    Operation::Manifest,
    Operation::RemoveManifest,
    Operation::RemoveManifestBytes,
    Operation::RemoveTag,
    Operation::Tag,
    Operation::SyncRemovals,
    Operation::Remove,
    Operation::RemoveLink,
    Operation::RemoveRepository,
    Operation::Open,
    Operation::Repositories,
    Operation::Lists,
];

/// A life of a store, and what is to be found in it.
struct Life {
    random: fastrand::Rng,
    place: Place,
    store: MemoryStore,
    /// Blobs that manifests name and that nobody stored.
    never_stored: BTreeSet<Digest>,
    pinned: BTreeSet<(String, Digest)>,
}

impl Life {
    async fn step(&mut self) {
        let name = REPOSITORIES[self.random.usize(0..3)];
        match self.random.u8(0..26) {
            0..=5 => self.store_image(name).await,
            6 => self.store_index(name).await,
            7..=8 => {
                if let Some(digest) = self.any_manifest(name).await {
                    self.place.tag(name, TAGS[self.random.usize(0..3)], &digest).await;
                }
            }
            9 => {
                let tag = tag(TAGS[self.random.usize(0..3)]);
                self.place.store.remove_tag(&repository(name), &tag).await.unwrap();
                self.place.inventory.tag_removed(&repository(name), &tag);
            }
            10..=11 => {
                if let Some(digest) = self.any_manifest(name).await {
                    self.place.inventory.manifest_used(&repository(name), &digest);
                }
            }
            12 => {
                let blob = self.layer();
                self.place.inventory.blob_used(&Digest::of(Algorithm::Sha256, &bytes(&blob, 100)));
            }
            13 => self.pin(name).await,
            14 => {
                let blob = self.layer();
                let digest = self.place.blob(&blob, 100).await;
                self.never_stored.remove(&digest);
            }
            15 => pass(self.random.u64(0..1000)).await,
            16..=18 => self.evict().await,
            19..=20 => self.purge(name).await,
            21 => self.prune().await,
            22..=23 => self.store_list().await,
            24 => {
                let (bytes, before) = (self.random.u64(1..500), self.place.list().len());
                self.place.keeper.remove_before_images(bytes).await;
                assert_eq!(self.place.list().len(), before, "images come later");
            }
            _ => {
                if self.random.bool() {
                    walk::write_uses(&self.place.inventory, false).await;
                }
                self.place = self.place.restarted().await;
            }
        }
    }

    async fn store_list(&mut self) {
        let (name, key) = (LISTED[self.random.usize(0..4)], TAGS[self.random.usize(0..3)]);
        if self.random.u8(0..4) > 0 {
            return self.place.put_list(name, key, self.random.usize(1..200)).await;
        }
        let listing = self.place.inventory.listing(&repository(name)).await;
        self.place.store.remove_list(&repository(name), key).await.unwrap();
        let held = self.place.store.lists(&repository(name)).await.unwrap().held;
        self.place.inventory.listed(listing, held);
    }

    fn layer(&mut self) -> String {
        format!("layer {}", self.random.u8(0..12))
    }

    async fn store_image(&mut self, name: &str) {
        let names: Vec<_> = (0..self.random.usize(1..4)).map(|_| self.layer()).collect();
        let layers: Vec<_> = names.iter().map(|name| (name.as_str(), 100)).collect();
        self.place.manifest_of(&repository(name), image_text(&layers)).await;
        for (layer, size) in layers {
            let digest = Digest::of(Algorithm::Sha256, &bytes(layer, size));
            // A lazy client leaves some of them out.
            if self.random.u8(0..6) > 0 {
                self.place.blob(layer, size).await;
                self.never_stored.remove(&digest);
            } else if !self.place.has_blob(&digest).await {
                self.never_stored.insert(digest);
            }
        }
    }

    async fn store_index(&mut self, name: &str) {
        let mut children = Vec::new();
        for _ in 0..self.random.usize(1..4) {
            children.extend(self.any_manifest(name).await);
        }
        children.push(Digest::of(Algorithm::Sha256, b"a platform that nobody pulled"));
        children.sort();
        children.dedup();
        self.place.index(name, &children.iter().collect::<Vec<_>>()).await;
    }

    async fn any_manifest(&mut self, name: &str) -> Option<Digest> {
        let entries = self.place.store.manifests(&repository(name), None, 1000).await.unwrap();
        (!entries.is_empty()).then(|| entries[self.random.usize(0..entries.len())].digest.clone())
    }

    async fn pin(&mut self, name: &str) {
        let is_pinned = self.random.bool();
        if let Some(digest) = self.any_manifest(name).await {
            self.place.inventory.set_pinned(&repository(name), &digest, is_pinned).await.unwrap();
            let pin = (name.to_owned(), digest);
            if is_pinned {
                self.pinned.insert(pin)
            } else {
                self.pinned.remove(&pin)
            };
        }
    }

    /// Purges an image, sometimes beside a pin of it.
    async fn purge(&mut self, name: &str) {
        let Some(digest) = self.any_manifest(name).await else { return };
        let app = repository(name);
        let listed =
            self.place.list().into_iter().find(|image| image.repository == app && image.digest == digest);
        let is_root = listed.as_ref().is_some_and(|image| !image.is_part);
        if let Some(part) = listed.filter(|image| image.is_part) {
            self.purge_tag_of(&part).await;
        }
        self.fail_some_calls();
        let pinned_before = self.pinned_blobs().await;
        let (keeper, inventory) = (Arc::clone(&self.place.keeper), Arc::clone(&self.place.inventory));
        let (purged, pinned) = tokio::join!(keeper.purge(&app, &digest, Duration::ZERO), async {
            match self.random.u8(0..3) {
                0 => inventory.set_pinned(&app, &digest, true).await.ok(),
                _ => None,
            }
        });
        if pinned == Some(true) {
            self.pinned.insert((name.to_owned(), digest.clone()));
        }
        while self.store.has_failures_left() {
            self.drain_failures().await;
        }
        assert!(is_root || purged.is_err(), "a part of an image was purged");
        for tag in purged.iter().flat_map(|purged| &purged.tags) {
            assert!(self.place.inventory.find_tag(&app, tag).is_none(), "{tag} was said to be gone");
        }
        for blob in pinned_before {
            assert!(self.place.has_blob(&blob).await, "a pinned image lost {blob}");
        }
    }

    /// Purges a tag of a part of an image: nothing but the tag goes.
    async fn purge_tag_of(&mut self, part: &ImageEntry) {
        let before = self.place.list();
        let purged = self.place.keeper.purge_tag(&part.repository, &part.tags[0], &part.digest).await;
        assert_eq!(purged.is_err(), part.is_pinned, "{purged:?}");
        let after = self.place.list();
        let images = |list: &[ImageEntry]| list.iter().filter(|entry| !entry.is_part).count();
        assert_eq!(images(&before), images(&after));
        let of = |image: &ImageEntry| (image.repository.clone(), image.digest.clone());
        let rest = after.iter().find(|image| of(image) == of(part)).map_or(0, |image| image.tags.len());
        assert_eq!(rest, part.tags.len() - usize::from(!part.is_pinned));
    }

    async fn prune(&mut self) {
        self.fail_some_calls();
        let _ = self.place.keeper.prune(self.random.bool()).await;
        while self.store.has_failures_left() {
            self.drain_failures().await;
        }
    }

    fn fail_some_calls(&mut self) {
        for _ in 0..self.random.usize(0..3) {
            let operation = OPERATIONS[self.random.usize(0..OPERATIONS.len())];
            self.store.fail(operation, self.random.usize(0..4), StoreErrorKind::Io);
        }
    }

    async fn evict(&mut self) {
        self.fail_some_calls();
        let layer = self.layer();
        let filling = Digest::of(Algorithm::Sha256, &bytes(&layer, 100));
        let was_there = self.place.has_blob_despite_failures(&filling).await;
        self.place.server.filling.lock().insert(filling.clone());
        let pinned_before = self.pinned_blobs().await;
        self.place.evict(self.random.u64(1..2000)).await;
        self.place.server.filling.lock().clear();
        while self.store.has_failures_left() {
            self.drain_failures().await;
        }
        assert!(!was_there || self.place.has_blob(&filling).await, "a blob on its way was removed");
        for blob in pinned_before {
            assert!(self.place.has_blob(&blob).await, "a pinned image lost {blob}");
        }
    }

    /// Lets the failures happen to calls that nobody needs.
    async fn drain_failures(&self) {
        let (store, digest) = (&self.place.store, Digest::of(Algorithm::Sha256, b"nothing"));
        let (name, nothing) = (repository("nothing"), tag("nothing"));
        let _ = store.manifest(&name, &digest).await;
        let _ = store.remove_manifest(&name, &digest).await;
        let _ = store.remove_manifest_bytes(&digest).await;
        let _ = store.remove_tag(&name, &nothing).await;
        let _ = store.tag(&name, &nothing).await;
        let _ = store.sync_removals(&[]).await;
        let _ = store.remove(&digest).await;
        let _ = store.remove_link(&name, &digest).await;
        let _ = store.remove_repository(&name).await;
        let _ = store.open(&digest).await;
        let _ = store.repositories(None, 1).await;
        let _ = store.lists(&name).await;
    }

    async fn pinned_blobs(&self) -> BTreeSet<Digest> {
        let mut blobs = BTreeSet::new();
        for (name, digest) in &self.pinned {
            let contents = self.place.inventory.contents(&repository(name), digest).await;
            for blob in contents.ok().flatten().into_iter().flat_map(|contents| contents.blobs) {
                if self.place.has_blob_despite_failures(&blob.digest).await {
                    blobs.insert(blob.digest);
                }
            }
        }
        blobs
    }
}

impl Place {
    async fn has_blob_despite_failures(&self, digest: &Digest) -> bool {
        loop {
            if let Ok(found) = self.store.open(digest).await {
                return found.is_some();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_order_of_events_makes_a_hole_or_a_wrong_count() {
    for seed in 0..150 {
        let (place, store) = Place::in_memory().await;
        let mut life = Life {
            random: fastrand::Rng::with_seed(seed),
            place,
            store,
            never_stored: BTreeSet::new(),
            pinned: BTreeSet::new(),
        };
        for step in 0..60 {
            life.step().await;
            // A blob that was evicted while a manifest that names it was stored without it.
            let truth = Truth::of(&*life.place.store).await;
            let lacking = truth.manifests.values().flat_map(|contents| &contents.blobs);
            let lacking = lacking.filter(|blob| !truth.blobs.contains(&blob.digest));
            let unknown: Vec<_> = lacking.filter(|blob| !life.never_stored.contains(&blob.digest)).collect();
            assert!(unknown.is_empty(), "seed {seed}, step {step}: {unknown:?}");
            life.place.check_no_holes(&life.never_stored).await;
            life.place.check().await;
        }
        // In the end everything goes that may.
        for (name, digest) in std::mem::take(&mut life.pinned) {
            life.place.inventory.set_pinned(&repository(&name), &digest, false).await.unwrap();
        }
        pass(2000).await;
        life.place.evict(u64::MAX).await;
        life.place.keeper.remove_before_images(u64::MAX).await;
        life.place.check().await;
        assert_eq!(life.place.used(), 0, "seed {seed}");
        assert!(life.place.store.repositories(None, 10).await.unwrap().is_empty(), "seed {seed}");
    }
}
