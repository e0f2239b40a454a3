//! Credentials of a role that is assumed: those of other accounts.

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};

use super::sts::Sts;
use crate::resource::meta::ReleaseKey;

/// Longest name of a session that STS takes.
const NAME: usize = 64;

/// A role, and how to assume it. The SDK asks for new credentials before the old ones end.
///
/// The SDK's own provider would look for evenkeel's credentials anew each time, and its errors
/// could not be told from those of evenkeel's own credentials.
#[derive(Debug)]
pub(super) struct Role {
    /// STS with evenkeel's own credentials.
    pub sts: Sts,
    /// ARN of the role.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
    /// Name of the session, which CloudTrail shows.
    pub session: String,
}

impl ProvideCredentials for Role {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let external_id = self.external_id.as_deref();
            let assumed = self.sts.assume_role(&self.arn, external_id, &self.session);
            assumed.await.map_err(CredentialsError::provider_error)
        })
    }
}

/// The name of the sessions that look.
pub(super) const SESSION: &str = "evenkeel";

/// The name of the sessions that change something for a Release: of 64 characters at most, those
/// that STS allows.
pub(super) fn session_of(key: &ReleaseKey) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let name = format!("{SESSION}-{}-{}", key.namespace, key.name);
    name.chars().filter(|c| allowed(*c)).take(NAME).collect()
}

/// The account of a role's ARN.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_name_their_release() {
        let name = session_of(&ReleaseKey::new("production", "rails"));
        assert_eq!(name, "evenkeel-production-rails");
        let long = session_of(&ReleaseKey::new("n".repeat(40), "r".repeat(40)));
        assert_eq!(long.len(), 64);
        assert!(long.ends_with("nnn-rrrrrrrrrrrrrr"), "{long}");
    }

    #[test]
    fn a_role_tells_its_account() {
        let arn = "arn:aws:iam::210987654321:role/deploy/evenkeel";
        assert_eq!(account_of(arn), Some("210987654321"));
        assert_eq!(account_of("nonsense"), None);
    }
}
