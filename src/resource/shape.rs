//! The shape of a document, checked against the types' own schema: unknown fields, wrong types,
//! missing fields and unknown words, all of them at once.
//!
//! serde stops at the first error. So the schema that schemars derives of the very types that serde
//! reads is walked first; what is wrong is told and taken out (or replaced by a stand-in where
//! something must be), so that the rest can be read and checked too.

use serde_json::{Map, Value};

use super::hidden;
use super::path::FieldPath;
use super::suggest;
use super::yaml::{Entry, Node, NodeKind, Position};

/// What is wrong with the shape of a document.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong, in the order of the document.
    pub errors: Vec<ShapeError>,
    /// Fields whose value could not be taken: later checks say nothing about them.
    pub broken: Vec<FieldPath>,
}

/// One thing wrong with the shape.
#[derive(Debug)]
pub struct ShapeError {
    /// The field.
    pub path: FieldPath,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The place, where it is not that of the field's value.
    pub position: Option<Position>,
}

/// What to say of a field that is not known, instead of a suggestion.
pub type NotYet<'a> = &'a dyn Fn(&FieldPath) -> bool;

/// Checks a node and gives what of it can be used; none when nothing can.
pub fn check(
    node: &Node,
    schema: &Value,
    path: &FieldPath,
    not_yet: NotYet<'_>,
    report: &mut Report,
) -> Option<Value> {
    Walker { not_yet, report }.value(node, schema, path)
}

struct Walker<'a> {
    not_yet: NotYet<'a>,
    report: &'a mut Report,
}

impl Walker<'_> {
    fn value(&mut self, node: &Node, schema: &Value, path: &FieldPath) -> Option<Value> {
        if matches!(node.kind, NodeKind::Unreadable) {
            self.report.broken.push(path.clone());
            return None;
        }
        let schema = without_null(schema);
        if let Some(words) = words(schema) {
            return self.word(node, &words, path);
        }
        match schema.get("type").and_then(type_name) {
            Some("object") => self.object(node, schema, path),
            Some("array") => self.list(node, schema, path),
            Some("string") => match &node.kind {
                NodeKind::String(text) => Some(Value::String(text.clone())),
                _ => {
                    let example = schema.get("example").and_then(Value::as_str);
                    self.wrong_type_or(node, "text", path, example)
                }
            },
            Some("boolean") => match &node.kind {
                NodeKind::Bool(value) => Some(Value::Bool(*value)),
                _ => self.wrong_type(node, "true or false", path),
            },
            Some("integer") => self.integer(node, schema, path),
            Some("number") => match &node.kind {
                NodeKind::Number(number, _) => Some(Value::Number(number.clone())),
                _ => self.wrong_type(node, "a number", path),
            },
            _ => Some(node.to_json()),
        }
    }

    fn object(&mut self, node: &Node, schema: &Value, path: &FieldPath) -> Option<Value> {
        let NodeKind::Map(entries) = &node.kind else {
            return self.wrong_type(node, "a mapping", path);
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema
            .get("additionalProperties")
            .filter(|other| other.is_object());
        let mut kept = Map::new();
        for entry in entries {
            let here = path.key(entry.name.as_str());
            let known = properties.and_then(|properties| properties.get(&entry.name));
            let Some(of_entry) = known.or(others) else {
                match properties {
                    Some(properties) => self.unknown_field(entry, properties, path),
                    None => {
                        kept.insert(entry.name.clone(), entry.value.to_json());
                    }
                }
                continue;
            };
            if known.is_some() && matches!(entry.value.kind, NodeKind::Null) {
                continue;
            }
            match self.value(&entry.value, of_entry, &here) {
                Some(value) => {
                    kept.insert(entry.name.clone(), value);
                }
                None if known.is_none() => {
                    kept.insert(entry.name.clone(), stand_in(of_entry));
                }
                None => {}
            }
        }
        self.required(node, schema, path, &mut kept);
        Some(Value::Object(kept))
    }

    /// Tells of required fields that are missing, and puts stand-ins where nothing usable is.
    fn required(
        &mut self,
        node: &Node,
        schema: &Value,
        path: &FieldPath,
        kept: &mut Map<String, Value>,
    ) {
        let names = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for name in names.filter_map(Value::as_str) {
            if kept.contains_key(name) {
                continue;
            }
            let here = path.key(name);
            let said = self.report.broken.contains(&here);
            match node.get(name) {
                Some(entry) if matches!(entry.value.kind, NodeKind::Null) => {
                    self.error(here.clone(), "has no value".to_owned(), None);
                }
                None if !said => {
                    let message = format!("`{name}` is missing");
                    let help = what_to_write(name, &schema["properties"][name]);
                    self.error_at(path.clone(), message, help);
                }
                _ => {}
            }
            self.report.broken.push(here);
            kept.insert(name.to_owned(), stand_in(&schema["properties"][name]));
        }
    }

    fn unknown_field(&mut self, entry: &Entry, properties: &Map<String, Value>, path: &FieldPath) {
        let name = entry.name.as_str();
        let here = path.key(name);
        let known = properties.keys().map(String::as_str);
        let (message, help) = if (self.not_yet)(&here) {
            (
                format!("`{name}` is not supported yet"),
                Some("leave it out for now".to_owned()),
            )
        } else {
            if let Some(meant) = suggest::nearest(name, known.clone()) {
                self.report.broken.push(path.key(meant));
            }
            (
                format!("there is no field `{name}`"),
                suggest::did_you_mean(name, known),
            )
        };
        let position = Some(entry.position);
        self.report.errors.push(ShapeError {
            path: here,
            message,
            help,
            position,
        });
    }

    fn list(&mut self, node: &Node, schema: &Value, path: &FieldPath) -> Option<Value> {
        let NodeKind::List(items) = &node.kind else {
            return self.wrong_type(node, "a list", path);
        };
        let of_item = schema.get("items").unwrap_or(&Value::Bool(true));
        let values = items.iter().enumerate().map(|(index, item)| {
            // A stand-in keeps the places of those behind it.
            self.value(item, of_item, &path.index(index))
                .unwrap_or_else(|| stand_in(of_item))
        });
        Some(Value::Array(values.collect()))
    }

    fn integer(&mut self, node: &Node, schema: &Value, path: &FieldPath) -> Option<Value> {
        let NodeKind::Number(number, written) = &node.kind else {
            return self.wrong_type(node, "a whole number", path);
        };
        let (low, high) = integer_bounds(schema);
        match number.as_i128() {
            Some(value) if value >= low && value <= high => Some(Value::Number(number.clone())),
            Some(_) => {
                let message = format!("`{written}` is outside {low} to {high}");
                self.error(path.clone(), message, None);
                None
            }
            None => {
                self.error(
                    path.clone(),
                    format!("`{written}` is not a whole number"),
                    None,
                );
                None
            }
        }
    }

    fn word(&mut self, node: &Node, words: &[&str], path: &FieldPath) -> Option<Value> {
        let listed = words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
        match &node.kind {
            NodeKind::String(text) if words.contains(&text.as_str()) => {
                Some(Value::String(text.clone()))
            }
            NodeKind::String(text) => {
                let help = match suggest::nearest(text, words.iter().copied()) {
                    Some(word) if words.len() > 1 => format!("did you mean `{word}`?"),
                    _ if words.len() == 1 => format!("write {listed}"),
                    _ => format!("write one of {listed}"),
                };
                self.error(
                    path.clone(),
                    format!("`{text}` is not known here"),
                    Some(help),
                );
                None
            }
            _ => self.wrong_type(node, &format!("one of {listed}"), path),
        }
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, path: &FieldPath) -> Option<Value> {
        self.wrong_type_or(node, wanted, path, None)
    }

    fn wrong_type_or(
        &mut self,
        node: &Node,
        wanted: &str,
        path: &FieldPath,
        example: Option<&str>,
    ) -> Option<Value> {
        let hidden = hidden::is_hidden(&path.to_string());
        let quotes = (wanted == "text").then(|| "put it in quotes".to_owned());
        let (found, help) = match &node.kind {
            NodeKind::Bool(_) if hidden => ("true or false".to_owned(), quotes),
            NodeKind::Number(..) if hidden => ("a number".to_owned(), quotes),
            NodeKind::String(_) if hidden => ("text".to_owned(), None),
            NodeKind::Null | NodeKind::Unreadable => ("nothing".to_owned(), None),
            NodeKind::Bool(value) => (format!("`{value}`"), quote(wanted, &value.to_string())),
            NodeKind::Number(_, written) => {
                (format!("the number `{written}`"), quote(wanted, written))
            }
            NodeKind::String(text) => (
                format!("the text `{}`", shortened(text)),
                of_text(wanted, text),
            ),
            NodeKind::List(_) => ("a list".to_owned(), None),
            NodeKind::Map(_) => {
                let help = (wanted == "a list").then(|| "begin each element with `- `".to_owned());
                ("a mapping".to_owned(), help)
            }
        };
        let help = match example {
            Some(example) => Some(format!("write for example `{example}`")),
            None => help,
        };
        self.error(
            path.clone(),
            format!("must be {wanted}, and is {found}"),
            help,
        );
        None
    }

    /// An error at a field whose value cannot be used.
    fn error(&mut self, path: FieldPath, message: String, help: Option<String>) {
        self.report.broken.push(path.clone());
        self.error_at(path, message, help);
    }

    fn error_at(&mut self, path: FieldPath, message: String, help: Option<String>) {
        self.report.errors.push(ShapeError {
            path,
            message,
            help,
            position: None,
        });
    }
}

/// The only value a field can have, or what its documentation says first.
fn what_to_write(name: &str, schema: &Value) -> Option<String> {
    if let Some(value) = schema.get("const").and_then(Value::as_str) {
        return Some(format!("write `{name}: {value}`"));
    }
    let text = schema.get("description")?.as_str()?.lines().next()?;
    Some(text.trim_end_matches('.').to_owned())
}

fn quote(wanted: &str, written: &str) -> Option<String> {
    (wanted == "text").then(|| format!("put it in quotes: \"{written}\""))
}

fn of_text(wanted: &str, text: &str) -> Option<String> {
    match wanted {
        "true or false" => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        "a list" => Some(format!("write a list: [{}]", shortened(text))),
        "a whole number" if text.parse::<i64>().is_ok() => Some("take the quotes away".to_owned()),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 40 || line.len() < text.trim_end().len() {
        return format!("{}...", line.chars().take(40).collect::<String>());
    }
    line.to_owned()
}

/// The schema without the `null` that an optional field's has.
fn without_null(schema: &Value) -> &Value {
    let Some(choices) = schema.get("anyOf").and_then(Value::as_array) else {
        return schema;
    };
    choices
        .iter()
        .find(|choice| choice.get("type").and_then(Value::as_str) != Some("null"))
        .unwrap_or(schema)
}

fn type_name(of: &Value) -> Option<&str> {
    match of {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}

/// The words that a schema of an enum of plain names allows.
fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let choices = schema.get("oneOf").and_then(Value::as_array)?;
    Some(choices.iter().filter_map(words).flatten().collect())
}

fn integer_bounds(schema: &Value) -> (i128, i128) {
    let (low, high) = match schema.get("format").and_then(Value::as_str) {
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64") => (0, i128::from(u64::MAX)),
        Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    let limit = |name: &str| schema.get(name).and_then(Value::as_i64).map(i128::from);
    (
        limit("minimum").unwrap_or(low).max(low),
        limit("maximum").unwrap_or(high).min(high),
    )
}

/// Something of the right type, where the real value cannot be used and something must be.
fn stand_in(schema: &Value) -> Value {
    let schema = without_null(schema);
    if let Some(word) = words(schema).and_then(|words| words.first().copied()) {
        return Value::from(word);
    }
    match schema.get("type").and_then(type_name) {
        Some("object") => {
            let names = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let fields = names
                .filter_map(Value::as_str)
                .map(|name| (name.to_owned(), stand_in(&schema["properties"][name])));
            Value::Object(fields.collect())
        }
        Some("array") => Value::Array(Vec::new()),
        Some("string") => Value::from(""),
        Some("boolean") => Value::Bool(false),
        Some("integer") => Value::from(0),
        Some("number") => Value::from(0),
        _ => Value::Null,
    }
}
