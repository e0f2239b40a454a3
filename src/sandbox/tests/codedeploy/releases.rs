//! Deployments that go well, and the waits in them.

use aws_sdk_codedeploy::types::{
    AppSpecContent, DeploymentStatus, DeploymentTargetType, DeploymentWaitType,
    LifecycleEventStatus, RevisionLocation, RevisionLocationType, TargetLabel,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_service_of_codedeploy_shows_task_sets_and_no_deployments() {
    let shop = Shop::usual().await;
    let web = shop.service();
    assert_eq!(web["deployments"], json!([]));
    assert_eq!(
        (&web["runningCount"], &web["pendingCount"]),
        (&json!(2), &json!(0))
    );
    let sets = web["taskSets"].as_array().unwrap();
    assert_eq!(sets.len(), 1);
    let set = &sets[0];
    let id = word(&set["id"]);
    assert_eq!(id.len(), "ecs-svc/".len() + 19, "{id}");
    for (member, wanted) in [
        ("status", json!("PRIMARY")),
        ("startedBy", json!("CODE_DEPLOY")),
        ("externalId", Value::Null),
        ("computedDesiredCount", json!(2)),
        ("runningCount", json!(2)),
        ("stabilityStatus", json!("STEADY_STATE")),
        ("scale", json!({"value": 100.0, "unit": "PERCENT"})),
        ("launchType", json!("FARGATE")),
        ("platformVersion", json!("1.4.0")),
        ("serviceArn", web["serviceArn"].clone()),
        ("loadBalancers", web["loadBalancers"].clone()),
        (
            "taskSetArn",
            json!(format!(
                "arn:aws:ecs:{REGION}:123456789012:task-set/main/web/{id}"
            )),
        ),
    ] {
        assert_eq!(set[member], wanted, "{member}");
    }
    let said: Vec<_> = web["events"].as_array().unwrap().iter().collect();
    assert_eq!(
        said[0]["message"],
        "(service web) has reached a steady state."
    );
    assert_eq!(
        said[1]["message"],
        format!("(service web, taskSet {id}) updated state to STEADY_STATE.")
    );
    let records = json!({"cluster": "main", "service": "web"});
    let records = shop.aws("ecs", "ListServiceDeployments", records);
    assert_eq!(records["serviceDeployments"], json!([]));
    // At rest nothing is due.
    assert_eq!(shop.sandbox.next_event(), None);

    let scale = json!({"cluster": "main", "service": "web", "desiredCount": 3});
    shop.aws("ecs", "UpdateService", scale);
    shop.pass(60).await;
    let set = &shop.service()["taskSets"][0];
    assert_eq!(
        (&set["computedDesiredCount"], &set["runningCount"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(set["stabilityStatus"], "STEADY_STATE");
}

#[tokio::test(start_paused = true)]
async fn traffic_goes_over_step_by_step_and_the_old_tasks_stay_for_a_while() {
    let end = json!({"action": "TERMINATE", "terminationWaitTimeInMinutes": 5});
    let shop = Shop::with(json!({
        "deploymentConfigName": LINEAR,
        "blueGreenDeploymentConfiguration": {"terminateBlueInstancesOnDeploymentSuccess": end},
    }))
    .await;
    let content = AppSpecContent::builder().content(spec(2, &[]).to_string());
    let revision = RevisionLocation::builder()
        .revision_type(RevisionLocationType::AppSpecContent)
        .app_spec_content(content.build());
    let made = shop
        .client
        .create_deployment()
        .application_name("shop")
        .deployment_group_name("web")
        .description("the second")
        .revision(revision.build());
    let id = made.send().await.unwrap().deployment_id.unwrap();
    assert_eq!(id.len(), "d-".len() + 9, "{id}");

    let (mut weights, mut statuses) = (Vec::new(), Vec::new());
    let mut since_shift = None;
    for _ in 0..1500 {
        let info = shop.client.get_deployment().deployment_id(&id);
        let info = info.send().await.unwrap().deployment_info.unwrap();
        let status = info.status().unwrap().clone();
        if statuses.last() != Some(&status) {
            statuses.push(status.clone());
        }
        let is_pending = matches!(status, DeploymentStatus::Created | DeploymentStatus::Queued);
        if !is_pending {
            let target = shop.client.batch_get_deployment_targets();
            let target = target.deployment_id(&id).target_ids("main:web");
            let target = target.send().await.unwrap().deployment_targets.unwrap();
            assert_eq!(
                target[0].deployment_target_type(),
                Some(&DeploymentTargetType::EcsTarget)
            );
            let target = target[0].ecs_target().unwrap();
            let green = target.task_sets_info().iter();
            let mut green = green.filter(|set| set.task_set_label() == Some(&TargetLabel::Green));
            if let Some(green) = green.next()
                && weights.last() != Some(&green.traffic_weight())
            {
                weights.push(green.traffic_weight());
            }
        }
        if info.instance_termination_wait_time_started() && since_shift.is_none() {
            since_shift = Some(shop.sandbox.now());
            assert_eq!(status, DeploymentStatus::InProgress);
            assert_eq!(shop.sets(), ["PRIMARY web:2", "ACTIVE web:1"]);
        }
        if status == DeploymentStatus::Succeeded {
            break;
        }
        shop.pass(1).await;
    }
    assert_eq!(
        weights,
        [
            0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0
        ]
    );
    let waited = shop.sandbox.now().duration_since(since_shift.unwrap());
    assert_eq!(waited.as_secs(), 300);
    use DeploymentStatus::{Created, InProgress, Queued, Succeeded};
    assert_eq!(statuses, [Created, Queued, InProgress, Succeeded]);

    assert_eq!(shop.sets(), ["PRIMARY web:2", "DRAINING web:1"]);
    shop.pass(30).await;
    assert_eq!(shop.sets(), ["PRIMARY web:2"]);
    let web = shop.service();
    assert_eq!(named(&web["taskDefinition"]), "web:2");
    assert_eq!(web["runningCount"], 2);
    assert_eq!(web["taskSets"][0]["externalId"], id.as_str());
    let group = word(&web["loadBalancers"][0]["targetGroupArn"]);
    assert!(group.contains(":targetgroup/web-b/"), "{group}");
    let events = [
        "BeforeInstall",
        "Install",
        "AfterInstall",
        "BeforeAllowTraffic",
        "AllowTraffic",
        "AfterAllowTraffic",
    ];
    assert_eq!(
        shop.events(&id),
        events.map(|event| format!("{event} Succeeded"))
    );

    // The next one goes back into the first target group.
    let next = shop.deploy(3, &[]);
    assert_eq!(
        shop.info(&next)["previousRevision"],
        shop.info(&id)["revision"]
    );
    shop.until(&next, "Succeeded").await;
    let web = shop.service();
    assert_eq!(
        web["loadBalancers"][0]["targetGroupArn"],
        format!("{BALANCER}:targetgroup/web-a/0123456789abcdef")
    );
}

#[tokio::test(start_paused = true)]
async fn all_that_is_told_of_a_deployment() {
    let shop = Shop::usual().await;
    let id = shop.deploy(2, &[]);
    shop.until(&id, "Succeeded").await;
    let info = shop.client.get_deployment().deployment_id(&id);
    let info = info.send().await.unwrap().deployment_info.unwrap();
    assert_eq!(info.application_name(), Some("shop"));
    assert_eq!(
        info.deployment_config_name(),
        Some("CodeDeployDefault.ECSAllAtOnce")
    );
    assert_eq!(info.creator().unwrap().as_str(), "user");
    assert_eq!(info.compute_platform().unwrap().as_str(), "ECS");
    assert!(info.rollback_info().is_none() && info.error_information().is_none());
    let (began, ended) = (info.start_time().unwrap(), info.complete_time().unwrap());
    assert!(info.create_time().unwrap().secs() < began.secs() && began.secs() < ended.secs());
    assert_eq!(info.deployment_overview().unwrap().succeeded(), 1);
    // What an AppSpec holds is told by another call alone.
    let revision = info.revision().unwrap();
    let told = revision.app_spec_content().unwrap();
    assert_eq!(told.content(), None);
    assert_eq!(told.sha256().unwrap().len(), 64);
    let whole = shop.client.get_application_revision();
    let whole = whole.application_name("shop").revision(revision.clone());
    let whole = whole.send().await.unwrap().revision.unwrap();
    let whole = whole.app_spec_content().unwrap().content().unwrap();
    assert_eq!(whole, spec(2, &[]).to_string());

    let target = shop.client.get_deployment_target();
    let target = target.deployment_id(&id).target_id("main:web");
    let target = target.send().await.unwrap().deployment_target.unwrap();
    let target = target.ecs_target().unwrap();
    assert_eq!(
        target.target_arn(),
        Some("arn:aws:ecs:ap-northeast-1:123456789012:service/main/web")
    );
    let install = &target.lifecycle_events()[1];
    assert_eq!(install.status(), Some(&LifecycleEventStatus::Succeeded));
    assert!(install.start_time().unwrap().secs() < install.end_time().unwrap().secs());
    let sets = target.task_sets_info();
    let shown: Vec<_> = sets
        .iter()
        .map(|set| {
            (
                set.traffic_weight(),
                set.target_group().unwrap().name().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [(100.0, "web-b"), (0.0, "web-a")]);

    let group = shop.client.get_deployment_group();
    let group = group.application_name("shop").deployment_group_name("web");
    let group = group.send().await.unwrap().deployment_group_info.unwrap();
    let last = group.last_successful_deployment().unwrap();
    assert_eq!(last.deployment_id(), Some(id.as_str()));
    assert_eq!(group.ecs_services()[0].service_name(), Some("web"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_before_the_traffic_ends_by_a_word_or_by_stopping() {
    let ready = json!({"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 10});
    let shop = Shop::with(json!({
        "blueGreenDeploymentConfiguration": {"deploymentReadyOption": ready},
        "autoRollbackConfiguration": {"enabled": false, "events": []},
    }))
    .await;
    let go_on = |id: &str, wait: &str| json!({"deploymentId": id, "deploymentWaitType": wait});
    let first = shop.deploy(2, &[]);
    let early = shop.refused("ContinueDeployment", go_on(&first, "READY_WAIT"));
    assert_eq!(early.code, "DeploymentIsNotInReadyStateException");
    shop.until(&first, "Ready").await;
    shop.pass(9 * 60).await;
    assert_eq!(shop.status(&first), "Ready");
    assert_eq!(shop.sets(), ["PRIMARY web:1", "ACTIVE web:2"]);
    let wrong = shop.refused("ContinueDeployment", go_on(&first, "TERMINATION_WAIT"));
    assert_eq!(wrong.code, "InvalidDeploymentStatusException");
    let word = shop.client.continue_deployment().deployment_id(&first);
    let word = word.deployment_wait_type(DeploymentWaitType::ReadyWait);
    word.send().await.unwrap();
    shop.until(&first, "Succeeded").await;

    let second = shop.deploy(3, &[]);
    shop.until(&second, "Stopped").await;
    let info = shop.info(&second);
    assert_eq!(info["errorInformation"]["code"], "TIMEOUT");
    let waited = info["completeTime"].as_f64().unwrap() - info["createTime"].as_f64().unwrap();
    assert!((600.0..660.0).contains(&waited), "{waited}");
    assert_eq!(shop.sets(), ["PRIMARY web:2", "ACTIVE web:3"]);
}

#[tokio::test(start_paused = true)]
async fn the_old_tasks_go_earlier_when_somebody_says_so() {
    let end = json!({"action": "TERMINATE", "terminationWaitTimeInMinutes": 2880});
    let shop = Shop::with(json!({
        "blueGreenDeploymentConfiguration": {"terminateBlueInstancesOnDeploymentSuccess": end},
    }))
    .await;
    let id = shop.deploy(2, &[]);
    shop.pass(3600).await;
    let info = shop.info(&id);
    assert_eq!(info["status"], "InProgress");
    assert_eq!(info["instanceTerminationWaitTimeStarted"], true);
    assert_eq!(shop.sets(), ["PRIMARY web:2", "ACTIVE web:1"]);
    let over = json!({"deploymentId": id, "deploymentWaitType": "TERMINATION_WAIT"});
    shop.aws("codedeploy", "ContinueDeployment", over);
    shop.pass(30).await;
    assert_eq!(shop.status(&id), "Succeeded");
    assert_eq!(shop.sets(), ["PRIMARY web:2"]);
}

#[tokio::test(start_paused = true)]
async fn hooks_are_invoked_and_test_traffic_is_shown() {
    let mut group = members()["loadBalancerInfo"].clone();
    group["targetGroupPairInfoList"][0]["testTrafficRoute"] =
        json!({"listenerArns": [format!("{BALANCER}:listener/app/web/1/2")]});
    let shop = Shop::with(json!({ "loadBalancerInfo": group })).await;
    let id = shop.deploy(2, &["AfterAllowTestTraffic", "AfterAllowTraffic"]);
    shop.until(&id, "Succeeded").await;
    let events = shop.events(&id);
    assert_eq!(events.len(), 8);
    assert_eq!(
        events[3..5],
        [
            "AllowTestTraffic Succeeded",
            "AfterAllowTestTraffic Succeeded"
        ]
    );
    let invoked = shop.sandbox.invoked();
    assert_eq!(invoked.len(), 2);
    assert_eq!(invoked[0].0, "smoke-test");
    assert_eq!(invoked[0].1["Payload"]["DeploymentId"], id.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_big_jump_in_time_comes_to_the_same_as_many_small_steps() {
    let run = async |step: u64| {
        let shop = Shop::with(json!({ "deploymentConfigName": LINEAR })).await;
        let id = shop.deploy(2, &["BeforeAllowTraffic"]);
        for _ in 0..(900 / step) {
            shop.pass(step).await;
            shop.sandbox.next_event();
            shop.service();
        }
        let times = |it: &Value| (it["startTime"].clone(), it["endTime"].clone());
        let target = shop.target(&id);
        let events = target["lifecycleEvents"].as_array().unwrap();
        (
            shop.info(&id)["completeTime"].clone(),
            events.iter().map(times).collect::<Vec<_>>(),
            shop.sets(),
        )
    };
    assert_eq!(run(1).await, run(900).await);
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_shows_a_moment_later_where_reads_lag() {
    let shop = Shop::usual().await;
    shop.sandbox
        .update_settings(|settings| settings.read_delay = Duration::from_secs(5));
    let id = shop.deploy(2, &[]);
    assert_eq!(shop.listed(), [] as [String; 0]);
    let unknown = shop.refused("GetDeployment", json!({"deploymentId": id}));
    assert_eq!(unknown.code, "DeploymentDoesNotExistException");
    // A second one is refused all the same.
    let again = shop.refused("CreateDeployment", request(3, &[]));
    assert_eq!(again.code, "DeploymentLimitExceededException");
    shop.pass(5).await;
    assert_eq!(shop.listed(), [id]);
}

#[tokio::test(start_paused = true)]
async fn eventbridge_is_told() {
    let shop = Shop::usual().await;
    let queue = json!({"QueueName": "told"});
    let url = shop.aws("sqs", "CreateQueue", queue)["QueueUrl"].clone();
    let pattern = json!({"source": ["aws.codedeploy"]}).to_string();
    let rule = json!({"Name": "told", "EventPattern": pattern});
    shop.aws("events", "PutRule", rule);
    let arn = format!("arn:aws:sqs:{REGION}:123456789012:told");
    let targets = json!({"Rule": "told", "Targets": [{"Id": "a", "Arn": arn}]});
    shop.aws("events", "PutTargets", targets);
    let id = shop.deploy(2, &[]);
    shop.until(&id, "Succeeded").await;
    let receive = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
    let answer = shop.aws("sqs", "ReceiveMessage", receive);
    let states: Vec<Value> = answer["Messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| serde_json::from_str::<Value>(word(&it["Body"])).unwrap())
        .map(|event| event["detail"]["state"].clone())
        .collect();
    assert_eq!(states, [json!("START"), json!("SUCCESS")]);
}
