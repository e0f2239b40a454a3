//! CloudWatch: the states of alarms.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{AlarmType, StateValue};

use super::error::{AwsError, Call};
use super::time::timestamp;
use crate::model::known::Known;
use crate::model::observed::Alarm;

const SERVICE: &str = "cloudwatch";
/// Most names that DescribeAlarms takes, and most alarms that it answers at once.
const MAX_ALARMS: usize = 100;
const MAX_RECORDS: i32 = 100;

/// CloudWatch in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
}

impl CloudWatch {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The states of metric and composite alarms by name; each that was asked for has an answer.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn alarms(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Known<Alarm>>, AwsError> {
        let mut found: BTreeMap<String, Known<Alarm>> = names
            .iter()
            .map(|name| (name.clone(), Known::Absent))
            .collect();
        let call = Call::read(SERVICE, "DescribeAlarms", alarms_named(names));
        let all: Vec<String> = names.iter().cloned().collect();
        for batch in all.chunks(MAX_ALARMS) {
            let mut token: Option<String> = None;
            loop {
                let page = self.page(&call, batch, token.clone()).await?;
                let next = page.next_token.clone();
                for (name, alarm) in observed(page) {
                    found.insert(name, Known::Present(alarm));
                }
                token = call.next_page(token.as_ref(), next)?;
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    async fn page(
        &self,
        call: &Call,
        names: &[String],
        token: Option<String>,
    ) -> Result<DescribeAlarmsOutput, AwsError> {
        let sent = self
            .client
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            // Without a type CloudWatch answers metric alarms only.
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .max_records(MAX_RECORDS)
            .set_next_token(token)
            .send()
            .await;
        sent.map_err(|error| call.failed(error))
    }
}

/// What a read of alarms is about.
pub fn alarms_named(names: &BTreeSet<String>) -> String {
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    match list.len() {
        1 => format!("alarm {}", list[0]),
        _ => format!("alarms {}", list.join(", ")),
    }
}

/// The alarms of an answer by name.
fn observed(answer: DescribeAlarmsOutput) -> impl Iterator<Item = (String, Alarm)> {
    let metric = answer.metric_alarms.unwrap_or_default().into_iter();
    let metric = metric.filter_map(|it| {
        let since = it
            .state_transitioned_timestamp
            .or(it.state_updated_timestamp);
        let alarm = alarm(it.state_value, it.state_reason, since.as_ref());
        Some((it.alarm_name?, alarm))
    });
    let composite = answer.composite_alarms.unwrap_or_default().into_iter();
    metric.chain(composite.filter_map(|it| {
        let since = it
            .state_transitioned_timestamp
            .or(it.state_updated_timestamp);
        let alarm = alarm(it.state_value, it.state_reason, since.as_ref());
        Some((it.alarm_name?, alarm))
    }))
}

fn alarm(state: Option<StateValue>, reason: Option<String>, since: Option<&DateTime>) -> Alarm {
    Alarm {
        state: state.map_or_else(String::new, |state| state.as_str().to_owned()),
        reason: reason.filter(|text| !text.is_empty()),
        since: timestamp(since),
    }
}
