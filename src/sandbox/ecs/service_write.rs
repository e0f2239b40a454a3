//! CreateService, UpdateService, DeleteService.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::arn::arn;
use super::json::{drop_nulls, without_nulls};
use super::service::{Service, Status};
use super::service_checks::{Capacity, capacity, network};
use super::strategy;
use super::tags;
use super::taskdef::TaskDefinition;
use super::validate::{Input, invalid, is_name};
use super::{Ecs, Key};

/// Members of the goal that are passed through: a change of one starts a deployment.
const PASSED: [&str; 5] = [
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
];

/// Members that change without a deployment, and what they are when nothing is said.
fn settings() -> [(&'static str, Value); 7] {
    [
        ("placementConstraints", json!([])),
        ("placementStrategy", json!([])),
        ("healthCheckGracePeriodSeconds", json!(0)),
        ("enableECSManagedTags", json!(false)),
        ("propagateTags", json!("NONE")),
        ("enableExecuteCommand", json!(false)),
        ("availabilityZoneRebalancing", json!("ENABLED")),
    ]
}

impl Ecs {
    pub(super) fn create_service(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let cluster = self.cluster(cx, input)?.clone();
        let cluster_name = self.cluster_name(cx, input)?;
        let name = input.needed("serviceName", "Service name can not be blank.")?;
        if !is_name(name) {
            return Err(invalid("Service name contains invalid characters."));
        }
        let key = (cluster_name.clone(), name.to_owned());
        if let Some(existing) = self.standing(input, &key)? {
            return Ok(json!({"service": self.service_view(cx, existing, true)}));
        }
        let controller = controller(input)?;
        let scheduling = scheduling(input)?;
        let definition = match input
            .text("taskDefinition")?
            .filter(|text| !text.is_empty())
        {
            Some(text) => Some(self.runnable(cx, text)?.clone()),
            None if controller == "EXTERNAL" => None,
            None => return Err(invalid("TaskDefinition can not be blank.")),
        };
        let capacity = capacity(&cluster, input, definition.as_ref())?;
        if scheduling == "DAEMON" && capacity.launch_type == "FARGATE" {
            return Err(invalid(
                "The daemon scheduling strategy is not supported with the Fargate launch type.",
            ));
        }
        let goal = first_goal(input, &capacity, definition.as_ref())?;
        let configuration = configuration(input, defaults(&scheduling))?;
        strategy::allowed(input, &configuration, &goal)?;
        let mut service = Service {
            arn: arn(cx, &format!("service/{cluster_name}/{name}")),
            cluster: cluster_name,
            name: name.to_owned(),
            cluster_arn: cluster.arn,
            status: Status::Active,
            desired: desired(input, &scheduling)?.unwrap_or(1),
            goal: Arc::new(goal),
            settings: initial_settings(input, &configuration, &scheduling),
            configuration,
            controller,
            scheduling,
            deployments: Vec::new(),
            record: None,
            superseded: Vec::new(),
            completed: None,
            staged: None,
            events: VecDeque::new(),
            created_at: cx.now,
            created_by: cx.principal.clone(),
            tags: tags::read(input, "tags")?,
            steady: false,
            stuck: false,
            crashes: 0,
            not_before: None,
            input: drop_nulls(input.members()),
        };
        if service.is_scheduled() {
            self.begin_deployment(cx, &mut service);
        } else if service.has_task_sets() {
            let goal = Arc::clone(&service.goal);
            self.begin_task_set(cx, &mut service, goal, None);
        }
        let answer = json!({"service": self.service_view(cx, &service, true)});
        self.services.put(cx, key, service);
        Ok(answer)
    }

    pub(super) fn update_service(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let key = self.service_key(cx, input, "service")?;
        let mut service = self.service(&key)?.clone();
        let force = input.flag("forceNewDeployment")?;
        allowed_by_controller(input, &service, force)?;
        if let Some(desired) = desired(input, &service.scheduling)? {
            service.desired = desired;
        }
        let goal = self.new_goal(cx, input, &service)?;
        if input.get("deploymentConfiguration").is_some() {
            service.configuration = configuration(input, service.configuration.clone())?;
            strategy::allowed(input, &service.configuration, &goal)?;
        }
        for (name, _) in settings() {
            if let Some(value) = input.get(name) {
                service
                    .settings
                    .insert(name.to_owned(), without_nulls(value));
            }
        }
        service.stuck = false;
        if force || goal != *service.goal {
            service.goal = Arc::new(goal);
            if service.is_scheduled() {
                self.begin_deployment(cx, &mut service);
            }
        }
        let answer = json!({"service": self.service_view(cx, &service, false)});
        self.services.put(cx, key.clone(), service);
        self.wake(cx, &key);
        Ok(answer)
    }

    pub(super) fn delete_service(
        &mut self,
        cx: &mut Cx<'_>,
        input: Input<'_>,
    ) -> Result<Value, Fault> {
        let key = self.service_key(cx, input, "service")?;
        let mut service = self.service(&key)?.clone();
        if !input.flag("force")? {
            if service.scheduling == "REPLICA" && service.desired > 0 {
                return Err(invalid(
                    "The service cannot be stopped while it is scaled above 0.",
                ));
            }
            if service.deployments.len() > 1 {
                return Err(invalid(
                    "The service cannot be stopped while deployments are active.",
                ));
            }
        }
        service.status = Status::Draining;
        service.desired = 0;
        let answer = json!({"service": self.service_view(cx, &service, false)});
        self.services.put(cx, key.clone(), service);
        self.wake(cx, &key);
        Ok(answer)
    }

    /// The service of that name, if the call repeats the one that made it.
    fn standing(&self, input: Input<'_>, key: &Key) -> Result<Option<&Service>, Fault> {
        let Some(existing) = self.services.get(key) else {
            return Ok(None);
        };
        match existing.status {
            Status::Inactive => Ok(None),
            Status::Active if existing.input == drop_nulls(input.members()) => Ok(Some(existing)),
            Status::Active => Err(invalid("Creation of service was not idempotent.")),
            Status::Draining => Err(invalid("Unable to Start a service that is still Draining.")),
        }
    }

    fn service(&self, key: &Key) -> Result<&Service, Fault> {
        self.services
            .get(key)
            .filter(|service| service.is_active())
            .ok_or_else(|| Fault::client("ServiceNotActiveException", "Service was not ACTIVE."))
    }

    /// What the service shall deploy after the update.
    fn new_goal(
        &self,
        cx: &Cx<'_>,
        input: Input<'_>,
        service: &Service,
    ) -> Result<Map<String, Value>, Fault> {
        let mut goal = (*service.goal).clone();
        if let Some(text) = input.text("taskDefinition")? {
            let definition = self.runnable(cx, text)?;
            let launch_type = Capacity::of(&goal).launch_type;
            if !definition.is_compatible(&launch_type) {
                return Err(invalid(format!(
                    "Task definition does not support launch_type {launch_type}."
                )));
            }
            if definition.is_awsvpc() && !goal.contains_key("networkConfiguration") {
                network(input, Some(definition))?;
            }
            goal.insert("taskDefinition".to_owned(), json!(definition.arn));
        }
        if let Some(network) = network(input, None)? {
            goal.insert("networkConfiguration".to_owned(), network);
        }
        if !input.list("capacityProviderStrategy")?.is_empty() {
            let capacity = capacity(self.cluster(cx, input)?, input, None)?;
            goal.remove("launchType");
            goal.extend(capacity.members());
        }
        if let Some(version) = input.text("platformVersion")? {
            goal.insert("platformVersion".to_owned(), json!(version));
        }
        pass(input, &mut goal);
        Ok(goal)
    }
}

/// What a new service deploys.
fn first_goal(
    input: Input<'_>,
    capacity: &Capacity,
    definition: Option<&TaskDefinition>,
) -> Result<Map<String, Value>, Fault> {
    let mut goal = capacity.members();
    if let Some(definition) = definition {
        goal.insert("taskDefinition".to_owned(), json!(definition.arn));
    }
    if let Some(network) = network(input, definition)? {
        goal.insert("networkConfiguration".to_owned(), network);
    }
    for list in ["loadBalancers", "serviceRegistries"] {
        goal.insert(list.to_owned(), json!([]));
    }
    pass(input, &mut goal);
    Ok(goal)
}

fn pass(input: Input<'_>, goal: &mut Map<String, Value>) {
    for name in PASSED {
        if let Some(value) = input.get(name) {
            goal.insert(name.to_owned(), without_nulls(value));
        }
    }
}

fn controller(input: Input<'_>) -> Result<String, Fault> {
    let controller = input.object("deploymentController")?;
    let name = controller
        .and_then(|controller| controller.get("type"))
        .and_then(Value::as_str);
    match name {
        None => Ok("ECS".to_owned()),
        Some(name) if ["ECS", "CODE_DEPLOY", "EXTERNAL"].contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(invalid(format!("Invalid deployment controller: {name}."))),
    }
}

fn scheduling(input: Input<'_>) -> Result<String, Fault> {
    match input.text("schedulingStrategy")? {
        None => Ok("REPLICA".to_owned()),
        Some(name) if ["REPLICA", "DAEMON"].contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(invalid(format!("Invalid scheduling strategy: {name}."))),
    }
}

fn desired(input: Input<'_>, scheduling: &str) -> Result<Option<u32>, Fault> {
    let Some(count) = input.int("desiredCount")? else {
        return Ok(None);
    };
    if scheduling == "DAEMON" {
        return Err(invalid(
            "The daemon scheduling strategy does not support a desired count for service. Remove the desired count value and try again",
        ));
    }
    match u32::try_from(count) {
        Ok(count) if count <= 5000 => Ok(Some(count)),
        _ => Err(invalid(
            "Invalid desired count: it must be between 0 and 5000.",
        )),
    }
}

fn allowed_by_controller(input: Input<'_>, service: &Service, force: bool) -> Result<(), Fault> {
    let asked = controller(input)?;
    if input.get("deploymentController").is_some() && asked != service.controller {
        return Err(invalid(
            "The deployment controller of a service cannot be changed here.",
        ));
    }
    if service.is_scheduled() {
        return Ok(());
    }
    let name = &service.controller;
    let hint = if name == "CODE_DEPLOY" {
        " Use AWS CodeDeploy to trigger a new deployment."
    } else {
        ""
    };
    if force {
        return Err(invalid(format!(
            "Cannot force a new deployment on services with a {name} deployment controller.{hint}"
        )));
    }
    for (member, what) in [
        ("taskDefinition", "task definition"),
        ("networkConfiguration", "network parameters"),
        ("loadBalancers", "load balancers"),
        ("platformVersion", "platform version"),
    ] {
        if input.get(member).is_some() {
            return Err(invalid(format!(
                "Unable to update {what} on services with a {name} deployment controller.{hint}"
            )));
        }
    }
    Ok(())
}

/// deploymentConfiguration of a service about which nothing is said.
fn defaults(scheduling: &str) -> Map<String, Value> {
    let (most, least) = if scheduling == "DAEMON" {
        (100, 0)
    } else {
        (200, 100)
    };
    let value = json!({
        "deploymentCircuitBreaker": {
            "enable": false,
            "rollback": false,
            "resetOnHealthyTask": true,
            "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
        },
        "maximumPercent": most,
        "minimumHealthyPercent": least,
        "alarms": {"alarmNames": [], "enable": false, "rollback": false},
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    });
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// What the call says about deploymentConfiguration, put over what there is: members that it
/// leaves out keep their values.
fn configuration(
    input: Input<'_>,
    mut over: Map<String, Value>,
) -> Result<Map<String, Value>, Fault> {
    if let Some(given) = input.object("deploymentConfiguration")? {
        merge(&mut over, &drop_nulls(given));
    }
    strategy::fill(&mut over);
    let percent = |name: &str| over.get(name).and_then(Value::as_i64);
    let (most, least) = (percent("maximumPercent"), percent("minimumHealthyPercent"));
    match (most, least) {
        (Some(100), Some(100)) => Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        )),
        (Some(most), Some(least)) if most >= least && least >= 0 && most > 0 => Ok(over),
        _ => Err(invalid(
            "Invalid deployment configuration: maximumPercent must be more than 0 and at least minimumHealthyPercent.",
        )),
    }
}

fn merge(over: &mut Map<String, Value>, given: &Map<String, Value>) {
    for (name, value) in given {
        match (over.get_mut(name), value) {
            (Some(Value::Object(have)), Value::Object(new)) => merge(have, new),
            _ => {
                over.insert(name.clone(), value.clone());
            }
        }
    }
}

fn initial_settings(
    input: Input<'_>,
    configuration: &Map<String, Value>,
    scheduling: &str,
) -> Map<String, Value> {
    let mut members: Map<String, Value> = settings()
        .into_iter()
        .map(|(name, value)| {
            let given = input.get(name).map(without_nulls);
            (name.to_owned(), given.unwrap_or(value))
        })
        .collect();
    let most = configuration.get("maximumPercent").and_then(Value::as_i64);
    let cannot_move = scheduling == "DAEMON" || most.is_some_and(|most| most <= 100);
    if cannot_move && input.get("availabilityZoneRebalancing").is_none() {
        members.insert("availabilityZoneRebalancing".to_owned(), json!("DISABLED"));
    }
    members
}
