use serde_json::{Value, json};

use super::*;

const AT: &str = "2026-03-02T09:00:00Z";

fn release(revision: u64) -> Release {
    serde_json::from_value(json!({
        "apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": "rails", "namespace": "production"},
        "spec": {}, "status": {"revision": revision},
    }))
    .unwrap()
}

fn revision(number: u64, more: Value) -> (u64, Revision) {
    let mut whole = json!({
        "number": number, "uid": "u", "generation": number, "content": "c",
        "createdAt": AT, "finishedAt": "2026-03-02T09:02:10Z", "outcome": "Ready",
    });
    for (name, value) in more.as_object().unwrap() {
        whole[name] = value.clone();
    }
    (number, serde_json::from_value(whole).unwrap())
}

fn image(tag: &str) -> Value {
    json!({"app": {
        "reference": format!("123456789012.dkr.ecr.eu-central-1.amazonaws.com/rails/app:{tag}"),
        "image": "x", "digest": format!("sha256:{}", "a".repeat(64)),
    }})
}

fn ledger() -> Ledger {
    let part = |healthy: bool| {
        json!({
            "family": "f", "structure": "s", "definition": "d", "healthy": healthy,
        })
    };
    let failed = json!({"reason": "RolloutFailed", "message": "service/app: it crashed"});
    let left = json!({"to": 1, "by": "ada", "at": AT});
    Ledger {
        revisions: [
            revision(
                0,
                json!({"finishedAt": null, "parts": {"service/app": part(false)}}),
            ),
            revision(
                1,
                json!({"images": image("9d3c2f1"), "applier": "ci", "source": "4".repeat(40)}),
            ),
            revision(
                2,
                json!({"images": image("bad"), "applier": "ci", "outcome": "Rejected",
                       "reason": failed, "left": left}),
            ),
            revision(
                3,
                json!({"images": image("9d3c2f1"), "applier": "ada", "outcome": "Pending",
                       "finishedAt": null, "generation": 2, "pinned": 1}),
            ),
        ]
        .into(),
        ..Ledger::default()
    }
}

#[test]
fn the_newest_comes_first_and_each_says_how_it_ended() {
    let now = "2026-03-02T10:00:00Z".parse().unwrap();
    let history = History::new(&release(3), &ledger());
    insta::assert_snapshot!(history.table(now, Paint::default()));
    insta::assert_json_snapshot!(history);
}

#[test]
fn a_way_back_counts_once_it_has_been_gone() {
    let told = |state: &str| {
        let rollback = json!({"to": 1, "state": state});
        let (number, rejected) = revision(
            2,
            json!({"outcome": "Rejected", "rollback": rollback.clone()}),
        );
        let ledger = Ledger {
            revisions: [(number, rejected)].into(),
            ..Ledger::default()
        };
        let told = serde_json::to_value(History::new(&release(2), &ledger)).unwrap();
        let entry = &told["items"][0];
        assert_eq!(entry["rollback"], rollback);
        entry["rolledBackTo"].as_u64()
    };
    assert_eq!(told("Done"), Some(1));
    // Nothing is back where it was overtaken on the way, or failed.
    assert_eq!(told("Underway"), None);
    assert_eq!(told("Failed"), None);
}

#[test]
fn who_approved_a_revision_is_told() {
    let approved = json!({"approved": {"by": "ada", "at": AT}});
    let ledger = Ledger {
        revisions: [revision(1, approved)].into(),
        ..Ledger::default()
    };
    let history = History::new(&release(1), &ledger);
    let table = history.table(AT.parse().unwrap(), Paint::default());
    assert!(table.contains("approved by ada"), "{table}");
    let told = serde_json::to_value(&history).unwrap();
    let entry = &told["items"][0];
    assert_eq!(entry["approvedBy"], "ada");
    assert_eq!(entry["approvedAt"], AT);
}

#[test]
fn a_release_without_revisions_says_so() {
    let history = History::new(&release(0), &Ledger::default());
    let told = history.table(AT.parse().unwrap(), Paint::default());
    assert_eq!(told, "No revision is recorded yet.\n");
}
