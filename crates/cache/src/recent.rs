//! A table of recent facts, bounded in number and in age.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Facts that expire. When the table is full, a new fact replaces the oldest.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    ttl: Duration,
    count_max: usize,
    facts: Mutex<Facts<K, V>>,
}

#[derive(Debug)]
struct Facts<K, V> {
    by_key: HashMap<K, Fact<V>>,
    /// Keys in the order in which they were written. A key written again is here twice; the earlier entry is
    /// recognised by its serial number and skipped.
    order: VecDeque<(u64, Instant, K)>,
    last_serial: u64,
}

#[derive(Debug)]
struct Fact<V> {
    serial: u64,
    at: Instant,
    value: V,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    pub(crate) fn new(ttl: Duration, count_max: usize) -> Self {
        let facts = Facts { by_key: HashMap::new(), order: VecDeque::new(), last_serial: 0 };
        Self { ttl, count_max, facts: Mutex::new(facts) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let facts = self.facts.lock();
        let fact = facts.by_key.get(key)?;
        (fact.at.elapsed() < self.ttl).then(|| fact.value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let at = Instant::now();
        let mut facts = self.facts.lock();
        facts.last_serial += 1;
        let serial = facts.last_serial;
        facts.by_key.insert(key.clone(), Fact { serial, at, value });
        facts.order.push_back((serial, at, key));
        if facts.order.len() > 2 * self.count_max {
            // Of keys written again and again, only the last entry counts.
            let Facts { by_key, order, .. } = &mut *facts;
            order.retain(|(serial, _, key)| by_key.get(key).is_some_and(|fact| fact.serial == *serial));
        }
        while let Some((_, written, _)) = facts.order.front() {
            let is_old = at.duration_since(*written) >= self.ttl;
            if !is_old && facts.by_key.len() <= self.count_max {
                break;
            }
            let Some((serial, _, key)) = facts.order.pop_front() else { break };
            if facts.by_key.get(&key).is_some_and(|fact| fact.serial == serial) {
                facts.by_key.remove(&key);
            }
        }
    }

    pub(crate) fn take(&self, key: &K) -> Option<V> {
        let fact = self.facts.lock().by_key.remove(key)?;
        (fact.at.elapsed() < self.ttl).then_some(fact.value)
    }
}

#[cfg(test)]
mod tests;
