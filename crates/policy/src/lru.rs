//! A bounded map: when it is full, the least recently used entry makes room.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most `count_max` entries.
#[derive(Clone, Debug)]
pub struct LruMap<K, V> {
    entries: HashMap<K, (u64, V)>,
    touches: u64,
    count_max: usize,
}

impl<K: Hash + Eq + Clone, V> LruMap<K, V> {
    /// Makes an empty map.
    pub fn new(count_max: usize) -> Self {
        Self { entries: HashMap::new(), touches: 0, count_max }
    }

    /// Changes the bound. The least recently used entries above it go.
    pub fn resize(&mut self, count_max: usize) {
        self.count_max = count_max;
        while self.entries.len() > count_max {
            self.make_room();
        }
        self.entries.shrink_to(count_max);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether the map has an entry, without marking it as used.
    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    /// Returns an entry and marks it as used.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.touches += 1;
        let (touched, value) = self.entries.get_mut(key)?;
        *touched = self.touches;
        Some(value)
    }

    /// Returns an entry, which `make` creates if it is missing, and marks it as used.
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

    /// Returns all entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// Removes an entry.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// Scanning all entries costs less than keeping them in order: it happens once per failure, and only
    /// while hundreds of things fail.
    fn make_room(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, (touched, _))| *touched);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}
