//! What is not known, not there or on its way out is never told as if all were well.

use crate::support::{Sandbox, fixture, folder, path};

fn deny(sandbox: &Sandbox, actions: &str) {
    let settings = format!(r#"{{"deny": [{actions}]}}"#);
    sandbox.page("PUT", "/_sandbox/settings", &settings);
}

#[test]
fn a_denied_read_is_no_clean_plan() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["run", "--once"]);
    sandbox.expect(0, &["plan", "rails"]);
    deny(&sandbox, r#""events:ListRules""#);
    let plan = sandbox.expect(2, &["plan", "rails"]);
    assert!(plan.stdout.contains("Not known"), "{}", plan.shown());
    assert!(plan.stdout.contains("events:ListRules"), "{}", plan.shown());
    sandbox.expect(2, &["drift"]);
    deny(&sandbox, "");
    sandbox.expect(0, &["drift"]);

    // A rule that is nobody's any more is not compared, and so not clean.
    let rule = "arn:aws:events:ap-northeast-1:123456789012:rule/production-rails-sweep-carts";
    let tags = format!(
        r#"{{"ResourceARN": "{rule}", "TagKeys": ["evenkeel:release", "evenkeel:installation"]}}"#
    );
    sandbox.aws("events", "AWSEvents.UntagResource", &tags);
    let drift = sandbox.expect(2, &["drift"]);
    assert!(drift.stdout.contains("adopt"), "{}", drift.shown());
}

#[test]
fn releases_without_environment_are_listed_and_no_namespace_is_no_success() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    let gone = r#"{"TableName": "evenkeel",
        "Key": {"pk": {"S": "environment"}, "sk": {"S": "environment#production"}}}"#;
    sandbox.aws("dynamodb", "DynamoDB_20120810.DeleteItem", gone);
    let list = sandbox.expect(0, &["get"]);
    assert!(list.stdout.contains("rails"), "{}", list.shown());
    let drift = sandbox.expect(2, &["drift"]);
    assert!(drift.stdout.contains("production"), "{}", drift.shown());
    let run = sandbox.expect(1, &["run", "--once"]);
    assert!(
        run.stdout.contains("EnvironmentNotFound"),
        "{}",
        run.shown()
    );
    for verb in [&["run", "--once"][..], &["drift"], &["get"]] {
        let args: Vec<&str> = verb.iter().copied().chain(["-n", "nope"]).collect();
        let told = sandbox.expect(2, &args);
        assert!(told.stderr.contains("nope"), "{}", told.shown());
    }
}

#[test]
fn what_is_being_deleted_is_neither_ready_nor_missed() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["run", "--once"]);
    sandbox.expect(0, &["delete", "rails"]);
    let list = sandbox.expect(0, &["get"]);
    assert!(list.stdout.contains("Deleting"), "{}", list.shown());
    let wait = sandbox.expect(2, &["wait", "rails"]);
    assert!(wait.stderr.contains("is being deleted"), "{}", wait.shown());
    sandbox.expect(0, &["run", "--once"]);
    let gone = sandbox.expect(0, &["wait", "rails", "--for", "Deleted"]);
    assert!(gone.shown().contains("deleted"), "{}", gone.shown());
    sandbox.expect(2, &["wait", "rails"]);
}

#[test]
fn files_without_a_manifest_are_no_success() {
    let sandbox = Sandbox::start("rails", &[]);
    let folder = folder("empty");
    let file = folder.join("release.yaml");
    for text in ["", "# nothing here\n", "---\n"] {
        std::fs::write(&file, text).unwrap();
        for verb in ["validate", "apply", "plan"] {
            let told = sandbox.expect(2, &[verb, "-f", path(&file)]);
            assert!(told.stderr.contains("manifest"), "{}", told.shown());
        }
    }
    sandbox.expect(0, &["validate", "-f", path(&fixture("rails/release.yaml"))]);
}
