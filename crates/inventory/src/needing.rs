//! Finds what needs given contents: repositories, in order to fetch damaged ones again, and indexes.

use std::collections::{HashMap, HashSet};

use oci::{Digest, Repository};

use crate::inventory::Inventory;

/// Manifests that are looked at in one turn.
const PAGE_COUNT: usize = 256;

impl Inventory {
    /// For each of these blobs, a repository with a held manifest that names it, if there is one. Reads all
    /// manifests, unless each blob is found before.
    pub async fn repositories_needing(&self, blobs: &HashSet<Digest>) -> HashMap<Digest, Repository> {
        let mut found = HashMap::new();
        let mut from = Some(0);
        while let Some(at) = from.filter(|_| found.len() < blobs.len()) {
            let (rows, next) = self.model.images.read().rows(at, PAGE_COUNT);
            for row in rows.into_iter().filter(|row| row.is_held) {
                let contents = match self.contents(&row.repository, &row.digest).await {
                    Ok(contents) => contents.unwrap_or_default(),
                    Err(error) => {
                        self.failed(&error, "a manifest cannot be read");
                        continue;
                    }
                };
                for blob in contents.blobs.into_iter().filter(|blob| blobs.contains(&blob.digest)) {
                    found.entry(blob.digest).or_insert_with(|| row.repository.clone());
                }
            }
            from = next;
        }
        found
    }

    /// The held indexes of the repository that name a manifest. Reads all its manifests; those that cannot be
    /// read are left out.
    pub(crate) async fn indexes_naming(&self, repository: &Repository, digest: &Digest) -> Vec<Digest> {
        let mut found = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let (rows, next) = self.model.images.read().rows(at, PAGE_COUNT);
            for row in rows.into_iter().filter(|row| row.is_held && row.repository == *repository) {
                let contents = self.contents(&row.repository, &row.digest).await.ok().flatten();
                if contents.is_some_and(|contents| contents.children.contains(digest)) {
                    found.push(row.digest);
                }
            }
            from = next;
        }
        found
    }

    /// A repository with the manifest, or with the record of one whose bytes were set aside.
    pub fn repository_with(&self, digest: &Digest) -> Option<Repository> {
        let mut from = Some(0);
        while let Some(at) = from {
            let (rows, next) = self.model.images.read().rows(at, PAGE_COUNT);
            let row = rows.into_iter().find(|row| row.digest == *digest && (row.is_held || row.is_lost));
            if let Some(row) = row {
                return Some(row.repository);
            }
            from = next;
        }
        None
    }
}
