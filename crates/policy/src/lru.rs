//! A map that cannot grow: when it is full, what was touched longest ago makes room.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// At most `count_max` entries.
#[derive(Clone, Debug)]
pub struct LruMap<K, V> {
    entries: HashMap<K, (u64, V)>,
    touches: u64,
    count_max: usize,
}

impl<K: Hash + Eq + Clone, V> LruMap<K, V> {
    /// An empty one.
    pub fn new(count_max: usize) -> Self {
        Self { entries: HashMap::new(), touches: 0, count_max }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is such an entry; this does not touch it.
    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    /// The entry; this touches it.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.touches += 1;
        let (touched, value) = self.entries.get_mut(key)?;
        *touched = self.touches;
        Some(value)
    }

    /// The entry, made if it is not there. This touches it.
    pub fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(key) && self.entries.len() >= self.count_max {
            self.make_room();
        }
        self.touches += 1;
        let touches = self.touches;
        let (touched, value) = self.entries.entry(key.clone()).or_insert_with(|| (touches, make()));
        *touched = touches;
        value
    }

    /// Takes the entry out.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// A look at every entry costs less than keeping them in order would: this happens once a failure, and
    /// only where hundreds of things fail.
    fn make_room(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, (touched, _))| *touched);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}
