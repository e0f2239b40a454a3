//! Deployments that fail or are stopped, and what becomes of what they did.

use super::*;

/// The deployment that undoes another one.
fn undone_by(shop: &Shop, id: &str) -> String {
    word(&shop.info(id)["rollbackInfo"]["rollbackDeploymentId"]).to_owned()
}

fn fails(reason: &str) -> Value {
    json!({"fails": {"reason": reason}})
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_is_undone_by_a_second_deployment() {
    let shop = Shop::usual().await;
    shop.rule("BeforeAllowTraffic", fails("the page is empty"));
    let id = shop.deploy(2, &["BeforeAllowTraffic"]);
    shop.until(&id, "Failed").await;
    let info = shop.info(&id);
    assert_eq!(info["errorInformation"]["code"], "HOOK_EXECUTION_FAILURE");
    assert_eq!(
        shop.events(&id)[3..],
        [
            "BeforeAllowTraffic Failed",
            "AllowTraffic Skipped",
            "AfterAllowTraffic Skipped"
        ]
    );
    let told = &shop.target(&id)["lifecycleEvents"][3]["diagnostics"];
    assert_eq!(told["message"], "the page is empty");
    assert_eq!(told["scriptName"], "smoke-test");
    let second = undone_by(&shop, &id);
    assert_eq!(
        info["rollbackInfo"]["rollbackMessage"],
        format!(
            "Deployment {id} terminated. Automatic rollback is triggered with a DeploymentId {second}."
        )
    );
    // Meanwhile nothing else can be deployed.
    let refused = shop.refused("CreateDeployment", request(3, &[]));
    assert_eq!(
        refused.message,
        format!("The Deployment Group 'web' already has an active Deployment '{second}'")
    );
    // What failed the first does not fail the second.
    shop.until(&second, "Succeeded").await;
    let info = shop.info(&second);
    assert_eq!(info["creator"], "codeDeployRollback");
    assert_eq!(info["rollbackInfo"]["rollbackTriggeringDeploymentId"], id);
    assert_eq!(shop.listed(), [second, id]);
    assert_eq!(shop.sets(), ["PRIMARY web:1", "DRAINING web:2"]);
    shop.pass(30).await;
    assert_eq!(shop.sets(), ["PRIMARY web:1"]);
    assert_eq!(shop.service()["runningCount"], 2);
    // Once ECS forgot the stopped tasks nothing is due any more.
    shop.pass(3700).await;
    shop.service();
    assert_eq!(shop.sandbox.next_event(), None);
}

#[tokio::test(start_paused = true)]
async fn without_a_rollback_the_new_tasks_stay_until_the_next_deployment() {
    let off = json!({"enabled": false, "events": []});
    let shop = Shop::with(json!({ "autoRollbackConfiguration": off })).await;
    shop.rule("BeforeAllowTraffic", fails("no"));
    let id = shop.deploy(2, &["BeforeAllowTraffic"]);
    shop.until(&id, "Failed").await;
    shop.pass(3600).await;
    assert_eq!(shop.info(&id)["rollbackInfo"], Value::Null);
    assert_eq!(shop.sets(), ["PRIMARY web:1", "ACTIVE web:2"]);
    assert_eq!(named(&shop.service()["taskDefinition"]), "web:1");
    shop.sandbox.set_rules(Rules::default());
    let next = shop.deploy(3, &[]);
    shop.until(&next, "Succeeded").await;
    shop.pass(30).await;
    assert_eq!(shop.sets(), ["PRIMARY web:3"]);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_stopped_before_the_traffic_leaves_nothing() {
    let shop = Shop::usual().await;
    let id = shop.deploy(2, &[]);
    shop.until_event(&id, "Install").await;
    shop.pass(3).await;
    shop.stop(&id, Some(true));
    assert_eq!(shop.status(&id), "InProgress");
    shop.until(&id, "Stopped").await;
    assert_eq!(shop.info(&id)["errorInformation"]["code"], "MANUAL_STOP");
    assert_eq!(shop.events(&id)[1], "Install Failed");
    let again = shop.refused("StopDeployment", json!({"deploymentId": id}));
    assert_eq!(again.code, "DeploymentAlreadyCompletedException");
    let second = undone_by(&shop, &id);
    shop.until(&second, "Succeeded").await;
    shop.pass(30).await;
    assert_eq!(shop.sets(), ["PRIMARY web:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_stopped_after_the_traffic_takes_it_back() {
    let shop = Shop::usual().await;
    shop.rule(
        "AfterAllowTraffic",
        json!({"hooks": {"status": "IN_PROGRESS"}}),
    );
    let id = shop.deploy(2, &["AfterAllowTraffic"]);
    shop.until_event(&id, "AfterAllowTraffic").await;
    assert_eq!(shop.sets(), ["PRIMARY web:2", "ACTIVE web:1"]);
    shop.stop(&id, None);
    shop.until(&id, "Stopped").await;
    // Until the second has done its part the traffic is where it was.
    assert_eq!(shop.sets()[0], "PRIMARY web:2");
    let second = undone_by(&shop, &id);
    shop.until(&second, "Succeeded").await;
    let web = shop.service();
    assert_eq!(named(&web["taskDefinition"]), "web:1");
    assert!(word(&web["loadBalancers"][0]["targetGroupArn"]).contains("/web-a/"));
    shop.pass(30).await;
    assert_eq!(shop.sets(), ["PRIMARY web:1"]);
    let sets = &shop.target(&second)["taskSetsInfo"];
    assert_eq!(
        (&sets[0]["taskSetLabel"], &sets[0]["trafficWeight"]),
        (&json!("Blue"), &json!(100.0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_undoes_nothing_leaves_the_traffic_where_it_is() {
    let shop = Shop::with(json!({ "deploymentConfigName": LINEAR })).await;
    let id = shop.deploy(2, &["AfterAllowTraffic"]);
    shop.until_event(&id, "AllowTraffic").await;
    shop.pass(130).await;
    shop.stop(&id, Some(false));
    shop.until(&id, "Stopped").await;
    shop.pass(3600).await;
    assert_eq!(shop.info(&id)["rollbackInfo"], Value::Null);
    assert_eq!(shop.sets(), ["PRIMARY web:1", "ACTIVE web:2"]);
    let weights = shop.target(&id)["taskSetsInfo"].clone();
    assert_eq!(weights[1]["trafficWeight"], 30.0);

    shop.rule(
        "AfterAllowTraffic",
        json!({"hooks": {"status": "IN_PROGRESS"}}),
    );
    let id = shop.deploy(3, &["AfterAllowTraffic"]);
    shop.until_event(&id, "AfterAllowTraffic").await;
    shop.stop(&id, Some(false));
    shop.until(&id, "Stopped").await;
    shop.pass(3600).await;
    assert_eq!(shop.sets(), ["PRIMARY web:3", "ACTIVE web:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_is_given_an_hour() {
    let shop = Shop::usual().await;
    shop.rule("AfterInstall", json!({"hooks": {"status": "IN_PROGRESS"}}));
    let id = shop.deploy(2, &["AfterInstall"]);
    shop.until_event(&id, "AfterInstall").await;
    shop.pass(3590).await;
    assert_eq!(shop.status(&id), "InProgress");
    shop.pass(15).await;
    let info = shop.info(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("TIMEOUT"))
    );
    let second = undone_by(&shop, &id);
    shop.until(&second, "Succeeded").await;

    // Somebody may answer in its place.
    let id = shop.deploy(2, &["AfterInstall"]);
    shop.until_event(&id, "AfterInstall").await;
    let (_, given) = shop.sandbox.invoked().pop().unwrap();
    let execution = given["Payload"]["LifecycleEventHookExecutionId"].clone();
    let answer = |id: &Value| {
        json!({
            "deploymentId": given["Payload"]["DeploymentId"],
            "lifecycleEventHookExecutionId": id,
            "status": "Succeeded",
        })
    };
    let operation = "PutLifecycleEventHookExecutionStatus";
    let unknown = shop.refused(operation, answer(&json!("else")));
    assert_eq!(
        unknown.code,
        "InvalidLifecycleEventHookExecutionIdException"
    );
    shop.aws("codedeploy", operation, answer(&execution));
    let twice = shop.refused(operation, answer(&execution));
    assert_eq!(twice.code, "LifecycleEventAlreadyCompletedException");
    shop.pass(60).await;
    assert_eq!(shop.status(&id), "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_never_become_steady_are_given_an_hour() {
    let rules = json!([
        {"when": {"image": "shop/web:2"}, "then": {"crash": {"after": "2s"}}},
        {"when": {"image": "shop/web:3"}, "then": {"neverStarts": {}}},
    ]);
    let shop = Shop::usual().await;
    shop.sandbox
        .set_rules(serde_json::from_value(rules).unwrap());
    for revision in [2, 3] {
        let id = shop.deploy(revision, &[]);
        shop.pass(3590).await;
        assert_eq!(shop.events(&id)[1], "Install InProgress");
        let web = shop.service();
        assert_eq!(web["taskSets"][1]["stabilityStatus"], "STABILIZING");
        assert_eq!(web["taskSets"][0]["stabilityStatus"], "STEADY_STATE");
        shop.pass(30).await;
        let info = shop.info(&id);
        assert_eq!(info["errorInformation"]["code"], "TIMEOUT");
        let second = undone_by(&shop, &id);
        shop.until(&second, "Succeeded").await;
        shop.pass(60).await;
        assert_eq!(shop.sets(), ["PRIMARY web:1"]);
    }
    // ECS lost patience with what crashed.
    let events = shop.service()["events"].to_string();
    assert!(
        events.contains("is unable to consistently start tasks"),
        "{events}"
    );
    let stopped = json!({"cluster": "main", "serviceName": "web", "desiredStatus": "STOPPED"});
    let stopped = shop.aws("ecs", "ListTasks", stopped);
    assert!(stopped["taskArns"].as_array().unwrap().len() < 60);
}

#[tokio::test(start_paused = true)]
async fn rules_may_say_with_which_code_a_deployment_ends() {
    let alarm = json!({"enabled": true, "events": ["DEPLOYMENT_STOP_ON_ALARM"]});
    let shop = Shop::with(json!({ "autoRollbackConfiguration": alarm })).await;
    shop.rule(
        "AllowTraffic",
        fails("ALARM_ACTIVE: Activated alarms: <web-5xx>"),
    );
    let id = shop.deploy(2, &[]);
    shop.until(&id, "Stopped").await;
    let error = &shop.info(&id)["errorInformation"];
    assert_eq!(error["code"], "ALARM_ACTIVE");
    assert_eq!(error["message"], "Activated alarms: <web-5xx>");
    let second = undone_by(&shop, &id);
    shop.until(&second, "Succeeded").await;
    // A failure is another event, upon which this group does not roll back.
    shop.rule("AllowTraffic", fails("the listener is gone"));
    let id = shop.deploy(2, &[]);
    shop.until(&id, "Failed").await;
    let info = shop.info(&id);
    assert_eq!(info["errorInformation"]["code"], "ECS_UPDATE_ERROR");
    assert_eq!(info["rollbackInfo"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_can_fail_too() {
    let shop = Shop::usual().await;
    let rules = json!([
        {"when": {"stage": "AfterAllowTraffic"}, "then": {"stage": fails("no")}},
        {"when": {"stage": "Rollback"}, "then": {"stage": fails("the listener is gone")}},
    ]);
    shop.sandbox
        .set_rules(serde_json::from_value(rules).unwrap());
    let id = shop.deploy(2, &["AfterAllowTraffic"]);
    shop.until(&id, "Failed").await;
    let second = undone_by(&shop, &id);
    shop.until(&second, "Failed").await;
    assert_eq!(
        shop.info(&second)["rollbackInfo"]["rollbackDeploymentId"],
        Value::Null
    );
    assert_eq!(shop.sets(), ["PRIMARY web:2", "ACTIVE web:1"]);
    assert_eq!(shop.listed(), [second, id]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_appspec_shows_when_it_is_deployed() {
    let shop = Shop::usual().await;
    for (content, code, event) in [
        ("{}".to_owned(), "INVALID_REVISION", None),
        (
            spec(9, &[]).to_string(),
            "ECS_UPDATE_ERROR",
            Some("Install Failed"),
        ),
        (
            spec(2, &[]).to_string().replace("\"web\"", "\"app\""),
            "ECS_UPDATE_ERROR",
            Some("Install Failed"),
        ),
    ] {
        let mut input = request(2, &[]);
        input["revision"]["appSpecContent"]["content"] = content.into();
        let answer = shop.aws("codedeploy", "CreateDeployment", input);
        let id = word(&answer["deploymentId"]);
        shop.until(id, "Failed").await;
        let info = shop.info(id);
        assert_eq!(info["errorInformation"]["code"], code, "{info}");
        // There is nothing to undo.
        assert_eq!(info["rollbackInfo"], Value::Null);
        if let Some(event) = event {
            assert_eq!(shop.events(id)[1], event);
        }
        assert_eq!(shop.sets(), ["PRIMARY web:1"]);
    }
    // Nor has a hook done anything before there are tasks.
    shop.rule("BeforeInstall", json!({"hooks": {"status": "FAILED"}}));
    let id = shop.deploy(2, &["BeforeInstall"]);
    shop.until(&id, "Failed").await;
    assert_eq!(shop.info(&id)["rollbackInfo"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_stopped_is_not_undone_again() {
    let shop = Shop::usual().await;
    shop.rule("AfterAllowTraffic", fails("no"));
    let id = shop.deploy(2, &["AfterAllowTraffic"]);
    shop.until(&id, "Failed").await;
    let second = undone_by(&shop, &id);
    shop.stop(&second, Some(true));
    shop.until(&second, "Stopped").await;
    assert_eq!(shop.listed(), [second, id]);
    assert_eq!(shop.sets(), ["PRIMARY web:2", "ACTIVE web:1"]);
}
