//! What an Environment lets its Releases touch, and where it goes.

use globset::GlobSet;
use serde_json::Value;

use super::draft::Draft;
use crate::model::desired::{Allow, HookKind, Part, PartKind};
use crate::model::ledger::{Explanation, PartTarget};
use crate::resource::release::TaskOverride;
use crate::resource::urls;

/// Checks all that can be told without looking at a definition.
pub fn check(draft: &mut Draft<'_>) {
    let found: Vec<Explanation> = draft.input.observed.problems.clone();
    for problem in found {
        draft.stall("environment", &problem.reason, problem.message);
    }
    check_lists(draft);
}

/// Whether this is the account, Region and cluster that the Environment means: they are recorded at
/// first use and do not change. Tells the draft if not.
pub fn right_place(draft: &mut Draft<'_>) -> bool {
    let environment = &draft.input.desired.environment;
    let account = draft.input.observed.account.as_deref();
    if let (Some(wanted), Some(actual)) = (environment.account.as_deref(), account)
        && wanted != actual
    {
        let message = format!(
            "environment {} is for account {wanted}, but the credentials belong to {actual}; use that account's credentials or correct spec.account",
            environment.name
        );
        draft.stall("environment", "WrongAccount", message);
        return false;
    }
    let Some(recorded) = &environment.recorded else {
        return true;
    };
    let changes: Vec<String> = [
        (
            "region",
            recorded.region.as_str(),
            Some(environment.region.as_str()),
        ),
        (
            "cluster",
            recorded.cluster.as_str(),
            Some(environment.cluster.as_str()),
        ),
        ("account", recorded.account.as_str(), account),
    ]
    .into_iter()
    .filter_map(|(what, before, now)| {
        let now = now.filter(|now| *now != before)?;
        Some(format!("{what} {before} -> {now}"))
    })
    .collect();
    if changes.is_empty() {
        return true;
    }
    let message = format!(
        "environment {} changed after its first use: {}; change it back, or make another environment for that (and delete the releases of this one first if it is to go)",
        environment.name,
        changes.join(", ")
    );
    draft.stall("environment", "EnvironmentChanged", message);
    false
}

/// Checks what is declared against what the Environment lists.
pub fn check_lists(draft: &mut Draft<'_>) {
    let desired = draft.input.desired;
    let allow = &desired.environment.allow;
    for service in &desired.services {
        if !matches(allow.services.as_ref(), &service.name) {
            refuse(
                draft,
                &format!("service/{}", service.name),
                "services",
                &service.name,
            );
        }
    }
    check_deployment_hooks(draft);
    for (name, image) in &desired.images {
        if !matches(allow.repositories.as_ref(), &image.repository) {
            refuse(
                draft,
                &format!("image/{name}"),
                "repositories",
                &image.repository,
            );
        }
    }
    for schedule in &desired.schedules {
        if !matches(allow.rule_names.as_ref(), &schedule.rule) {
            refuse(
                draft,
                &format!("schedule/{}", schedule.name),
                "ruleNames",
                &schedule.rule,
            );
        }
    }
    for schedule in &desired.spec.schedules {
        let Some(role) = &schedule.role_arn else {
            continue;
        };
        if !allow
            .roles
            .as_ref()
            .is_some_and(|globs| globs.is_match(role))
        {
            refuse(draft, &format!("schedule/{}", schedule.name), "roles", role);
        }
    }
    check_hooks(draft);
}

/// The functions that CodeDeploy invokes for a service: with a role of its own, so that whoever may
/// name any could have it run any.
fn check_deployment_hooks(draft: &mut Draft<'_>) {
    let desired = draft.input.desired;
    let functions = desired.environment.allow.functions.as_ref();
    for service in &desired.services {
        let declared = service
            .code_deploy
            .iter()
            .filter_map(|it| it.hooks.as_ref());
        for (_, function) in declared.flat_map(|hooks| hooks.each()) {
            if !matches(functions, function) {
                let resource = format!("service/{}", service.name);
                refuse(draft, &resource, "functions", function);
            }
        }
    }
}

/// What hooks reach. Secrets need to be listed: who may name any could have it posted anywhere.
fn check_hooks(draft: &mut Draft<'_>) {
    let desired = draft.input.desired;
    let allow = &desired.environment.allow;
    for hook in &desired.hooks {
        let resource = hook.resource();
        let listed = |globs: &Option<GlobSet>, name: &str| matches(globs.as_ref(), name);
        let (list, name, allowed) = match &hook.does {
            HookKind::Task(_) => continue,
            HookKind::Lambda(it) => {
                let name = &it.function_name;
                ("functions", name, listed(&allow.functions, name))
            }
            HookKind::Invalidation(it) => {
                let id = &it.distribution_id;
                ("distributions", id, listed(&allow.distributions, id))
            }
            HookKind::Http(it) => ("urls", &it.url, may_post_to(allow, &it.url)),
        };
        if !allowed {
            refuse(draft, &resource, list, name);
        }
        let HookKind::Http(http) = &hook.does else {
            continue;
        };
        for secret in [&http.signing_key, &http.authorization]
            .into_iter()
            .flatten()
        {
            let mut named = [&secret.ssm_parameter, &secret.secrets_manager_secret].into_iter();
            let Some(name) = named.find_map(Option::as_ref) else {
                continue;
            };
            let listed = allow.secrets.as_ref().is_some_and(|it| it.is_match(name));
            if !listed {
                refuse(draft, &resource, "secrets", name);
            }
        }
    }
}

/// Whether a hook may post there. What listens on this very machine, the controller among it, takes
/// who reaches it for one of its own: it needs to be listed.
fn may_post_to(allow: &Allow, url: &str) -> bool {
    match &allow.urls {
        Some(listed) => listed.iter().any(|pattern| pattern.is_match(url)),
        None => !urls::is_local(url),
    }
}

fn matches(globs: Option<&GlobSet>, name: &str) -> bool {
    globs.is_none_or(|globs| globs.is_match(name))
}

fn refuse(draft: &mut Draft<'_>, resource: &str, list: &str, name: &str) {
    let message = format!(
        "{resource}: {name} is not allowed in environment {}; add it to spec.allow.{list} there",
        draft.input.desired.environment.name
    );
    draft.stall(resource, "NotAllowed", message);
}

/// Whether definitions of this family may be run.
pub fn is_family_allowed(draft: &Draft<'_>, family: &str) -> bool {
    let allow = &draft.input.desired.environment.allow;
    matches(allow.families.as_ref(), family)
}

/// Whether a part may run definitions of this family; tells the draft if not.
pub fn may_use_family(draft: &mut Draft<'_>, part: &Part<'_>, family: &str) -> bool {
    let allowed = is_family_allowed(draft, family);
    if !allowed {
        refuse(draft, &part.resource(), "families", family);
    }
    allowed
}

/// Checks what parts are recorded to run with: it goes nowhere that is not allowed by now.
pub fn check_targets<'a>(draft: &mut Draft<'_>, target: impl Fn(&str) -> Option<&'a PartTarget>) {
    for part in draft.input.desired.parts() {
        if let Some(target) = target(&part.resource()) {
            may_use_family(draft, &part, &target.family);
            may_use_roles(draft, &part, &target.roles);
        }
    }
}

/// Roles that a part may only run with if they are listed: those that the manifest brings in. A
/// role that the base definition has already needs no listing.
pub fn roles_to_list(draft: &Draft<'_>, part: &Part<'_>, base: &Value) -> Vec<String> {
    let of_base: Vec<String> = ["taskRoleArn", "executionRoleArn"]
        .iter()
        .filter_map(|member| base.get(*member)?.as_str().map(str::to_owned))
        .filter(|role| !role.is_empty())
        .collect();
    let overridden = overridden_roles(draft, part);
    if matches!(part.source, crate::model::desired::Source::Inline { .. }) {
        return of_base.into_iter().chain(overridden).collect();
    }
    overridden
        .into_iter()
        .filter(|role| !of_base.contains(role))
        .collect()
}

/// Whether a part may run with these roles, which need to be listed; tells the draft if not.
pub fn may_use_roles(draft: &mut Draft<'_>, part: &Part<'_>, roles: &[String]) -> bool {
    let allow = draft.input.desired.environment.allow.roles.as_ref();
    let is_listed = |role: &str| allow.is_some_and(|globs| globs.is_match(role));
    let refused: Vec<&String> = roles.iter().filter(|role| !is_listed(role)).collect();
    for role in &refused {
        refuse(draft, &part.resource(), "roles", role);
    }
    refused.is_empty()
}

fn overridden_roles(draft: &Draft<'_>, part: &Part<'_>) -> Vec<String> {
    let desired = draft.input.desired;
    let overrides: Option<&TaskOverride> = match part.kind {
        PartKind::Hook => desired
            .hook_tasks()
            .find(|found| found.name == part.name)
            .and_then(|found| found.overrides.as_ref()),
        PartKind::Migration => desired
            .migrations
            .iter()
            .find(|found| found.name == part.name)
            .and_then(|found| found.overrides.as_ref()),
        PartKind::Schedule => desired
            .schedules
            .iter()
            .find(|found| found.name == part.name)
            .and_then(|found| found.overrides.as_ref()),
        PartKind::Service => None,
    };
    let Some(overrides) = overrides else {
        return Vec::new();
    };
    overrides
        .task_role_arn
        .iter()
        .chain(&overrides.execution_role_arn)
        .cloned()
        .collect()
}
