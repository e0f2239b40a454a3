//! From text to nodes: documents, anchors and merge keys, scalars.

use std::collections::HashMap;

use serde_json::Number;
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::{Document, Entry, Node, NodeKind, Position, TextError};

/// How many nodes one file may grow to, aliases expanded.
const NODE_BUDGET: usize = 200_000;

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
