//! REST services: method and path say which operation it is, and the input lies in path, query and
//! body.

use serde_json::Value;

use super::{Call, Protocol, Raw, Scope, Unreadable};
use crate::sandbox::json::Object;

/// One operation of a service.
struct Route {
    method: &'static str,
    /// Segments; `{Name}` is a member of the input.
    path: &'static str,
    operation: &'static str,
    /// Names in the query, and the members they are.
    query: &'static [(&'static str, &'static str)],
}

const fn route(
    method: &'static str,
    path: &'static str,
    operation: &'static str,
    query: &'static [(&'static str, &'static str)],
) -> Route {
    Route {
        method,
        path,
        operation,
        query,
    }
}

const TOKEN: (&str, &str) = ("clientToken", "ClientToken");
const GROUP: (&str, &str) = ("groupName", "GroupName");
const PREFIX: (&str, &str) = ("NamePrefix", "NamePrefix");
const NEXT: (&str, &str) = ("NextToken", "NextToken");
const MOST: (&str, &str) = ("MaxResults", "MaxResults");

static SCHEDULER: [Route; 12] = [
    route(
        "GET",
        "schedules",
        "ListSchedules",
        &[
            ("ScheduleGroup", "GroupName"),
            ("State", "State"),
            PREFIX,
            NEXT,
            MOST,
        ],
    ),
    route("GET", "schedules/{Name}", "GetSchedule", &[GROUP]),
    route("POST", "schedules/{Name}", "CreateSchedule", &[]),
    route("PUT", "schedules/{Name}", "UpdateSchedule", &[]),
    route(
        "DELETE",
        "schedules/{Name}",
        "DeleteSchedule",
        &[GROUP, TOKEN],
    ),
    route(
        "GET",
        "schedule-groups",
        "ListScheduleGroups",
        &[PREFIX, NEXT, MOST],
    ),
    route("GET", "schedule-groups/{Name}", "GetScheduleGroup", &[]),
    route("POST", "schedule-groups/{Name}", "CreateScheduleGroup", &[]),
    route(
        "DELETE",
        "schedule-groups/{Name}",
        "DeleteScheduleGroup",
        &[TOKEN],
    ),
    route("GET", "tags/{ResourceArn}", "ListTagsForResource", &[]),
    route("POST", "tags/{ResourceArn}", "TagResource", &[]),
    route(
        "DELETE",
        "tags/{ResourceArn}",
        "UntagResource",
        &[("TagKeys", "TagKeys")],
    ),
];

/// The operations of a REST service, by the name that requests are signed for.
fn routes(service: &str) -> Option<&'static [Route]> {
    match service {
        "scheduler" => Some(&SCHEDULER),
        _ => None,
    }
}

/// Whether a service speaks REST.
pub(super) fn is_rest(service: &str) -> bool {
    routes(service).is_some()
}

/// Reads a request of a REST service.
pub(super) fn read(raw: &Raw<'_>, scope: &Scope<'_>) -> Result<(Protocol, Call), Unreadable> {
    let (path, query) = path_and_query(raw.path);
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut all = routes(scope.service).into_iter().flatten();
    let found = all.find_map(|route| {
        let matches = route.method == raw.method;
        matches
            .then(|| labels(route.path, &segments))
            .flatten()
            .map(|labels| (route, labels))
    });
    let Some((route, labels)) = found else {
        let message = format!("{} has no operation {} /{path}", scope.service, raw.method);
        let code = "UnknownOperationException";
        return Err(Unreadable::new(Protocol::RestJson, code, message));
    };
    let mut input = body(raw.body, route.operation)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = route.query.iter().find(|(known, _)| *known == plain(name));
        if let Some((_, member)) = known {
            add(&mut input, member, plain(value));
        }
    }
    for (member, value) in labels {
        input.insert(member, Value::String(value));
    }
    Ok((
        Protocol::RestJson,
        Call {
            service: scope.service.to_owned(),
            operation: route.operation.to_owned(),
            region: scope.region.to_owned(),
            input,
            access_key: Some(scope.access_key.to_owned()),
        },
    ))
}

/// A URL's path without its first slash, and its query.
fn path_and_query(url: &str) -> (&str, &str) {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, rest)| rest),
        None => url.trim_start_matches('/'),
    };
    rest.split_once('?').unwrap_or((rest, ""))
}

/// The members that a path holds, if it is of this form.
fn labels(form: &str, segments: &[&str]) -> Option<Vec<(String, String)>> {
    let form: Vec<&str> = form.split('/').collect();
    if form.len() != segments.len() {
        return None;
    }
    let mut found = Vec::new();
    for (wanted, segment) in form.into_iter().zip(segments) {
        let label = wanted.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        match label {
            Some(member) => found.push((member.to_owned(), plain(segment))),
            None if wanted == *segment => {}
            None => return None,
        }
    }
    Some(found)
}

fn body(body: &[u8], operation: &str) -> Result<Object, Unreadable> {
    if body.is_empty() {
        return Ok(Object::new());
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The body of {operation} is no JSON object: {error}");
        Unreadable::new(Protocol::RestJson, "SerializationException", message)
    })
}

/// What is named once is a text or a number; what may be named again is a list.
fn add(input: &mut Object, member: &str, value: String) {
    if member.ends_with("Keys") {
        let list = input
            .entry(member)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(Value::String(value));
        }
        return;
    }
    let value = match value.parse::<i64>() {
        Ok(number) if member == "MaxResults" => Value::from(number),
        _ => Value::String(value),
    };
    input.insert(member.to_owned(), value);
}

/// Percent decoding. In a URL a plus is a plus.
fn plain(text: &str) -> String {
    super::unescape(&text.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AUTH: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/scheduler/aws4_request, SignedHeaders=host, Signature=00";

    fn read(method: &str, path: &str, body: &str) -> Result<(Protocol, Call), Unreadable> {
        super::super::read(&Raw {
            method,
            path,
            target: None,
            authorization: Some(AUTH),
            body: body.as_bytes(),
        })
    }

    #[test]
    fn path_query_and_body_are_one_input() {
        for (method, path, body, operation, input) in [
            (
                "GET",
                "https://scheduler.eu-west-1.amazonaws.com/schedules?ScheduleGroup=shop-web&MaxResults=7",
                "",
                "ListSchedules",
                json!({"GroupName": "shop-web", "MaxResults": 7}),
            ),
            (
                "PUT",
                "/schedules/night%2Dly",
                r#"{"GroupName":"shop-web"}"#,
                "UpdateSchedule",
                json!({"GroupName": "shop-web", "Name": "night-ly"}),
            ),
            (
                "DELETE",
                "/tags/arn%3Aaws%3Ascheduler%3A%3A%3Aschedule-group%2Fa+b?TagKeys=x&TagKeys=y",
                "",
                "UntagResource",
                json!({"TagKeys": ["x", "y"], "ResourceArn": "arn:aws:scheduler:::schedule-group/a+b"}),
            ),
        ] {
            let (protocol, call) = read(method, path, body).unwrap();
            assert_eq!(protocol, Protocol::RestJson);
            assert_eq!(
                (call.operation.as_str(), call.region.as_str()),
                (operation, "eu-west-1")
            );
            assert_eq!(Value::Object(call.input), input);
        }
    }

    #[test]
    fn a_path_that_no_operation_has_is_refused() {
        for (method, path) in [
            ("PATCH", "/schedules/a"),
            ("GET", "/schedules/a/b"),
            ("GET", "/"),
        ] {
            let refused = read(method, path, "").unwrap_err();
            assert_eq!(
                refused.fault.code, "UnknownOperationException",
                "{method} {path}"
            );
        }
        let refused = read("POST", "/schedules/a", "[]").unwrap_err();
        assert_eq!(refused.fault.code, "SerializationException");
    }
}
