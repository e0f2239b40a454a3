//! Reading a call's input: a wrong type is a `SerializationException`, a null is an absence.

use serde_json::{Map, Value};

use super::super::fault::Fault;

/// The input of a call.
#[derive(Clone, Copy)]
pub(super) struct Input<'a>(&'a Map<String, Value>);

/// `InvalidParameterException`.
pub(super) fn invalid(message: impl Into<String>) -> Fault {
    Fault::client("InvalidParameterException", message)
}

/// `ClientException`.
pub(super) fn refused(message: impl Into<String>) -> Fault {
    Fault::client("ClientException", message)
}

fn wrong_type(name: &str, wanted: &str) -> Fault {
    Fault::client(
        "SerializationException",
        format!("The value of {name} cannot be converted to {wanted}"),
    )
}

impl<'a> Input<'a> {
    /// Wraps the members of the input.
    pub fn new(members: &'a Map<String, Value>) -> Self {
        Self(members)
    }

    /// The members as they came.
    pub fn members(&self) -> &'a Map<String, Value> {
        self.0
    }

    /// A member, if it is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        self.get(name)
            .map(|value| value.as_str().ok_or_else(|| wrong_type(name, "String")))
            .transpose()
    }

    /// A text that must be there and not be empty; `message` is ECS's own complaint.
    pub fn needed(&self, name: &str, message: &str) -> Result<&'a str, Fault> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| invalid(message))
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.get(name)
            .map(|value| value.as_i64().ok_or_else(|| wrong_type(name, "Integer")))
            .transpose()
    }

    /// A boolean, false when absent.
    pub fn flag(&self, name: &str) -> Result<bool, Fault> {
        self.get(name).map_or(Ok(false), |value| {
            value.as_bool().ok_or_else(|| wrong_type(name, "Boolean"))
        })
    }

    /// A list, empty when absent.
    pub fn list(&self, name: &str) -> Result<&'a [Value], Fault> {
        self.get(name).map_or(Ok(&[][..]), |value| {
            value
                .as_array()
                .map(Vec::as_slice)
                .ok_or_else(|| wrong_type(name, "List"))
        })
    }

    /// A list of texts, empty when absent.
    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>, Fault> {
        self.list(name)?
            .iter()
            .map(|item| item.as_str().ok_or_else(|| wrong_type(name, "String")))
            .collect()
    }

    /// A structure.
    pub fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Fault> {
        self.get(name)
            .map(|value| {
                value
                    .as_object()
                    .ok_or_else(|| wrong_type(name, "Structure"))
            })
            .transpose()
    }

    /// Whether `include` asks for this.
    pub fn includes(&self, what: &str) -> Result<bool, Fault> {
        Ok(self.texts("include")?.contains(&what))
    }

    /// A list of names of things to describe: between one and `most`.
    pub fn named(&self, name: &str, most: usize) -> Result<Vec<&'a str>, Fault> {
        let names = self.texts(name)?;
        let label = capital(name);
        if names.is_empty() {
            return Err(invalid(format!("{label} cannot be empty.")));
        }
        if names.len() > most {
            return Err(invalid(format!(
                "{label} cannot have more than {most} items."
            )));
        }
        Ok(names)
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

/// Names of clusters, services, families: 1 to 255 letters, digits, `-` and `_`.
pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
