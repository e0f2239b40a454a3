//! STS: who a caller is, and roles taken on.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, text};

/// The sessions handed out.
#[derive(Default)]
pub(super) struct Sts {
    /// By access key id.
    sessions: BTreeMap<String, Session>,
}

struct Session {
    arn: String,
    user_id: String,
}

impl Sts {
    /// ARN of the caller with these credentials; all that no session was made for are one user's.
    pub fn principal(&self, account: &str, access_key: Option<&str>) -> String {
        access_key
            .and_then(|key| self.sessions.get(key))
            .map_or_else(
                || format!("arn:aws:iam::{account}:user/sandbox"),
                |session| session.arn.clone(),
            )
    }

    /// Answers one call. Members of query calls are strings.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "GetCallerIdentity" => Ok(self.caller(cx)),
            "AssumeRole" => self.assume_role(cx, input),
            _ => Err(Fault::client(
                "InvalidAction",
                format!("Could not find operation {operation} for version 2011-06-15"),
            )),
        }
    }

    fn caller(&self, cx: &Cx<'_>) -> Value {
        let session = self.sessions.values().find(|s| s.arn == cx.principal);
        let account = cx.principal.split(':').nth(4).unwrap_or(cx.account);
        json!({
            "Arn": cx.principal,
            "UserId": session.map_or("AIDASANDBOXUSER000000", |s| s.user_id.as_str()),
            "Account": account,
        })
    }

    /// Any role can be taken on; the account in its ARN shows in the caller's identity only.
    fn assume_role(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let arn = text(input, "RoleArn").unwrap_or_default();
        let session = text(input, "RoleSessionName").unwrap_or_default();
        let (account, role) = role_of(arn)
            .ok_or_else(|| Fault::client("ValidationError", format!("{arn} is invalid")))?;
        let asked = cx.settings.external_ids.get(arn);
        if asked.is_some_and(|asked| text(input, "ExternalId") != Some(asked)) {
            let message = format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
                cx.principal
            );
            return Err(Fault {
                status: 403,
                ..Fault::client("AccessDenied", message)
            });
        }
        let name_ok = (2..=64).contains(&session.len())
            && session
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c));
        if !name_ok {
            return Err(Fault::client(
                "ValidationError",
                format!(
                    "1 validation error detected: Value '{session}' at 'roleSessionName' failed to \
                     satisfy constraint: Member must satisfy regular expression pattern: \
                     [\\w+=,.@-]*"
                ),
            ));
        }
        let key = format!("ASIA{}", cx.ids.hex(16).to_uppercase());
        let user_id = format!("AROA{}:{session}", cx.ids.hex(17).to_uppercase());
        let assumed = format!("arn:aws:sts::{account}:assumed-role/{role}/{session}");
        let answer = json!({
            "Credentials": {
                "AccessKeyId": key,
                "SecretAccessKey": cx.ids.hex(40),
                "SessionToken": cx.ids.hex(64),
                "Expiration": expiration(cx.now, input)?.to_string(),
            },
            "AssumedRoleUser": {"AssumedRoleId": user_id, "Arn": assumed},
            "PackedPolicySize": 1,
        });
        self.sessions.insert(
            key,
            Session {
                arn: assumed,
                user_id,
            },
        );
        Ok(answer)
    }
}

/// Account and name of a role; a path is no part of the session's ARN.
fn role_of(arn: &str) -> Option<(&str, &str)> {
    let (account, resource) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
    let role = resource.strip_prefix("role/")?.rsplit('/').next()?;
    (account.len() == 12 && account.chars().all(|c| c.is_ascii_digit()) && !role.is_empty())
        .then_some((account, role))
}

fn expiration(now: Timestamp, input: &Object) -> Result<Timestamp, Fault> {
    let seconds = match text(input, "DurationSeconds") {
        None => 3600,
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|seconds| (900..=43_200).contains(seconds))
            .ok_or_else(|| {
                Fault::client(
                    "ValidationError",
                    format!(
                        "1 validation error detected: Value '{text}' at 'durationSeconds' failed \
                         to satisfy constraint: Member must have value between 900 and 43200"
                    ),
                )
            })?,
    };
    Ok(now
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX))
}
