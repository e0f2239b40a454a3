//! Which operation a request of a REST service is: its path and method tell, and no header does.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// Service and operation of a signed request.
pub(super) fn operation(request: &HttpRequest) -> Option<(&'static str, &'static str)> {
    let authorization = request.headers().get("authorization")?;
    // `Credential=KEY/20260101/eu-west-1/scheduler/aws4_request, ...`
    let (_, scope) = authorization.split_once("Credential=")?;
    let scope = scope.split([',', ' ']).next()?;
    let service = scope.rsplit('/').nth(1)?;
    let uri = request.uri();
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => uri.trim_start_matches('/'),
    };
    let path = path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match service {
        "scheduler" => Some(("scheduler", scheduler(request.method(), &segments)?)),
        _ => None,
    }
}

fn scheduler(method: &str, path: &[&str]) -> Option<&'static str> {
    Some(match (method, path) {
        ("GET", ["schedules"]) => "ListSchedules",
        ("GET", ["schedules", _]) => "GetSchedule",
        ("POST", ["schedules", _]) => "CreateSchedule",
        ("PUT", ["schedules", _]) => "UpdateSchedule",
        ("DELETE", ["schedules", _]) => "DeleteSchedule",
        ("GET", ["schedule-groups"]) => "ListScheduleGroups",
        ("GET", ["schedule-groups", _]) => "GetScheduleGroup",
        ("POST", ["schedule-groups", _]) => "CreateScheduleGroup",
        ("DELETE", ["schedule-groups", _]) => "DeleteScheduleGroup",
        ("GET", ["tags", _]) => "ListTagsForResource",
        ("POST", ["tags", _]) => "TagResource",
        ("DELETE", ["tags", _]) => "UntagResource",
        _ => return None,
    })
}
