//! One round: a fresh account, two controllers, a release, and a blow to the one that leads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::aws::Aws;
use evenkeel::aws::dynamodb::Table;
use evenkeel::resource::conditions::{ConditionType, is_true};
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::{Outcome, Sandbox, SandboxOptions, parse_account, serve};
use evenkeel::store::{ApplyOptions, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::replica::Replica;

const REGION: &str = "ap-northeast-1";
/// Sandbox seconds in one real second: rollouts need not take their time, leases do.
const SPEED: f64 = 20.0;
/// Longer than a round takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(240);

/// What happens to the controller that leads.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT when the other one leads.
    Stop,
    /// SIGTERM, as in a deployment of evenkeel itself.
    Terminate,
}

impl Blow {
    pub fn of(round: usize) -> Self {
        [Blow::Kill, Blow::Stop, Blow::Terminate][round % 3]
    }
}

/// How a round went.
pub struct Round {
    pub number: usize,
    pub blow: Blow,
    /// Calls that changed something before the blow fell.
    pub after_writes: usize,
    /// From the blow until the other one led.
    pub moved: Duration,
    pub registrations: usize,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "round {}: {:?} after {} AWS writes, leadership moved in {:.2} s, 1 migration, {} registrations",
            self.number,
            self.blow,
            self.after_writes,
            self.moved.as_secs_f64(),
            self.registrations
        )
    }
}

fn example(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/examples/rails");
    std::fs::read_to_string(root.join(file)).expect("the example is part of the project")
}

fn key() -> ReleaseKey {
    ReleaseKey::new("production", "rails")
}

struct Scene {
    sandbox: Sandbox,
    store: Store,
}

impl Scene {
    async fn new() -> (Self, String) {
        let sandbox = Sandbox::new(SandboxOptions {
            speed: SPEED,
            ..SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap())
        });
        let calls = parse_account(&example("account.json")).unwrap();
        sandbox.load_account(&calls, REGION).unwrap();
        sandbox.skip(Duration::from_secs(120));
        let aws = Aws::for_test(sandbox.http_client(), REGION);
        let store = Store::new(Table::new(&aws, "evenkeel"));
        store.init().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, sandbox.clone(), std::future::pending()));
        (Self { sandbox, store }, endpoint)
    }

    async fn apply(&self) {
        let options = ApplyOptions {
            applier: "ci".to_owned(),
            source: None,
            force: false,
            now: self.sandbox.now(),
        };
        for file in ["environment.yaml", "release.yaml"] {
            let (manifests, problems) = manifest::parse(file, &example(file));
            assert!(problems.is_empty(), "{problems:?}");
            for manifest in manifests {
                match manifest.object {
                    Declared::Environment(it) => {
                        self.store.apply_environment(&it, &options).await.map(drop)
                    }
                    Declared::Release(it) => {
                        self.store.apply_release(&it, &options).await.map(drop)
                    }
                }
                .expect("applies");
            }
        }
    }

    /// Calls of the controllers that changed something in AWS, and were answered.
    fn writes(&self) -> Vec<(String, Value)> {
        let names = [
            "RegisterTaskDefinition",
            "RunTask",
            "UpdateService",
            "PutRule",
            "PutTargets",
            "TagResource",
        ];
        let log = self.sandbox.log();
        log.iter()
            .filter(|call| call.client && names.contains(&call.operation.as_str()))
            .filter(|call| matches!(call.outcome, Outcome::Answered))
            .map(|call| (call.operation.clone(), call.input.clone()))
            .collect()
    }

    /// The replica that leads.
    async fn leader(&self) -> Option<String> {
        let leases = self.store.leases().await.unwrap();
        leases
            .shards
            .values()
            .find_map(|lease| lease.holder.clone())
    }

    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                begin.elapsed() < LIMIT,
                "{what}: {:?}",
                self.sandbox.calls()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let stored = self.store.release(&key()).await.unwrap().unwrap();
        let status = stored.release.status.unwrap_or_default();
        assert!(
            !is_true(&status.conditions, ConditionType::Stalled),
            "{status:?}"
        );
        is_true(&status.conditions, ConditionType::Ready)
    }
}

impl Round {
    /// Plays a round to its end; panics where something was done twice.
    pub async fn play(number: usize, blow: Blow) -> Self {
        let (scene, endpoint) = Scene::new().await;
        let scene = Arc::new(scene);
        let names = ["one", "two"].map(|name| format!("{name}-{number}"));
        let mut replicas: Vec<Replica> = names
            .iter()
            .map(|name| Replica::start(name, &endpoint, REGION))
            .collect();
        let leader = scene
            .until("nobody leads", async || scene.leader().await)
            .await;
        scene.apply().await;
        // The blow falls at another place of the release in each round.
        let after_writes = number % 8;
        scene
            .until("too few writes", async || {
                let enough = scene.writes().len() >= after_writes;
                (enough || scene.is_ready().await).then_some(())
            })
            .await;
        let hit = replicas.iter().position(|it| it.name == leader).unwrap();
        let begin = Instant::now();
        match blow {
            Blow::Kill => replicas[hit].signal("KILL"),
            Blow::Stop => replicas[hit].signal("STOP"),
            Blow::Terminate => replicas[hit].signal("TERM"),
        }
        scene
            .until("leadership does not move", async || {
                scene.leader().await.filter(|now| *now != leader)
            })
            .await;
        let moved = begin.elapsed();
        match blow {
            Blow::Stop => replicas[hit].signal("CONT"),
            Blow::Terminate => assert!(replicas[hit].ended().await, "SIGTERM ends with 0"),
            Blow::Kill => {}
        }
        scene
            .until("it does not become Ready", async || {
                scene.is_ready().await.then_some(())
            })
            .await;
        // Whatever the other one still had in its hands arrives now.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let registrations = scene.check();
        Self {
            number,
            blow,
            after_writes,
            moved,
            registrations,
        }
    }
}

impl Scene {
    /// Everything was done once. Answers how many task definitions were registered.
    fn check(&self) -> usize {
        let started = self.sandbox.call(
            "ecs",
            REGION,
            "ListTasks",
            json!({"cluster": "rails-production", "family": "rails-oneoff", "desiredStatus": "STOPPED"}),
        );
        let tasks = started.unwrap()["taskArns"].as_array().map_or(0, Vec::len);
        assert_eq!(tasks, 1, "one migration");
        let mut registered: BTreeMap<String, usize> = BTreeMap::new();
        for (operation, input) in self.writes() {
            if operation == "RegisterTaskDefinition" {
                *registered.entry(input.to_string()).or_default() += 1;
            }
        }
        let twice: Vec<_> = registered.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "registered twice: {twice:?}");
        registered.len()
    }
}
