//! The Rails example on a sandbox that is served on this machine.

use std::path::Path;
use std::time::Duration;

use evenkeel::aws::Aws;
use evenkeel::aws::dynamodb::Table;
use evenkeel::resource::conditions::{ConditionType, is_true};
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::ReleaseStatus;
use evenkeel::sandbox::{Sandbox, SandboxOptions, parse_account, serve};
use evenkeel::store::{ApplyOptions, Store};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

pub const REGION: &str = "ap-northeast-1";
/// A queue that EventBridge sends what happens in ECS and ECR to.
pub const QUEUE: &str = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/events";
/// Sandbox seconds in one real second: rollouts need not take their time, leases do.
const SPEED: f64 = 20.0;

pub struct Scene {
    pub sandbox: Sandbox,
    pub store: Store,
    /// `HOST:PORT` that it is served at.
    pub address: String,
}

pub fn example(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/examples/rails");
    std::fs::read_to_string(root.join(file)).expect("the example is part of the project")
}

/// The example's release.
pub fn key() -> ReleaseKey {
    ReleaseKey::new("production", "rails")
}

impl Scene {
    /// The account before the release, with a table and a queue. Its time begins now, since
    /// controllers measure by the real clock how long a migration has run.
    #[expect(
        clippy::disallowed_methods,
        reason = "controllers in processes of their own have the real clock"
    )]
    pub async fn new() -> Self {
        let now = jiff::Timestamp::now();
        let sandbox = Sandbox::new(SandboxOptions {
            speed: SPEED,
            ..SandboxOptions::at(now)
        });
        let calls = parse_account(&example("account.json")).unwrap();
        sandbox.load_account(&calls, REGION).unwrap();
        let pattern = json!({"source": ["aws.ecs", "aws.ecr"]}).to_string();
        let target = json!({"Id": "1", "Arn": "arn:aws:sqs:ap-northeast-1:123456789012:events"});
        for (service, operation, input) in [
            ("sqs", "CreateQueue", json!({"QueueName": "events"})),
            (
                "events",
                "PutRule",
                json!({"Name": "events", "EventPattern": pattern}),
            ),
            (
                "events",
                "PutTargets",
                json!({"Rule": "events", "Targets": [target]}),
            ),
        ] {
            sandbox.call(service, REGION, operation, input).unwrap();
        }
        sandbox.skip(Duration::from_secs(120));
        let aws = Aws::for_test(sandbox.http_client(), REGION);
        let store = Store::new(Table::new(&aws, "evenkeel"));
        store.init().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(listener, sandbox.clone(), std::future::pending()));
        Self {
            sandbox,
            store,
            address,
        }
    }

    /// Applies manifests as `apply -f` does.
    pub async fn apply(&self, manifests: &str) {
        let options = ApplyOptions {
            applier: "ci".to_owned(),
            source: None,
            force: false,
            now: self.sandbox.now(),
        };
        let (manifests, problems) = manifest::parse("test.yaml", manifests);
        assert!(problems.is_empty(), "{problems:?}");
        for manifest in manifests {
            match manifest.object {
                Declared::Environment(it) => {
                    self.store.apply_environment(&it, &options).await.map(drop)
                }
                Declared::Release(it) => self.store.apply_release(&it, &options).await.map(drop),
            }
            .expect("applies");
        }
    }

    /// Applies the example.
    pub async fn apply_example(&self) {
        self.apply(&example("environment.yaml")).await;
        self.apply(&example("release.yaml")).await;
    }

    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> F,
    ) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let late = begin.elapsed() >= limit;
            assert!(!late, "{what}: {:?}", self.sandbox.calls());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn status(&self) -> ReleaseStatus {
        let stored = self.store.release(&key()).await.unwrap().unwrap();
        stored.release.status.unwrap_or_default()
    }

    pub async fn is_ready(&self) -> bool {
        let status = self.status().await;
        assert!(
            !is_true(&status.conditions, ConditionType::Stalled),
            "{status:?}"
        );
        is_true(&status.conditions, ConditionType::Ready)
    }
}
