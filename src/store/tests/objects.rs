use super::*;
use crate::model::ledger::RequestKind;
use crate::resource::status::ReleaseStatus;

#[tokio::test(start_paused = true)]
async fn releases_are_listed_with_their_own_status() {
    let (_, store) = store().await;
    store
        .apply_environment(&environment("staging"), &by("admin"))
        .await
        .unwrap();
    let controller = controller(&store).await;
    for number in [2, 0, 1] {
        let file = named(&format!("r{number}"), &spec("1"));
        store.apply_release(&file, &by("ci")).await.unwrap();
    }
    let mut elsewhere = named("r0", &spec("1"));
    elsewhere.metadata.namespace = Some("staging".to_owned());
    store.apply_release(&elsewhere, &by("ci")).await.unwrap();
    let key = ReleaseKey::new("production", "r1");
    let uid = store.release(&key).await.unwrap().unwrap().uid().to_owned();
    let status = ReleaseStatus {
        revision: Some(4),
        ..ReleaseStatus::default()
    };
    controller
        .put_status(&key, &uid, &status, &Telling::default(), 0)
        .await
        .unwrap();

    let all = store.list().await.unwrap();
    let keys: Vec<_> = all.iter().map(|stored| stored.key().to_string()).collect();
    assert_eq!(
        keys,
        [
            "production/r0",
            "production/r1",
            "production/r2",
            "staging/r0"
        ]
    );
    let statuses: Vec<_> = all
        .iter()
        .map(|stored| stored.release.status.clone())
        .collect();
    assert_eq!(statuses, [None, Some(status), None, None]);
    assert_eq!(all[1].status_version, 1);
    let environments = store.environments().await.unwrap();
    let names: Vec<_> = environments
        .iter()
        .map(|found| found.metadata.name.as_str())
        .collect();
    assert_eq!(names, ["production", "staging"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_is_read_to_its_end() {
    let (local, store) = store().await;
    let mut large = spec("1");
    large["migrations"][0]["overrides"] = json!({ "containerOverrides": [
        { "name": "app", "environment": [{ "name": "X", "value": "x".repeat(7_500) }] },
    ] });
    for number in 0..160 {
        let file = named(&format!("r{number:03}"), &large);
        store.apply_release(&file, &by("ci")).await.unwrap();
    }
    local.forget();
    let found = store.releases("production").await.unwrap();
    assert_eq!(found.len(), 160);
    assert!(found.is_sorted_by_key(|stored| stored.key()));
    // One page each for the statuses and the Environments would not hold the specs' 1.2 MB.
    assert!(local.calls().len() > 2, "{}", local.calls().len());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_release_is_none() {
    let (_, store) = store().await;
    assert_eq!(store.release(&key()).await.unwrap(), None);
    assert_eq!(store.environment("nowhere").await.unwrap(), None);
    assert_eq!(store.releases("nowhere").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn requests_come_back_oldest_first_until_they_are_finished() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    store
        .apply_release(&named("shop-2", &spec("1")), &by("ci"))
        .await
        .unwrap();
    let stop = RequestKind::StopMigration {
        migration: "db".to_owned(),
    };
    let later = store
        .request(&key(), stop.clone(), "ops", at(20))
        .await
        .unwrap();
    let earlier = store
        .request(&key(), RequestKind::Retry, "ci", at(10))
        .await
        .unwrap();
    let other = ReleaseKey::new("production", "shop-2");
    store
        .request(&other, RequestKind::Retry, "ci", at(15))
        .await
        .unwrap();
    let found = store.requests(&key()).await.unwrap();
    assert_eq!(found, [earlier.clone(), later.clone()]);
    assert_eq!((found[1].kind.clone(), found[1].by.as_str()), (stop, "ops"));

    let controller = controller(&store).await;
    controller
        .finish_request(&key(), &earlier.id)
        .await
        .unwrap();
    controller
        .finish_request(&key(), &earlier.id)
        .await
        .unwrap();
    assert_eq!(store.requests(&key()).await.unwrap(), [later]);
    assert_eq!(store.requests(&other).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_asked_about_a_release_that_is_not_there() {
    let (_, store) = store().await;
    let error = store
        .request(&key(), RequestKind::Retry, "ci", at(0))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    assert_eq!(store.requests(&key()).await.unwrap(), []);
}
