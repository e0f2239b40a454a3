use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use super::*;
use crate::aws::Aws;
use crate::sandbox::{CallInfo, Sandbox, SandboxOptions, Tap, Verdict, parse_account};

const REGION: &str = "ap-northeast-1";
const ACCOUNT: &str = include_str!("../../../tests/fixtures/examples/replication/account.json");
const PUSH: &str = include_str!("../../../tests/fixtures/examples/replication/push.json");
const REPLICATED: &str = include_str!("../../../tests/fixtures/examples/replication/event.json");
const URL: &str = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events";

struct World {
    sandbox: Sandbox,
    concerns: Receiver<Concern>,
    inbox: JoinHandle<()>,
}

impl World {
    /// An account whose events of ECS and ECR come into a queue that an inbox reads.
    fn new() -> Self {
        let sandbox = Sandbox::new(SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap()));
        sandbox
            .load_account(&parse_account(ACCOUNT).unwrap(), REGION)
            .unwrap();
        sandbox.skip(Duration::from_secs(120));
        Self::reading(sandbox)
    }

    fn reading(sandbox: Sandbox) -> Self {
        let pattern = json!({"source": ["aws.ecs", "aws.ecr"]}).to_string();
        let arn = "arn:aws:sqs:ap-northeast-1:123456789012:events";
        let call = |service: &str, operation: &str, input: Value| {
            sandbox.call(service, REGION, operation, input).unwrap()
        };
        call("sqs", "CreateQueue", json!({"QueueName": "events"}));
        call(
            "events",
            "PutRule",
            json!({"Name": "all", "EventPattern": pattern}),
        );
        let targets = json!([{"Id": "queue", "Arn": arn}]);
        call(
            "events",
            "PutTargets",
            json!({"Rule": "all", "Targets": targets}),
        );
        // The queue's Region is not the one of the credentials.
        let aws = Aws::for_test(sandbox.http_client(), "us-east-1");
        let (sender, concerns) = mpsc::channel(100);
        let inbox = Inbox::new(Queue::new(&aws, URL)).run(sender, LoopMetrics::default());
        Self {
            sandbox,
            concerns,
            inbox: tokio::spawn(inbox),
        }
    }

    fn aws(&self, service: &str, operation: &str, input: Value) -> Value {
        self.sandbox
            .call(service, REGION, operation, input)
            .unwrap()
    }

    fn send(&self, body: &str) {
        self.aws(
            "sqs",
            "SendMessage",
            json!({"QueueUrl": URL, "MessageBody": body}),
        );
    }

    fn push(&self) {
        self.sandbox
            .load_account(&parse_account(PUSH).unwrap(), REGION)
            .unwrap();
    }

    /// The next concern, and how long it took to come.
    async fn next(&mut self) -> (Concern, Duration) {
        let began = Instant::now();
        let next = tokio::time::timeout(Duration::from_secs(300), self.concerns.recv());
        let concern = next.await.expect("it comes").expect("the inbox reads on");
        (concern, began.elapsed())
    }

    /// How many messages are in the queue, be they with somebody or not.
    fn left(&self) -> usize {
        let input = json!({"QueueUrl": URL, "AttributeNames": ["All"]});
        let shown = self.aws("sqs", "GetQueueAttributes", input);
        let count =
            |name: &str| -> usize { shown["Attributes"][name].as_str().unwrap().parse().unwrap() };
        count("ApproximateNumberOfMessages") + count("ApproximateNumberOfMessagesNotVisible")
    }

    fn asked(&self, operation: &str) -> u64 {
        self.sandbox
            .calls()
            .get(&format!("sqs.{operation}"))
            .copied()
            .unwrap_or(0)
    }
}

fn repository(concern: &Concern) -> &str {
    match concern {
        Concern::Image { repository, .. } => &repository.name,
        other => panic!("not an image: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pushed_image_and_a_finished_deployment_arrive_when_they_happen() {
    let mut world = World::new();
    tokio::time::sleep(Duration::from_secs(47)).await;
    world.push();
    let (pushed, took) = world.next().await;
    assert_eq!(repository(&pushed), "backend/api");
    assert_eq!(took, Duration::ZERO);

    let update = json!({"cluster": "verification", "service": "api", "forceNewDeployment": true});
    world.aws("ecs", "UpdateService", update);
    let deployed = |world: &World| {
        let input = json!({"cluster": "verification", "services": ["api"]});
        let answer = world.aws("ecs", "DescribeServices", input);
        answer["services"][0]["deployments"][0]["rolloutState"] == "COMPLETED"
    };
    let mut told = 0;
    while !deployed(&world) {
        let (concern, _) = world.next().await;
        let Concern::Service {
            cluster,
            service,
            place,
        } = concern
        else {
            panic!("not a service: {concern:?}");
        };
        assert_eq!(cluster.as_deref(), Some("verification"));
        assert_eq!(service, "api");
        assert_eq!(place.region.as_deref(), Some(REGION));
        told += 1;
    }
    assert!(
        told >= 2,
        "it was told as it went, and not only when somebody looked"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.left(), 0, "what was told is deleted");
}

#[tokio::test(start_paused = true)]
async fn garbage_stops_nothing_and_does_not_stay() {
    let mut world = World::new();
    for body in ["hello", "{}", "[[[[", &"x".repeat(200_000)] {
        world.send(body);
    }
    world.send(REPLICATED);
    let (concern, _) = world.next().await;
    assert_eq!(repository(&concern), "backend/api");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.left(), 0);
}

/// Breaks calls of one operation, the first so many times.
struct Broken {
    operation: &'static str,
    left: AtomicUsize,
    verdict: Verdict,
}

impl Tap for Broken {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let count = |left: usize| left.checked_sub(1);
        let hit = call.operation == self.operation
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count)
                .is_ok();
        if hit {
            self.verdict.clone()
        } else {
            Verdict::Proceed
        }
    }
}

fn break_calls(sandbox: &Sandbox, operation: &'static str, times: usize, verdict: Verdict) {
    let left = AtomicUsize::new(times);
    sandbox.set_tap(Some(Arc::new(Broken {
        operation,
        left,
        verdict,
    })));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_deleted_comes_again_and_harms_nothing() {
    let mut world = World::new();
    // Three attempts are one call.
    break_calls(
        &world.sandbox,
        "DeleteMessageBatch",
        3,
        Verdict::ConnectionError,
    );
    world.send(REPLICATED);
    let (first, _) = world.next().await;
    let (again, took) = world.next().await;
    assert_eq!(first, again);
    assert!(
        took >= Duration::from_secs(29),
        "after its visibility timeout: {took:?}"
    );
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.left(), 0);
    assert!(world.concerns.try_recv().is_err(), "it came a third time");
}

#[tokio::test(start_paused = true)]
async fn lost_connections_are_survived_and_tried_ever_more_seldom() {
    let mut world = World::new();
    break_calls(
        &world.sandbox,
        "ReceiveMessage",
        90,
        Verdict::ConnectionError,
    );
    let began = Instant::now();
    world.send(REPLICATED);
    while world.concerns.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(3600), "it gave up");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(
        began.elapsed() > Duration::from_secs(600),
        "thirty calls took {:?}",
        began.elapsed()
    );
    // All is well: the next failure begins with short pauses.
    world.next().await;
    break_calls(
        &world.sandbox,
        "ReceiveMessage",
        3,
        Verdict::ConnectionError,
    );
    tokio::time::sleep(Duration::from_secs(21)).await;
    world.send(REPLICATED);
    assert!(world.next().await.1 < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_denied_queue_is_asked_once_a_minute_until_it_is_allowed() {
    let mut world = World::new();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let deny = |globs: &[&str]| {
        let globs = globs.iter().map(|glob| glob.parse().unwrap()).collect();
        world
            .sandbox
            .update_settings(|settings| settings.deny = globs);
    };
    deny(&["sqs:*"]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    world.sandbox.reset_calls();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let asked = world.asked("ReceiveMessage");
    assert!(
        (9..=11).contains(&asked),
        "asked {asked} times in ten minutes"
    );
    world.push();
    deny(&["sqs:DeleteMessage"]);
    let (concern, took) = world.next().await;
    assert_eq!(repository(&concern), "backend/api");
    assert!(took <= Duration::from_secs(60), "{took:?}");
    // It cannot be deleted now, so it comes again: once a minute, not as fast as it can.
    world.sandbox.reset_calls();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let asked = world.asked("DeleteMessage") + world.asked("DeleteMessageBatch");
    assert!(
        (9..=11).contains(&asked),
        "asked {asked} times in ten minutes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_not_there_is_waited_for() {
    let mut world = World::new();
    world.aws("sqs", "DeleteQueue", json!({"QueueUrl": URL}));
    tokio::time::sleep(Duration::from_secs(300)).await;
    world.aws("sqs", "CreateQueue", json!({"QueueName": "events"}));
    world.send(REPLICATED);
    assert!(world.next().await.1 <= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_waits_is_not_asked_all_the_time() {
    let world = World::new();
    let asked = Arc::new(AtomicUsize::new(0));
    world
        .sandbox
        .set_tap(Some(Arc::new(Empty(Arc::clone(&asked)))));
    tokio::time::sleep(Duration::from_secs(30)).await;
    asked.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = asked.load(Ordering::SeqCst);
    assert!(
        (55..=61).contains(&asked),
        "asked {asked} times in a minute"
    );
}

/// Answers at once that there is nothing, and counts.
struct Empty(Arc<AtomicUsize>);

impl Tap for Empty {
    fn before(&self, _: &CallInfo<'_>) -> Verdict {
        self.0.fetch_add(1, Ordering::SeqCst);
        Verdict::Answer {
            status: 200,
            code: String::new(),
            message: String::new(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_once_when_nobody_takes_the_concerns() {
    let World {
        sandbox,
        concerns,
        inbox,
    } = World::new();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    drop(concerns);
    let ended = tokio::time::timeout(Duration::from_secs(300), inbox).await;
    ended.expect("it ends").expect("it does not panic");
    assert_eq!(began.elapsed(), Duration::ZERO, "it is no use to wait on");
    // What comes then is left to another replica.
    sandbox.put_event(REGION, &serde_json::from_str(REPLICATED).unwrap());
    let input = json!({"QueueUrl": URL});
    let left = sandbox
        .call("sqs", REGION, "ReceiveMessage", input)
        .unwrap();
    assert_eq!(left["Messages"].as_array().map(Vec::len), Some(1));
}
