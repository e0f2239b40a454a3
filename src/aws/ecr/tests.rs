use serde_json::{Value, json};

use crate::aws::canned::{Canned, Reply, Seen, error};
use crate::aws::error::ErrorClass;
use crate::model::desired::Wanted;
use crate::model::known::Known;

const REGISTRY: &str = "123456789012";

fn tag(tag: impl Into<String>) -> Wanted {
    Wanted::Tag(tag.into())
}

/// Answers as ECR does: every image, or an error about the first that is missing.
fn ecr(request: &Seen, missing: &[&str]) -> Reply {
    let ids = request.body["imageIds"].as_array().unwrap();
    assert!(!ids.is_empty() && ids.len() <= 100);
    let mut details: Vec<Value> = Vec::new();
    for id in ids {
        let tag = id["imageTag"].as_str();
        let digest = id["imageDigest"].as_str();
        let name = tag.or(digest).unwrap();
        if missing.contains(&name) {
            return error(
                400,
                "ImageNotFoundException",
                "The image requested does not exist",
            );
        }
        details.push(json!({
            "imageDigest": digest.map_or(format!("sha256:of-{name}"), str::to_owned),
            "imageTags": tag.map_or(vec![], |tag| vec![tag, "latest"]),
        }));
    }
    details.reverse();
    Reply::Ok(json!({ "imageDetails": details }))
}

#[tokio::test(start_paused = true)]
async fn tags_and_digests_are_answered_in_the_order_asked_for() {
    let canned = Canned::new(|request| ecr(request, &[]));
    let wanted = [
        tag("b"),
        Wanted::Digest("sha256:1".to_owned()),
        tag("a"),
        tag("b"),
    ];
    let found = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rails", &wanted)
        .await
        .unwrap();
    let present = |digest: &str| Known::Present(digest.to_owned());
    assert_eq!(
        found,
        [
            present("sha256:of-b"),
            present("sha256:1"),
            present("sha256:of-a"),
            present("sha256:of-b")
        ]
    );
    let seen = canned.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body["registryId"], REGISTRY);
    assert_eq!(seen[0].body["repositoryName"], "rails");
    assert_eq!(seen[0].body["imageIds"].as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn missing_images_are_told_apart_from_the_rest_of_their_batch() {
    let canned = Canned::new(|request| ecr(request, &["t17", "t140"]));
    let wanted: Vec<Wanted> = (0..150).map(|n| tag(format!("t{n}"))).collect();
    let found = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rails", &wanted)
        .await
        .unwrap();
    for (n, known) in found.iter().enumerate() {
        if [17, 140].contains(&n) {
            assert_eq!(*known, Known::Absent, "t{n}");
        } else {
            assert_eq!(*known, Known::Present(format!("sha256:of-t{n}")));
        }
    }
    assert!(canned.seen().len() < 40, "{} calls", canned.seen().len());
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_absence() {
    let canned = Canned::new(|_| Reply::Ok(json!({ "imageDetails": [] })));
    let found = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rails", &[tag("a")])
        .await
        .unwrap();
    assert_eq!(found, [Known::Absent]);
    let none = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rails", &[])
        .await
        .unwrap();
    assert!(none.is_empty());
    assert_eq!(canned.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_repository_is_named_with_account_and_region() {
    let canned = Canned::new(|_| {
        error(
            400,
            "RepositoryNotFoundException",
            "The repository does not exist",
        )
    });
    let wanted = [tag("a")];
    let failed = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rials", &wanted)
        .await
        .unwrap_err();
    assert!(failed.is_not_found());
    assert_eq!(
        failed.resource,
        "image a of repository rials in account 123456789012, Region eu-central-1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_read_is_no_absence() {
    let canned = Canned::new(|_| error(400, "AccessDeniedException", "no"));
    let wanted = [tag("a")];
    let failed = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rails", &wanted)
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Denied);
    assert!(failed.hint().contains("ecr:DescribeImages"));
}

#[tokio::test(start_paused = true)]
async fn an_archived_image_cannot_be_pulled() {
    let canned = Canned::new(|_| {
        Reply::Ok(json!({ "imageDetails": [{
            "imageDigest": "sha256:1", "imageTags": ["a"], "imageStatus": "ARCHIVED",
        }] }))
    });
    let found = canned
        .clients()
        .ecr
        .digests(REGISTRY, "rails", &[tag("a")])
        .await
        .unwrap();
    assert!(
        matches!(&found[0], Known::Unknown(why) if why.contains("archived")),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_tag_of_every_page_is_listed_with_what_is_behind_it() {
    let canned = Canned::new(|request| {
        assert_eq!(request.body["filter"]["tagStatus"], "TAGGED");
        assert_eq!(request.body["maxResults"], 1000);
        assert!(request.body["imageIds"].is_null());
        Reply::Ok(match request.body["nextToken"].as_str() {
            None => json!({
                "imageDetails": [
                    {"imageDigest": "sha256:1", "imageTags": ["1.0.0", "latest"], "imagePushedAt": 1_700_000_000},
                    {"imageDigest": "sha256:2", "imageTags": ["old"], "imageStatus": "ARCHIVED"},
                ],
                "nextToken": "more",
            }),
            Some(_) => {
                json!({"imageDetails": [{"imageDigest": "sha256:3", "imageTags": ["2.0.0"]}]})
            }
        })
    });
    let found = canned
        .clients()
        .ecr
        .tagged(REGISTRY, "rails")
        .await
        .unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|it| (it.tag.as_str(), it.digest.as_str(), it.pushed_at.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            ("1.0.0", "sha256:1", true),
            ("latest", "sha256:1", true),
            ("2.0.0", "sha256:3", false)
        ]
    );
    assert_eq!(canned.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_end_is_an_error_and_no_list() {
    let pages = std::sync::atomic::AtomicU32::new(0);
    let canned = Canned::new(move |_| {
        let page = pages.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Reply::Ok(json!({"imageDetails": [], "nextToken": format!("page {page}")}))
    });
    let failed = canned
        .clients()
        .ecr
        .tagged(REGISTRY, "rails")
        .await
        .unwrap_err();
    assert_eq!(failed.class, ErrorClass::Refused);
    assert!(
        failed.to_string().contains("100000 tagged images"),
        "{failed}"
    );
    assert!(
        failed.resource.contains("tags of repository rails"),
        "{}",
        failed.resource
    );
}
