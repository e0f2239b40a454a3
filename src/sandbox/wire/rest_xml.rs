//! CloudFront's protocol: the operation in method and path, input and answer in XML.

use serde_json::{Value, json};

use super::{Call, Protocol, Raw, Scope, Unreadable};
use crate::sandbox::json::Object;

/// CloudFront's version, which its paths begin with.
const VERSION: &str = "2020-05-31";
const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

/// Whether a service speaks REST in XML.
pub(super) fn is_rest(service: &str) -> bool {
    service == "cloudfront"
}

/// Reads a request.
pub(super) fn read(raw: &Raw<'_>, scope: &Scope<'_>) -> Result<(Protocol, Call), Unreadable> {
    let path = super::rest::path_and_query(raw.path).0;
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let body = String::from_utf8_lossy(raw.body);
    let (operation, input) = match (raw.method, segments.as_slice()) {
        ("POST", [VERSION, "distribution", id, "invalidation"]) => {
            let paths = all(&body, "Path");
            let batch = json!({
                "CallerReference": all(&body, "CallerReference").first(),
                "Paths": {"Quantity": paths.len(), "Items": paths},
            });
            let input = json!({ "DistributionId": id, "InvalidationBatch": batch });
            ("CreateInvalidation", input)
        }
        ("GET", [VERSION, "distribution", id, "invalidation"]) => {
            ("ListInvalidations", json!({ "DistributionId": id }))
        }
        ("GET", [VERSION, "distribution", id, "invalidation", invalidation]) => {
            let input = json!({ "DistributionId": id, "Id": invalidation });
            ("GetInvalidation", input)
        }
        (method, _) => {
            let message = format!("cloudfront has no operation {method} /{path}");
            let code = "UnknownOperationException";
            return Err(Unreadable::new(Protocol::RestXml, code, message));
        }
    };
    let input = match input {
        Value::Object(input) => input,
        _ => Object::new(),
    };
    Ok((
        Protocol::RestXml,
        Call {
            service: scope.service.to_owned(),
            operation: operation.to_owned(),
            region: scope.region.to_owned(),
            input,
            access_key: Some(scope.access_key.to_owned()),
        },
    ))
}

/// The texts of all elements of a name that hold nothing but text.
fn all(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let elements = xml.split(open.as_str()).skip(1);
    elements
        .filter_map(|rest| Some(plain(rest.split_once(close.as_str())?.0)))
        .collect()
}

fn plain(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// An answer: the one member of its JSON is the element that it consists of.
pub(super) fn answer(value: &Value) -> String {
    let mut xml = r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned();
    let members = value.as_object().into_iter().flatten();
    for (name, member) in members.take(1) {
        xml.push_str(&format!(r#"<{name} xmlns="{NAMESPACE}">"#));
        write(&mut xml, name, member);
        xml.push_str(&format!("</{name}>"));
    }
    xml
}

fn write(xml: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                xml.push_str(&format!("<{name}>"));
                write(xml, name, member);
                xml.push_str(&format!("</{name}>"));
            }
        }
        Value::Array(items) => {
            // CloudFront names the items of a list by what they are.
            let item = match items.first() {
                Some(Value::Object(_)) => "InvalidationSummary",
                _ if name == "Items" => "Path",
                _ => "member",
            };
            for one in items {
                xml.push_str(&format!("<{item}>"));
                write(xml, item, one);
                xml.push_str(&format!("</{item}>"));
            }
        }
        Value::String(text) => xml.push_str(&super::escape(text)),
        Value::Null => {}
        other => xml.push_str(&other.to_string()),
    }
}

/// An error.
pub(super) fn error(status: u16, code: &str, message: &str, request_id: &str) -> String {
    let side = if status < 500 { "Sender" } else { "Receiver" };
    let message = super::escape(message);
    format!(
        r#"<?xml version="1.0"?><ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"#
    )
}
