//! What a schedule may be, and what AWS fills in.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{constraint, needed, validation};
use crate::resource::{cron, windows};
use crate::sandbox::cx::Cx;
use crate::sandbox::events::is_expression;
use crate::sandbox::fault::Fault;
use crate::sandbox::json::{Object, int, text, without_nulls};

/// How far back a beginning may lie.
const PAST: SignedDuration = SignedDuration::from_mins(5);

/// Members that are kept as they are given.
const KEPT: [&str; 6] = [
    "ScheduleExpression",
    "Description",
    "StartDate",
    "EndDate",
    "KmsKeyArn",
    "FlexibleTimeWindow",
];

/// The members of a schedule, checked and filled in.
pub(super) fn members(cx: &Cx<'_>, input: &Object) -> Result<Object, Fault> {
    let input = without_nulls(input);
    let expression = needed(&input, "ScheduleExpression", "scheduleExpression")?;
    if expression.len() > 256 || !is_expression(expression) && cron::once(expression).is_none() {
        return Err(validation(format!(
            "Invalid Schedule Expression {expression}."
        )));
    }
    let zone = text(&input, "ScheduleExpressionTimezone").unwrap_or("UTC");
    if windows::zone(Some(zone)).is_err() {
        return Err(validation(format!(
            "Invalid Schedule Expression Timezone {zone}."
        )));
    }
    window(&input)?;
    dates(cx, &input)?;
    if text(&input, "Description").is_some_and(|text| text.chars().count() > 512) {
        let rule = "have length less than or equal to 512";
        return Err(constraint("Value", "description", rule));
    }
    let state = one_of(&input, "State", "state", &["ENABLED", "DISABLED"])?;
    let after = "ActionAfterCompletion";
    let action = one_of(&input, after, "actionAfterCompletion", &["NONE", "DELETE"])?;
    let target = target(&input)?;
    let mut members: Object = KEPT
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), input.get(*key)?.clone())))
        .collect();
    members.insert("ScheduleExpressionTimezone".to_owned(), zone.into());
    members.insert("State".to_owned(), state.into());
    members.insert(after.to_owned(), action.into());
    members.insert("Target".to_owned(), Value::Object(target));
    Ok(members)
}

/// One of these words; the first where nothing is said.
fn one_of(input: &Object, key: &str, at: &str, words: &[&str]) -> Result<String, Fault> {
    let given = text(input, key).unwrap_or(words[0]);
    match words.contains(&given) {
        true => Ok(given.to_owned()),
        false => Err(constraint(
            &format!("Value '{given}'"),
            at,
            &format!("satisfy enum value set: [{}]", words.join(", ")),
        )),
    }
}

fn window(input: &Object) -> Result<(), Fault> {
    let at = "flexibleTimeWindow";
    let window = input.get("FlexibleTimeWindow").and_then(Value::as_object);
    let window = window.ok_or_else(|| constraint("Value null", at, "not be null"))?;
    let minutes = int(window, "MaximumWindowInMinutes");
    match (text(window, "Mode"), minutes) {
        (Some("OFF"), None) => Ok(()),
        (Some("OFF"), Some(_)) => Err(validation(
            "MaximumWindowInMinutes must not be set when FlexibleTimeWindow is OFF.",
        )),
        (Some("FLEXIBLE"), Some(1..=1440)) => Ok(()),
        (Some("FLEXIBLE"), _) => Err(constraint(
            &format!("Value '{minutes:?}'"),
            "flexibleTimeWindow.maximumWindowInMinutes",
            "have value between 1 and 1440",
        )),
        (mode, _) => Err(constraint(
            &format!("Value '{}'", mode.unwrap_or("null")),
            "flexibleTimeWindow.mode",
            "satisfy enum value set: [OFF, FLEXIBLE]",
        )),
    }
}

fn dates(cx: &Cx<'_>, input: &Object) -> Result<(), Fault> {
    let start = date(input, "StartDate")?;
    let end = date(input, "EndDate")?;
    if start.is_some_and(|start| cx.now.duration_since(start) > PAST) {
        return Err(validation(
            "The StartDate you specify cannot be earlier than 5 minutes ago.",
        ));
    }
    if end.is_some_and(|end| end <= cx.now) {
        return Err(validation("The EndDate you specify must be in the future."));
    }
    match (start, end) {
        (Some(start), Some(end)) if end <= start => {
            Err(validation("The EndDate must come after the StartDate."))
        }
        _ => Ok(()),
    }
}

/// A time as restJson writes it: seconds since 1970.
pub(in crate::sandbox) fn date(members: &Object, key: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(value) = members.get(key) else {
        return Ok(None);
    };
    let read = value.as_f64().and_then(|seconds| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds of this millennium"
        )]
        let millis = (seconds * 1000.0) as i64;
        Timestamp::from_millisecond(millis).ok()
    });
    let Some(read) = read else {
        let code = "SerializationException";
        return Err(Fault::client(
            code,
            format!("{key} is no number of seconds"),
        ));
    };
    Ok(Some(read))
}

fn target(input: &Object) -> Result<Object, Fault> {
    let target = input.get("Target").and_then(Value::as_object);
    let mut target =
        without_nulls(target.ok_or_else(|| constraint("Value null", "target", "not be null"))?);
    let arn = needed(&target, "Arn", "target.arn")?.to_owned();
    let role = needed(&target, "RoleArn", "target.roleArn")?;
    if !role.starts_with("arn:aws:iam::") || !role.contains(":role/") {
        let rule = "satisfy regular expression pattern: arn:aws[a-z-]*:iam::\\d{12}:role\\/.+";
        return Err(constraint(
            &format!("Value '{role}'"),
            "target.roleArn",
            rule,
        ));
    }
    if arn.split(':').count() < 6 || !arn.starts_with("arn:") {
        return Err(validation(format!("{arn} is not a valid target.")));
    }
    if let Some(input) = text(&target, "Input")
        && arn.split(':').nth(2) == Some("ecs")
        && serde_json::from_str::<Value>(input).is_err()
    {
        return Err(validation("Invalid RequestJson provided."));
    }
    dead_letters(&target)?;
    target.insert("RetryPolicy".to_owned(), retry_policy(&target)?);
    if arn.split(':').nth(2) == Some("ecs") {
        let parameters = target
            .get_mut("EcsParameters")
            .and_then(Value::as_object_mut);
        let parameters = parameters
            .ok_or_else(|| validation(format!("EcsParameters is required for target {arn}.")))?;
        needed(
            parameters,
            "TaskDefinitionArn",
            "target.ecsParameters.taskDefinitionArn",
        )?;
        for (key, value) in [
            ("TaskCount", json!(1)),
            ("EnableECSManagedTags", json!(false)),
            ("EnableExecuteCommand", json!(false)),
        ] {
            parameters.entry(key).or_insert(value);
        }
    }
    Ok(target)
}

fn dead_letters(target: &Object) -> Result<(), Fault> {
    let config = target.get("DeadLetterConfig").and_then(Value::as_object);
    let Some(arn) = config.and_then(|config| text(config, "Arn")) else {
        return Ok(());
    };
    match arn.starts_with("arn:aws:sqs:") && !arn.ends_with(".fifo") {
        true => Ok(()),
        false => Err(validation(format!(
            "{arn} is not the ARN of a standard queue."
        ))),
    }
}

/// What is not said of it is AWS's default.
fn retry_policy(target: &Object) -> Result<Value, Fault> {
    let given = target.get("RetryPolicy").and_then(Value::as_object);
    let mut policy = json!({"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185});
    let limits = [
        ("MaximumEventAgeInSeconds", 60, 86_400),
        ("MaximumRetryAttempts", 0, 185),
    ];
    for (member, least, most) in limits {
        let Some(value) = given.and_then(|given| int(given, member)) else {
            continue;
        };
        if !(least..=most).contains(&value) {
            return Err(constraint(
                &format!("Value '{value}'"),
                "target.retryPolicy",
                &format!("have value between {least} and {most}"),
            ));
        }
        policy[member] = value.into();
    }
    Ok(policy)
}
