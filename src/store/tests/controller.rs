use super::*;
use crate::model::ledger::{RequestKind, RevisionOutcome};

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
