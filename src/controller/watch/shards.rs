//! Which shards are to be read when: parents before children.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::streams::Shard;

/// How far the shards of a stream have been read.
#[derive(Debug)]
pub(super) struct Progress {
    shards: BTreeMap<String, State>,
    /// Those that had children when they were looked for last.
    parents: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
}

impl Progress {
    /// Begins with the newest shards, those without children; they are returned, and the others
    /// are left alone. Whether a shard says that it is closed does not matter: the reader of a
    /// closed one ends at once, and goes on with its children.
    pub fn begin(found: &[Shard]) -> (Self, Vec<String>) {
        let parents = parents(found);
        let state = |id: &String| match parents.contains(id) {
            true => State::Ended,
            false => State::Reading,
        };
        let ids = found.iter().map(|shard| &shard.id);
        let shards: BTreeMap<_, _> = ids.map(|id| (id.clone(), state(id))).collect();
        let newest = shards
            .iter()
            .filter(|(_, state)| **state == State::Reading)
            .map(|(id, _)| id.clone())
            .collect();
        (Self { shards, parents }, newest)
    }

    /// A shard was read to its end.
    pub fn ended(&mut self, shard: &str) {
        self.shards.insert(shard.to_owned(), State::Ended);
    }

    /// The shards whose turn has come, of all that there are now: new ones without parent, and
    /// those whose parent has ended or is not kept any more.
    pub fn scanned(&mut self, found: &[Shard]) -> Vec<String> {
        let there: BTreeSet<&str> = found.iter().map(|shard| shard.id.as_str()).collect();
        self.shards
            .retain(|id, state| *state == State::Reading || there.contains(id.as_str()));
        let mut next = Vec::new();
        for shard in found {
            let ready = match &shard.parent {
                Some(parent) => match self.shards.get(parent) {
                    Some(state) => *state == State::Ended,
                    None => !there.contains(parent.as_str()),
                },
                None => true,
            };
            if ready && !self.shards.contains_key(&shard.id) {
                self.shards.insert(shard.id.clone(), State::Reading);
                next.push(shard.id.clone());
            }
        }
        self.parents = parents(found);
        next
    }

    /// Whether a new shard must come soon: there is none yet, or one has ended whose children do
    /// not show.
    pub fn expects_more(&self) -> bool {
        let mut ended = self.shards.iter().filter(|(_, it)| **it == State::Ended);
        self.shards.is_empty() || ended.any(|(id, _)| !self.parents.contains(id))
    }
}

fn parents(found: &[Shard]) -> BTreeSet<String> {
    let parents = found.iter().filter_map(|shard| shard.parent.clone());
    parents.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(tree: &[(&str, &str)]) -> Vec<Shard> {
        let shard = |(id, parent): &(&str, &str)| Shard {
            id: (*id).to_owned(),
            parent: (!parent.is_empty()).then(|| (*parent).to_owned()),
        };
        tree.iter().map(shard).collect()
    }

    #[test]
    fn the_newest_are_read_and_then_their_children_each_after_its_parent() {
        let first = [("a", "trimmed"), ("b", "a"), ("c", "")];
        let (mut progress, newest) = Progress::begin(&shards(&first));
        assert_eq!(newest, ["b", "c"]);
        assert!(!progress.expects_more());
        // A whole line of descent has come since, told youngest first.
        let mut all = vec![("e", "d"), ("f", "d"), ("d", "b")];
        all.extend(first);
        assert!(progress.scanned(&shards(&all)).is_empty());
        progress.ended("b");
        assert_eq!(progress.scanned(&shards(&all)), ["d"]);
        assert!(progress.scanned(&shards(&all)).is_empty());
        progress.ended("d");
        assert_eq!(progress.scanned(&shards(&all)), ["e", "f"]);
        assert!(!progress.expects_more());
    }

    #[test]
    fn an_ended_shard_is_waited_on_for_its_children_and_forgotten_once_trimmed() {
        let (mut progress, newest) = Progress::begin(&[]);
        assert!(newest.is_empty() && progress.expects_more());
        assert_eq!(progress.scanned(&shards(&[("a", "")])), ["a"]);
        assert!(!progress.expects_more());
        progress.ended("a");
        assert!(progress.scanned(&shards(&[("a", "")])).is_empty());
        assert!(progress.expects_more());
        assert_eq!(progress.scanned(&shards(&[("a", ""), ("b", "a")])), ["b"]);
        assert!(!progress.expects_more());
        assert!(progress.scanned(&shards(&[("b", "a")])).is_empty());
        assert_eq!(progress.shards.len(), 1);
        // Its parent is not kept any more, and was never seen.
        assert_eq!(progress.scanned(&shards(&[("b", "a"), ("d", "c")])), ["d"]);
    }
}
