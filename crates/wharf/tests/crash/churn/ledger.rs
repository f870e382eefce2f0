//! The content of a store, read from its files: its size by kind, and which image has all that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use serde_json::Value;

use crate::audit::files_beneath;

/// The kinds of content that a store counts, as `/api/stats` calls them. A size is that of the content, as
/// `du --apparent-size` tells it.
pub(crate) const KINDS: [&str; 4] = ["blobs", "manifests", "partial", "quarantine"];

/// The files of one store.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Bytes and files of each kind.
    pub(crate) held: BTreeMap<&'static str, (u64, u64)>,
    blobs: BTreeSet<String>,
    /// The manifests by digest.
    manifests: BTreeMap<String, Value>,
    /// The manifests of each repository, with the time at which each record was made.
    records: BTreeMap<(String, String), SystemTime>,
}

impl Ledger {
    /// Reads the files below `root`, which no process changes meanwhile.
    pub(crate) fn of(root: &Path) -> Self {
        let mut ledger = Self::default();
        ledger.held.extend(KINDS.map(|kind| (kind, (0, 0))));
        for path in files_beneath(root) {
            let relative = path.strip_prefix(root).expect("beneath the root").to_str().expect("plain text");
            let parts: Vec<_> = relative.split('/').collect();
            // A running program may have removed it.
            let Ok(found) = fs::metadata(&path) else { continue };
            let kind = match parts[..] {
                ["VERSION" | "lock"] | ["notes" | "tmp", _] => continue,
                ["repositories", .., "_manifests", "sha256", hex] => {
                    let name = relative.split_once('/').and_then(|(_, rest)| rest.split_once("/_manifests/"));
                    let (repository, _) = name.expect("a repository");
                    let born = found.created().expect("the file system keeps the time of birth");
                    ledger.records.insert((repository.to_owned(), format!("sha256:{hex}")), born);
                    continue;
                }
                ["repositories", .., "_tags" | "_lists", _] => continue,
                ["blobs", "sha256", _, hex] => {
                    ledger.blobs.insert(format!("sha256:{hex}"));
                    "blobs"
                }
                ["manifests", "sha256", _, hex] => {
                    let Ok(document) = fs::read(&path) else { continue };
                    let document = serde_json::from_slice(&document).expect("a manifest");
                    ledger.manifests.insert(format!("sha256:{hex}"), document);
                    "manifests"
                }
                ["partial", name] if name.ends_with(".json") => continue,
                ["partial", _] => "partial",
                ["quarantine", _] => "quarantine",
                _ => panic!("{} has no place in a store", path.display()),
            };
            let (bytes, count) = ledger.held.get_mut(kind).expect("one of the kinds");
            *bytes += found.len();
            *count += 1;
        }
        ledger
    }

    /// All bytes together.
    pub(crate) fn bytes(&self) -> u64 {
        self.held.values().map(|(bytes, _)| bytes).sum()
    }

    /// The images: manifests that no index of their repository names.
    pub(crate) fn images(&self) -> BTreeSet<(String, String)> {
        let mut images: BTreeSet<_> = self.records.keys().cloned().collect();
        for (repository, digest) in self.records.keys() {
            for child in named(self.manifests.get(digest), "manifests") {
                images.remove(&(repository.clone(), child));
            }
        }
        images
    }

    /// The manifests of an image, and their blobs, for the platforms that are held. `None`: there is none
    /// with all its blobs.
    pub(crate) fn whole(&self, repository: &str, digest: &str) -> Option<(Vec<String>, BTreeSet<String>)> {
        if !self.records.contains_key(&(repository.to_owned(), digest.to_owned())) {
            return None;
        }
        let mut manifests = vec![digest.to_owned()];
        let children = named(self.manifests.get(digest), "manifests");
        let is_index = !children.is_empty();
        manifests.extend(
            children
                .into_iter()
                .filter(|child| self.records.contains_key(&(repository.to_owned(), child.clone()))),
        );
        let blobs: BTreeSet<_> = manifests.iter().flat_map(|digest| self.blobs_of(digest)).collect();
        let is_whole = blobs.is_subset(&self.blobs) && (!is_index || manifests.len() > 1);
        is_whole.then_some((manifests, blobs))
    }

    /// Whether there is a blob that no manifest names.
    pub(crate) fn has_orphans(&self) -> bool {
        let named: BTreeSet<_> = self.records.keys().flat_map(|(_, digest)| self.blobs_of(digest)).collect();
        !self.blobs.is_subset(&named)
    }

    /// As long as the record of a manifest stays, so does all that it names: an image leaves as a whole.
    pub(crate) fn expect_no_hole_since(&self, before: &Self) {
        for (record, born) in &before.records {
            if self.records.get(record) != Some(born) {
                continue;
            }
            let (repository, digest) = record;
            assert!(self.manifests.contains_key(digest), "{repository}@{digest} has lost its bytes");
            for blob in self.blobs_of(digest) {
                let is_lost = before.blobs.contains(&blob) && !self.blobs.contains(&blob);
                assert!(!is_lost, "{repository}@{digest} has lost its blob {blob}");
            }
            for child in named(self.manifests.get(digest), "manifests") {
                let child = (repository.clone(), child);
                let is_lost = before.records.contains_key(&child) && !self.records.contains_key(&child);
                assert!(!is_lost, "{repository}@{digest} has lost its platform {}", child.1);
            }
        }
    }

    /// The image is there, with these blobs.
    pub(crate) fn expect_kept(&self, (repository, digest): &(String, String), blobs: &BTreeSet<String>) {
        assert!(
            self.records.contains_key(&(repository.clone(), digest.clone())),
            "{repository}@{digest} is gone"
        );
        let lost: Vec<_> = blobs.difference(&self.blobs).collect();
        assert!(lost.is_empty(), "{repository}@{digest} has lost {lost:?}");
    }

    fn blobs_of(&self, digest: &str) -> Vec<String> {
        let manifest = self.manifests.get(digest);
        let config = manifest.and_then(|manifest| manifest["config"]["digest"].as_str());
        named(manifest, "layers").into_iter().chain(config.map(str::to_owned)).collect()
    }
}

fn named(manifest: Option<&Value>, list: &str) -> Vec<String> {
    let list = manifest.and_then(|manifest| manifest[list].as_array());
    let digests = list.into_iter().flatten().filter_map(|named| named["digest"].as_str());
    digests.map(str::to_owned).collect()
}

/// Makes files look as if they had been used an hour ago or earlier, each at another time: the program goes
/// by the times of the files when it has no note of last uses.
pub(crate) fn age(root: &Path, rng: &mut Rng, is_to_age: impl Fn(&mut Rng) -> bool) {
    let _ = fs::remove_file(root.join("notes/uses"));
    for path in files_beneath(root) {
        if path.ends_with("lock") || !is_to_age(rng) {
            continue;
        }
        let before = SystemTime::now() - Duration::from_secs(3600 + rng.u64(..3600));
        fs::File::open(&path).and_then(|file| file.set_modified(before)).expect("its time can be set");
    }
}
