//! `plan -f` plans what `apply` of the same files would make, and is refused where it would be.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Sandbox, fixture, folder, path};

/// An example's file with something changed, in a folder of the test.
fn changed(test: &str, file: &str, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(fixture(file)).expect("the example is there");
    assert!(text.contains(from), "{file} has no {from}");
    let place = folder(test).join("changed.yaml");
    std::fs::write(&place, text.replacen(from, to, 1)).expect("the folder can be written");
    place
}

/// Calls that changed the table.
fn writes(sandbox: &Sandbox) -> Value {
    let calls: Value =
        serde_json::from_str(&sandbox.page("GET", "/_sandbox/calls", "")).expect("JSON");
    let write = |name: &str| name.contains("dynamodb.") && evenkeel_writes(name);
    calls
        .as_object()
        .expect("counts by name")
        .iter()
        .filter(|(name, _)| write(name))
        .map(|(name, count)| (name.clone(), count.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn evenkeel_writes(name: &str) -> bool {
    ["Put", "Update", "Delete", "Transact", "BatchWrite"]
        .iter()
        .any(|word| name.contains(word))
}

#[test]
fn fields_that_others_set_stay_as_apply_would_leave_them() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["suspend", "rails"]);
    let set = ["set", "image", "rails", "app=1f0e8a7", "--applier", "ci"];
    sandbox.expect(0, &set);
    let before = writes(&sandbox);
    let release = fixture("rails/release.yaml");
    let file = ["plan", "-f", path(&release), "-o", "json"];
    let name = ["plan", "rails", "-o", "json"];
    let by_name = sandbox.expect(0, &name).json();
    let waits = by_name["waiting"].to_string();
    assert!(waits.contains("suspended"), "a plan says why not: {waits}");
    assert_eq!(sandbox.expect(0, &file).json(), by_name, "it is suspended");
    let mut forced = file.to_vec();
    forced.push("--force");
    sandbox.expect(1, &forced);
    sandbox.expect(0, &name);
    assert_eq!(writes(&sandbox), before, "a plan writes nothing");
}

#[test]
fn what_apply_would_refuse_is_refused() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.expect(0, &["init"]);
    let release = fixture("rails/release.yaml");
    let plan = ["plan", "-f", path(&release)];
    let refused = |args: &[&str], sentence: &str| {
        let ended = sandbox.expect(2, args);
        assert!(ended.stderr.contains(sentence), "{}", ended.shown());
        assert_eq!(ended.stdout, "");
    };
    refused(
        &plan,
        "there is no Environment production in table evenkeel",
    );
    sandbox.apply("rails");
    let before = writes(&sandbox);
    let stale = changed(
        "plan-stale",
        "rails/release.yaml",
        "name: rails\n",
        "name: rails\n  resourceVersion: \"9\"\n",
    );
    refused(&["plan", "-f", path(&stale)], "states resourceVersion 9");
    let mut elsewhere = plan.to_vec();
    elsewhere.extend(["-n", "staging"]);
    refused(&elsewhere, "not of namespace staging");
    assert_eq!(writes(&sandbox), before, "a plan writes nothing");

    sandbox.expect(0, &["run", "--once"]);
    let moved = changed(
        "plan-moved",
        "rails/environment.yaml",
        "cluster: rails-production",
        "cluster: rails-staging",
    );
    let mut moving = plan.to_vec();
    moving.extend(["-f", path(&moved)]);
    refused(&moving, "cannot move while Releases refer to it");
    sandbox.expect(0, &["delete", "rails"]);
    refused(&plan, "is being deleted since");
}
