use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{diff, merge, within};

fn paths(left: &Value, right: &Value) -> Vec<String> {
    diff(left, right)
        .into_iter()
        .map(|found| found.path)
        .collect()
}

#[test]
fn a_field_that_somebody_else_set_stays_until_the_applier_changes_it() {
    let file = json!({ "images": { "app": { "repository": "r", "tag": "1" } } });
    let table = json!({ "images": { "app": { "repository": "r", "tag": "2" } } });
    assert_eq!(merge(&file, &file, &table), table);
    let next = json!({ "images": { "app": { "repository": "r", "tag": "3" } } });
    assert_eq!(merge(&file, &next, &table), next);
}

#[test]
fn a_first_apply_writes_every_field_of_the_file_and_removes_none() {
    let table = json!({ "suspend": true, "images": { "app": { "tag": "1" } } });
    let file = json!({ "images": { "app": { "tag": "2" } } });
    let merged = json!({ "suspend": true, "images": { "app": { "tag": "2" } } });
    assert_eq!(merge(&Value::Null, &file, &table), merged);
}

#[test]
fn what_the_applier_took_out_goes_and_what_others_added_stays() {
    let base = json!({ "images": { "a": 1, "b": 2 }, "prune": true,
        "services": [{ "name": "a" }, { "name": "b" }] });
    let table = json!({ "images": { "a": 1, "b": 2, "c": 3 }, "prune": true, "suspend": true,
        "services": [{ "name": "a" }, { "name": "b" }, { "name": "c" }] });
    let file = json!({ "images": { "a": 1 } });
    let merged = json!({ "images": { "a": 1, "c": 3 }, "suspend": true,
        "services": [{ "name": "c" }] });
    assert_eq!(merge(&base, &file, &table), merged);
    // Nothing is left of a collection that only the applier filled.
    assert_eq!(merge(&base, &json!({}), &base), json!({}));
}

#[test]
fn an_element_that_is_taken_out_goes_whole() {
    // Half an element (a name and what somebody else set) would be no element.
    let base = json!({ "services": [{ "name": "a", "x": 1 }] });
    let table = json!({ "services": [{ "name": "a", "x": 1, "y": 2 }] });
    assert_eq!(merge(&base, &json!({}), &table), json!({}));
}

#[test]
fn an_element_that_somebody_removed_stays_removed_until_it_is_changed() {
    let base = json!({ "migrations": [{ "name": "a", "timeout": "1h" }, { "name": "b" }] });
    let table = json!({ "migrations": [{ "name": "b" }] });
    assert_eq!(merge(&base, &base, &table), table);
    let file = json!({ "migrations": [{ "name": "a", "timeout": "2h" }, { "name": "b" }] });
    assert_eq!(merge(&base, &file, &table), file);
}

#[test]
fn the_files_order_of_named_elements_is_kept() {
    let list = |names: &[&str]| -> Value {
        json!({ "m": names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() })
    };
    let merged = |base: &[&str], file: &[&str], table: &[&str]| {
        let merged = merge(&list(base), &list(file), &list(table));
        let names = merged["m"].as_array().unwrap().iter();
        names
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        merged(&["a", "b"], &["0", "a", "b"], &["a", "b"]),
        ["0", "a", "b"]
    );
    assert_eq!(merged(&["a", "b"], &["b", "a"], &["a", "b"]), ["b", "a"]);
    // What others added stays behind what it followed.
    assert_eq!(
        merged(&["a", "b"], &["b", "a", "c"], &["a", "x", "b", "y"]),
        ["b", "y", "a", "x", "c"]
    );
    // Others' order stands while the file's does not change.
    assert_eq!(
        merged(&["a", "b"], &["a", "b"], &["b", "x", "a"]),
        ["b", "x", "a"]
    );
}

#[test]
fn lists_without_names_are_one_value() {
    let base = json!({ "command": ["a", "b"] });
    let table = json!({ "command": ["a", "x"] });
    assert_eq!(merge(&base, &base, &table), table);
    let file = json!({ "command": ["a", "b", "c"] });
    assert_eq!(merge(&base, &file, &table), file);
    // Names that come twice name nothing.
    let base = json!({ "l": [{ "name": "a", "v": 1 }, { "name": "a", "v": 2 }] });
    let table = json!({ "l": [{ "name": "a", "v": 3 }] });
    assert_eq!(merge(&base, &base, &table), table);
}

#[test]
fn a_tag_and_a_digest_never_end_up_together() {
    let tag = |tag: &str| json!({ "repository": "r", "tag": tag });
    let digest = json!({ "repository": "r", "digest": "sha256:1" });
    assert_eq!(merge(&tag("1"), &tag("1"), &digest), digest);
    assert_eq!(merge(&tag("1"), &tag("2"), &digest), tag("2"));
    assert_eq!(merge(&tag("1"), &digest, &tag("5")), digest);
    let moved = json!({ "repository": "other", "tag": "1" });
    let expected = json!({ "repository": "other", "digest": "sha256:1" });
    assert_eq!(merge(&tag("1"), &moved, &digest), expected);
}

#[test]
fn a_definitions_source_changes_as_a_whole() {
    let base = json!({ "family": "f", "registeredBy": "terraform" });
    let table = json!({ "service": "s" });
    let file = json!({ "inline": { "family": "g" } });
    assert_eq!(merge(&base, &file, &table), file);
    assert_eq!(merge(&base, &base, &table), table);
    let file = json!({ "family": "f2", "registeredBy": "terraform" });
    assert_eq!(merge(&base, &file, &table), file);
}

#[test]
fn an_object_that_becomes_a_value_is_replaced() {
    let base = json!({ "f": { "a": 1 } });
    assert_eq!(merge(&base, &json!({ "f": 1 }), &base), json!({ "f": 1 }));
    assert_eq!(merge(&json!({ "f": 1 }), &base, &json!({ "f": 2 })), base);
}

#[test]
fn differences_are_named_by_element_and_field() {
    let left = json!({ "spec": { "services": [
        { "name": "app", "images": { "app": "a" } }, { "name": "web" },
    ], "labels": { "a.b/c": "1" } } });
    let right = json!({ "spec": { "services": [
        { "name": "web" }, { "name": "app", "images": { "app": "b" } }, { "name": "new" },
    ], "labels": { "a.b/c": "2" }, "suspend": true } });
    assert_eq!(
        paths(&left, &right),
        [
            "spec.services[app].images.app",
            "spec.services[new]",
            "spec.services",
            "spec.labels.\"a.b/c\"",
            "spec.suspend",
        ]
    );
}

#[test]
fn a_path_lies_within_another_by_whole_fields() {
    assert!(within("spec.images.app.tag", "spec.images"));
    assert!(within("spec.services[app]", "spec.services"));
    assert!(within("spec", "spec"));
    assert!(!within("spec.imagesets", "spec.images"));
    assert!(!within("spec.images", "spec.images.app"));
}

fn image() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[12]".prop_map(|tag| json!({ "repository": "r", "tag": tag })),
        "[12]".prop_map(|digest| json!({ "repository": "r", "digest": digest })),
    ]
}

fn element(name: String) -> impl Strategy<Value = Value> {
    let images = btree_map("[ab]", "[xy]", 0..2);
    (images, vec("[ab]", 0..3), proptest::option::of("[12]")).prop_map(
        move |(images, depends_on, timeout)| {
            let mut element = json!({ "name": name, "dependsOn": depends_on });
            if !images.is_empty() {
                element["images"] = json!(images);
            }
            if let Some(timeout) = timeout {
                element["rollout"] = json!({ "timeout": timeout });
            }
            element
        },
    )
}

/// Some of these names in some order, each once.
fn elements(names: &'static [&'static str]) -> impl Strategy<Value = Vec<Value>> {
    proptest::sample::subsequence(names, 0..=names.len())
        .prop_shuffle()
        .prop_flat_map(|names| {
            names
                .into_iter()
                .map(|name| element(name.to_owned()))
                .collect::<Vec<_>>()
        })
}

fn images() -> impl Strategy<Value = Map<String, Value>> {
    btree_map("[abc]", image(), 0..3).prop_map(|images| images.into_iter().collect())
}

/// A document as the wire types write it: what is empty is absent.
fn assemble(images: Map<String, Value>, services: Vec<Value>, suspend: Option<bool>) -> Value {
    let mut spec = Map::new();
    if !images.is_empty() {
        spec.insert("images".to_owned(), Value::Object(images));
    }
    if !services.is_empty() {
        spec.insert("services".to_owned(), Value::Array(services));
    }
    if let Some(suspend) = suspend {
        spec.insert("suspend".to_owned(), suspend.into());
    }
    json!({ "metadata": {}, "spec": spec })
}

fn document() -> impl Strategy<Value = Value> {
    (
        images(),
        elements(&["a", "b", "c", "d"]),
        any::<Option<bool>>(),
    )
        .prop_map(|(images, services, suspend)| assemble(images, services, suspend))
}

/// The same but for the order of named elements.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(unordered).collect();
            if items.iter().all(|item| item.get("name").is_some()) {
                items.sort_by_key(|item| item["name"].to_string());
            }
            items.into()
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), unordered(value)))
            .collect(),
        other => other.clone(),
    }
}

fn at_most_one(value: &Value, names: &[&str]) -> bool {
    match value {
        Value::Object(fields) => {
            names
                .iter()
                .filter(|name| fields.contains_key(**name))
                .count()
                <= 1
                && fields.values().all(|value| at_most_one(value, names))
        }
        Value::Array(items) => items.iter().all(|item| at_most_one(item, names)),
        _ => true,
    }
}

proptest! {
    #[test]
    fn applying_the_same_file_twice_changes_nothing(
        base in document(), file in document(), table in document(),
    ) {
        let once = merge(&base, &file, &table);
        prop_assert_eq!(merge(&file, &file, &once), once);
    }

    #[test]
    fn an_unchanged_file_leaves_the_table_as_it_is(file in document(), table in document()) {
        prop_assert_eq!(merge(&file, &file, &table), table);
    }

    #[test]
    fn where_nobody_else_writes_the_table_becomes_the_file(
        base in document(), file in document(),
    ) {
        prop_assert_eq!(merge(&base, &file, &base), file);
    }

    #[test]
    fn alternatives_exclude_each_other_whoever_chose(
        base in document(), file in document(), table in document(),
    ) {
        prop_assert!(at_most_one(&merge(&base, &file, &table), &["tag", "digest"]));
    }

    #[test]
    fn disjoint_changes_of_two_appliers_commute(
        start in (images(), elements(&["a", "b"]), elements(&["c", "d"]), any::<Option<bool>>()),
        mine in (images(), elements(&["a", "b", "x"])),
        theirs in (elements(&["c", "d", "y"]), any::<Option<bool>>()),
    ) {
        let services = |left: &[Value], right: &[Value]| [left, right].concat();
        let (images, ab, cd, suspend) = start;
        let base = assemble(images.clone(), services(&ab, &cd), suspend);
        let first = assemble(mine.0, services(&mine.1, &cd), suspend);
        let second = assemble(images, services(&ab, &theirs.0), theirs.1);
        let one_way = merge(&base, &second, &merge(&base, &first, &base));
        let other_way = merge(&base, &first, &merge(&base, &second, &base));
        prop_assert_eq!(unordered(&one_way), unordered(&other_way));
    }

    #[test]
    fn only_equal_documents_do_not_differ(left in document(), right in document()) {
        prop_assert_eq!(diff(&left, &right).is_empty(), left == right);
    }
}
