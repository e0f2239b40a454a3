//! Actions denied on request, so that tests see what a missing permission does.

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
    let action = format!("{prefix}:{operation}");
    if !cx.settings.deny.iter().any(|glob| glob.matches(&action)) {
        return Ok(());
    }
    let message = format!(
        "User: {} is not authorized to perform: {action} on resource: {} because no \
         identity-based policy allows the {action} action",
        cx.principal,
        resource(cx, prefix, input)
    );
    Err(if service == "sts" {
        Fault {
            status: 403,
            ..Fault::client("AccessDenied", message)
        }
    } else {
        Fault::client("AccessDeniedException", message)
    })
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
        "dynamodb" => named("TableName", "table"),
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
