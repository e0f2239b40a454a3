mod apply;
mod controller;
mod deletion;
mod edit;
mod foresee;
mod hints;
mod lease;
mod objects;
mod records;
mod requires;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::lease::{Taking, new_version};
use super::{Applied, ApplyOptions, ApplyOutcome, ControllerStore, Store, StoreError, Telling};
use crate::aws::dynamodb::local::Local;
use crate::model::desired::Binding;
use crate::model::ledger::{Claim, MigrationRun, Registration, Revision, Rollout};
use crate::resource::meta::{API_VERSION, Environment, Release, ReleaseKey};
use crate::resource::status::ReleaseStatus;

/// A store in a new table with the Environment `production`; calls so far are forgotten.
async fn store() -> (Local, Store) {
    let (local, table) = Local::with_table().await;
    let store = Store::new(table);
    store
        .apply_environment(&environment("production"), &by("admin"))
        .await
        .unwrap();
    local.forget();
    (local, store)
}

/// A controller that has just taken the only lease, whoever held it until then.
async fn controller(store: &Store) -> ControllerStore {
    if store.leases().await.unwrap().layout.is_none() {
        store.lay_out(1).await.unwrap();
    }
    let leases = store.leases().await.unwrap();
    let taking = Taking {
        shard: 0,
        layout: 1,
        holder: "controller",
        seen: leases.shards.get(&0),
        version: new_version(),
        deadline: Duration::from_secs(3600),
    };
    let hold = store.take_lease(taking).await.unwrap();
    ControllerStore::new(store.clone(), Arc::new(hold))
}

fn environment(name: &str) -> Environment {
    serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "Environment", "metadata": { "name": name },
        "spec": { "cluster": "main", "region": "eu-central-1" },
    }))
    .unwrap()
}

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app";

/// A spec with one service and one migration that run `tag`.
fn spec(tag: &str) -> Value {
    json!({
        "images": { "app": { "repository": REPOSITORY, "tag": tag } },
        "migrations": [{
            "name": "db", "taskDefinition": { "family": "oneoff" }, "images": { "app": "app" },
        }],
        "services": [{ "name": "web", "images": { "app": "app" } }],
    })
}

fn named(name: &str, spec: &Value) -> Release {
    serde_json::from_value(json!({
        "apiVersion": API_VERSION, "kind": "Release",
        "metadata": { "name": name, "namespace": "production" }, "spec": spec,
    }))
    .unwrap()
}

fn release(spec: &Value) -> Release {
    named("shop", spec)
}

fn key() -> ReleaseKey {
    ReleaseKey::new("production", "shop")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn by(applier: &str) -> ApplyOptions {
    ApplyOptions {
        applier: applier.to_owned(),
        source: None,
        force: false,
        now: at(0),
    }
}

async fn apply(store: &Store, spec: &Value, applier: &str) -> Applied {
    store
        .apply_release(&release(spec), &by(applier))
        .await
        .unwrap()
}

/// The spec as the table has it.
async fn stored_spec(store: &Store) -> Value {
    let stored = store.release(&key()).await.unwrap().unwrap();
    serde_json::to_value(stored.release.spec).unwrap()
}

async fn uid(store: &Store) -> String {
    store
        .release(&key())
        .await
        .unwrap()
        .unwrap()
        .uid()
        .to_owned()
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(sentence)) => sentence,
        other => panic!("not refused: {other:?}"),
    }
}

/// Walks along `path` (object keys, and names of list elements) and returns what is there.
fn field<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, step| match value {
        Value::Array(items) => items
            .iter()
            .find(|item| item["name"] == *step)
            .unwrap_or(&Value::Null),
        other => &other[*step],
    })
}

// Of JSON: the records may get more fields, and these tests are not about them.

fn revision(number: u64, uid: &str) -> Revision {
    serde_json::from_value(json!({
        "number": number, "uid": uid, "generation": 1, "spec": spec("1"), "content": "content",
        "createdAt": at(0),
    }))
    .unwrap()
}

fn run(run_key: &str) -> MigrationRun {
    serde_json::from_value(json!({
        "migration": "db", "runKey": run_key, "revision": 1, "attempt": 1, "state": "Intended",
        "cluster": "main", "startedBy": "evenkeel", "clientToken": "token", "intendedAt": at(0),
        "timeoutSeconds": 60,
    }))
    .unwrap()
}

fn rollout() -> Rollout {
    serde_json::from_value(json!({
        "service": "web", "revision": 1, "target": "web:2", "requestedAt": at(0),
        "state": "Requested",
    }))
    .unwrap()
}

fn registration(hash: &str) -> Registration {
    serde_json::from_value(json!({
        "account": "123456789012", "region": "eu-central-1", "family": "web", "definition": hash,
        "intendedAt": at(0), "releases": [key()],
    }))
    .unwrap()
}

fn claim(arn: &str, release: &ReleaseKey) -> Claim {
    Claim {
        arn: arn.to_owned(),
        part: "service/web".to_owned(),
        release: release.clone(),
    }
}

fn binding(cluster: &str) -> Binding {
    Binding {
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        cluster: cluster.to_owned(),
    }
}

fn status(revision: u64) -> ReleaseStatus {
    ReleaseStatus {
        revision: Some(revision),
        ..ReleaseStatus::default()
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

fn lost<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(
        matches!(result, Err(StoreError::LostLease { .. })),
        "{result:?}"
    );
}

/// A store with a Release, and a controller that holds the lease.
async fn with_release() -> (Local, Store, ControllerStore, String) {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let uid = uid(&store).await;
    let controller = controller(&store).await;
    local.forget();
    (local, store, controller, uid)
}
