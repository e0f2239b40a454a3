//! Secrets that manifests name: read from SSM or Secrets Manager when they are needed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde_json::Value;
use tokio::time::Instant;

use super::Aws;
use super::error::{AwsError, Call};
use crate::model::desired::Access;
use crate::resource::secret::SecretRef;

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;

/// How long a secret is used before it is read again.
const KEPT: Duration = Duration::from_secs(300);

/// How many secrets are kept.
const ROOM: u64 = 1000;

/// A secret's text. Nothing that prints it shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text itself, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a secret could not be had. It names where the secret lies, and never what it is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// AWS did not give it.
    #[error("{0} cannot be read: {1}")]
    Aws(SecretRef, AwsError),
    /// What lies there is of no use.
    #[error("{0} {1}")]
    Unusable(SecretRef, &'static str),
}

impl SecretError {
    /// Why AWS did not give it, if that was it.
    pub fn aws(&self) -> Option<&AwsError> {
        match self {
            SecretError::Aws(_, error) => Some(error),
            SecretError::Unusable(..) => None,
        }
    }
}

/// Where secrets lie in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SecretStores {
    ssm: aws_sdk_ssm::Client,
    secrets_manager: aws_sdk_secretsmanager::Client,
}

impl SecretStores {
    pub(super) fn new(
        ssm: aws_sdk_ssm::Client,
        secrets_manager: aws_sdk_secretsmanager::Client,
    ) -> Self {
        Self {
            ssm,
            secrets_manager,
        }
    }

    /// Reads a secret: GetParameter with decryption, or GetSecretValue, and the member named.
    ///
    /// # Errors
    /// When the call fails, or what lies there is no text or has no such member.
    pub async fn read(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        let unusable = |why| SecretError::Unusable(secret.clone(), why);
        let text = match (&secret.ssm_parameter, &secret.secrets_manager_secret) {
            (Some(name), _) => self.parameter(name).await,
            (None, Some(name)) => self.secret(name).await,
            (None, None) => return Err(unusable("cannot be read")),
        };
        let text = text.map_err(|error| SecretError::Aws(secret.clone(), error))?;
        let text = text.ok_or_else(|| unusable("holds no text"))?;
        let text = match &secret.json_key {
            None => text,
            Some(key) => member(&text, key).map_err(unusable)?,
        };
        match text.trim() {
            "" => Err(unusable("is empty")),
            text => Ok(Secret::from(text)),
        }
    }

    async fn parameter(&self, name: &str) -> Result<Option<String>, AwsError> {
        let call = Call::read("ssm", "GetParameter", format!("parameter {name}"));
        let request = self.ssm.get_parameter().name(name).with_decryption(true);
        let sent = request.send().await;
        let answer = sent.map_err(|error| without_answer(&call, call.failed(error)))?;
        Ok(answer.parameter.and_then(|found| found.value))
    }

    async fn secret(&self, name: &str) -> Result<Option<String>, AwsError> {
        let call = Call::read("secretsmanager", "GetSecretValue", format!("secret {name}"));
        let request = self.secrets_manager.get_secret_value().secret_id(name);
        let sent = request.send().await;
        let answer = sent.map_err(|error| without_answer(&call, call.failed(error)))?;
        Ok(answer.secret_string)
    }
}

/// An error without what was answered, where that may be the secret: an answer of success that
/// could not be read is told with its beginning otherwise.
fn without_answer(call: &Call, error: AwsError) -> AwsError {
    match error.status {
        Some(200..=299) => call.unexpected(error.class, "the answer could not be read"),
        _ => error,
    }
}

fn member(text: &str, key: &str) -> Result<String, &'static str> {
    let Ok(Value::Object(members)) = serde_json::from_str(text) else {
        return Err("cannot be taken: what lies there is no JSON object");
    };
    match members.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) | None => Err("is not there"),
        Some(_) => Err("is no text"),
    }
}

/// A secret as somebody's credentials see it from a Region.
type Place = (Access, String, SecretRef);

/// Reads secrets and keeps them for a few minutes. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct Secrets {
    aws: Aws,
    kept: Cache<Place, (Instant, Secret)>,
}

impl Secrets {
    /// Nothing is read yet.
    pub fn new(aws: Aws) -> Self {
        Self {
            aws,
            kept: Cache::builder().max_capacity(ROOM).build(),
        }
    }

    /// The secret, with the credentials of `access`, in the Region that its ARN names or else in
    /// `region`. Many who ask at once are served with one call.
    ///
    /// # Errors
    /// As [`SecretStores::read`]; a failure is not kept.
    pub async fn get(
        &self,
        access: &Access,
        region: &str,
        secret: &SecretRef,
    ) -> Result<Secret, SecretError> {
        let region = secret.region().unwrap_or(region);
        let place = (access.clone(), region.to_owned(), secret.clone());
        if let Some((read, _)) = self.kept.get(&place).await
            && read.elapsed() >= KEPT
        {
            self.kept.invalidate(&place).await;
        }
        let stores = self.aws.at(access, region).secrets;
        let read = async { Ok((Instant::now(), stores.read(secret).await?)) };
        let found = self.kept.try_get_with(place, read).await;
        found
            .map(|(_, secret)| secret)
            .map_err(|error: Arc<SecretError>| (*error).clone())
    }

    /// Whoever the secret is for does not take it: it was changed, perhaps. It is read again when it
    /// is asked for next, unless that has been done since `used` was got.
    pub async fn refused(&self, access: &Access, region: &str, secret: &SecretRef, used: &Secret) {
        let region = secret.region().unwrap_or(region);
        let place = (access.clone(), region.to_owned(), secret.clone());
        if let Some((_, kept)) = self.kept.get(&place).await
            && kept == *used
        {
            self.kept.invalidate(&place).await;
        }
    }
}
