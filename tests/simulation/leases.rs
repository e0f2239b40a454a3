//! Several controllers over one account: who leads, and what one does that led before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel::controller::leadership::LeaseOptions;
use evenkeel::controller::{Controller, ControllerOptions};
use evenkeel::sandbox::{CallInfo, Tap, Verdict};
use evenkeel::store::keys;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::rails::key;
use crate::scene::{MIGRATION, release, release_of, with};
use crate::world::{World, changes};

/// How long the migration of [`slow`] takes: several passes of a controller.
const MIGRATES: Duration = Duration::from_secs(45);

/// A release with a migration that takes its time.
async fn slow() -> World {
    let world = with(&release("9d3c2f1", MIGRATION)).await;
    let exit = json!({"exit": {"after": format!("{}s", MIGRATES.as_secs())}});
    world.rules(json!([{"when": {"family": "rails-oneoff"}, "then": exit}]));
    world
}

/// What the whole of it does exactly once, whoever does it.
async fn was_done_once(world: &World, what: &str) {
    world.becomes_ready().await;
    assert_eq!(world.migration_tasks().len(), 1, "{what}");
    assert_eq!(world.revisions("rails-oneoff"), 2, "{what}");
    assert_eq!(world.revisions("rails-shoryuken"), 2, "{what}");
    world.is_settled().await;
}

/// The epoch of the only lease: how often it was taken.
fn epoch(world: &World) -> u64 {
    let input = json!({"TableName": "evenkeel", "ConsistentRead": true,
        "Key": {"pk": {"S": "epoch"}, "sk": {"S": "shard#0000"}}});
    let item = world.aws("dynamodb", "GetItem", input);
    let epoch = item["Item"]["epoch"]["N"].as_str().expect("an epoch");
    epoch.parse().expect("a number")
}

/// Every item of the table but those that say who leads.
fn table(world: &World) -> BTreeMap<String, Value> {
    let answer = world.aws("dynamodb", "Scan", json!({"TableName": "evenkeel"}));
    assert!(answer["LastEvaluatedKey"].is_null(), "more than a page");
    let items = answer["Items"].as_array().into_iter().flatten();
    items
        .filter(|item| !keys::is_leadership(item["pk"]["S"].as_str().expect("a key")))
        .map(|item| {
            (
                format!("{} {}", item["pk"]["S"], item["sk"]["S"]),
                item.clone(),
            )
        })
        .collect()
}

/// Lets one call hang and tells of it.
struct Stop {
    at: u64,
    stopped: Arc<Notify>,
}

impl Tap for Stop {
    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        if call.index == self.at {
            self.stopped.notify_one();
            return Verdict::Hang;
        }
        Verdict::Proceed
    }
}

/// A process is stopped (SIGSTOP) at one of its calls, another one takes over and brings it to its
/// end, and the first goes on (SIGCONT) in the belief that it leads.
async fn stopped_at(at: u64) {
    let world = slow().await;
    let stopped = Arc::new(Notify::new());
    world.sandbox.set_tap(Some(Arc::new(Stop {
        at,
        stopped: stopped.clone(),
    })));
    let first = world.controller();
    let mut process = Box::pin(first.run(std::future::pending()));
    tokio::select! {
        biased;
        () = stopped.notified() => {}
        ended = &mut process => panic!("it ended: {ended:?}"),
    }
    world.sandbox.set_tap(None);
    // Nobody polls the first one now.
    let second = world.controller();
    let summary = second.run_once().await.expect("runs");
    assert_eq!(summary.ready, [key()], "call {at}: {summary:?}");
    world.sandbox.reset_calls();
    let before = table(&world);
    tokio::select! {
        ended = &mut process => panic!("it ended: {ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
    // A write that was under way may be sent again, under its token: nothing comes of it.
    let aws = |name: &String| !name.starts_with("dynamodb.");
    let aws: Vec<String> = world.writes().into_iter().filter(aws).collect();
    assert_eq!(aws, Vec::<String>::new(), "call {at}");
    assert_eq!(table(&world), before, "call {at}");
    drop(process);
    was_done_once(&world, &format!("call {at}")).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_stopped_at_any_call_and_goes_on_changes_nothing() {
    let world = slow().await;
    world.run_for(4 * MIGRATES).await;
    let log = world.sandbox.log();
    let calls: Vec<_> = log.iter().filter(|call| call.client).collect();
    let last = calls.iter().rposition(|call| changes(call));
    let last = last.expect("it does something");
    let renews = |at: &usize| calls[*at].operation == "PutItem";
    // Every seventh comes past each kind of call, before a write and after it.
    let places: Vec<usize> = (0..=last).filter(|at| !renews(at)).step_by(7).collect();
    assert!(
        places.len() > 10,
        "only {} calls to be stopped at",
        places.len()
    );
    for at in places {
        stopped_at(u64::try_from(at).expect("a small number")).await;
    }
}

/// What is written to a lease in this name hangs.
struct NoLease(&'static str);

impl Tap for NoLease {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let lease = json!({"S": keys::LEASES}).to_string();
        let input = json!(call.input).to_string();
        if call.write && input.contains(&lease) && input.contains(self.0) {
            Verdict::Hang
        } else {
            Verdict::Proceed
        }
    }
}

/// While its pass waits: it must see by its own clock that it is over.
#[tokio::test(start_paused = true)]
async fn one_whose_renewals_hang_stops_in_time() {
    let world = slow().await;
    let first = world.controller();
    let run = first.run(tokio::time::sleep(Duration::from_secs(90)));
    let act = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(world.called("ecs.RunTask"), 1);
        world.sandbox.set_tap(Some(Arc::new(NoLease(""))));
        // It had until then to renew it, and nobody else has taken the lease.
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.sandbox.reset_calls();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(epoch(&world), 1);
        assert_eq!(world.writes(), Vec::<String>::new());
        world.sandbox.set_tap(None);
    };
    let (ended, ()) = tokio::join!(run, act);
    ended.expect("it waits for the lease to be free again, and goes on");
    assert_eq!(epoch(&world), 2);
    was_done_once(&world, "hanging renewals").await;
}

/// A machine that stood still, or a table that was slow, is no reason to end in the middle.
#[tokio::test(start_paused = true)]
async fn one_run_that_lost_its_lease_takes_it_again_and_goes_on() {
    let world = slow().await;
    let controller = world.controller();
    let act = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(world.called("ecs.RunTask"), 1);
        world.sandbox.set_tap(Some(Arc::new(NoLease(""))));
        tokio::time::sleep(Duration::from_secs(15)).await;
        world.sandbox.set_tap(None);
    };
    let (ended, ()) = tokio::join!(controller.run_once(), act);
    let summary = ended.expect("nobody else has the lease");
    assert_eq!(summary.ready, [key()]);
    assert_eq!(epoch(&world), 2);
    // It goes on with what it knows: a list that fails now would be no reason to end either.
    let log = world.sandbox.log();
    let environments = json!({"S": keys::ENVIRONMENTS}).to_string();
    let lists = log
        .iter()
        .filter(|call| call.operation == "Query" && call.input.to_string().contains(&environments));
    assert_eq!(lists.count(), 1);
    was_done_once(&world, "a lease that was lost").await;
}

/// One that another replica has taken is not fought for.
#[tokio::test(start_paused = true)]
async fn one_run_that_was_replaced_ends_and_says_by_whom() {
    let world = slow().await;
    let [first, second] = ["first", "second"].map(|identity| {
        let leases = LeaseOptions {
            identity: identity.to_owned(),
            ..LeaseOptions::default()
        };
        world.controller_with(ControllerOptions {
            leases,
            ..ControllerOptions::default()
        })
    });
    let act = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.sandbox.set_tap(Some(Arc::new(NoLease("first"))));
        let cured = async {
            tokio::time::sleep(Duration::from_secs(18)).await;
            assert_eq!(epoch(&world), 2);
            world.sandbox.set_tap(None);
        };
        let goes_on = tokio::time::sleep(Duration::from_secs(150));
        tokio::join!(second.run(goes_on), cured).0
    };
    let (ended, other) = tokio::join!(first.run_once(), act);
    other.expect("it goes on");
    let error = ended.expect_err("another one works on it").to_string();
    assert!(error.contains("held by replica second"), "{error}");
    assert_eq!(epoch(&world), 2);
    was_done_once(&world, "a run that was replaced").await;
}

/// It does not go on for ever where it cannot keep a lease.
#[tokio::test(start_paused = true)]
async fn one_run_that_loses_its_lease_again_and_again_ends() {
    let world = slow().await;
    let controller = world.controller();
    let mut act = Box::pin(async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        loop {
            world.sandbox.set_tap(Some(Arc::new(NoLease(""))));
            tokio::time::sleep(Duration::from_secs(13)).await;
            world.sandbox.set_tap(None);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let endless = json!([{"when": {"family": "rails-oneoff"}, "then": {"healthy": {}}}]);
    world.rules(endless);
    let ended = tokio::select! {
        ended = controller.run_once() => ended,
        () = &mut act => panic!("it goes on for ever"),
        () = tokio::time::sleep(Duration::from_secs(300)) => panic!("it does not end"),
    };
    let error = ended.expect_err("it cannot keep it");
    assert!(error.is_lost_lease(), "{error}");
    assert_eq!(epoch(&world), 11);
}

/// What is written of one release does not arrive until that is cured, and no lease can be written
/// while the table is down.
#[derive(Default)]
struct Down {
    failed: Mutex<Option<Instant>>,
    is_cured: AtomicBool,
    table: AtomicBool,
}

impl Tap for Down {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let tells = call.write && json!(call.input).to_string().contains("shop-1");
        if tells && !self.is_cured.load(Ordering::SeqCst) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            return Verdict::Timeout;
        }
        match self.table.load(Ordering::SeqCst) {
            true => NoLease("").before(call),
            false => Verdict::Proceed,
        }
    }
}

/// Between two passes the lease may be lost and taken again unseen: what became of a release before
/// is not what it is now.
#[tokio::test(start_paused = true)]
async fn one_run_does_not_tell_what_was_so_before_it_lost_the_lease() {
    let world = crate::table::many(2).await;
    world.push("rails/app", "v2", "v2");
    let tap = Arc::new(Down::default());
    world.sandbox.set_tap(Some(tap.clone()));
    let controller = world.controller();
    let act = async {
        // Then the pauses between its passes are longer than all of what follows.
        tokio::time::sleep(Duration::from_secs(100)).await;
        let begun = Instant::now();
        let failed = || *tap.failed.lock().unwrap_or_else(PoisonError::into_inner);
        while failed().is_none_or(|at| at < begun) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        tap.table.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(13)).await;
        let released = release_of("v2", "", "\n    - name: shop-0\n      images: {web: app}");
        world
            .apply(&released.replace("name: rails", "name: shop-0"))
            .await;
        tap.table.store(false, Ordering::SeqCst);
        tap.is_cured.store(true, Ordering::SeqCst);
    };
    let (ended, ()) = tokio::join!(controller.run_once(), act);
    let summary = ended.expect("nobody else has the lease");
    assert_eq!(summary.ready.len(), 2, "{summary:?}");
    assert_eq!(epoch(&world), 2);
    assert_eq!(world.revisions("shop-0"), 3);
    world.is_settled().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_replaced_stands_by_until_the_lease_is_free_again() {
    let world = slow().await;
    let first = world.controller();
    let run = first.run(tokio::time::sleep(Duration::from_secs(120)));
    let act = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.takes_over().await;
        world.sandbox.reset_calls();
        // The other one does not renew it, and is waited for all the same.
        tokio::time::sleep(Duration::from_secs(14)).await;
        assert_eq!(epoch(&world), 2);
        assert_eq!(world.writes(), Vec::<String>::new());
    };
    let (ended, ()) = tokio::join!(run, act);
    ended.expect("no reason to end");
    assert_eq!(epoch(&world), 3);
    was_done_once(&world, "a takeover").await;
}

#[tokio::test(start_paused = true)]
async fn two_controllers_side_by_side_do_everything_once() {
    let world = slow().await;
    let (first, second) = (world.controller(), world.controller());
    // The first one ends in the midst of the migration, as in a rolling deployment.
    let (one, two) = tokio::join!(
        first.run(tokio::time::sleep(Duration::from_secs(30))),
        second.run(tokio::time::sleep(Duration::from_secs(150))),
    );
    one.expect("runs");
    two.expect("runs");
    assert_eq!(epoch(&world), 2);
    let moved = world.done("ecs.UpdateService");
    assert_eq!(moved.len(), 1);
    was_done_once(&world, "two controllers").await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_moves_no_lease() {
    let world = slow().await;
    let (first, second) = (world.controller(), world.controller());
    let jumps = async {
        for minutes in [1, 7, 60, 600] {
            tokio::time::sleep(Duration::from_secs(20)).await;
            world.sandbox.skip(Duration::from_secs(60 * minutes));
        }
    };
    let (one, two, ()) = tokio::join!(
        first.run(tokio::time::sleep(Duration::from_secs(100))),
        second.run(tokio::time::sleep(Duration::from_secs(99))),
        jumps,
    );
    one.expect("runs");
    two.expect("runs");
    assert_eq!(epoch(&world), 1);
    assert_eq!(world.done("ecs.RunTask").len(), 1);
}

/// Transactions that touch one item in the same moment cancel each other: what is renewed all the
/// time must be in nobody's way.
#[tokio::test(start_paused = true)]
async fn renewals_touch_nothing_that_other_writes_touch() {
    let world = slow().await;
    world.run_for(Duration::from_secs(120)).await;
    let log = world.sandbox.log();
    let calls = || {
        log.iter()
            .filter(|call| call.client && call.service == "dynamodb")
    };
    let renewed: BTreeSet<&str> = calls()
        .filter(|call| call.operation == "PutItem")
        .flat_map(|call| call.writes_to("pk"))
        .collect();
    assert_eq!(Vec::from_iter(renewed), [keys::LEASES]);
    let mut fenced = 0;
    for call in calls().filter(|call| changes(call)) {
        let text = call.input.to_string();
        assert!(!text.contains(r#""pk":{"S":"lease"}"#), "{text}");
        assert!(text.contains(r#""pk":{"S":"epoch"}"#), "{text}");
        fenced += 1;
    }
    assert!(fenced > 10, "{fenced}");
}

#[tokio::test(start_paused = true)]
async fn replicas_that_share_the_work_do_all_of_it_once() {
    let world = crate::table::many(6).await;
    let replica = |identity: &str| {
        let options = ControllerOptions {
            leases: LeaseOptions {
                shards: 4,
                identity: identity.to_owned(),
                ..LeaseOptions::default()
            },
            ..ControllerOptions::default()
        };
        Controller::new(world.reconciler(), options)
    };
    let (one, two) = (replica("one"), replica("two"));
    // One of them dies in the midst of it, and its keys move.
    tokio::select! {
        ended = two.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        ended = one.run(std::future::pending()) => panic!("it ended: {ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(8)) => {}
    }
    let begun = world.done("ecs.RegisterTaskDefinition").len();
    assert!(begun > 0, "nothing was begun");
    drop(two);
    one.run(tokio::time::sleep(Duration::from_secs(180)))
        .await
        .expect("runs");
    assert_eq!(world.done("ecs.UpdateService").len(), 6);
    for number in 0..6 {
        assert_eq!(world.revisions(&format!("shop-{number}")), 2);
    }
}
