//! EventBridge: rules and their targets, and events on their way to queues. When schedules fire is
//! in [`super::firing`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cx::Cx;
use super::delayed::Delayed;
use super::fault::Fault;
use super::json::{Object, flag, int, text};
use super::notice::Notice;

mod bus;
mod pattern;
mod rules;
mod schedule;
mod tags;
mod targets;

pub(super) use schedule::is_valid as is_expression;

/// Rules that a bus may have.
const RULES: usize = 300;
/// Targets that a rule may have.
const TARGETS: usize = 5;

/// The default event bus of one Region.
#[derive(Default)]
pub(super) struct Events {
    rules: BTreeMap<String, Delayed<Rule>>,
    /// Events that were put since they were last sent on.
    pub put: Vec<Notice>,
}

/// A rule with everything that belongs to it.
#[derive(Clone, Default)]
struct Rule {
    /// Members of PutRule as given, and `State`.
    members: Object,
    /// The AWS service that keeps it.
    managed_by: Option<String>,
    targets: BTreeMap<String, Object>,
    tags: BTreeMap<String, String>,
}

impl Events {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        check_bus(input)?;
        match operation {
            "PutRule" => self.put_rule(cx, input),
            "DescribeRule" => self.describe_rule(cx, input),
            "ListRules" => self.list_rules(cx, input),
            "EnableRule" => self.set_state(cx, input, operation, "ENABLED"),
            "DisableRule" => self.set_state(cx, input, operation, "DISABLED"),
            "DeleteRule" => self.delete_rule(cx, input),
            "PutTargets" => self.put_targets(cx, input),
            "RemoveTargets" => self.remove_targets(cx, input),
            "ListTargetsByRule" => self.list_targets_by_rule(cx, input),
            "ListRuleNamesByTarget" => self.list_rule_names_by_target(cx, input),
            "PutEvents" => self.put_events(cx, input),
            "TagResource" => self.tag_resource(cx, input),
            "UntagResource" => self.untag_resource(cx, input),
            "ListTagsForResource" => self.list_tags_for_resource(cx, input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// Makes a rule that belongs to an AWS service: no API call can.
    pub fn put_managed_rule(&mut self, cx: &Cx<'_>, name: &str, owner: &str, schedule: &str) {
        let members = json!({"ScheduleExpression": schedule, "State": "ENABLED"});
        let rule = Rule {
            members: members.as_object().cloned().unwrap_or_default(),
            managed_by: Some(owner.to_owned()),
            ..Rule::default()
        };
        self.rules.entry(name.to_owned()).or_default().set(cx, rule);
    }

    /// Rules with a schedule that are switched on, with their targets.
    pub fn enabled(&self) -> impl Iterator<Item = (&String, &Object, Vec<&Object>)> {
        let rules = self.rules.iter();
        rules.filter_map(|(name, rule)| {
            let rule = rule.latest()?;
            let on = text(&rule.members, "State") != Some("DISABLED");
            let scheduled = rule.members.contains_key("ScheduleExpression");
            (on && scheduled).then(|| (name, &rule.members, rule.targets.values().collect()))
        })
    }

    /// The rule as it is, for a write.
    fn latest(&self, name: &str) -> Result<&Rule, Fault> {
        self.rules
            .get(name)
            .and_then(Delayed::latest)
            .ok_or_else(|| no_rule(name))
    }

    /// The rule as reads show it.
    fn visible(&self, cx: &Cx<'_>, name: &str) -> Result<&Rule, Fault> {
        self.rules
            .get(name)
            .and_then(|rule| rule.visible(cx))
            .ok_or_else(|| no_rule(name))
    }

    fn edit(&mut self, cx: &Cx<'_>, name: &str, change: impl FnOnce(&mut Rule)) {
        if let Some(rule) = self.rules.get_mut(name) {
            rule.edit(cx, change);
        }
    }
}

impl Rule {
    /// Managed rules refuse writes, save with `Force` where the operation knows it.
    fn check_unmanaged(&self, operation: &str, input: &Object) -> Result<(), Fault> {
        let forced = flag(input, "Force") && matches!(operation, "DeleteRule" | "RemoveTargets");
        if self.managed_by.is_none() || forced {
            return Ok(());
        }
        Err(Fault::client(
            "ManagedRuleException",
            format!("{operation} operation can't be made on a managed rule."),
        ))
    }
}

fn rule_arn(cx: &Cx<'_>, name: &str) -> String {
    format!("arn:aws:events:{}:{}:rule/{name}", cx.region, cx.account)
}

/// Only the default bus is there.
fn check_bus(input: &Object) -> Result<(), Fault> {
    let bus = text(input, "EventBusName").unwrap_or("default");
    if bus == "default"
        || (bus.starts_with("arn:aws:events:") && bus.ends_with("event-bus/default"))
    {
        return Ok(());
    }
    Err(Fault::client(
        "ResourceNotFoundException",
        format!("Event bus {bus} does not exist."),
    ))
}

fn validation(message: impl Into<String>) -> Fault {
    Fault::client("ValidationException", message)
}

/// The sentence in which AWS's model validation tells a broken constraint.
fn constraint(value: &str, at: &str, rule: &str) -> Fault {
    validation(format!(
        "1 validation error detected: {value} at '{at}' failed to satisfy constraint: Member must \
         {rule}"
    ))
}

/// A member that must be a name of at most 64 of `[.\-_A-Za-z0-9]`.
fn name<'a>(input: &'a Object, key: &str) -> Result<&'a str, Fault> {
    let at = lower_first(key);
    let name = text(input, key).ok_or_else(|| constraint("Value null", &at, "not be null"))?;
    check_name(name, &at)?;
    Ok(name)
}

fn check_name(name: &str, at: &str) -> Result<(), Fault> {
    let value = format!("Value '{name}'");
    if name.is_empty() {
        return Err(constraint(
            &value,
            at,
            "have length greater than or equal to 1",
        ));
    }
    if name.len() > 64 {
        return Err(constraint(
            &value,
            at,
            "have length less than or equal to 64",
        ));
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
    {
        return Err(constraint(
            &value,
            at,
            "satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
        ));
    }
    Ok(())
}

fn lower_first(key: &str) -> String {
    let mut chars = key.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// EventBridge's pages: 100 at most.
fn limit(input: &Object) -> Result<usize, Fault> {
    match int(input, "Limit") {
        None => Ok(100),
        Some(asked @ 1..=100) => Ok(usize::try_from(asked).unwrap_or(100)),
        Some(asked) => Err(constraint(
            &format!("Value '{asked}'"),
            "limit",
            "have value between 1 and 100",
        )),
    }
}

fn bad_token() -> Fault {
    validation("Token is not valid.")
}

fn no_rule(name: &str) -> Fault {
    Fault::client(
        "ResourceNotFoundException",
        format!("Rule {name} does not exist on EventBus default."),
    )
}

fn over_limit() -> Fault {
    Fault::client(
        "LimitExceededException",
        "The requested resource exceeds the maximum number allowed.",
    )
}
