//! SSM's parameters of one Region. Not played: labels, policies, tiers and other data types.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, epoch, flag, text};

/// Characters that a value of the standard tier may have.
const VALUE: usize = 4096;

/// The parameters of one Region.
#[derive(Default)]
pub(super) struct Ssm {
    /// By name, each with its versions, oldest first.
    parameters: BTreeMap<String, Vec<Version>>,
}

struct Version {
    value: String,
    kind: String,
    at: Timestamp,
}

impl Ssm {
    /// Answers one call.
    pub fn call(&mut self, cx: &Cx<'_>, operation: &str, input: &Object) -> Result<Value, Fault> {
        match operation {
            "GetParameter" => self.get(cx, input),
            "PutParameter" => self.put(cx, input),
            "DeleteParameter" => {
                let name = required(input, "Name")?;
                let found = self.parameters.remove(name);
                found.map(|_| json!({})).ok_or_else(not_found)
            }
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    fn get(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let asked = required(input, "Name")?;
        let (name, version) = self.parse(cx, asked)?;
        let versions = self.parameters.get(&name).ok_or_else(not_found)?;
        let number = version.unwrap_or(versions.len());
        let found = number.checked_sub(1).and_then(|index| versions.get(index));
        let found = found.ok_or_else(|| {
            let message = format!(
                "Systems Manager could not find version {number} of {name}. Verify the version \
                 and try again."
            );
            Fault::client("ParameterVersionNotFound", message)
        })?;
        let encrypted = found.kind == "SecureString" && !flag(input, "WithDecryption");
        let value = match encrypted {
            true => "AQICAHg0000000000000000000000000sandbox",
            false => &found.value,
        };
        let mut parameter = json!({
            "ARN": arn(cx, &name),
            "Name": name,
            "Type": found.kind,
            "Value": value,
            "Version": number,
            "LastModifiedDate": epoch(found.at),
            "DataType": "text",
        });
        if let Some(version) = version {
            parameter["Selector"] = format!(":{version}").into();
        }
        Ok(json!({ "Parameter": parameter }))
    }

    fn put(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = required(input, "Name")?;
        check_name(name)?;
        let value = required(input, "Value")?;
        if value.chars().count() > VALUE {
            return Err(validation(
                "Standard tier parameters support a maximum parameter value of 4096 characters. \
                 To create a larger parameter value, upgrade the parameter to use the \
                 advanced-parameter tier. For more information, see \
                 https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html",
            ));
        }
        let before = self.parameters.get(name).and_then(|it| it.last());
        if before.is_some() && !flag(input, "Overwrite") {
            return Err(Fault::client(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option \
                 in the request to true.",
            ));
        }
        let kind = text(input, "Type").or_else(|| before.map(|it| it.kind.as_str()));
        let kind = match kind {
            Some(kind @ ("String" | "StringList" | "SecureString")) => kind.to_owned(),
            Some(other) => {
                return Err(validation(format!(
                    "1 validation error detected: Value '{other}' at 'type' failed to satisfy \
                     constraint: Member must satisfy enum value set: [SecureString, StringList, \
                     String]"
                )));
            }
            None => {
                return Err(validation(
                    "A parameter type is required when you create a parameter.",
                ));
            }
        };
        let versions = self.parameters.entry(name.to_owned()).or_default();
        versions.push(Version {
            value: value.to_owned(),
            kind,
            at: cx.now,
        });
        Ok(json!({ "Version": versions.len(), "Tier": "Standard" }))
    }

    /// Name and version of `NAME`, `NAME:VERSION` or an ARN.
    fn parse(&self, cx: &Cx<'_>, asked: &str) -> Result<(String, Option<usize>), Fault> {
        let own = format!("arn:aws:ssm:{}:{}:parameter/", cx.region, cx.account);
        let name = match asked.strip_prefix(&own) {
            // An ARN does not tell whether the name begins with a slash.
            Some(rest) => {
                let path = format!("/{rest}");
                let plain = rest.split(':').next().unwrap_or(rest);
                match self.parameters.contains_key(plain) {
                    true => rest.to_owned(),
                    false => path,
                }
            }
            None if asked.starts_with("arn:") => return Err(not_found()),
            None => asked.to_owned(),
        };
        match name.rsplit_once(':') {
            None => Ok((name, None)),
            Some((name, version)) => match version.parse() {
                Ok(version) => Ok((name.to_owned(), Some(version))),
                Err(_) => Err(not_found()),
            },
        }
    }
}

fn arn(cx: &Cx<'_>, name: &str) -> String {
    let path = name.trim_start_matches('/');
    format!("arn:aws:ssm:{}:{}:parameter/{path}", cx.region, cx.account)
}

fn check_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if name.is_empty() || name.len() > 2048 || !name.chars().all(allowed) {
        return Err(validation(
            "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a \
             path, it can consist of sub-paths divided by slash symbol; each sub-path can be \
             formed as a mix of letters, numbers and the following 3 symbols .-_",
        ));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(validation("Parameter name must be a fully qualified name."));
    }
    let first = name.trim_start_matches('/').to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return Err(validation(
            "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
        ));
    }
    Ok(())
}

fn required<'a>(input: &'a Object, key: &str) -> Result<&'a str, Fault> {
    let value = text(input, key).filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        let mut at = key.to_owned();
        at[..1].make_ascii_lowercase();
        validation(format!(
            "1 validation error detected: Value null at '{at}' failed to satisfy constraint: \
             Member must not be null"
        ))
    })
}

fn validation(message: impl Into<String>) -> Fault {
    Fault::client("ValidationException", message)
}

/// AWS says nothing else of it.
fn not_found() -> Fault {
    Fault::client("ParameterNotFound", "")
}
