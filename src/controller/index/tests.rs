use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::desired::Access;

fn key(name: &str) -> ReleaseKey {
    ReleaseKey::new("production", name)
}

fn repository(name: &str) -> EcrRepository {
    EcrRepository {
        registry_id: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        name: name.to_owned(),
    }
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

/// In cluster `main` of eu-west-1.
fn interest(services: &[&str]) -> Interest {
    Interest {
        region: "eu-west-1".to_owned(),
        cluster: "main".to_owned(),
        services: names(services),
        ..Interest::default()
    }
}

fn images(name: &str, wanted: &[Wanted]) -> Interest {
    Interest {
        images: BTreeMap::from([(repository(name), wanted.iter().cloned().collect())]),
        ..interest(&[])
    }
}

#[test]
fn whoever_lists_a_repository_looks_at_every_image_of_it() {
    let mut index = Index::default();
    let listing = Interest {
        repositories: BTreeSet::from([repository("app")]),
        ..interest(&[])
    };
    index.set(key("lists"), listing);
    let pushed = image("app", Some("v3"), Some("sha256:3"));
    assert_eq!(index.concerned(&pushed), [key("lists")]);
    assert_eq!(index.concerned(&image("web", Some("v3"), None)), []);
    index.remove(&key("lists"));
    assert_eq!(index.concerned(&pushed), []);
}

#[test]
fn a_rule_names_a_release_until_somebody_has_looked_at_it() {
    let mut index = Index::default();
    let rule = ImageRule {
        repository: "backend/(?<service>[a-z]+)".to_owned(),
        release: "$service".to_owned(),
        image: "app".to_owned(),
    };
    index.rule(BTreeMap::from([("production".to_owned(), vec![rule])]));
    let pushed = image("backend/api", Some("v3"), None);
    assert_eq!(index.concerned(&pushed), [key("api")]);
    assert_eq!(index.concerned(&image("front/api", Some("v3"), None)), []);
    // What it looks at is better known then.
    index.set(key("api"), images("backend/api", &[tag("latest")]));
    assert_eq!(index.concerned(&pushed), []);
}

fn tag(name: &str) -> Wanted {
    Wanted::Tag(name.to_owned())
}

fn digest(name: &str) -> Wanted {
    Wanted::Digest(name.to_owned())
}

fn place(account: &str, region: &str) -> Place {
    Place {
        account: Some(account.to_owned()),
        region: Some(region.to_owned()),
    }
}

fn service(place: Place, cluster: Option<&str>, name: &str) -> Concern {
    Concern::Service {
        place,
        cluster: cluster.map(str::to_owned),
        service: name.to_owned(),
    }
}

fn image(name: &str, tag: Option<&str>, digest: Option<&str>) -> Concern {
    Concern::Image {
        repository: repository(name),
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    }
}

fn here() -> Place {
    place("123456789012", "eu-west-1")
}

#[test]
fn a_service_is_found_in_its_cluster_account_and_region() {
    let mut index = Index::default();
    index.set(key("own"), interest(&["web", "worker"]));
    let role = |account: &str| Access {
        role_arn: Some(format!("arn:aws:iam::{account}:role/evenkeel")),
        external_id: None,
    };
    let access = role("999999999999");
    index.set(
        key("foreign"),
        Interest {
            access,
            ..interest(&["web"])
        },
    );
    let cluster = "arn:aws:ecs:eu-west-1:123456789012:cluster/main".to_owned();
    index.set(
        key("by-arn"),
        Interest {
            cluster,
            ..interest(&["web"])
        },
    );

    let found = |place, cluster, name| index.concerned(&service(place, cluster, name));
    assert_eq!(
        found(here(), Some("main"), "web"),
        [key("by-arn"), key("own")]
    );
    assert_eq!(
        found(place("999999999999", "eu-west-1"), Some("main"), "web"),
        [key("foreign"), key("own")],
        "whose the own credentials are is not known"
    );
    assert_eq!(found(here(), None, "worker"), [key("own")]);
    assert_eq!(found(here(), Some("other"), "web"), []);
    assert_eq!(found(here(), Some("main"), "we"), []);
    assert_eq!(
        found(place("123456789012", "us-east-1"), Some("main"), "web"),
        []
    );
}

#[test]
fn a_task_is_found_by_who_started_it() {
    let mut index = Index::default();
    let tasks = names(&["evenkeel/abc"]);
    index.set(
        key("shop"),
        Interest {
            tasks,
            ..interest(&[])
        },
    );
    let task = |place, started_by: &str| Concern::Task {
        place,
        cluster: Some("main".to_owned()),
        started_by: started_by.to_owned(),
    };
    assert_eq!(
        index.concerned(&task(here(), "evenkeel/abc")),
        [key("shop")]
    );
    assert_eq!(index.concerned(&task(here(), "somebody")), []);
    let elsewhere = place("123456789012", "us-east-1");
    assert_eq!(index.concerned(&task(elsewhere, "evenkeel/abc")), []);
}

#[test]
fn an_image_is_found_by_repository_and_then_by_what_is_wanted_of_it() {
    let mut index = Index::default();
    index.set(key("moving"), images("web", &[tag("latest")]));
    index.set(key("pinned"), images("web", &[digest("sha256:a")]));
    index.set(key("whole"), images("web", &[]));
    index.set(key("other"), images("other", &[tag("latest")]));

    let found = |tag, digest| index.concerned(&image("web", tag, digest));
    let all = [key("moving"), key("pinned"), key("whole")];
    assert_eq!(found(None, None), all);
    assert_eq!(found(None, Some("sha256:b")), all);
    assert_eq!(
        found(Some("latest"), Some("sha256:b")),
        [key("moving"), key("whole")]
    );
    assert_eq!(
        found(Some("1.0"), Some("sha256:a")),
        [key("pinned"), key("whole")]
    );
    assert_eq!(found(Some("1.0"), None), [key("whole")]);
    assert_eq!(index.concerned(&image("unknown", None, None)), []);
}

#[test]
fn what_a_release_no_longer_looks_at_concerns_it_no_longer() {
    let mut index = Index::default();
    index.set(key("shop"), interest(&["web"]));
    index.set(key("shop"), images("web", &[tag("1")]));
    assert_eq!(
        index.concerned(&service(here(), Some("main"), "web")),
        [],
        "it was replaced"
    );
    assert_eq!(
        index.concerned(&image("web", Some("1"), None)),
        [key("shop")]
    );
    index.remove(&key("shop"));
    index.remove(&key("shop"));
    assert_eq!(index.concerned(&image("web", Some("1"), None)), []);
}

#[test]
fn an_index_that_is_emptied_holds_nothing() {
    let mut index = Index::default();
    for turn in 0..100 {
        let name = format!("r{turn}");
        let mut whole = images("web", &[tag(&name), digest("sha256:a")]);
        whole.services = names(&[&name, "shared"]);
        whole.tasks = names(&[&name]);
        index.set(key(&name), whole);
    }
    for turn in 0..100 {
        index.remove(&key(&format!("r{turn}")));
    }
    let left = (
        index.interests.len(),
        index.services.len(),
        index.tasks.len(),
        index.images.len(),
    );
    assert_eq!(left, (0, 0, 0, 0), "a controller runs for years");
}

#[test]
fn it_is_told_when_a_release_begins_to_wait_for_another() {
    let waits = |names: &[&str]| Interest {
        releases: names.iter().map(|name| key(name)).collect(),
        ..interest(&["web"])
    };
    let mut index = Index::default();
    assert!(!index.set(key("web"), waits(&[])));
    assert!(index.set(key("web"), waits(&["api"])));
    assert!(!index.set(key("web"), waits(&["api"])));
    assert!(index.set(key("web"), waits(&["api", "db"])));
    assert!(!index.set(key("web"), waits(&["db"])));
    assert_eq!(index.waiting_for(&key("db")), [key("web")].into());
    assert!(index.waiting_for(&key("api")).is_empty());
}
