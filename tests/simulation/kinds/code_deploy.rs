//! Services that CodeDeploy releases.

use std::collections::BTreeSet;
use std::time::Duration;

use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Verdict;
use serde_json::{Value, json};

use super::{described, says, stage, told, update, watched};
use crate::shop::{
    Breaker, CLUSTER, Stands, crash, create_service, held, key, merge, minutes, pass, pinned,
    release, rules, seconds, shop_of, stalled,
};
use crate::world::World;

const GROUP: &str = "web-group";
const BALANCER: &str = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012";

/// The shop, whose service `web` is under CODE_DEPLOY in a deployment group with these settings.
async fn deployed_with(group: &Value) -> World {
    let world = shop_of(&["worker"], Breaker::Off).await;
    let target = format!("{BALANCER}:targetgroup/blue/1");
    for name in ["web", "other"] {
        let more = json!({
            "taskDefinition": "web", "deploymentController": {"type": "CODE_DEPLOY"},
            "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": false, "rollback": false}},
            "loadBalancers": [{
                "targetGroupArn": target, "containerName": "web", "containerPort": 80,
            }],
        });
        create_service(&world, name, Breaker::Off, &more);
    }
    let input = json!({"applicationName": "shop", "computePlatform": "ECS"});
    world.aws("codedeploy", "CreateApplication", input);
    let mut input = json!({
        "applicationName": "shop", "deploymentGroupName": GROUP,
        "serviceRoleArn": "arn:aws:iam::123456789012:role/code-deploy",
        "ecsServices": [{"serviceName": "web", "clusterName": CLUSTER}],
        "deploymentStyle": {
            "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL",
        },
        "loadBalancerInfo": {"targetGroupPairInfoList": [{
            "targetGroups": [{"name": "blue"}, {"name": "green"}],
            "prodTrafficRoute": {"listenerArns": [format!("{BALANCER}:listener/app/web/1/2")]},
        }]},
        "autoRollbackConfiguration": {
            "enabled": true, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"],
        },
        "blueGreenDeploymentConfiguration": {
            "terminateBlueInstancesOnDeploymentSuccess": {
                "action": "TERMINATE", "terminationWaitTimeInMinutes": 3,
            },
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
        },
    });
    merge(&mut input, group);
    world.aws("codedeploy", "CreateDeploymentGroup", input);
    pass(minutes(5)).await;
    world.sandbox.reset_calls();
    world
}

async fn deployed() -> World {
    deployed_with(&json!({})).await
}

/// The release of `web` by that group.
fn web(tag: &str, more: &Value) -> Value {
    let mut rollout = json!({
        "timeout": "6m",
        "codeDeploy": {"applicationName": "shop", "deploymentGroupName": GROUP},
    });
    merge(&mut rollout, more);
    let service = json!({"name": "web", "images": {"web": "web"}, "rollout": rollout});
    release("web", tag, &json!({"services": [service]}))
}

/// What the controller had deployed, in order: `web:2`.
fn deployments(world: &World) -> Vec<String> {
    let sent = world.sent("CreateDeployment");
    sent.iter().map(definition).collect()
}

fn spec(input: &Value) -> Value {
    let content = input["revision"]["appSpecContent"]["content"].as_str();
    serde_json::from_str(content.expect("an AppSpec")).expect("JSON")
}

fn definition(input: &Value) -> String {
    let properties = &spec(input)["Resources"][0]["TargetService"]["Properties"];
    let arn = properties["TaskDefinition"].as_str().expect("an ARN");
    arn.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Status of each deployment of the group, the newest first.
fn statuses(world: &World) -> Vec<String> {
    let input = json!({"applicationName": "shop", "deploymentGroupName": GROUP});
    let listed = world.aws("codedeploy", "ListDeployments", input)["deployments"].clone();
    let ids = listed.as_array().cloned().unwrap_or_default();
    let of = |id: &Value| {
        let found = world.aws("codedeploy", "GetDeployment", json!({"deploymentId": id}));
        found["deploymentInfo"]["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    ids.iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_made_followed_and_judged() {
    let config = "CodeDeployDefault.ECSLinear10PercentEvery1Minutes";
    let hook = "arn:aws:lambda:ap-northeast-1:123456789012:function:smoke-test";
    let world = deployed().await;
    let more = json!({"codeDeploy": {
        "deploymentConfigName": config, "hooks": {"AfterAllowTraffic": hook},
    }});
    world.put(&web("v2", &more)).await;
    let seen = watched(&world, 120).await;
    let stages: BTreeSet<String> = seen.iter().filter_map(|it| it.stage.clone()).collect();
    for stage in ["AllowTraffic", "TERMINATION_WAIT"] {
        assert!(stages.contains(stage), "{stages:?}");
    }
    let mut shown: Vec<f64> = seen.iter().filter_map(|it| it.traffic_percent).collect();
    shown.dedup();
    assert!(shown.starts_with(&[0.0, 10.0, 20.0]), "{shown:?}");
    // Traffic took longer than the timeout, and the old tasks were kept for a while.
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(deployments(&world), ["web:2"]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert!(world.sent("UpdateService").is_empty());
    let part = told(&world).await;
    assert_eq!(part.strategy.as_deref(), Some("CODE_DEPLOY"));
    let input = world.sent("CreateDeployment")[0].clone();
    assert_eq!(input["deploymentConfigName"], config);
    let spec = spec(&input);
    assert_eq!(spec["Hooks"], json!([{"AfterAllowTraffic": hook}]));
    let properties = &spec["Resources"][0]["TargetService"]["Properties"];
    let balancer = json!({"ContainerName": "web", "ContainerPort": 80});
    assert_eq!(properties["LoadBalancerInfo"], balancer);
    // What is Ready is left alone.
    world.sandbox.reset_calls();
    world.run_for(minutes(30)).await;
    assert!(world.writes().is_empty(), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn steady_tasks_do_not_count_before_code_deploy_says_so() {
    let world = deployed().await;
    world.put(&web("v2", &json!({}))).await;
    world.run_for(seconds(100)).await;
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let part = told(&world).await;
    assert_eq!(part.stage.as_deref(), Some("TERMINATION_WAIT"), "{part:?}");
    assert_eq!(part.state, PartState::Progressing);
    assert_eq!(part.traffic_percent, Some(100.0));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_takes_the_release_back() {
    for at in ["AfterInstall", "BeforeAllowTraffic", "AfterAllowTraffic"] {
        let hook = "arn:aws:lambda:ap-northeast-1:123456789012:function:smoke-test";
        let world = deployed().await;
        stage(&world, at, &json!({"hooks": {"status": "FAILED"}}));
        let more = json!({"codeDeploy": {"hooks": {at: hook}}});
        world.put(&web("v2", &more)).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"), "{at}");
        // CodeDeploy took it back by itself.
        assert_eq!(deployments(&world), ["web:2"], "{at}");
        assert_eq!(world.runs(CLUSTER, "web"), "web:1");
        let why = world.why(&key()).await;
        assert!(why.contains(at), "{at}: {why}");
        // A rejected revision is not tried again by itself; a person may.
        world.run_for(minutes(30)).await;
        assert_eq!(deployments(&world).len(), 1);
        rules(&world, &json!([]));
        world.retry(&key()).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_code_deploy_leaves_is_brought_back() {
    let none = json!({"autoRollbackConfiguration": {"enabled": false, "events": []}});
    let world = deployed_with(&none).await;
    let hook = "arn:aws:lambda:ap-northeast-1:123456789012:function:smoke-test";
    stage(
        &world,
        "AfterAllowTraffic",
        &json!({"hooks": {"status": "FAILED"}}),
    );
    let more = json!({"codeDeploy": {"hooks": {"AfterAllowTraffic": hook}}});
    world.put(&web("v2", &more)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(deployments(&world), ["web:2", "web:1"]);
    // The function that said no is not asked about what ran before.
    let back = spec(&world.sent("CreateDeployment")[1]);
    assert!(back["Hooks"].is_null(), "{back}");
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_held_is_not_rolled_back_by_code_deploy() {
    let world = deployed().await;
    let hook = "arn:aws:lambda:ap-northeast-1:123456789012:function:smoke-test";
    stage(
        &world,
        "AfterAllowTraffic",
        &json!({"hooks": {"status": "FAILED"}}),
    );
    let more = json!({
        "onFailure": "Hold", "codeDeploy": {"hooks": {"AfterAllowTraffic": hook}},
    });
    world.put(&web("v2", &more)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolloutFailed"));
    world.run_for(minutes(30)).await;
    assert_eq!(statuses(&world), ["Failed"]);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_hangs_is_stopped_when_its_time_is_up() {
    let world = deployed().await;
    let hook = "arn:aws:lambda:ap-northeast-1:123456789012:function:smoke-test";
    stage(
        &world,
        "BeforeAllowTraffic",
        &json!({"hooks": {"status": "IN_PROGRESS"}}),
    );
    let more = json!({"codeDeploy": {"hooks": {"BeforeAllowTraffic": hook}}});
    world.put(&web("v2", &more)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.sent("StopDeployment").len(), 1);
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
    let why = world.why(&key()).await;
    assert!(why.contains("within"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_never_run_fail_the_release() {
    let world = deployed().await;
    crash(&world, "v2");
    world.put(&web("v2", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_takes_the_place_of_one_that_goes_on() {
    let world = deployed().await;
    let linear = json!({"codeDeploy": {
        "deploymentConfigName": "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
    }});
    world.put(&web("v2", &linear)).await;
    world.run_for(minutes(8)).await;
    assert_eq!(statuses(&world), ["InProgress"]);
    world.put(&web("v3", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(deployments(&world), ["web:2", "web:3"]);
    assert_eq!(world.sent("StopDeployment").len(), 1);
    // The newest, the rollback of the first, and the first.
    assert_eq!(statuses(&world), ["Succeeded", "Succeeded", "Stopped"]);
}

/// Somebody else deploys web:1.
fn by_hand(world: &World) {
    let spec = json!({
        "version": 0.0,
        "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {
            "TaskDefinition": crate::shop::arn("web:1"),
            "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 80},
        }}}],
    });
    let content = json!({"content": spec.to_string()});
    let input = json!({
        "applicationName": "shop", "deploymentGroupName": GROUP,
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": content},
    });
    world.aws("codedeploy", "CreateDeployment", input);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_deployment_is_waited_for_after_one_of_ours() {
    let world = deployed().await;
    world.put(&web("v2", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    by_hand(&world);
    pass(seconds(5)).await;
    world.put(&web("v3", &json!({}))).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert!(world.sent("StopDeployment").is_empty());
    assert_eq!(statuses(&world), ["Succeeded"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_did_not_arrive_is_asked_for_again() {
    let world = deployed().await;
    let linear = json!({"codeDeploy": {
        "deploymentConfigName": "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
    }});
    world.put(&web("v2", &linear)).await;
    world.run_for(minutes(2)).await;
    world.put(&web("v3", &json!({}))).await;
    world.dies_at("StopDeployment", false).await;
    let begun = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(statuses(&world), ["Succeeded", "Succeeded", "Stopped"]);
    let took = world.sandbox.now().duration_since(begun).as_mins();
    assert!(took < 12, "it did not wait for the traffic: {took}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_stopped_where_another_service_fails() {
    let world = deployed().await;
    crash(&world, "v2");
    let linear = json!({"codeDeploy": {
        "deploymentConfigName": "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
    }});
    // Its own tasks are well: only the worker's crash.
    let mut object = web("v2", &linear);
    object["spec"]["images"]["other"] =
        json!({"repository": crate::shop::repository(), "tag": "v3"});
    object["spec"]["services"][0]["images"] = json!({"web": "other"});
    let worker =
        json!({"name": "worker", "images": {"worker": "web"}, "rollout": {"timeout": "3m"}});
    let services = object["spec"]["services"].as_array_mut();
    services.expect("services").push(worker);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.runs(CLUSTER, "web"), "web:1");
    assert_eq!(world.sent("StopDeployment").len(), 1);
    assert_eq!(statuses(&world), ["Succeeded", "Stopped"]);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_deployment_is_waited_for() {
    let world = deployed().await;
    by_hand(&world);
    pass(seconds(20)).await;
    world.put(&web("v2", &json!({}))).await;
    world.run_for(minutes(1)).await;
    assert!(deployments(&world).is_empty());
    let message = told(&world).await.message.unwrap_or_default();
    assert!(message.contains("somebody else"), "{message}");
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(deployments(&world), ["web:2"]);
}

#[tokio::test(start_paused = true)]
async fn another_services_group_and_one_that_is_missing_are_refused() {
    let other = json!({"ecsServices": [{"serviceName": "other", "clusterName": CLUSTER}]});
    let world = deployed_with(&other).await;
    world.put(&web("v2", &json!({}))).await;
    assert_eq!(
        world.settle(&key()).await,
        stalled("DeploymentGroupOfAnother")
    );
    let world = deployed().await;
    let missing = json!({"codeDeploy": {"deploymentGroupName": "nobody"}});
    world.put(&web("v2", &missing)).await;
    assert_eq!(
        world.settle(&key()).await,
        stalled("DeploymentGroupNotFound")
    );
    assert!(deployments(&world).is_empty());
    // A service that does not say which is refused with what to write.
    world.put(&crate::shop::web("v2")).await;
    assert_eq!(world.settle(&key()).await, stalled("CodeDeployNotDeclared"));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_waits_for_somebody_goes_on_when_it_is_approved() {
    for reject in [false, true] {
        let ready = json!({"blueGreenDeploymentConfiguration": {"deploymentReadyOption": {
            "actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 120,
        }}});
        let world = deployed_with(&ready).await;
        world.put(&web("v2", &json!({}))).await;
        assert_eq!(world.settle(&key()).await, held("WaitingForApproval"));
        world.run_for(minutes(60)).await;
        assert_eq!(world.runs(CLUSTER, "web"), "web:1");
        says(&world, reject).await;
        let (stands, runs) = match reject {
            true => (stalled("RolledBack"), "web:1"),
            false => (Stands::Ready, "web:2"),
        };
        assert_eq!(world.settle(&key()).await, stands);
        assert_eq!(world.runs(CLUSTER, "web"), runs);
        assert_eq!(deployments(&world), ["web:2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_deployment() {
    for arrived in [false, true] {
        let world = deployed().await;
        world.breaks("CreateDeployment", 1, arrived, Verdict::ConnectionError);
        world.put(&web("v2", &json!({}))).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(statuses(&world), ["Succeeded"]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_dies_at_a_deployment_makes_no_second_one() {
    for arrived in [false, true] {
        let world = deployed().await;
        world.put(&web("v2", &json!({}))).await;
        world.dies_at("CreateDeployment", arrived).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(statuses(&world), ["Succeeded"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_declared_count_comes_in_a_call_of_its_own() {
    let world = deployed().await;
    let mut object = web("v2", &json!({}));
    object["spec"]["services"][0]["desiredCount"] = json!(3);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(described(&world)["desiredCount"], 3);
    assert_eq!(deployments(&world), ["web:2"]);
    // Drift of it is put right, without a deployment.
    update(&world, &json!({"desiredCount": 1}));
    world.run_for(Duration::from_secs(20 * 60)).await;
    assert_eq!(described(&world)["desiredCount"], 3);
    assert_eq!(deployments(&world), ["web:2"]);
}
