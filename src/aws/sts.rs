//! STS: whose credentials these are.

use aws_sdk_sts::Client;

use super::error::{AwsError, Call, ErrorClass};

const SERVICE: &str = "sts";

/// STS in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sts {
    client: Client,
    region: String,
}

/// Whose credentials we have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Account id.
    pub account: String,
    /// ARN of the user or assumed role.
    pub arn: String,
}

impl Sts {
    pub(super) fn new(client: Client, region: &str) -> Self {
        Self {
            client,
            region: region.to_owned(),
        }
    }

    /// GetCallerIdentity, which needs no permission.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let what = format!("the credentials, in Region {}", self.region);
        let call = Call::read(SERVICE, "GetCallerIdentity", what);
        let sent = self.client.get_caller_identity().send().await;
        let answer = sent.map_err(|error| call.failed(error))?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Identity { account, arn }),
            _ => Err(call.unexpected(
                ErrorClass::Refused,
                "the answer names no account; is this endpoint AWS?",
            )),
        }
    }
}
