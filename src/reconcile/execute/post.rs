//! A hook that posts JSON: signed, and under a key by which a repetition is told.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use crate::aws::Aws;
use crate::aws::post::{Answer, LONGEST, PostError, Poster};
use crate::aws::secrets::{Secret, SecretError, Secrets};
use crate::model::desired::Access;
use crate::model::hook::CallEnd;
use crate::resource::secret::SecretRef;

/// What a post is made with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Posting {
    /// Posts.
    pub poster: Poster,
    /// Where secrets are read.
    pub secrets: Secrets,
}

impl Posting {
    pub(in crate::reconcile) fn new(aws: &Aws) -> Self {
        Self {
            poster: Poster::new(aws),
            secrets: Secrets::new(aws.clone()),
        }
    }
}

/// One post of a hook.
pub(super) struct Post {
    pub posting: Posting,
    pub access: Access,
    pub region: String,
    pub url: String,
    pub key: String,
    pub signing_key: Option<SecretRef>,
    pub authorization: Option<SecretRef>,
    pub body: Value,
    pub now: Timestamp,
    pub within: Duration,
}

impl Post {
    /// Posts once. Nothing that is told shows the URL or a secret.
    pub(super) async fn send(self) -> CallEnd {
        let within = self.within;
        match tokio::time::timeout(within, self.try_send()).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => unreadable(&error),
            Err(_) => CallEnd::Lost("it was not answered in time".to_owned()),
        }
    }

    async fn try_send(&self) -> Result<CallEnd, SecretError> {
        let body = self.body.to_string();
        let signing = self.secret(self.signing_key.as_ref()).await?;
        let authorization = self.secret(self.authorization.as_ref()).await?;
        let signature = signing.as_ref().map(|key| self.signature(key, &body));
        let mut headers = vec![
            ("content-type", "application/json"),
            ("user-agent", "evenkeel"),
            ("idempotency-key", self.key.as_str()),
        ];
        let signature = signature.as_deref().map(|it| ("x-evenkeel-signature", it));
        let authorized = authorization.as_ref();
        let authorized = authorized.map(|it| ("authorization", it.expose()));
        headers.extend(signature.into_iter().chain(authorized));
        let time = self.within.min(LONGEST);
        let poster = &self.posting.poster;
        let answered = poster.post_within(time, &self.url, &headers, body).await;
        if let Ok(answer) = &answered
            && matches!(answer.status, 401 | 403)
        {
            // The secrets may have been changed: they are read again before the next try.
            self.outdated(self.signing_key.as_ref().zip(signing)).await;
            self.outdated(self.authorization.as_ref().zip(authorization))
                .await;
        }
        Ok(told(answered))
    }

    async fn secret(&self, secret: Option<&SecretRef>) -> Result<Option<Secret>, SecretError> {
        let Some(secret) = secret else {
            return Ok(None);
        };
        let Posting { secrets, .. } = &self.posting;
        let found = secrets.get(&self.access, &self.region, secret).await?;
        Ok(Some(found))
    }

    async fn outdated(&self, used: Option<(&SecretRef, Secret)>) {
        if let Some((secret, used)) = used {
            let Posting { secrets, .. } = &self.posting;
            secrets
                .refused(&self.access, &self.region, secret, &used)
                .await;
        }
    }

    /// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a dot and the body, so that an old post
    /// that somebody kept can be told from a new one.
    fn signature(&self, key: &Secret, body: &str) -> String {
        let seconds = self.now.as_second();
        signature(key.expose().as_bytes(), seconds, body)
    }
}

fn signature(key: &[u8], seconds: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(format!("{seconds}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn unreadable(error: &SecretError) -> CallEnd {
    use crate::aws::ErrorClass::{Denied, NotFound, Refused};
    let lasting = error.aws().map(|it| (it.class, it.lasting()));
    match lasting {
        Some((Denied | NotFound | Refused, _)) | None => CallEnd::Refused(error.to_string()),
        Some((_, why)) => CallEnd::NotTaken(why),
    }
}

fn told(answered: Result<Answer, PostError>) -> CallEnd {
    match answered {
        Ok(answer) => match answer.status {
            200..=299 => CallEnd::Succeeded,
            408 | 425 | 429 | 500..=599 => {
                CallEnd::NotTaken(format!("the server answered {}", answer.status))
            }
            status => CallEnd::Refused(format!("the server answered {status}")),
        },
        Err(error @ (PostError::Url | PostError::Header)) => CallEnd::Refused(error.to_string()),
        Err(error @ PostError::NotReached) => CallEnd::NotTaken(error.to_string()),
        Err(error) => CallEnd::Lost(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_moment_and_the_body() {
        // Made with `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
        let made = signature(b"key", 1_700_000_000, "{}");
        let digest = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(made, format!("t=1700000000,v1={digest}"));
    }
}
