//! Rows that writers see as they are and readers as they were a little while ago.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::RangeBounds;

use super::super::cx::Cx;
use super::super::delayed::Delayed;

/// Rows by key.
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, Delayed<V>>,
    /// Rows that were taken away and may still be seen by readers.
    leaving: Vec<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// The row as it is.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key).and_then(Delayed::latest)
    }

    /// The row as a read shows it.
    pub fn seen<Q: Ord + ?Sized>(&self, cx: &Cx<'_>, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key).and_then(|row| row.visible(cx))
    }

    /// Makes or replaces the row.
    pub fn put(&mut self, cx: &Cx<'_>, key: K, value: V) {
        self.rows.entry(key).or_default().set(cx, value);
    }

    /// Changes the row, if there is one, and hands on what the change answers.
    pub fn edit<R>(&mut self, cx: &Cx<'_>, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut answer = None;
        self.rows
            .get_mut(key)?
            .edit(cx, |value| answer = Some(change(value)));
        answer
    }

    /// Takes the row away.
    pub fn remove(&mut self, cx: &Cx<'_>, key: &K) {
        if let Some(row) = self.rows.get_mut(key) {
            row.remove(cx);
            self.leaving.push(key.clone());
        }
        let rows = &mut self.rows;
        self.leaving.retain(|key| {
            let gone = rows.get(key).is_none_or(|row| row.is_gone(cx));
            if gone {
                rows.remove(key);
            }
            !gone && rows.get(key).is_some_and(|row| row.latest().is_none())
        });
    }

    /// The rows of a range as they are, in order of their keys.
    pub fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows
            .range(keys)
            .filter_map(|(key, row)| row.latest().map(|value| (key, value)))
    }

    /// The rows of a range as a read shows them, in order of their keys.
    pub fn seen_range<'a>(
        &'a self,
        cx: &'a Cx<'_>,
        keys: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&'a K, &'a V)> {
        self.rows
            .range(keys)
            .filter_map(|(key, row)| row.visible(cx).map(|value| (key, value)))
    }
}
