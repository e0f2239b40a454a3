//! CloudWatch: the alarms of one Region. There are no metrics: a state is whatever SetAlarmState says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cx::Cx;
use super::delayed::Delayed;
use super::fault::Fault;
use super::json::{Object, epoch, int, list, page, text, texts, without_nulls};

/// Most names that one call takes, and most alarms that it answers.
const MOST: usize = 100;
/// Alarms that are answered where no number is asked for.
const USUAL: usize = 50;

/// The alarms of one Region.
#[derive(Default)]
pub(super) struct CloudWatch {
    alarms: BTreeMap<String, Delayed<Alarm>>,
}

/// What an alarm looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Metric,
    Composite,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Metric => "MetricAlarm",
            Self::Composite => "CompositeAlarm",
        }
    }
}

#[derive(Debug, Clone)]
struct Alarm {
    kind: Kind,
    /// As it was put.
    members: Object,
    configured: Timestamp,
    state: String,
    reason: String,
    data: Option<String>,
    updated: Timestamp,
    transitioned: Timestamp,
}

impl CloudWatch {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "PutMetricAlarm" => self.put(cx, Kind::Metric, input),
            "PutCompositeAlarm" => self.put(cx, Kind::Composite, input),
            "SetAlarmState" => self.set_state(cx, input),
            "DescribeAlarms" => self.describe(cx, input),
            "DeleteAlarms" => self.delete(cx, input),
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    /// Replaces the alarm; its state stays what it is.
    fn put(&mut self, cx: &Cx<'_>, kind: Kind, input: &Object) -> Result<Value, Fault> {
        let name = name(input)?.to_owned();
        let needed: &[&str] = match kind {
            Kind::Metric => &["EvaluationPeriods", "ComparisonOperator"],
            Kind::Composite => &["AlarmRule"],
        };
        let mut members = without_nulls(input);
        if let Some(missing) = needed.iter().find(|key| !members.contains_key(**key)) {
            return Err(missing_parameter(missing));
        }
        members.shift_remove("Tags");
        members.entry("ActionsEnabled").or_insert(Value::Bool(true));
        // A double, also where it was written as a whole number.
        if let Some(threshold) = members.get("Threshold").and_then(Value::as_f64) {
            members.insert("Threshold".to_owned(), threshold.into());
        }
        let stored = self.alarms.entry(name).or_default();
        let alarm = match stored.latest().cloned() {
            Some(old) if old.kind == kind => Alarm {
                members,
                configured: cx.now,
                ..old
            },
            Some(old) => {
                let message = format!("There is a {} of that name already", old.kind.name());
                return Err(validation(message));
            }
            None => Alarm {
                kind,
                members,
                configured: cx.now,
                state: "INSUFFICIENT_DATA".to_owned(),
                reason: "Unchecked: Initial alarm creation".to_owned(),
                data: None,
                updated: cx.now,
                transitioned: cx.now,
            },
        };
        stored.set(cx, alarm);
        Ok(json!({}))
    }

    fn set_state(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let name = name(input)?;
        let state = text(input, "StateValue").ok_or_else(|| missing_parameter("StateValue"))?;
        let reason = text(input, "StateReason").ok_or_else(|| missing_parameter("StateReason"))?;
        check_state(state)?;
        let stored = self.alarms.get_mut(name);
        let Some(stored) = stored.filter(|stored| stored.latest().is_some()) else {
            let fault = Fault::client("ResourceNotFound", format!("Unknown alarm: {name}"));
            return Err(Fault {
                status: 404,
                ..fault
            });
        };
        stored.edit(cx, |alarm| {
            if alarm.state != state {
                alarm.transitioned = cx.now;
            }
            state.clone_into(&mut alarm.state);
            reason.clone_into(&mut alarm.reason);
            alarm.data = text(input, "StateReasonData").map(str::to_owned);
            alarm.updated = cx.now;
        });
        Ok(json!({}))
    }

    fn describe(&self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let names = named(input)?;
        let prefix = text(input, "AlarmNamePrefix");
        if prefix.is_some() && !names.is_empty() {
            return Err(Fault::client(
                "InvalidParameterCombinationException",
                "AlarmNamePrefix and AlarmNames cannot be used together",
            ));
        }
        let state = text(input, "StateValue");
        state.map_or(Ok(()), check_state)?;
        let most = match int(input, "MaxRecords") {
            None => USUAL,
            Some(asked) => usize::try_from(asked)
                .ok()
                .filter(|asked| (1..=MOST).contains(asked))
                .ok_or_else(|| validation("MaxRecords must be between 1 and 100"))?,
        };
        let types = texts(input, "AlarmTypes");
        let is_wanted = |name: &str, alarm: &Alarm| {
            let of_type = match types.is_empty() {
                true => alarm.kind == Kind::Metric,
                false => types.contains(&alarm.kind.name()),
            };
            of_type
                && (names.is_empty() || names.contains(&name))
                && prefix.is_none_or(|prefix| name.starts_with(prefix))
                && state.is_none_or(|state| alarm.state == state)
        };
        let found = self.alarms.iter().filter_map(|(name, alarm)| {
            let alarm = alarm.visible(cx).filter(|alarm| is_wanted(name, alarm))?;
            Some((name.clone(), (alarm.kind, alarm.describe(cx, name))))
        });
        let page = page(found, text(input, "NextToken"), most, || {
            Fault::client("InvalidNextToken", "The next token is not valid")
        })?;
        let (metric, composite): (Vec<_>, Vec<_>) = page
            .items
            .into_iter()
            .partition(|(kind, _)| *kind == Kind::Metric);
        let shown = |alarms: Vec<(Kind, Value)>| -> Vec<Value> {
            alarms.into_iter().map(|(_, alarm)| alarm).collect()
        };
        let mut answer = json!({
            "MetricAlarms": shown(metric), "CompositeAlarms": shown(composite),
        });
        if let Some(next) = page.next {
            answer["NextToken"] = next.into();
        }
        Ok(answer)
    }

    /// All or none.
    fn delete(&mut self, cx: &Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let names = named(input)?;
        if names.is_empty() {
            return Err(missing_parameter("AlarmNames"));
        }
        let is_there = |name: &&&str| {
            self.alarms
                .get(**name)
                .is_some_and(|it| it.latest().is_some())
        };
        if let Some(missing) = names.iter().find(|name| !is_there(name)) {
            let fault = Fault::client("ResourceNotFound", format!("Unknown alarm: {missing}"));
            return Err(Fault {
                status: 404,
                ..fault
            });
        }
        for name in names {
            if let Some(alarm) = self.alarms.get_mut(name) {
                alarm.remove(cx);
            }
        }
        self.alarms.retain(|_, alarm| !alarm.is_gone(cx));
        Ok(json!({}))
    }
}

impl Alarm {
    fn describe(&self, cx: &Cx<'_>, name: &str) -> Value {
        let mut shown = self.members.clone();
        let arn = format!(
            "arn:aws:cloudwatch:{}:{}:alarm:{name}",
            cx.region, cx.account
        );
        let mut put = |key: &str, value: Value| drop(shown.insert(key.to_owned(), value));
        put("AlarmArn", arn.into());
        put("AlarmConfigurationUpdatedTimestamp", epoch(self.configured));
        put("StateValue", self.state.as_str().into());
        put("StateReason", self.reason.as_str().into());
        if let Some(data) = &self.data {
            put("StateReasonData", data.as_str().into());
        }
        put("StateUpdatedTimestamp", epoch(self.updated));
        put("StateTransitionedTimestamp", epoch(self.transitioned));
        Value::Object(shown)
    }
}

fn name(input: &Object) -> Result<&str, Fault> {
    let name = text(input, "AlarmName").ok_or_else(|| missing_parameter("AlarmName"))?;
    check_name(name).map(|()| name)
}

fn check_name(name: &str) -> Result<(), Fault> {
    match (1..=255).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(validation("An alarm's name has 1 to 255 characters")),
    }
}

fn named(input: &Object) -> Result<Vec<&str>, Fault> {
    let names = texts(input, "AlarmNames");
    if list(input, "AlarmNames").len() > MOST {
        return Err(validation("AlarmNames must have at most 100 items"));
    }
    names.iter().try_for_each(|name| check_name(name))?;
    Ok(names)
}

fn check_state(state: &str) -> Result<(), Fault> {
    match state {
        "OK" | "ALARM" | "INSUFFICIENT_DATA" => Ok(()),
        _ => Err(validation(format!(
            "Value '{state}' at 'stateValue' failed to satisfy constraint: Member must satisfy enum \
             value set: [INSUFFICIENT_DATA, ALARM, OK]"
        ))),
    }
}

fn validation(message: impl Into<String>) -> Fault {
    Fault::client("ValidationException", message)
}

fn missing_parameter(key: &str) -> Fault {
    Fault::client(
        "MissingRequiredParameterException",
        format!("The request must contain the parameter {key}."),
    )
}
