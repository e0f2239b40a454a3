//! AWS's request buckets: account and Region, shared by all callers.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::fault::Fault;
use super::json::{Object, text};

/// A bucket's size, and how many requests a second it gains.
#[derive(Clone, Copy)]
struct Bucket {
    name: &'static str,
    burst: f64,
    rate: f64,
}

const fn bucket(name: &'static str, burst: f64, rate: f64) -> Bucket {
    Bucket { name, burst, rate }
}

const REGISTER: Bucket = bucket("ecs task definition writes", 20.0, 1.0);
const DEFINITIONS: Bucket = bucket("ecs task definition reads", 50.0, 20.0);
const SERVICES: Bucket = bucket("ecs service writes", 50.0, 5.0);
const SERVICE_READS: Bucket = bucket("ecs service reads", 100.0, 20.0);
const DEPLOYMENTS: Bucket = bucket("ecs deployment reads", 50.0, 20.0);
const REVISIONS: Bucket = bucket("ecs service revision reads", 50.0, 20.0);
const TASKS: Bucket = bucket("ecs task writes", 100.0, 40.0);
const TASK_READS: Bucket = bucket("ecs task reads", 100.0, 20.0);
const TAGS: Bucket = bucket("ecs tag writes", 20.0, 10.0);
const TAG_READS: Bucket = bucket("ecs tag reads", 50.0, 20.0);
// AWS tells no numbers of CodeDeploy: a dozen groups at once are known to be too many.
const DEPLOYER_WRITES: Bucket = bucket("codedeploy writes", 10.0, 2.0);
const DEPLOYER_READS: Bucket = bucket("codedeploy reads", 20.0, 10.0);
const FARGATE: Bucket = bucket("fargate task starts", 20.0, 20.0);
const EVENTS: Bucket = bucket("eventbridge", 50.0, 50.0);
const ALARM_READS: Bucket = bucket("cloudwatch alarm reads", 9.0, 9.0);
const SCHEDULES: Bucket = bucket("scheduler schedules", 250.0, 250.0);
const SCHEDULE_LISTS: Bucket = bucket("scheduler lists", 50.0, 50.0);
const SCHEDULE_GROUPS: Bucket = bucket("scheduler groups", 10.0, 10.0);

/// The buckets of all Regions.
#[derive(Default)]
pub(super) struct Throttle {
    levels: BTreeMap<(String, &'static str), Level>,
}

struct Level {
    tokens: f64,
    at: Timestamp,
}

impl Throttle {
    /// Takes the call's tokens, or refuses it: then none is taken.
    pub fn admit(
        &mut self,
        now: Timestamp,
        region: &str,
        service: &str,
        operation: &str,
        input: &Object,
    ) -> Result<(), Fault> {
        let buckets = buckets(service, operation, input);
        for bucket in &buckets {
            if self.level(now, region, *bucket).tokens < 1.0 {
                return Err(Fault::client("ThrottlingException", "Rate exceeded"));
            }
        }
        for bucket in &buckets {
            self.level(now, region, *bucket).tokens -= 1.0;
        }
        Ok(())
    }

    /// The bucket's level, filled up to `now`.
    fn level(&mut self, now: Timestamp, region: &str, bucket: Bucket) -> &mut Level {
        let level = self
            .levels
            .entry((region.to_owned(), bucket.name))
            .or_insert(Level {
                tokens: bucket.burst,
                at: now,
            });
        let passed = now.duration_since(level.at).as_secs_f64().max(0.0);
        level.tokens = (level.tokens + passed * bucket.rate).min(bucket.burst);
        level.at = now;
        level
    }
}

fn buckets(service: &str, operation: &str, input: &Object) -> Vec<Bucket> {
    if service == "events" {
        // Its own quota is in thousands a second.
        return match operation {
            "PutEvents" => Vec::new(),
            _ => vec![EVENTS],
        };
    }
    if service == "scheduler" {
        return vec![match operation {
            "CreateSchedule" | "UpdateSchedule" | "DeleteSchedule" | "GetSchedule" => SCHEDULES,
            "ListSchedules" => SCHEDULE_LISTS,
            _ => SCHEDULE_GROUPS,
        }];
    }
    if service == "codedeploy" {
        return vec![match super::is_write(service, operation) {
            true => DEPLOYER_WRITES,
            false => DEPLOYER_READS,
        }];
    }
    if service == "cloudwatch" && operation == "DescribeAlarms" {
        return vec![ALARM_READS];
    }
    if service != "ecs" {
        return Vec::new();
    }
    let one = match operation {
        "RegisterTaskDefinition" | "DeregisterTaskDefinition" => REGISTER,
        "DescribeTaskDefinition" | "ListTaskDefinitions" | "ListTaskDefinitionFamilies" => {
            DEFINITIONS
        }
        "CreateService" | "UpdateService" | "DeleteService" => SERVICES,
        "DescribeServices" | "ListServices" => SERVICE_READS,
        "ListServiceDeployments" | "DescribeServiceDeployments" => DEPLOYMENTS,
        "DescribeServiceRevisions" => REVISIONS,
        "RunTask" if text(input, "launchType") == Some("FARGATE") => {
            return vec![TASKS, FARGATE];
        }
        "RunTask" | "StopTask" | "ExecuteCommand" => TASKS,
        "DescribeTasks" | "ListTasks" => TASK_READS,
        "TagResource" | "UntagResource" => TAGS,
        "ListTagsForResource" => TAG_READS,
        _ => return Vec::new(),
    };
    vec![one]
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn admitted(throttle: &mut Throttle, second: i64, region: &str, operation: &str) -> usize {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        let mut input = Object::new();
        input.insert("launchType".to_owned(), "FARGATE".into());
        (0..500)
            .take_while(|_| {
                throttle
                    .admit(now, region, "ecs", operation, &input)
                    .is_ok()
            })
            .count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut throttle = Throttle::default();
        let register = "RegisterTaskDefinition";
        assert_eq!(admitted(&mut throttle, 0, "eu-west-1", register), 20);
        assert_eq!(admitted(&mut throttle, 3, "eu-west-1", register), 3);
        assert_eq!(admitted(&mut throttle, 3, "eu-west-2", register), 20);
        assert_eq!(admitted(&mut throttle, 3, "eu-west-1", "UpdateService"), 50);
        assert_eq!(admitted(&mut throttle, 5, "eu-west-1", "CreateService"), 10);
    }

    #[test]
    fn fargate_starts_are_limited_further() {
        let mut throttle = Throttle::default();
        assert_eq!(admitted(&mut throttle, 0, "eu-west-1", "RunTask"), 20);
        assert_eq!(admitted(&mut throttle, 0, "eu-west-1", "StopTask"), 80);
    }
}
