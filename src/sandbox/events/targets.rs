//! Targets of rules.

use serde_json::{Value, json};

use super::{
    Events, TARGETS, bad_token, check_name, constraint, limit, name, over_limit, validation,
};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, list, page, text, texts, without_nulls};

/// Entries that one call may hold.
const ENTRIES: usize = 10;

impl Events {
    /// Adds targets, and replaces those whose id is there: nothing of the old one stays.
    pub(super) fn put_targets(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input, "Rule")?;
        let entries = list(input, "Targets");
        check_count(entries.len(), "targets")?;
        let given: Vec<(String, Object)> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| checked_target(index + 1, entry))
            .collect::<Result<_, _>>()?;
        let rule = self.latest(name)?;
        rule.check_unmanaged("PutTargets", input)?;
        let (failed, accepted): (Vec<_>, Vec<_>) = given
            .into_iter()
            .partition(|(id, target)| fails(cx, id, text(target, "RoleArn")));
        let mut targets = rule.targets.clone();
        targets.extend(accepted);
        if targets.len() > TARGETS {
            return Err(over_limit());
        }
        self.edit(cx, name, |rule| rule.targets = targets);
        Ok(failures(failed.iter().map(|(id, _)| id.as_str())))
    }

    /// Ids that are not there count as removed.
    pub(super) fn remove_targets(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input, "Rule")?;
        let ids = texts(input, "Ids");
        check_count(ids.len(), "ids")?;
        let rule = self.latest(name)?;
        rule.check_unmanaged("RemoveTargets", input)?;
        let (failed, removed): (Vec<&str>, Vec<&str>) = ids.into_iter().partition(|id| {
            let role = rule.targets.get(*id).and_then(|t| text(t, "RoleArn"));
            fails(cx, id, role)
        });
        self.edit(cx, name, |rule| {
            rule.targets.retain(|id, _| !removed.contains(&id.as_str()));
        });
        Ok(failures(failed.into_iter()))
    }

    pub(super) fn list_targets_by_rule(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let rule = self.visible(cx, name(input, "Rule")?)?;
        let all = rule
            .targets
            .iter()
            .map(|(id, target)| (id.clone(), Value::Object(target.clone())));
        let found = page(all, text(input, "NextToken"), limit(input)?, bad_token)?;
        let mut answer = json!({"Targets": found.items});
        if let Some(next) = found.next {
            answer["NextToken"] = next.into();
        }
        Ok(answer)
    }

    pub(super) fn list_rule_names_by_target(
        &self,
        cx: &Cx<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let arn = text(input, "TargetArn")
            .ok_or_else(|| constraint("Value null", "targetArn", "not be null"))?;
        let names = self.rules.iter().filter_map(|(name, rule)| {
            let targets = &rule.visible(cx)?.targets;
            targets
                .values()
                .any(|target| text(target, "Arn") == Some(arn))
                .then(|| (name.clone(), name.clone()))
        });
        let found = page(names, text(input, "NextToken"), limit(input)?, bad_token)?;
        let mut answer = json!({"RuleNames": found.items});
        if let Some(next) = found.next {
            answer["NextToken"] = next.into();
        }
        Ok(answer)
    }
}

fn check_count(count: usize, at: &str) -> Result<(), Fault> {
    match count {
        0 => Err(constraint(
            "Value '[]'",
            at,
            "have length greater than or equal to 1",
        )),
        1..=ENTRIES => Ok(()),
        _ => Err(constraint(
            &format!("Value '[{count} entries]'"),
            at,
            &format!("have length less than or equal to {ENTRIES}"),
        )),
    }
}

fn checked_target(index: usize, entry: &Value) -> Result<(String, Object), Fault> {
    let at = |member: &str| format!("targets.{index}.member.{member}");
    let missing = |member: &str| constraint("Value null", &at(member), "not be null");
    let mut target = without_nulls(entry.as_object().ok_or_else(|| missing("id"))?);
    let id = text(&target, "Id").ok_or_else(|| missing("id"))?.to_owned();
    check_name(&id, &at("id"))?;
    let arn = text(&target, "Arn")
        .ok_or_else(|| missing("arn"))?
        .to_owned();
    if arn.split(':').count() < 6 || !arn.starts_with("arn:") {
        return Err(validation(format!(
            "Parameter {arn} is not valid. Reason: Provided Arn is not in correct format."
        )));
    }
    check_input(&target, &id, index)?;
    if arn.split(':').nth(2) == Some("ecs") {
        complete_ecs_target(&mut target, &arn, &at("ecsParameters.taskDefinitionArn"))?;
    }
    Ok((id, target))
}

fn check_input(target: &Object, id: &str, index: usize) -> Result<(), Fault> {
    let Some(input) = text(target, "Input") else {
        return Ok(());
    };
    if input.len() > 8192 {
        return Err(constraint(
            &format!("Value '{input}'"),
            &format!("targets.{index}.member.input"),
            "have length less than or equal to 8192",
        ));
    }
    if serde_json::from_str::<Value>(input).is_err() {
        return Err(validation(format!(
            "JSON syntax error in input for target {id} at index {}",
            index - 1
        )));
    }
    Ok(())
}

/// An ECS target needs a role and a task definition; what it leaves out is filled in.
fn complete_ecs_target(target: &mut Object, arn: &str, at: &str) -> Result<(), Fault> {
    if text(target, "RoleArn").is_none() {
        return Err(validation(format!("RoleArn is required for target {arn}.")));
    }
    let Some(Value::Object(parameters)) = target.get_mut("EcsParameters") else {
        return Err(validation(format!(
            "EcsParameters is required for target {arn}."
        )));
    };
    if text(parameters, "TaskDefinitionArn").is_none() {
        return Err(constraint("Value null", at, "not be null"));
    }
    for (key, value) in [
        ("TaskCount", json!(1)),
        ("EnableECSManagedTags", json!(false)),
        ("EnableExecuteCommand", json!(false)),
    ] {
        parameters.entry(key).or_insert(value);
    }
    Ok(())
}

fn fails(cx: &Cx<'_>, id: &str, role: Option<&str>) -> bool {
    let globs = &cx.settings.fail_targets;
    globs
        .iter()
        .any(|glob| glob.matches(id) || role.is_some_and(|role| glob.matches(role)))
}

fn failures<'a>(ids: impl Iterator<Item = &'a str>) -> Value {
    let entries: Vec<Value> = ids
        .map(|id| {
            json!({
                "TargetId": id,
                "ErrorCode": "ConcurrentModificationException",
                "ErrorMessage": format!("Target {id} could not be changed."),
            })
        })
        .collect();
    json!({"FailedEntryCount": entries.len(), "FailedEntries": entries})
}
