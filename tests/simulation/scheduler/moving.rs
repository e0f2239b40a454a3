//! A schedule goes from rules to EventBridge Scheduler and back, and each of its times comes once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::sandbox::{CallInfo, CallRecord, Outcome, Tap, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{only, scheduled};
use crate::crash::Moment;
use crate::shop::{
    Breaker, Stands, delivered, key, minutes, rules, schedule, seconds, shop, stalled,
};
use crate::world::{World, changes};

const EVERY: &str = "cron(0/10 * * * ? *)";
const RULE: &str = "shop-web-often";

fn by_rule() -> Value {
    only(json!([schedule("often", EVERY)]))
}

fn by_scheduler() -> Value {
    only(json!([scheduled("often", EVERY, &json!({}))]))
}

/// Kills the process at one of the calls that change something. Between two of them it may die
/// anywhere: what it read is lost in any case.
struct Killer {
    at: u64,
    seen: AtomicU64,
    moment: Moment,
    dead: Arc<Notify>,
    /// When the call before was made.
    before: Mutex<Option<Instant>>,
    /// Whether time went by between that one and the one that it dies at.
    waited: AtomicBool,
}

impl Killer {
    fn verdict(&self, call: &CallInfo<'_>, moment: Moment) -> Verdict {
        let record = CallRecord {
            at: Timestamp::UNIX_EPOCH,
            service: call.service.to_owned(),
            operation: call.operation.to_owned(),
            region: call.region.to_owned(),
            principal: String::new(),
            input: Value::Object(call.input.clone()),
            outcome: Outcome::Answered,
            client: true,
        };
        if moment != self.moment || !changes(&record) {
            return Verdict::Proceed;
        }
        let now = Instant::now();
        let before = self.before.lock().expect("one thread").replace(now);
        if self.seen.fetch_add(1, Ordering::SeqCst) == self.at {
            let waited = before.is_some_and(|before| now - before > seconds(1));
            self.waited.store(waited, Ordering::SeqCst);
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

/// Each ten minutes after `from` up to `to`.
fn wanted(from: Timestamp, to: Timestamp) -> Vec<String> {
    let step = 600;
    let first = from.as_second().div_euclid(step) + 1;
    let last = to.as_second().div_euclid(step);
    let at = |number: i64| {
        Timestamp::from_second(number * step)
            .expect("a time")
            .to_string()
    };
    (first..=last).map(at).collect()
}

/// Runs a controller for so long.
async fn run(world: &World, time: Duration) {
    let controller = world.controller();
    controller
        .run(tokio::time::sleep(time))
        .await
        .expect("runs");
}

/// How a controller ended that was to die.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    /// At its call, which came at once after the one before or later.
    Died { waited: bool },
    /// It came to its end before.
    Well,
}

/// Runs a controller that dies at this call.
async fn runs_until(world: &World, at: u64, moment: Moment) -> Ended {
    let dead = Arc::new(Notify::new());
    let killer = Arc::new(Killer {
        at,
        seen: AtomicU64::new(0),
        moment,
        dead: dead.clone(),
        before: Mutex::default(),
        waited: AtomicBool::new(false),
    });
    world.sandbox.set_tap(Some(killer.clone()));
    let controller = world.controller();
    let ended = tokio::select! {
        biased;
        () = dead.notified() => Ended::Died { waited: killer.waited.load(Ordering::SeqCst) },
        ended = controller.run_once() => {
            ended.expect("runs");
            Ended::Well
        }
    };
    world.sandbox.set_tap(None);
    ended
}

/// Every time since then came once.
fn came_once(world: &World, since: Timestamp, what: &str) {
    let fired = world.sandbox.firings();
    let times: Vec<String> = fired.iter().map(|it| it.at.to_string()).collect();
    let by: Vec<(&str, &str)> = fired
        .iter()
        .zip(&times)
        .map(|(it, at)| (it.by.as_str(), at.as_str()))
        .collect();
    assert_eq!(times, wanted(since, world.sandbox.now()), "{what}: {by:?}");
}

fn runs_where(world: &World) -> (bool, bool) {
    let listed = world.in_group().unwrap_or_default();
    (world.has_rule(RULE), listed.contains(&"often".to_owned()))
}

/// Delivered one way, it goes over to the other while the controller dies at this call.
async fn goes_over(from: &Value, to: &Value, at: u64, moment: Moment) -> Ended {
    let world = shop(Breaker::Rollback).await;
    world.put(from).await;
    assert_eq!(world.run(&key()).await, Stands::Ready);
    // It begins at another distance from a time each time.
    crate::shop::pass(seconds(at * 37 % 600)).await;
    world.fires();
    world.sandbox.firings();
    let since = world.sandbox.now();
    world.put(to).await;
    let ended = runs_until(&world, at, moment).await;
    let what = format!("died {moment:?} write {at}");
    assert_eq!(world.run(&key()).await, Stands::Ready, "{what}");
    world.sandbox.skip(minutes(25));
    let scheduler = to["spec"]["schedules"][0]["backend"] == "Scheduler";
    assert_eq!(runs_where(&world), (!scheduler, scheduler), "{what}");
    came_once(&world, since, &what);
    ended
}

/// Dying after a call is dying before the next one: both leave the same account and table, unless
/// time goes by between them, or there is no next one.
async fn whatever_dies(from: Value, to: Value) {
    let mut at = 0;
    loop {
        let ended = goes_over(&from, &to, at, Moment::Before).await;
        if at > 0 && ended != (Ended::Died { waited: false }) {
            goes_over(&from, &to, at - 1, Moment::After).await;
        }
        if ended == Ended::Well {
            break;
        }
        at += 1;
    }
    assert!(at > 8, "it dies at many calls: {at}");
}

#[tokio::test(start_paused = true)]
async fn from_rules_to_scheduler_each_time_comes_once_wherever_the_controller_dies() {
    whatever_dies(by_rule(), by_scheduler()).await;
}

#[tokio::test(start_paused = true)]
async fn from_scheduler_to_rules_each_time_comes_once_wherever_the_controller_dies() {
    whatever_dies(by_scheduler(), by_rule()).await;
}

/// The release with a service under a tag.
fn with_service(object: &Value, tag: &str) -> Value {
    let mut object = object.clone();
    let web = json!({"name": "web", "images": {"web": "web"}, "rollout": {"timeout": "30m"}});
    object["spec"]["services"] = json!([web]);
    object["spec"]["images"]["web"]["tag"] = json!(tag);
    object
}

/// Goes over and dies after this call, with both off; then another image is released, whose rollout
/// takes long, before anybody takes over.
async fn goes_over_and_on(from: &Value, to: &Value, off: &'static str) {
    let world = delivered(&with_service(from, "v2")).await;
    world.fires();
    let since = world.sandbox.now();
    world.put(&with_service(to, "v2")).await;
    world.dies_at(off, true).await;
    assert_eq!(world.rule(RULE)["State"], "DISABLED", "{off}");
    assert_eq!(world.scheduled("often")["State"], "DISABLED", "{off}");
    let slow = json!([{"when": {"image": "web:v3"}, "then": {"healthy": {"after": "15m"}}}]);
    rules(&world, &slow);
    world.put(&with_service(to, "v3")).await;
    assert_eq!(world.run(&key()).await, Stands::Ready, "{off}");
    world.sandbox.skip(minutes(25));
    let scheduler = to["spec"]["schedules"][0]["backend"] == "Scheduler";
    assert_eq!(runs_where(&world), (!scheduler, scheduler), "{off}");
    came_once(&world, since, off);
}

#[tokio::test(start_paused = true)]
async fn each_time_comes_once_where_something_newer_takes_over_from_who_died() {
    goes_over_and_on(&by_rule(), &by_scheduler(), "PutRule").await;
    goes_over_and_on(&by_scheduler(), &by_rule(), "UpdateSchedule").await;
}

#[tokio::test(start_paused = true)]
async fn the_switch_waits_until_a_time_that_is_near_is_over() {
    let world = delivered(&by_rule()).await;
    world.fires();
    let now = world.sandbox.now();
    let since = now.as_second() % 600;
    // A minute before the next time.
    let until = u64::try_from((540 - since).rem_euclid(600)).expect("positive");
    crate::shop::pass(seconds(until)).await;
    let begin = world.sandbox.now();
    world.put(&by_scheduler()).await;
    run(&world, seconds(55)).await;
    assert_eq!(world.scheduled("often")["State"], "DISABLED");
    assert_eq!(world.rule(RULE)["State"], "ENABLED");
    let status = world.status(&key()).await.schedules.remove(0);
    assert!(status.message.expect("it is told").contains("quiet moment"));
    run(&world, minutes(5)).await;
    assert_eq!(runs_where(&world), (false, true));
    let log = world.sandbox.log();
    let off = log
        .iter()
        .rfind(|call| call.client && call.operation == "PutRule")
        .expect("it was");
    assert!(
        off.at.duration_since(begin) > SignedDuration::from_secs(60 + 70),
        "{}",
        off.at
    );
    came_once(&world, begin, "it waited");
}

#[tokio::test(start_paused = true)]
async fn there_and_back_and_there_again_over_a_day_each_time_comes_once() {
    let world = delivered(&by_rule()).await;
    world.fires();
    let since = world.sandbox.now();
    for (object, time) in [
        (by_scheduler(), minutes(47)),
        (by_rule(), minutes(33)),
        (by_scheduler(), minutes(61)),
        (by_rule(), minutes(600)),
        (by_scheduler(), minutes(600)),
    ] {
        world.put(&object).await;
        assert_eq!(world.run(&key()).await, Stands::Ready);
        world.sandbox.skip(time);
    }
    came_once(&world, since, "there and back");
    assert_eq!(runs_where(&world), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_moves_it_back() {
    let world = delivered(&by_rule()).await;
    world.fires();
    let since = world.sandbox.now();
    world.put(&by_scheduler()).await;
    run(&world, minutes(15)).await;
    assert_eq!(runs_where(&world), (false, true));
    world
        .request(
            &key(),
            evenkeel::model::ledger::RequestKind::Rollback {
                to: 1,
                force: false,
            },
        )
        .await;
    run(&world, minutes(25)).await;
    assert_eq!(runs_where(&world), (true, false));
    came_once(&world, since, "rolled back");
}

/// The release with a hook after everything else that runs a task and takes everything back with it.
fn with_smoke_test(mut object: Value) -> Value {
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let hook = json!({"name": "smoke-test", "onFailure": "Rollback", "ecsTask": task});
    object["spec"]["hooks"] = json!({"after": [hook]});
    object
}

/// Tasks of the family `job` end like this.
fn tasks_end(world: &World, after: &str, code: i32) {
    let then = json!({"exit": {"after": after, "exitCode": code}});
    rules(world, &json!([{"when": {"family": "job"}, "then": then}]));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_everything_back_takes_the_schedule_back() {
    for (from, to) in [(by_rule(), by_scheduler()), (by_scheduler(), by_rule())] {
        let world = delivered(&from).await;
        tasks_end(&world, "5s", 1);
        let begins = runs_where(&world);
        world.fires();
        let since = world.sandbox.now();
        world.put(&with_smoke_test(to)).await;
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        assert_eq!(runs_where(&world), begins);
        world.sandbox.skip(minutes(25));
        came_once(&world, since, "taken back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_a_failed_release_left_out_is_back() {
    for other in [
        schedule("daily", "rate(1 day)"),
        scheduled("daily", "rate(1 day)", &json!({})),
    ] {
        let often = match other.get("backend") {
            None => by_rule(),
            Some(_) => by_scheduler(),
        };
        let mut both = often.clone();
        both["spec"]["schedules"] = json!([often["spec"]["schedules"][0], other]);
        let world = delivered(&both).await;
        tasks_end(&world, "2m", 1);
        let begins = runs_where(&world);
        let state = |world: &World| match other.get("backend") {
            None => world.rule(RULE)["State"].clone(),
            Some(_) => world.scheduled("often")["State"].clone(),
        };
        world.put(&with_smoke_test(only(json!([other])))).await;
        run(&world, seconds(90)).await;
        // It does not run beside what came in its stead, and is there still.
        assert_eq!(state(&world), "DISABLED", "{other}");
        assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
        assert_eq!(runs_where(&world), begins);
        assert_eq!(state(&world), "ENABLED", "{other}");
        // With a hook that succeeds it goes.
        tasks_end(&world, "2m", 0);
        world.retry(&key()).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(runs_where(&world), (false, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_strangers_target_on_the_rule_goes_on() {
    let lambda =
        json!({"Id": "watch", "Arn": "arn:aws:lambda:ap-northeast-1:123456789012:function:watch"});
    for adopt in [false, true] {
        let world = delivered(&by_rule()).await;
        world.aws(
            "events",
            "PutTargets",
            json!({"Rule": RULE, "Targets": [lambda]}),
        );
        world.put(&by_scheduler()).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(world.rule(RULE)["State"], "ENABLED");
        assert_eq!(world.targets(RULE), std::slice::from_ref(&lambda));
        assert_eq!(world.scheduled("often")["State"], "ENABLED");
        // And on the way back.
        let mut back = by_rule();
        back["spec"]["schedules"][0]["adopt"] = json!(adopt);
        back["spec"]["schedules"][0]["description"] = json!("the report");
        world.put(&back).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
        assert_eq!(runs_where(&world), (true, false));
        let rule = world.rule(RULE);
        assert_eq!(rule["State"], "ENABLED");
        assert_eq!(rule["Description"], "the report");
        let targets = world.targets(RULE);
        assert!(
            targets.len() == 2 && targets.contains(&lambda),
            "{targets:?}"
        );
        let put = world.sent("PutRule");
        assert!(put.iter().all(|it| it["State"] == "ENABLED"), "{put:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_of_the_old_one_moves_nothing() {
    let world = delivered(&by_rule()).await;
    world.deny(&["events:ListTargetsByRule"]);
    world.put(&by_scheduler()).await;
    assert_eq!(world.settle(&key()).await, stalled("AccessDenied"));
    assert_eq!(world.aws_writes(), [] as [&str; 0]);
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(runs_where(&world), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_would_be_refused_leaves_the_old_one_on() {
    let world = delivered(&by_rule()).await;
    world.fires();
    let since = world.sandbox.now();
    world.deny(&["scheduler:UpdateSchedule"]);
    world.put(&by_scheduler()).await;
    run(&world, minutes(30)).await;
    assert_eq!(world.rule(RULE)["State"], "ENABLED");
    assert_eq!(world.scheduled("often")["State"], "DISABLED");
    let tried = world.sent("UpdateSchedule");
    assert!(!tried.is_empty());
    assert!(
        tried.iter().all(|it| it["State"] == "DISABLED"),
        "{tried:?}"
    );
    came_once(&world, since, "refused");
    world.deny(&[]);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(runs_where(&world), (false, true));
    came_once(&world, since, "allowed again");
}
