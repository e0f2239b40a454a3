//! STS: whose credentials these are, and those of other roles.

use std::time::SystemTime;

use aws_sdk_sts::Client;
use aws_sdk_sts::config::Credentials;

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

    /// AssumeRole: credentials for an hour, which is what every role allows and the most where
    /// evenkeel itself runs as a role.
    pub(super) async fn assume_role(
        &self,
        role_arn: &str,
        external_id: Option<&str>,
        session: &str,
    ) -> Result<Credentials, AwsError> {
        let call = Call::read(SERVICE, "AssumeRole", format!("role {role_arn}"));
        let request = self
            .client
            .assume_role()
            .role_arn(role_arn)
            .set_external_id(external_id.map(str::to_owned))
            .role_session_name(session);
        let answer = request.send().await.map_err(|error| call.failed(error))?;
        let Some(given) = answer.credentials else {
            return Err(call.unexpected(
                ErrorClass::Refused,
                "the answer holds no credentials; is this endpoint AWS?",
            ));
        };
        let ends = SystemTime::try_from(given.expiration).map_err(|_| {
            call.unexpected(
                ErrorClass::Refused,
                "the credentials end at no moment in time",
            )
        })?;
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(ends),
            "evenkeel",
        ))
    }
}
