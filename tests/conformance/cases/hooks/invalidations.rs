//! Invalidations: ministack makes one for each caller reference, as CloudFront does, and calls it
//! complete at once.
//!
//! moto makes another one for each call, whatever reference it has, so that nothing can be said there
//! of answers that were lost; and it calls one `COMPLETED`, which CloudFront does not, so that none is
//! ever complete.

use serde_json::{Value, json};

use super::{NAMESPACE, hook, ministack, moto, released, scheduled, worked};
use crate::evenkeel::{Evenkeel, assert_ready, assert_stalled};
use crate::listener::Listener;
use crate::manifest;
use crate::servers::{REGION, Server};

/// The id of a new distribution.
fn distribution(server: &Server) -> String {
    let config = json!({
        "CallerReference": "shop", "Comment": "shop", "Enabled": true,
        "Origins": {"Quantity": 1, "Items": [{
            "Id": "web", "DomainName": "web.shop.example",
            "CustomOriginConfig": {
                "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only",
            },
        }]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "web", "ViewerProtocolPolicy": "redirect-to-https",
            "MinTTL": 0,
            "ForwardedValues": {"QueryString": false, "Cookies": {"Forward": "none"}},
        },
    });
    let input = json!({"DistributionConfig": config});
    let made = server.call("cloudfront", "CreateDistribution", &input);
    let id = made["Distribution"]["Id"].as_str();
    id.expect("an id").to_owned()
}

/// What was invalidated, newest first: reference and paths of each.
fn invalidated(server: &Server, distribution: &str) -> Vec<(String, Value)> {
    let input = json!({"DistributionId": distribution});
    let listed = server.call("cloudfront", "ListInvalidations", &input);
    let items = listed["InvalidationList"]["Items"].as_array();
    let whole = |item: &Value| {
        let input = json!({"DistributionId": distribution, "Id": item["Id"]});
        let found = server.call("cloudfront", "GetInvalidation", &input);
        let batch = &found["Invalidation"]["InvalidationBatch"];
        let reference = batch["CallerReference"].as_str().expect("a reference");
        (reference.to_owned(), batch["Paths"]["Items"].clone())
    };
    items.into_iter().flatten().map(whole).collect()
}

/// Paths in an order of ours: CloudFront promises none.
fn sorted(paths: &Value) -> Vec<Value> {
    let mut paths = paths.as_array().expect("paths").clone();
    paths.sort_by_key(Value::to_string);
    paths
}

fn invalidating(distribution: &str) -> Value {
    let paths = ["/index.html", "/assets/*"];
    let cdn = json!({"distributionId": distribution, "paths": paths});
    scheduled(&json!({"after": [{"name": "cdn", "cloudFrontInvalidation": cdn}]}))
}

#[test]
fn each_revision_invalidates_once_whichever_process_looks_at_it_afterwards() {
    let server = ministack::rails_allowing(&json!({}));
    let distribution = distribution(&server);
    let mut release = invalidating(&distribution);
    let ready = released(&server, &release, 0);
    assert_ready(&ready);
    assert_eq!(hook(&ready, "cdn")["state"], "Done");
    assert!(
        hook(&ready, "cdn")["invalidationId"].is_string(),
        "{ready:#}"
    );
    let first = invalidated(&server, &distribution);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(sorted(&first[0].1), ["/assets/*", "/index.html"]);

    worked(&server, 0);
    assert_eq!(invalidated(&server, &distribution), first);

    release["spec"]["images"]["app"]["tag"] = json!("1f0e8a7");
    assert_ready(&released(&server, &release, 0));
    let both = invalidated(&server, &distribution);
    assert_eq!(both.len(), 2, "{both:?}");
    assert_ne!(both[0].0, both[1].0, "another revision, another reference");

    let nowhere = invalidating("ENOWHERE");
    let stalled = released(&server, &nowhere, 1);
    let message = assert_stalled(&stalled, "HookFailed");
    for part in ["distribution ENOWHERE", "NoSuchDistribution"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn what_is_never_complete_fails_when_its_time_is_up_and_is_asked_for_once_in_moto() {
    let server = moto::rails_allowing(&json!({}));
    let distribution = distribution(&server);
    let mut release = invalidating(&distribution);
    release["spec"]["hooks"]["after"][0]["timeout"] = json!("5s");
    let stalled = released(&server, &release, 1);
    let message = assert_stalled(&stalled, "HookFailed");
    assert!(message.contains("was not complete within 5s"), "{message}");
    let id = hook(&stalled, "cdn")["invalidationId"].as_str();
    assert!(id.is_some_and(|id| message.contains(id)), "{stalled:#}");
    let made = invalidated(&server, &distribution);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(sorted(&made[0].1), ["/assets/*", "/index.html"]);

    worked(&server, 1);
    assert_eq!(invalidated(&server, &distribution), made);
}

#[test]
fn an_answer_that_nobody_heard_is_asked_for_again_under_the_same_reference() {
    let server = ministack::rails_allowing(&json!({}));
    let distribution = distribution(&server);
    let evenkeel = Evenkeel::new(&server, NAMESPACE);
    evenkeel.apply(&[&manifest::write("hooks", &invalidating(&distribution))]);
    // ministack makes the invalidation, and its answer comes no further.
    let between = Listener::start(&["--before", server.endpoint(), "hold"]);
    let behind =
        Evenkeel::new(&server, NAMESPACE).with("AWS_ENDPOINT_URL_CLOUDFRONT", &between.url(""));
    let controller = behind.begin(&["run", "--once"]);
    let asked = between.heard();
    controller.dies();
    let made = invalidated(&server, &distribution);
    assert_eq!(made.len(), 1, "{made:?}");
    let text = asked["body"].as_str().expect("a body");
    assert!(text.contains(&made[0].0), "{text}");
    let told = hook(&evenkeel.release("rails"), "cdn").clone();
    assert!(told["invalidationId"].is_null(), "{told:#}");

    let ready = worked(&server, 0);
    assert_ready(&ready);
    assert_eq!(invalidated(&server, &distribution), made);
}

/// What the hook rests on, where it is so and where it is not.
#[tokio::test]
async fn the_same_reference_is_the_same_invalidation_in_ministack_and_another_one_in_moto() {
    for (server, same) in [(Server::ministack(), true), (Server::moto(), false)] {
        let distribution = distribution(&server);
        let cloudfront = server.aws().await.region(REGION).cloudfront;
        let paths = ["/*".to_owned()];
        let asked = async |reference: &str| {
            let asked = cloudfront.invalidate(&distribution, &paths, reference);
            asked.await.expect("it is taken")
        };
        let (first, again) = (asked("revision-1").await, asked("revision-1").await);
        assert_eq!(first == again, same, "{first} {again}");
        assert_ne!(asked("revision-2").await, first);
    }
}
