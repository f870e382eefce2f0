//! Lists the repositories of a store from its directories.
//!
//! Names are listed in byte order, in which `foo-bar` comes between `foo` and `foo/bar`. So a level has two
//! keys for each name, with and without a trailing slash.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use oci::Repository;
use rustix::fs::{FileType, Stat};

use super::jobs::Sort;
use super::layout::ALGORITHMS;
use super::levels::Level;
use super::store::FsStore;
use crate::error::StoreError;

/// What a repository has to hold to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// A manifest, a tag or a grant.
    Content,
    /// A page of a list.
    Lists,
}

/// A page that is being built.
struct Page<'a> {
    after: &'a str,
    count_max: usize,
    sought: Sought,
    found: Vec<Repository>,
}

impl FsStore {
    /// Builds one page at a time, because each reads many directories.
    pub(super) async fn list_repositories(
        &self,
        after: &str,
        count_max: usize,
        sought: Sought,
    ) -> Result<Vec<Repository>, StoreError> {
        let turn = Arc::clone(self.listing()).lock_owned().await;
        let after = after.to_owned();
        let list = move |store: &Self| {
            let listed = store.repositories_blocking(&after, count_max, sought);
            drop(turn);
            listed
        };
        self.run(Sort::Long, list).await
    }

    fn repositories_blocking(
        &self,
        after: &str,
        count_max: usize,
        sought: Sought,
    ) -> Result<Vec<Repository>, StoreError> {
        if self.root().disk().stat(&self.root().layout().repositories())?.is_none() {
            self.root().ensure_present()?;
        }
        let mut page = Page { after, count_max, sought, found: Vec::new() };
        if count_max > 0 {
            // The page is full, or there are no more names.
            let _ = self.walk("", &mut page)?;
        }
        Ok(page.found)
    }

    /// Adds the repositories whose names begin with `prefix`, which is empty or ends in a slash. Breaks when
    /// the page is full.
    fn walk(&self, prefix: &str, page: &mut Page<'_>) -> Result<ControlFlow<()>, StoreError> {
        let mut start = first_key(prefix, page.after);
        loop {
            let level = self.level(prefix, &start)?;
            for key in level.keys_from(&start) {
                let flow = if key.ends_with('/') { self.walk(key, page)? } else { self.visit(key, page)? };
                if flow.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            match level.next_start() {
                Some(next) => start = next,
                None => return Ok(ControlFlow::Continue(())),
            }
        }
    }

    fn visit(&self, name: &str, page: &mut Page<'_>) -> Result<ControlFlow<()>, StoreError> {
        let directory = self.root().layout().repositories().join(name);
        let is_directory = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let stat = self.root().disk().stat(&directory)?;
        if stat.as_ref().is_some_and(is_directory) && self.holds(&directory, page.sought)? {
            page.found.extend(name.parse::<Repository>());
        }
        let is_full = page.found.len() >= page.count_max;
        Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Whether a repository's directory contains such files. Directories outlive them.
    fn holds(&self, directory: &Path, sought: Sought) -> Result<bool, StoreError> {
        if sought == Sought::Lists {
            return self.has_names(&directory.join("_lists"));
        }
        let by_digest = ["_manifests", "_blobs"].into_iter();
        let by_digest = by_digest.flat_map(|inner| ALGORITHMS.map(|algorithm| (inner, algorithm.as_str())));
        if self.has_names(&directory.join("_tags"))? {
            return Ok(true);
        }
        for (inner, algorithm) in by_digest {
            if self.has_names(&directory.join(inner).join(algorithm))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn has_names(&self, directory: &Path) -> Result<bool, StoreError> {
        let mut has_any = false;
        self.root().disk().list(directory, &mut |_| {
            has_any = true;
            ControlFlow::Break(())
        })?;
        Ok(has_any)
    }

    /// The keys of a level from `start` on, or as many as fit in memory. The key `name` stands for the
    /// repository of that name, `name/` for those below it.
    fn level(&self, prefix: &str, start: &str) -> Result<Arc<Level>, StoreError> {
        let made_count = self.root().made_count();
        if let Some(level) = self.levels().get(prefix, start, made_count) {
            return Ok(level);
        }
        // The whole level serves every later page, if it fits.
        let whole = self.levels().keep(prefix, self.read_level(prefix, "", made_count)?);
        if whole.has_keys_from(start) {
            return Ok(whole);
        }
        Ok(self.levels().keep(prefix, self.read_level(prefix, start, made_count)?))
    }

    fn read_level(&self, prefix: &str, start: &str, made_count: u64) -> Result<Level, StoreError> {
        let mut builder = self.levels().builder(start, made_count);
        // With the trailing slash, a link would be followed.
        let directory = self.root().layout().repositories().join(prefix.trim_end_matches('/'));
        self.root().disk().list(&directory, &mut |component| {
            if let Some(name) = component.to_str().map(|component| format!("{prefix}{component}"))
                // No repository's name begins with an invalid one, such as `_tags`.
                && name.parse::<Repository>().is_ok()
            {
                builder.add(name);
            }
            ControlFlow::Continue(())
        })?;
        Ok(builder.finish())
    }
}

/// The first key of a level that can lead to a name after `after`.
fn first_key(prefix: &str, after: &str) -> String {
    let Some(below) = after.strip_prefix(prefix) else { return String::new() };
    match below.split_once('/') {
        Some((name, _)) => format!("{prefix}{name}/"),
        // No name contains this character, so this is the smallest key after the name.
        None => format!("{after}\0"),
    }
}

#[cfg(test)]
mod tests;
