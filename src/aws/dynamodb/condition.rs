//! Conditions of writes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

use super::item::to_attribute;

/// What must hold of the item that is there for a write to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// There is no such item.
    Absent,
    /// There is such an item.
    Present,
    /// The item has the attribute.
    Has(&'static str),
    /// The item has the attribute, with this value.
    Equals(&'static str, Value),
    /// All of these.
    All(Vec<Condition>),
    /// Any of these.
    Any(Vec<Condition>),
}

/// A condition as the API takes it.
#[derive(Debug, Default)]
pub(super) struct Expression {
    pub text: Option<String>,
    pub names: Option<HashMap<String, String>>,
    pub values: Option<HashMap<String, AttributeValue>>,
}

impl Expression {
    pub fn of(condition: Option<&Condition>) -> Self {
        let Some(condition) = condition else {
            return Self::default();
        };
        let mut names = HashMap::new();
        let mut values = HashMap::new();
        let text = render(condition, &mut names, &mut values);
        // Empty maps are refused.
        Self {
            text: Some(text),
            names: (!names.is_empty()).then_some(names),
            values: (!values.is_empty()).then_some(values),
        }
    }
}

fn render(
    condition: &Condition,
    names: &mut HashMap<String, String>,
    values: &mut HashMap<String, AttributeValue>,
) -> String {
    let mut name = |attribute: &str| {
        // Many plain words are reserved, so every name goes through a placeholder.
        let placeholder = format!("#{attribute}");
        names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    };
    match condition {
        Condition::Absent => format!("attribute_not_exists({})", name("pk")),
        Condition::Present => format!("attribute_exists({})", name("pk")),
        Condition::Has(attribute) => format!("attribute_exists({})", name(attribute)),
        Condition::Equals(attribute, value) => {
            let name = name(attribute);
            let placeholder = format!(":v{}", values.len());
            values.insert(placeholder.clone(), to_attribute(value));
            format!("{name} = {placeholder}")
        }
        Condition::All(parts) => join(parts, " AND ", names, values),
        Condition::Any(parts) => join(parts, " OR ", names, values),
    }
}

fn join(
    parts: &[Condition],
    word: &str,
    names: &mut HashMap<String, String>,
    values: &mut HashMap<String, AttributeValue>,
) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| format!("({})", render(part, names, values)))
        .collect();
    parts.join(word)
}
