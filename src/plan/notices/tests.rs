use serde_json::{Value, json};

use super::*;
use crate::resource::notification::NotificationEvent as Event;

const NOW: &str = "2026-03-02T09:00:00Z";

/// A status of generation 1 with these conditions: `Ready=False:Progressing`.
fn status(conditions: &[&str], more: Value) -> ReleaseStatus {
    let condition = |text: &&str| {
        let (kind, rest) = text.split_once('=').unwrap();
        let (status, reason) = rest.split_once(':').unwrap();
        json!({
            "type": kind, "status": status, "reason": reason, "message": format!("{reason} it is"),
            "lastTransitionTime": NOW, "observedGeneration": 1,
        })
    };
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    let mut status = json!({"observedGeneration": 1, "conditions": conditions});
    let members = status.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    serde_json::from_value(status).unwrap()
}

fn moving(revision: u64, ready: Option<u64>) -> ReleaseStatus {
    let conditions = ["Ready=False:Progressing", "Reconciling=True:Progressing"];
    status(
        &conditions,
        json!({"revision": revision, "readyRevision": ready}),
    )
}

fn ready(revision: u64) -> ReleaseStatus {
    let conditions = ["Ready=True:Ready", "Drifted=False:NoDifferences"];
    status(
        &conditions,
        json!({"revision": revision, "readyRevision": revision}),
    )
}

fn stalls(revision: u64, reason: &str) -> ReleaseStatus {
    let (no, yes) = (
        format!("Ready=False:{reason}"),
        format!("Stalled=True:{reason}"),
    );
    status(
        &[&no, &yes],
        json!({"revision": revision, "readyRevision": 1}),
    )
}

fn unknown(revision: u64) -> ReleaseStatus {
    let conditions = [
        "Ready=Unknown:ObservationFailed",
        "Reconciling=True:ObservationFailed",
        "Drifted=Unknown:ObservationFailed",
    ];
    status(
        &conditions,
        json!({"revision": revision, "readyRevision": revision}),
    )
}

fn drifted(revision: u64) -> ReleaseStatus {
    let conditions = [
        "Ready=False:Progressing",
        "Reconciling=True:Progressing",
        "Drifted=True:Differences",
    ];
    let difference = json!({
        "resource": "service/web", "field": "taskDefinition", "desired": "web:2",
        "actual": "web:1", "firstSeen": NOW, "action": "Corrected",
    });
    let drift = json!({"differences": [difference]});
    let more = json!({"revision": revision, "readyRevision": revision, "drift": drift});
    status(&conditions, more)
}

fn held(revision: u64, reason: &str) -> ReleaseStatus {
    let no = format!("Ready=False:{reason}");
    status(&[&no], json!({"revision": revision, "readyRevision": 1}))
}

/// Revisions that are recorded, with the content of each.
fn ledger(revisions: &[(u64, &str, RevisionOutcome)]) -> Ledger {
    let revision = |(number, content, outcome): &(u64, &str, RevisionOutcome)| {
        let revision = json!({
            "version": 1, "number": number, "uid": "u", "generation": 1, "content": content,
            "images": {"web": {"reference": "1.dkr.ecr.eu-west-1.amazonaws.com/web:v2", "image": "i"}},
            "applier": "ci", "source": "0123abc", "createdAt": NOW, "outcome": outcome,
        });
        (*number, serde_json::from_value(revision).unwrap())
    };
    Ledger {
        revisions: revisions.iter().map(revision).collect(),
        ..Ledger::default()
    }
}

use RevisionOutcome::{Pending, Ready, Rejected};

/// A Release whose statuses follow each other.
struct Story {
    status: ReleaseStatus,
    version: u64,
    announced: Announced,
    ledger: Ledger,
    actions: Vec<Action>,
}

impl Story {
    fn new() -> Self {
        Self {
            status: ReleaseStatus::default(),
            version: 0,
            announced: Announced::default(),
            ledger: ledger(&[(1, "a", Pending), (2, "b", Pending), (3, "b", Pending)]),
            actions: Vec::new(),
        }
    }

    /// One whose first revision is Ready, which nobody was told.
    fn settled() -> Self {
        Self {
            status: ready(1),
            ledger: ledger(&[(1, "a", Ready), (2, "b", Pending), (3, "b", Pending)]),
            ..Self::new()
        }
    }

    fn tell(&mut self, after: ReleaseStatus) -> Vec<Notice> {
        self.version += 1;
        let key = ReleaseKey::new("shop", "web");
        let (told, announced) = notices(&Change {
            key: &key,
            uid: "u",
            before: &self.status,
            after: &after,
            version: self.version,
            announced: &self.announced,
            ledger: Some(&self.ledger),
            actions: &self.actions,
            applier: Some("ci"),
            source: None,
            now: NOW.parse().unwrap(),
        });
        self.status = after;
        self.announced = announced;
        told
    }

    fn events(&mut self, after: ReleaseStatus) -> Vec<Event> {
        self.tell(after).iter().map(|notice| notice.event).collect()
    }
}

#[test]
fn a_revision_begins_once_and_is_ready_once() {
    let mut story = Story::new();
    assert_eq!(story.events(moving(1, None)), [Event::Started]);
    assert_eq!(story.events(moving(1, None)), []);
    assert_eq!(story.events(unknown(1)), []);
    assert_eq!(story.events(ready(1)), [Event::Ready]);
    assert_eq!(story.events(ready(1)), []);
    assert_eq!(story.events(moving(2, Some(1))), [Event::Started]);
    // What goes back and forth between what is known and unknown is no news.
    assert_eq!(story.events(unknown(2)), []);
    assert_eq!(story.events(moving(2, Some(1))), []);
    assert_eq!(story.events(ready(2)), [Event::Ready]);
}

#[test]
fn a_revision_that_is_not_recorded_has_not_begun() {
    let mut story = Story::new();
    story.ledger = Ledger::default();
    assert_eq!(story.events(moving(1, None)), []);
    story.ledger = ledger(&[(1, "a", Rejected)]);
    assert_eq!(story.events(moving(1, None)), []);
}

#[test]
fn a_revision_that_brings_nothing_is_no_news() {
    let mut story = Story::settled();
    story.ledger = ledger(&[(1, "a", Ready), (2, "a", Pending)]);
    assert_eq!(story.events(moving(2, Some(1))), []);
    assert_eq!(story.events(ready(2)), []);
    // Nor where it never showed as moving.
    let mut story = Story::settled();
    story.ledger = ledger(&[(1, "a", Ready), (2, "a", Ready)]);
    assert_eq!(story.events(ready(2)), []);
}

#[test]
fn who_is_told_only_from_now_on_is_told_of_changes_only() {
    let mut story = Story::settled();
    assert_eq!(story.events(ready(1)), []);
    let mut story = Story::settled();
    story.status = stalls(1, "AccessDenied");
    let mut other = stalls(1, "AccessDenied");
    other.conditions[1].message = "in other words".to_owned();
    assert_eq!(story.events(other), []);
    // What nobody was told of did not end, either.
    assert_eq!(story.events(ready(1)), []);
}

#[test]
fn a_thousand_failures_are_told_once_and_their_end_once() {
    let mut story = Story::settled();
    let mut told = Vec::new();
    for number in 0..1000 {
        let mut failing = stalls(1, "AccessDenied");
        failing.conditions[1].message = format!("try {number}");
        told.extend(story.events(failing));
        if number % 3 == 0 {
            told.extend(story.events(unknown(1)));
            told.extend(story.events(moving(1, Some(1))));
        }
    }
    assert_eq!(told, [Event::Stalled]);
    let end = story.tell(ready(1));
    assert_eq!(end.len(), 1);
    assert!(end[0].event == Event::Ready && end[0].again, "{end:?}");
    assert_eq!(story.events(ready(1)), []);
    // It fails another day: that is news again.
    assert_eq!(story.events(stalls(1, "AccessDenied")), [Event::Stalled]);
}

#[test]
fn each_reason_generation_and_revision_is_told() {
    let mut story = Story::settled();
    assert_eq!(story.events(stalls(1, "AccessDenied")), [Event::Stalled]);
    assert_eq!(story.events(stalls(1, "Conflict")), [Event::Stalled]);
    assert_eq!(story.events(stalls(1, "AccessDenied")), []);
    assert_eq!(story.events(stalls(2, "AccessDenied")), [Event::Stalled]);
    let mut next = stalls(2, "AccessDenied");
    next.observed_generation = Some(2);
    assert_eq!(story.events(next.clone()), [Event::Stalled]);
    assert_eq!(story.events(next), []);
}

#[test]
fn a_failure_is_told_again_when_a_person_tried_again() {
    let mut story = Story::settled();
    assert_eq!(story.events(stalls(2, "RolloutFailed")), [Event::Stalled]);
    let request = json!({"id": "1", "kind": {"type": "Retry"}, "by": "ann", "at": NOW});
    story.ledger.requests = vec![serde_json::from_value(request).unwrap()];
    let id = "1".to_owned();
    story.actions = vec![Action {
        resource: "request".to_owned(),
        reason: "asked for".to_owned(),
        step: Step::FinishRequest { id },
    }];
    assert_eq!(story.events(moving(2, Some(1))), [Event::Started]);
    story.actions.clear();
    assert_eq!(story.events(stalls(2, "RolloutFailed")), [Event::Stalled]);
    let told = story.tell(ready(2));
    assert!(told.len() == 1 && told[0].again, "{told:?}");
}

#[test]
fn a_way_back_is_told_as_one() {
    let mut story = Story::settled();
    assert_eq!(story.events(moving(2, Some(1))), [Event::Started]);
    story.ledger = ledger(&[(1, "a", Ready), (2, "b", Rejected)]);
    assert_eq!(story.events(moving(2, Some(1))), []);
    assert_eq!(story.events(stalls(2, "RolledBack")), [Event::RolledBack]);
    assert_eq!(story.events(stalls(2, "RolledBack")), []);
}

#[test]
fn drift_is_told_when_it_is_found_and_when_it_is_gone() {
    let mut story = Story::settled();
    assert_eq!(story.events(drifted(1)), [Event::DriftFound]);
    assert_eq!(story.events(drifted(1)), []);
    assert_eq!(story.events(unknown(1)), []);
    assert_eq!(story.events(drifted(1)), []);
    let gone = story.tell(ready(1));
    assert_eq!(
        gone.len(),
        1,
        "it was never told to be anything but Ready: {gone:?}"
    );
    assert_eq!(gone[0].event, Event::DriftCorrected);
    assert!(
        gone[0].message.starts_with("service/web: put right"),
        "{gone:?}"
    );
    assert_eq!(story.events(ready(1)), []);
    assert_eq!(story.events(drifted(1)), [Event::DriftFound]);
}

#[test]
fn a_revision_that_waits_is_told_once() {
    let mut story = Story::settled();
    assert_eq!(
        story.events(held(2, "ApprovalPending")),
        [Event::WaitingForApproval]
    );
    assert_eq!(story.events(held(2, "ApprovalPending")), []);
    assert_eq!(story.events(unknown(2)), []);
    assert_eq!(story.events(held(2, "ApprovalPending")), []);
    assert_eq!(story.events(held(2, "WindowClosed")), []);
    assert_eq!(story.events(moving(2, Some(1))), [Event::Started]);
    assert_eq!(
        story.events(held(3, "ApprovalPending")),
        [Event::WaitingForApproval]
    );
}

#[test]
fn a_suspended_release_tells_nothing() {
    let mut story = Story::settled();
    let suspended = status(
        &["Ready=False:Suspended", "Drifted=Unknown:Suspended"],
        json!({"revision": 1, "readyRevision": 1}),
    );
    assert_eq!(story.events(suspended), []);
    assert_eq!(story.events(ready(1)), []);
}

#[test]
fn the_same_write_tells_the_same_and_another_something_else() {
    let first = Story::settled().tell(stalls(1, "AccessDenied"));
    let again = Story::settled().tell(stalls(1, "AccessDenied"));
    assert_eq!(first, again);
    let mut story = Story::settled();
    story.version = 7;
    let other = story.tell(stalls(1, "AccessDenied"));
    assert_ne!(first[0].id, other[0].id);
}

#[test]
fn a_notice_says_what_it_is_about() {
    let mut story = Story::settled();
    let told = story.tell(moving(2, Some(1)));
    let notice = &told[0];
    assert_eq!((notice.generation, notice.revision), (1, Some(2)));
    assert_eq!(notice.source.as_deref(), Some("0123abc"));
    assert_eq!(notice.applier.as_deref(), Some("ci"));
    assert!(notice.images["web"].ends_with("/web:v2"));
    let mut long = stalls(1, "AccessDenied");
    long.conditions[1].message = "x".repeat(10_000);
    assert_eq!(story.tell(long)[0].message.len(), MESSAGE);
}

fn notification(more: Value) -> Notification {
    let mut found = json!({"name": "n", "sns": {"topicArn": "t"}});
    let members = found.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    serde_json::from_value(found).unwrap()
}

#[test]
fn only_those_are_told_who_asked_for_it() {
    let told = Story::settled().tell(stalls(1, "AccessDenied"));
    for (more, wanted) in [
        (json!({}), true),
        (json!({"on": ["Stalled"]}), true),
        (json!({"on": ["Ready", "RolledBack"]}), false),
        (json!({"releases": ["web"]}), true),
        (json!({"releases": ["api", "we*"]}), true),
        (json!({"releases": ["api"]}), false),
        (json!({"releases": ["web"], "on": ["Ready"]}), false),
    ] {
        let sent = outgoing(&[notification(more.clone())], &told);
        assert_eq!(!sent.is_empty(), wanted, "{more}");
    }
}

fn plain(text: &str) -> String {
    text.to_owned()
}

#[test]
fn templates_put_in_what_they_name_and_escape_no_more_than_that() {
    let notice = &Story::settled().tell(moving(2, Some(1)))[0];
    let all = "<!here> ${namespace}/${release} ${event} ${reason}: ${message} [${generation}.${revision}] ${images} ${source} ${applier} $5";
    assert_eq!(
        render(Some(all), notice, plain),
        "<!here> shop/web Started Progressing: Progressing it is [1.2] web web:v2 0123abc ci $5"
    );
    let bare = Notice {
        message: "a < b & ${release}".to_owned(),
        source: None,
        revision: None,
        ..notice.clone()
    };
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let text = render(Some("<b>${message}</b>${source}${revision}"), &bare, escape);
    assert_eq!(
        text, "<b>a &lt; b &amp; ${release}</b>",
        "nothing is put in twice"
    );
}

#[test]
fn own_texts_tell_what_happened_why_and_what_to_do() {
    let mut story = Story::settled();
    let mut texts: Vec<String> = Vec::new();
    let statuses = [
        held(2, "ApprovalPending"),
        moving(2, Some(1)),
        stalls(2, "RolloutFailed"),
        stalls(2, "RolledBack"),
        ready(2),
        drifted(2),
        ready(2),
    ];
    for status in statuses {
        let told = story.tell(status);
        texts.extend(told.iter().map(|notice| render(None, notice, plain)));
    }
    insta::assert_snapshot!(texts.join("\n---\n"));
}

#[test]
fn a_subject_is_short_and_ascii() {
    let notice = &Story::settled().tell(moving(2, Some(1)))[0];
    assert_eq!(subject(notice), "shop/web: Started, revision 2");
    let long = Notice {
        release: ReleaseKey::new("s".repeat(63), "w".repeat(63)),
        ..notice.clone()
    };
    assert!(subject(&long).len() < 100);
}
