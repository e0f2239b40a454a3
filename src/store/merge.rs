//! Three-way merge of what an applier applied last, what it applies now, and what is there.
//!
//! Fields that the applier changed are written, those that it took out are removed, all others
//! stay as they are. Pure: no table, no clock.
//!
//! - Objects merge field by field.
//! - Lists whose elements all have a `name` merge element by element, by name; other lists are one
//!   value.
//! - Fields of which only one may be given (`tag` or `digest`) change together.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::resource::hidden;

/// Fields of which only one may be there, and fields that go with one of them.
struct Alternatives {
    of: &'static [&'static str],
    with: &'static [&'static str],
}

const ALTERNATIVES: [Alternatives; 3] = [
    Alternatives {
        of: &["tag", "digest"],
        with: &[],
    },
    Alternatives {
        of: &["service", "family", "inline"],
        with: &["registeredBy"],
    },
    Alternatives {
        of: &["launchType", "capacityProviderStrategy"],
        with: &[],
    },
];

/// Objects whose keys people choose. An absent one means the same as an empty one, so taking one
/// out removes the applier's own entries and leaves those of others. Named lists are alike.
const MAPS: [&str; 3] = ["images", "labels", "annotations"];

/// The result of applying `file`, where `base` is what the same applier applied last (`Null` if
/// never) and `table` is what is there.
pub fn merge(base: &Value, file: &Value, table: &Value) -> Value {
    match (file, table) {
        (Value::Object(file), Value::Object(table)) => Value::Object(merge_objects(
            base.as_object().unwrap_or(&Map::new()),
            file,
            table,
        )),
        _ if file == base => table.clone(),
        _ => file.clone(),
    }
}

type Fields = Map<String, Value>;

fn merge_objects(base: &Fields, file: &Fields, table: &Fields) -> Fields {
    let mut merged = Fields::new();
    let together = switched(base, file, table);
    let names = table
        .keys()
        .chain(file.keys().filter(|name| !table.contains_key(*name)));
    for name in names {
        let value = match together
            .iter()
            .find(|group| group.fields.contains(&name.as_str()))
        {
            Some(group) if group.from_file => file.get(name).cloned(),
            Some(_) => table.get(name).cloned(),
            None => merge_field(name, base.get(name), file.get(name), table.get(name)),
        };
        if let Some(value) = value {
            merged.insert(name.clone(), value);
        }
    }
    merged
}

/// Alternatives that are taken from one side as a whole.
struct Switched {
    fields: Vec<&'static str>,
    from_file: bool,
}

/// Alternatives for which file and table made different choices: merging them field by field
/// would end with both.
fn switched(base: &Fields, file: &Fields, table: &Fields) -> Vec<Switched> {
    let mut switched = Vec::new();
    for group in &ALTERNATIVES {
        let choice = |fields: &Fields| -> Vec<&str> {
            group
                .of
                .iter()
                .copied()
                .filter(|name| fields.contains_key(*name))
                .collect()
        };
        if choice(file) == choice(table) {
            continue;
        }
        let fields: Vec<_> = group.of.iter().chain(group.with).copied().collect();
        let unchanged = fields.iter().all(|name| file.get(*name) == base.get(*name));
        switched.push(Switched {
            fields,
            from_file: !unchanged,
        });
    }
    switched
}

fn merge_field(
    name: &str,
    base: Option<&Value>,
    file: Option<&Value>,
    table: Option<&Value>,
) -> Option<Value> {
    if file == base {
        return table.cloned();
    }
    if let Some(lists) = Lists::of(base, file, table) {
        let merged = lists.merge();
        return (!merged.is_empty() || file.is_some()).then_some(Value::Array(merged));
    }
    let empty = Value::Object(Fields::new());
    match (file, table) {
        (Some(file @ Value::Object(_)), Some(table @ Value::Object(_))) => {
            Some(merge(base.unwrap_or(&Value::Null), file, table))
        }
        (None, Some(table @ Value::Object(_))) if MAPS.contains(&name) => {
            let merged = merge(base.unwrap_or(&Value::Null), &empty, table);
            (merged != empty).then_some(merged)
        }
        (file, _) => file.cloned(),
    }
}

/// Three lists of named elements; an absent one is empty.
struct Lists<'a> {
    base: &'a [Value],
    file: &'a [Value],
    table: &'a [Value],
}

impl<'a> Lists<'a> {
    fn of(
        base: Option<&'a Value>,
        file: Option<&'a Value>,
        table: Option<&'a Value>,
    ) -> Option<Self> {
        let file = named(file)?;
        let table = named(table)?;
        if file.is_empty() && table.is_empty() {
            return None;
        }
        // What was there in another shape is no base to compare with.
        Some(Self {
            base: named(base).unwrap_or_default(),
            file,
            table,
        })
    }

    fn merge(&self) -> Vec<Value> {
        let mut merged = Vec::new();
        for name in self.order() {
            let base = find(self.base, name);
            merged.extend(merge_field(
                "",
                base,
                find(self.file, name),
                find(self.table, name),
            ));
        }
        merged
    }

    /// Names of both lists. The table's order stands unless the applier changed its own; then the
    /// file's does, and an element that the file does not have stays behind the one it followed.
    fn order(&self) -> Vec<&'a str> {
        let file = names(self.file);
        let table = names(self.table);
        let (mut order, others) = if names(self.base) == file {
            (table, file)
        } else {
            (file, table)
        };
        let mut at = 0;
        for name in others {
            match order.iter().position(|other| *other == name) {
                Some(place) => at = place + 1,
                None => {
                    order.insert(at, name);
                    at += 1;
                }
            }
        }
        order
    }
}

/// The elements, if each is an object with a name of its own; those of an absent list are none.
fn named(value: Option<&Value>) -> Option<&[Value]> {
    let Some(value) = value else { return Some(&[]) };
    let items = value.as_array()?;
    let mut seen = BTreeSet::new();
    items
        .iter()
        .all(|item| name_of(item).is_some_and(|name| seen.insert(name)))
        .then_some(items)
}

fn name_of(item: &Value) -> Option<&str> {
    item.as_object()?.get("name")?.as_str()
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(name_of).collect()
}

fn find<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    items.iter().find(|item| name_of(item) == Some(name))
}

/// A field in which two documents differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// Where: `spec.services[app].images.app`.
    pub path: String,
    /// The left document's value.
    pub left: Option<Value>,
    /// The right document's value.
    pub right: Option<Value>,
}

impl Divergence {
    /// Both values as they may be told: see [`hidden`].
    pub fn told(&self) -> (Option<Value>, Option<Value>) {
        hidden::told_apart(&self.path, self.left.as_ref(), self.right.as_ref())
    }
}

/// Where two documents differ, by the same notion of fields as [`merge`]. Equal documents have no
/// divergence, and only they.
pub fn diff(left: &Value, right: &Value) -> Vec<Divergence> {
    let mut found = Vec::new();
    diff_field(String::new(), Some(left), Some(right), &mut found);
    found
}

fn diff_field(
    path: String,
    left: Option<&Value>,
    right: Option<&Value>,
    found: &mut Vec<Divergence>,
) {
    if left == right {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (left, right) {
        for name in old
            .keys()
            .chain(new.keys().filter(|name| !old.contains_key(*name)))
        {
            diff_field(join(&path, name), old.get(name), new.get(name), found);
        }
        return;
    }
    if let (Some(old @ [_, ..]), Some(new @ [_, ..])) = (named(left), named(right)) {
        diff_named(&path, old, new, found);
        return;
    }
    found.push(Divergence {
        path,
        left: left.cloned(),
        right: right.cloned(),
    });
}

fn diff_named(path: &str, old: &[Value], new: &[Value], found: &mut Vec<Divergence>) {
    let (before, after) = (names(old), names(new));
    let added = after.iter().filter(|name| !before.contains(name));
    for name in before.iter().chain(added) {
        let path = format!("{path}[{}]", quoted(name));
        diff_field(path, find(old, name), find(new, name), found);
    }
    let common = |of: &[&str], other: &[&str]| -> Vec<Value> {
        of.iter()
            .filter(|name| other.contains(name))
            .map(|name| Value::from(*name))
            .collect()
    };
    let (left, right) = (common(&before, &after), common(&after, &before));
    if left != right {
        let path = path.to_owned();
        found.push(Divergence {
            path,
            left: Some(left.into()),
            right: Some(right.into()),
        });
    }
}

fn join(path: &str, name: &str) -> String {
    let name = quoted(name);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// A name as a path has it; one that a path could not be read back from is quoted.
fn quoted(name: &str) -> String {
    if name.is_empty() || name.contains(['.', '[', ']', '"']) {
        Value::from(name).to_string()
    } else {
        name.to_owned()
    }
}

/// Whether `path` is `outer` or lies within it.
pub fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests;
