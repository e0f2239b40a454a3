//! Rules.

use serde_json::{Value, json};

use super::{
    Events, RULES, Rule, bad_token, constraint, limit, name, over_limit, pattern, rule_arn,
    schedule, tags, validation,
};
use crate::sandbox::cx::Cx;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, list, page, text};

/// What PutRule keeps.
const MEMBERS: [&str; 4] = [
    "EventPattern",
    "ScheduleExpression",
    "Description",
    "RoleArn",
];

impl Events {
    /// Replaces the rule: what is left out is gone. Tags count for a new rule only.
    pub(super) fn put_rule(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input, "Name")?;
        let members = checked_members(input)?;
        let old = self.latest(name).ok().cloned();
        let rule = match old {
            Some(old) => {
                old.check_unmanaged("PutRule", input)?;
                Rule { members, ..old }
            }
            None => {
                if self.rules.values().filter_map(|r| r.latest()).count() >= RULES {
                    return Err(over_limit());
                }
                Rule {
                    members,
                    tags: tags::read(list(input, "Tags"))?,
                    ..Rule::default()
                }
            }
        };
        self.rules.entry(name.to_owned()).or_default().set(cx, rule);
        Ok(json!({"RuleArn": rule_arn(cx, name)}))
    }

    pub(super) fn describe_rule(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input, "Name")?;
        let mut answer = self.visible(cx, name)?.describe(cx, name);
        answer.insert("CreatedBy".to_owned(), cx.account.into());
        Ok(Value::Object(answer))
    }

    pub(super) fn list_rules(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let prefix = text(input, "NamePrefix").unwrap_or_default();
        let all = self.rules.iter().filter_map(|(name, rule)| {
            let rule = rule.visible(cx).filter(|_| name.starts_with(prefix))?;
            Some((name.clone(), Value::Object(rule.describe(cx, name))))
        });
        let found = page(all, text(input, "NextToken"), limit(input)?, bad_token)?;
        let mut answer = json!({"Rules": found.items});
        if let Some(next) = found.next {
            answer["NextToken"] = next.into();
        }
        Ok(answer)
    }

    pub(super) fn set_state(
        &mut self,
        cx: &Cx<'_>,
        input: &Object,
        operation: &str,
        state: &str,
    ) -> Result<Value, Fault> {
        let name = name(input, "Name")?;
        self.latest(name)?.check_unmanaged(operation, input)?;
        self.edit(cx, name, |rule| {
            rule.members.insert("State".to_owned(), state.into());
        });
        Ok(json!({}))
    }

    /// Repeats safely; refused as long as there are targets.
    pub(super) fn delete_rule(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input, "Name")?;
        let Ok(rule) = self.latest(name) else {
            return Ok(json!({}));
        };
        rule.check_unmanaged("DeleteRule", input)?;
        // Also while reads still show targets that were taken away.
        let shown = self
            .visible(cx, name)
            .is_ok_and(|rule| !rule.targets.is_empty());
        if shown || !rule.targets.is_empty() {
            return Err(validation("Rule can't be deleted since it has targets."));
        }
        if let Some(rule) = self.rules.get_mut(name) {
            rule.remove(cx);
        }
        self.rules.retain(|_, rule| !rule.is_gone(cx));
        Ok(json!({}))
    }
}

impl Rule {
    fn describe(&self, cx: &Cx<'_>, name: &str) -> Object {
        let mut answer = Object::new();
        answer.insert("Name".to_owned(), name.into());
        answer.insert("Arn".to_owned(), rule_arn(cx, name).into());
        answer.insert("EventBusName".to_owned(), "default".into());
        if let Some(owner) = &self.managed_by {
            answer.insert("ManagedBy".to_owned(), owner.as_str().into());
        }
        answer.extend(self.members.clone());
        answer
    }
}

fn checked_members(input: &Object) -> Result<Object, Fault> {
    let expression = text(input, "ScheduleExpression").filter(|text| !text.is_empty());
    let pattern = text(input, "EventPattern").filter(|text| !text.is_empty());
    if expression.is_none() && pattern.is_none() {
        return Err(validation(
            "Parameter(s) EventPattern or ScheduleExpression must be specified.",
        ));
    }
    if expression.is_some_and(|expression| !schedule::is_valid(expression)) {
        return Err(validation("Parameter ScheduleExpression is not valid."));
    }
    if let Some(pattern) = pattern {
        check_pattern(pattern)?;
    }
    let state = text(input, "State").unwrap_or("ENABLED");
    if !matches!(
        state,
        "ENABLED" | "DISABLED" | "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
    ) {
        return Err(constraint(
            &format!("Value '{state}'"),
            "state",
            "satisfy enum value set: [ENABLED, DISABLED, \
             ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS]",
        ));
    }
    if let Some(description) = text(input, "Description")
        && description.chars().count() > 512
    {
        return Err(constraint(
            &format!("Value '{description}'"),
            "description",
            "have length less than or equal to 512",
        ));
    }
    let mut members: Object = MEMBERS
        .iter()
        .filter_map(|key| {
            let value = text(input, key).filter(|value| !value.is_empty())?;
            Some(((*key).to_owned(), value.into()))
        })
        .collect();
    members.insert("State".to_owned(), state.into());
    Ok(members)
}

fn check_pattern(written: &str) -> Result<(), Fault> {
    let object = serde_json::from_str::<Object>(written).map_err(|e| e.to_string());
    object
        .and_then(|object| pattern::check(&object))
        .map_err(|reason| {
            Fault::client(
                "InvalidEventPatternException",
                format!("Event pattern is not valid. Reason: {reason}"),
            )
        })
}
