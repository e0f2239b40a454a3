//! `spec.schedules`.

mod backend;

use std::collections::BTreeMap;

use super::{Context, RULE_NAME_LIMIT, names, overrides, placement, source, unique};
use crate::resource::meta::{Release, ReleaseKey};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::Schedule;

pub(super) fn schedules(
    release: &Release,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let list = path.key("schedules");
    let schedules = &release.spec.schedules;
    unique(
        schedules.iter().map(|s| s.name.as_str()),
        &list,
        "schedule",
        errors,
    );
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    for (index, schedule) in schedules.iter().enumerate() {
        let here = list.index(index);
        one_schedule(schedule, ctx, &here, errors);
        if backend::of_scheduler(schedule) {
            continue;
        }
        let rule = rule_of(&release.release_key(), schedule);
        rule_name_format(&rule, schedule, &here, errors);
        match rules.get(&rule) {
            // Two schedules of one name have been told of already.
            Some(first) if schedules[*first].name != schedule.name => {
                let message = format!(
                    "the rule `{rule}` is that of {} already",
                    list.index(*first)
                );
                let error = FieldError::new(rule_path(schedule, &here), message);
                errors.push(error.help("give one of them another `ruleName`"));
            }
            Some(_) => {}
            None => {
                rules.insert(rule, index);
            }
        }
    }
}

fn one_schedule(
    schedule: &Schedule,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    names::dns_label(&schedule.name, path.key("name"), errors);
    backend::backend(schedule, path, errors);
    source::source(
        &schedule.task_definition,
        ctx,
        &path.key("taskDefinition"),
        errors,
    );
    source::images(
        &schedule.images,
        Some(&schedule.task_definition),
        ctx,
        path,
        errors,
    );
    if let Some(tasks) = &schedule.tasks {
        placement::task_settings(tasks, &path.key("tasks"), errors);
    }
    if let Some(given) = &schedule.overrides {
        let inline = schedule.task_definition.inline.as_ref();
        overrides::task_override(given, inline, &path.key("overrides"), errors);
    }
    if let Some(count) = schedule
        .task_count
        .filter(|count| !(1..=10).contains(count))
    {
        let message = format!("`{count}` is outside 1 to 10");
        errors.push(FieldError::new(path.key("taskCount"), message));
    }
    if let Some(role) = &schedule.role_arn {
        names::role_arn(role, path.key("roleArn"), errors);
    }
    if schedule
        .description
        .as_ref()
        .is_some_and(|text| text.chars().count() > 512)
    {
        errors.push(FieldError::new(
            path.key("description"),
            "is longer than 512 characters",
        ));
    }
}

/// The name of a schedule's rule: its own, or `<namespace>-<release>-<schedule>`.
pub fn rule_of(key: &ReleaseKey, schedule: &Schedule) -> String {
    let ReleaseKey { namespace, name } = key;
    let by_default = || format!("{namespace}-{name}-{}", schedule.name);
    schedule.rule_name.clone().unwrap_or_else(by_default)
}

fn rule_path(schedule: &Schedule, path: &FieldPath) -> FieldPath {
    path.key(if schedule.rule_name.is_some() {
        "ruleName"
    } else {
        "name"
    })
}

fn rule_name_format(
    rule: &str,
    schedule: &Schedule,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let here = rule_path(schedule, path);
    if rule.len() > RULE_NAME_LIMIT {
        let message = format!(
            "the rule's name `{rule}` has {} characters, and EventBridge takes {RULE_NAME_LIMIT}",
            rule.len()
        );
        let help = if schedule.rule_name.is_some() {
            "shorten it"
        } else {
            "give the schedule a shorter `ruleName`"
        };
        errors.push(FieldError::new(here, message).help(help));
    } else if schedule.rule_name.is_some() && (rule.is_empty() || !rule.bytes().all(allowed)) {
        errors.push(
            FieldError::new(
                here,
                format!("`{rule}` is not the name of an EventBridge rule"),
            )
            .help("use 1 to 64 letters, digits, `.`, `-` and `_`"),
        );
    }
}
