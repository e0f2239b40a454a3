use std::error::Error;

use serde_json::json;
use tokio::net::TcpListener;

use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::{Aws, AwsSettings};

async fn reading(make: fn() -> Reply) -> AwsError {
    let canned = Canned::new(move |_| make());
    canned
        .clients()
        .ecs
        .describe_services("rails", &["app".to_owned()])
        .await
        .unwrap_err()
}

async fn writing(make: fn() -> Reply) -> AwsError {
    let canned = Canned::new(move |_| make());
    canned
        .clients()
        .ecs
        .update_service("rails", "app", "app:2", false, &serde_json::Map::new())
        .await
        .unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_denied_call_names_the_action_to_allow() {
    let failed = writing(|| {
        error(
            400,
            "AccessDeniedException",
            "User: arn:aws:sts::1:assumed-role/evenkeel/x is not authorized.",
        )
    })
    .await;
    assert_eq!(failed.class, ErrorClass::Denied);
    assert_eq!(
        failed.to_string(),
        "ecs:UpdateService of service app in cluster rails was denied: AccessDeniedException: \
         User: arn:aws:sts::1:assumed-role/evenkeel/x is not authorized (request req-1). \
         Allow ecs:UpdateService on it in a policy of the principal that evenkeel runs as."
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_pass_role_names_pass_role() {
    let failed = writing(|| {
        error(
            400,
            "AccessDeniedException",
            "User: x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/t",
        )
    })
    .await;
    assert!(failed.hint().contains("Allow iam:PassRole"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn classes_of_codes() {
    type Make = fn() -> Reply;
    let cases: [(Make, ErrorClass, ErrorClass); 16] = [
        (
            || {
                error(
                    400,
                    "InvalidParameterException",
                    "Request limit exceeded. (Service: AmazonEC2; ErrorCode: RequestLimitExceeded)",
                )
            },
            ErrorClass::Throttled,
            ErrorClass::Throttled,
        ),
        (
            || {
                error(
                    400,
                    "ClientException",
                    "Tasks provisioning capacity limit exceeded.",
                )
            },
            ErrorClass::Throttled,
            ErrorClass::Throttled,
        ),
        (
            || {
                error(
                    400,
                    "ValidationException",
                    "Rule can't be deleted since it has targets.",
                )
            },
            ErrorClass::Retry,
            ErrorClass::Retry,
        ),
        (
            || error(400, "ThrottlingException", "Rate exceeded"),
            ErrorClass::Throttled,
            ErrorClass::Throttled,
        ),
        (
            || {
                error(
                    400,
                    "ExpiredTokenException",
                    "The security token included is expired",
                )
            },
            ErrorClass::Credentials,
            ErrorClass::Credentials,
        ),
        (
            || {
                error(
                    400,
                    "UnrecognizedClientException",
                    "The security token is invalid",
                )
            },
            ErrorClass::Credentials,
            ErrorClass::Credentials,
        ),
        (
            || error(400, "ClusterNotFoundException", "Cluster not found."),
            ErrorClass::NotFound,
            ErrorClass::NotFound,
        ),
        (
            || error(400, "InvalidParameterException", "Invalid revision number"),
            ErrorClass::Refused,
            ErrorClass::Refused,
        ),
        (
            || {
                error(
                    400,
                    "ClientException",
                    "Too many concurrent attempts to create a new revision of the specified family.",
                )
            },
            ErrorClass::Throttled,
            ErrorClass::Throttled,
        ),
        (
            || error(500, "ServerException", "Service Unavailable"),
            ErrorClass::Retry,
            ErrorClass::Ambiguous,
        ),
        (
            || Reply::Page(503, ""),
            ErrorClass::Retry,
            ErrorClass::Ambiguous,
        ),
        (|| Reply::Reset, ErrorClass::Retry, ErrorClass::Ambiguous),
        (|| Reply::Silence, ErrorClass::Retry, ErrorClass::Ambiguous),
        (|| Reply::Refused, ErrorClass::Retry, ErrorClass::Retry),
        (
            || Reply::Page(403, "forbidden"),
            ErrorClass::Denied,
            ErrorClass::Denied,
        ),
        (
            || error(400, "UnknownOperationException", ""),
            ErrorClass::Refused,
            ErrorClass::Refused,
        ),
    ];
    for (make, read, write) in cases {
        let failed = reading(make).await;
        assert_eq!(failed.class, read, "{failed}");
        let failed = writing(make).await;
        assert_eq!(failed.class, write, "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_html_page_is_told_in_its_words() {
    let failed = reading(|| {
        Reply::Page(
            502,
            "<html><head><title>502</title></head><body>Bad\n  Gateway</body></html>",
        )
    })
    .await;
    assert_eq!(
        failed.message,
        "HTTP 502 without an AWS error code: 502 Bad Gateway"
    );
    assert_eq!(failed.code, None);
    assert_eq!(failed.status, Some(502));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_aws_is_named_as_such() {
    let failed = reading(|| Reply::Page(404, "Not Found")).await;
    assert_eq!(failed.class, ErrorClass::Refused);
    assert!(
        failed.to_string().ends_with("check AWS_ENDPOINT_URL."),
        "{failed}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_endpoint_says_why() {
    let failed = reading(|| Reply::Refused).await;
    assert_eq!(
        failed.to_string(),
        "ecs:DescribeServices of service app in cluster rails got no answer: connection refused. \
         Check the network, the Region and AWS_ENDPOINT_URL; it is tried again later."
    );
    assert!(failed.source().is_some(), "the SDK's error is kept");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_a_write_says_that_nobody_knows() {
    let failed = writing(|| Reply::Silence).await;
    assert_eq!(
        failed.to_string(),
        "ecs:UpdateService of service app in cluster rails may or may not have been done: no \
         answer within the time allowed. Whether it was done is not known; evenkeel looks before \
         it does anything again."
    );
}

#[tokio::test(start_paused = true)]
async fn the_code_is_found_in_the_body_too() {
    let canned = Canned::new(|_| {
        Reply::Page(
            400,
            r#"{"__type":"com.amazonaws.ecs#ClusterNotFoundException","message":"Cluster not found."}"#,
        )
    });
    let failed = canned
        .clients()
        .ecs
        .describe_services("rails", &["app".to_owned()])
        .await
        .unwrap_err();
    assert_eq!(failed.code.as_deref(), Some("ClusterNotFoundException"));
    assert!(failed.is_not_found());
    assert!(
        failed.to_string().contains("cluster rails failed"),
        "{failed}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_names_the_tasks_that_already_run() {
    let canned = Canned::new(|_| {
        Reply::Error(
            400,
            "ConflictException",
            json!({ "message": "clientToken reused", "resourceIds": ["arn:t1", "arn:t2"] }),
        )
    });
    let failed = canned
        .clients()
        .ecs
        .run_task(&json!({ "taskDefinition": "m:1", "cluster": "rails", "clientToken": "t" }))
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Conflict);
    assert_eq!(failed.resource_ids(), ["arn:t1", "arn:t2"]);
}

/// The SDK's own HTTP client, towards a loopback address.
async fn over_a_socket(address: std::net::SocketAddr) -> AwsError {
    let aws = Aws::load(AwsSettings {
        endpoint_url: Some(format!("http://{address}")),
        region: Some("eu-central-1".to_owned()),
        credentials: Some(("id".to_owned(), "secret".to_owned())),
        ..AwsSettings::default()
    })
    .await
    .without_retries();
    aws.region("eu-central-1")
        .ecs
        .update_service("rails", "app", "app:2", false, &serde_json::Map::new())
        .await
        .unwrap_err()
}

// These two rest on the words of hyper's private errors: an upgrade must not change them unseen.
#[tokio::test]
async fn a_closed_port_is_certainly_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failed = over_a_socket(address).await;
    assert_eq!(failed.class, ErrorClass::Retry, "{failed}");
    assert!(failed.message.contains("refused"), "{failed}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_may_be_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Readiness may be a false alarm.
        loop {
            stream.readable().await.unwrap();
            if let Ok(read) = stream.try_read(&mut [0; 16]) {
                return read;
            }
        }
    });
    let failed = over_a_socket(address).await;
    assert!(server.await.unwrap() > 0, "the request had begun");
    assert_eq!(failed.class, ErrorClass::Ambiguous, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_aws_repeats_is_not_told() {
    let failed = writing(|| {
        error(
            400,
            "ValidationException",
            "1 validation error detected: Value '{\"value\":\"it's ' at 'heart s3cret\"}' at \
             'targets.1.member.input' failed to satisfy constraint: Member must have length less \
             than or equal to 8192",
        )
    })
    .await;
    assert_eq!(failed.class, ErrorClass::Refused);
    assert_eq!(
        failed.message,
        "1 validation error detected: Value '(hidden)' at 'targets.1.member.input' failed to \
         satisfy constraint: Member must have length less than or equal to 8192"
    );
    // Neither by a cause, nor where somebody prints all that is known.
    assert!(failed.source().is_none());
    assert!(!format!("{failed:?}").contains("s3cret"), "{failed:?}");
    for (answered, told) in [
        (
            "Value 's3cret' is not valid",
            "Value '(hidden)' is not valid",
        ),
        ("Value 's3cret that was cut o", "Value '(hidden)"),
        (
            "Value null at 'name' failed to satisfy constraint",
            "Value null at 'name' failed to satisfy constraint",
        ),
    ] {
        let canned = Canned::new(move |_| error(400, "InvalidParameterException", answered));
        let ecs = canned.clients().ecs;
        let failed = ecs.run_task(&json!({})).await.unwrap_err();
        assert_eq!(failed.message, told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_repeated_in_the_body_of_a_success_is_not_told() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({"FailedEntryCount": 1, "FailedEntries": [{
            "TargetId": "evenkeel",
            "ErrorCode": "ValidationException",
            "ErrorMessage": "Value 's3cret' at 'input' failed to satisfy constraint",
        }]}))
    });
    let events = canned.clients().events;
    let failed = events.put_targets(&json!({"Rule": "r"})).await.unwrap_err();
    let text = failed.to_string();
    assert!(text.contains("Value '(hidden)' at 'input'"), "{text}");
}
