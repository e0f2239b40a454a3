//! `Environment.spec`.

use std::collections::BTreeSet;

use super::{holding, images, names, notifications, placement, timeout};
use crate::resource::environment::{Allow, EnvironmentSpec, ImageRule};
use crate::resource::path::FieldPath;
use crate::resource::patterns;
use crate::resource::problem::FieldError;
use crate::resource::urls::UrlPattern;

pub(super) fn spec(spec: &EnvironmentSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    cluster(spec, path, errors);
    if !names::is_region(&spec.region) {
        errors.push(
            FieldError::new(
                path.key("region"),
                format!("`{}` is not an AWS Region", spec.region),
            )
            .help("write for example `eu-central-1`"),
        );
    }
    if let Some(account) = spec
        .account
        .as_deref()
        .filter(|account| !names::is_account(account))
    {
        errors.push(
            FieldError::new(
                path.key("account"),
                format!("`{account}` is not an account id"),
            )
            .help("write its twelve digits, in quotes"),
        );
    }
    role(spec, path, errors);
    if let Some(tasks) = &spec.tasks {
        placement::task_settings(tasks, &path.key("tasks"), errors);
    }
    if let Some(role) = spec
        .schedules
        .as_ref()
        .and_then(|schedules| schedules.role_arn.as_ref())
    {
        names::role_arn(role, path.key("schedules").key("roleArn"), errors);
    }
    if let Some(drift) = &spec.drift {
        timeout(drift.after.as_ref(), path.key("drift").key("after"), errors);
    }
    holding::windows(spec.windows.as_ref(), &path.key("windows"), errors);
    for (index, rule) in spec.image_rules.iter().enumerate() {
        image_rule(rule, &path.key("imageRules").index(index), errors);
    }
    notifications::notifications(spec, path, errors);
    if let Some(globs) = &spec.allow {
        allow(globs, &path.key("allow"), errors);
    }
}

fn image_rule(rule: &ImageRule, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    let (pattern, example) = (&rule.repository, "backend/(?<service>[a-z]+)");
    images::expression(pattern, example, path.key("repository"), errors);
    let groups = match errors.len() == before {
        true => patterns::groups(&rule.repository),
        // Which groups it would have nobody knows.
        false => None,
    };
    for (template, name, what) in [
        (&rule.release, "release", "a release"),
        (&rule.image, "image", "an image"),
    ] {
        let here = path.key(name);
        let used = patterns::used_groups(template);
        if template.is_empty() {
            let help = "write its name; `$service` stands for what the group `service` matched";
            errors.push(FieldError::new(here, "is empty").help(help));
        } else if used.is_empty() && name == "release" {
            names::dns_label(template, here, errors);
        } else if used.is_empty() {
            names::ecs_name(template, what, here, errors);
        } else if let Some(groups) = &groups {
            for group in used.into_iter().filter(|it| !groups.contains(it)) {
                errors.push(no_group(&here, template, &group, groups));
            }
        }
    }
}

fn no_group(
    path: &FieldPath,
    template: &str,
    group: &str,
    groups: &BTreeSet<String>,
) -> FieldError {
    let message = format!("`{template}` speaks of a group `{group}`, which `repository` has not");
    let named: Vec<&str> = groups.iter().map(String::as_str).collect();
    let help = match named.as_slice() {
        [] => "write one in `repository`: `(?<service>[a-z]+)`".to_owned(),
        named => format!(
            "its groups are {}; `${{name}}` ends a name",
            named.join(", ")
        ),
    };
    FieldError::new(path.clone(), message).help(&help)
}

/// The role to assume, which is of the account that it shall reach.
fn role(spec: &EnvironmentSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let here = path.key("roleArn");
    if let Some(role) = &spec.role_arn {
        let before = errors.len();
        names::role_arn(role, here.clone(), errors);
        let account = role.split(':').nth(4).unwrap_or_default();
        let of_cluster = || cluster_arn(&spec.cluster).map(|(_, account)| account);
        if let Some(wanted) = spec.account.as_deref().or_else(of_cluster)
            && before == errors.len()
            && wanted != account
        {
            let message = format!("is of account {account}, and the environment of {wanted}");
            errors.push(FieldError::new(here, message).help("make them agree"));
        }
    }
    let Some(id) = &spec.external_id else { return };
    let here = path.key("externalId");
    if spec.role_arn.is_none() {
        let error = FieldError::new(here.clone(), "is for a role, and there is none");
        errors.push(error.help("set `roleArn` as well, or leave it out"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if !(2..=1224).contains(&id.len()) || !id.chars().all(allowed) {
        let error = FieldError::new(here, "is not an external id as STS takes it");
        errors.push(error.help("use 2 to 1224 letters, digits and `_+=,.@:/-`"));
    }
}

/// The name of a cluster, or an ARN that agrees with the Region and account beside it.
fn cluster(spec: &EnvironmentSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let here = path.key("cluster");
    if !spec.cluster.starts_with("arn:") {
        names::ecs_name(&spec.cluster, "an ECS cluster", here, errors);
        return;
    }
    let Some((region, account)) = cluster_arn(&spec.cluster) else {
        errors.push(
            FieldError::new(
                here,
                format!("`{}` is not the ARN of an ECS cluster", spec.cluster),
            )
            .help("write its name, or `arn:aws:ecs:REGION:ACCOUNT:cluster/NAME`"),
        );
        return;
    };
    if region != spec.region {
        let message = format!("is in {region}, and `region` says {}", spec.region);
        errors.push(FieldError::new(here.clone(), message).help("make them agree"));
    }
    if let Some(declared) = spec
        .account
        .as_deref()
        .filter(|declared| *declared != account)
    {
        let message = format!("is of account {account}, and `account` says {declared}");
        errors.push(FieldError::new(here, message).help("make them agree"));
    }
}

fn cluster_arn(text: &str) -> Option<(&str, &str)> {
    let (service, region, account, resource) = names::arn(text)?;
    let name = resource.strip_prefix("cluster/")?;
    let right = service == "ecs" && names::is_account(account) && names::is_ecs_name(name);
    right.then_some((region, account))
}

fn allow(allow: &Allow, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (patterns, name) in [
        (&allow.services, "services"),
        (&allow.families, "families"),
        (&allow.repositories, "repositories"),
        (&allow.roles, "roles"),
        (&allow.rule_names, "ruleNames"),
        (&allow.functions, "functions"),
        (&allow.distributions, "distributions"),
        (&allow.secrets, "secrets"),
    ] {
        for (index, pattern) in patterns.iter().flatten().enumerate() {
            names::glob(pattern, path.key(name).index(index), errors);
        }
    }
    for (index, pattern) in allow.urls.iter().flatten().enumerate() {
        if UrlPattern::parse(pattern).is_none() {
            let message = format!("`{pattern}` is not a pattern of URLs");
            let help = "write scheme, host and path: `https://*.shop.example/*`";
            errors.push(FieldError::new(path.key("urls").index(index), message).help(help));
        }
    }
    for (index, role) in allow.roles.iter().flatten().enumerate() {
        if !role.is_empty() && !role.starts_with("arn:") && !role.starts_with('*') {
            errors.push(
                FieldError::new(
                    path.key("roles").index(index),
                    format!("`{role}` matches no role: roles are named by their ARN"),
                )
                .help("write for example `arn:aws:iam::123456789012:role/name`"),
            );
        }
    }
}
