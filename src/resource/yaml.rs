//! YAML (and so JSON) text as a tree that knows the place of every node.
//!
//! Scalars follow YAML 1.2's core schema with strict booleans: only `true` and `false` are ones,
//! `yes`, `no`, `on` and `off` are text. Anchors, aliases and merge keys are resolved here, within
//! a budget, so that nothing above needs to know of them.

mod reader;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::Marker;

use super::path::{FieldPath, Step};

pub use reader::documents;

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// One node of a document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, with its text as it was written.
    Number(Number, String),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
    /// Something that could not be read, which has been told of.
    Unreadable,
}

/// One member of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub position: Position,
    /// Its value.
    pub value: Node,
}

/// Something wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// Where.
    pub position: Position,
    /// What.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Node {
    /// The member of a mapping.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        match &self.kind {
            NodeKind::Map(entries) => entries.iter().find(|entry| entry.name == name),
            _ => None,
        }
    }

    /// The text of a string node.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The node as a JSON value.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Null | NodeKind::Unreadable => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Number(number, _) => Value::Number(number.clone()),
            NodeKind::String(text) => Value::String(text.clone()),
            NodeKind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            NodeKind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|e| (e.name.clone(), e.value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The place to point at for a field: a scalar's own, the name's for a mapping or list, and
    /// the nearest thing above for what is not there.
    pub fn locate(&self, path: &FieldPath) -> Position {
        let (mut node, mut best) = (self, self.position);
        for step in path.steps() {
            let (next, place) = match (step, &node.kind) {
                (Step::Key(name), NodeKind::Map(_)) => match node.get(name) {
                    Some(entry) => (&entry.value, entry.position),
                    None => return best,
                },
                (Step::Index(index), NodeKind::List(items)) => match items.get(*index) {
                    Some(item) => (item, item.position),
                    None => return best,
                },
                _ => return best,
            };
            best = match next.kind {
                NodeKind::Map(_) | NodeKind::List(_) | NodeKind::Null => place,
                _ => next.position,
            };
            node = next;
        }
        best
    }

    fn size(&self) -> usize {
        match &self.kind {
            NodeKind::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            NodeKind::Map(entries) => 1 + entries.iter().map(|e| e.value.size()).sum::<usize>(),
            _ => 1,
        }
    }
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its root.
    pub root: Node,
    /// Whether nothing was wrong with its text.
    pub is_clean: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<Value> {
        let (documents, errors) = documents(text);
        assert_eq!(errors, [], "{text}");
        documents
            .iter()
            .map(|document| document.root.to_json())
            .collect()
    }

    #[test]
    fn scalars_follow_the_core_schema_with_strict_booleans() {
        let text = "[true, True, yes, off, null, ~, 12, -3, +4, 0x10, 0o17, 1.5, .5, 1e3, 1e, 1.2.3, \
                    2026-11-20, 12e4567, 7b1d9e04, '12', \"true\", !!str 12, 18446744073709551615]";
        assert_eq!(
            read(text),
            [json!([
                true,
                "True",
                "yes",
                "off",
                null,
                null,
                12,
                -3,
                4,
                16,
                15,
                1.5,
                0.5,
                1000.0,
                "1e",
                "1.2.3",
                "2026-11-20",
                "12e4567",
                "7b1d9e04",
                "12",
                "true",
                "12",
                u64::MAX
            ])]
        );
    }

    #[test]
    fn documents_are_read_one_by_one_and_empty_ones_skipped() {
        let text = "# only a comment\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n";
        assert_eq!(read(text), [json!({"a": 1}), json!({"b": 2})]);
        assert!(read("").is_empty());
        assert_eq!(
            read("\u{feff}a: 1\r\nb:\r\n  - 2\r\n"),
            [json!({"a": 1, "b": [2]})]
        );
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let text =
            "base: &base {a: 1, b: 2}\none: {<<: *base, b: 3}\ntwo: {b: 4, <<: [*base, {c: 5}]}\n";
        assert_eq!(
            read(text),
            [json!({
                "base": {"a": 1, "b": 2},
                "one": {"b": 3, "a": 1},
                "two": {"b": 4, "a": 1, "c": 5},
            })]
        );
    }

    #[test]
    fn json_is_read_as_it_is() {
        let text = "{\n\t\"a\": [1, 2.5, \"x\\u00e9\\ud83d\\ude00\\/\"],\n\t\"b\": null\n}";
        assert_eq!(read(text), [json!({"a": [1, 2.5, "xé😀/"], "b": null})]);
    }

    #[test]
    fn aliases_that_grow_without_end_are_stopped() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = level - 1;
            let ten = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{ten}]\n"));
        }
        let (_, errors) = documents(&text);
        assert!(
            errors
                .iter()
                .any(|error| error.message.contains("grows beyond")),
            "{errors:?}"
        );
    }

    #[test]
    fn places_are_those_of_scalars_and_of_the_names_of_mappings() {
        let (documents, _) = documents("spec:\n  images:\n    app: {tag: \"1\"}\n");
        let path = FieldPath::root().key("spec").key("images").key("app");
        let place = |path: &FieldPath| {
            let position = documents[0].root.locate(path);
            (position.line, position.column)
        };
        assert_eq!(place(&path), (3, 5));
        assert_eq!(place(&path.key("tag")), (3, 16));
        assert_eq!(place(&path.key("missing").key("below")), (3, 5));
    }
}
