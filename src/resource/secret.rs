//! Where a secret lies: manifests name it and never hold it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a secret lies: in exactly one of SSM's parameters and Secrets Manager's secrets. It is
/// read with the Environment's role when it is needed, and shown nowhere.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name or ARN of an SSM parameter, a SecureString or a String.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssm_parameter: Option<String>,
    /// Name or ARN of a secret in Secrets Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_manager_secret: Option<String>,
    /// The member to take, where what lies there is a JSON object; else it is taken whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_key: Option<String>,
}

impl SecretRef {
    /// The Region that its ARN names; the Environment's where it has none.
    pub fn region(&self) -> Option<&str> {
        let named = self
            .ssm_parameter
            .as_deref()
            .or(self.secrets_manager_secret.as_deref())?;
        let arn = named.strip_prefix("arn:")?;
        // PARTITION:SERVICE:REGION:ACCOUNT:...
        arn.split(':').nth(2).filter(|region| !region.is_empty())
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.ssm_parameter, &self.secrets_manager_secret) {
            (Some(name), _) => write!(f, "SSM parameter {name}")?,
            (None, Some(name)) => write!(f, "secret {name} of Secrets Manager")?,
            (None, None) => f.write_str("a secret that is named nowhere")?,
        }
        match &self.json_key {
            Some(key) => write!(f, ", member {key}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str) -> SecretRef {
        SecretRef {
            ssm_parameter: Some(name.to_owned()),
            ..SecretRef::default()
        }
    }

    #[test]
    fn an_arn_names_its_region() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/slack";
        assert_eq!(parameter(arn).region(), Some("eu-west-1"));
        assert_eq!(parameter("/shop/slack").region(), None);
        let secret = SecretRef {
            secrets_manager_secret: Some(
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop-AbCdEf".to_owned(),
            ),
            ..SecretRef::default()
        };
        assert_eq!(secret.region(), Some("us-east-1"));
    }

    #[test]
    fn it_says_where_to_look() {
        let member = SecretRef {
            json_key: Some("url".to_owned()),
            ..parameter("/shop/slack")
        };
        assert_eq!(member.to_string(), "SSM parameter /shop/slack, member url");
    }
}
