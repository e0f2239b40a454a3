//! What CreateService, UpdateService and RunTask share: capacity and network.

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::cluster::Cluster;
use super::json::{default_to, drop_nulls, without_nulls};
use super::taskdef::TaskDefinition;
use super::validate::{Input, invalid};

/// Where tasks run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Capacity {
    /// FARGATE, EC2 or EXTERNAL: of the task, also where a strategy chose it.
    pub launch_type: String,
    /// The capacity provider, where a strategy chose it.
    pub provider: Option<String>,
    /// The strategy, given or the cluster's own.
    pub strategy: Option<Value>,
    platform_version: Option<String>,
}

impl Capacity {
    /// As members of a service or deployment.
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        match &self.strategy {
            Some(strategy) => {
                members.insert("capacityProviderStrategy".to_owned(), strategy.clone())
            }
            None => members.insert("launchType".to_owned(), json!(self.launch_type)),
        };
        if self.launch_type == "FARGATE" {
            let version = self.platform_version.as_deref().unwrap_or("LATEST");
            members.insert("platformVersion".to_owned(), json!(version));
            members.insert("platformFamily".to_owned(), json!("Linux"));
        }
        members
    }

    /// Read back from [`Capacity::members`].
    pub fn of(members: &Map<String, Value>) -> Self {
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let strategy = members.get("capacityProviderStrategy").cloned();
        let provider = strategy.as_ref().and_then(chosen);
        Self {
            launch_type: match &provider {
                Some(provider) => launch_type_of(provider).to_owned(),
                None => text("launchType").unwrap_or_else(|| "EC2".to_owned()),
            },
            provider,
            strategy,
            platform_version: text("platformVersion"),
        }
    }

    /// The platform version that LATEST stands for.
    pub fn running_platform(&self) -> &str {
        match self.platform_version.as_deref() {
            None | Some("LATEST") => "1.4.0",
            Some(version) => version,
        }
    }
}

fn launch_type_of(provider: &str) -> &'static str {
    if provider.starts_with("FARGATE") {
        "FARGATE"
    } else {
        "EC2"
    }
}

/// The provider with the most weight; where none has any, the one with the greatest base.
fn chosen(strategy: &Value) -> Option<String> {
    let number = |item: &Value, name: &str| item.get(name).and_then(Value::as_i64).unwrap_or(0);
    let items = strategy.as_array()?;
    let best = items
        .iter()
        .max_by_key(|item| (number(item, "weight"), number(item, "base")))?;
    best.get("capacityProvider")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// Reads launchType, capacityProviderStrategy and platformVersion.
pub(super) fn capacity(
    cluster: &Cluster,
    input: Input<'_>,
    definition: Option<&TaskDefinition>,
) -> Result<Capacity, Fault> {
    let launch_type = input.text("launchType")?;
    let strategy = input.list("capacityProviderStrategy")?;
    if launch_type.is_some() && !strategy.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    let strategy = match launch_type {
        Some(_) => None,
        None if strategy.is_empty() => cluster.default_strategy().cloned(),
        None => Some(without_nulls(&Value::from(strategy))),
    };
    let members = strategy
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for provider in members.filter_map(|item| item.get("capacityProvider").and_then(Value::as_str))
    {
        if !cluster.providers.iter().any(|have| have == provider) {
            return Err(invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
            ));
        }
    }
    let provider = strategy.as_ref().and_then(chosen);
    let launch_type = match (&provider, launch_type) {
        (Some(provider), _) => launch_type_of(provider),
        (None, Some(text)) => text,
        (None, None) => "EC2",
    };
    if !["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"].contains(&launch_type) {
        return Err(invalid(format!("Invalid launch type: {launch_type}.")));
    }
    if definition.is_some_and(|definition| !definition.is_compatible(launch_type)) {
        return Err(invalid(format!(
            "Task definition does not support launch_type {launch_type}."
        )));
    }
    let platform_version = input.text("platformVersion")?.map(str::to_owned);
    if platform_version.is_some() && launch_type != "FARGATE" {
        return Err(invalid(
            "The platform version must be null when specifying an EC2 launch type.",
        ));
    }
    Ok(Capacity {
        launch_type: launch_type.to_owned(),
        provider,
        strategy,
        platform_version,
    })
}

/// Reads networkConfiguration, which the task definition may need or forbid.
pub(super) fn network(
    input: Input<'_>,
    definition: Option<&TaskDefinition>,
) -> Result<Option<Value>, Fault> {
    let given = input.object("networkConfiguration")?.map(drop_nulls);
    let awsvpc = definition.map(TaskDefinition::is_awsvpc);
    let Some(mut network) = given else {
        return match awsvpc {
            Some(true) => Err(invalid(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            )),
            _ => Ok(None),
        };
    };
    if awsvpc == Some(false) {
        return Err(invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ));
    }
    let vpc = network
        .get_mut("awsvpcConfiguration")
        .and_then(Value::as_object_mut);
    let vpc = vpc.ok_or_else(|| invalid("awsvpcConfiguration can not be blank."))?;
    let subnets = vpc
        .get("subnets")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if subnets == 0 {
        return Err(invalid("subnets can not be empty."));
    }
    if subnets > 16 {
        return Err(invalid("subnets can have at most 16 items."));
    }
    default_to(vpc, "securityGroups", json!([]));
    default_to(vpc, "assignPublicIp", json!("DISABLED"));
    Ok(Some(Value::Object(network)))
}
