use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability};

use super::*;
use crate::sandbox::cx::{ImageLookup, Images};
use crate::sandbox::ecr::Registries;

/// Its digest is the manifest's, byte for byte.
fn manifest(layer: &str) -> String {
    format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": [{{"size": 40, "digest": "sha256:{layer}"}}, {{"size": 2}}]}}"#
    )
}

async fn repository(sandbox: &Sandbox) -> Client {
    let client = client!(aws_sdk_ecr, sandbox);
    client
        .create_repository()
        .repository_name("rails/app")
        .send()
        .await
        .unwrap();
    client
}

async fn push(client: &Client, layer: &str, tag: &str) -> String {
    let put = client
        .put_image()
        .repository_name("rails/app")
        .image_tag(tag)
        .image_manifest(manifest(layer))
        .send()
        .await
        .unwrap();
    let image = put.image().unwrap().image_id().unwrap();
    image.image_digest().unwrap().to_owned()
}

fn tag(name: &str) -> ImageIdentifier {
    ImageIdentifier::builder().image_tag(name).build()
}

#[tokio::test(start_paused = true)]
async fn a_tag_moves_and_its_old_image_stays() {
    let sandbox = sandbox();
    let client = repository(&sandbox).await;
    let old = push(&client, "aa", "latest").await;
    let new = push(&client, "bb", "latest").await;
    assert_ne!(old, new);
    let described = client
        .describe_images()
        .repository_name("rails/app")
        .image_ids(tag("latest"))
        .send()
        .await
        .unwrap();
    let [detail] = described.image_details() else {
        panic!("{described:?}");
    };
    assert_eq!(detail.image_digest(), Some(new.as_str()));
    assert_eq!(detail.image_tags(), ["latest"]);
    assert_eq!(detail.image_size_in_bytes(), Some(42));
    assert_eq!(
        detail.image_pushed_at().unwrap().secs(),
        sandbox.now().as_second()
    );
    let by_digest = client
        .describe_images()
        .repository_name("rails/app")
        .image_ids(ImageIdentifier::builder().image_digest(&old).build())
        .send()
        .await
        .unwrap();
    assert!(by_digest.image_details()[0].image_tags().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named_as_ecr_names_it() {
    let sandbox = sandbox();
    let client = repository(&sandbox).await;
    let describe = |repository: &str| {
        client
            .describe_images()
            .repository_name(repository)
            .image_ids(tag("v9"))
    };
    let image = describe("rails/app").send().await.unwrap_err();
    assert_eq!(
        told(&image),
        (
            "ImageNotFoundException".to_owned(),
            "The image with imageId {imageDigest:'null', imageTag:'v9'} does not exist within the \
             repository with name 'rails/app' in the registry with id '123456789012'"
                .to_owned()
        )
    );
    let repository = describe("rails/other").send().await.unwrap_err();
    assert_eq!(told(&repository).0, "RepositoryNotFoundException");
    let registry = describe("rails/app").registry_id("999999999999").send();
    let (code, message) = told(&registry.await.unwrap_err());
    assert_eq!(code, "RepositoryNotFoundException");
    assert!(message.ends_with("'999999999999'"), "{message}");
    let batch = client
        .batch_get_image()
        .repository_name("rails/app")
        .image_ids(tag("v9"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        batch.failures()[0].failure_code().unwrap().as_str(),
        "ImageNotFound"
    );
}

#[tokio::test(start_paused = true)]
async fn pushing_again_and_immutable_tags_are_refused() {
    let sandbox = sandbox();
    let client = repository(&sandbox).await;
    push(&client, "aa", "v1").await;
    let again = |layer: &str| {
        client
            .put_image()
            .repository_name("rails/app")
            .image_tag("v1")
            .image_manifest(manifest(layer))
            .send()
    };
    let same = again("aa").await.unwrap_err();
    assert_eq!(told(&same).0, "ImageAlreadyExistsException");
    client
        .put_image_tag_mutability()
        .repository_name("rails/app")
        .image_tag_mutability(ImageTagMutability::Immutable)
        .send()
        .await
        .unwrap();
    let other = again("bb").await.unwrap_err();
    assert_eq!(told(&other).0, "ImageTagAlreadyExistsException");
}

#[tokio::test(start_paused = true)]
async fn images_are_listed_page_by_page() {
    let sandbox = sandbox();
    let client = repository(&sandbox).await;
    for version in 0..5 {
        push(&client, &version.to_string(), &format!("v{version}")).await;
    }
    let pages = client
        .describe_images()
        .repository_name("rails/app")
        .max_results(2)
        .into_paginator()
        .send();
    let pages: Vec<_> = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    let sizes: Vec<_> = pages.iter().map(|p| p.image_details().len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let ids = client
        .list_images()
        .repository_name("rails/app")
        .send()
        .await
        .unwrap();
    assert_eq!(ids.image_ids().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn deleting_the_last_tag_deletes_the_image() {
    let sandbox = sandbox();
    let client = repository(&sandbox).await;
    push(&client, "aa", "v1").await;
    push(&client, "aa", "v2").await;
    let delete = |name: &str| {
        client
            .batch_delete_image()
            .repository_name("rails/app")
            .image_ids(tag(name))
            .send()
    };
    let left = || async {
        let list = client.list_images().repository_name("rails/app").send();
        list.await.unwrap().image_ids().len()
    };
    delete("v1").await.unwrap();
    assert_eq!(left().await, 1);
    delete("v2").await.unwrap();
    assert_eq!(left().await, 0);
    let gone = delete("v2").await.unwrap();
    assert_eq!(gone.failures().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_lag_behind_pushes_when_told_to() {
    let sandbox = sandbox();
    let client = repository(&sandbox).await;
    sandbox.update_settings(|settings| settings.read_delay = Duration::from_secs(5));
    tokio::time::advance(Duration::from_secs(6)).await;
    push(&client, "aa", "v1").await;
    let read = || async {
        let describe = client
            .describe_images()
            .repository_name("rails/app")
            .image_ids(tag("v1"));
        describe.send().await.is_ok()
    };
    assert!(!read().await);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(read().await);
}

#[test]
fn a_pull_asks_the_registry_of_its_host() {
    let mut registries = Registries {
        account: ACCOUNT.to_owned(),
        ..Registries::default()
    };
    let settings = Settings::default();
    let rules = Rules::default();
    let mut ids = crate::sandbox::cx::Ids::default();
    let mut cx = crate::sandbox::cx::Cx {
        now: Timestamp::UNIX_EPOCH,
        account: ACCOUNT,
        region: REGION,
        principal: String::new(),
        rules: &rules,
        settings: &settings,
        ids: &mut ids,
        images: &Registries::default(),
    };
    let ecr = registries.regions.entry(REGION.to_owned()).or_default();
    for (operation, input) in [
        ("CreateRepository", json!({"repositoryName": "rails/app"})),
        (
            "PutImage",
            json!({"repositoryName": "rails/app", "imageTag": "v1", "imageManifest": manifest("aa")}),
        ),
        (
            "PutImage",
            json!({"repositoryName": "rails/app", "imageTag": "latest", "imageManifest": manifest("aa")}),
        ),
    ] {
        ecr.call(&mut cx, operation, input.as_object().unwrap())
            .unwrap();
    }
    let host = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com");
    let ImageLookup::Found { digest, tags } = registries.lookup(&format!("{host}/rails/app"))
    else {
        panic!("latest is there");
    };
    assert_eq!(tags, ["rails/app:v1", "rails/app:latest"]);
    let cases = [
        (format!("{host}/rails/app:v1@{digest}"), true),
        (format!("{host}/rails/app@{digest}"), true),
        (format!("{host}/rails/app:v2"), false),
        (format!("{host}/rails/app@sha256:00"), false),
    ];
    for (image, found) in cases {
        let lookup = registries.lookup(&image);
        assert_eq!(lookup != ImageLookup::Missing, found, "{image}");
    }
    for foreign in [
        format!("{host}/rails/never-made:v1"),
        "999999999999.dkr.ecr.eu-west-1.amazonaws.com/rails/app:v1".to_owned(),
        "public.ecr.aws/docker/library/busybox:latest".to_owned(),
        "busybox".to_owned(),
    ] {
        assert_eq!(
            registries.lookup(&foreign),
            ImageLookup::Foreign,
            "{foreign}"
        );
    }
}
