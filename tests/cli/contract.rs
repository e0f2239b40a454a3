//! What programs read is a contract.

use serde_json::{Value, json};

use crate::support::{Sandbox, fixture, folder, path, run, run_with};

/// Times, ids and versions are of the moment.
fn settled(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let of_the_moment = key.ends_with("At")
                        || key.ends_with("Time")
                        || key.ends_with("Timestamp")
                        || key.ends_with("Since")
                        || ["uid", "resourceVersion", "firstSeen", "installation"]
                            .contains(&key.as_str());
                    if of_the_moment && value.is_string() {
                        *value = Value::from("[of the moment]");
                    } else {
                        walk(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[test]
fn an_object_before_anybody_looked_at_it() {
    let sandbox = Sandbox::start("chuoi", &[]);
    sandbox.apply("chuoi");
    let one = sandbox.expect(0, &["get", "chuoi", "-o", "json"]).json();
    insta::assert_json_snapshot!(settled(one.clone()));
    let all = sandbox.expect(0, &["get", "-o", "json"]).json();
    assert_eq!(all, json!({ "items": [one] }));
    let environments = sandbox
        .expect(0, &["get", "environments", "-o", "json"])
        .json();
    insta::assert_json_snapshot!(settled(environments));
}

#[test]
fn a_plan_and_what_it_waits_for() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    let by_name = sandbox.expect(1, &["plan", "rails", "-o", "json"]).json();
    let members: Vec<&str> = by_name
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, ["actions", "waiting"]);
    for action in by_name["actions"].as_array().unwrap() {
        let members: Vec<&str> = action
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(members, ["kind", "resource", "reason"]);
    }
    let environment = fixture("rails/environment.yaml");
    let release = fixture("rails/release.yaml");
    let by_file = [
        "plan",
        "-f",
        path(&environment),
        "-f",
        path(&release),
        "-o",
        "json",
    ];
    let by_file = sandbox.expect(1, &by_file).json();
    assert_eq!(
        by_file, by_name,
        "an applied manifest and the file lead to the same"
    );
}

#[test]
fn exit_codes_from_apply_to_ready() {
    let sandbox = Sandbox::start("chuoi", &[]);
    sandbox.apply("chuoi");
    let waited = sandbox.expect(2, &["wait", "chuoi", "--timeout", "1s"]);
    assert!(
        waited.stderr.contains("is not Ready after 1s"),
        "{}",
        waited.shown()
    );
    let images = fixture("chuoi/imagedefinitions.json");
    sandbox.expect(0, &["set", "image", "chuoi", "--from", path(&images)]);
    let once = sandbox.expect(0, &["run", "--once", "-o", "json"]).json();
    assert_eq!(
        once,
        json!({ "ready": ["chuoi/chuoi"], "stalled": [], "suspended": [], "held": [] })
    );
    let waited = sandbox.expect(0, &["wait", "chuoi", "--timeout", "5s", "-o", "json"]);
    assert_eq!(waited.stdout, "", "remarks are no JSON");
    sandbox.expect(0, &["wait", "chuoi", "--timeout", "5s"]);
    sandbox.expect(0, &["plan", "chuoi"]);
    sandbox.expect(0, &["drift"]);
    let retry = sandbox.expect(2, &["retry", "chuoi"]);
    assert!(
        retry.stderr.contains("nothing to retry"),
        "{}",
        retry.shown()
    );
}

#[test]
fn drift_is_reported_as_table_json_and_page() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["run", "--once"]);
    sandbox.expect(0, &["drift", "rails"]);
    let by_hand = folder("by-hand").join("account.json");
    std::fs::write(&by_hand, "[]").unwrap();
    let rule = r#"{"Name":"production-rails-sweep-carts","ScheduleExpression":"rate(1 minute)","State":"ENABLED"}"#;
    sandbox.aws("events", "AWSEvents.PutRule", rule);
    let report = sandbox.expect(1, &["drift", "-o", "json"]).json();
    insta::assert_json_snapshot!(settled(report));
    let page = sandbox.expect(1, &["drift", "-o", "html"]).stdout;
    assert!(
        page.starts_with("<!doctype html>") && page.contains("rate(1 minute)"),
        "{page}"
    );
    let table = sandbox.expect(1, &["drift"]).stdout;
    assert!(
        table.contains(
            "schedule/sweep-carts   ScheduleExpression   cron(0/15 * * * ? *)   rate(1 minute)"
        ),
        "{table}"
    );
}

#[test]
fn the_version() {
    let version = run(&["version", "-o", "json"]).json();
    assert_eq!(version["apiVersion"], "evenkeel.dev/v1alpha1");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        run(&["version"]).stdout,
        format!("evenkeel {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn schemas_and_completions_are_printed() {
    let schema = run(&["schema", "release"]).json();
    assert!(schema["properties"]["spec"]["properties"]["migrations"].is_object());
    let crds = run(&["schema", "--crd"]).stdout;
    assert!(crds.contains("releases.evenkeel.dev") && crds.contains("environments.evenkeel.dev"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, Some(0));
        assert!(script.stdout.contains("migration"), "{shell}");
    }
}

#[test]
fn the_configuration_and_where_each_setting_was_said() {
    let environment = [
        ("EVENKEEL_TABLE", "releases"),
        ("EVENKEEL_RUN_RESYNC", "1m"),
        ("EVENKEEL_RUN_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ("HOSTNAME", "ip-10-0-0-1"),
    ];
    let args = ["run", "--print-config", "--workers", "4"];
    let ended = run_with(&[&args[..], &["-o", "json"]].concat(), &environment);
    assert_eq!(ended.code, Some(0), "{}", ended.shown());
    let mut config = ended.json();
    let identity = config["identity"]["value"].take();
    let identity = identity.as_str().unwrap();
    assert!(identity.starts_with("ip-10-0-0-1_"), "{identity}");
    insta::assert_json_snapshot!(config);
    let identified = [&args[..], &["--identity", "blue"]].concat();
    insta::assert_snapshot!(run_with(&identified, &environment).shown());
    let yaml = run_with(&[&args[..], &["-o", "yaml"]].concat(), &environment);
    assert!(yaml.stdout.starts_with("table:\n"), "{}", yaml.shown());
}
