use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::aws::canned::{Canned, Reply, error};
use crate::aws::error::ErrorClass;
use crate::model::known::Known;
use crate::model::observed::DeploymentRecord;

const DEFINITION: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/web:7";

/// A deployment of `web:7`, with these members besides.
fn info(id: &str, second: u32, status: &str, more: &Value) -> Value {
    let spec = json!({"version": 0.0, "Resources": [{"TargetService": {
        "Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": DEFINITION},
    }}]});
    let mut info = json!({
        "deploymentId": id, "status": status, "createTime": f64::from(second),
        "revision": {
            "revisionType": "AppSpecContent",
            "appSpecContent": {"content": spec.to_string(), "sha256": "x"},
        },
    });
    for (name, value) in more.as_object().unwrap() {
        info[name] = value.clone();
    }
    info
}

/// What is told of a group with these deployments, whose newest came as far as this target says.
async fn told(infos: Value, target: Value) -> Vec<DeploymentRecord> {
    let canned = Canned::new(move |request| {
        Reply::Ok(match request.operation.as_str() {
            "ListDeployments" => json!({"deployments": ["d-1"]}),
            "BatchGetDeployments" => json!({"deploymentsInfo": infos}),
            "BatchGetDeploymentTargets" => json!({"deploymentTargets": [{"ecsTarget": target}]}),
            "GetDeploymentConfig" => json!({"deploymentConfigInfo": {"trafficRoutingConfig": {
                "type": "TimeBasedLinear",
                "timeBasedLinear": {"linearPercentage": 10, "linearInterval": 3},
            }}}),
            other => panic!("{other}"),
        })
    });
    let codedeploy = canned.clients().codedeploy;
    codedeploy
        .deployments("shop", "web", "main:web")
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_a_state_of_what_it_rolls_back() {
    let undone = |status: &str, named: &Value| {
        json!([
            info("d-1", 1, "Succeeded", &json!({})),
            info("d-2", 2, "Stopped", named),
            info(
                "d-3",
                3,
                status,
                &json!({
                    "creator": "codeDeployRollback",
                    "rollbackInfo": {"rollbackTriggeringDeploymentId": "d-2"},
                })
            ),
        ])
    };
    let names = json!({"rollbackInfo": {"rollbackDeploymentId": "d-3"}});
    for (status, named, is) in [
        ("InProgress", &names, "ROLLBACK_IN_PROGRESS"),
        ("Succeeded", &names, "ROLLBACK_SUCCESSFUL"),
        ("Failed", &names, "ROLLBACK_FAILED"),
        // Only one of the two says so yet.
        ("Created", &json!({}), "ROLLBACK_IN_PROGRESS"),
    ] {
        let records = told(undone(status, named), json!({})).await;
        let found: Vec<_> = records
            .iter()
            .map(|it| (it.arn.as_str(), it.status.as_str()))
            .collect();
        assert_eq!(found, [("d-2", is), ("d-1", "SUCCESSFUL")]);
    }
    // The rollback itself does not show yet.
    let records = told(json!([info("d-2", 2, "Stopped", &names)]), json!({})).await;
    assert_eq!(records[0].status, "ROLLBACK_IN_PROGRESS");
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_told_with_how_far_it_came() {
    let more = json!({
        "deploymentConfigName": "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
        "blueGreenDeploymentConfiguration": {"terminateBlueInstancesOnDeploymentSuccess": {
            "action": "TERMINATE", "terminationWaitTimeInMinutes": 5,
        }},
    });
    let target = json!({
        "lifecycleEvents": [
            {"lifecycleEventName": "Install", "status": "Succeeded"},
            {"lifecycleEventName": "AllowTraffic", "status": "InProgress"},
            {"lifecycleEventName": "AfterAllowTraffic", "status": "Pending"},
        ],
        "taskSetsInfo": [
            {"taskSetLabel": "Blue", "trafficWeight": 70.0},
            {"taskSetLabel": "Green", "trafficWeight": 30.0},
        ],
    });
    let records = told(json!([info("d-1", 1, "InProgress", &more)]), target.clone()).await;
    let record = &records[0];
    assert_eq!(record.status, "IN_PROGRESS");
    assert_eq!(record.task_definition.as_deref(), Some(DEFINITION));
    assert_eq!(record.stage.as_deref(), Some("AllowTraffic"));
    assert_eq!(record.traffic_percent, Some(30.0));
    // Nine steps of three minutes, and five before the old tasks go.
    assert_eq!(record.waits, SignedDuration::from_mins(32));
    let ready = told(json!([info("d-1", 1, "Ready", &json!({}))]), target).await;
    assert_eq!(ready[0].waits_for().map(|it| it.id.as_str()), Some("d-1"));
    // Next year's status goes on.
    let other = told(json!([info("d-1", 1, "Pondering", &json!({}))]), json!({})).await;
    assert!(!other[0].is_final());
}

#[tokio::test(start_paused = true)]
async fn what_failed_says_why_and_where() {
    let more = json!({"errorInformation": {
        "code": "HEALTH_CONSTRAINTS", "message": "The deployment failed.",
    }});
    let target = json!({"lifecycleEvents": [{
        "lifecycleEventName": "AfterInstall", "status": "Failed",
        "diagnostics": {"message": "It said no.", "logTail": "password=hunter2"},
    }]});
    let records = told(json!([info("d-1", 1, "Failed", &more)]), target).await;
    assert!(records[0].is_final());
    assert_eq!(
        records[0].status_reason.as_deref(),
        Some("HEALTH_CONSTRAINTS: The deployment failed. AfterInstall failed (It said no.)")
    );
}

#[tokio::test(start_paused = true)]
async fn without_its_app_spec_evenkeels_own_description_tells_the_definition() {
    let described = |text: String| json!({"revision": {}, "description": text});
    let own = described(format!("evenkeel shop/web, revision 3: {DEFINITION}"));
    let records = told(json!([info("d-1", 1, "Succeeded", &own)]), json!({})).await;
    assert_eq!(records[0].task_definition.as_deref(), Some(DEFINITION));
    let theirs = described(format!("not {DEFINITION}"));
    let records = told(json!([info("d-1", 1, "Succeeded", &theirs)]), json!({})).await;
    assert_eq!(records[0].task_definition, None);
}

#[tokio::test(start_paused = true)]
async fn a_group_says_what_it_deploys_to() {
    let canned = Canned::new(|_| {
        let services = json!([{"serviceName": "web", "clusterName": "main"}]);
        Reply::Ok(json!({"deploymentGroupInfo": {"ecsServices": services}}))
    });
    let codedeploy = canned.clients().codedeploy;
    let found = codedeploy.group("shop", "web").await.unwrap();
    let group = found.present().expect("it is there");
    assert_eq!(group.services, [("main".to_owned(), "web".to_owned())]);
    for code in [
        "ApplicationDoesNotExistException",
        "DeploymentGroupDoesNotExistException",
    ] {
        let canned = Canned::new(move |_| error(400, code, "No."));
        let codedeploy = canned.clients().codedeploy;
        assert_eq!(
            codedeploy.group("shop", "web").await.unwrap(),
            Known::Absent
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_not_asked_for_twice_and_another_deployment_is_come_back_to() {
    let input = json!({"applicationName": "shop", "deploymentGroupName": "web"});
    let canned = Canned::new(|_| Reply::Reset);
    let lost = canned
        .clients()
        .codedeploy
        .create(&input)
        .await
        .unwrap_err();
    assert_eq!(lost.class, ErrorClass::Ambiguous);
    assert_eq!(canned.seen().len(), 1);
    assert_eq!(canned.seen()[0].body, input);
    let code = "DeploymentLimitExceededException";
    let canned = Canned::new(move |_| error(400, code, "One goes on."));
    let busy = canned
        .clients()
        .codedeploy
        .create(&input)
        .await
        .unwrap_err();
    assert_eq!(busy.class, ErrorClass::Retry);
}
