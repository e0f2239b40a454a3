use super::*;
use crate::aws::dynamodb::local::Fate;
use crate::model::ledger::RunState;
use crate::store::ClaimOutcome;

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
