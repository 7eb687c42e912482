//! A bounded cache of things that are expensive to open. What somebody still uses stays; of the rest, the longest unused go.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use crate::in_hand::{Mutex, MutexGuard};

/// Values by key. At most `limit` that nobody uses outside, give or take a quarter.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    limit: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    entries: HashMap<K, (Arc<V>, u64)>,
    clock: u64,
    /// The number of entries at which unused ones are looked for.
    sweep_at: usize,
}

impl<K: Eq + Hash + Copy, V> Cache<K, V> {
    pub(crate) fn new(limit: usize) -> Cache<K, V> {
        let state = State { entries: HashMap::new(), clock: 0, sweep_at: limit.max(1) };
        Cache { limit: limit.max(1), state: Mutex::new(state) }
    }

    /// What is cached for `key`, or what `open` makes. Nothing is locked while `open` runs; if two threads open the same thing,
    /// both get the one that was there first.
    pub(crate) fn get_or<E>(&self, key: K, open: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(found) = self.get(key) {
            return Ok(found);
        }
        let opened = Arc::new(open()?);
        let mut state = self.lock();
        state.clock += 1;
        let clock = state.clock;
        let entry = state.entries.entry(key).or_insert((opened, clock));
        let value = Arc::clone(&entry.0);
        let removed = if state.entries.len() > state.sweep_at { self.sweep(&mut state) } else { Vec::new() };
        drop(state);
        // Closed only now, with the cache free for others.
        drop(removed);
        Ok(value)
    }

    /// What is cached for `key`.
    pub(crate) fn get(&self, key: K) -> Option<Arc<V>> {
        let mut state = self.lock();
        state.clock += 1;
        let clock = state.clock;
        let entry = state.entries.get_mut(&key)?;
        entry.1 = clock;
        Some(Arc::clone(&entry.0))
    }

    /// From now on `value` is cached for `key`; whoever uses another keeps it.
    pub(crate) fn replace(&self, key: K, value: Arc<V>) {
        let mut state = self.lock();
        state.clock += 1;
        let clock = state.clock;
        let before = state.entries.insert(key, (value, clock));
        drop(state);
        drop(before);
    }

    /// Forgets `key`; whoever uses it keeps it.
    pub(crate) fn forget(&self, key: K) {
        let removed = self.lock().entries.remove(&key);
        drop(removed);
    }

    /// Forgets what `keep` does not want to keep; whoever uses it keeps it.
    pub(crate) fn retain(&self, keep: impl Fn(&V) -> bool) {
        let values: Vec<(K, Arc<V>)> =
            self.lock().entries.iter().map(|(key, (value, _))| (*key, Arc::clone(value))).collect();
        // Asked with the cache free for others.
        for (key, value) in values {
            if !keep(&value) {
                self.forget(key);
            }
        }
    }

    /// Forgets what nobody uses.
    pub(crate) fn clear_unused(&self) {
        let mut state = self.lock();
        let unused: Vec<K> = state
            .entries
            .iter()
            .filter(|(_, (value, _))| Arc::strong_count(value) == 1)
            .map(|(key, _)| *key)
            .collect();
        let removed: Vec<_> = unused.iter().filter_map(|key| state.entries.remove(key)).collect();
        drop(state);
        // Closed only now, with the cache free for others.
        drop(removed);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let removed = std::mem::take(&mut self.lock().entries);
        drop(removed);
    }

    /// Takes out the longest unused, down to three quarters of the limit where that many are unused.
    fn sweep(&self, state: &mut State<K, V>) -> Vec<Arc<V>> {
        let mut unused: Vec<(u64, K)> = state
            .entries
            .iter()
            .filter(|(_, (value, _))| Arc::strong_count(value) == 1)
            .map(|(key, (_, used))| (*used, *key))
            .collect();
        unused.sort_unstable_by_key(|(used, _)| *used);
        let most = self.limit - self.limit / 4;
        let surplus = unused.len().saturating_sub(most);
        let removed =
            unused[..surplus].iter().filter_map(|(_, key)| Some(state.entries.remove(key)?.0)).collect();
        // What is in use does not count, and is not looked at again at once.
        state.sweep_at = state.entries.len() + (self.limit / 4).max(1);
        removed
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(cache: &Cache<u32, u32>, key: u32) -> Arc<u32> {
        let opened: Result<Arc<u32>, ()> = cache.get_or(key, || Ok(key * 10));
        opened.expect("opens")
    }

    #[test]
    fn what_nobody_uses_can_be_given_back() {
        let cache = Cache::new(8);
        let used = open(&cache, 1);
        open(&cache, 2);
        cache.clear_unused();
        assert!(cache.get(1).is_some_and(|cached| Arc::ptr_eq(&cached, &used)) && cache.get(2).is_none());
    }

    #[test]
    fn unused_ones_go_and_used_ones_stay() {
        let cache = Cache::new(8);
        let used: Vec<Arc<u32>> = (0..20).map(|key| open(&cache, key)).collect();
        for key in 100..1000 {
            open(&cache, key);
        }
        for (key, value) in (0..20).zip(&used) {
            assert!(cache.get(key).is_some_and(|cached| Arc::ptr_eq(&cached, value)));
        }
        assert!(cache.lock().entries.len() <= 20 + 8 + 2);
        assert!(cache.get(999).is_some());
        assert!(cache.get(100).is_none());
    }
}
