//! How one-off and scheduled tasks are placed.

use super::names;
use crate::resource::environment::{
    AwsVpcConfiguration, CapacityProviderStrategyItem, LaunchType, TaskSettings,
};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;

pub(super) fn task_settings(
    settings: &TaskSettings,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    if settings.launch_type.is_some() && settings.capacity_provider_strategy.is_some() {
        errors.push(
            FieldError::new(
                path.clone(),
                "has both `launchType` and `capacityProviderStrategy`",
            )
            .help("keep one of them"),
        );
    }
    if let Some(strategy) = &settings.capacity_provider_strategy {
        capacity_providers(strategy, &path.key("capacityProviderStrategy"), errors);
    }
    if let Some(network) = &settings.network_configuration {
        let here = path.key("networkConfiguration").key("awsvpcConfiguration");
        vpc(&network.awsvpc_configuration, &here, errors);
    }
    if let Some(version) = &settings.platform_version {
        platform_version(
            version,
            settings.launch_type,
            path.key("platformVersion"),
            errors,
        );
    }
}

fn capacity_providers(
    strategy: &[CapacityProviderStrategyItem],
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    if !(1..=20).contains(&strategy.len()) {
        let message = format!("has {} items, and ECS takes 1 to 20", strategy.len());
        errors.push(FieldError::new(path.clone(), message));
    }
    for (index, item) in strategy.iter().enumerate() {
        let here = path.index(index);
        names::ecs_name(
            &item.capacity_provider,
            "a capacity provider",
            here.key("capacityProvider"),
            errors,
        );
        if let Some(weight) = item.weight.filter(|weight| *weight > 1000) {
            let message = format!("`{weight}` is outside 0 to 1000");
            errors.push(FieldError::new(here.key("weight"), message));
        }
        if let Some(base) = item.base.filter(|base| *base > 100_000) {
            let message = format!("`{base}` is outside 0 to 100000");
            errors.push(FieldError::new(here.key("base"), message));
        }
    }
    if strategy
        .iter()
        .filter(|item| item.base.is_some_and(|base| base > 0))
        .count()
        > 1
    {
        errors.push(
            FieldError::new(path.clone(), "more than one item has a `base`")
                .help("ECS takes a base for one of them"),
        );
    }
    // A weight that is left out counts as 0, so that one provider alone needs none.
    let no_weight = strategy.iter().all(|item| item.weight.unwrap_or(0) == 0);
    if strategy.len() > 1 && no_weight {
        errors.push(
            FieldError::new(
                path.clone(),
                "no item has a `weight` above 0, so no task can be placed",
            )
            .help("give at least one of them a weight"),
        );
    }
}

fn vpc(vpc: &AwsVpcConfiguration, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let subnets = path.key("subnets");
    if !(1..=16).contains(&vpc.subnets.len()) {
        let message = format!("has {} subnets, and ECS takes 1 to 16", vpc.subnets.len());
        errors.push(FieldError::new(subnets.clone(), message));
    }
    ids(&vpc.subnets, "subnet-", "a subnet", &subnets, errors);
    let groups = vpc.security_groups.as_deref().unwrap_or_default();
    let here = path.key("securityGroups");
    if groups.len() > 5 {
        let message = format!(
            "has {} security groups, and ECS takes at most 5",
            groups.len()
        );
        errors.push(FieldError::new(here.clone(), message));
    }
    ids(groups, "sg-", "a security group", &here, errors);
}

fn ids(ids: &[String], prefix: &str, what: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (index, id) in ids.iter().enumerate() {
        let here = path.index(index);
        let right = id.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if !right {
            errors.push(
                FieldError::new(here, format!("`{id}` is not the id of {what}"))
                    .help(format!("write for example `{prefix}0a1b2c3d4e5f60718`")),
            );
        } else if ids[..index].contains(id) {
            errors
                .push(FieldError::new(here, format!("`{id}` is given twice")).help("take one out"));
        }
    }
}

fn platform_version(
    version: &str,
    launch_type: Option<LaunchType>,
    path: FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let is_number = version.split('.').count() == 3
        && version
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if version != "LATEST" && !is_number {
        errors.push(
            FieldError::new(
                path.clone(),
                format!("`{version}` is not a platform version"),
            )
            .help("write `LATEST` or for example `1.4.0`"),
        );
    }
    if let Some(other @ (LaunchType::Ec2 | LaunchType::External)) = launch_type {
        let message = format!(
            "a platform version goes with FARGATE, and the launch type is {}",
            other.as_str()
        );
        errors.push(FieldError::new(path, message).help("take it out"));
    }
}
