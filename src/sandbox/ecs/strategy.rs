//! Deployment strategies as deploymentConfiguration sets them, and what ECS refuses of them.

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::service::Service;
use super::validate::{Input, invalid};

const STRATEGIES: [&str; 4] = ["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"];
const HOOKABLE: [&str; 8] = [
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
];

impl Service {
    /// How the next deployment goes.
    pub fn strategy(&self) -> &str {
        let found = self.configuration.get("strategy").and_then(Value::as_str);
        found.unwrap_or("ROLLING")
    }

    /// A number of deploymentConfiguration, or of a part of it.
    pub fn number(&self, part: Option<&str>, name: &str) -> Option<f64> {
        let within = match part {
            Some(part) => self.configuration.get(part)?.as_object()?,
            None => &self.configuration,
        };
        within.get(name).and_then(Value::as_f64)
    }

    /// The hooks of a stage: how deploymentConfiguration has them.
    pub fn hooks_of<'a>(&'a self, stage: &'a str) -> impl Iterator<Item = &'a Value> {
        let hooks = self.configuration.get("lifecycleHooks");
        let hooks = hooks.and_then(Value::as_array).into_iter().flatten();
        hooks.filter(move |hook| {
            let stages = hook["lifecycleStages"].as_array();
            stages.is_some_and(|stages| stages.iter().any(|it| it == stage))
        })
    }
}

/// Puts in what ECS fills in, and takes out what goes with another strategy.
pub(super) fn fill(configuration: &mut Map<String, Value>) {
    let strategy = configuration.get("strategy").and_then(Value::as_str);
    let strategy = strategy.unwrap_or("ROLLING").to_owned();
    for (part, of, defaults) in [
        (
            "linearConfiguration",
            "LINEAR",
            json!({"stepPercent": 10.0, "stepBakeTimeInMinutes": 6}),
        ),
        (
            "canaryConfiguration",
            "CANARY",
            json!({"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10}),
        ),
    ] {
        if strategy != of {
            configuration.remove(part);
            continue;
        }
        let whole = configuration.entry(part).or_insert_with(|| json!({}));
        for (name, value) in defaults.as_object().into_iter().flatten() {
            if let Some(members) = whole.as_object_mut().filter(|it| !it.contains_key(name)) {
                members.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Checks what a call leads to; `goal` is what the service deploys then.
pub(super) fn allowed(
    input: Input<'_>,
    configuration: &Map<String, Value>,
    goal: &Map<String, Value>,
) -> Result<(), Fault> {
    let strategy = configuration.get("strategy").and_then(Value::as_str);
    let strategy = strategy.unwrap_or("ROLLING");
    if !STRATEGIES.contains(&strategy) {
        return Err(invalid(format!("Invalid deployment strategy: {strategy}.")));
    }
    let given = input.object("deploymentConfiguration")?;
    for (part, of) in [
        ("linearConfiguration", "LINEAR"),
        ("canaryConfiguration", "CANARY"),
    ] {
        let said = given.is_some_and(|given| given.get(part).is_some_and(|it| !it.is_null()));
        if said && strategy != of {
            return Err(invalid(format!(
                "{part} is only valid with the {of} deployment strategy."
            )));
        }
    }
    let bake = configuration
        .get("bakeTimeInMinutes")
        .and_then(Value::as_i64);
    if bake.is_some_and(|bake| !(0..=1440).contains(&bake)) {
        return Err(invalid("bakeTimeInMinutes must be between 0 and 1440."));
    }
    hooks(configuration)?;
    if strategy != "ROLLING" && !shifts_traffic(goal) {
        return Err(invalid(format!(
            "The {strategy} deployment strategy requires a load balancer with advancedConfiguration or Service Connect."
        )));
    }
    Ok(())
}

/// Whether ECS can send the service's traffic to one of two sets of tasks.
fn shifts_traffic(goal: &Map<String, Value>) -> bool {
    let balancers = goal.get("loadBalancers").and_then(Value::as_array);
    let mut balancers = balancers.into_iter().flatten();
    let connect = goal.get("serviceConnectConfiguration");
    balancers.any(|it| it["advancedConfiguration"].is_object())
        || connect.is_some_and(|it| it["enabled"] == true)
}

fn hooks(configuration: &Map<String, Value>) -> Result<(), Fault> {
    let hooks = configuration
        .get("lifecycleHooks")
        .and_then(Value::as_array);
    for hook in hooks.into_iter().flatten() {
        let pauses = hook["targetType"] == "PAUSE";
        let stages = hook["lifecycleStages"].as_array();
        let stages = stages.map(Vec::as_slice).unwrap_or_default();
        if stages.is_empty() {
            return Err(invalid("lifecycleStages can not be empty."));
        }
        for stage in stages.iter().filter_map(Value::as_str) {
            let shifts = matches!(stage, "TEST_TRAFFIC_SHIFT" | "PRODUCTION_TRAFFIC_SHIFT");
            if !HOOKABLE.contains(&stage) || pauses && shifts {
                return Err(invalid(format!(
                    "Lifecycle stage {stage} is not valid for this hook."
                )));
            }
        }
        if !pauses && hook["hookTargetArn"].as_str().is_none() {
            return Err(invalid(
                "hookTargetArn can not be blank for AWS_LAMBDA hooks.",
            ));
        }
    }
    Ok(())
}
