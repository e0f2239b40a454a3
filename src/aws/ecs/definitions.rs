//! Task definitions, lossless.

use std::sync::Arc;

use aws_sdk_ecs::types::{SortOrder, TaskDefinitionField, TaskDefinitionStatus};
use serde_json::{Map, Value};

use super::{Ecs, SERVICE, only_if_not_done};
use crate::aws::error::{AwsError, Call, ErrorClass};
use crate::aws::raw::{Exchange, string};
use crate::model::known::Known;
use crate::model::observed::Definition;
use crate::resource::validate::DESCRIBE_ONLY;

/// Largest page of ListTaskDefinitions.
const PAGE: i32 = 100;

impl Ecs {
    /// ARNs of a family's ACTIVE revisions, newest first. `stop` sees those listed so far, newest
    /// first, and may say that they are enough. A family that does not exist has none.
    pub async fn active_revisions(
        &self,
        family: &str,
        stop: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>, AwsError> {
        let call = Call::read(SERVICE, "ListTaskDefinitions", format!("family {family}"));
        let mut revisions: Vec<String> = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let sent = self
                .client
                .list_task_definitions()
                .family_prefix(family)
                .status(TaskDefinitionStatus::Active)
                .sort(SortOrder::Desc)
                .max_results(PAGE)
                .set_next_token(token.clone())
                .send()
                .await;
            let answer = sent.map_err(|error| call.failed(error))?;
            let page = answer.task_definition_arns.unwrap_or_default();
            // Some servers take familyPrefix for any prefix, and leave the order to us.
            revisions.extend(page.into_iter().filter(|arn| is_of_family(arn, family)));
            revisions.sort_by_key(|arn| std::cmp::Reverse(revision(arn)));
            token = call.next_page(token.as_ref(), answer.next_token)?;
            if token.is_none() || stop(&revisions) {
                return Ok(revisions);
            }
        }
    }

    /// Looks at one task definition, by ARN, `family:revision`, or family for its newest ACTIVE
    /// revision. Deregistered ones are still there, with status INACTIVE.
    pub async fn describe_task_definition(
        &self,
        arn_or_family: &str,
    ) -> Result<Known<Definition>, AwsError> {
        let what = format!("task definition {arn_or_family}");
        let call = Call::read(SERVICE, "DescribeTaskDefinition", what);
        let exchange = Exchange::reading();
        let sent = self
            .client
            .describe_task_definition()
            .task_definition(arn_or_family)
            .include(TaskDefinitionField::Tags)
            .customize()
            .interceptor(exchange.clone())
            .send()
            .await;
        match exchange.answer(sent, &call) {
            Ok(answer) => definition(answer).map(Known::Present).ok_or_else(|| {
                call.unexpected(
                    ErrorClass::Retry,
                    "the answer does not hold the task definition",
                )
            }),
            Err(error) if error.is_not_found() => Ok(Known::Absent),
            Err(error) => Err(error),
        }
    }

    /// Registers a new revision and answers its ARN. Every call makes a new one, so after
    /// [`ErrorClass::Ambiguous`] the family's newest revisions must be looked at first.
    pub async fn register_task_definition(&self, content: &Value) -> Result<String, AwsError> {
        let family = content
            .get("family")
            .and_then(Value::as_str)
            .unwrap_or("without a name");
        let call = Call::write(
            SERVICE,
            "RegisterTaskDefinition",
            format!("family {family}"),
        );
        let exchange = Exchange::sending(content);
        let sent = self
            .client
            .register_task_definition()
            .customize()
            .interceptor(exchange.clone())
            .config_override(only_if_not_done())
            .send()
            .await;
        let answer = exchange.answer(sent, &call)?;
        let registered = answer.get("taskDefinition").and_then(Value::as_object);
        registered
            .and_then(|it| string(it, "taskDefinitionArn"))
            .ok_or_else(|| {
                call.unexpected(ErrorClass::Ambiguous, "the answer does not hold the ARN")
            })
    }

    /// Makes a revision INACTIVE: what runs goes on, nothing new starts with it.
    pub async fn deregister_task_definition(&self, arn: &str) -> Result<(), AwsError> {
        let what = format!("task definition {arn}");
        let call = Call::write(SERVICE, "DeregisterTaskDefinition", what);
        let sent = self
            .client
            .deregister_task_definition()
            .task_definition(arn)
            .customize()
            .config_override(only_if_not_done())
            .send()
            .await;
        sent.map(drop).map_err(|error| call.failed(error))
    }
}

fn definition(mut answer: Map<String, Value>) -> Option<Definition> {
    let Some(Value::Object(mut content)) = answer.remove("taskDefinition") else {
        return None;
    };
    let arn = string(&content, "taskDefinitionArn")?;
    let family = string(&content, "family")?;
    let status = string(&content, "status").unwrap_or_default();
    let registered_by = string(&content, "registeredBy");
    content.retain(|member, _| !DESCRIBE_ONLY.contains(&member.as_str()));
    if let Some(Value::Array(tags)) = answer.remove("tags")
        && !tags.is_empty()
    {
        content.insert("tags".to_owned(), Value::Array(tags));
    }
    Some(Definition {
        arn,
        family,
        status,
        registered_by,
        content: Arc::new(Value::Object(content)),
    })
}

/// `family` and revision of `arn:aws:ecs:region:account:task-definition/family:revision`.
fn parts(arn: &str) -> Option<(&str, u64)> {
    let (family, revision) = arn.rsplit('/').next()?.rsplit_once(':')?;
    Some((family, revision.parse().ok()?))
}

fn is_of_family(arn: &str, family: &str) -> bool {
    parts(arn).is_some_and(|(name, _)| name == family)
}

fn revision(arn: &str) -> u64 {
    parts(arn).map_or(0, |(_, revision)| revision)
}
