//! Lists the manifests and tags of a repository, with one page in memory at a time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use oci::{Digest, Repository, Tag};

use super::disk::regular_len;
use super::entries::modified;
use super::layout::ALGORITHMS;
use super::store::FsStore;
use crate::error::StoreError;
use crate::record_store::ManifestEntry;

impl FsStore {
    /// Goes through the algorithms in the order of their digests.
    pub(super) fn manifests_blocking(
        &self,
        repository: &Repository,
        mut after: Option<Digest>,
        count_max: usize,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        let mut page = Vec::new();
        for algorithm in ALGORITHMS {
            let directory = self.root().layout().manifest_records(repository, algorithm);
            let parse = |name: &str| format!("{}:{name}", algorithm.as_str()).parse::<Digest>().ok();
            // Records that are removed meanwhile must not make this page look like the last one.
            while page.len() < count_max {
                let count = count_max - page.len();
                let digests = self.first_names(&directory, after.as_ref(), count, &parse)?;
                let is_rest = digests.len() < count;
                after = digests.last().cloned().or(after);
                for digest in digests {
                    page.extend(self.manifest_entry(&directory, digest)?);
                }
                if is_rest {
                    break;
                }
            }
        }
        if page.is_empty() {
            self.root().ensure_present()?;
        }
        Ok(page)
    }

    pub(super) fn tags_blocking(
        &self,
        repository: &Repository,
        after: Option<&Tag>,
        count_max: usize,
    ) -> Result<Vec<Tag>, StoreError> {
        let directory = self.root().layout().tags(repository);
        let page = self.first_names(&directory, after, count_max, &|name| name.parse().ok())?;
        if page.is_empty() {
            self.root().ensure_present()?;
        }
        Ok(page)
    }

    /// `None`: the record is gone, or no file.
    fn manifest_entry(&self, directory: &Path, digest: Digest) -> Result<Option<ManifestEntry>, StoreError> {
        let stat = self.root().disk().stat(&directory.join(digest.hex()))?;
        let stat = stat.filter(|stat| regular_len(stat).is_some());
        Ok(stat.map(|stat| ManifestEntry { digest, stored_at: modified(&stat) }))
    }

    /// The first `count` values after `after` that names in a directory stand for, in their order.
    pub(super) fn first_names<T: Ord>(
        &self,
        directory: &Path,
        after: Option<&T>,
        count: usize,
        parse: &dyn Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut first = BTreeSet::new();
        self.root().disk().list(directory, &mut |name| {
            if let Some(value) = name.to_str().and_then(parse)
                && after.is_none_or(|after| value > *after)
            {
                first.insert(value);
                if first.len() > count {
                    first.pop_last();
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(first.into_iter().collect())
    }
}
