//! A service that CodeDeploy releases, in paused time.

use aws_sdk_codedeploy::Client;

use super::*;

mod failures;
mod refusals;
mod releases;

const BALANCER: &str = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012";
const LINEAR: &str = "CodeDeployDefault.ECSLinear10PercentEvery1Minutes";

/// A service `web` of two tasks in the cluster `main`, and a group that deploys to it. Revisions 1
/// to 5 of its definition are there.
struct Shop {
    sandbox: Sandbox,
    client: Client,
}

impl Shop {
    /// With these members of the group in place of the usual ones: which are no waits, all the
    /// traffic at once, and a rollback of whatever fails or is stopped.
    async fn with(group: Value) -> Self {
        let sandbox = sandbox();
        let client = client!(aws_sdk_codedeploy, sandbox);
        let shop = Self { sandbox, client };
        shop.aws("ecs", "CreateCluster", json!({"clusterName": "main"}));
        for revision in 1..=5 {
            shop.aws("ecs", "RegisterTaskDefinition", definition(revision));
        }
        shop.aws("ecs", "CreateService", service());
        let application = json!({"applicationName": "shop", "computePlatform": "ECS"});
        shop.aws("codedeploy", "CreateApplication", application);
        shop.aws(
            "codedeploy",
            "CreateDeploymentGroup",
            over(members(), group),
        );
        shop.pass(60).await;
        shop
    }

    async fn usual() -> Self {
        Self::with(json!({})).await
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[track_caller]
    fn aws(&self, service: &str, operation: &str, input: Value) -> Value {
        match self.sandbox.call(service, REGION, operation, input) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {error}"),
        }
    }

    #[track_caller]
    fn refused(&self, operation: &str, input: Value) -> CallError {
        let outcome = self.sandbox.call("codedeploy", REGION, operation, input);
        match outcome {
            Ok(answer) => panic!("{operation}: {answer}"),
            Err(error) => error,
        }
    }

    /// Deploys a revision of the definition, with these hooks by event.
    #[track_caller]
    fn deploy(&self, revision: u32, hooks: &[&str]) -> String {
        let answer = self.aws("codedeploy", "CreateDeployment", request(revision, hooks));
        answer["deploymentId"].as_str().unwrap().to_owned()
    }

    fn info(&self, id: &str) -> Value {
        let answer = self.aws("codedeploy", "GetDeployment", json!({"deploymentId": id}));
        answer["deploymentInfo"].clone()
    }

    fn status(&self, id: &str) -> String {
        self.info(id)["status"].as_str().unwrap().to_owned()
    }

    fn target(&self, id: &str) -> Value {
        let input = json!({"deploymentId": id, "targetIds": ["main:web"]});
        let answer = self.aws("codedeploy", "BatchGetDeploymentTargets", input);
        answer["deploymentTargets"][0]["ecsTarget"].clone()
    }

    /// Event and status of what has begun.
    fn events(&self, id: &str) -> Vec<String> {
        let target = self.target(id);
        let events = target["lifecycleEvents"].as_array().unwrap().iter();
        let begun = events.filter(|it| it["status"] != "Pending");
        begun
            .map(|it| {
                format!(
                    "{} {}",
                    word(&it["lifecycleEventName"]),
                    word(&it["status"])
                )
            })
            .collect()
    }

    fn service(&self) -> Value {
        let input = json!({"cluster": "main", "services": ["web"]});
        self.aws("ecs", "DescribeServices", input)["services"][0].clone()
    }

    /// Status and definition of the task sets.
    fn sets(&self) -> Vec<String> {
        let service = self.service();
        let sets = service["taskSets"].as_array().unwrap().iter();
        sets.map(|it| format!("{} {}", word(&it["status"]), named(&it["taskDefinition"])))
            .collect()
    }

    fn listed(&self) -> Vec<String> {
        let input = json!({"applicationName": "shop", "deploymentGroupName": "web"});
        let answer = self.aws("codedeploy", "ListDeployments", input);
        let ids = answer["deployments"].as_array().unwrap().iter();
        ids.map(|id| word(id).to_owned()).collect()
    }

    /// Lets time pass until a deployment has this status.
    async fn until(&self, id: &str, status: &str) {
        for _ in 0..4000 {
            if self.status(id) == status {
                return;
            }
            self.pass(1).await;
        }
        panic!("{id} is {:#}", self.info(id));
    }

    /// Lets time pass until an event of a deployment has begun.
    async fn until_event(&self, id: &str, event: &str) {
        let begun = format!("{event} InProgress");
        for _ in 0..4000 {
            if self.status(id) == "InProgress" && self.events(id).contains(&begun) {
                return;
            }
            self.pass(1).await;
        }
        panic!("{id} is {:#}", self.target(id));
    }

    /// What comes of a stage.
    fn rule(&self, stage: &str, then: Value) {
        let rules = json!([{
            "when": {"group": "service:web", "stage": stage}, "then": {"stage": then},
        }]);
        self.sandbox
            .set_rules(serde_json::from_value(rules).unwrap());
    }

    fn stop(&self, id: &str, undo: Option<bool>) {
        let input = json!({"deploymentId": id, "autoRollbackEnabled": undo});
        let answer = self.aws("codedeploy", "StopDeployment", input);
        assert_eq!(answer["status"], "Pending");
    }
}

#[track_caller]
fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// `web:2`, of an ARN.
fn named(arn: &Value) -> &str {
    word(arn).rsplit('/').next().unwrap()
}

fn over(mut members: Value, given: Value) -> Value {
    let given = given.as_object().unwrap().clone();
    members.as_object_mut().unwrap().extend(given);
    members
}

fn definition(revision: u32) -> Value {
    json!({
        "family": "web",
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "containerDefinitions": [{
            "name": "web",
            "image": format!("shop/web:{revision}"),
            "portMappings": [{"containerPort": 80}],
            "healthCheck": {"command": ["CMD", "true"]},
        }],
    })
}

fn service() -> Value {
    json!({
        "cluster": "main",
        "serviceName": "web",
        "taskDefinition": "web:1",
        "desiredCount": 2,
        "launchType": "FARGATE",
        "deploymentController": {"type": "CODE_DEPLOY"},
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "loadBalancers": [{
            "targetGroupArn": format!("{BALANCER}:targetgroup/web-a/0123456789abcdef"),
            "containerName": "web",
            "containerPort": 80,
        }],
    })
}

fn members() -> Value {
    json!({
        "applicationName": "shop",
        "deploymentGroupName": "web",
        "serviceRoleArn": "arn:aws:iam::123456789012:role/codedeploy",
        "ecsServices": [{"clusterName": "main", "serviceName": "web"}],
        "deploymentStyle": {
            "deploymentType": "BLUE_GREEN",
            "deploymentOption": "WITH_TRAFFIC_CONTROL",
        },
        "loadBalancerInfo": {"targetGroupPairInfoList": [{
            "targetGroups": [{"name": "web-a"}, {"name": "web-b"}],
            "prodTrafficRoute": {"listenerArns": [format!("{BALANCER}:listener/app/web/1/1")]},
        }]},
        "autoRollbackConfiguration": {
            "enabled": true,
            "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"],
        },
    })
}

fn spec(revision: u32, hooks: &[&str]) -> Value {
    let hooks: Vec<_> = hooks
        .iter()
        .map(|event| json!({(*event): "smoke-test"}))
        .collect();
    json!({
        "version": 0.0,
        "Resources": [{"TargetService": {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": format!(
                    "arn:aws:ecs:{REGION}:123456789012:task-definition/web:{revision}"
                ),
                "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 80},
            },
        }}],
        "Hooks": hooks,
    })
}

fn request(revision: u32, hooks: &[&str]) -> Value {
    let content = spec(revision, hooks).to_string();
    json!({
        "applicationName": "shop",
        "deploymentGroupName": "web",
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}},
    })
}
