use super::*;
use crate::resource::patterns;

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app";

fn pattern(text: &str, order: TagOrder) -> TagPattern {
    TagPattern {
        text: text.to_owned(),
        pattern: patterns::whole(text).unwrap(),
        order,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The digest of a tag is `sha256:TAG`; each was pushed a second after the one before.
fn pushed(tags: &[&str]) -> Vec<TaggedImage> {
    let tag = |(tag, second): (&&str, i64)| TaggedImage {
        tag: (*tag).to_owned(),
        digest: format!("sha256:{tag}"),
        pushed_at: Some(at(second)),
    };
    tags.iter().zip(100..).map(tag).collect()
}

fn image(tag: &str) -> ResolvedImage {
    ResolvedImage {
        reference: format!("{REPOSITORY}:{tag}"),
        image: format!("{REPOSITORY}@sha256:{tag}"),
        digest: Some(format!("sha256:{tag}")),
        tag: Some(tag.to_owned()),
    }
}

fn out(tags: &[&str]) -> Images {
    let one = |tag: &&str| (format!("{REPOSITORY}:{tag}"), format!("sha256:{tag}"));
    tags.iter().map(one).collect()
}

fn newest(text: &str, order: TagOrder, tags: &[&str]) -> Option<String> {
    let (all, rejected) = (pushed(tags), Images::new());
    let tags = Tags {
        repository: REPOSITORY,
        all: &all,
        rejected: &rejected,
    };
    let choice = choose(&pattern(text, order), tags);
    choice.taken.map(|(tag, _)| tag.to_owned())
}

/// One generation's revisions, by number from 1: the tags of images `app` and, if given, `side`.
fn history(revisions: &[(&str, RevisionOutcome)]) -> BTreeMap<u64, Revision> {
    let revision = |((tags, outcome), number): (&(&str, RevisionOutcome), u64)| {
        let names = ["app", "side"].into_iter();
        let images = names.zip(tags.split(' ')).map(|(name, tag)| {
            let tag = image(tag);
            (name.to_owned(), tag)
        });
        let revision = Revision {
            images: images.collect(),
            outcome: *outcome,
            ..a_revision(number)
        };
        (number, revision)
    };
    revisions.iter().zip(1..).map(revision).collect()
}

fn a_revision(number: u64) -> Revision {
    Revision {
        hooks: Default::default(),
        continues: None,
        version: 1,
        number,
        uid: String::new(),
        generation: 1,
        spec: None,
        images: BTreeMap::new(),
        parts: BTreeMap::new(),
        content: String::new(),
        applier: None,
        source: None,
        created_at: at(150),
        outcome: RevisionOutcome::Pending,
        reason: None,
        finished_at: None,
        cause: None,
        rollback: None,
        pinned: None,
        declared: None,
        left: None,
        lifted: false,
        approved: None,
        begun_at: None,
    }
}

/// What the generation of these revisions takes now.
fn newer(
    order: TagOrder,
    revisions: &[(&str, RevisionOutcome)],
    tags: &[&str],
) -> (Option<String>, Option<String>) {
    newer_of(order, &history(revisions), &pushed(tags))
}

fn newer_of(
    order: TagOrder,
    revisions: &BTreeMap<u64, Revision>,
    all: &[TaggedImage],
) -> (Option<String>, Option<String>) {
    let rejected = rejected(revisions);
    let tags = Tags {
        repository: REPOSITORY,
        all,
        rejected: &rejected,
    };
    let taken = taken(revisions, "app", |_| true);
    let choice = choose_newer(&pattern(".*", order), tags, &taken);
    let owned = |tag: &str| tag.to_owned();
    let taken = choice.taken.map(|(_, digest)| owned(digest));
    (taken, choice.passed_over.map(owned))
}

fn takes(tag: &str) -> (Option<String>, Option<String>) {
    (Some(format!("sha256:{tag}")), None)
}

const READY: RevisionOutcome = RevisionOutcome::Ready;
const REJECTED: RevisionOutcome = RevisionOutcome::Rejected;

#[test]
fn versions_are_ordered_as_versions() {
    for (tags, wanted) in [
        (vec!["1.9.0", "1.10.0", "1.2.0"], Some("1.10.0")),
        (vec!["v1.2.3", "v1.2.4", "1.2.3"], Some("v1.2.4")),
        // What moves with another tag, and what is no version at all.
        (
            vec!["1.0.0", "1", "2.0", "latest", "9d3c2f1"],
            Some("1.0.0"),
        ),
        (vec!["latest", "main"], None),
        (vec!["01.0.0", "1.0.0.0"], None),
        (vec![], None),
    ] {
        assert_eq!(
            newest(".*", TagOrder::Semver, &tags).as_deref(),
            wanted,
            "{tags:?}"
        );
    }
}

#[test]
fn prereleases_count_where_they_are_named_or_alone() {
    let tags = ["1.0.0", "2.0.0-rc.1", "2.0.0-rc.2"];
    for (text, wanted) in [
        (".*", "1.0.0"),
        (r"\d+\.\d+\.\d+.*", "1.0.0"),
        ("[0-9]+.[0-9]+.[0-9]+.*", "1.0.0"),
        (r"\d+\.\d+\.\d+(-rc\.\d+)?", "2.0.0-rc.2"),
        (r"\d+\.\d+\.\d+\-.*", "2.0.0-rc.2"),
        (r"2\..*", "2.0.0-rc.2"),
    ] {
        assert_eq!(
            newest(text, TagOrder::Semver, &tags).as_deref(),
            Some(wanted),
            "{text}"
        );
    }
    let done = ["2.0.0-rc.2", "2.0.0"];
    let named = newest(r"2\.0\.0(-rc\.\d+)?", TagOrder::Semver, &done);
    assert_eq!(named.as_deref(), Some("2.0.0"));
}

#[test]
fn other_orders() {
    let tags = ["2026-03-02.7", "2026-03-10.1", "2026-03-02.9"];
    let newest_of = |order| newest(".*", order, &tags);
    assert_eq!(
        newest_of(TagOrder::Alphabetical).as_deref(),
        Some("2026-03-10.1")
    );
    assert_eq!(
        newest_of(TagOrder::PushedAt).as_deref(),
        Some("2026-03-02.9")
    );
    // Only whole tags match.
    let main = newest(
        "main-[0-9a-f]+",
        TagOrder::PushedAt,
        &["main-1", "pr-main-2", "main-x"],
    );
    assert_eq!(main.as_deref(), Some("main-1"));
}

#[test]
fn two_tags_of_one_version_are_always_decided_the_same_way() {
    let one = newest(".*", TagOrder::Semver, &["v1.0.0", "1.0.0"]);
    assert_eq!(one, newest(".*", TagOrder::Semver, &["1.0.0", "v1.0.0"]));
}

#[test]
fn a_generation_never_goes_back() {
    for order in [TagOrder::Semver, TagOrder::Alphabetical, TagOrder::PushedAt] {
        let ready = [("1.2.0", READY)];
        let all = ["1.0.0", "1.1.0", "1.2.0"];
        assert_eq!(newer(order, &ready, &all), takes("1.2.0"), "{order:?}");
        assert_eq!(
            newer(order, &ready, &all[..2]),
            (None, None),
            "{order:?}: it is gone"
        );
        let more = ["1.0.0", "1.2.0", "1.3.0"];
        assert_eq!(newer(order, &ready, &more), takes("1.3.0"), "{order:?}");
    }
    // Pushed later, and older by its version.
    let fix = ["1.2.0", "1.1.1"];
    assert_eq!(
        newer(TagOrder::Semver, &[("1.2.0", READY)], &fix),
        takes("1.2.0")
    );
    assert_eq!(
        newer(TagOrder::PushedAt, &[("1.2.0", READY)], &fix),
        takes("1.1.1")
    );
}

#[test]
fn what_is_pushed_after_an_image_that_is_gone_is_newer() {
    let revisions = history(&[("gone", READY)]);
    let before = TaggedImage {
        pushed_at: Some(at(149)),
        ..pushed(&["before"])[0].clone()
    };
    let after = TaggedImage {
        pushed_at: Some(at(151)),
        ..pushed(&["after"])[0].clone()
    };
    let order = TagOrder::PushedAt;
    assert_eq!(
        newer_of(order, &revisions, std::slice::from_ref(&before)),
        (None, None)
    );
    assert_eq!(
        newer_of(order, &revisions, &[before, after]),
        takes("after")
    );
}

#[test]
fn a_tag_that_was_pushed_anew_is_followed() {
    let revisions = history(&[("1.2.0", READY)]);
    let mut all = pushed(&["1.1.0", "1.2.0"]);
    all[1].digest = "sha256:again".to_owned();
    all[1].pushed_at = Some(at(160));
    for order in [TagOrder::Semver, TagOrder::Alphabetical, TagOrder::PushedAt] {
        assert_eq!(
            newer_of(order, &revisions, &all),
            takes("again"),
            "{order:?}"
        );
    }
    // By the moment of its push, an older image under the same tag is no newer one.
    all[1].pushed_at = Some(at(1));
    all[0] = pushed(&["1.2.0"]).remove(0);
    all[0].tag = "kept".to_owned();
    assert_eq!(newer_of(TagOrder::PushedAt, &revisions, &all).0, None);
}

#[test]
fn what_was_rejected_is_passed_over() {
    let rejected = [("1.0.0", READY), ("2.0.0", REJECTED)];
    let none = (None, Some("2.0.0".to_owned()));
    assert_eq!(
        newer(TagOrder::Semver, &rejected, &["1.0.0", "2.0.0"]),
        none
    );
    assert_eq!(
        newer(TagOrder::Semver, &rejected, &["1.0.0", "2.0.0", "2.0.1"]),
        takes("2.0.1")
    );
    // A fix of what runs is newer than what runs.
    let fix = newer(TagOrder::Semver, &rejected, &["1.0.0", "1.0.1", "2.0.0"]);
    assert_eq!(
        fix,
        (Some("sha256:1.0.1".to_owned()), Some("2.0.0".to_owned()))
    );
    // The first of a generation: nothing older is tried in its place.
    let first = [("2.0.0", REJECTED)];
    assert_eq!(
        newer(TagOrder::Semver, &first, &["1.0.0", "1.9.0", "2.0.0"]),
        none
    );
}

#[test]
fn a_rejected_tag_that_was_pushed_anew_is_another_image() {
    let revisions = history(&[("1.0.0", READY), ("2.0.0", REJECTED)]);
    let mut all = pushed(&["1.0.0", "2.0.0"]);
    all[1].digest = "sha256:fixed".to_owned();
    assert_eq!(newer_of(TagOrder::Semver, &revisions, &all), takes("fixed"));
}

#[test]
fn a_later_generation_passes_over_it_too_until_it_is_tried_again() {
    let (all, text) = (pushed(&["1.0.0", "2.0.0"]), pattern(".*", TagOrder::Semver));
    let chosen = |revisions: &BTreeMap<u64, Revision>| {
        let rejected = rejected(revisions);
        let tags = Tags {
            repository: REPOSITORY,
            all: &all,
            rejected: &rejected,
        };
        choose(&text, tags).taken.map(|(tag, _)| tag.to_owned())
    };
    let mut revisions = history(&[("1.0.0", READY), ("2.0.0", REJECTED)]);
    assert_eq!(chosen(&revisions).as_deref(), Some("1.0.0"));
    revisions.get_mut(&2).unwrap().outcome = RevisionOutcome::Pending;
    assert_eq!(chosen(&revisions).as_deref(), Some("2.0.0"));
}

#[test]
fn who_was_ready_before_is_not_to_blame() {
    let revisions = history(&[("1.0.0 5.0.0", READY), ("2.0.0 5.0.0", REJECTED)]);
    assert_eq!(rejected(&revisions), out(&["2.0.0"]));
    let both = history(&[("1.0.0 5.0.0", READY), ("2.0.0 6.0.0", REJECTED)]);
    assert_eq!(rejected(&both), out(&["2.0.0", "6.0.0"]));
    // It was not the one after all.
    let later = [
        ("1.0.0 5.0.0", READY),
        ("2.0.0 6.0.0", REJECTED),
        ("1.0.0 6.0.0", READY),
    ];
    assert_eq!(rejected(&history(&later)), out(&["2.0.0"]));
}

#[test]
fn what_a_person_went_back_from_is_passed_over() {
    let mut revisions = history(&[
        ("1.0.0 5.0.0", READY),
        ("2.0.0 5.0.0", READY),
        ("1.0.0 5.0.0", READY),
    ]);
    assert_eq!(rejected(&revisions), Images::new());
    revisions.get_mut(&3).unwrap().pinned = Some(1);
    assert_eq!(rejected(&revisions), out(&["2.0.0"]));
    // And forth again.
    let mut again = history(&[
        ("1.0.0", READY),
        ("2.0.0", READY),
        ("1.0.0", READY),
        ("2.0.0", READY),
    ]);
    again.get_mut(&3).unwrap().pinned = Some(1);
    again.get_mut(&4).unwrap().pinned = Some(2);
    assert_eq!(rejected(&again), out(&["1.0.0"]));
}
