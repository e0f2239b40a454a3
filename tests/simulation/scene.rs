//! Stage hands of the scenarios: small releases of the Rails shop, images to push, calls to break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel::controller::Summary;
use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::conditions::{ConditionStatus, ConditionType, find};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::ReleaseStatus;
use evenkeel::sandbox::{CallInfo, CallRecord, Outcome, Tap, Verdict};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::rails::key;
use crate::world::{World, example};

/// Cluster of the Rails shop.
pub const CLUSTER: &str = "rails-production";

/// The migration of [`release`].
pub const MIGRATION: &str = "
    - name: db-migrate
      taskDefinition: {family: rails-oneoff}
      images: {rails: app}
      timeout: 15m";

/// A release of one image, with these migrations and one service.
pub fn release(tag: &str, migrations: &str) -> String {
    let services = "
    - name: shoryuken
      images: {shoryuken: app}";
    release_of(tag, migrations, services)
}

/// A release of one image, with these migrations and services.
pub fn release_of(tag: &str, migrations: &str, services: &str) -> String {
    let part = |name: &str, items: &str| match items.is_empty() {
        true => String::new(),
        false => format!("  {name}:{items}\n"),
    };
    format!(
        "apiVersion: evenkeel.dev/v1alpha1
kind: Release
metadata: {{name: rails, namespace: production}}
spec:
  images:
    app: {{repository: 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/app, tag: \"{tag}\"}}
{}{}",
        part("migrations", migrations),
        part("services", services)
    )
}

/// The Rails account with the Environment and this release applied.
pub async fn with(release: &str) -> World {
    let world = World::new("rails/account.json").await;
    world.apply(&example("rails/environment.yaml")).await;
    world.apply(release).await;
    world.sandbox.reset_calls();
    world
}

/// The Rails account with this release Ready.
pub async fn ready(release: &str) -> World {
    let world = with(release).await;
    let summary = world.run_once().await.expect("runs");
    assert_eq!(summary.ready, [key()], "{:?}", summary.stalled);
    world.sandbox.reset_calls();
    world
}

impl World {
    /// Says what tasks do: the JSON that `sandbox --rules` reads.
    pub fn rules(&self, rules: Value) {
        let rules = serde_json::from_value(rules).expect("rules");
        self.sandbox.set_rules(rules);
    }

    /// Pushes an image; its content is its tag's, unless `content` is another's.
    pub fn push(&self, repository: &str, tag: &str, content: &str) -> String {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": content.len(), "digest": format!("sha256:{content:0>64}"),
            },
            "layers": [],
        });
        let input = json!({
            "repositoryName": repository, "imageTag": tag, "imageManifest": manifest.to_string(),
        });
        let answer = self.aws("ecr", "PutImage", input);
        let digest = &answer["image"]["imageId"]["imageDigest"];
        digest.as_str().expect("a digest").to_owned()
    }

    /// Runs the controller as `run` does, for so long.
    pub async fn run_for(&self, time: Duration) {
        let controller = self.controller();
        let ended = controller.run(tokio::time::sleep(time)).await;
        ended.expect("runs");
    }

    /// Asks something of the controller.
    pub async fn asks(&self, kind: RequestKind) {
        let now = self.sandbox.now();
        self.store
            .request(&key(), kind, "ada", now)
            .await
            .expect("asks");
    }

    /// Runs to the end of `run --once`, which must leave the Rails release Ready.
    pub async fn becomes_ready(&self) {
        let summary = self.run_once().await.expect("runs");
        assert_eq!(summary.ready, [key()], "{:?}", summary.stalled);
    }

    /// Runs to the end of `run --once`, which must leave the Rails release Stalled for this reason;
    /// returns the message.
    pub async fn stalls(&self, reason: &str) -> String {
        let summary = self.run_once().await.expect("runs");
        stalled(&summary, reason)
    }

    /// How often the controller made a call.
    pub fn called(&self, name: &str) -> u64 {
        self.sandbox.calls().get(name).copied().unwrap_or(0)
    }

    /// The calls of one name that the controller made and AWS carried out.
    pub fn done(&self, name: &str) -> Vec<CallRecord> {
        let log = self.sandbox.log();
        log.into_iter()
            .filter(|call| {
                call.client
                    && format!("{}.{}", call.service, call.operation) == name
                    && call.outcome == Outcome::Answered
            })
            .collect()
    }

    /// Tasks that ECS knows of the family of the migrations.
    pub fn migration_tasks(&self) -> Vec<Value> {
        let arns = self.tasks_of(CLUSTER, "rails-oneoff");
        if arns.is_empty() {
            return Vec::new();
        }
        let input = json!({"cluster": CLUSTER, "tasks": arns});
        let answer = self.aws("ecs", "DescribeTasks", input);
        answer["tasks"].as_array().cloned().unwrap_or_default()
    }

    /// Every revision of a family, ACTIVE or not.
    pub fn revisions(&self, family: &str) -> usize {
        let count = |status: &str| {
            let input = json!({"familyPrefix": family, "status": status});
            let answer = self.aws("ecs", "ListTaskDefinitions", input);
            answer["taskDefinitionArns"].as_array().map_or(0, Vec::len)
        };
        count("ACTIVE") + count("INACTIVE")
    }

    /// The Ready condition of a release.
    pub async fn status_of(&self, key: &ReleaseKey) -> (ConditionStatus, String, String) {
        standing(&self.status(key).await)
    }

    /// A second run makes no call that changes anything.
    pub async fn is_settled(&self) {
        self.sandbox.reset_calls();
        self.run_once().await.expect("runs");
        assert_eq!(self.writes(), Vec::<String>::new());
    }

    /// Runs the controller until it makes this call; then its process is dead.
    pub async fn dies_at(&self, operation: &'static str, after: bool) {
        let dead = Arc::new(Notify::new());
        self.sandbox.set_tap(Some(Arc::new(Death {
            operation,
            after,
            dead: dead.clone(),
        })));
        let controller = self.controller();
        tokio::select! {
            biased;
            () = dead.notified() => {}
            ended = controller.run_once() => panic!("it never called {operation}: {ended:?}"),
        }
        self.sandbox.set_tap(None);
    }

    /// Breaks the first so many calls of an operation.
    pub fn breaks(&self, operation: &'static str, times: u64, after: bool, verdict: Verdict) {
        self.sandbox.set_tap(Some(Arc::new(Break {
            operation,
            left: AtomicU64::new(times),
            after,
            verdict,
        })));
    }
}

/// The message of the Rails release, which must be Stalled for this reason.
pub fn stalled(summary: &Summary, reason: &str) -> String {
    let found = summary.stalled.iter().find(|(found, ..)| *found == key());
    let Some((_, found, message)) = found else {
        panic!("not stalled: {summary:?}");
    };
    assert_eq!(found, reason, "{message}");
    message.clone()
}

/// The Ready condition's status, reason and message.
pub fn standing(status: &ReleaseStatus) -> (ConditionStatus, String, String) {
    let ready = find(&status.conditions, ConditionType::Ready).expect("a Ready condition");
    (ready.status, ready.reason.clone(), ready.message.clone())
}

/// The other release's key.
pub fn other(name: &str) -> ReleaseKey {
    ReleaseKey::new("production", name)
}

struct Death {
    operation: &'static str,
    after: bool,
    dead: Arc<Notify>,
}

impl Death {
    fn verdict(&self, call: &CallInfo<'_>, after: bool) -> Verdict {
        if call.operation == self.operation && after == self.after {
            self.dead.notify_one();
            return Verdict::Hang;
        }
        Verdict::Proceed
    }
}

impl Tap for Death {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, false)
    }

    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, true)
    }
}

struct Break {
    operation: &'static str,
    left: AtomicU64,
    after: bool,
    verdict: Verdict,
}

impl Break {
    fn verdict(&self, call: &CallInfo<'_>, after: bool) -> Verdict {
        let hit = call.operation == self.operation && after == self.after;
        let counted = || {
            self.left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
        };
        if hit && counted() {
            return self.verdict.clone();
        }
        Verdict::Proceed
    }
}

impl Tap for Break {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, false)
    }

    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        self.verdict(call, true)
    }
}
