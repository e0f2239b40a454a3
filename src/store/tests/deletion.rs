use std::collections::BTreeSet;

use super::*;
use crate::aws::dynamodb::local::{Fate, denied};
use crate::model::desired::Deletion;
use crate::model::ledger::RequestKind;
use crate::store::ObjectRef;

async fn deleting(store: &Store) -> Option<Deletion> {
    store.release(&key()).await.unwrap().unwrap().deleting
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_asked_for_once_and_changes_no_generation() {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    assert!(store.delete_release(&key(), false, at(2)).await.unwrap());
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(stored.deleting.map(|asked| asked.orphan), Some(false));
    assert_eq!(stored.release.metadata.deletion_timestamp, Some(at(2)));
    assert_eq!(stored.generation(), 1);
    assert_eq!(
        stored.release.metadata.resource_version.as_deref(),
        Some("2")
    );
    local.forget();
    assert!(!store.delete_release(&key(), false, at(3)).await.unwrap());
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_may_become_one_that_orphans_but_not_the_other_way_round() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    store.delete_release(&key(), false, at(2)).await.unwrap();
    assert!(store.delete_release(&key(), true, at(3)).await.unwrap());
    assert_eq!(deleting(&store).await.map(|asked| asked.orphan), Some(true));
    assert!(!store.delete_release(&key(), false, at(4)).await.unwrap());
    assert_eq!(deleting(&store).await.map(|asked| asked.orphan), Some(true));
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(stored.release.metadata.deletion_timestamp, Some(at(2)));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_being_deleted_is_not_applied_or_edited() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    store.delete_release(&key(), false, at(2)).await.unwrap();
    for file in [spec("1"), spec("2")] {
        let sentence = refused(store.apply_release(&release(&file), &by("ci")).await);
        assert!(sentence.contains("being deleted"), "{sentence}");
    }
    refused(store.set_suspend(&key(), true, "ops", at(3)).await);
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_not_deleted_before_its_releases() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let sentence = refused(store.delete_environment("production").await);
    assert!(sentence.contains("production/shop"), "{sentence}");
    store.delete_release(&key(), false, at(2)).await.unwrap();
    refused(store.delete_environment("production").await);
    let controller = controller(&store).await;
    controller
        .finish_deletion(&key(), &uid(&store).await)
        .await
        .unwrap();
    store.delete_environment("production").await.unwrap();
    assert_eq!(store.environment("production").await.unwrap(), None);
    let error = store.delete_environment("production").await.unwrap_err();
    assert_eq!(error.to_string(), "Environment production not found");
    // Made anew, it owes nothing to what was applied before.
    let applied = store
        .apply_environment(&environment("production"), &by("admin"))
        .await;
    assert_eq!(applied.unwrap().outcome, ApplyOutcome::Created);
}

fn keep(names: &[&str]) -> BTreeSet<ObjectRef> {
    let release = |name: &&str| ObjectRef::release(&ReleaseKey::new("production", *name));
    names.iter().map(release).collect()
}

#[tokio::test(start_paused = true)]
async fn prune_removes_what_the_applier_applied_last_and_no_longer_has() {
    let (_, store) = store().await;
    for (name, applier) in [("a", "ci"), ("b", "ci"), ("c", "ops"), ("d", "ci")] {
        store
            .apply_release(&named(name, &spec("1")), &by(applier))
            .await
            .unwrap();
    }
    // `ops` took `d` over.
    store
        .apply_release(&named("d", &spec("2")), &by("ops"))
        .await
        .unwrap();
    let pruned = store
        .prune("ci", &keep(&["a"]), false, at(1))
        .await
        .unwrap();
    assert_eq!(pruned.removed, Vec::from_iter(keep(&["b"])));
    assert_eq!(pruned.left, []);
    let gone: Vec<_> = store
        .releases("production")
        .await
        .unwrap()
        .into_iter()
        .filter(|stored| stored.deleting.is_some())
        .map(|stored| stored.key().name)
        .collect();
    assert_eq!(gone, ["b"]);
    let again = store
        .prune("ci", &keep(&["a"]), false, at(2))
        .await
        .unwrap();
    assert_eq!(again.removed, []);
}

#[tokio::test(start_paused = true)]
async fn prune_never_removes_everything_unless_told() {
    let (local, store) = store().await;
    store
        .apply_release(&named("a", &spec("1")), &by("ci"))
        .await
        .unwrap();
    local.forget();
    let sentence = refused(store.prune("ci", &keep(&["other"]), false, at(1)).await);
    assert!(sentence.contains("--allow-empty"), "{sentence}");
    assert_eq!(local.writes(), [""; 0]);
    let pruned = store.prune("ci", &keep(&[]), true, at(1)).await.unwrap();
    assert_eq!(pruned.removed, Vec::from_iter(keep(&["a"])));
    assert_eq!(
        store
            .prune("nobody", &keep(&[]), false, at(1))
            .await
            .unwrap()
            .removed,
        []
    );
}

#[tokio::test(start_paused = true)]
async fn prune_leaves_an_environment_that_still_has_releases_and_says_so() {
    let (_, store) = store().await;
    store
        .apply_environment(&environment("staging"), &by("admin"))
        .await
        .unwrap();
    store
        .apply_release(&named("a", &spec("1")), &by("ci"))
        .await
        .unwrap();
    let keep = BTreeSet::new();
    let pruned = store.prune("admin", &keep, true, at(1)).await.unwrap();
    assert_eq!(pruned.removed, [ObjectRef::environment("staging")]);
    assert_eq!(pruned.left[0].object, ObjectRef::environment("production"));
    assert!(pruned.left[0].reason.contains("production/a"));
}

#[tokio::test(start_paused = true)]
async fn ci_of_one_namespace_prunes_there_only() {
    let (local, store) = store().await;
    for name in ["a", "b"] {
        store
            .apply_release(&named(name, &spec("1")), &by("ci"))
            .await
            .unwrap();
    }
    local.fate(|call| {
        let pk = call.body.pointer("/ExpressionAttributeValues/:pk/S");
        match pk.and_then(Value::as_str) {
            Some("environment") => denied(),
            _ => Fate::Answered,
        }
    });
    let pruned = store
        .prune("ci", &keep(&["a"]), false, at(1))
        .await
        .unwrap();
    assert_eq!(pruned.removed, Vec::from_iter(keep(&["b"])));
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
