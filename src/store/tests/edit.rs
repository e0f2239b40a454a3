use std::collections::BTreeMap;

use super::*;
use crate::store::{EditOptions, NewTag};

fn images(name: &str, text: &str) -> BTreeMap<String, NewTag> {
    BTreeMap::from([(name.to_owned(), NewTag::parse(text))])
}

fn edit(applier: &str, second: i64) -> EditOptions {
    EditOptions {
        applier: applier.to_owned(),
        source: None,
        force: false,
        now: at(second),
    }
}

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

#[test]
fn a_tag_is_told_from_a_digest() {
    assert_eq!(NewTag::parse("v1"), NewTag::Tag("v1".to_owned()));
    assert_eq!(NewTag::parse(&digest()), NewTag::Digest(digest()));
    assert_eq!(
        NewTag::parse(&format!("@{}", digest())),
        NewTag::Digest(digest())
    );
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_was_set_is_not_undone_by_applying_an_unchanged_file() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    // By the very same applier, too.
    let set = store
        .set_images(&key(), &images("app", "2"), &edit("ci", 3))
        .await
        .unwrap();
    assert_eq!((set.outcome, set.generation), (ApplyOutcome::Configured, 2));
    assert_eq!(set.changes[0].path, "spec.images.app.tag");
    let applied = apply(&store, &spec("1"), "ci").await;
    assert_eq!(applied.outcome, ApplyOutcome::Unchanged);
    assert_eq!(applied.kept[0].set_by.as_ref().unwrap().at, at(3));
    assert_eq!(
        field(&stored_spec(&store).await, &["images", "app", "tag"]),
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_digest_takes_the_tags_place_and_back() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    store
        .set_images(&key(), &images("app", &digest()), &edit("ops", 1))
        .await
        .unwrap();
    let expected = json!({ "repository": REPOSITORY, "digest": digest() });
    assert_eq!(
        *field(&stored_spec(&store).await, &["images", "app"]),
        expected
    );
    apply(&store, &spec("1"), "ci").await;
    assert_eq!(
        *field(&stored_spec(&store).await, &["images", "app"]),
        expected
    );
    apply(&store, &spec("2"), "ci").await;
    assert_eq!(stored_spec(&store).await, spec("2"));
}

#[tokio::test(start_paused = true)]
async fn setting_what_is_there_writes_nothing() {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    local.forget();
    let set = store
        .set_images(&key(), &images("app", "1"), &edit("ops", 1))
        .await
        .unwrap();
    assert_eq!((set.outcome, set.generation), (ApplyOutcome::Unchanged, 1));
    let resumed = store
        .set_suspend(&key(), false, "ops", at(1))
        .await
        .unwrap();
    assert_eq!(resumed.outcome, ApplyOutcome::Unchanged);
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_image_is_refused_with_those_that_are_declared() {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    local.forget();
    let mut images = images("ap", "2");
    images.insert("app".to_owned(), NewTag::Tag("2".to_owned()));
    let sentence = refused(store.set_images(&key(), &images, &edit("ops", 1)).await);
    assert!(
        sentence.contains("no image ap;") && sentence.ends_with("app"),
        "{sentence}"
    );
    let bad = BTreeMap::from([("app".to_owned(), NewTag::parse("a b"))]);
    let sentence = refused(store.set_images(&key(), &bad, &edit("ops", 1)).await);
    assert!(sentence.contains("spec.images.app.tag"), "{sentence}");
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_follows_the_newest_tag_has_no_tag_to_set() {
    let (local, store) = store().await;
    let mut spec = spec("1");
    spec["images"]["app"] = json!({"repository": REPOSITORY, "tagPattern": "v.*"});
    apply(&store, &spec, "ci").await;
    local.forget();
    let sentence = refused(
        store
            .set_images(&key(), &images("app", "2"), &edit("ops", 1))
            .await,
    );
    assert!(
        sentence.contains("tagPattern") && sentence.contains("push a newer one"),
        "{sentence}"
    );
    assert_eq!(local.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_release_stays_suspended_when_its_file_is_applied() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let suspended = store.set_suspend(&key(), true, "ops", at(4)).await.unwrap();
    assert_eq!(suspended.generation, 2);
    let applied = apply(&store, &spec("2"), "ci").await;
    assert_eq!(applied.kept[0].path, "spec.suspend");
    assert_eq!(applied.kept[0].set_by.as_ref().unwrap().applier, "ops");
    assert_eq!(field(&stored_spec(&store).await, &["suspend"]), true);
    store
        .set_suspend(&key(), false, "ops", at(5))
        .await
        .unwrap();
    assert_eq!(stored_spec(&store).await, spec("2"));
}

/// What is released still comes from where it came from.
#[tokio::test(start_paused = true)]
async fn suspending_keeps_the_source_revision() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let options = EditOptions {
        source: Some("abc123".to_owned()),
        ..edit("ci", 1)
    };
    store
        .set_images(&key(), &images("app", "2"), &options)
        .await
        .unwrap();
    for suspend in [true, false] {
        let done = store.set_suspend(&key(), suspend, "ops", at(2)).await;
        assert_eq!(done.unwrap().outcome, ApplyOutcome::Configured);
        let stored = store.release(&key()).await.unwrap().unwrap();
        assert_eq!(stored.source.as_deref(), Some("abc123"));
    }
}

#[tokio::test(start_paused = true)]
async fn edits_at_once_are_both_kept() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let key = key();
    let tag = images("app", "2");
    let ops = edit("ops", 1);
    let (one, two) = tokio::join!(
        store.set_images(&key, &tag, &ops),
        store.set_suspend(&key, true, "ops", at(1)),
    );
    assert_eq!(one.unwrap().generation + two.unwrap().generation, 5);
    let spec = stored_spec(&store).await;
    assert_eq!(field(&spec, &["images", "app", "tag"]), "2");
    assert_eq!(field(&spec, &["suspend"]), true);
}

#[tokio::test(start_paused = true)]
async fn a_missing_release_cannot_be_edited() {
    let (_, store) = store().await;
    let error = store
        .set_suspend(&key(), true, "ops", at(1))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "Release production/shop not found");
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_of_the_source_it_names_and_of_none_when_it_names_none() {
    let (_, store) = store().await;
    let options = ApplyOptions {
        source: Some("applied".to_owned()),
        ..by("ci")
    };
    store
        .apply_release(&release(&spec("1")), &options)
        .await
        .unwrap();
    let named = |source: &str| EditOptions {
        source: Some(source.to_owned()),
        ..edit("ci", 1)
    };
    for (tag, options, source) in [
        ("2", named("abc"), Some("abc")),
        // As with `apply`: what changes nothing is of no other source.
        ("2", named("def"), Some("abc")),
        ("3", edit("ci", 1), None),
    ] {
        store
            .set_images(&key(), &images("app", tag), &options)
            .await
            .unwrap();
        let stored = store.release(&key()).await.unwrap().unwrap();
        assert_eq!(stored.source.as_deref(), source, "{tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_with_an_end_is_taken_back_whole() {
    let (_, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let done = store.suspend_until(&key(), at(7200), "ops", at(1)).await;
    assert_eq!(done.unwrap().generation, 2);
    let spec_now = stored_spec(&store).await;
    assert_eq!(field(&spec_now, &["suspend"]), true);
    assert_eq!(
        field(&spec_now, &["suspendUntil"]),
        &json!(at(7200).to_string())
    );
    // For good, then not at all.
    store.set_suspend(&key(), true, "ops", at(2)).await.unwrap();
    assert_eq!(
        field(&stored_spec(&store).await, &["suspendUntil"]),
        &Value::Null
    );
    store
        .suspend_until(&key(), at(7200), "ops", at(3))
        .await
        .unwrap();
    store
        .set_suspend(&key(), false, "ops", at(4))
        .await
        .unwrap();
    assert_eq!(stored_spec(&store).await, spec("1"));
}
