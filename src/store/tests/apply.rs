use super::*;
use crate::aws::dynamodb::local::{Fate, denied};
use crate::model::desired::Binding;
use crate::store::{FieldChange, KeptField};

fn change<'a>(applied: &'a Applied, path: &str) -> &'a FieldChange {
    let found = applied.changes.iter().find(|change| change.path == path);
    found.unwrap_or_else(|| panic!("{path} is not among {:?}", applied.changes))
}

fn kept<'a>(applied: &'a Applied, path: &str) -> &'a KeptField {
    let found = applied.kept.iter().find(|kept| kept.path == path);
    found.unwrap_or_else(|| panic!("{path} is not among {:?}", applied.kept))
}

fn with_service(mut spec: Value, name: &str) -> Value {
    let service = json!({ "name": name, "images": { "app": "app" } });
    spec["services"].as_array_mut().unwrap().push(service);
    spec
}

#[tokio::test(start_paused = true)]
async fn a_new_release_is_generation_one_with_who_source_and_when() {
    let (_, store) = store().await;
    let options = ApplyOptions {
        source: Some("9d3c2f1".to_owned()),
        ..by("ci")
    };
    let applied = store
        .apply_release(&release(&spec("1")), &options)
        .await
        .unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Created);
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(stored.generation(), 1);
    assert_eq!(
        stored.release.metadata.resource_version.as_deref(),
        Some("1")
    );
    assert_eq!(stored.release.metadata.creation_timestamp, Some(at(0)));
    assert!(!stored.uid().is_empty());
    assert_eq!(stored.applier.as_deref(), Some("ci"));
    assert_eq!(stored.source.as_deref(), Some("9d3c2f1"));
    assert_eq!((stored.status_version, stored.deleting), (0, None));
    assert_eq!(
        serde_json::to_value(&stored.release.spec).unwrap(),
        spec("1")
    );
}

#[tokio::test(start_paused = true)]
async fn applying_an_unchanged_file_calls_nothing_but_reads() {
    let (local, store) = store().await;
    // Numbers with a fraction of zero come back from the table without it.
    let mut spec = spec("1");
    spec["migrations"][0]["taskDefinition"] = json!({ "inline": {
        "family": "oneoff", "containerDefinitions": [{ "name": "app", "cpu": 1.0, "image": "x" }],
    } });
    spec["migrations"][0]["overrides"] = json!({ "containerOverrides": [
        { "name": "app", "command": [], "environment": [{ "name": "EMPTY", "value": "" }] },
    ] });
    apply(&store, &spec, "ci").await;
    store
        .apply_environment(&environment("production"), &by("admin"))
        .await
        .unwrap();
    local.forget();
    let applied = apply(&store, &spec, "ci").await;
    assert_eq!(applied.outcome, ApplyOutcome::Unchanged);
    assert_eq!((applied.generation, applied.kept.len()), (1, 0));
    let again = store
        .apply_environment(&environment("production"), &by("admin"))
        .await
        .unwrap();
    assert_eq!(again.outcome, ApplyOutcome::Unchanged);
    assert!(!local.calls().is_empty());
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn another_source_of_an_unchanged_file_writes_nothing() {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    local.forget();
    let options = ApplyOptions {
        source: Some("abc".to_owned()),
        now: at(9),
        ..by("ci")
    };
    store
        .apply_release(&release(&spec("1")), &options)
        .await
        .unwrap();
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_field_raises_the_generation_and_is_told() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let options = ApplyOptions {
        now: at(5),
        source: Some("s2".to_owned()),
        ..by("ci")
    };
    let applied = store
        .apply_release(&release(&spec("2")), &options)
        .await
        .unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Configured);
    assert_eq!(
        (applied.generation, applied.resource_version.as_str()),
        (2, "2")
    );
    assert_eq!(applied.changes.len(), 1);
    let tag = change(&applied, "spec.images.app.tag");
    assert_eq!((&tag.from, &tag.to), (&Some("1".into()), &Some("2".into())));
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(
        (stored.applied_at, stored.source.as_deref()),
        (at(5), Some("s2"))
    );
}

#[tokio::test(start_paused = true)]
async fn labels_change_the_resource_version_but_not_the_generation() {
    let (_, store) = store().await;
    let mut file = release(&spec("1"));
    file.metadata
        .labels
        .insert("team".to_owned(), "shop".to_owned());
    store.apply_release(&file, &by("ci")).await.unwrap();
    file.metadata
        .labels
        .insert("team".to_owned(), "core".to_owned());
    file.metadata
        .annotations
        .insert("a.b/c".to_owned(), "d".to_owned());
    let later = ApplyOptions {
        now: at(60),
        ..by("someone")
    };
    let applied = store.apply_release(&file, &later).await.unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Configured);
    assert_eq!(
        (applied.generation, applied.resource_version.as_str()),
        (1, "2")
    );
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(stored.release.metadata.labels["team"], "core");
    assert_eq!(stored.release.metadata.annotations["a.b/c"], "d");
    // The author and time of the generation stay those of the spec's newest change.
    assert_eq!(
        (stored.applier.as_deref(), stored.applied_at),
        (Some("ci"), at(0))
    );
    assert_eq!(stored.manager.as_deref(), Some("someone"));
}

#[tokio::test(start_paused = true)]
async fn a_field_that_another_applier_set_stays_and_is_told() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let other = ApplyOptions {
        now: at(7),
        ..by("ops")
    };
    store
        .apply_release(&release(&spec("2")), &other)
        .await
        .unwrap();
    let applied = apply(&store, &spec("1"), "ci").await;
    assert_eq!(applied.outcome, ApplyOutcome::Unchanged);
    let tag = kept(&applied, "spec.images.app.tag");
    assert_eq!(
        (&tag.in_file, &tag.in_table),
        (&Some("1".into()), &Some("2".into()))
    );
    let set_by = tag.set_by.as_ref().unwrap();
    assert_eq!((set_by.applier.as_str(), set_by.at), ("ops", at(7)));
    assert_eq!(
        field(&stored_spec(&store).await, &["images", "app", "tag"]),
        "2"
    );
    // Until the first one changes it.
    apply(&store, &spec("3"), "ci").await;
    assert_eq!(
        field(&stored_spec(&store).await, &["images", "app", "tag"]),
        "3"
    );
}

#[tokio::test(start_paused = true)]
async fn force_writes_the_file_as_it_is() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    apply(&store, &with_service(spec("2"), "worker"), "ops").await;
    let forced = ApplyOptions {
        force: true,
        ..by("ci")
    };
    let applied = store
        .apply_release(&release(&spec("1")), &forced)
        .await
        .unwrap();
    assert_eq!(applied.outcome, ApplyOutcome::Configured);
    assert_eq!(applied.kept, []);
    assert_eq!(stored_spec(&store).await, spec("1"));
    // The second applier's part is gone for good: its unchanged file does not bring it back.
    let applied = apply(&store, &with_service(spec("2"), "worker"), "ops").await;
    assert_eq!(applied.outcome, ApplyOutcome::Unchanged);
    let worker = kept(&applied, "spec.services[worker]");
    let remover = worker.set_by.as_ref().unwrap();
    assert_eq!((remover.applier.as_str(), remover.removed), ("ci", true));
}

#[tokio::test(start_paused = true)]
async fn what_an_applier_took_out_goes_and_what_others_added_stays() {
    let (_, store) = store().await;
    apply(&store, &with_service(spec("1"), "worker"), "ci").await;
    let theirs = with_service(with_service(spec("1"), "worker"), "mailer");
    apply(&store, &theirs, "ops").await;
    let applied = apply(&store, &spec("1"), "ci").await;
    assert!(change(&applied, "spec.services[worker]").to.is_none());
    assert_eq!(kept(&applied, "spec.services[mailer]").in_file, None);
    let spec = stored_spec(&store).await;
    assert!(field(&spec, &["services", "worker"]).is_null());
    assert!(!field(&spec, &["services", "mailer"]).is_null());
}

#[tokio::test(start_paused = true)]
async fn an_identical_first_apply_of_another_applier_makes_it_an_owner_without_a_new_version() {
    let (local, store) = store().await;
    apply(&store, &with_service(spec("1"), "worker"), "ci").await;
    let applied = apply(&store, &with_service(spec("1"), "worker"), "ops").await;
    assert_eq!(applied.outcome, ApplyOutcome::Unchanged);
    assert_eq!(applied.resource_version, "1");
    local.forget();
    apply(&store, &with_service(spec("1"), "worker"), "ops").await;
    assert_eq!(local.writes(), [""; 0]);
    // So it can take out what it applied.
    apply(&store, &spec("1"), "ops").await;
    assert_eq!(stored_spec(&store).await, spec("1"));
}

#[tokio::test(start_paused = true)]
async fn two_appliers_at_once_both_get_their_changes_in() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    apply(&store, &spec("1"), "ops").await;
    let (ci, ops) = (
        release(&spec("2")),
        release(&with_service(spec("1"), "worker")),
    );
    let (ci_options, ops_options) = (by("ci"), by("ops"));
    let (one, two) = tokio::join!(
        store.apply_release(&ci, &ci_options),
        store.apply_release(&ops, &ops_options),
    );
    let mut generations = [one.unwrap().generation, two.unwrap().generation];
    generations.sort_unstable();
    assert_eq!(generations, [2, 3]);
    let spec = stored_spec(&store).await;
    assert_eq!(field(&spec, &["images", "app", "tag"]), "2");
    assert!(!field(&spec, &["services", "worker"]).is_null());
}

#[tokio::test(start_paused = true)]
async fn many_appliers_that_make_one_release_at_once_end_with_all_of_it() {
    let (_, store) = store().await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..6 {
        let store = store.clone();
        running.spawn(async move {
            let file = release(&with_service(spec("1"), &format!("s{number}")));
            store
                .apply_release(&file, &by(&format!("applier-{number}")))
                .await
                .unwrap()
                .outcome
        });
    }
    let outcomes = running.join_all().await;
    let created = outcomes
        .iter()
        .filter(|outcome| **outcome == ApplyOutcome::Created)
        .count();
    assert_eq!(created, 1);
    let stored = store.release(&key()).await.unwrap().unwrap();
    assert_eq!(stored.release.spec.services.len(), 7);
    assert_eq!(stored.generation(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_second_generation() {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    local.fate(|call| match call.operation.as_str() {
        "TransactWriteItems" => Fate::AnswerLost,
        _ => Fate::Answered,
    });
    let applied = apply(&store, &spec("2"), "ci").await;
    assert_eq!(
        (applied.outcome, applied.generation),
        (ApplyOutcome::Configured, 2)
    );
    local.fate(|_| Fate::Answered);
    assert_eq!(
        store.release(&key()).await.unwrap().unwrap().generation(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_with_a_stale_resource_version_is_refused() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let got = store.release(&key()).await.unwrap().unwrap().release;
    apply(&store, &spec("2"), "ci").await;
    let sentence = refused(store.apply_release(&got, &by("ops")).await);
    assert!(
        sentence.contains("resourceVersion 1") && sentence.contains("2 now"),
        "{sentence}"
    );
    assert_eq!(
        field(&stored_spec(&store).await, &["images", "app", "tag"]),
        "2"
    );

    let mut current = store.release(&key()).await.unwrap().unwrap().release;
    current.spec.suspend = Some(true);
    let applied = store.apply_release(&current, &by("ops")).await.unwrap();
    assert_eq!(applied.generation, 3);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_speaks_of_another_object_is_refused() {
    let (_, store) = store().await;
    let mut file = release(&spec("1"));
    file.metadata.resource_version = Some("4".to_owned());
    assert!(refused(store.apply_release(&file, &by("ci")).await).contains("deleted?"));
    apply(&store, &spec("1"), "ci").await;
    file.metadata.resource_version = None;
    file.metadata.uid = Some("another".to_owned());
    assert!(refused(store.apply_release(&file, &by("ci")).await).contains("uid another"));
}

#[tokio::test(start_paused = true)]
async fn a_release_without_environment_is_refused() {
    let (local, table) = Local::with_table().await;
    let sentence = refused(
        Store::new(table)
            .apply_release(&release(&spec("1")), &by("ci"))
            .await,
    );
    assert!(sentence.contains("no Environment production"), "{sentence}");
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn ci_that_may_not_read_environments_applies_all_the_same() {
    let (local, store) = store().await;
    local.fate(
        |call| match call.body.pointer("/Key/pk/S").and_then(Value::as_str) {
            Some("environment") => denied(),
            _ => Fate::Answered,
        },
    );
    assert_eq!(
        apply(&store, &spec("1"), "ci").await.outcome,
        ApplyOutcome::Created
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_write_is_an_error() {
    let (local, store) = store().await;
    local.fate(|call| match call.operation.as_str() {
        "TransactWriteItems" => denied(),
        _ => Fate::Answered,
    });
    let error = store
        .apply_release(&release(&spec("1")), &by("ci"))
        .await
        .unwrap_err();
    assert!(error.is_access_denied(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_merge_that_gives_nothing_valid_is_refused_and_told() {
    let (local, store) = store().await;
    let mut two_images = spec("1");
    two_images["images"]["extra"] = json!({ "repository": REPOSITORY, "tag": "1" });
    apply(&store, &two_images, "ci").await;
    let mut uses_it = two_images.clone();
    uses_it["services"][0]["images"]["sidecar"] = "extra".into();
    apply(&store, &uses_it, "ops").await;
    local.forget();
    // `ci` takes out the image that `ops` has come to use.
    let sentence = refused(store.apply_release(&release(&spec("1")), &by("ci")).await);
    assert!(
        sentence.contains("extra") && sentence.contains("--force"),
        "{sentence}"
    );
    assert_eq!(local.writes(), [""; 0]);
    let forced = ApplyOptions {
        force: true,
        ..by("ci")
    };
    store
        .apply_release(&release(&spec("1")), &forced)
        .await
        .unwrap();
    assert_eq!(stored_spec(&store).await, spec("1"));
}

#[tokio::test(start_paused = true)]
async fn names_and_appliers_that_would_make_other_keys_are_refused() {
    let (local, store) = store().await;
    for name in ["", "a#b", "a/b"] {
        refused(
            store
                .apply_release(&named(name, &spec("1")), &by("ci"))
                .await,
        );
    }
    refused(store.apply_release(&release(&spec("1")), &by("")).await);
    refused(
        store
            .apply_release(&release(&spec("1")), &by(&"x".repeat(600)))
            .await,
    );
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_spec_beyond_an_items_size_is_refused_before_anything_is_sent() {
    let (local, store) = store().await;
    let mut large = spec("1");
    large["migrations"][0]["overrides"] = json!({ "containerOverrides": [
        { "name": "app", "command": ["x".repeat(420_000)] },
    ] });
    assert!(
        store
            .apply_release(&release(&large), &by("ci"))
            .await
            .is_err()
    );
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_merged_like_a_release() {
    let (_, store) = store().await;
    let mut theirs = environment("production");
    theirs.spec.account = Some("123456789012".to_owned());
    store.apply_environment(&theirs, &by("ops")).await.unwrap();
    let kept = store
        .apply_environment(&environment("production"), &by("admin"))
        .await
        .unwrap();
    assert_eq!(kept.outcome, ApplyOutcome::Unchanged);
    assert_eq!(kept.kept[0].path, "spec.account");
    let found = store.environment("production").await.unwrap().unwrap();
    assert_eq!(found.spec.account.as_deref(), Some("123456789012"));
    assert_eq!(found.metadata.generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_environment_stays_where_it_is_while_releases_refer_to_it() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let binding = Binding {
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        cluster: "arn:aws:ecs:eu-central-1:123456789012:cluster/main".to_owned(),
    };
    let controller = controller(&store).await;
    controller
        .bind_environment("production", &binding)
        .await
        .unwrap();

    let mut same = environment("production");
    same.spec.account = Some("123456789012".to_owned());
    store.apply_environment(&same, &by("admin")).await.unwrap();
    let mut moves = [same.clone(), same.clone(), same.clone()];
    moves[0].spec.cluster = "other".to_owned();
    moves[1].spec.region = "us-east-1".to_owned();
    moves[2].spec.account = Some("210987654321".to_owned());
    for moved in &moves {
        let sentence = refused(store.apply_environment(moved, &by("admin")).await);
        assert!(
            sentence.contains("while Releases refer to it"),
            "{sentence}"
        );
    }

    // Without Releases it may move, and its first use starts anew.
    store.delete_release(&key(), true, at(1)).await.unwrap();
    controller
        .finish_deletion(&key(), &uid(&store).await)
        .await
        .unwrap();
    store
        .apply_environment(&moves[0], &by("admin"))
        .await
        .unwrap();
    let found = store.environment("production").await.unwrap().unwrap();
    assert_eq!((found.spec.cluster.as_str(), found.status), ("other", None));
}
