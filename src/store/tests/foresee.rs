//! What an apply would make is what it then makes.

use super::*;
use crate::model::desired::Binding;
use crate::resource::meta::ObjectMeta;
use crate::store::StoredRelease;

/// What the Release would become, and what became of it; nothing is written before it is applied.
async fn foreseen_and_made(
    local: &Local,
    store: &Store,
    file: &Release,
    options: &ApplyOptions,
) -> (StoredRelease, StoredRelease) {
    local.forget();
    let foreseen = store.release_if_applied(file, options).await.unwrap();
    assert_eq!(local.writes(), [""; 0]);
    store.apply_release(file, options).await.unwrap();
    (foreseen, store.release(&key()).await.unwrap().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_release_becomes_what_was_foreseen() {
    let (local, store) = store().await;
    let ci = by("ci");
    let (mut foreseen, made) = foreseen_and_made(&local, &store, &release(&spec("1")), &ci).await;
    // Who it is belongs to the moment when it is made.
    assert!(!foreseen.uid().is_empty());
    foreseen
        .release
        .metadata
        .uid
        .clone_from(&made.release.metadata.uid);
    assert_eq!(foreseen, made);

    store.set_suspend(&key(), true, "ops", at(1)).await.unwrap();
    let mut annotated = release(&spec("1"));
    let annotations = &mut annotated.metadata.annotations;
    annotations.insert("note".to_owned(), "hello".to_owned());
    let (foreseen, made) = foreseen_and_made(&local, &store, &annotated, &ci).await;
    assert_eq!(foreseen, made);
    assert_eq!(
        (made.generation(), made.release.spec.suspend),
        (2, Some(true))
    );
    assert_eq!(made.release.metadata.annotations["note"], "hello");

    annotated.spec = release(&spec("2")).spec;
    let later = ApplyOptions {
        source: Some("abc".to_owned()),
        now: at(2),
        ..ci.clone()
    };
    let (foreseen, made) = foreseen_and_made(&local, &store, &annotated, &later).await;
    assert_eq!(foreseen, made);
    assert_eq!(
        (made.generation(), made.source.as_deref()),
        (3, Some("abc"))
    );

    let forced = ApplyOptions { force: true, ..ci };
    let (foreseen, made) = foreseen_and_made(&local, &store, &annotated, &forced).await;
    assert_eq!(foreseen, made);
    assert_eq!((made.generation(), made.release.spec.suspend), (4, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_foreseen_in_the_same_words() {
    let (local, store) = store().await;
    let mut two_images = spec("1");
    two_images["images"]["extra"] = json!({ "repository": REPOSITORY, "tag": "1" });
    apply(&store, &two_images, "ci").await;
    two_images["services"][0]["images"]["sidecar"] = "extra".into();
    apply(&store, &two_images, "ops").await;
    let file = |change: fn(&mut ObjectMeta)| {
        let mut file = release(&spec("1"));
        change(&mut file.metadata);
        file
    };
    let files = [
        file(|_| {}),
        file(|metadata| metadata.resource_version = Some("1".to_owned())),
        file(|metadata| metadata.uid = Some("another".to_owned())),
        file(|metadata| metadata.name = "a#b".to_owned()),
    ];
    let told = async |file: &Release| {
        local.forget();
        let foreseen = refused(store.release_if_applied(file, &by("ci")).await);
        let applied = refused(store.apply_release(file, &by("ci")).await);
        assert_eq!(foreseen, applied);
        assert_eq!(local.writes(), [""; 0]);
    };
    for file in &files {
        told(file).await;
    }
    store.delete_release(&key(), false, at(1)).await.unwrap();
    told(&files[0]).await;
}

#[tokio::test(start_paused = true)]
async fn an_environment_becomes_what_was_foreseen_and_keeps_its_place_while_in_use() {
    let (local, store) = store().await;
    apply(&store, &spec("1"), "ci").await;
    let binding = Binding {
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        cluster: "main".to_owned(),
    };
    let controller = controller(&store).await;
    controller
        .bind_environment("production", &binding)
        .await
        .unwrap();
    let mut theirs = environment("production");
    theirs.spec.account = Some("123456789012".to_owned());
    store.apply_environment(&theirs, &by("ops")).await.unwrap();

    local.forget();
    let admin = by("admin");
    let same = environment("production");
    let foreseen = store.environment_if_applied(&same, &admin).await.unwrap();
    let there = store.environment("production").await.unwrap().unwrap();
    assert_eq!(foreseen, there, "what others set stays");
    assert!(foreseen.status.is_some());
    let mut moved = same.clone();
    moved.spec.cluster = "other".to_owned();
    let sentence = refused(store.environment_if_applied(&moved, &admin).await);
    assert!(
        sentence.contains("while Releases refer to it"),
        "{sentence}"
    );
    assert_eq!(local.writes(), [""; 0]);

    // Without Releases it may move, and its first use starts anew.
    store.delete_release(&key(), true, at(1)).await.unwrap();
    controller
        .finish_deletion(&key(), &uid(&store).await)
        .await
        .unwrap();
    let foreseen = store.environment_if_applied(&moved, &admin).await.unwrap();
    assert_eq!(
        (foreseen.spec.cluster.as_str(), &foreseen.status),
        ("other", &None)
    );
    store.apply_environment(&moved, &admin).await.unwrap();
    let made = store.environment("production").await.unwrap();
    assert_eq!(made, Some(foreseen));
}
