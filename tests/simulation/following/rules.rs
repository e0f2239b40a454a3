//! Rules of an Environment, and images that come by replication.

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::meta::ReleaseKey;
use serde_json::{Value, json};

use super::{READY, REJECTED, on_v2};
use crate::shop::{
    Breaker, Stands, environment, key, minutes, pass, pinned, push, release, repository, rules,
    seconds, service, shop, stalled, web,
};
use crate::world::{World, example};

/// An Environment whose rule is about every repository, as this Release's image.
fn ruled(release: &str) -> Value {
    let rules = json!([{"repository": "(?<service>[a-z]+)", "release": release, "image": "web"}]);
    environment(&json!({"imageRules": rules}))
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_the_environment_follows_without_the_release_saying_so() {
    let world = on_v2(&web("latest")).await;
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.differences(&key()).await.len(), 1, "it is told");

    world.put(&ruled("another")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));

    world.put(&ruled("$service")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.differences(&key()).await, []);

    // Who says that it does not want to be followed is not.
    let mut object = web("latest");
    object["spec"]["images"]["web"]["follow"] = json!(false);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "latest", "v4");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.differences(&key()).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_images_of_a_release_are_followed_each_for_itself() {
    let world = shop(Breaker::Rollback).await;
    for (tag, content) in [("1.0.0", "v1"), ("latest", "v2")] {
        push(&world, tag, content);
    }
    let images = json!({
        "web": {"repository": repository(), "tagPattern": r"\d+\.\d+\.\d+"},
        "side": {"repository": repository(), "tag": "latest", "follow": true},
    });
    let mut worker = service("worker");
    worker["images"] = json!({"worker": "side"});
    let mut object = release(
        "web",
        "none",
        &json!({"services": [service("web"), worker]}),
    );
    object["spec"]["images"] = images;
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    push(&world, "2.0.0", "bad");
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    world.sandbox.reset_calls();
    // What comes after does not try the bad version again.
    push(&world, "latest", "v3");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("worker"), pinned(&world, "v3"));
    assert_eq!(world.image_of("web"), pinned(&world, "v1"));
    assert_eq!(world.outcomes().await, [READY, REJECTED, READY]);
    world.nothing_goes_on().await;
}

/// The example that images come to by replication, settled.
mod replicated {
    use super::*;

    pub fn key() -> ReleaseKey {
        ReleaseKey::new("verification", "api")
    }

    pub async fn ready() -> World {
        let world = World::new("replication/account.json").await;
        world.apply(&example("replication/environment.yaml")).await;
        world.apply(&example("replication/release.yaml")).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(runs(&world), latest(&world));
        world.sandbox.reset_calls();
        world
    }

    /// The image that the service runs.
    pub fn runs(world: &World) -> String {
        world.image_in(&world.runs("verification", "api"), "api")
    }

    /// The image behind `latest`, as it stands in what evenkeel registers.
    pub fn latest(world: &World) -> String {
        let ids = json!([{"imageTag": "latest"}]);
        let input = json!({"repositoryName": "backend/api", "imageIds": ids});
        let found = world.aws("ecr", "DescribeImages", input);
        let digest = found["imageDetails"][0]["imageDigest"]
            .as_str()
            .expect("a digest");
        format!("123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/backend/api@{digest}")
    }

    pub fn push(world: &World) {
        let calls = evenkeel::sandbox::parse_account(&example("replication/push.json"));
        world.load(&calls.expect("calls"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_replication_example_runs_what_is_replicated_without_any_event() {
    let world = replicated::ready().await;
    let before = replicated::runs(&world);
    let pushes = async {
        pass(minutes(1)).await;
        replicated::push(&world);
        pass(minutes(15)).await;
    };
    world.controller().run(pushes).await.expect("runs");
    assert_ne!(replicated::runs(&world), before);
    assert_eq!(replicated::runs(&world), replicated::latest(&world));
    let ready = world.is(&replicated::key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::True));
    assert_eq!(
        world.aws_writes(),
        ["ecs.RegisterTaskDefinition", "ecs.UpdateService"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_event_of_a_replicated_image_brings_it_within_seconds() {
    let world = replicated::ready().await;
    // Nothing but what CloudTrail writes down tells of it.
    world.aws("sqs", "CreateQueue", json!({"QueueName": "events"}));
    let url = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events";
    let options = evenkeel::controller::ControllerOptions {
        events: Some(evenkeel::aws::sqs::Queue::new(&world.client(), url)),
        resync: jiff::SignedDuration::from_hours(24),
        ..Default::default()
    };
    let controller = world.controller_with(options);
    let events = async {
        pass(minutes(5)).await;
        replicated::push(&world);
        pass(minutes(5)).await;
        assert_eq!(world.called("ecs.UpdateService"), 0, "nobody knows of it");
        let body = example("replication/event.json");
        world.aws(
            "sqs",
            "SendMessage",
            json!({"QueueUrl": url, "MessageBody": body}),
        );
        pass(seconds(30)).await;
        assert_eq!(world.called("ecs.UpdateService"), 1);
        pass(minutes(10)).await;
    };
    controller.run(events).await.expect("runs");
    assert_eq!(replicated::runs(&world), replicated::latest(&world));
    let ready = world.is(&replicated::key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::True));
}

#[tokio::test(start_paused = true)]
async fn a_bad_replicated_image_is_rejected_and_a_good_one_after_it_taken() {
    let world = replicated::ready().await;
    let before = replicated::runs(&world);
    replicated::push(&world);
    let bad = replicated::latest(&world);
    let crashing = json!([{"when": {"image": bad}, "then": {"crash": {"after": "2s"}}}]);
    rules(&world, &crashing);
    // Its service has no circuit breaker: time judges it.
    let stands = world.settle(&replicated::key()).await;
    assert_eq!(stands, stalled("RolledBack"));
    assert_eq!(replicated::runs(&world), before);
    world.push("backend/api", "latest", "fixed");
    assert_eq!(world.settle(&replicated::key()).await, Stands::Ready);
    assert_eq!(replicated::runs(&world), replicated::latest(&world));
    assert!(![before, bad].contains(&replicated::runs(&world)));
}
