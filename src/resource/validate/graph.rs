//! `dependsOn`: services exist, and nothing waits for itself.

use std::collections::BTreeMap;

use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::Service;
use crate::resource::suggest;

pub(super) fn depends_on(services: &[Service], list: &FieldPath, errors: &mut Vec<FieldError>) {
    let places: BTreeMap<&str, usize> = services
        .iter()
        .enumerate()
        .rev()
        .map(|(place, s)| (s.name.as_str(), place))
        .collect();
    let edges: Vec<Vec<usize>> = services
        .iter()
        .map(|s| {
            s.depends_on
                .iter()
                .filter_map(|name| places.get(name.as_str()).copied())
                .collect()
        })
        .collect();
    for (place, service) in services.iter().enumerate() {
        for (index, name) in service.depends_on.iter().enumerate() {
            let path = list.index(place).key("dependsOn").index(index);
            if !places.contains_key(name.as_str()) {
                let mut error = FieldError::new(
                    path,
                    format!("there is no service `{name}` in this release"),
                )
                .looked_in(list.clone());
                error.help = suggest::did_you_mean(name, places.keys().copied());
                errors.push(error);
            } else if service.depends_on[..index].contains(name) {
                errors.push(
                    FieldError::new(path, format!("`{name}` is given twice")).help("take one out"),
                );
            }
        }
    }
    for cycle in cycles(&edges) {
        let names: Vec<&str> = cycle
            .iter()
            .chain(cycle.first())
            .map(|place| services[*place].name.as_str())
            .collect();
        let path = list.index(cycle[0]).key("dependsOn");
        let message = format!("these services wait for each other: {}", names.join(" -> "));
        errors.push(FieldError::new(path, message).help("take one of these dependencies out"));
    }
}

/// One cycle for each knot of the graph, beginning with its first member.
fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    for start in 0..edges.len() {
        if found.iter().any(|cycle| cycle.contains(&start)) {
            continue;
        }
        if let Some(cycle) = way_back(start, edges) {
            let in_known_knot = found
                .iter()
                .any(|known| known.iter().any(|n| cycle.contains(n)));
            if !in_known_knot {
                found.push(cycle);
            }
        }
    }
    found
}

/// The shortest way from a service back to itself.
fn way_back(start: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut from: Vec<Option<usize>> = vec![None; edges.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in &edges[at] {
            if *next == start {
                let mut way = vec![at];
                let mut back = at;
                while let Some(before) = from[back].filter(|_| back != start) {
                    way.push(before);
                    back = before;
                }
                way.reverse();
                return Some(way);
            }
            if from[*next].is_none() {
                from[*next] = Some(at);
                queue.push_back(*next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(services: &[(&str, &[&str])]) -> Vec<String> {
        let services: Vec<Service> = services
            .iter()
            .map(|(name, depends_on)| Service {
                name: (*name).to_owned(),
                depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
                ..Service::default()
            })
            .collect();
        let mut errors = Vec::new();
        depends_on(
            &services,
            &FieldPath::root().key("spec").key("services"),
            &mut errors,
        );
        errors
            .iter()
            .map(|error| format!("{}: {}", error.path, error.message))
            .collect()
    }

    #[test]
    fn a_chain_is_fine() {
        assert!(messages(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]).is_empty());
        assert!(messages(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]).is_empty());
    }

    #[test]
    fn a_cycle_is_named_in_full_and_once() {
        assert_eq!(
            messages(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]),
            ["spec.services[1].dependsOn: these services wait for each other: a -> b -> c -> a"]
        );
        assert_eq!(
            messages(&[("a", &["a"])]),
            ["spec.services[0].dependsOn: these services wait for each other: a -> a"]
        );
    }

    #[test]
    fn two_cycles_are_both_told() {
        let told = messages(&[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])]);
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn a_service_that_is_not_there_and_one_named_twice() {
        assert_eq!(
            messages(&[("a", &["bb", "c", "c"]), ("b", &[]), ("c", &[])]),
            [
                "spec.services[0].dependsOn[0]: there is no service `bb` in this release",
                "spec.services[0].dependsOn[2]: `c` is given twice",
            ]
        );
    }
}
