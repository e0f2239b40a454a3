//! Verbs that only mean something beside other ones: what waits, watches, prunes, stops and asks.

use serde_json::{Value, json};

use crate::support::{Running, Sandbox, fixture, folder, path};

/// The Rails release with nothing but its migration and one schedule, which takes no time.
pub fn small() -> String {
    let whole = std::fs::read_to_string(fixture("rails/release.yaml")).expect("it is there");
    let (migrations, rest) = whole.split_once("  services:\n").expect("services");
    let (_, schedules) = rest.split_once("  schedules:\n").expect("schedules");
    let (first, _) = schedules.split_once("    - name: sweep").expect("two");
    let nginx = "    nginx:\n      repository: 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/nginx\n      tag: 9d3c2f1\n";
    assert!(migrations.contains(nginx), "{migrations}");
    format!("{}  schedules:\n{first}", migrations.replace(nginx, ""))
}

#[test]
fn one_that_waits_one_that_watches_and_one_that_prunes() {
    let sandbox = Sandbox::start("rails", &[]);
    let folder = folder("waits-watches-prunes");
    let (rails, second) = (folder.join("rails.yaml"), folder.join("second.yaml"));
    std::fs::write(&rails, small()).unwrap();
    let other = small().replace("name: rails\n  namespace", "name: second\n  namespace");
    std::fs::write(&second, other).unwrap();
    let environment = fixture("rails/environment.yaml");
    let (environment, rails, second) = (path(&environment), path(&rails), path(&second));
    sandbox.expect(0, &["init"]);
    sandbox.expect(0, &["apply", "-f", environment, "--applier", "ada"]);
    sandbox.expect(0, &["apply", "-f", rails, "-f", second, "--applier", "ci"]);

    // A newer generation takes the place of the one that is waited for.
    let mut waits = sandbox.start_command(&["wait", "rails", "--timeout", "60s"]);
    let mut watches = sandbox.start_command(&["get", "rails", "-w", "-o", "json"]);
    waits.until("production/rails");
    watches.until(r#""tag": "9d3c2f1""#);
    let set = ["set", "image", "rails", "app=1f0e8a7", "--applier", "ci"];
    sandbox.expect(0, &set);
    let told = waits.ends(3);
    assert!(
        told.contains("was changed meanwhile: generation 2 takes its place"),
        "{told}"
    );
    watches.until(r#""tag": "1f0e8a7""#);
    drop(watches);

    // What is no longer among the files goes; what somebody else applied stays.
    let prune = |more: &[&'static str], file: &str, code: i32| {
        let mut args = vec!["apply", "-f", file, "--applier", "ci", "--prune"];
        args.extend(more);
        sandbox.expect(code, &args)
    };
    let pruned = prune(&[], rails, 0).stdout;
    assert!(
        pruned.ends_with("Release production/second pruned\n"),
        "{pruned}"
    );
    let deleting = |name: &str| {
        let object = sandbox.expect(0, &["get", name, "-o", "json"]).json();
        object["metadata"]["deletionTimestamp"].is_string()
    };
    assert!(deleting("second") && !deleting("rails"));
    let refused = prune(&[], environment, 2).stderr;
    assert!(
        refused.contains("would delete everything that applier ci applied")
            && refused.contains("--allow-empty"),
        "{refused}"
    );
    assert!(!deleting("rails"));

    // apply --wait ends when the release is Ready.
    let controller = sandbox.start_command(&["run"]);
    let waited = sandbox.expect(0, &["apply", "-f", rails, "--force", "--wait"]);
    assert!(
        waited
            .stdout
            .ends_with("release/production/rails is Ready\n"),
        "{}",
        waited.shown()
    );
    drop(controller);

    // delete --orphan looks at nothing in AWS.
    sandbox.page("DELETE", "/_sandbox/calls", "");
    sandbox.page(
        "PUT",
        "/_sandbox/settings",
        r#"{"deny": ["ecs:*", "ecr:*", "events:*"]}"#,
    );
    sandbox.expect(0, &["delete", "rails", "--orphan"]);
    sandbox.expect(0, &["run", "--once"]);
    let gone = sandbox.expect(2, &["get", "rails"]).stderr;
    assert!(gone.contains("release rails does not exist"), "{gone}");
    let calls: Value = serde_json::from_str(&sandbox.page("GET", "/_sandbox/calls", "")).unwrap();
    let elsewhere: Vec<_> = calls
        .as_object()
        .unwrap()
        .keys()
        .filter(|call| !call.starts_with("dynamodb.") && !call.starts_with("sts."))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    sandbox.page("PUT", "/_sandbox/settings", r#"{"deny": []}"#);
    let rules = sandbox.aws("events", "AWSEvents.ListRules", "{}");
    assert!(rules.contains("production-rails-nightly-report"), "{rules}");

    // All of it goes only when that is said.
    sandbox.expect(0, &["apply", "-f", rails, "--applier", "ci"]);
    let pruned = prune(&["--allow-empty"], environment, 0).stdout;
    assert!(
        pruned.ends_with("Release production/rails pruned\n"),
        "{pruned}"
    );
    assert!(deleting("rails"));
}

/// `run --once` up to where the migration runs; then its process is dead.
fn until_it_runs(sandbox: &Sandbox) -> Running {
    let mut controller = sandbox.start_command(&["run", "--once"]);
    controller.until("migration/db-migrate: is running");
    controller
}

/// Half a day passes without a controller: the task ends, and ECS forgets it.
fn half_a_day_passes(sandbox: &Sandbox) {
    sandbox.page("POST", "/_sandbox/advance", r#"{"by": "12h"}"#);
    // The controller reads this machine's clock, for which nothing has passed.
    let runs = sandbox
        .expect(0, &["migration", "list", "-o", "json"])
        .json();
    let key = runs["items"][0]["runKey"].as_str().expect("a run");
    let input = json!({
        "TableName": "evenkeel",
        "Key": {
            "pk": {"S": "ledger#production/rails"},
            "sk": {"S": format!("migration#db-migrate#{key}")},
        },
        "UpdateExpression": "SET startedAt = :at",
        "ConditionExpression": "attribute_exists(startedAt)",
        "ExpressionAttributeValues": {":at": {"S": "2026-01-01T00:00:00Z"}},
    });
    sandbox.aws(
        "dynamodb",
        "DynamoDB_20120810.UpdateItem",
        &input.to_string(),
    );
}

#[test]
fn a_migration_is_stopped_and_one_that_nobody_saw_end_is_resolved() {
    let sandbox = Sandbox::start("rails", &[]);
    let file = folder("stops-and-resolves").join("rails.yaml");
    std::fs::write(&file, small()).unwrap();
    let environment = fixture("rails/environment.yaml");
    sandbox.page(
        "PUT",
        "/_sandbox/rules",
        r#"[{"when": {"command": "*db:migrate*"}, "then": {"exit": {"after": "10h"}}}]"#,
    );
    sandbox.expect(0, &["init"]);
    sandbox.expect(0, &["apply", "-f", path(&environment), "-f", path(&file)]);
    let about = |verb: &[&'static str], word: &str| {
        let mut args = vec!["migration"];
        args.extend(verb);
        let told = sandbox.expect(0, &args).stdout;
        let expected = format!("migration/production/rails/db-migrate {word} requested\n");
        assert_eq!(told, expected);
    };
    let newest = || {
        let runs = sandbox
            .expect(0, &["migration", "list", "-o", "json"])
            .json();
        assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "{runs:#}");
        runs["items"][0].clone()
    };

    let controller = until_it_runs(&sandbox);
    about(&["stop", "rails/db-migrate"], "stop");
    let told = controller.ends(1);
    assert!(told.contains("Stalled MigrationFailed"), "{told}");
    let run = newest();
    assert_eq!(
        (&run["state"], &run["stopCode"]),
        (&json!("Failed"), &json!("UserInitiated"))
    );

    about(&["retry", "rails/db-migrate"], "retry");
    drop(until_it_runs(&sandbox));
    half_a_day_passes(&sandbox);
    let told = sandbox.expect(1, &["run", "--once"]).stdout;
    assert!(told.contains("Stalled MigrationUnknown"), "{told}");
    assert_eq!(newest()["state"], "Unknown");

    about(&["resolve", "rails/db-migrate", "--retry"], "retry");
    drop(until_it_runs(&sandbox));
    half_a_day_passes(&sandbox);
    sandbox.expect(1, &["run", "--once"]);
    about(
        &["resolve", "rails/db-migrate", "--succeeded"],
        "resolution",
    );
    let told = sandbox.expect(0, &["run", "--once"]).stdout;
    assert!(
        told.ends_with("1 Ready, 0 Stalled, 0 suspended\n"),
        "{told}"
    );
    let run = newest();
    assert_eq!(
        (&run["state"], &run["attempt"]),
        (&json!("Succeeded"), &json!(3))
    );
    let calls: Value = serde_json::from_str(&sandbox.page("GET", "/_sandbox/calls", "")).unwrap();
    assert_eq!(
        calls["ecs.RunTask"], 3,
        "one for each time that it was asked for"
    );
}

#[test]
fn ci_asks_without_the_right_to_read_the_ledger() {
    let sandbox = Sandbox::start("rails", &[]);
    let file = folder("ci-asks").join("rails.yaml");
    std::fs::write(&file, small()).unwrap();
    let environment = fixture("rails/environment.yaml");
    let migrates = |code: u8| {
        let rule = json!([{
            "when": {"command": "*db:migrate*"},
            "then": {"exit": {"after": "5s", "exitCode": code}}}]);
        sandbox.page("PUT", "/_sandbox/rules", &rule.to_string());
    };
    migrates(3);
    sandbox.expect(0, &["init"]);
    sandbox.expect(0, &["apply", "-f", path(&environment), "-f", path(&file)]);
    sandbox.expect(1, &["run", "--once"]);

    // What the README's policy for CI leaves out, above all the ledger.
    let others = r#"{"deny": ["ec*:*", "events:*", "dynamodb:Scan", "dynamodb:DescribeTable"],
        "denyKeys": ["ledger#*", "registration#*", "definition#*", "claim#*", "environment",
            "binding", "meta", "epoch"]}"#;
    sandbox.page("PUT", "/_sandbox/settings", others);
    let ci = |code: i32, verb: &[&str]| {
        let mut args = vec!["-n", "production"];
        args.extend(verb);
        sandbox.expect(code, &args)
    };
    sandbox.expect(2, &["migration", "list", "production/rails"]);
    let remark = "the ledger of release production/rails may not be read, so this could not be \
                  checked beforehand: the controller decides\n";
    let retry = ci(0, &["retry", "rails"]);
    let requested = "release/production/rails retry requested\n";
    assert_eq!(retry.stdout, format!("{remark}{requested}"));
    let retry = ci(0, &["retry", "rails", "-o", "json"]);
    assert_eq!(retry.json()["requested"], "Retry");
    assert_eq!(retry.stderr, remark);
    for (verb, word) in [
        (&["retry", "rails/db-migrate"][..], "retry"),
        (&["stop", "rails/db-migrate"], "stop"),
        (&["resolve", "rails/db-migrate", "--retry"], "retry"),
        (
            &["resolve", "rails/db-migrate", "--succeeded"],
            "resolution",
        ),
    ] {
        let told = ci(0, &[&["migration"], verb].concat()).stdout;
        let requested = format!("migration/production/rails/db-migrate {word} requested\n");
        assert_eq!(told, format!("{remark}{requested}"));
    }
    let wrong = ci(2, &["migration", "retry", "rails/dbmigrate"]).stderr;
    assert!(wrong.contains("its migrations are: db-migrate"), "{wrong}");

    // The other verbs of CI need no more either.
    ci(0, &["apply", "-f", path(&file), "--source", "0123abc"]);
    ci(0, &["suspend", "rails"]);
    ci(0, &["resume", "rails"]);
    ci(0, &["set", "image", "rails", "app=1f0e8a7"]);
    ci(0, &["set", "image", "rails", "app=9d3c2f1"]);
    ci(0, &["get"]);
    let waited = ci(2, &["wait", "rails", "--timeout", "1s"]).stderr;
    assert!(waited.contains("is not Ready after 1s"), "{waited}");

    // The controller carries out what makes sense: one more run, and not a failure declared away.
    sandbox.page(
        "PUT",
        "/_sandbox/settings",
        r#"{"deny": [], "denyKeys": []}"#,
    );
    migrates(0);
    sandbox.expect(0, &["run", "--once"]);
    let runs = sandbox
        .expect(0, &["migration", "list", "-o", "json"])
        .json();
    let run = &runs["items"][0];
    assert_eq!(
        (&run["state"], &run["attempt"], &run["exitCode"]),
        (&json!("Succeeded"), &json!(2), &json!(0))
    );
}

/// One service of the rails example.
const SHORYUKEN: &str = "
apiVersion: evenkeel.dev/v1alpha1
kind: Release
metadata: {name: rails, namespace: production}
spec:
  images:
    app: {repository: 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/app, tag: 9d3c2f1}
  services:
    - {name: shoryuken, images: {shoryuken: app}}
";

#[test]
fn who_waits_is_told_in_the_midst_of_a_rollout_that_it_was_overtaken() {
    let folder = folder("overtaken");
    let (rules, release) = (folder.join("rules.json"), folder.join("release.yaml"));
    let slow = r#"[{"when": {"group": "service:*", "image": "rails/app:9d3c2f1"},
                    "then": {"healthy": {"after": "240h"}}}]"#;
    std::fs::write(&rules, slow).unwrap();
    std::fs::write(&release, SHORYUKEN).unwrap();
    let sandbox = Sandbox::start("rails", &["--rules", path(&rules)]);
    let environment = fixture("rails/environment.yaml");
    sandbox.expect(0, &["init"]);
    sandbox.expect(
        0,
        &["apply", "-f", path(&environment), "-f", path(&release)],
    );
    let controller = sandbox.start_command(&["run", "--http", "127.0.0.1:0"]);
    let mut waits = sandbox.start_command(&["wait", "rails", "--timeout", "80s"]);
    waits.until("(RollingOut)");
    sandbox.expect(0, &["set", "image", "rails", "app=1f0e8a7"]);
    let told = waits.ends(3);
    assert!(
        told.contains("was changed meanwhile: generation 2 takes its place"),
        "{told}"
    );
    // The newer one goes on, and is waited for.
    sandbox.expect(0, &["wait", "rails", "--timeout", "80s"]);
    drop(controller);
}

#[test]
fn who_waits_is_told_on_the_way_back_that_it_was_overtaken() {
    let folder = folder("overtaken-on-the-way-back");
    let release = folder.join("release.yaml");
    let both = SHORYUKEN.replace(
        "{name: shoryuken, ",
        "{name: app, images: {app: app}}\n    - {name: shoryuken, dependsOn: [app], ",
    );
    std::fs::write(&release, both).unwrap();
    let sandbox = Sandbox::start("rails", &[]);
    let environment = fixture("rails/environment.yaml");
    sandbox.expect(0, &["init"]);
    sandbox.expect(
        0,
        &["apply", "-f", path(&environment), "-f", path(&release)],
    );
    sandbox.expect(0, &["run", "--once"]);
    // The second service crashes, and what the first one goes back to takes its time.
    let rules = r#"[{"when": {"group": "service:shoryuken", "image": "rails/app:1f0e8a7"},
                     "then": {"crash": {"after": "1s"}}},
                    {"when": {"group": "service:app", "image": "rails/app:9d3c2f1"},
                     "then": {"healthy": {"after": "240h"}}}]"#;
    sandbox.page("PUT", "/_sandbox/rules", rules);
    let controller = sandbox.start_command(&["run", "--http", "127.0.0.1:0"]);
    sandbox.expect(0, &["set", "image", "rails", "app=1f0e8a7"]);
    let mut waits = sandbox.start_command(&["wait", "rails", "--timeout", "80s"]);
    waits.until("(RollingBack)");
    let manifest = json!({"schemaVersion": 2, "config": {"digest": "of the fix"}}).to_string();
    let fix = json!({"repositoryName": "rails/app", "imageTag": "fix", "imageManifest": manifest});
    let push = "AmazonEC2ContainerRegistry_V20150921.PutImage";
    sandbox.aws("ecr", push, &fix.to_string());
    sandbox.expect(0, &["set", "image", "rails", "app=fix"]);
    let told = waits.ends(3);
    assert!(
        told.contains("was changed meanwhile: generation 3 takes its place"),
        "{told}"
    );
    sandbox.expect(0, &["wait", "rails", "--timeout", "80s"]);
    drop(controller);
}
