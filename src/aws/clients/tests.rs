use aws_config::profile::ProfileFileCredentialsProvider;
use aws_sdk_sts::config::SharedCredentialsProvider;
use aws_smithy_types::date_time::DateTime;
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::json;
use tokio::time::Instant;

use super::{Aws, AwsSettings, Clients};
use crate::aws::budget::Budget;
use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::{Call, ErrorClass};
use crate::aws::metrics::AwsMetrics;
use crate::aws::time::timestamp;
use crate::model::desired::Access;

const CALLER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
    <Arn>arn:aws:iam::123456789012:user/dev</Arn><UserId>U</UserId>\
    <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

#[tokio::test(start_paused = true)]
async fn the_identity_is_asked_in_the_default_region() {
    let canned = Canned::new(|_| Reply::Page(200, CALLER));
    let identity = canned.aws().identity().await.unwrap();
    assert_eq!(identity.account, "123456789012");
    assert_eq!(identity.arn, "arn:aws:iam::123456789012:user/dev");
    assert!(canned.seen()[0].uri.contains("eu-central-1"));
}

#[tokio::test(start_paused = true)]
async fn each_region_has_its_own_endpoint() {
    let canned = Canned::new(|_| Reply::Ok(json!({})));
    let aws = canned.aws();
    for region in ["us-east-1", "ap-southeast-1"] {
        aws.region(region).events.targets("r").await.unwrap();
    }
    let uris: Vec<String> = canned.seen().into_iter().map(|it| it.uri).collect();
    assert!(uris[0].contains("us-east-1"), "{uris:?}");
    assert!(uris[1].contains("ap-southeast-1"), "{uris:?}");
}

#[tokio::test(start_paused = true)]
async fn settings_win_over_the_environment() {
    let canned = Canned::new(|_| Reply::Ok(json!({})));
    let aws = Aws::load(AwsSettings {
        endpoint_url: Some("http://127.0.0.1:4566".to_owned()),
        region: Some("eu-west-3".to_owned()),
        credentials: Some(("id".to_owned(), "secret".to_owned())),
        http_client: Some(canned.http()),
        ..AwsSettings::default()
    })
    .await;
    assert_eq!(aws.default_region().as_deref(), Some("eu-west-3"));
    aws.region("eu-west-3").events.targets("r").await.unwrap();
    let seen = &canned.seen()[0];
    assert!(
        seen.uri.starts_with("http://127.0.0.1:4566"),
        "{}",
        seen.uri
    );
    assert!(seen.signed);
}

#[tokio::test(start_paused = true)]
async fn without_credentials_the_sentence_says_how_to_get_some() {
    let canned = Canned::new(|_| Reply::Ok(json!({})));
    let provider = ProfileFileCredentialsProvider::builder()
        .profile_name("a-profile-that-nobody-has")
        .build();
    let config = canned
        .aws()
        .sdk_config()
        .to_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider))
        .build();
    let aws = Aws::new(config, None);
    let failed = aws.identity().await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Credentials, "{failed:?}");
    let text = failed.to_string();
    assert!(text.contains(": no AWS credentials were found."), "{text}");
    assert!(text.contains("aws sts get-caller-identity"), "{text}");
    assert!(canned.seen().is_empty(), "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn without_a_region_the_sentence_says_how_to_set_one() {
    let canned = Canned::new(|_| Reply::Ok(json!({})));
    let config = canned.aws().sdk_config().to_builder().region(None).build();
    let failed = Aws::new(config.clone(), None).identity().await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "sts:GetCallerIdentity of the credentials was refused: no AWS Region is set. Set \
         AWS_REGION, or a region in the profile."
    );
    // Whatever is called with the SDK's own client, as the table is, says the same.
    let client = aws_sdk_sts::Client::new(&config);
    let call = Call::read("sts", "GetCallerIdentity", "the credentials");
    let sent = client.get_caller_identity().send().await;
    let told = call.failed(sent.unwrap_err());
    assert_eq!(told.class, ErrorClass::Refused);
    assert_eq!(told.to_string(), failed.to_string());
    assert!(canned.seen().is_empty(), "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_how_it_ended() {
    let registry = Registry::new();
    let metrics = AwsMetrics::register(&registry).unwrap();
    let canned = Canned::new(|request| match request.operation.as_str() {
        "DescribeRule" => Reply::Ok(json!({ "Name": "r" })),
        "ListRules" => error(400, "ThrottlingException", "Rate exceeded"),
        "ListTargetsByRule" => Reply::Page(502, "<h1>Bad Gateway</h1>"),
        _ => Reply::Silence,
    });
    let events = canned
        .aws()
        .with_metrics(metrics)
        .region("eu-west-1")
        .events;
    events.rule("r").await.unwrap();
    events.rules_with_prefix("r").await.unwrap_err();
    events.targets("r").await.unwrap_err();
    events.delete_rule("r").await.unwrap_err();

    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&registry.gather(), &mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    for (operation, code, count) in [
        ("DescribeRule", "OK", 1),
        ("ListRules", "ThrottlingException", 3),
        ("ListTargetsByRule", "HTTP502", 3),
        ("DeleteRule", "NoAnswer", 1),
    ] {
        let line = format!(
            "evenkeel_aws_requests_total{{code=\"{code}\",operation=\"{operation}\",\
             service=\"eventbridge\"}} {count}\n"
        );
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    let timed = "evenkeel_aws_request_duration_seconds_sum{operation=\"DeleteRule\",\
                 service=\"eventbridge\"} 15";
    assert!(text.contains(timed), "{text}");
}

/// RegisterTaskDefinition is admitted as often at once.
async fn admitted(clients: &Clients) -> usize {
    let began = Instant::now();
    let mut admitted = 0;
    while clients
        .budget
        .admit("ecs", "RegisterTaskDefinition", "somebody")
        .await
        .is_ok()
        && began.elapsed().is_zero()
    {
        admitted += 1;
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn a_role_of_our_own_account_has_no_budget_beside_ours() {
    let canned = Canned::new(|_| Reply::Page(200, CALLER));
    let aws = canned.aws().with_budget(Budget::new(1.0));
    let role = |account: &str| Access {
        role_arn: Some(format!("arn:aws:iam::{account}:role/evenkeel")),
        external_id: None,
    };
    // Made before it is known whose account it is.
    let early = aws.at(&role("123456789012"), "eu-central-1");
    let ours = aws.region("eu-central-1");
    aws.identity().await.unwrap();
    assert_eq!(admitted(&ours).await, 20);
    assert_eq!(admitted(&early).await, 0);
    let mut other = role("123456789012");
    other.external_id = Some("x".to_owned());
    assert_eq!(admitted(&aws.at(&other, "eu-central-1")).await, 0);
    let stranger = aws.at(&role("210987654321"), "eu-central-1");
    assert_eq!(admitted(&stranger).await, 20);
    // What was taken as the role before is taken from what is ours.
    let abroad = aws.at(&role("123456789012"), "eu-west-1");
    assert_eq!(admitted(&abroad).await, 20);
    assert_eq!(admitted(&aws.region("eu-west-1")).await, 0);
}

#[test]
fn times_keep_their_fractions() {
    let time = DateTime::from_secs_and_nanos(1_754_000_000, 5_000_000);
    assert_eq!(
        timestamp(Some(&time)).unwrap().to_string(),
        "2025-07-31T22:13:20.005Z"
    );
    assert_eq!(timestamp(Some(&DateTime::from_secs(i64::MAX))), None);
    assert_eq!(timestamp(None), None);
}
