//! JSON values as DynamoDB attributes, and how much room they take.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Number, Value};

use super::Item;

/// The most bytes DynamoDB keeps in one item (400 KB), names included.
pub const MAX_ITEM_BYTES: usize = 400 * 1024;

/// A value as DynamoDB gives it back: numbers lose how they were written, so `1.0` becomes `1`.
/// Values that are compared with stored ones go through this first.
pub fn normalize(value: Value) -> Value {
    match value {
        Value::Number(number) => parse_number(&number.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(normalize).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key, normalize(value)))
                .collect(),
        ),
        other => other,
    }
}

pub(super) fn to_attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(items) => AttributeValue::L(items.iter().map(to_attribute).collect()),
        Value::Object(fields) => AttributeValue::M(to_attributes(fields)),
    }
}

pub(super) fn to_attributes(item: &Item) -> HashMap<String, AttributeValue> {
    item.iter()
        .map(|(name, value)| (name.clone(), to_attribute(value)))
        .collect()
}

pub(super) fn from_attributes(attributes: HashMap<String, AttributeValue>) -> Item {
    let mut fields: Vec<_> = attributes.into_iter().collect();
    // DynamoDB keeps no order among attributes; ours is the names', so that reads are repeatable.
    fields.sort_by(|left, right| left.0.cmp(&right.0));
    fields
        .into_iter()
        .map(|(name, value)| (name, from_attribute(value)))
        .collect()
}

fn from_attribute(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Bool(value) => Value::Bool(value),
        AttributeValue::N(number) => parse_number(&number),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(items) => items.into_iter().map(from_attribute).collect(),
        AttributeValue::M(fields) => Value::Object(from_attributes(fields)),
        AttributeValue::Ss(items) => items.into_iter().map(Value::String).collect(),
        AttributeValue::Ns(items) => items.iter().map(|item| parse_number(item)).collect(),
        // Binary values and types yet to come are never written by evenkeel.
        _ => Value::Null,
    }
}

fn parse_number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    let Ok(number) = text.parse::<f64>() else {
        return Value::Null;
    };
    // Whole numbers below 2^53 are exact in both types.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and below 2^53, as checked"
        )]
        let whole = number as i64;
        return whole.into();
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// How many bytes an item takes by DynamoDB's rules, to within a few.
pub fn size_of(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + size_of_value(value))
        .sum()
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number.to_string().len() / 2 + 2,
        Value::String(text) => text.len(),
        Value::Array(items) => {
            3 + items
                .iter()
                .map(|item| 1 + size_of_value(item))
                .sum::<usize>()
        }
        Value::Object(fields) => 3 + fields.len() + size_of(fields),
    }
}
