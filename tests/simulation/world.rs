//! A sandbox with an account loaded, a table, and a controller beside it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::aws::dynamodb::Table;
use evenkeel::aws::{Aws, Budget};
use evenkeel::controller::{Controller, ControllerOptions, Observer, Summary, What};
use evenkeel::model::ledger::Ledger;
use evenkeel::reconcile::{ReconcileError, Reconciler};
use evenkeel::resource::manifest::{self, Declared};
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::resource::status::ReleaseStatus;
use evenkeel::sandbox::{
    AccountCall, CallRecord, Sandbox, SandboxOptions, is_write, parse_account,
};
use evenkeel::store::lease::{Taking, new_version};
use evenkeel::store::{ApplyOptions, ControllerStore, Store, keys};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Region of every example.
pub const REGION: &str = "ap-northeast-1";

/// Everything that a test looks at.
pub struct World {
    pub sandbox: Sandbox,
    pub store: Store,
    aws: Aws,
}

/// Text of a file of an example.
pub fn example(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/examples");
    std::fs::read_to_string(root.join(path)).expect("the example is part of the project")
}

impl World {
    /// An account as it was before the release, settled, with an initialised table.
    pub async fn new(account: &str) -> Self {
        let world = Self::empty().await;
        let calls = parse_account(&example(account)).expect("account file");
        world.load(&calls);
        tokio::time::sleep(Duration::from_secs(120)).await;
        world
    }

    /// An account with nothing in it but the table.
    pub async fn empty() -> Self {
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().expect("a moment");
        let sandbox = Sandbox::new(SandboxOptions::at(start));
        let clock = sandbox.clone();
        let aws = Aws::for_test(sandbox.http_client(), REGION).with_clock(move || clock.now());
        let store = Store::new(Table::new(&aws, "evenkeel"));
        store.init().await.expect("init");
        Self {
            sandbox,
            store,
            aws,
        }
    }

    pub fn load(&self, calls: &[AccountCall]) {
        self.sandbox
            .load_account(calls, REGION)
            .expect("the account loads");
    }

    /// A controller of its own, as a freshly started process has it.
    pub fn controller(&self) -> Controller {
        self.controller_with(ControllerOptions {
            observer: Some(self.restless()),
            ..ControllerOptions::default()
        })
    }

    /// The same with these options.
    pub fn controller_with(&self, options: ControllerOptions) -> Controller {
        Controller::new(self.reconciler(), options)
    }

    /// AWS as the controller reaches it.
    pub fn client(&self) -> Aws {
        self.aws.clone()
    }

    /// Ends a test whose controller makes pass after pass in one moment: time would never go on.
    fn restless(&self) -> Observer {
        let passes = Mutex::new((Timestamp::MIN, 0));
        Arc::new(move |happening| {
            let What::Passed { plan, .. } = &happening.what else {
                return;
            };
            let mut passes = passes.lock().expect("one thread");
            if passes.0 != happening.at {
                *passes = (happening.at, 0);
            }
            passes.1 += 1;
            let actions: Vec<_> = plan
                .actions
                .iter()
                .map(|it| (&it.resource, &it.reason))
                .collect();
            assert!(passes.1 < 100, "it comes to no rest: {actions:?}");
        })
    }

    pub fn reconciler(&self) -> Reconciler {
        let sandbox = self.sandbox.clone();
        Reconciler::new(
            self.aws.clone(),
            self.store.clone(),
            Arc::new(move || sandbox.now()),
        )
    }

    /// A reconciler that has just taken the lease, whoever held it until then.
    pub async fn takes_over(&self) -> Reconciler {
        self.reconciler().writing(self.writer().await)
    }

    /// What writes to the table for whoever has just taken the lease.
    pub async fn writer(&self) -> ControllerStore {
        if self.store.leases().await.expect("reads").layout.is_none() {
            self.store.lay_out(1).await.expect("lays out");
        }
        let leases = self.store.leases().await.expect("reads");
        let taking = Taking {
            shard: 0,
            layout: 1,
            holder: "a test",
            seen: leases.shards.get(&0),
            version: new_version(),
            deadline: Duration::from_secs(3600),
        };
        let hold = self.store.take_lease(taking).await.expect("takes it");
        ControllerStore::new(self.store.clone(), Arc::new(hold))
    }

    pub async fn run_once(&self) -> Result<Summary, ReconcileError> {
        self.controller().run_once().await
    }

    /// The same world, where AWS is asked within this budget.
    pub fn within(mut self, budget: Budget) -> Self {
        self.aws = self.aws.with_budget(budget);
        self
    }

    /// Applies manifests as `apply -f` does.
    pub async fn apply(&self, yaml: &str) {
        let (manifests, problems) = manifest::parse("test.yaml", yaml);
        assert!(problems.is_empty(), "{problems:?}");
        let options = ApplyOptions {
            applier: "ci".to_owned(),
            source: Some("0123abc".to_owned()),
            force: false,
            now: self.sandbox.now(),
        };
        for manifest in manifests {
            match manifest.object {
                Declared::Environment(environment) => {
                    self.store
                        .apply_environment(&environment, &options)
                        .await
                        .expect("applies");
                }
                Declared::Release(release) => {
                    self.store
                        .apply_release(&release, &options)
                        .await
                        .expect("applies");
                }
            }
        }
    }

    pub async fn status(&self, key: &ReleaseKey) -> ReleaseStatus {
        let stored = self
            .store
            .release(key)
            .await
            .expect("reads")
            .expect("is there");
        stored.release.status.unwrap_or_default()
    }

    pub async fn ledger(&self, key: &ReleaseKey) -> Ledger {
        let stored = self
            .store
            .release(key)
            .await
            .expect("reads")
            .expect("is there");
        self.store.ledger(key, stored.uid()).await.expect("reads")
    }

    /// Acts on AWS as somebody else.
    pub fn aws(&self, service: &str, operation: &str, input: Value) -> Value {
        self.sandbox
            .call(service, REGION, operation, input)
            .unwrap_or_else(|error| panic!("{service}.{operation}: {error:?}"))
    }

    /// The definition a service runs, as its ARN's last part.
    pub fn runs(&self, cluster: &str, service: &str) -> String {
        let answer = self.aws(
            "ecs",
            "DescribeServices",
            json!({"cluster": cluster, "services": [service]}),
        );
        let arn = answer["services"][0]["taskDefinition"]
            .as_str()
            .expect("a definition")
            .to_owned();
        arn.rsplit('/').next().expect("a name").to_owned()
    }

    /// A task definition.
    pub fn definition(&self, name: &str) -> Value {
        let input = json!({"taskDefinition": name, "include": ["TAGS"]});
        self.aws("ecs", "DescribeTaskDefinition", input)
    }

    /// Calls of the controller that change AWS or the table, by name. Those that only say who leads
    /// are left out.
    pub fn writes(&self) -> Vec<String> {
        self.sandbox
            .log()
            .iter()
            .filter(|call| call.client && changes(call))
            .map(|call| format!("{}.{}", call.service, call.operation))
            .collect()
    }

    /// Tasks of a family that are running or stopped; ECS forgets the stopped ones after an hour.
    pub fn tasks_of(&self, cluster: &str, family: &str) -> Vec<String> {
        let mut tasks = Vec::new();
        for status in ["RUNNING", "STOPPED"] {
            let input = json!({"cluster": cluster, "family": family, "desiredStatus": status});
            let answer = self.aws("ecs", "ListTasks", input);
            let arns = answer["taskArns"].as_array().into_iter().flatten();
            tasks.extend(arns.filter_map(|arn| arn.as_str().map(str::to_owned)));
        }
        tasks
    }
}

/// Whether a call changes anything but who leads.
pub fn changes(call: &CallRecord) -> bool {
    let places = call.writes_to("pk");
    let leads = !places.is_empty() && places.iter().all(|pk| keys::is_leadership(pk));
    is_write(&call.service, &call.operation) && !leads
}
