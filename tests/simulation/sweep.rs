//! What a sweep over many Releases costs, and that it never acts on what was read for another.

mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use evenkeel::model::interest::Interest;
use evenkeel::model::ledger::RolloutState;
use evenkeel::reconcile::{Pass, Reconciler};
use evenkeel::resource::conditions::{ConditionType, is_true};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::PartState;
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::shop::{
    self, Breaker, CLUSTER, create_service, delivered, environment, minutes, pass, push, register,
    release, schedule, service, web,
};
use crate::world::World;

const RELEASES: usize = 25;
const SERVICES: usize = 4;
const RULE: &str = "shop-web-nightly";
/// Of these Releases each has a schedule.
const SCHEDULED: usize = 5;

fn keys() -> Vec<ReleaseKey> {
    let name = |number| format!("app{number:02}");
    (0..RELEASES)
        .map(|it| ReleaseKey::new("shop", name(it)))
        .collect()
}

/// Every Release Ready, in one cluster, each with its own tag; 130 rules of strangers.
async fn fleet() -> World {
    let world = World::empty().await;
    world.aws("ecs", "CreateCluster", json!({"clusterName": CLUSTER}));
    world.aws("ecr", "CreateRepository", json!({"repositoryName": "web"}));
    push(&world, "v1", "v1");
    register(&world, "job", "v1", &json!({}));
    for number in 0..130 {
        let input =
            json!({"Name": format!("stranger-{number:03}"), "ScheduleExpression": "rate(1 day)"});
        world.aws("events", "PutRule", input);
    }
    world.put(&environment(&json!({}))).await;
    for (number, key) in keys().iter().enumerate() {
        push(&world, &key.name, &key.name);
        let names: Vec<String> = (0..SERVICES)
            .map(|it| format!("{}-{it}", key.name))
            .collect();
        for name in &names {
            register(&world, name, "v1", &json!({}));
            create_service(&world, name, Breaker::Rollback, &json!({}));
        }
        let services: Vec<Value> = names.iter().map(|name| service(name)).collect();
        let mut spec = json!({"services": services});
        if number < SCHEDULED {
            spec["schedules"] = json!([schedule("nightly", "0 3 * * *")]);
        }
        world.put(&release(&key.name, &key.name, &spec)).await;
    }
    pass(minutes(2)).await;
    let summary = world.run_once().await.expect("runs");
    assert_eq!(summary.ready.len(), RELEASES, "{:?}", summary.stalled);
    world
}

async fn look(reconciler: &Reconciler, key: &ReleaseKey) -> Pass {
    let looked = reconciler.reconcile(key, &|_, _| {}).await;
    looked.expect("a pass can be made")
}

/// A look at each, for what a sweep asks for.
async fn interests(reconciler: &Reconciler) -> Vec<Interest> {
    let mut found = Vec::new();
    for key in keys() {
        found.extend(look(reconciler, &key).await.interest);
    }
    found
}

/// Calls by name, of AWS or of the table, since the last reset.
fn calls(world: &World, of_table: bool) -> BTreeMap<String, u64> {
    let mut calls = world.sandbox.calls();
    calls.retain(|name, _| name.starts_with("dynamodb.") == of_table);
    calls
}

#[tokio::test(start_paused = true)]
async fn a_settled_sweep_costs_what_aws_allows_at_best() {
    let world = fleet().await;
    let reconciler = world.takes_over().await;
    let interests = interests(&reconciler).await;
    assert_eq!(interests.len(), RELEASES);
    // Tags of rules were read with them.
    let scheduled = SCHEDULED as u64;
    // All that was registered, too.
    for (wait, tags, takes_stock) in [(1, 0, false), (60, scheduled, true), (1, 0, false)] {
        pass(minutes(wait)).await;
        world.sandbox.reset_calls();
        let since = Instant::now();
        reconciler.read_ahead(&interests).await;
        let mut at_best = BTreeMap::from([
            ("ecs.DescribeServices".to_owned(), 10),
            // A tag and a digest of each.
            ("ecr.DescribeImages".to_owned(), 1),
            ("ecs.ListTaskDefinitions".to_owned(), 1),
            // 135 rules.
            ("events.ListRules".to_owned(), 2),
            ("events.ListTargetsByRule".to_owned(), scheduled),
            ("events.ListTagsForResource".to_owned(), tags),
        ]);
        at_best.retain(|_, count| *count > 0);
        assert_eq!(calls(&world, false), at_best);
        assert!(calls(&world, true).is_empty());

        let content = reconciler.content_with(since);
        let mut passes = JoinSet::new();
        for key in keys() {
            let content = content.clone();
            passes.spawn(async move { look(&content, &key).await });
        }
        for pass in passes.join_all().await {
            assert!(pass.plan.actions.is_empty() && pass.failed.is_none());
            assert!(is_true(&pass.plan.status.conditions, ConditionType::Ready));
            assert!(pass.interest.is_some() && pass.applied_at.is_some());
        }
        assert_eq!(calls(&world, false), at_best, "the passes ask AWS nothing");
        // Spec and status of each, and its Environment with its binding once for all; the ledger of
        // each, and what is asked once for all; what was registered in each family, or of what was
        // registered that which matters, and the family that schedules follow.
        let families = RELEASES * if takes_stock { SERVICES } else { 0 } + SCHEDULED;
        let named = RELEASES * usize::from(!takes_stock);
        let mut read = BTreeMap::from([
            ("dynamodb.GetItem".to_owned(), 2 * RELEASES + 2),
            ("dynamodb.Query".to_owned(), RELEASES + 1 + families),
            ("dynamodb.BatchGetItem".to_owned(), named),
        ]);
        read.retain(|_, count| *count > 0);
        let read: BTreeMap<String, u64> = read
            .into_iter()
            .map(|(name, count)| (name, count as u64))
            .collect();
        assert_eq!(calls(&world, true), read, "and write nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn releases_that_look_afresh_at_once_share_their_calls() {
    let world = fleet().await;
    let reconciler = world.takes_over().await;
    world.sandbox.reset_calls();
    let mut passes = JoinSet::new();
    for key in keys() {
        let reconciler = reconciler.clone();
        passes.spawn(async move { look(&reconciler, &key).await });
    }
    passes.join_all().await;
    let made = world.called("ecs.DescribeServices");
    assert!((10..=12).contains(&made), "{made} calls for 100 services");
    assert!(world.called("ecr.DescribeImages") <= 2);
}

/// A Release with one schedule, whose rule's expression a stranger can change, and change back.
async fn scheduled() -> (World, Reconciler, ReleaseKey, Vec<Interest>) {
    let spec =
        json!({"services": [service("web")], "schedules": [schedule("nightly", "0 3 * * *")]});
    let world = delivered(&release("web", "v2", &spec)).await;
    let reconciler = world.takes_over().await;
    let key = shop::key();
    let interest = look(&reconciler, &key).await.interest;
    (world, reconciler, key, interest.into_iter().collect())
}

fn expression(world: &World, name: &str, expression: &str) {
    let mut rule = world.aws("events", "DescribeRule", json!({"Name": name}));
    rule["ScheduleExpression"] = json!(expression);
    if let Some(members) = rule.as_object_mut() {
        members.retain(|member, _| !["Arn", "CreatedBy"].contains(&member.as_str()));
    }
    world.aws("events", "PutRule", rule);
}

#[tokio::test(start_paused = true)]
async fn drift_that_a_shared_reading_shows_and_that_is_gone_leads_to_nothing() {
    let (world, reconciler, key, interests) = scheduled().await;
    let told = world.status(&key).await;
    pass(minutes(1)).await;
    let since = Instant::now();
    expression(&world, RULE, "cron(0 4 * * ? *)");
    reconciler.read_ahead(&interests).await;
    expression(&world, RULE, "cron(0 3 * * ? *)");
    world.sandbox.reset_calls();
    let pass = look(&reconciler.content_with(since), &key).await;
    assert!(pass.plan.actions.is_empty());
    assert!(world.called("events.DescribeRule") + world.called("events.ListRules") > 0);
    assert_eq!(world.writes(), [] as [String; 0]);
    assert_eq!(world.status(&key).await, told);
}

#[tokio::test(start_paused = true)]
async fn drift_that_a_shared_reading_shows_is_looked_at_afresh_and_put_right() {
    let (world, reconciler, key, interests) = scheduled().await;
    pass(minutes(1)).await;
    let since = Instant::now();
    expression(&world, RULE, "cron(0 4 * * ? *)");
    reconciler.read_ahead(&interests).await;
    world.sandbox.reset_calls();
    let content = reconciler.content_with(since);
    look(&content, &key).await;
    assert_eq!(world.aws_writes(), ["events.PutRule"]);
    // The same sweep does not use what it read before its own write.
    world.sandbox.reset_calls();
    look(&content, &key).await;
    let whole_bus = |input: &Value| input.get("NamePrefix").is_none();
    assert!(world.sent("ListRules").iter().any(whole_bus));
    assert_eq!(world.called("events.ListTargetsByRule"), 1 + 1);
    assert_eq!(world.aws_writes(), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_a_sweep_moved_is_not_told_of_by_what_it_read_before() {
    let world = delivered(&web("v2")).await;
    let (reconciler, key) = (world.takes_over().await, shop::key());
    let interest = look(&reconciler, &key).await.interest;
    world.by_hand("web", "web:1");
    pass(minutes(2)).await;
    let since = Instant::now();
    reconciler.read_ahead(&[interest.expect("it looked")]).await;
    let content = reconciler.content_with(since);
    look(&content, &key).await;
    assert_eq!(world.moves().len(), 1);
    world.sandbox.reset_calls();
    look(&content, &key).await;
    // Once for the sweep, and once afresh, since it is on its way.
    assert_eq!(world.called("ecs.DescribeServices"), 2);
    assert_eq!(world.moves(), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_records_of_a_rollout_are_not_read_while_ecs_says_that_it_goes_on() {
    let world = delivered(&web("v2")).await;
    let (reconciler, key) = (world.takes_over().await, shop::key());
    world.put(&web("v3")).await;
    // Until the deployment that came of it is noted.
    while !is_noted(&world, &key).await {
        look(&reconciler, &key).await;
    }
    world.sandbox.reset_calls();
    for _ in 0..3 {
        look(&reconciler, &key).await;
        let told = &world.status(&key).await.services[0];
        assert_eq!(told.state, PartState::Progressing);
    }
    assert_eq!(world.called("ecs.DescribeServices"), 3);
    assert_eq!(world.called("ecs.ListServiceDeployments"), 0);
    assert_eq!(world.called("ecs.DescribeServiceDeployments"), 0);
    // How it ended is ECS's to say.
    pass(minutes(2)).await;
    look(&reconciler, &key).await;
    assert_eq!(world.called("ecs.ListServiceDeployments"), 1);
}

async fn is_noted(world: &World, key: &ReleaseKey) -> bool {
    let rollouts = world.ledger(key).await.rollouts;
    let rollout = rollouts.get("web");
    rollout.is_some_and(|it| it.state == RolloutState::Requested && it.deployment_id.is_some())
}

#[tokio::test(start_paused = true)]
async fn a_pass_of_an_event_looks_afresh_whatever_a_sweep_has_read() {
    let (world, reconciler, key, interests) = scheduled().await;
    reconciler.read_ahead(&interests).await;
    expression(&world, RULE, "cron(0 4 * * ? *)");
    world.sandbox.reset_calls();
    look(&reconciler, &key).await;
    assert_eq!(world.aws_writes(), ["events.PutRule"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_cluster_is_not_asked_by_each_of_its_releases() {
    let world = fleet().await;
    let reconciler = world.takes_over().await;
    let interests = interests(&reconciler).await;
    world.deny(&["ecs:DescribeServices"]);
    for key in keys() {
        look(&reconciler, &key).await;
        let told = world.why(&key).await;
        let names = (0..SERVICES).map(|it| format!("{}-{it}", key.name));
        let names = names.collect::<Vec<_>>().join(", ");
        assert!(
            told.contains(&format!("services {names} in cluster {CLUSTER}")),
            "{told}"
        );
    }
    pass(minutes(1)).await;
    world.sandbox.reset_calls();
    let since = Instant::now();
    reconciler.read_ahead(&interests).await;
    let content = reconciler.content_with(since);
    for key in keys() {
        look(&content, &key).await;
    }
    // The calls that begin at once, taken apart; the rest is told what it was told before.
    let made = world.called("ecs.DescribeServices");
    assert!((4..=20).contains(&made), "{made} calls");
    assert_eq!(world.writes(), [] as [String; 0]);

    // What is allowed again shows in the next sweep.
    world.deny(&[]);
    pass(minutes(1)).await;
    let since = Instant::now();
    reconciler.read_ahead(&interests).await;
    for key in keys() {
        let pass = look(&reconciler.content_with(since), &key).await;
        assert!(is_true(&pass.plan.status.conditions, ConditionType::Ready));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_family_of_one_registrar_is_not_listed_to_its_end() {
    let world = shop::shop(Breaker::Rollback).await;
    for memory in 600..850 {
        register(&world, "web", "v1", &json!({"memory": memory.to_string()}));
    }
    let by = world.definition("web")["taskDefinition"]["registeredBy"].clone();
    let mut object = web("v2");
    object["spec"]["services"][0]["taskDefinition"] = json!({"family": "web", "registeredBy": by});
    world.put(&object).await;
    assert_eq!(world.settle(&shop::key()).await, shop::Stands::Ready);
    let (reconciler, key) = (world.takes_over().await, shop::key());
    world.sandbox.reset_calls();
    let interest = look(&reconciler, &key).await.interest;
    assert_eq!(world.called("ecs.ListTaskDefinitions"), 1);
    pass(minutes(1)).await;
    let since = Instant::now();
    reconciler.read_ahead(&[interest.expect("it looked")]).await;
    world.sandbox.reset_calls();
    look(&reconciler.content_with(since), &key).await;
    assert_eq!(world.called("ecs.ListTaskDefinitions"), 0);

    // Nor where that registrar is not among the newest.
    object["spec"]["services"][0]["taskDefinition"]["registeredBy"] =
        json!("arn:aws:iam::*:role/terraform*");
    world.put(&object).await;
    world.sandbox.reset_calls();
    look(&reconciler, &key).await;
    // The newest twenty, and two pages.
    assert_eq!(world.called("ecs.ListTaskDefinitions"), 3);
}

/// Lets every call of some services hang, and notes which those were.
struct Hangs {
    services: &'static [&'static str],
    asked: Mutex<BTreeSet<String>>,
}

impl Hangs {
    fn new(services: &'static [&'static str]) -> Arc<Self> {
        let asked = Mutex::default();
        Arc::new(Self { services, asked })
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("one thread");
        asked.iter().cloned().collect()
    }
}

impl Tap for Hangs {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        if !self.services.contains(&call.service) {
            return Verdict::Proceed;
        }
        let name = format!("{}.{}", call.service, call.operation);
        self.asked.lock().expect("one thread").insert(name);
        Verdict::Hang
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_not_waited_for_again_in_one_look() {
    let spec = json!({
        "services": [service("web")],
        "schedules": [schedule("nightly", "0 3 * * *"), schedule("weekly", "0 4 * * 1")],
    });
    let world = delivered(&release("web", "v2", &spec)).await;
    let (reconciler, key) = (world.takes_over().await, shop::key());
    let hangs = Hangs::new(&["ecs", "ecr", "events"]);
    world.sandbox.set_tap(Some(hangs.clone()));
    let ended = look(&reconciler, &key).await;
    assert!(ended.unread && ended.plan.actions.is_empty());
    let told = json!(world.status(&key).await).to_string();
    assert!(told.contains("got no answer"), "{told}");
    let once_each = [
        "ecr.DescribeImages",
        "ecs.DescribeServices",
        "events.ListRules",
    ];
    assert_eq!(hangs.asked(), once_each);

    // What answers is looked at all the same.
    let hangs = Hangs::new(&["events"]);
    world.sandbox.set_tap(Some(hangs.clone()));
    world.sandbox.reset_calls();
    assert!(look(&reconciler, &key).await.unread);
    assert_eq!(world.called("ecs.DescribeServices"), 1);
    assert_eq!(world.called("ecr.DescribeImages"), 1);
    assert_eq!(hangs.asked(), ["events.ListRules"]);
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key).await, shop::Stands::Ready);
}
