use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver};
use tracing::dispatcher::DefaultGuard;

use super::*;
use crate::aws::Aws;
use crate::aws::dynamodb::{Key, Table};
use crate::aws::spans::tests::listen;
use crate::resource::meta::{API_VERSION, Environment, ReleaseKey};
use crate::sandbox::{CallInfo, Sandbox, SandboxOptions, Tap, Verdict};
use crate::store::{ApplyOptions, keys};

const REGION: &str = "eu-central-1";

/// A table that is watched.
struct Scene {
    sandbox: Sandbox,
    store: Store,
    notices: Receiver<Notice>,
}

fn sandbox() -> Sandbox {
    Sandbox::new(SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap()))
}

fn store(sandbox: &Sandbox) -> Store {
    let aws = Aws::for_test(sandbox.http_client(), REGION);
    Store::new(Table::new(&aws, "evenkeel"))
}

impl Scene {
    /// Without the first list.
    async fn new() -> Self {
        let sandbox = sandbox();
        store(&sandbox).init().await.unwrap();
        let mut scene = Self::of(sandbox);
        assert_eq!(scene.next().await, Notice::List);
        scene
    }

    fn of(sandbox: Sandbox) -> Self {
        let store = store(&sandbox);
        let (sender, notices) = mpsc::channel(64);
        tokio::spawn(Watch::new(store.clone(), WatchOptions::default()).run(sender));
        Self {
            sandbox,
            store,
            notices,
        }
    }

    fn put(&self, key: &Key) {
        put(&self.sandbox, key);
    }

    /// The next notice, which must come within the hour.
    async fn next(&mut self) -> Notice {
        let hour = Duration::from_secs(3600);
        let next = tokio::time::timeout(hour, self.notices.recv()).await;
        next.expect("a notice within the hour").expect("it watches")
    }

    /// The notices of some time.
    async fn during(&mut self, time: Duration) -> Vec<Notice> {
        let end = Instant::now() + time;
        let mut notices = Vec::new();
        while let Ok(notice) = tokio::time::timeout_at(end, self.notices.recv()).await {
            notices.push(notice.expect("it watches"));
        }
        notices
    }

    /// How often an operation is called within some time.
    async fn calls(&mut self, operation: &str, time: Duration) -> u64 {
        let count = |scene: &Self| scene.sandbox.calls().get(operation).copied().unwrap_or(0);
        let before = count(self);
        self.during(time).await;
        count(self) - before
    }
}

/// Writes an item as somebody else.
fn put(sandbox: &Sandbox, key: &Key) {
    let item = json!({"pk": {"S": key.pk}, "sk": {"S": key.sk},
        "at": {"S": sandbox.now().to_string()}});
    let input = json!({"TableName": "evenkeel", "Item": item});
    sandbox.call("dynamodb", REGION, "PutItem", input).unwrap();
}

fn shop(name: &str) -> ReleaseKey {
    ReleaseKey::new("production", name)
}

fn spec(name: &str) -> Key {
    keys::release(&shop(name))
}

fn told(name: &str) -> Notice {
    Notice::Changed(Changed::Release(shop(name)))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Answers calls of these operations with an error for as long as it is on.
struct Failing {
    on: AtomicBool,
    operations: &'static [&'static str],
    verdict: Verdict,
}

impl Failing {
    fn set(sandbox: &Sandbox, operations: &'static [&'static str], verdict: Verdict) -> Arc<Self> {
        let failing = Arc::new(Self {
            on: AtomicBool::new(true),
            operations,
            verdict,
        });
        sandbox.set_tap(Some(failing.clone()));
        failing
    }

    fn error(code: &str) -> Verdict {
        Verdict::Answer {
            status: 400,
            code: code.to_owned(),
            message: "no".to_owned(),
        }
    }

    fn stop(&self) {
        self.on.store(false, Ordering::SeqCst);
    }
}

impl Tap for Failing {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        if self.on.load(Ordering::SeqCst) && self.operations.contains(&call.operation) {
            self.verdict.clone()
        } else {
            Verdict::Proceed
        }
    }
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture(&self) -> DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        listen(subscriber)
    }

    fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap())
            .matches(text)
            .count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_is_told_at_once_and_once() {
    let mut scene = Scene::new().await;
    let environment: Environment = serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "Environment", "metadata": {"name": "production"},
        "spec": {"cluster": "main", "region": REGION},
    }))
    .unwrap();
    let by = ApplyOptions {
        applier: "ci".to_owned(),
        source: None,
        force: false,
        now: scene.sandbox.now(),
    };
    for _ in 0..20 {
        // At any moment between two reads.
        scene.during(Duration::from_millis(1037)).await;
        put(&scene.sandbox, &spec("web"));
        let notices = scene.during(Duration::from_millis(299)).await;
        assert_eq!(notices, [told("web")]);
    }
    scene
        .store
        .apply_environment(&environment, &by)
        .await
        .unwrap();
    let changed = Notice::Changed(Changed::Namespace("production".to_owned()));
    assert_eq!(scene.during(seconds(60)).await, [changed]);
}

#[tokio::test(start_paused = true)]
async fn what_the_controller_writes_wakes_nobody_but_who_waits_for_a_release() {
    let mut scene = Scene::new().await;
    scene.put(&keys::status(&shop("web")));
    let stands = Notice::Changed(Changed::Status(shop("web")));
    assert_eq!(scene.during(seconds(60)).await, [stands]);
    scene.put(&keys::revision(&shop("web"), 1));
    scene.put(&keys::epoch(0));
    scene.put(&keys::definition("0123"));
    scene.put(&keys::binding("production"));
    assert_eq!(scene.during(seconds(60)).await, []);
}

#[tokio::test(start_paused = true)]
async fn nothing_falls_between_the_list_and_the_watch() {
    let sandbox = sandbox();
    let store = store(&sandbox);
    store.init().await.unwrap();
    put(&sandbox, &spec("before"));
    // Nobody can be told to list yet: there is room for one notice, and it is taken.
    let (sender, mut notices) = mpsc::channel(1);
    let taken = Notice::Changed(Changed::Lease);
    sender.send(taken.clone()).await.unwrap();
    tokio::spawn(Watch::new(store, WatchOptions::default()).run(sender));
    tokio::time::sleep(PATIENCE / 2).await;
    put(&sandbox, &spec("between"));
    // Whoever lists when told to sees both, and is told of the one that came later again.
    let mut all = Vec::new();
    while let Ok(notice) = tokio::time::timeout(seconds(10), notices.recv()).await {
        all.extend(notice);
    }
    assert_eq!(all, [taken, Notice::List, told("between")]);
}

/// The number that the id of a shard begins with, from one of the sandbox's iterators.
fn shard_of(iterator: &Value) -> Option<u64> {
    iterator.as_str()?.split('|').nth(2)?.parse().ok()
}

/// Loses the first two reads of the first shards' children.
#[derive(Default)]
struct SlowChildren(Mutex<Vec<u64>>);

impl Tap for SlowChildren {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let shard = call.input.get("ShardIterator").and_then(shard_of);
        let Some(shard @ 2..=3) = shard else {
            return Verdict::Proceed;
        };
        let mut seen = self.0.lock().unwrap();
        seen.push(shard);
        match seen.iter().filter(|it| **it == shard).count() {
            1..=2 => Verdict::ConnectionError,
            _ => Verdict::Proceed,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shards_end_and_split_and_nothing_is_lost() {
    let mut scene = Scene::new().await;
    scene
        .sandbox
        .set_tap(Some(Arc::new(SlowChildren::default())));
    let mut expected = BTreeSet::new();
    let mut notices = Vec::new();
    for generation in 0..4 {
        for number in 0..25 {
            let name = format!("g{generation}-{number}");
            scene.put(&spec(&name));
            expected.insert(name);
        }
        scene.sandbox.roll_stream(REGION, "evenkeel", 2).unwrap();
        // Three generations that nobody has seen of one that was.
        if generation == 0 {
            notices.extend(scene.during(seconds(30)).await);
        }
    }
    notices.extend(scene.during(seconds(30)).await);
    let names: Vec<String> = notices
        .iter()
        .map(|notice| match notice {
            Notice::Changed(Changed::Release(key)) => key.name.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names.len(), 100, "each once");
    assert_eq!(BTreeSet::from_iter(names.clone()), expected);
    parents_are_read_before_their_children(&scene.sandbox);
    // It goes on in all of the sixteen that are open now.
    for number in 0..50 {
        scene.put(&spec(&format!("late-{number}")));
    }
    assert_eq!(scene.during(seconds(1)).await.len(), 50);
}

/// Looks at the calls: the order within an item cannot be told from notices.
fn parents_are_read_before_their_children(sandbox: &Sandbox) {
    let stream = sandbox.call("dynamodbstreams", REGION, "ListStreams", json!({}));
    let arn = stream.unwrap()["Streams"][0]["StreamArn"].clone();
    let input = json!({ "StreamArn": arn });
    let described = sandbox.call("dynamodbstreams", REGION, "DescribeStream", input);
    let described = described.unwrap();
    let reads: Vec<String> = sandbox
        .log()
        .iter()
        .filter_map(|call| shard_of(call.input.get("ShardIterator")?))
        .map(|number| format!("shardId-{number:020}-evenkeel"))
        .collect();
    let mut children = 0;
    for shard in described["StreamDescription"]["Shards"].as_array().unwrap() {
        let Some(parent) = shard["ParentShardId"].as_str() else {
            continue;
        };
        let first = reads.iter().position(|read| *read == shard["ShardId"]);
        let last = reads.iter().rposition(|read| read == parent);
        assert!(last.unwrap() < first.unwrap(), "{parent} {shard}");
        children += 1;
    }
    assert_eq!(children, 2 + 4 + 8 + 16);
}

#[tokio::test(start_paused = true)]
async fn a_day_goes_by_with_nothing_to_tell() {
    let mut scene = Scene::new().await;
    // AWS ends a shard every four hours by itself.
    for hour in 0..26 {
        let name = format!("hour-{hour}");
        scene.put(&spec(&name));
        assert_eq!(scene.during(seconds(5)).await, [told(&name)]);
        // Nothing is read for so long, as while the process is stopped.
        scene.sandbox.skip(seconds(600));
        assert_eq!(scene.during(seconds(5)).await, []);
        scene.sandbox.skip(seconds(3600 - 610));
        assert_eq!(scene.during(seconds(5)).await, []);
    }
    let scans = scene
        .calls("dynamodbstreams.DescribeStream", seconds(600))
        .await;
    assert!((9..=11).contains(&scans), "{scans}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_made_again_where_the_last_record_was() {
    let mut scene = Scene::new().await;
    scene.put(&spec("a"));
    assert_eq!(scene.next().await, told("a"));
    scene.put(&spec("b"));
    scene.sandbox.skip(seconds(20 * 60));
    assert_eq!(scene.during(seconds(60)).await, [told("b")]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_without_a_record_leads_to_a_list() {
    let mut scene = Scene::new().await;
    scene.put(&spec("a"));
    scene.sandbox.skip(seconds(20 * 60));
    assert_eq!(scene.during(seconds(60)).await, [Notice::List]);
    scene.put(&spec("b"));
    assert_eq!(scene.during(seconds(1)).await, [told("b")]);
}

#[tokio::test(start_paused = true)]
async fn trimmed_records_lead_to_a_list() {
    let mut scene = Scene::new().await;
    scene.put(&spec("a"));
    assert_eq!(scene.next().await, told("a"));
    scene.put(&spec("b"));
    scene.sandbox.skip(seconds(25 * 3600));
    let notices = scene.during(seconds(60)).await;
    assert_eq!(notices, [Notice::List]);
    scene.put(&spec("c"));
    assert_eq!(scene.during(seconds(1)).await, [told("c")]);
}

#[tokio::test(start_paused = true)]
async fn a_table_without_stream_is_polled_until_it_has_one() {
    let log = Log::default();
    let _guard = log.capture();
    let sandbox = sandbox();
    let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let table = json!({"TableName": "evenkeel", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("pk"), attribute("sk")],
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")]});
    sandbox
        .call("dynamodb", REGION, "CreateTable", table)
        .unwrap();
    let mut scene = Scene::of(sandbox);
    assert_eq!(
        scene.during(Duration::from_millis(100)).await,
        [Notice::List]
    );
    let polls = scene.during(seconds(600)).await;
    assert_eq!(
        BTreeSet::from_iter(polls.iter().map(|it| *it == Notice::List)),
        [true].into()
    );
    assert!((119..=121).contains(&polls.len()), "{}", polls.len());
    assert_eq!(scene.sandbox.calls()["dynamodb.DescribeTable"], 3);
    assert_eq!(log.count("the table is polled"), 1);
    assert_eq!(log.count("evenkeel init"), 1);

    scene.store.init().await.unwrap();
    scene.during(seconds(300)).await;
    assert_eq!(log.count("is not polled any more"), 1);
    assert_eq!(scene.during(seconds(60)).await, []);
    scene.put(&spec("web"));
    assert_eq!(scene.during(seconds(1)).await, [told("web")]);
}

#[tokio::test(start_paused = true)]
async fn while_it_may_not_be_read_it_is_polled_and_the_place_is_kept() {
    let log = Log::default();
    let _guard = log.capture();
    let mut scene = Scene::new().await;
    scene.put(&spec("a"));
    assert_eq!(scene.next().await, told("a"));
    let deny = |actions: Value| {
        scene.sandbox.update_settings(|settings| {
            settings.deny = serde_json::from_value(actions).unwrap();
        });
    };
    deny(json!(["dynamodb:GetRecords"]));
    scene.put(&spec("b"));
    let polls = scene.during(seconds(600)).await;
    assert!(polls.iter().all(|it| *it == Notice::List) && polls.len() >= 119);
    assert_eq!(log.count("the table is polled"), 1);
    assert!(log.count("Allow dynamodb:GetRecords") == 1, "what to do");
    scene
        .sandbox
        .update_settings(|settings| settings.deny.clear());
    let notices = scene.during(seconds(120)).await;
    assert_eq!(notices.last(), Some(&told("b")));
    assert_eq!(scene.during(seconds(60)).await, []);
    assert_eq!(log.count("is not polled any more"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened_keeps_nobody_waiting() {
    let sandbox = sandbox();
    store(&sandbox).init().await.unwrap();
    let failing = Failing::set(&sandbox, &["DescribeStream"], Verdict::Hang);
    let start = Instant::now();
    let mut scene = Scene::of(sandbox);
    assert_eq!(scene.next().await, Notice::List);
    assert!(start.elapsed() < Duration::from_millis(300));
    assert!(scene.during(seconds(60)).await.len() >= 11);
    failing.stop();
    scene.during(seconds(120)).await;
    assert_eq!(scene.during(seconds(60)).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_now_and_then_is_no_news() {
    let log = Log::default();
    let _guard = log.capture();
    let mut scene = Scene::new().await;
    for number in 0..10 {
        let failing = Failing::set(&scene.sandbox, &["GetRecords"], Verdict::ConnectionError);
        let name = format!("n{number}");
        scene.put(&spec(&name));
        assert_eq!(scene.during(Duration::from_millis(400)).await, []);
        failing.stop();
        assert_eq!(scene.during(seconds(10)).await, [told(&name)]);
    }
    assert_eq!(log.count("the table is polled"), 0);
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_it_down_and_it_recovers() {
    const READ: &str = "dynamodbstreams.GetRecords";
    let mut scene = Scene::new().await;
    let calm = scene.calls(READ, seconds(20)).await;
    assert!((99..=101).contains(&calm), "{calm}");
    let verdict = Failing::error("LimitExceededException");
    let failing = Failing::set(&scene.sandbox, &["GetRecords"], verdict);
    scene.put(&spec("web"));
    let polls = scene.during(seconds(20)).await;
    assert!(polls.iter().all(|it| *it == Notice::List) && !polls.is_empty());
    failing.stop();
    let slow = scene.calls(READ, seconds(9)).await;
    assert!((4..=6).contains(&slow), "{slow}");
    scene.during(seconds(60)).await;
    scene.put(&spec("api"));
    scene.during(seconds(10)).await;
    let calm = scene.calls(READ, seconds(20)).await;
    assert!((99..=101).contains(&calm), "{calm}");
    // Where nothing has changed for a while it is read less often.
    scene.during(seconds(60)).await;
    let idle = scene.calls(READ, seconds(20)).await;
    assert!((49..=51).contains(&idle), "{idle}");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_under_throttling_is_told_after_it() {
    let mut scene = Scene::new().await;
    let verdict = Failing::error("ThrottlingException");
    let failing = Failing::set(&scene.sandbox, &["GetRecords"], verdict);
    scene.put(&spec("web"));
    scene.during(seconds(30)).await;
    failing.stop();
    assert_eq!(scene.during(seconds(30)).await, [told("web")]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_made_anew_is_watched_again() {
    let mut scene = Scene::new().await;
    scene.during(seconds(10)).await;
    let table = json!({"TableName": "evenkeel"});
    scene
        .sandbox
        .call("dynamodb", REGION, "DeleteTable", table)
        .unwrap();
    scene.during(seconds(30)).await;
    scene.store.init().await.unwrap();
    let notices = scene.during(seconds(120)).await;
    assert!(notices.iter().all(|it| *it == Notice::List) && !notices.is_empty());
    assert_eq!(scene.during(seconds(60)).await, []);
    scene.put(&spec("web"));
    assert_eq!(scene.during(seconds(1)).await, [told("web")]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_listens() {
    let sandbox = sandbox();
    store(&sandbox).init().await.unwrap();
    let (sender, mut notices) = mpsc::channel(1);
    let watch = tokio::spawn(Watch::new(store(&sandbox), WatchOptions::default()).run(sender));
    assert_eq!(notices.recv().await, Some(Notice::List));
    drop(notices);
    tokio::time::timeout(seconds(1), watch)
        .await
        .unwrap()
        .unwrap();
}
