//! Killing the controller at any call of the Rails release, before AWS saw the call or after it
//! did, and starting again ends in the same account.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel::sandbox::{CallInfo, CallRecord, Tap, Verdict, is_write};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::rails::{applied, key};
use crate::world::World;

/// A token lives as long as its task can be described, which is an hour after its end.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// AWS never sees the call.
    Before,
    /// AWS does it, and nobody hears the answer.
    After,
}

/// Kills the process at one call.
struct Killer {
    at: u64,
    moment: Moment,
    dead: Arc<Notify>,
}

impl Killer {
    fn verdict(&self, call: &CallInfo<'_>, moment: Moment) -> Verdict {
        if call.index == self.at && moment == self.moment {
            self.dead.notify_one();
            return Verdict::Hang;
        }
        Verdict::Proceed
    }
}

impl Tap for Killer {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, Moment::Before)
    }

    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, Moment::After)
    }
}

/// What must be the same however often the controller died.
#[derive(Debug, PartialEq)]
pub struct Account {
    /// Family -> how many revisions it has, ACTIVE or not.
    registrations: BTreeMap<String, usize>,
    /// What RunTask was asked, for each time that it started a task.
    pub started: Vec<Value>,
    /// Rules with their targets and tags.
    rules: BTreeMap<String, Value>,
    /// Service -> definition it runs.
    services: BTreeMap<String, String>,
}

pub fn account(world: &World) -> Account {
    let mut registrations = BTreeMap::new();
    for family in ["rails-app", "rails-shoryuken", "rails-oneoff"] {
        let active = world.aws(
            "ecs",
            "ListTaskDefinitions",
            json!({"familyPrefix": family}),
        );
        let inactive = json!({"familyPrefix": family, "status": "INACTIVE"});
        let inactive = world.aws("ecs", "ListTaskDefinitions", inactive);
        let count = |answer: &Value| answer["taskDefinitionArns"].as_array().map_or(0, Vec::len);
        registrations.insert(family.to_owned(), count(&active) + count(&inactive));
    }
    let mut rules = BTreeMap::new();
    let listed = world.aws("events", "ListRules", json!({}));
    for rule in listed["Rules"].as_array().into_iter().flatten() {
        let name = rule["Name"].as_str().unwrap_or_default();
        let targets = world.aws("events", "ListTargetsByRule", json!({"Rule": name}));
        let tags = json!({"ResourceARN": rule["Arn"]});
        let tags = world.aws("events", "ListTagsForResource", tags);
        let whole = json!([rule, targets["Targets"], tags["Tags"]]);
        rules.insert(name.to_owned(), whole);
    }
    let services = ["app", "shoryuken"]
        .map(|name| (name.to_owned(), world.runs("rails-production", name)))
        .into();
    Account {
        registrations,
        started: started(world),
        rules,
        services,
    }
}

/// The RunTask calls that started a task: ECS forgets a task an hour after its end, and answers a
/// call that is repeated under its token with the task that it started before.
pub fn started(world: &World) -> Vec<Value> {
    let mut tokens: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut started = Vec::new();
    for call in world.done("ecs.RunTask") {
        let before = tokens.insert(call.input["clientToken"].to_string(), call.at);
        let repeated = before.is_some_and(|at| call.at.duration_since(at) < TOKEN_LIFE);
        if !repeated || call.input["clientToken"].is_null() {
            started.push(call.input);
        }
    }
    started
}

/// Runs the controller with a death at one call; false once there is no such call any more.
pub async fn die_at(world: &World, at: u64, moment: Moment) -> bool {
    let dead = Arc::new(Notify::new());
    world.sandbox.set_tap(Some(Arc::new(Killer {
        at,
        moment,
        dead: dead.clone(),
    })));
    let controller = world.controller();
    let died = tokio::select! {
        biased;
        () = dead.notified() => true,
        summary = controller.run_once() => {
            summary.expect("runs");
            false
        }
    };
    world.sandbox.set_tap(None);
    died
}

async fn die_at_every(remainder: usize, of: usize) {
    let world = applied().await;
    world.run_once().await.expect("runs");
    let deaths = deaths(&world);
    let installation = world.store.installation().await.expect("reads");
    let expected = account(&world);
    assert_eq!(expected.started.len(), 1, "{:?}", expected.started);
    let tagged = format!("{:?}", expected.rules);
    assert!(tagged.contains(&installation), "{tagged}");
    assert!(deaths.len() > 50, "only {} ways to die", deaths.len());

    for (at, moment) in deaths.into_iter().skip(remainder).step_by(of) {
        let world = applied().await;
        let what = format!("{moment:?} call {at}");
        assert!(die_at(&world, at, moment).await, "{what} was not made");
        let summary = world.run_once().await;
        let summary = summary.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(summary.ready, [key()], "{what}: {summary:?}");
        let mine = world.store.installation().await.expect("reads");
        // Each table is an installation of its own, and its rules are tagged with it.
        let found = format!("{:?}", account(&world)).replace(&mine, &installation);
        assert_eq!(found, format!("{expected:?}"), "{what}");
        world.sandbox.reset_calls();
        world.run_once().await.expect("runs");
        assert_eq!(world.writes(), Vec::<String>::new(), "{what}");
    }
}

#[derive(PartialEq)]
enum What {
    Read,
    Write,
    /// Nothing is remembered of it, so dying at one is dying before the next call.
    Renewal,
}

/// Every state that a death can leave, at every moment, once. What a process knew is lost with it, so
/// that dying at a read is dying at the call before it, and dying after a write is dying before the
/// next call, unless time goes by between them.
pub fn deaths(world: &World) -> Vec<(u64, Moment)> {
    let mut deaths = Vec::new();
    let mut before: Option<(u64, bool, Timestamp)> = None;
    for (at, write, time) in timed(world) {
        let is_new = before.is_none_or(|(_, wrote, before)| wrote || is_later(before, time));
        if is_new {
            deaths.push((at, Moment::Before));
        }
        before = Some((at, write, time));
    }
    deaths.extend(before.map(|(at, ..)| (at, Moment::After)));
    deaths
}

/// The same at writes alone: before each of them, and after those that no other follows at once.
pub fn deaths_at_writes(world: &World) -> Vec<(u64, Moment)> {
    let timed = timed(world).into_iter();
    let writes: Vec<(u64, Timestamp)> = timed
        .filter_map(|(at, write, time)| write.then_some((at, time)))
        .collect();
    let mut deaths = Vec::new();
    for (index, (at, time)) in writes.iter().enumerate() {
        deaths.push((*at, Moment::Before));
        let next = writes.get(index + 1);
        if next.is_none_or(|(_, next)| is_later(*time, *next)) {
            deaths.push((*at, Moment::After));
        }
    }
    deaths
}

fn is_later(before: Timestamp, after: Timestamp) -> bool {
    after.duration_since(before) >= SignedDuration::from_secs(1)
}

/// The calls of the controller to die at, each with whether it writes and when it was made.
fn timed(world: &World) -> Vec<(u64, bool, Timestamp)> {
    let log = world.sandbox.log();
    let made: Vec<Timestamp> = log.iter().filter(|it| it.client).map(|it| it.at).collect();
    let calls = (0..).zip(made).zip(calls(world));
    let calls = calls.filter(|(_, what)| *what != What::Renewal);
    calls
        .map(|((at, time), what)| (at, what == What::Write, time))
        .collect()
}

/// What each call of the controller does.
fn calls(world: &World) -> Vec<What> {
    let log = world.sandbox.log();
    let what = |call: &CallRecord| match call.operation.as_str() {
        "PutItem" if call.writes_to("sk") == ["shard#0000"] => What::Renewal,
        operation if is_write(&call.service, operation) => What::Write,
        _ => What::Read,
    };
    log.iter().filter(|call| call.client).map(what).collect()
}

// Two tests, so that they run beside each other.

#[tokio::test(start_paused = true)]
async fn dying_at_any_call_changes_nothing_in_the_end_1() {
    die_at_every(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_call_changes_nothing_in_the_end_2() {
    die_at_every(1, 2).await;
}
