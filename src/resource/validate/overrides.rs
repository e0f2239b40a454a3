//! RunTask's `overrides`.

use serde_json::{Map, Value};

use super::{OVERRIDES_LIMIT, inline, names};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::{ContainerOverride, TaskOverride};
use crate::resource::suggest;

pub(super) fn task_override(
    overrides: &TaskOverride,
    inline: Option<&Map<String, Value>>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let list = path.key("containerOverrides");
    for (index, container) in overrides.container_overrides.iter().enumerate() {
        let here = list.index(index);
        let before = &overrides.container_overrides[..index];
        one_container(container, before, inline, &here, errors);
    }
    for (role, name) in [
        (&overrides.task_role_arn, "taskRoleArn"),
        (&overrides.execution_role_arn, "executionRoleArn"),
    ] {
        if let Some(role) = role {
            names::role_arn(role, path.key(name), errors);
        }
    }
    cpu_and_memory(overrides, path, errors);
    if let Some(storage) = &overrides.ephemeral_storage
        && !(21..=200).contains(&storage.size_in_gib)
    {
        errors.push(
            FieldError::new(
                path.key("ephemeralStorage").key("sizeInGiB"),
                format!("`{}` is outside 21 to 200", storage.size_in_gib),
            )
            .help("Fargate gives 20 GiB when `ephemeralStorage` is left out"),
        );
    }
    let length = serde_json::to_string(overrides).map_or(0, |text| text.len());
    if length > OVERRIDES_LIMIT {
        errors.push(
            FieldError::new(
                path.clone(),
                format!("are {length} bytes as JSON, and ECS takes {OVERRIDES_LIMIT}"),
            )
            .help("put long values into the task definition or a secret"),
        );
    }
}

fn one_container(
    container: &ContainerOverride,
    before: &[ContainerOverride],
    inline: Option<&Map<String, Value>>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let name = container.name.as_str();
    names::ecs_name(name, "a container", path.key("name"), errors);
    if before.iter().any(|other| other.name == name) {
        errors.push(
            FieldError::new(
                path.key("name"),
                format!("the container `{name}` is overridden twice"),
            )
            .help("put both into one"),
        );
    }
    if let Some(definition) = inline {
        let containers = inline::container_names(definition);
        if !containers.contains(&name) {
            let message = format!("the inline definition has no container `{name}`");
            let mut error = FieldError::new(path.key("name"), message);
            error.help = suggest::did_you_mean(name, containers.iter().copied());
            errors.push(error);
        }
    }
    let variables = container.environment.as_deref().unwrap_or_default();
    for (index, variable) in variables.iter().enumerate() {
        let here = path.key("environment").index(index).key("name");
        if variable.name.is_empty() {
            errors.push(FieldError::new(here, "a variable needs a name"));
        } else if variables[..index]
            .iter()
            .any(|other| other.name == variable.name)
        {
            errors.push(
                FieldError::new(
                    here,
                    format!("the variable `{}` is given twice", variable.name),
                )
                .help("keep one of them"),
            );
        }
    }
}

fn cpu_and_memory(overrides: &TaskOverride, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if let Some(cpu) = &overrides.cpu
        && !is_amount(cpu, &["vcpu"])
    {
        errors.push(
            FieldError::new(path.key("cpu"), format!("`{cpu}` is not an amount of CPU"))
                .help("write CPU units (`\"1024\"`) or vCPUs (`1 vCPU`)"),
        );
    }
    if let Some(memory) = &overrides.memory
        && !is_amount(memory, &["gb"])
    {
        errors.push(
            FieldError::new(
                path.key("memory"),
                format!("`{memory}` is not an amount of memory"),
            )
            .help("write MiB (`\"2048\"`) or GB (`2 GB`)"),
        );
    }
}

/// A whole number, or a number with a unit behind it.
fn is_amount(text: &str, units: &[&str]) -> bool {
    let lower = text.trim().to_ascii_lowercase();
    match units.iter().find_map(|unit| lower.strip_suffix(unit)) {
        Some(number) => number
            .trim()
            .parse::<f64>()
            .is_ok_and(|number| number > 0.0),
        None => lower.parse::<u32>().is_ok_and(|number| number > 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn their_length_is_counted_in_bytes() {
        let problems = |text: &str, count: usize| {
            let overrides = json!({"containerOverrides": [{
                "name": "app",
                "environment": [{"name": "GREETING", "value": text.repeat(count)}],
            }]});
            let overrides = serde_json::from_value(overrides).unwrap();
            let mut errors = Vec::new();
            task_override(&overrides, None, &FieldPath::root(), &mut errors);
            errors.len()
        };
        assert_eq!(problems("u", 8000), 0);
        assert_eq!(problems("ü", 4000), 0);
        assert_eq!(problems("ü", 5000), 1);
    }
}
