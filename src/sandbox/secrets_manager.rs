//! Secrets Manager's secrets of one Region. Not played: rotation, stages but the current one,
//! replication, and the days that a deleted secret still can be brought back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, epoch, text};

/// Bytes that a secret may have.
const VALUE: usize = 65_536;

/// The secrets of one Region.
#[derive(Default)]
pub(super) struct SecretsManager {
    /// By name.
    secrets: BTreeMap<String, Secret>,
}

struct Secret {
    arn: String,
    created: Timestamp,
    current: Option<Version>,
}

#[derive(Clone)]
struct Version {
    id: String,
    string: Option<String>,
    binary: Option<String>,
    at: Timestamp,
}

impl SecretsManager {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateSecret" => self.create(cx, input),
            "GetSecretValue" => self.get(input),
            "PutSecretValue" => self.put(cx, input),
            "DeleteSecret" => {
                let name = self.named(input)?;
                let gone = self.secrets.remove(&name).ok_or_else(not_found)?;
                Ok(json!({"ARN": gone.arn, "Name": name, "DeletionDate": epoch(cx.now)}))
            }
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    fn create(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = text(input, "Name").unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if name.is_empty() || name.len() > 512 || !name.chars().all(allowed) {
            return Err(Fault::client(
                "ValidationException",
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of \
                 the following: -/_+=.@!",
            ));
        }
        if self.secrets.contains_key(name) {
            return Err(Fault::client(
                "ResourceExistsException",
                format!("The operation failed because the secret {name} already exists."),
            ));
        }
        let current = version(cx, input)?;
        // Six characters that nobody can foresee end the ARN.
        let arn = format!(
            "arn:aws:secretsmanager:{}:{}:secret:{name}-{}",
            cx.region,
            cx.account,
            cx.ids.hex(6)
        );
        let mut answer = json!({"ARN": arn, "Name": name});
        if let Some(current) = &current {
            answer["VersionId"] = current.id.clone().into();
        }
        let secret = Secret {
            arn,
            created: cx.now,
            current,
        };
        self.secrets.insert(name.to_owned(), secret);
        Ok(answer)
    }

    fn put(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = self.named(input)?;
        let Some(put) = version(cx, input)? else {
            return Err(Fault::client(
                "InvalidRequestException",
                "You must provide either SecretString or SecretBinary.",
            ));
        };
        let secret = self.secrets.get_mut(&name).ok_or_else(not_found)?;
        secret.current = Some(put.clone());
        Ok(json!({
            "ARN": secret.arn, "Name": name, "VersionId": put.id,
            "VersionStages": ["AWSCURRENT"],
        }))
    }

    fn get(&self, input: &Object) -> Result<Value, Fault> {
        let name = self.named(input)?;
        let secret = self.secrets.get(&name).ok_or_else(not_found)?;
        let Some(current) = &secret.current else {
            return Err(Fault::client(
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for staging label: \
                 AWSCURRENT",
            ));
        };
        let mut answer = json!({
            "ARN": secret.arn, "Name": name, "VersionId": current.id,
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": epoch(current.at.max(secret.created)),
        });
        if let Some(string) = &current.string {
            answer["SecretString"] = string.clone().into();
        }
        if let Some(binary) = &current.binary {
            answer["SecretBinary"] = binary.clone().into();
        }
        Ok(answer)
    }

    /// The name of the secret that is called by its name, its ARN, or its ARN without the end that
    /// nobody can foresee.
    fn named(&self, input: &Object) -> Result<String, Fault> {
        let id = text(input, "SecretId").ok_or_else(|| {
            Fault::client(
                "ValidationException",
                "1 validation error detected: Value null at 'secretId' failed to satisfy \
                 constraint: Member must not be null",
            )
        })?;
        let found = self.secrets.iter().find(|(name, secret)| {
            let partial = secret.arn.rsplit_once('-').map(|(before, _)| before);
            *name == id || secret.arn == id || partial == Some(id)
        });
        found.map(|(name, _)| name.clone()).ok_or_else(not_found)
    }
}

fn version(cx: &mut Cx<'_>, input: &Object) -> Result<Option<Version>, Fault> {
    let member = |key: &str| text(input, key).map(str::to_owned);
    let (string, binary) = (member("SecretString"), member("SecretBinary"));
    if string.is_some() && binary.is_some() {
        return Err(Fault::client(
            "InvalidParameterException",
            "You can't specify both SecretString and SecretBinary in the same request.",
        ));
    }
    let Some(given) = string.as_ref().or(binary.as_ref()) else {
        return Ok(None);
    };
    if given.len() > VALUE {
        return Err(Fault::client(
            "ValidationException",
            "The secret value is longer than 65536 bytes.",
        ));
    }
    let id = member("ClientRequestToken").unwrap_or_else(|| cx.ids.uuid());
    Ok(Some(Version {
        id,
        string,
        binary,
        at: cx.now,
    }))
}

fn not_found() -> Fault {
    Fault::client(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    )
}
