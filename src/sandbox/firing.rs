//! Schedules of EventBridge's rules and of EventBridge Scheduler firing: when each comes next, and
//! what becomes of a start that AWS tries again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::json::{Object, int, text};
use crate::resource::firings::Firings;

/// AWS gives up after a day or so many more tries, where nothing is said.
const AGE: SignedDuration = SignedDuration::from_hours(24);
const RETRIES: i64 = 185;
/// Between the first try and the second; each pause is twice the one before, up to the longest.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_mins(8);

/// A time that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Firing {
    /// When.
    pub at: Timestamp,
    /// `rule/NAME` or `schedule/GROUP/NAME`.
    pub by: String,
    /// What it was to run.
    pub task_definition: Option<String>,
}

/// What fires.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// `rule/NAME` or `schedule/GROUP/NAME`.
    pub name: String,
    pub expression: String,
    pub zone: Option<String>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    /// Within which time it is started.
    pub window: SignedDuration,
    /// A rate begins with a run; else it begins with a pause.
    pub at_once: bool,
    pub targets: Vec<Object>,
}

/// When something comes next that was switched on as it is now.
struct Next {
    /// As it was when that was worked out.
    as_was: (String, Option<String>, Option<Timestamp>, Option<Timestamp>),
    at: Option<Timestamp>,
}

/// A start that is to be tried.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub by: String,
    pub target: Object,
    fired: Timestamp,
    tries: i64,
}

/// The times of one Region.
#[derive(Default)]
pub(super) struct Clockwork {
    next: BTreeMap<String, Next>,
    due: BTreeMap<(Timestamp, u64), Invocation>,
    made: u64,
}

impl Clockwork {
    /// Takes note of everything that is switched on at this moment.
    pub fn note(&mut self, now: Timestamp, sources: &[Source]) {
        let is_on = |name: &String| sources.iter().any(|source| source.name == *name);
        self.next.retain(|name, _| is_on(name));
        for source in sources {
            let as_is = source.as_is();
            let known = self.next.get(&source.name);
            if known.is_none_or(|known| known.as_was != as_is) {
                let next = Next {
                    as_was: as_is,
                    at: source.first(now),
                };
                self.next.insert(source.name.clone(), next);
            }
        }
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Timestamp> {
        let times = self.next.values().filter_map(|next| next.at);
        times.chain(self.due.keys().map(|(at, _)| *at)).min()
    }

    /// Has everything fire whose time is this.
    pub fn fire(
        &mut self,
        at: Timestamp,
        sources: &[Source],
        mut part: impl FnMut() -> f64,
    ) -> Vec<Firing> {
        let mut fired = Vec::new();
        for source in sources {
            let Some(next) = self.next.get_mut(&source.name) else {
                continue;
            };
            if next.at != Some(at) {
                continue;
            }
            next.at = source.after(at);
            for target in &source.targets {
                fired.push(Firing {
                    at,
                    by: source.name.clone(),
                    task_definition: definition(target),
                });
                let late = source.window.mul_f64(part());
                let invocation = Invocation {
                    by: source.name.clone(),
                    target: target.clone(),
                    fired: at,
                    tries: 0,
                };
                self.set(at.checked_add(late).unwrap_or(at), invocation);
            }
        }
        fired
    }

    /// Takes the next start that is to be tried by then.
    pub fn take(&mut self, now: Timestamp) -> Option<Invocation> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// It came to nothing and may be tried again; gives it back where it may not.
    pub fn again(&mut self, now: Timestamp, invocation: Invocation) -> Option<Invocation> {
        let policy = invocation
            .target
            .get("RetryPolicy")
            .and_then(Value::as_object);
        let given = |member: &str| int(policy?, member);
        let age = given("MaximumEventAgeInSeconds").map_or(AGE, SignedDuration::from_secs);
        let most = given("MaximumRetryAttempts").unwrap_or(RETRIES);
        let doubled = u32::try_from(invocation.tries.min(10)).unwrap_or(0);
        let pause = PAUSE
            .saturating_mul(2_i32.saturating_pow(doubled))
            .min(LONGEST);
        let at = now.checked_add(pause).unwrap_or(now);
        if invocation.tries >= most || at.duration_since(invocation.fired) > age {
            return Some(invocation);
        }
        let tries = invocation.tries + 1;
        self.set(
            at,
            Invocation {
                tries,
                ..invocation
            },
        );
        None
    }

    fn set(&mut self, at: Timestamp, invocation: Invocation) {
        self.made += 1;
        self.due.insert((at, self.made), invocation);
    }
}

impl Source {
    fn as_is(&self) -> (String, Option<String>, Option<Timestamp>, Option<Timestamp>) {
        (
            self.expression.clone(),
            self.zone.clone(),
            self.start,
            self.end,
        )
    }

    /// The first time from a moment on at which it is switched on.
    fn first(&self, now: Timestamp) -> Option<Timestamp> {
        let begins = self.start.map_or(now, |start| start.max(now));
        let found = match Firings::of(&self.expression, self.zone.as_deref())? {
            Firings::Rate(_) if self.at_once => Some(begins),
            Firings::Rate(length) => begins.checked_add(length).ok(),
            // The moment of the beginning counts.
            calendar => match self.start.filter(|start| *start > now) {
                Some(start) => calendar.next(before(start)),
                None => calendar.next(now),
            },
        };
        found.filter(|at| self.end.is_none_or(|end| *at <= end))
    }

    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let found = match Firings::of(&self.expression, self.zone.as_deref())? {
            Firings::Rate(length) => at.checked_add(length).ok(),
            calendar => calendar.next(at),
        };
        found.filter(|at| self.end.is_none_or(|end| *at <= end))
    }
}

fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_secs(1)).unwrap_or(at)
}

fn definition(target: &Object) -> Option<String> {
    let ecs = target.get("EcsParameters")?.as_object()?;
    text(ecs, "TaskDefinitionArn").map(str::to_owned)
}

impl Invocation {
    /// RunTask's input, where the target is an ECS cluster.
    pub fn run_task(&self) -> Option<Object> {
        let ecs = self.target.get("EcsParameters")?.as_object()?;
        let starter = match self.by.split_once('/')? {
            ("rule", name) => format!("events-rule/{name}"),
            (_, path) => format!("chronos-schedule/{}", path.rsplit('/').next()?),
        };
        let started_by: String = starter.chars().take(36).collect();
        let mut input = Object::new();
        let mut put = |member: &str, value: Option<&Value>| {
            if let Some(value) = value {
                input.insert(member.to_owned(), value.clone());
            }
        };
        put("cluster", self.target.get("Arn"));
        put("taskDefinition", ecs.get("TaskDefinitionArn"));
        put("startedBy", Some(&json!(started_by)));
        for (member, own) in [
            ("count", "TaskCount"),
            ("launchType", "LaunchType"),
            ("capacityProviderStrategy", "CapacityProviderStrategy"),
            ("platformVersion", "PlatformVersion"),
            ("propagateTags", "PropagateTags"),
            ("enableExecuteCommand", "EnableExecuteCommand"),
            ("group", "Group"),
        ] {
            put(member, ecs.get(own));
        }
        let network = ecs.get("NetworkConfiguration");
        let vpc = network.and_then(|it| it.get("awsvpcConfiguration")?.as_object());
        if let Some(vpc) = vpc {
            let lower = |(key, value): (&String, &Value)| {
                let mut name = key.clone();
                name[..1].make_ascii_lowercase();
                (name, value.clone())
            };
            let vpc: Object = vpc.iter().map(lower).collect();
            put(
                "networkConfiguration",
                Some(&json!({"awsvpcConfiguration": vpc})),
            );
        }
        let overrides = text(&self.target, "Input");
        let overrides = overrides.and_then(|text| serde_json::from_str::<Value>(text).ok());
        put("overrides", overrides.as_ref());
        Some(input)
    }

    /// Region and name of the queue for what came to nothing, and what it gets: what the target
    /// would have been sent.
    pub fn dead_letter(&self) -> Option<(String, String, String)> {
        let config = self.target.get("DeadLetterConfig")?.as_object()?;
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let mut parts = text(config, "Arn")?.split(':').skip(3);
        let (region, name) = (parts.next()?.to_owned(), parts.nth(1)?.to_owned());
        let event = || json!({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [self.by], "time": self.fired});
        let body = text(&self.target, "Input").map_or_else(|| event().to_string(), str::to_owned);
        Some((region, name, body))
    }
}
