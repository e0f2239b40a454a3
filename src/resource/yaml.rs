//! YAML (and so JSON) text as a tree that knows the place of every node.
//!
//! Scalars follow YAML 1.2's core schema with strict booleans: only `true` and `false` are ones,
//! `yes`, `no`, `on` and `off` are text. Anchors, aliases and merge keys are resolved here, within
//! a budget, so that nothing above needs to know of them.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{
    Event, Marker, Options, Parser, ScalarStyle, ScanError, StrInput, Tag,
};

use super::path::{FieldPath, Step};

/// How many nodes one file may grow to, aliases expanded.
const NODE_BUDGET: usize = 200_000;

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

/// Reads every document of a text. A document that cannot be read is left out, and the next one
/// is read all the same.
pub fn documents(text: &str) -> (Vec<Document>, Vec<TextError>) {
    let json;
    let text = match tabs_of_json(text) {
        Some(spaces) => {
            json = spaces;
            json.as_str()
        }
        None => text,
    };
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        budget: NODE_BUDGET,
        errors: Vec::new(),
    };
    let mut documents = Vec::new();
    loop {
        let errors_before = reader.errors.len();
        match reader.next_document() {
            Ok(Some(root)) if matches!(root.kind, NodeKind::Null) => {}
            Ok(Some(root)) => {
                let is_clean = reader.errors.len() == errors_before;
                documents.push(Document { root, is_clean });
            }
            Ok(None) => break,
            Err(error) => {
                reader.errors.push(error);
                if !matches!(reader.parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    (documents, reader.errors)
}

/// JSON may be indented with tabs, which YAML refuses. A tab cannot stand inside a JSON string,
/// so each one can become a space without moving anything.
fn tabs_of_json(text: &str) -> Option<String> {
    let is_json = text.contains('\t')
        && text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    is_json.then(|| text.replace('\t', " "))
}

struct Reader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, Node>,
    budget: usize,
    errors: Vec<TextError>,
}

impl<'input> Reader<'input> {
    /// The root of the next document; none at the end of the text.
    fn next_document(&mut self) -> Result<Option<Node>, TextError> {
        loop {
            match self.event()? {
                None | Some((Event::StreamEnd, _)) => return Ok(None),
                Some((Event::DocumentStart(..), _)) => {
                    self.anchors.clear();
                    let Some((event, position)) = self.event()? else {
                        return Ok(None);
                    };
                    if matches!(event, Event::DocumentEnd) {
                        continue;
                    }
                    return self.node(event, position).map(Some);
                }
                Some(_) => {}
            }
        }
    }

    fn event(&mut self) -> Result<Option<(Event<'input>, Position)>, TextError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, Position::from(&span.start)))),
            Some(Err(error)) => Err(syntax_error(&error)),
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'input>, position: Position) -> Result<Node, TextError> {
        self.spend(1, position)?;
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), position), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), position);
                (self.list()?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), position);
                (self.map()?, anchor)
            }
            Event::Alias(id) => (self.alias(id, position)?, 0),
            Event::UnresolvedAlias(name) => {
                self.error(
                    position,
                    format!("there is no anchor `&{name}` above this alias"),
                    None,
                );
                (NodeKind::Unreadable, 0)
            }
            _ => {
                return Err(TextError {
                    position,
                    message: "the document ends in the middle of a value".to_owned(),
                    help: None,
                });
            }
        };
        let node = Node { position, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<NodeKind, TextError> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                None | Some((Event::SequenceEnd, _)) => return Ok(NodeKind::List(items)),
                Some((event, position)) => items.push(self.node(event, position)?),
            }
        }
    }

    fn map(&mut self) -> Result<NodeKind, TextError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, position) = match self.event()? {
                None | Some((Event::MappingEnd, _)) => break,
                Some(event) => event,
            };
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let name = self.key(event, position)?;
            let value = match self.event()? {
                Some((event, position)) => self.node(event, position)?,
                None => break,
            };
            if is_merge {
                merged.push((position, value));
            } else if let Some(first) = entries.iter().find(|entry| entry.name == name) {
                let message = format!(
                    "`{name}` is given twice in this mapping; the first is on line {}",
                    first.position.line
                );
                self.error(position, message, Some("keep one of them"));
            } else {
                entries.push(Entry {
                    name,
                    position,
                    value,
                });
            }
        }
        for (position, value) in merged {
            self.merge(&mut entries, value, position);
        }
        Ok(NodeKind::Map(entries))
    }

    fn key(&mut self, event: Event<'input>, position: Position) -> Result<String, TextError> {
        if let Event::Scalar(text, _, _, _) = &event {
            let name = text.to_string();
            self.node(event, position)?;
            return Ok(name);
        }
        match self.node(event, position)?.kind {
            NodeKind::String(name) => Ok(name),
            _ => {
                self.error(
                    position,
                    "a member's name must be plain text".to_owned(),
                    None,
                );
                Ok(String::new())
            }
        }
    }

    /// Puts in what a merge key (`<<`) brings; what is written out wins.
    fn merge(&mut self, entries: &mut Vec<Entry>, value: Node, position: Position) {
        match value.kind {
            NodeKind::Map(brought) => {
                for entry in brought {
                    if !entries.iter().any(|known| known.name == entry.name) {
                        entries.push(entry);
                    }
                }
            }
            NodeKind::List(items) => {
                for item in items {
                    self.merge(entries, item, position);
                }
            }
            _ => self.error(
                position,
                "`<<` takes a mapping or a list of mappings".to_owned(),
                Some("write for example `<<: *defaults`"),
            ),
        }
    }

    fn alias(&mut self, id: usize, position: Position) -> Result<NodeKind, TextError> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            self.error(
                position,
                "this alias stands inside the value that it names".to_owned(),
                None,
            );
            return Ok(NodeKind::Unreadable);
        };
        self.spend(node.size(), position)?;
        Ok(node.kind)
    }

    fn spend(&mut self, nodes: usize, position: Position) -> Result<(), TextError> {
        match self.budget.checked_sub(nodes) {
            Some(rest) => {
                self.budget = rest;
                Ok(())
            }
            None => Err(TextError {
                position,
                message: format!("the file grows beyond {NODE_BUDGET} values"),
                help: Some("use fewer aliases, or split it".to_owned()),
            }),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        position: Position,
    ) -> NodeKind {
        match tag.map(|tag| tag.core_suffix()) {
            None if style == ScalarStyle::Plain => resolve_plain(text),
            None | Some(Some("str")) => NodeKind::String(text.to_owned()),
            Some(Some(_)) => resolve_plain(text),
            Some(None) => {
                self.refuse_tag(tag, position);
                NodeKind::String(text.to_owned())
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, position: Position) {
        if let Some(tag) = tag.filter(|tag| tag.core_suffix().is_none()) {
            let message = format!("the tag `{}` means nothing here", tag.original());
            self.error(position, message, Some("leave it out"));
        }
    }

    fn error(&mut self, position: Position, message: String, help: Option<&str>) {
        self.errors.push(TextError {
            position,
            message,
            help: help.map(str::to_owned),
        });
    }
}

/// What a plain scalar means in YAML 1.2's core schema, with strict booleans.
fn resolve_plain(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" => return NodeKind::Bool(true),
        "false" => return NodeKind::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(number) => NodeKind::Number(number, text.to_owned()),
        None => NodeKind::String(text.to_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.is_empty() {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = plain.parse::<i64>() {
            return Some(Number::from(number));
        }
        return plain
            .parse::<u64>()
            .ok()
            .map(Number::from)
            .or_else(|| float(plain));
    }
    let shape = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+');
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if starts && unsigned.bytes().all(shape) && unsigned.bytes().any(|b| b.is_ascii_digit()) {
        return float(text.strip_prefix('+').unwrap_or(text));
    }
    None
}

fn float(text: &str) -> Option<Number> {
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn syntax_error(error: &ScanError) -> TextError {
    let info = error.info();
    let help = if info.contains("tab") {
        Some("indent with spaces")
    } else if info.contains("mapping values are not allowed") {
        Some("look at the indentation, or put text that holds `: ` in quotes")
    } else if info.contains("did not find expected key") {
        Some("look at the indentation of this line and the one above")
    } else if info.contains("unclosed quote") {
        Some("close the quote")
    } else {
        None
    };
    TextError {
        position: Position::from(error.marker()),
        message: format!("this is not valid YAML: {info}"),
        help: help.map(str::to_owned),
    }
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
