//! Remembers the roots of removed registries.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// The most roots that are remembered; then the oldest is forgotten. A path has at most 4 KiB, so that all of
/// them take at most 4 MiB.
const PAST_ROOT_COUNT_MAX: usize = 1024;

/// Roots of removed registries. Their last jobs may hold the lock a moment longer, so a registry that gets
/// such a root waits for the lock. Without the memory of the root, its start fails and the operator reloads
/// again.
#[derive(Debug, Default)]
pub(super) struct PastRoots(VecDeque<PathBuf>);

impl PastRoots {
    pub(super) fn contains(&self, root: &Path) -> bool {
        self.0.iter().any(|past| past == root)
    }

    pub(super) fn insert(&mut self, root: &Path) {
        self.remove(root);
        if self.0.len() == PAST_ROOT_COUNT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(root.to_owned());
    }

    pub(super) fn remove(&mut self, root: &Path) {
        self.0.retain(|past| past != root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_roots_are_remembered_each_once() {
        let root = |number: usize| PathBuf::from(format!("/srv/{number}"));
        let mut roots = PastRoots::default();
        for number in 0..PAST_ROOT_COUNT_MAX {
            roots.insert(&root(number));
        }
        roots.insert(&root(0));
        assert_eq!(roots.0.len(), PAST_ROOT_COUNT_MAX);
        roots.insert(&root(PAST_ROOT_COUNT_MAX));
        assert_eq!(roots.0.len(), PAST_ROOT_COUNT_MAX);
        assert!(roots.contains(&root(0)), "it was removed again, so it is not the oldest");
        assert!(!roots.contains(&root(1)));
        roots.remove(&root(0));
        assert!(!roots.contains(&root(0)));
    }
}
