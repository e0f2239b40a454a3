//! What task definitions are made from.

use evenkeel::model::ledger::RevisionOutcome;
use serde_json::json;

use crate::shop::{
    Breaker, CLUSTER, Stands, arn, definition, key, minutes, pinned, register, release, repository,
    rules, schedule, shop, stalled, web,
};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn what_a_service_runs_already_is_not_registered_again() {
    let world = shop(Breaker::Rollback).await;
    let mut same = web("v1");
    same["spec"]["images"]["web"]["pin"] = json!("Tag");
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    let status = world.status(&key()).await;
    assert_eq!(status.services[0].task_definition, Some(arn("web:1")));

    same["spec"]["images"]["web"]["tag"] = json!("v2");
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), format!("{}:v2", repository()));
}

#[tokio::test(start_paused = true)]
async fn a_service_may_follow_a_family() {
    let world = shop(Breaker::Rollback).await;
    let mut following = web("v2");
    following["spec"]["services"][0]["taskDefinition"] = json!({"family": "web"});
    register(&world, "web", "v1", &json!({"memory": "768"}));
    world.put(&following).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let memory = |world: &World| {
        let runs = world.definition(&world.runs(CLUSTER, "web"));
        runs["taskDefinition"]["memory"].clone()
    };
    assert_eq!(memory(&world), "768");
    let before = world.ledger(&key()).await.revisions.len();

    // Terraform registers a new structure: a new revision of the same generation, rolled out with
    // the released image.
    register(&world, "web", "v1", &json!({"memory": "1024"}));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(memory(&world), "1024");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let ledger = world.ledger(&key()).await;
    assert_eq!(ledger.revisions.len(), before + 1);
    let newest = ledger.revisions.values().next_back().expect("a revision");
    assert_eq!(
        (newest.generation, newest.outcome),
        (1, RevisionOutcome::Ready)
    );

    // The same structure under a new number changes nothing that runs.
    world.sandbox.reset_calls();
    register(&world, "web", "v4", &json!({"memory": "1024"}));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
}

/// What was registered while nobody heard of it stands behind what others registered since.
#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_was_lost_is_found_behind_those_of_others() {
    let world = shop(Breaker::Rollback).await;
    world.put(&web("v2")).await;
    world.dies_at("RegisterTaskDefinition", true).await;
    for memory in 600..630 {
        register(&world, "web", "v1", &json!({"memory": memory.to_string()}));
    }
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "web"), "web:2");
    assert_eq!(world.sent("RegisterTaskDefinition").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_structure_that_was_rejected_is_left_for_the_next_one() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"command": "*broken*"}, "then": {"crash": {"after": "2s"}}}]),
    );
    let mut following = web("v2");
    following["spec"]["services"][0]["taskDefinition"] = json!({"family": "web"});
    world.put(&following).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let commanded = |command: &str| {
        let mut input = definition("web", "v1", &json!({}));
        input["containerDefinitions"][0]["command"] = json!([command]);
        input
    };
    world.aws("ecs", "RegisterTaskDefinition", commanded("broken"));
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let moves = world.moves().len();
    world.resync(&key(), minutes(60), minutes(20)).await;
    assert_eq!(world.moves().len(), moves);
    world.aws("ecs", "RegisterTaskDefinition", commanded("whole"));
    assert_eq!(world.settle(&key()).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn only_revisions_of_the_right_registrar_are_followed() {
    let world = shop(Breaker::Rollback).await;
    let by = world.definition("web:1")["taskDefinition"]["registeredBy"].clone();
    let by = by.as_str().expect("a registrar");
    let following = |glob: &str| {
        let mut object = web("v2");
        object["spec"]["services"][0]["taskDefinition"] =
            json!({"family": "web", "registeredBy": glob});
        object
    };
    world
        .put(&following("arn:aws:iam::*:role/terraform*"))
        .await;
    assert_eq!(
        world.settle(&key()).await,
        stalled("TaskDefinitionNotFound")
    );
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    world
        .put(&following(&by.replace("123456789012", "*")))
        .await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_definition_may_stand_in_the_manifest() {
    let world = shop(Breaker::Rollback).await;
    let mut inline = web("v2");
    let mut content = definition("web-inline", "ignored", &json!({"memory": "900"}));
    content["containerDefinitions"][0]["name"] = json!("web");
    inline["spec"]["services"][0]["taskDefinition"] = json!({"inline": content});
    world.put(&inline).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "web"), "web-inline:1");
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));

    inline["spec"]["services"][0]["taskDefinition"]["inline"]["memory"] = json!("1000");
    world.put(&inline).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "web"), "web-inline:2");
}

#[tokio::test(start_paused = true)]
async fn a_base_that_went_away_is_gone_on_from() {
    let world = shop(Breaker::Rollback).await;
    let mut following = web("v2");
    following["spec"]["services"][0]["taskDefinition"] = json!({"family": "web"});
    world.put(&following).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.aws(
        "ecs",
        "DeregisterTaskDefinition",
        json!({"taskDefinition": "web:1"}),
    );
    world.sandbox.reset_calls();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.aws_writes(), [] as [&str; 0]);

    // A new generation has no ACTIVE base any more, and starts from the recorded content; so does
    // every one after it.
    for tag in ["v3", "v4", "v3"] {
        following["spec"]["images"]["web"]["tag"] = json!(tag);
        world.put(&following).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("web"), pinned(&world, tag));
    }

    // So does a service whose own definition was deregistered.
    let world = shop(Breaker::Rollback).await;
    world.aws(
        "ecs",
        "DeregisterTaskDefinition",
        json!({"taskDefinition": "web:1"}),
    );
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_target_deregistered_by_hand_is_registered_again() {
    let world = shop(Breaker::Rollback).await;
    let spec = json!({"schedules": [schedule("nightly", "rate(1 day)")]});
    world.put(&release("web", "v2", &spec)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let target = |world: &World| {
        let targets = world.targets("shop-web-nightly");
        let arn = targets[0]["EcsParameters"]["TaskDefinitionArn"].as_str();
        arn.expect("an ARN").to_owned()
    };
    let before = target(&world);
    world.aws(
        "ecs",
        "DeregisterTaskDefinition",
        json!({"taskDefinition": before}),
    );
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_ne!(target(&world), before);
    assert_eq!(world.image_in(&target(&world), "job"), pinned(&world, "v2"));

    // A release that is not there yet meets it too: between registering and moving.
    let world = shop(Breaker::Off).await;
    world.put(&web("v2")).await;
    world.deny(&["ecs:UpdateService"]);
    assert_eq!(world.run(&key()).await, stalled("AccessDenied"));
    world.aws(
        "ecs",
        "DeregisterTaskDefinition",
        json!({"taskDefinition": "web:2"}),
    );
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.runs(CLUSTER, "web"), "web:3");
}
