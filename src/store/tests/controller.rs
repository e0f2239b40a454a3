use super::*;
use crate::aws::dynamodb::local::Fate;
use crate::model::desired::Binding;
use crate::model::ledger::{
    Claim, MigrationRun, Registration, RequestKind, Revision, RevisionOutcome, Rollout, RunState,
};
use crate::resource::status::ReleaseStatus;
use crate::store::ClaimOutcome;

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

#[tokio::test(start_paused = true)]
async fn every_write_of_a_deposed_controller_is_refused() {
    let (local, store, old, uid) = with_release().await;
    let mut first = old.put_revision(&key(), &revision(1, &uid)).await.unwrap();
    let held = claim("arn:old", &key());
    old.claim(&held).await.unwrap();
    store.delete_release(&key(), false, at(1)).await.unwrap();
    let request = store
        .request(&key(), RequestKind::Retry, "ci", at(2))
        .await
        .unwrap();

    let new = controller(&store).await;
    new.put_rollout(&key(), &rollout()).await.unwrap();
    new.may_write().await.unwrap();

    let image = |store: Store| async move {
        let ledger = store
            .ledger(&key(), store.release(&key()).await.unwrap().unwrap().uid())
            .await;
        (
            store.list().await.unwrap(),
            ledger.unwrap(),
            store.environments().await.unwrap(),
        )
    };
    let before = image(store.clone()).await;
    local.forget();
    first.outcome = RevisionOutcome::Ready;
    // Each by a controller that has not heard yet.
    let stale = || old.unaware();
    lost(
        stale()
            .put_status(&key(), &uid, &status(1), &Telling::default(), 0)
            .await,
    );
    lost(stale().put_revision(&key(), &first).await);
    lost(stale().delete_revision(&key(), &first).await);
    lost(stale().put_definition("hash", &json!({})).await);
    lost(stale().put_migration(&key(), &run("k")).await);
    lost(stale().put_rollout(&key(), &rollout()).await);
    lost(stale().put_registration(&registration("hash")).await);
    lost(stale().claim(&claim("arn:new", &key())).await);
    lost(stale().unclaim(&held).await);
    lost(stale().finish_request(&key(), &request.id).await);
    lost(
        stale()
            .bind_environment("production", &binding("main"))
            .await,
    );
    lost(stale().finish_deletion(&key(), &uid).await);
    lost(stale().may_write().await);
    assert_eq!(image(store.clone()).await, before);
    assert_eq!(store.definition("hash").await.unwrap(), None);
    assert_eq!(store.claim("arn:new").await.unwrap(), None);
    // Each write states the epoch, whatever else it states.
    let mut calls = local.calls();
    calls.retain(|call| call.operation == "TransactWriteItems");
    assert_eq!(calls.len(), 12);
    for call in calls {
        let check = &call.body["TransactItems"][0]["ConditionCheck"];
        assert_eq!(check["Key"]["pk"]["S"], "epoch", "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_sees_that_it_was_deposed_asks_nobody_any_more() {
    let (local, store, old, uid) = with_release().await;
    let (looks, writes) = (old.unaware(), old.unaware());
    controller(&store).await;
    lost(looks.may_write().await);
    lost(writes.put_revision(&key(), &revision(1, &uid)).await);
    local.forget();
    for old in [looks, writes] {
        lost(old.may_write().await);
        lost(old.put_revision(&key(), &revision(1, &uid)).await);
    }
    assert!(local.calls().is_empty(), "{:?}", local.calls());
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_did_not_renew_in_time_asks_nobody_before_it_refuses() {
    let (local, _, controller, uid) = with_release().await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    lost(controller.may_write().await);
    lost(controller.put_revision(&key(), &revision(1, &uid)).await);
    assert!(local.calls().is_empty(), "{:?}", local.calls());
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_controller_write_at_once() {
    let (local, _, controller, uid) = with_release().await;
    let clone = controller.clone();
    let key = key();
    let (one, two) = (revision(1, &uid), revision(2, &uid));
    let (one, two) = tokio::join!(
        controller.put_revision(&key, &one),
        clone.put_revision(&key, &two)
    );
    one.unwrap();
    two.unwrap();
    assert_eq!(local.writes(), ["TransactWriteItems", "TransactWriteItems"]);
}

#[tokio::test(start_paused = true)]
async fn spec_and_status_never_lose_each_other() {
    let (_, store, controller, uid) = with_release().await;
    let key = key();
    let version = controller
        .put_status(&key, &uid, &status(1), &Telling::default(), 0)
        .await
        .unwrap();
    // The spec changes after the controller read, and the status while somebody applies.
    let file = release(&spec("2"));
    let options = by("ci");
    let next = status(2);
    let telling = Telling::default();
    let (applied, put) = tokio::join!(
        store.apply_release(&file, &options),
        controller.put_status(&key, &uid, &next, &telling, version),
    );
    assert_eq!(applied.unwrap().generation, 2);
    assert_eq!(put.unwrap(), 2);
    let stored = store.release(&key).await.unwrap().unwrap();
    assert_eq!(stored.release.status, Some(status(2)));
    assert_eq!(stored.release.spec, file.spec);
    assert_eq!(stored.status_version, 2);
    // A status does not count as a change of the object.
    assert_eq!(
        stored.release.metadata.resource_version.as_deref(),
        Some("2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_written_in_between_is_a_conflict() {
    let (_, store, controller, uid) = with_release().await;
    controller
        .put_status(&key(), &uid, &status(1), &Telling::default(), 0)
        .await
        .unwrap();
    conflict(
        controller
            .put_status(&key(), &uid, &status(2), &Telling::default(), 0)
            .await,
    );
    assert_eq!(
        store.release(&key()).await.unwrap().unwrap().release.status,
        Some(status(1))
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_of_an_object_that_is_gone_is_not_written() {
    let (_, store, controller, uid) = with_release().await;
    store.delete_release(&key(), true, at(1)).await.unwrap();
    controller.finish_deletion(&key(), &uid).await.unwrap();
    let gone = controller
        .put_status(&key(), &uid, &status(1), &Telling::default(), 0)
        .await;
    assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    // Nor that of its successor under the same name.
    apply(&store, &spec("1"), "ci").await;
    let gone = controller
        .put_status(&key(), &uid, &status(1), &Telling::default(), 0)
        .await;
    assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    assert_eq!(
        store.release(&key()).await.unwrap().unwrap().release.status,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn records_come_back_as_written_and_stale_versions_are_conflicts() {
    let (_, store, controller, uid) = with_release().await;
    let revision = controller
        .put_revision(&key(), &revision(1, &uid))
        .await
        .unwrap();
    let run = controller.put_migration(&key(), &run("k")).await.unwrap();
    let rollout = controller.put_rollout(&key(), &rollout()).await.unwrap();
    let registration = controller
        .put_registration(&registration("h"))
        .await
        .unwrap();
    assert_eq!(
        [
            revision.version,
            run.version,
            rollout.version,
            registration.version
        ],
        [1, 1, 1, 1]
    );
    let ledger = store.ledger(&key(), &uid).await.unwrap();
    assert_eq!(ledger.revisions[&1], revision);
    assert_eq!(ledger.migrations, std::slice::from_ref(&run));
    assert_eq!(ledger.rollouts["web"], rollout);
    let found = store
        .registrations("123456789012", "eu-central-1", "web")
        .await
        .unwrap();
    assert_eq!(found, std::slice::from_ref(&registration));

    let started = MigrationRun {
        state: RunState::Started,
        ..run.clone()
    };
    assert_eq!(
        controller
            .put_migration(&key(), &started)
            .await
            .unwrap()
            .version,
        2
    );
    conflict(controller.put_migration(&key(), &run).await);
    conflict(
        controller
            .put_revision(
                &key(),
                &Revision {
                    version: 0,
                    ..revision.clone()
                },
            )
            .await,
    );
    conflict(
        controller
            .put_rollout(
                &key(),
                &Rollout {
                    version: 7,
                    ..rollout
                },
            )
            .await,
    );
    conflict(
        controller
            .put_registration(&Registration {
                version: 0,
                ..registration
            })
            .await,
    );
    conflict(
        controller
            .delete_revision(
                &key(),
                &Revision {
                    version: 9,
                    ..revision.clone()
                },
            )
            .await,
    );
    controller.delete_revision(&key(), &revision).await.unwrap();
    controller.delete_revision(&key(), &revision).await.unwrap();
    assert!(
        store
            .ledger(&key(), &uid)
            .await
            .unwrap()
            .revisions
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_answer_was_lost_is_written_once() {
    let (local, store, controller, uid) = with_release().await;
    local.fate(|call| match call.operation.as_str() {
        "TransactWriteItems" => Fate::AnswerLost,
        _ => Fate::Answered,
    });
    let run = controller.put_migration(&key(), &run("k")).await.unwrap();
    local.fate(|_| Fate::Answered);
    assert_eq!(store.ledger(&key(), &uid).await.unwrap().migrations, [run]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_never_written_is_not_taken_for_written() {
    let (local, store, controller, uid) = with_release().await;
    local.fate(|call| match call.operation.as_str() {
        "TransactWriteItems" => Fate::Lost,
        _ => Fate::Answered,
    });
    let error = controller
        .put_migration(&key(), &run("k"))
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
    local.fate(|_| Fate::Answered);
    assert!(
        store
            .ledger(&key(), &uid)
            .await
            .unwrap()
            .migrations
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn revisions_of_another_object_of_the_name_are_not_its_own_but_migrations_are() {
    let (_, store, controller, uid) = with_release().await;
    controller
        .put_revision(&key(), &revision(1, "another"))
        .await
        .unwrap();
    controller
        .put_revision(&key(), &revision(12, &uid))
        .await
        .unwrap();
    controller.put_migration(&key(), &run("k")).await.unwrap();
    let ledger = store.ledger(&key(), &uid).await.unwrap();
    assert_eq!(Vec::from_iter(ledger.revisions.keys().copied()), [12]);
    assert_eq!(ledger.migrations.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn definitions_keep_every_digit_and_are_stored_once() {
    let (_, store, controller, _) = with_release().await;
    let content = json!({ "family": "web", "cpu": 1.0, "big": 1e30, "list": [null, "", {}] });
    controller.put_definition("h1", &content).await.unwrap();
    controller.put_definition("h1", &content).await.unwrap();
    for number in 2..=130 {
        let content = json!({ "number": number });
        controller
            .put_definition(&format!("h{number}"), &content)
            .await
            .unwrap();
    }
    assert_eq!(store.definition("h1").await.unwrap(), Some(content));
    assert_eq!(store.definition("h0").await.unwrap(), None);
    let hashes: Vec<_> = (0..=130).map(|number| format!("h{number}")).collect();
    let found = store.definitions(&hashes).await.unwrap();
    assert_eq!(found.len(), 130);
    assert_eq!(*found["h77"], json!({ "number": 77 }));
}

#[tokio::test(start_paused = true)]
async fn a_claim_has_one_holder_until_it_is_given_back() {
    let (_, store, controller, uid) = with_release().await;
    let other = ReleaseKey::new("production", "other");
    let arn = "arn:aws:ecs:eu-central-1:123456789012:service/main/web";
    let ours = claim(arn, &key());
    assert_eq!(controller.claim(&ours).await.unwrap(), ClaimOutcome::Held);
    assert_eq!(controller.claim(&ours).await.unwrap(), ClaimOutcome::Held);
    let theirs = claim(arn, &other);
    assert_eq!(
        controller.claim(&theirs).await.unwrap(),
        ClaimOutcome::HeldBy(key())
    );
    assert_eq!(store.ledger(&key(), &uid).await.unwrap().claims[arn], ours);
    assert!(store.ledger(&other, "").await.unwrap().claims.is_empty());

    // Giving back what somebody else holds takes nothing from them.
    controller.unclaim(&theirs).await.unwrap();
    assert_eq!(store.claim(arn).await.unwrap(), Some(ours.clone()));
    controller.unclaim(&ours).await.unwrap();
    controller.unclaim(&ours).await.unwrap();
    assert_eq!(store.claim(arn).await.unwrap(), None);
    assert!(store.ledger(&key(), &uid).await.unwrap().claims.is_empty());
    assert_eq!(controller.claim(&theirs).await.unwrap(), ClaimOutcome::Held);
    let found = store.claims(&[arn, "arn:unknown"]).await.unwrap();
    assert_eq!(Vec::from_iter(found.into_values()), [theirs]);
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_bound_once() {
    let (_, store, controller, _) = with_release().await;
    controller
        .bind_environment("production", &binding("main"))
        .await
        .unwrap();
    controller
        .bind_environment("production", &binding("main"))
        .await
        .unwrap();
    conflict(
        controller
            .bind_environment("production", &binding("other"))
            .await,
    );
    let missing = controller
        .bind_environment("nowhere", &binding("main"))
        .await;
    assert!(
        matches!(missing, Err(StoreError::NotFound(_))),
        "{missing:?}"
    );
    let found = store
        .environments()
        .await
        .unwrap()
        .remove(0)
        .status
        .unwrap();
    assert_eq!(found.account.as_deref(), Some("123456789012"));
    assert_eq!(found.cluster.as_deref(), Some("main"));
}

#[tokio::test(start_paused = true)]
async fn a_finished_deletion_keeps_what_was_migrated_and_registered() {
    let (_, store, controller, uid) = with_release().await;
    let other = ReleaseKey::new("production", "shop-2");
    store
        .apply_release(&named("shop-2", &spec("1")), &by("ci"))
        .await
        .unwrap();
    let their_request = store
        .request(&other, RequestKind::Retry, "ci", at(1))
        .await
        .unwrap();
    controller
        .put_status(&key(), &uid, &status(1), &Telling::default(), 0)
        .await
        .unwrap();
    for number in 0..100 {
        controller
            .put_revision(&key(), &revision(number, &uid))
            .await
            .unwrap();
    }
    controller.put_rollout(&key(), &rollout()).await.unwrap();
    controller.put_migration(&key(), &run("k")).await.unwrap();
    controller
        .put_registration(&registration("h"))
        .await
        .unwrap();
    controller.claim(&claim("arn:web", &key())).await.unwrap();
    store
        .request(&key(), RequestKind::Retry, "ci", at(1))
        .await
        .unwrap();
    conflict(controller.finish_deletion(&key(), &uid).await);
    assert!(
        store.release(&key()).await.unwrap().is_some(),
        "nobody asked for its deletion"
    );

    store.delete_release(&key(), false, at(2)).await.unwrap();
    controller.finish_deletion(&key(), &uid).await.unwrap();
    assert_eq!(store.release(&key()).await.unwrap(), None);
    let ledger = store.ledger(&key(), &uid).await.unwrap();
    assert_eq!(ledger.migrations.len(), 1);
    assert!(ledger.revisions.is_empty() && ledger.rollouts.is_empty());
    assert!(ledger.claims.is_empty() && ledger.requests.is_empty());
    assert_eq!(store.claim("arn:web").await.unwrap(), None);
    let kept = store
        .registrations("123456789012", "eu-central-1", "web")
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(store.requests(&other).await.unwrap(), [their_request]);

    // Again is fine, and a successor of the name starts clean.
    controller.finish_deletion(&key(), &uid).await.unwrap();
    let applied = apply(&store, &spec("1"), "ci").await;
    assert_eq!(
        (applied.outcome, applied.generation),
        (ApplyOutcome::Created, 1)
    );
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(
        (stored.release.status.clone(), stored.status_version),
        (None, 0)
    );
    controller.finish_deletion(&key(), &uid).await.unwrap();
    assert_eq!(
        store.release(&key()).await.unwrap().unwrap().uid(),
        stored.uid()
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_cut_off_anywhere_is_finished_later() {
    for cut in 0..6 {
        let (local, store, controller, uid) = with_release().await;
        for number in 0..95 {
            controller
                .put_revision(&key(), &revision(number, &uid))
                .await
                .unwrap();
        }
        controller.claim(&claim("arn:web", &key())).await.unwrap();
        store.delete_release(&key(), false, at(2)).await.unwrap();
        local.fate(move |call| match call.operation.as_str() {
            "TransactWriteItems" if call.nth >= cut => Fate::Lost,
            _ => Fate::Answered,
        });
        let cut_off = controller.finish_deletion(&key(), &uid).await.is_err();
        local.fate(|_| Fate::Answered);
        if cut_off {
            assert!(
                store.release(&key()).await.unwrap().is_some(),
                "the spec goes last"
            );
        }
        controller.finish_deletion(&key(), &uid).await.unwrap();
        assert_eq!(store.release(&key()).await.unwrap(), None);
        assert!(
            store
                .ledger(&key(), &uid)
                .await
                .unwrap()
                .revisions
                .is_empty()
        );
    }
}
