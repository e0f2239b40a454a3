//! What CodeDeploy sees of ECS, and does to it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::service::Service;
use super::service_checks::Capacity;
use super::taskdef::TaskDefinition;
use super::validate::invalid;
use super::{Ecs, Key};

/// A task set, as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SetSeen {
    /// `ecs-svc/..`
    pub name: String,
    /// `PRIMARY`, `ACTIVE` or `DRAINING`.
    pub status: &'static str,
    pub desired: u32,
    pub pending: u32,
    pub running: u32,
    /// All its tasks run.
    pub steady: bool,
    /// ARNs.
    pub target_groups: Vec<String>,
}

/// A task set that CodeDeploy wants.
pub(crate) struct Wish<'a> {
    pub definition: &'a str,
    /// Its deployment.
    pub external: &'a str,
    /// What it has in place of what the PRIMARY has.
    pub members: Map<String, Value>,
}

impl Ecs {
    /// Whether CodeDeploy releases this service; none where there is no such service.
    pub(crate) fn is_for_code_deploy(&self, place: &Key) -> Option<bool> {
        let service = self.services.get(place).filter(|it| it.is_active())?;
        Some(service.has_task_sets())
    }

    /// The task sets of a service, the PRIMARY first.
    pub(crate) fn task_sets(&self, place: &Key) -> Vec<SetSeen> {
        let Some(service) = self.services.get(place) else {
            return Vec::new();
        };
        let rows = service.deployments.iter().enumerate();
        let rows = rows.filter_map(|(at, it)| {
            Some(SetSeen {
                name: it.name(),
                status: service.set_status(at),
                desired: it.wanted(service.desired),
                pending: it.pending,
                running: it.running,
                steady: it.set.as_ref()?.steady,
                target_groups: target_groups(&it.goal),
            })
        });
        rows.collect()
    }

    /// Makes a task set like the PRIMARY, but for what is wished. Answers its name.
    pub(crate) fn make_task_set(
        &mut self,
        cx: &mut Cx<'_>,
        place: &Key,
        wish: Wish<'_>,
    ) -> Result<String, Fault> {
        let service = self.services.get(place).filter(|it| it.is_active());
        let gone = || Fault::client("ServiceNotActiveException", "Service was not ACTIVE.");
        let mut service = service.ok_or_else(gone)?.clone();
        let definition = self.runnable(cx, wish.definition)?;
        let primary = service.deployments.first();
        let mut goal = primary.map_or_else(|| (*service.goal).clone(), |it| (*it.goal).clone());
        if wish.members.contains_key("capacityProviderStrategy") {
            goal.remove("launchType");
        }
        goal.extend(wish.members);
        goal.insert("taskDefinition".to_owned(), json!(definition.arn));
        fits(definition, &goal)?;
        let external = Some(wish.external.to_owned());
        let name = self.begin_task_set(cx, &mut service, Arc::new(goal), external);
        self.services.put(cx, place.clone(), service);
        Ok(name)
    }

    /// Makes a task set the PRIMARY: it has the traffic.
    pub(crate) fn make_primary(&mut self, cx: &Cx<'_>, place: &Key, name: &str) {
        let now = cx.now;
        self.services.edit(cx, place, |service| {
            let there = service.deployments.iter().position(|it| it.name() == name);
            let Some(at) = there.filter(|at| *at > 0) else {
                return;
            };
            let mut set = service.deployments.remove(at);
            set.updated_at = now;
            service.goal = Arc::clone(&set.goal);
            service.deployments.insert(0, set);
        });
    }

    /// Takes a task set away: its tasks stop, and then it is gone. The PRIMARY stays.
    pub(crate) fn drain_task_set(&mut self, cx: &Cx<'_>, place: &Key, name: &str) {
        let now = cx.now;
        self.services.edit(cx, place, |service: &mut Service| {
            let others = service.deployments.iter_mut().skip(1);
            for it in others.filter(|it| it.name() == name) {
                it.updated_at = now;
                if let Some(set) = &mut it.set {
                    set.draining = true;
                }
            }
        });
        self.wake(cx, place);
    }
}

/// Whether tasks of the definition can run so.
fn fits(definition: &TaskDefinition, goal: &Map<String, Value>) -> Result<(), Fault> {
    let launch_type = Capacity::of(goal).launch_type;
    if !definition.is_compatible(&launch_type) {
        return Err(invalid(format!(
            "Task definition does not support launch_type {launch_type}."
        )));
    }
    let balancers = goal.get("loadBalancers").and_then(Value::as_array);
    for balancer in balancers.into_iter().flatten() {
        let (name, port) = (&balancer["containerName"], &balancer["containerPort"]);
        let mut containers = definition.containers().iter();
        let Some(container) = containers.find(|it| it["name"] == *name) else {
            return Err(invalid(
                "The container does not exist in the task definition.",
            ));
        };
        let ports = container["portMappings"].as_array();
        let ports = ports.filter(|ports| !ports.is_empty());
        if ports.is_some_and(|ports| ports.iter().all(|it| it["containerPort"] != *port)) {
            return Err(invalid(format!(
                "The container {} did not have a container port {port} defined.",
                name.as_str().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

fn target_groups(goal: &Map<String, Value>) -> Vec<String> {
    let balancers = goal.get("loadBalancers").and_then(Value::as_array);
    let arns = balancers
        .into_iter()
        .flatten()
        .filter_map(|it| it["targetGroupArn"].as_str());
    arns.map(str::to_owned).collect()
}
