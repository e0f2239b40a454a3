//! Releases that wait for each other.

use std::collections::{BTreeMap, VecDeque};

use super::meta::ReleaseKey;

/// The shortest way from a Release back to itself, beginning with it, along what each requires.
pub fn way_back(
    start: &ReleaseKey,
    requires: impl Fn(&ReleaseKey) -> Vec<ReleaseKey>,
) -> Option<Vec<ReleaseKey>> {
    let mut from: BTreeMap<ReleaseKey, ReleaseKey> = BTreeMap::new();
    let mut queue = VecDeque::from([start.clone()]);
    while let Some(at) = queue.pop_front() {
        for next in requires(&at) {
            if next == *start {
                return Some(way(&at, &from));
            }
            if !from.contains_key(&next) {
                from.insert(next.clone(), at.clone());
                queue.push_back(next);
            }
        }
    }
    None
}

/// The way that led to a place.
fn way(to: &ReleaseKey, from: &BTreeMap<ReleaseKey, ReleaseKey>) -> Vec<ReleaseKey> {
    let mut way = vec![to.clone()];
    let mut at = to;
    while let Some(before) = from.get(at) {
        way.push(before.clone());
        at = before;
    }
    way.reverse();
    way
}

/// `shop/web -> shop/api -> shop/web`.
pub fn told(circle: &[ReleaseKey]) -> String {
    let names: Vec<String> = circle
        .iter()
        .chain(circle.first())
        .map(ToString::to_string)
        .collect();
    names.join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(start: &str, edges: &[(&str, &[&str])]) -> Option<String> {
        let key = |name: &str| ReleaseKey::new("shop", name);
        let found = way_back(&key(start), |at| {
            let found = edges.iter().find(|(name, _)| key(name) == *at);
            found.map_or_else(Vec::new, |(_, to)| {
                to.iter().map(|name| key(name)).collect()
            })
        });
        found.map(|circle| told(&circle).replace("shop/", ""))
    }

    #[test]
    fn the_shortest_way_back_is_told_and_others_circles_are_not() {
        let edges: &[(&str, &[&str])] = &[
            ("a", &["b", "c"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("d", &["a"]),
            ("e", &["e"]),
        ];
        assert_eq!(circle("a", edges).as_deref(), Some("a -> c -> a"));
        assert_eq!(circle("b", edges).as_deref(), Some("b -> c -> a -> b"));
        assert_eq!(circle("e", edges).as_deref(), Some("e -> e"));
        assert_eq!(circle("d", edges), None);
        assert_eq!(circle("unknown", edges), None);
    }
}
