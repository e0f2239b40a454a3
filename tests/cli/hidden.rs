//! Environment values of containers are in the manifest and nowhere else that evenkeel prints.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Ended, Sandbox, fixture, folder, path, run_with};

/// In every value of an environment variable, and in nothing else.
const MARKER: &str = "s3cr3t";

/// The Rails release with environment values at every place that takes them.
fn release(values: &str) -> PathBuf {
    let text = std::fs::read_to_string(fixture("rails/release.yaml")).expect("the example");
    let variable = |indent: &str| {
        format!(
            "{indent}environment: [{{name: KEY, value: {MARKER}-{values}}}, {{name: A.B, value: {MARKER}-{values}}}]\n"
        )
    };
    let mut text: String = text
        .lines()
        .map(|line| {
            let more = match line.find("command:") {
                Some(at) => variable(&" ".repeat(at)),
                None => String::new(),
            };
            format!("{line}\n{more}")
        })
        .collect();
    let inline = format!(
        "    - name: sweep-inline
      expression: rate(1 day)
      images: {{rails: app}}
      taskDefinition:
        inline:
          family: rails-inline
          networkMode: awsvpc
          requiresCompatibilities: [FARGATE]
          cpu: \"256\"
          memory: \"512\"
          executionRoleArn: arn:aws:iam::123456789012:role/railsMigrate
          containerDefinitions:
            - name: rails
              essential: true
{}",
        variable("              ")
    );
    text.push_str(&inline);
    let place = folder("hidden").join(format!("release-{values}.yaml"));
    std::fs::write(&place, text).expect("the folder can be written");
    place
}

#[track_caller]
fn silent(ended: &Ended) {
    assert!(!ended.shown().contains(MARKER), "{}", ended.shown());
}

/// Somebody gives a schedule's container another value.
fn overridden_by_hand(sandbox: &Sandbox) {
    let rule = "production-rails-nightly-report";
    let asked = json!({ "Rule": rule }).to_string();
    let found = sandbox.aws("events", "AWSEvents.ListTargetsByRule", &asked);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let mut target = found["Targets"][0].clone();
    let input = target["Input"].as_str().expect("the overrides");
    assert!(input.contains(MARKER), "{input}");
    target["Input"] = input.replace("-three", "-by-hand").into();
    let put = json!({ "Rule": rule, "Targets": [target] }).to_string();
    sandbox.aws("events", "AWSEvents.PutTargets", &put);
}

#[test]
fn no_environment_value_of_a_container_is_printed() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    for format in ["table", "json"] {
        for values in ["one", "two"] {
            let file = release(&format!("{values}-{format}"));
            let plan = sandbox.run(&["plan", "-f", path(&file), "-o", format]);
            assert_eq!(plan.code, Some(1), "{}", plan.shown());
            silent(&plan);
            let applied = sandbox.expect(0, &["apply", "-f", path(&file), "-o", format]);
            silent(&applied);
            let told = applied.stdout.contains("(hidden)") && applied.stdout.contains("differs");
            assert!(told || values == "one", "{}", applied.shown());
        }
        let other = release(&format!("other-{format}"));
        silent(&sandbox.expect(0, &["apply", "-f", path(&other), "--applier", "ops"]));
        let mine = release(&format!("two-{format}"));
        let kept = sandbox.expect(0, &["apply", "-f", path(&mine), "-o", format]);
        assert!(kept.stdout.contains("kept"), "{}", kept.shown());
        silent(&kept);
        silent(&sandbox.expect(0, &["set", "image", "rails", "app=1f0e8a7", "-o", format]));
        silent(&sandbox.expect(1, &["plan", "rails", "-o", format]));
    }
    // The most that is logged: of ours, and of the SDK's.
    let file = release("traced");
    let traced = |args: &[&str]| {
        let mut environment = sandbox.environment();
        environment.push(("RUST_LOG", "trace"));
        let ended = run_with(args, &environment);
        assert_eq!(ended.code, Some(0), "{}", ended.shown());
        silent(&ended);
        ended
    };
    traced(&["apply", "-f", path(&file), "--force"]);
    let logs = traced(&["run", "--once"]);
    assert!(logs.stderr.contains(" DEBUG "), "{}", logs.shown());
    let file = release("three");
    silent(&sandbox.expect(0, &["apply", "-f", path(&file), "--force", "-vvv"]));
    let logs = sandbox.expect(0, &["run", "--once", "-vvv", "--log-format", "json"]);
    assert!(logs.stderr.contains("RegisterTaskDefinition"));
    silent(&logs);
    overridden_by_hand(&sandbox);
    for format in ["table", "json", "html"] {
        let drift = sandbox.expect(1, &["drift", "-o", format]);
        assert!(drift.stdout.contains("target.Input"), "{}", drift.shown());
        silent(&drift);
    }
    silent(&sandbox.expect(0, &["get"]));
    silent(&sandbox.expect(0, &["get", "rails"]));
    let spec = sandbox.expect(0, &["get", "rails", "-o", "yaml"]);
    assert!(spec.stdout.contains(MARKER), "it is the person's own");
}
