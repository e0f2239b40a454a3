//! What CodeDeploy refuses, and how it lists.

use aws_sdk_codedeploy::operation::create_deployment::CreateDeploymentError;
use aws_sdk_codedeploy::types::DeploymentStatus;

use super::*;

#[tokio::test(start_paused = true)]
async fn one_deployment_at_a_time() {
    let shop = Shop::usual().await;
    let id = shop.deploy(2, &[]);
    let again = shop.client.create_deployment().application_name("shop");
    let revision = aws_sdk_codedeploy::types::RevisionLocation::builder()
        .revision_type("AppSpecContent".into())
        .app_spec_content(
            aws_sdk_codedeploy::types::AppSpecContent::builder()
                .content("{}")
                .build(),
        );
    let again = again
        .deployment_group_name("web")
        .revision(revision.build());
    let error = again.send().await.unwrap_err().into_service_error();
    let CreateDeploymentError::DeploymentLimitExceededException(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        error.message,
        Some(format!(
            "The Deployment Group 'web' already has an active Deployment '{id}'"
        ))
    );
    shop.until(&id, "Succeeded").await;
    shop.deploy(3, &[]);
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_by_awss_names() {
    let shop = Shop::usual().await;
    let id = shop.deploy(2, &[]);
    let create = |given: Value| over(request(2, &[]), given);
    let group = |given: Value| over(members(), given);
    let content =
        |kind: &str, given: Value| json!({"revision": over(json!({"revisionType": kind}), given)});
    let bad_hash = content(
        "AppSpecContent",
        json!({"appSpecContent": {"content": "{}", "sha256": "00"}}),
    );
    let targets = |id: &str, target: &str| json!({"deploymentId": id, "targetIds": [target]});
    for (operation, input, code) in [
        (
            "CreateApplication",
            json!({}),
            "ApplicationNameRequiredException",
        ),
        (
            "CreateApplication",
            json!({"applicationName": "shop"}),
            "ApplicationAlreadyExistsException",
        ),
        (
            "CreateDeploymentGroup",
            members(),
            "DeploymentGroupAlreadyExistsException",
        ),
        (
            "CreateDeploymentGroup",
            group(json!({"deploymentGroupName": "b"})),
            "ECSServiceMappingLimitExceededException",
        ),
        (
            "CreateDeploymentGroup",
            group(
                json!({"deploymentGroupName": "b", "ecsServices": [{"clusterName": "main", "serviceName": "no"}]}),
            ),
            "InvalidECSServiceException",
        ),
        (
            "CreateDeploymentGroup",
            group(json!({"deploymentGroupName": "b", "deploymentStyle": null})),
            "InvalidDeploymentStyleException",
        ),
        (
            "CreateDeploymentGroup",
            group(json!({"deploymentGroupName": "b", "serviceRoleArn": null})),
            "RoleRequiredException",
        ),
        (
            "CreateDeploymentGroup",
            group(
                json!({"deploymentGroupName": "b", "deploymentConfigName": "CodeDeployDefault.AllAtOnce"}),
            ),
            "DeploymentConfigDoesNotExistException",
        ),
        (
            "CreateDeployment",
            create(json!({"applicationName": "no"})),
            "ApplicationDoesNotExistException",
        ),
        (
            "CreateDeployment",
            create(json!({"deploymentGroupName": "no"})),
            "DeploymentGroupDoesNotExistException",
        ),
        (
            "CreateDeployment",
            create(json!({"revision": null})),
            "RevisionRequiredException",
        ),
        (
            "CreateDeployment",
            create(content("S3", json!({}))),
            "InvalidRevisionException",
        ),
        (
            "CreateDeployment",
            create(bad_hash),
            "InvalidRevisionException",
        ),
        (
            "CreateDeployment",
            create(json!({})),
            "DeploymentLimitExceededException",
        ),
        (
            "GetDeployment",
            json!({"deploymentId": "d-ABCDEFGHI"}),
            "DeploymentDoesNotExistException",
        ),
        (
            "GetDeployment",
            json!({"deploymentId": "d-abc"}),
            "InvalidDeploymentIdException",
        ),
        (
            "StopDeployment",
            json!({"deploymentId": "d-ABCDEFGHI"}),
            "DeploymentDoesNotExistException",
        ),
        (
            "BatchGetDeployments",
            json!({"deploymentIds": vec!["d-ABCDEFGHI"; 26]}),
            "BatchLimitExceededException",
        ),
        (
            "BatchGetDeploymentTargets",
            targets(&id, "main:web"),
            "DeploymentNotStartedException",
        ),
        (
            "ListDeployments",
            json!({"applicationName": "shop"}),
            "DeploymentGroupNameRequiredException",
        ),
        (
            "ListDeployments",
            json!({"includeOnlyStatuses": ["Done"]}),
            "InvalidDeploymentStatusException",
        ),
        (
            "ListDeployments",
            json!({"createTimeRange": {"start": 2, "end": 1}}),
            "InvalidTimeRangeException",
        ),
        (
            "ListDeployments",
            json!({"nextToken": "x"}),
            "InvalidNextTokenException",
        ),
        (
            "GetDeploymentGroup",
            json!({"applicationName": "shop", "deploymentGroupName": "no"}),
            "DeploymentGroupDoesNotExistException",
        ),
        (
            "CreateDeploymentConfig",
            json!({}),
            "UnknownOperationException",
        ),
    ] {
        let told = format!("{operation} {input}");
        assert_eq!(shop.refused(operation, input).code, code, "{told}");
    }
    shop.until(&id, "Succeeded").await;
    for (operation, input, code) in [
        (
            "BatchGetDeploymentTargets",
            targets(&id, "main:no"),
            "DeploymentTargetDoesNotExistException",
        ),
        (
            "ContinueDeployment",
            json!({"deploymentId": id}),
            "DeploymentAlreadyCompletedException",
        ),
    ] {
        assert_eq!(shop.refused(operation, input).code, code, "{operation}");
    }
    let mut plain = service();
    plain["serviceName"] = json!("plain");
    plain["deploymentController"] = json!({"type": "ECS"});
    shop.aws("ecs", "CreateService", plain);
    let plain = json!([{"clusterName": "main", "serviceName": "plain"}]);
    let input = group(json!({"deploymentGroupName": "b", "ecsServices": plain}));
    assert_eq!(
        shop.refused("CreateDeploymentGroup", input).message,
        "Deployment group's ECS service must be configured for a CODE_DEPLOY deployment controller."
    );
}

#[tokio::test(start_paused = true)]
async fn deployments_are_listed_newest_first() {
    let shop = Shop::usual().await;
    let first = shop.deploy(2, &[]);
    shop.until(&first, "Succeeded").await;
    let between = shop.info(&first)["completeTime"].as_f64().unwrap();
    shop.pass(10).await;
    let second = shop.deploy(3, &[]);
    assert_eq!(shop.listed(), [second.clone(), first.clone()]);
    let list = || shop.client.list_deployments().application_name("shop");
    let list = || list().deployment_group_name("web");
    let active = list().include_only_statuses(DeploymentStatus::Created);
    let active = active.send().await.unwrap();
    assert_eq!(active.deployments(), std::slice::from_ref(&second));
    let since = json!({"createTimeRange": {"start": between}});
    let since = shop.aws("codedeploy", "ListDeployments", since);
    assert_eq!(since["deployments"], json!([second]));
    let both = shop.client.batch_get_deployments();
    let both = both.deployment_ids(&first).deployment_ids("d-ABCDEFGHI");
    let both = both.send().await.unwrap();
    assert_eq!(both.deployments_info().len(), 1);
    assert_eq!(
        both.deployments_info()[0].deployment_id(),
        Some(first.as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn long_lists_come_in_pages() {
    let shop = Shop::usual().await;
    for _ in 0..101 {
        let mut input = request(2, &[]);
        input["revision"]["appSpecContent"]["content"] = json!("{}");
        shop.aws("codedeploy", "CreateDeployment", input);
        shop.pass(5).await;
    }
    let first = shop.client.list_deployments().send().await.unwrap();
    assert_eq!(first.deployments().len(), 100);
    let rest = shop.client.list_deployments();
    let rest = rest.next_token(first.next_token().unwrap());
    let rest = rest.send().await.unwrap();
    assert_eq!((rest.deployments().len(), rest.next_token()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn denials_faults_and_throttling_are_those_of_every_service() {
    let shop = Shop::usual().await;
    shop.sandbox.update_settings(|settings| {
        settings.deny = vec!["codedeploy:Stop*".parse().unwrap()];
        settings.throttle = true;
    });
    let stop = shop.client.stop_deployment().deployment_id("d-ABCDEFGHI");
    let (code, message) = told(&stop.send().await.unwrap_err());
    assert_eq!(code, "AccessDeniedException");
    assert!(
        message.contains("codedeploy:StopDeployment on resource: *"),
        "{message}"
    );
    let mut refused = 0;
    for _ in 0..40 {
        let list = shop.sandbox.http_client();
        let client = Client::from_conf(
            aws_sdk_codedeploy::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .credentials_provider(credentials("AKIDTEST"))
                .retry_config(aws_sdk_codedeploy::config::retry::RetryConfig::disabled())
                .http_client(list)
                .build(),
        );
        let outcome = client.list_deployments().send().await;
        refused += u32::from(outcome.is_err_and(|it| told(&it).0 == "ThrottlingException"));
    }
    assert_eq!(refused, 20);
}

#[tokio::test(start_paused = true)]
async fn an_account_file_sets_it_all_up() {
    let call = |service: &str, operation: &str, input: Value| json!({"service": service, "operation": operation, "input": input});
    let calls = json!([
        call("ecs", "CreateCluster", json!({"clusterName": "main"})),
        call("ecs", "RegisterTaskDefinition", definition(1)),
        call("ecs", "CreateService", service()),
        call(
            "codedeploy",
            "CreateApplication",
            json!({"applicationName": "shop", "computePlatform": "ECS"})
        ),
        call("codedeploy", "CreateDeploymentGroup", members()),
    ]);
    let sandbox = sandbox();
    let calls = parse_account(&calls.to_string()).unwrap();
    sandbox.load_account(&calls, REGION).unwrap();
    let input = json!({"applicationName": "shop"});
    let groups = sandbox.call("codedeploy", REGION, "ListDeploymentGroups", input);
    assert_eq!(groups.unwrap()["deploymentGroups"], json!(["web"]));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_changes_changes_no_deployment_under_way() {
    let shop = Shop::usual().await;
    let id = shop.deploy(2, &[]);
    let input = json!({
        "applicationName": "shop",
        "currentDeploymentGroupName": "web",
        "deploymentConfigName": LINEAR,
    });
    shop.aws("codedeploy", "UpdateDeploymentGroup", input);
    assert_eq!(
        shop.info(&id)["deploymentConfigName"],
        "CodeDeployDefault.ECSAllAtOnce"
    );
    shop.until(&id, "Succeeded").await;
    let next = shop.deploy(3, &[]);
    assert_eq!(shop.info(&next)["deploymentConfigName"], LINEAR);
}
