//! How long it takes to decide: `cargo bench --bench plan`.
//!
//! The first plan of a release builds, normalises and hashes every definition; a settled one only
//! compares. A thousand settled releases are what a controller plans in one sweep.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::Bencher;
use evenkeel::model::build::{self, Provenance};
use evenkeel::model::desired::Desired;
use evenkeel::model::known::Known;
use evenkeel::model::ledger::{
    Claim, Registration, Revision, RevisionOutcome, Rollout, RolloutState,
};
use evenkeel::model::observed::{Definition, Deployment, Observed, Service};
use evenkeel::model::plan::{Plan, Step};
use evenkeel::plan::{Input, plan};
use evenkeel::resource::manifest::{Declared, parse};
use evenkeel::resource::meta::{Environment, Release};
use evenkeel::resource::status::{Evidence, ReleaseStatus};
use jiff::Timestamp;
use serde_json::json;

fn main() {
    divan::main();
}

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Case {
    desired: Desired,
    observed: Observed,
    previous: ReleaseStatus,
    now: Timestamp,
}

impl Case {
    fn plan(&self) -> Plan {
        let Case {
            desired,
            observed,
            previous,
            now,
        } = self;
        plan(Input {
            desired,
            observed,
            previous,
            now: *now,
        })
    }

    /// A release that was just applied to `services` services, none of which runs it yet.
    fn new(name: &str, services: usize) -> Self {
        let desired = build::desired(
            &release(name, services),
            &environment(),
            Provenance::default(),
        )
        .unwrap();
        let mut observed = Observed {
            account: Some("123456789012".to_owned()),
            installation: "bench".to_owned(),
            images: BTreeMap::from([("app".to_owned(), Known::Present(DIGEST.to_owned()))]),
            rules_listed: Some(true),
            ..Observed::default()
        };
        for service in &desired.services {
            let definition = arn("task-definition", &format!("{}:1", service.name));
            observed.services.insert(
                service.name.clone(),
                Known::Present(running(&service.name, &definition, "ecs-svc/1")),
            );
            observed.definitions.insert(
                definition.clone(),
                Known::Present(described(&service.name, &definition)),
            );
        }
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        Self {
            desired,
            observed,
            previous: ReleaseStatus::default(),
            now,
        }
    }

    /// The same once it is Ready: what the first plan decided was carried out, and succeeded.
    fn settled(name: &str, services: usize) -> Self {
        let mut case = Self::new(name, services);
        let first = case.plan();
        let ledger = &mut case.observed.ledger;
        for action in first.actions {
            match action.step {
                Step::RecordRevision { revision, .. } => {
                    let outcome = RevisionOutcome::Ready;
                    let revision = Revision {
                        version: 1,
                        outcome,
                        ..*revision
                    };
                    ledger.revisions.insert(revision.number, revision);
                }
                Step::Claim(Claim { arn, part, release }) => {
                    ledger
                        .claims
                        .insert(arn.clone(), Claim { arn, part, release });
                }
                Step::RegisterTaskDefinition { registration, .. } => {
                    let to = arn("task-definition", &format!("{}:2", registration.family));
                    let service = registration.family.clone();
                    let found = Service {
                        records: None,
                        ..running(&service, &to, "ecs-svc/2")
                    };
                    case.observed
                        .services
                        .insert(service.clone(), Known::Present(found));
                    ledger
                        .rollouts
                        .insert(service.clone(), rollout(&service, &to, case.now));
                    let key = (registration.family.clone(), registration.definition.clone());
                    let registration = Registration {
                        arn: Some(to),
                        version: 2,
                        ..registration
                    };
                    ledger.registrations.insert(key, registration);
                }
                other => panic!("an unexpected step: {other:?}"),
            }
        }
        case.observed.definitions.clear();
        case.previous = case.plan().status;
        let again = case.plan();
        assert!(again.actions.is_empty(), "{:?}", again.actions);
        assert!(again.waiting.is_empty(), "{:?}", again.waiting);
        case
    }
}

fn release(name: &str, services: usize) -> Release {
    let services: Vec<_> = (0..services)
        .map(|index| json!({"name": format!("{name}-{index}"), "images": {"app": "app"}}))
        .collect();
    let manifest = json!({
        "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": name, "namespace": "production"},
        "spec": {"images": {"app": {"repository": REPOSITORY, "tag": "1"}}, "services": services},
    });
    let (found, problems) = parse("bench", &manifest.to_string());
    assert!(problems.is_empty(), "{problems:?}");
    let mut release = found
        .into_iter()
        .find_map(|manifest| match manifest.object {
            Declared::Release(release) => Some(release),
            Declared::Environment(_) => None,
        })
        .unwrap();
    release.metadata.uid = Some("uid".to_owned());
    release.metadata.generation = Some(1);
    release
}

fn environment() -> Environment {
    let manifest = json!({
        "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "production"},
        "spec": {"cluster": "main", "region": "eu-central-1"},
    });
    let (found, _) = parse("bench", &manifest.to_string());
    found
        .into_iter()
        .find_map(|manifest| match manifest.object {
            Declared::Environment(environment) => Some(environment),
            Declared::Release(_) => None,
        })
        .unwrap()
}

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:{kind}/{name}")
}

fn running(name: &str, definition: &str, deployment: &str) -> Service {
    Service {
        arn: arn("service/main", name),
        name: name.to_owned(),
        status: "ACTIVE".to_owned(),
        task_definition: definition.to_owned(),
        desired_count: 2,
        running_count: 2,
        deployments: vec![Deployment {
            id: deployment.to_owned(),
            status: "PRIMARY".to_owned(),
            task_definition: definition.to_owned(),
            desired_count: 2,
            running_count: 2,
            rollout_state: Some("COMPLETED".to_owned()),
            ..Deployment::default()
        }],
        records: Some(Known::Present(Vec::new())),
        ..Service::default()
    }
}

fn rollout(service: &str, target: &str, now: Timestamp) -> Rollout {
    Rollout {
        answers: Vec::new(),
        paused: None,
        passed: Vec::new(),
        resumed_at: None,
        version: 1,
        service: service.to_owned(),
        revision: 1,
        target: target.to_owned(),
        previous: None,
        correction: false,
        forced: false,
        back: false,
        requested_at: now,
        seen: Vec::new(),
        deployment_id: Some("ecs-svc/2".to_owned()),
        state: RolloutState::Succeeded,
        message: None,
        cause: None,
        evidence: Evidence::default(),
        steady_since: None,
        steady_with: None,
        stopped_at: None,
        finished_at: Some(now),
    }
}

/// A definition of a usual size.
fn described(family: &str, arn: &str) -> Definition {
    let environment: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("NAME_{n}"), "value": format!("value {n}")}))
        .collect();
    Definition {
        arn: arn.to_owned(),
        family: family.to_owned(),
        status: "ACTIVE".to_owned(),
        registered_by: None,
        content: Arc::new(json!({
            "family": family, "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"],
            "containerDefinitions": [
                {"name": "app", "image": format!("{REPOSITORY}:0"), "essential": true,
                 "environment": environment,
                 "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
                 "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/app"}}},
                {"name": "log", "image": "public.ecr.aws/log:1", "essential": false},
            ],
        })),
    }
}

#[divan::bench(args = [1, 100])]
fn first_plan_of_a_release_with_services(bencher: Bencher<'_, '_>, services: usize) {
    let case = Case::new("app", services);
    bencher.bench(|| case.plan());
}

#[divan::bench(args = [1, 100])]
fn settled_plan_of_a_release_with_services(bencher: Bencher<'_, '_>, services: usize) {
    let case = Case::settled("app", services);
    bencher.bench(|| case.plan());
}

#[divan::bench]
fn a_thousand_settled_releases(bencher: Bencher<'_, '_>) {
    let cases: Vec<Case> = (0..1_000)
        .map(|n| Case::settled(&format!("app{n}"), 1))
        .collect();
    bencher.bench(|| {
        cases
            .iter()
            .map(|case| case.plan().actions.len())
            .sum::<usize>()
    });
}

#[divan::bench]
fn a_thousand_first_plans(bencher: Bencher<'_, '_>) {
    let cases: Vec<Case> = (0..1_000)
        .map(|n| Case::new(&format!("app{n}"), 1))
        .collect();
    bencher.bench(|| {
        cases
            .iter()
            .map(|case| case.plan().actions.len())
            .sum::<usize>()
    });
}
