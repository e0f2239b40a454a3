//! Services that CodeDeploy releases, within what CodeDeploy documents of them.

use super::{FieldError, FieldPath};
use crate::resource::release::Rollout;

/// The longest name of an application, a deployment group or a deployment configuration
/// (<https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html>).
const NAME: usize = 100;

pub(super) fn code_deploy(rollout: &Rollout, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(declared) = &rollout.code_deploy else {
        return;
    };
    let here = path.key("codeDeploy");
    let config = declared.deployment_config_name.as_ref();
    let names = [
        ("applicationName", Some(&declared.application_name)),
        ("deploymentGroupName", Some(&declared.deployment_group_name)),
        ("deploymentConfigName", config),
    ];
    let names = names
        .into_iter()
        .filter_map(|(field, it)| Some((field, it?)));
    errors.extend(names.filter_map(|(field, value)| name(value, here.key(field))));
    if let Some(hooks) = &declared.hooks {
        let hooks_here = here.key("hooks");
        let wrong = |(event, arn)| function(arn, hooks_here.key(event));
        errors.extend(hooks.each().filter_map(wrong));
    }
    if rollout.strategy.is_some() {
        let message = "is ECS's own, and CodeDeploy releases this service";
        let error = FieldError::new(path.key("strategy"), message);
        errors.push(error.help("name a `deploymentConfigName` instead, or leave it out"));
    }
}

fn name(value: &str, path: FieldPath) -> Option<FieldError> {
    let length = value.chars().count();
    if (1..=NAME).contains(&length) {
        return None;
    }
    let message = format!("has 1 to {NAME} characters in CodeDeploy, this has {length}");
    Some(FieldError::new(path, message).help("write the name as CodeDeploy shows it"))
}

/// A name alone could be of any account; CodeDeploy takes an ARN everywhere.
fn function(arn: &str, path: FieldPath) -> Option<FieldError> {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_function = matches!(
        parts.as_slice(),
        ["arn", _, "lambda", region, account, "function", name] | ["arn", _, "lambda", region, account, "function", name, _]
            if !region.is_empty() && !name.is_empty() && account.len() == 12
    );
    if is_function {
        return None;
    }
    let message = format!("`{arn}` is not the ARN of a Lambda function");
    let help = "write arn:aws:lambda:<region>:<account>:function:<name>";
    Some(FieldError::new(path, message).help(help))
}
