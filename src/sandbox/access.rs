//! Actions denied on request, so that tests see what a missing permission does.

use serde_json::Value;

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, text};

/// Refuses a call that the settings deny.
pub(super) fn check(
    cx: &Cx<'_>,
    service: &str,
    operation: &str,
    input: &Object,
) -> Result<(), Fault> {
    // Streams have actions of the table's own service.
    let prefix = if service == "dynamodbstreams" {
        "dynamodb"
    } else {
        service
    };
    // SQS's batches need the action of the single call.
    let operation = match service {
        "sqs" => operation.trim_end_matches("Batch"),
        _ => operation,
    };
    let action = format!("{prefix}:{operation}");
    let denied = cx.settings.deny.iter().any(|glob| glob.matches(&action))
        || service == "dynamodb" && is_leading_key_denied(cx, input);
    if !denied {
        return Ok(());
    }
    let message = format!(
        "User: {} is not authorized to perform: {action} on resource: {} because no \
         identity-based policy allows the {action} action",
        cx.principal,
        resource(cx, prefix, input)
    );
    let forbidden = |code| Fault {
        status: 403,
        ..Fault::client(code, message.clone())
    };
    Err(match service {
        "sts" => forbidden("AccessDenied"),
        "sns" => forbidden("AuthorizationError"),
        _ => Fault::client("AccessDeniedException", message),
    })
}

/// Whether the call names a partition that is denied: in a key, in an item, or in the condition of
/// a query.
fn is_leading_key_denied(cx: &Cx<'_>, input: &Object) -> bool {
    let globs = &cx.settings.deny_keys;
    let denied = |key: &str| globs.iter().any(|glob| glob.matches(key));
    !globs.is_empty() && (named(input, &denied) || queried(input).is_some_and(denied))
}

/// Whether this holds of any `pk` in keys and items, at whatever depth of the call they are.
fn named(members: &Object, holds: &impl Fn(&str) -> bool) -> bool {
    members.iter().any(|(name, value)| match value {
        Value::Object(value) if name == "pk" => text(value, "S").is_some_and(holds),
        Value::Object(value) => named(value, holds),
        Value::Array(values) => values
            .iter()
            .filter_map(Value::as_object)
            .any(|value| named(value, holds)),
        _ => false,
    })
}

/// The partition of `pk = :value`.
fn queried(input: &Object) -> Option<&str> {
    let condition = text(input, "KeyConditionExpression")?;
    let words: Vec<&str> = condition.split_whitespace().collect();
    let is_partition = |three: &&[&str]| three[..2] == ["pk", "="];
    let placeholder = words.windows(3).find(is_partition)?[2];
    let values = input.get("ExpressionAttributeValues")?;
    values.get(placeholder)?.get("S")?.as_str()
}

/// The ARN that the call is about, as far as its input tells; else `*`.
fn resource(cx: &Cx<'_>, service: &str, input: &Object) -> String {
    let arn =
        |resource: String| format!("arn:aws:{service}:{}:{}:{resource}", cx.region, cx.account);
    let named = |key: &str, kind: &str| text(input, key).map(|name| format!("{kind}/{name}"));
    let found = match service {
        "ecs" => ecs_resource(input),
        "ecr" => named("repositoryName", "repository"),
        "events" => named("Name", "rule").or_else(|| named("Rule", "rule")),
        "scheduler" => scheduler_resource(input),
        "cloudwatch" => text(input, "AlarmName").map(|name| format!("alarm:{name}")),
        "dynamodb" => named("TableName", "table"),
        "sqs" => {
            let name = text(input, "QueueUrl").and_then(|url| url.rsplit('/').next());
            name.or_else(|| text(input, "QueueName")).map(str::to_owned)
        }
        "logs" => log_resource(input),
        "ssm" => {
            text(input, "Name").map(|name| format!("parameter/{}", name.trim_start_matches('/')))
        }
        "secretsmanager" => text(input, "SecretId").map(|name| format!("secret:{name}")),
        "codedeploy" => deployer_resource(input),
        "sns" => return text(input, "TopicArn").unwrap_or("*").to_owned(),
        "sts" => return text(input, "RoleArn").unwrap_or("*").to_owned(),
        _ => None,
    };
    found.map_or_else(
        || "*".to_owned(),
        |resource| match resource.split_once("/arn:") {
            Some((_, rest)) => format!("arn:{rest}"),
            None => arn(resource),
        },
    )
}

fn scheduler_resource(input: &Object) -> Option<String> {
    let group = text(input, "GroupName");
    match (group, text(input, "Name")) {
        (Some(group), Some(name)) => Some(format!("schedule/{group}/{name}")),
        (Some(group), None) => Some(format!("schedule/{group}/*")),
        (None, name) => name.map(|name| format!("schedule-group/{name}")),
    }
}

fn deployer_resource(input: &Object) -> Option<String> {
    let application = text(input, "applicationName")?;
    let group = text(input, "deploymentGroupName");
    Some(
        match group.or_else(|| text(input, "currentDeploymentGroupName")) {
            Some(group) => format!("deploymentgroup:{application}/{group}"),
            None => format!("application:{application}"),
        },
    )
}

fn log_resource(input: &Object) -> Option<String> {
    let group = text(input, "logGroupName")?;
    let stream = text(input, "logStreamName").unwrap_or_default();
    Some(format!("log-group:{group}:log-stream:{stream}"))
}

fn ecs_resource(input: &Object) -> Option<String> {
    let cluster = text(input, "cluster").unwrap_or("default");
    let cluster = cluster.rsplit('/').next().unwrap_or(cluster);
    let service = text(input, "service").or_else(|| text(input, "serviceName"));
    if let Some(service) = service {
        let in_cluster = !service.starts_with("arn:");
        return Some(if in_cluster {
            format!("service/{cluster}/{service}")
        } else {
            format!("service/{service}")
        });
    }
    if let Some(task) = text(input, "task") {
        return Some(format!("task/{cluster}/{task}"));
    }
    text(input, "taskDefinition").map(|definition| format!("task-definition/{definition}"))
}
