//! The table: leases, history, budgets, and faults at random.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::resource::conditions::ConditionStatus;
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use serde_json::{Value, json};

use crate::rails::key;
use crate::scene::{CLUSTER, MIGRATION, other, ready, release, release_of, with};
use crate::world::{World, example};

#[tokio::test(start_paused = true)]
async fn a_controller_that_was_replaced_changes_nothing_any_more() {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    let pass = async |reconciler: &evenkeel::reconcile::Reconciler| {
        reconciler.reconcile(&key(), &|_, _| {}).await
    };
    // Whatever the first one would do next: register, run, move, write a status.
    let mut lost = 0;
    for _ in 0..12 {
        let first = world.takes_over().await;
        let second = world.takes_over().await;
        world.sandbox.reset_calls();
        match pass(&first).await {
            Ok(pass) => assert!(pass.plan.actions.is_empty(), "{:?}", pass.plan.actions),
            Err(error) => {
                assert!(error.is_lost_lease(), "{error}");
                lost += 1;
            }
        }
        for operation in ["RegisterTaskDefinition", "RunTask", "UpdateService"] {
            assert_eq!(world.called(&format!("ecs.{operation}")), 0);
        }
        let written = world.done("dynamodb.TransactWriteItems");
        assert!(written.is_empty(), "{written:?}");
        pass(&second).await.expect("a pass");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(lost >= 4, "{lost}");
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn chuoi_is_settled_after_its_release() {
    let world = World::new("chuoi/account.json").await;
    world.apply(&example("chuoi/environment.yaml")).await;
    let released = example("chuoi/release.yaml").replace("7b1d9e04", "c0ffee12");
    world.apply(&released).await;
    let chuoi = ReleaseKey::new("chuoi", "chuoi");
    let summary = world.run_once().await.expect("runs");
    assert_eq!(summary.ready, [chuoi], "{:?}", summary.stalled);
    // The base is what the service runs, not the newer chuoi:2.
    assert_eq!(world.runs("chuoi", "chuoi"), "chuoi:3");
    let definition = world.definition("chuoi:3");
    assert_eq!(definition["taskDefinition"]["cpu"], "1024");
    world.is_settled().await;
    world.sandbox.reset_calls();
    world.run_for(Duration::from_secs(3600)).await;
    assert_eq!(world.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_a_settled_release_writes_nothing() {
    let world = ready(&release("9d3c2f1", MIGRATION)).await;
    world.run_for(Duration::from_secs(3600)).await;
    assert_eq!(world.writes(), Vec::<String>::new());
}

/// ACTIVE revisions of a family, as numbers.
fn active(world: &World, family: &str) -> Vec<u64> {
    let input = json!({"familyPrefix": family, "status": "ACTIVE"});
    let answer = world.aws("ecs", "ListTaskDefinitions", input);
    let arns = answer["taskDefinitionArns"]
        .as_array()
        .into_iter()
        .flatten();
    let mut found: Vec<u64> = arns
        .filter_map(|arn| arn.as_str()?.rsplit(':').next()?.parse().ok())
        .collect();
    found.sort_unstable();
    found
}

pub fn limited(tag: &str, limit: usize) -> String {
    let limit = format!("spec:\n  revisionHistoryLimit: {limit}\n");
    release(tag, "").replace("spec:\n", &limit)
}

#[tokio::test(start_paused = true)]
async fn history_is_cut_by_our_own_records_only() {
    let world = ready(&limited("9d3c2f1", 2)).await;
    // Somebody else registers in the same family, and copies our tags.
    let foreign = world.definition("rails-shoryuken:2")["taskDefinition"].clone();
    let mut copy = json!({"family": "rails-shoryuken"});
    for member in [
        "containerDefinitions",
        "cpu",
        "memory",
        "networkMode",
        "executionRoleArn",
        "requiresCompatibilities",
    ] {
        copy[member] = foreign[member].clone();
    }
    world.aws("ecs", "RegisterTaskDefinition", copy);
    for tag in ["a", "b", "c", "d"] {
        world.push("rails/app", tag, tag);
        world.apply(&limited(tag, 2)).await;
        world.becomes_ready().await;
    }
    // 1 and 3 are not ours; 2, 4 and 5 are beyond the limit; 6 and 7 are kept.
    assert_eq!(active(&world, "rails-shoryuken"), [1, 3, 6, 7]);
    let ledger = world.ledger(&key()).await;
    let kept: Vec<u64> = ledger.revisions.keys().copied().collect();
    assert_eq!(kept, [0, 4, 5]);
    world.is_settled().await;

    // What was deregistered can be released again, and is registered once more.
    world.apply(&limited("a", 2)).await;
    world.becomes_ready().await;
    assert_eq!(active(&world, "rails-shoryuken"), [1, 3, 7, 8]);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_release_or_a_foreign_schedule_of_ours_runs_is_not_deregistered() {
    // Two releases run the same content of the one-off family.
    let schedule = |name: &str, tag: &str| {
        let head = release_of(tag, "", "").replace("name: rails", &format!("name: {name}"));
        let head = head.replace("spec:\n", "spec:\n  revisionHistoryLimit: 1\n");
        format!(
            "{head}  schedules:
    - name: nightly
      expression: rate(1 day)
      taskDefinition: {{family: rails-oneoff}}
      images: {{rails: app}}
"
        )
    };
    let world = with(&schedule("rails", "9d3c2f1")).await;
    world.apply(&schedule("web", "9d3c2f1")).await;
    world.run_once().await.expect("runs");
    assert_eq!(
        active(&world, "rails-oneoff"),
        [1, 2],
        "one registration for both"
    );
    world.apply(&schedule("rails", "1f0e8a7")).await;
    world.run_once().await.expect("runs");
    assert_eq!(active(&world, "rails-oneoff"), [1, 2, 3]);
    world.apply(&schedule("web", "1f0e8a7")).await;
    world.run_once().await.expect("runs");
    assert_eq!(active(&world, "rails-oneoff"), [1, 3]);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_history_is_cut_leaves_nothing_behind() {
    for after in [false, true] {
        let world = ready(&limited("9d3c2f1", 1)).await;
        world.push("rails/app", "a", "a");
        world.apply(&limited("a", 1)).await;
        world.dies_at("DeregisterTaskDefinition", after).await;
        world.becomes_ready().await;
        assert_eq!(active(&world, "rails-shoryuken"), [1, 3]);
        world.is_settled().await;
    }
}

/// So many releases, each of its own service in its own family.
pub async fn many(count: usize) -> World {
    let world = World::new("rails/account.json").await;
    world.apply(&example("rails/environment.yaml")).await;
    for number in 0..count {
        let family = format!("shop-{number}");
        let definition = json!({
            "family": family, "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"],
            "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
            "containerDefinitions": [{"name": "web", "image":
                "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/app:1f0e8a7"}]});
        world.aws("ecs", "RegisterTaskDefinition", definition);
        let service = json!({
            "cluster": CLUSTER, "serviceName": family, "taskDefinition": family,
            "desiredCount": 1, "launchType": "FARGATE", "networkConfiguration":
                {"awsvpcConfiguration": {"subnets": ["subnet-0a1b2c3d4e5f60718"]}}});
        world.aws("ecs", "CreateService", service);
        let services = format!("\n    - name: {family}\n      images: {{web: app}}");
        let release = release_of("9d3c2f1", "", &services);
        world
            .apply(&release.replace("name: rails", &format!("name: {family}")))
            .await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.sandbox.reset_calls();
    world
}

#[tokio::test(start_paused = true)]
async fn a_mass_release_stays_within_the_budgets_and_ends() {
    let world = many(30).await;
    world
        .sandbox
        .update_settings(|settings| settings.throttle = true);
    let start = world.sandbox.now();
    let summary = world.run_once().await.expect("runs");
    assert_eq!(summary.ready.len(), 30, "{:?}", summary.stalled);
    let took = world.sandbox.now().duration_since(start);
    assert!(took.as_secs() < 300, "{took}");
    for number in 0..30 {
        assert_eq!(world.revisions(&format!("shop-{number}")), 2);
    }
    assert_eq!(world.done("ecs.UpdateService").len(), 30);
    world.is_settled().await;
}

/// Breaks calls at random, the same ones for the same seed.
struct Chaos {
    state: Mutex<u64>,
    percent: u64,
    table: bool,
}

impl Chaos {
    fn new(seed: u64, percent: u64, table: bool) -> Self {
        Self {
            state: Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            percent,
            table,
        }
    }

    /// xorshift64*.
    fn next(&self) -> u64 {
        let mut state = self.state.lock().expect("one thread");
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }

    fn verdict(&self, call: &CallInfo<'_>, after: bool) -> Verdict {
        if !self.table && call.service == "dynamodb" {
            return Verdict::Proceed;
        }
        if self.next() % 200 >= self.percent {
            return Verdict::Proceed;
        }
        let answer = |status: u16, code: &str| Verdict::Answer {
            status,
            code: code.to_owned(),
            message: "chaos".to_owned(),
        };
        match self.next() % 4 {
            0 => Verdict::ConnectionError,
            1 => Verdict::Timeout,
            2 => answer(500, "ServerException"),
            // AWS throttles before it does anything.
            _ if after => answer(503, "ServiceUnavailable"),
            _ => answer(400, "ThrottlingException"),
        }
    }
}

impl Tap for Chaos {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, false)
    }

    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, true)
    }
}

/// What must be the same whatever broke.
pub fn account(world: &World) -> BTreeMap<String, Value> {
    let mut account = BTreeMap::new();
    for family in ["rails-app", "rails-shoryuken", "rails-oneoff"] {
        account.insert(family.to_owned(), json!(world.revisions(family)));
    }
    for service in ["app", "shoryuken"] {
        account.insert(service.to_owned(), json!(world.runs(CLUSTER, service)));
    }
    let rules = world.aws("events", "ListRules", json!({}));
    account.insert("rules".to_owned(), rules["Rules"].clone());
    account
}

/// Runs the controller under faults for so long as a person would let it, then without.
async fn survives(seeds: std::ops::Range<u64>, percent: u64, table: bool) {
    let calm = ready(&whole()).await;
    let expected = account(&calm);
    for seed in seeds {
        let world = with(&whole()).await;
        world
            .sandbox
            .set_tap(Some(Arc::new(Chaos::new(seed, percent, table))));
        // A run that gave up is started again, as a container would be.
        let controller = world.controller();
        let _gave_up_or_time_is_over = controller
            .run(tokio::time::sleep(Duration::from_secs(90)))
            .await;
        world.sandbox.set_tap(None);
        let summary = world.run_once().await.expect("runs");
        assert_eq!(summary.ready, [key()], "seed {seed}: {:?}", summary.stalled);
        assert_eq!(account(&world), expected, "seed {seed}");
        let tokens: BTreeSet<String> = world
            .done("ecs.RunTask")
            .iter()
            .map(|call| call.input["clientToken"].to_string())
            .collect();
        assert_eq!(tokens.len(), 1, "seed {seed}");
        assert_eq!(world.migration_tasks().len(), 1, "seed {seed}");
        world.is_settled().await;
    }
}

/// Parts of every kind, with little to do each.
pub fn whole() -> String {
    format!(
        "{}  schedules:
    - name: nightly
      expression: cron(0 18 * * ? *)
      taskDefinition: {{family: rails-oneoff}}
      images: {{rails: app}}
",
        release("9d3c2f1", MIGRATION)
    )
}

#[tokio::test(start_paused = true)]
async fn faults_of_aws_change_nothing_in_the_end() {
    survives(1..13, 10, false).await;
}

#[tokio::test(start_paused = true)]
async fn many_faults_of_aws_change_nothing_in_the_end() {
    survives(101..113, 20, false).await;
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_table_too_change_nothing_in_the_end() {
    survives(201..213, 10, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_release_starves_no_other() {
    let world = many(3).await;
    let bad = release_of(
        "9d3c2f1",
        "",
        "\n    - name: nobody\n      images: {web: app}",
    );
    world.apply(&bad).await;
    world.run_for(Duration::from_secs(120)).await;
    for number in 0..3 {
        let (ready, _, message) = world.status_of(&other(&format!("shop-{number}"))).await;
        assert_eq!(ready, ConditionStatus::True, "{message}");
    }
    let (ready, reason, _) = world.status_of(&key()).await;
    assert_eq!(
        (ready, reason.as_str()),
        (ConditionStatus::False, "ServiceNotFound")
    );
}
