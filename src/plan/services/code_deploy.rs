//! Services that CodeDeploy releases: it makes the new tasks beside the old ones, sends traffic over
//! and takes it back. A deployment of its own takes the place of UpdateService, and one that goes on
//! has to end before another can begin.

use serde_json::{Map, Value, json};

use super::Case;
use crate::model::desired::Service;
use crate::model::known::Known;
use crate::model::ledger::Rollout;
use crate::model::observed::{self, DeploymentGroup};
use crate::model::plan::{CODE_DEPLOY_DESCRIPTION, Step};
use crate::plan::draft::{Draft, SETTLING};
use crate::plan::rollout::{is_going_back, is_of, newest_of_all, short};
use crate::resource::release::{CodeDeploy, OnFailure};
use crate::resource::status::Cause;

/// Why a service cannot be released as it is declared, if so.
pub(super) fn refusal(
    service: &Service,
    found: &observed::Service,
) -> Option<(&'static str, String)> {
    let (reason, message) = match (found.is_under_code_deploy(), &service.code_deploy) {
        (false, None) => return None,
        (false, Some(_)) => (
            "NotUnderCodeDeploy",
            "ECS releases it, not CodeDeploy: take rollout.codeDeploy out of the manifest, or set the service's deploymentController to CODE_DEPLOY",
        ),
        (true, None) => (
            "CodeDeployNotDeclared",
            "its deployment controller is CODE_DEPLOY: name the application and the deployment group in its rollout.codeDeploy",
        ),
        (true, Some(_)) if !found.app_spec.contains_key("LoadBalancerInfo") => (
            "LoadBalancerNotFound",
            "its deployment controller is CODE_DEPLOY, and it has no load balancer to send traffic over with: create it with one",
        ),
        (true, Some(_)) => return None,
    };
    Some((reason, message.to_owned()))
}

/// Tells of deployment groups that cannot be used, before anything else is begun.
pub(super) fn check(draft: &mut Draft<'_>) {
    for service in &draft.input.desired.services {
        let found = draft.input.observed.services.get(&service.name);
        if let (Some(declared), Some(Known::Present(found))) = (&service.code_deploy, found)
            && let Some(Known::Present(_) | Known::Absent) = &found.group
        {
            is_of_service(draft, declared, found);
        }
    }
}

/// Whether the deployment group is of this very service: another's would be deployed to. Tells the
/// draft if not.
fn is_of_service(draft: &mut Draft<'_>, declared: &CodeDeploy, found: &observed::Service) -> bool {
    let resource = format!("service/{}", found.name);
    let (group, application) = (&declared.deployment_group_name, &declared.application_name);
    let cluster = &draft.input.desired.environment.cluster;
    let known = match found.group.as_ref().and_then(Known::present) {
        Some(group) => &group.services,
        None => {
            let message = format!(
                "{resource}: CodeDeploy's application {application} has no deployment group {group}, or does not exist; create it, or correct rollout.codeDeploy"
            );
            draft.stall(&resource, "DeploymentGroupNotFound", message);
            return false;
        }
    };
    let its = |(of, name): &(String, String)| short_name(of) == cluster && *name == found.name;
    if known.iter().all(its) && !known.is_empty() {
        return true;
    }
    let others: Vec<String> = known
        .iter()
        .map(|(of, name)| format!("{of}/{name}"))
        .collect();
    let message = format!(
        "{resource}: CodeDeploy's deployment group {group} of application {application} deploys to {} and not to {cluster}/{}; correct rollout.codeDeploy",
        match others.is_empty() {
            true => "no ECS service".to_owned(),
            false => others.join(", "),
        },
        found.name
    );
    draft.stall(&resource, "DeploymentGroupOfAnother", message);
    false
}

/// A cluster's name, also of its ARN.
fn short_name(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap_or(cluster)
}

/// What keeps a service from being moved by CodeDeploy just now, if so. A deployment of ours that
/// something else takes the place of is stopped first: CodeDeploy takes one at a time.
pub(super) fn held(draft: &mut Draft<'_>, case: &Case<'_>) -> Option<String> {
    if !case.found.is_under_code_deploy() {
        return None;
    }
    let resource = case.resource.as_str();
    let declared = case.service.code_deploy.as_ref()?;
    if let Some(message) = unusable(draft, case, declared) {
        return Some(message);
    }
    let open = newest_of_all(case.found).filter(|record| !record.is_final())?;
    let (deployment, next) = (open.arn.clone(), short(&case.arn));
    let message = match is_going_back(open) {
        true => format!("{next} waits until CodeDeploy has rolled back {deployment}"),
        false => format!("{next} waits until CodeDeploy has stopped {deployment}"),
    };
    draft.progress(resource, "RollingOut", format!("{resource}: {message}"));
    let ours = case.rollout.filter(|rollout| is_of(rollout, open));
    if let Some(rollout) = ours.filter(|_| !is_going_back(open)) {
        stop(draft, case, rollout, deployment);
    }
    Some(message)
}

/// What keeps its deployment group from being used, if so.
fn unusable(draft: &mut Draft<'_>, case: &Case<'_>, declared: &CodeDeploy) -> Option<String> {
    let resource = case.resource.as_str();
    let message = match &case.found.group {
        Some(Known::Present(group)) if !is_named(group, declared) => {
            "its deployment group is another by now".to_owned()
        }
        Some(Known::Present(_) | Known::Absent) => {
            let usable = is_of_service(draft, declared, case.found);
            return (!usable).then(|| "its deployment group cannot be used".to_owned());
        }
        Some(Known::Unknown(why)) => {
            draft.doubt(resource, format!("{resource}: {why}"));
            return Some(why.clone());
        }
        None => "its deployment group is looked at first".to_owned(),
    };
    draft.progress(resource, "Progressing", format!("{resource}: {message}"));
    Some(message)
}

/// Whether this is the group that was looked at, and not that of a newer manifest.
fn is_named(group: &DeploymentGroup, declared: &CodeDeploy) -> bool {
    group.application == declared.application_name && group.name == declared.deployment_group_name
}

/// Has a deployment of ours stopped. The request is harmless when repeated, and it is as long as
/// nothing comes of it: one that was lost would leave all that comes after it waiting.
fn stop(draft: &mut Draft<'_>, case: &Case<'_>, rollout: &Rollout, deployment: String) {
    let now = draft.input.now;
    let lately = |at| now.duration_since(at) < SETTLING;
    if rollout.stopped_at.is_some_and(lately) {
        return;
    }
    let reason = format!(
        "{deployment} is stopped: {} takes its place",
        short(&case.arn)
    );
    let step = Step::StopDeployment {
        rollout: Box::new(Rollout {
            message: rollout.message.clone().or_else(|| Some(reason.clone())),
            cause: rollout.cause.or(Some(Cause::Stopped)),
            stopped_at: Some(now),
            ..rollout.clone()
        }),
        deployment,
    };
    draft.act(&case.resource, reason, step);
}

/// CreateDeployment's input that brings the service to its target; none where ECS does that itself.
pub(super) fn input(draft: &Draft<'_>, case: &Case<'_>) -> Option<Value> {
    if !case.found.is_under_code_deploy() {
        return None;
    }
    let declared = case.service.code_deploy.as_ref()?;
    let (key, number) = (&draft.input.desired.key, case.revision.number);
    let mut input = json!({
        "applicationName": declared.application_name,
        "deploymentGroupName": declared.deployment_group_name,
        "description": format!("{CODE_DEPLOY_DESCRIPTION}{key}, revision {number}: {}", case.arn),
        "revision": {
            "revisionType": "AppSpecContent",
            "appSpecContent": {"content": app_spec(declared, case).to_string()},
        },
    });
    if let Some(config) = &declared.deployment_config_name {
        input["deploymentConfigName"] = json!(config);
    }
    // What is to stay as it is for people to look at is not taken back by CodeDeploy either.
    let holds = case.service.on_failure == OnFailure::Hold;
    if holds && !case.service.breaker_may_roll_back {
        input["autoRollbackConfiguration"] = json!({"enabled": false});
    }
    Some(input)
}

/// What serves now, with another task definition.
fn app_spec(declared: &CodeDeploy, case: &Case<'_>) -> Value {
    let mut properties: Map<String, Value> = case.found.app_spec.clone();
    properties.insert("TaskDefinition".to_owned(), json!(case.arn));
    let mut spec = json!({
        "version": 0.0,
        "Resources": [{
            "TargetService": {"Type": "AWS::ECS::Service", "Properties": properties},
        }],
    });
    let hooks = declared.hooks.iter().flat_map(|hooks| hooks.each());
    let hooks: Vec<Value> = hooks.map(|(event, arn)| json!({event: arn})).collect();
    if !hooks.is_empty() {
        spec["Hooks"] = json!(hooks);
    }
    spec
}
