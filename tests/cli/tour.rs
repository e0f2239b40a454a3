//! The verbs in use, from two appliers to a controller that serves metrics.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{PATIENCE, Sandbox, command, fixture, folder, http, path};

#[test]
fn two_appliers_do_not_undo_each_other() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    let again = sandbox.expect(0, &["apply", "-f", path(&fixture("rails/release.yaml"))]);
    assert_eq!(again.stdout, "release/production/rails unchanged\n");
    let set = sandbox.expect(
        0,
        &["set", "image", "rails", "app=1f0e8a7", "--applier", "ci"],
    );
    assert_eq!(
        set.stdout,
        "release/production/rails configured\n  spec.images.app.tag: 9d3c2f1 -> 1f0e8a7\n"
    );
    let kept = sandbox.expect(0, &["apply", "-f", path(&fixture("rails/release.yaml"))]);
    assert!(
        kept.stdout
            .contains("kept spec.images.app.tag: 1f0e8a7, set by ci"),
        "{}",
        kept.shown()
    );
    let forced = sandbox.expect(
        0,
        &[
            "apply",
            "--force",
            "-f",
            path(&fixture("rails/release.yaml")),
        ],
    );
    assert!(
        forced
            .stdout
            .contains("spec.images.app.tag: 1f0e8a7 -> 9d3c2f1"),
        "{}",
        forced.shown()
    );
}

#[test]
fn set_image_records_where_the_images_come_from() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    let source = || {
        let asked = r#"{"TableName": "evenkeel",
            "Key": {"pk": {"S": "spec#production"}, "sk": {"S": "release#rails"}}}"#;
        let answer = sandbox.aws("dynamodb", "DynamoDB_20120810.GetItem", asked);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["Item"]["generation"].is_object(), "{answer}");
        answer["Item"]["source"]["S"].as_str().map(str::to_owned)
    };
    let set = ["set", "image", "rails", "app=1f0e8a7", "--source", "abc123"];
    sandbox.expect(0, &set);
    assert_eq!(source().as_deref(), Some("abc123"));
    sandbox.expect(0, &["set", "image", "rails", "app=9d3c2f1"]);
    assert_eq!(source(), None);
}

#[test]
fn suspended_stays_suspended() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["suspend", "rails"]);
    let once = sandbox.expect(0, &["run", "--once", "-o", "json"]).json();
    assert_eq!(once["suspended"], serde_json::json!(["production/rails"]));
    sandbox.expect(0, &["apply", "-f", path(&fixture("rails/release.yaml"))]);
    let calls = sandbox.page("GET", "/_sandbox/calls", "");
    for write in [
        "RunTask",
        "RegisterTaskDefinition",
        "UpdateService",
        "PutRule",
    ] {
        assert!(!calls.contains(write), "{write} in {calls}");
    }
    let waited = sandbox.expect(2, &["wait", "rails"]);
    assert!(waited.stderr.contains("is suspended"), "{}", waited.shown());
    sandbox.expect(0, &["resume", "rails"]);
    sandbox.expect(0, &["run", "--once"]);
}

#[test]
fn a_failed_migration_is_told_and_tried_again_when_asked() {
    let rules = folder("failing-migration").join("rules.json");
    std::fs::write(&rules, r#"[{"when": {"command": "*db:migrate*"}, "then": {"exit": {"after": "5s", "exitCode": 3}}}]"#).unwrap();
    let sandbox = Sandbox::start("rails", &["--rules", path(&rules)]);
    sandbox.apply("rails");
    let early = sandbox.expect(2, &["retry", "rails"]).stderr;
    assert!(
        early.contains("yet: it will be tried without a retry"),
        "{early}"
    );
    let once = sandbox.expect(1, &["run", "--once"]);
    assert!(
        once.stdout.contains("Stalled MigrationFailed"),
        "{}",
        once.shown()
    );
    let waited = sandbox.expect(1, &["wait", "rails"]);
    assert!(
        waited.stderr.contains("exit code 3") || waited.stderr.contains("exited 3"),
        "{}",
        waited.shown()
    );
    let list = sandbox.expect(0, &["migration", "list", "rails"]).stdout;
    assert!(
        list.contains("Failed") && list.contains("EssentialContainerExited"),
        "{list}"
    );
    sandbox.page(
        "PUT",
        "/_sandbox/rules",
        r#"[{"when": {"command": "*db:migrate*"}, "then": {"exit": {"after": "5s"}}}]"#,
    );
    let resolve = sandbox.expect(
        2,
        &["migration", "resolve", "rails/db-migrate", "--succeeded"],
    );
    assert!(
        resolve.stderr.contains("known to have failed"),
        "{}",
        resolve.shown()
    );
    sandbox.expect(0, &["retry", "rails"]);
    sandbox.expect(0, &["run", "--once"]);
    let runs = sandbox
        .expect(0, &["migration", "list", "-o", "json"])
        .json();
    assert_eq!(runs["items"][0]["state"], "Succeeded", "{runs:#}");
    let again = sandbox.expect(2, &["migration", "retry", "rails/db-migrate"]);
    assert!(again.stderr.contains("not run again"), "{}", again.shown());
    let none = sandbox.expect(2, &["retry", "rails"]).stderr;
    assert!(
        none.contains("`evenkeel get production/rails` tells how it stands"),
        "{none}"
    );
}

#[test]
fn what_is_not_there_stalls_or_waits_with_its_name() {
    let release = std::fs::read_to_string(fixture("rails/release.yaml")).unwrap();
    let environment = std::fs::read_to_string(fixture("rails/environment.yaml")).unwrap();
    for (name, environment, release, sentence) in [
        (
            "cluster",
            environment.replace("rails-production", "rails-prod"),
            release.clone(),
            "rails-prod",
        ),
        (
            "service",
            environment.clone(),
            release.replace("name: shoryuken", "name: sidekiq"),
            "sidekiq",
        ),
        (
            "family",
            environment.clone(),
            release.replace("rails-oneoff", "rails-one-off"),
            "rails-one-off",
        ),
        (
            "repository",
            environment.clone(),
            release.replace("/rails/app", "/rails/web"),
            "rails/web",
        ),
        (
            "tag",
            environment.clone(),
            release
                .replace("9d3c2f1", "nosuchtag")
                .replace("spec:\n", "spec:\n  imageTimeout: 1s\n"),
            "nosuchtag",
        ),
    ] {
        let sandbox = Sandbox::start("rails", &[]);
        let folder = folder(&format!("no-such-{name}"));
        std::fs::write(folder.join("environment.yaml"), &environment).unwrap();
        std::fs::write(folder.join("release.yaml"), &release).unwrap();
        sandbox.expect(0, &["init"]);
        sandbox.expect(0, &["apply", "-f", path(&folder)]);
        let once = sandbox.expect(1, &["run", "--once"]);
        assert!(
            once.stdout.contains("Stalled") && once.stdout.contains(sentence),
            "{name}: {}",
            once.shown()
        );
        let calls = sandbox.page("GET", "/_sandbox/calls", "");
        for write in ["RunTask", "UpdateService", "PutRule"] {
            assert!(!calls.contains(write), "{name}: {write} in {calls}");
        }
    }
}

#[test]
fn denied_access_is_told_with_the_action() {
    let sandbox = Sandbox::start("rails", &["--deny", "ecs:UpdateService"]);
    sandbox.apply("rails");
    let once = sandbox.expect(1, &["run", "--once"]);
    assert!(
        once.stdout.contains("ecs:UpdateService"),
        "{}",
        once.shown()
    );
    sandbox.page("PUT", "/_sandbox/settings", r#"{"deny": ["dynamodb:*"]}"#);
    let get = sandbox.expect(2, &["get"]);
    assert!(
        get.stderr.contains("denied") && get.stderr.contains("evenkeel"),
        "{}",
        get.shown()
    );
}

#[test]
fn deletion_leaves_services_and_can_leave_everything() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["run", "--once"]);
    sandbox.expect(0, &["delete", "rails"]);
    sandbox.expect(0, &["run", "--once"]);
    let get = sandbox.expect(2, &["get", "rails"]);
    assert!(get.stderr.contains("does not exist"), "{}", get.shown());
    sandbox.expect(0, &["delete", "environment", "production"]);
    assert_eq!(
        sandbox.expect(0, &["get", "env"]).stdout,
        "No environments.\n"
    );
}

#[test]
fn a_read_that_was_denied_is_never_clean() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    sandbox.expect(0, &["run", "--once"]);
    for action in [
        "ecs:DescribeServices",
        "events:ListRules",
        "events:ListTargetsByRule",
        "ecr:DescribeImages",
    ] {
        sandbox.page(
            "PUT",
            "/_sandbox/settings",
            &format!(r#"{{"deny": ["{action}"]}}"#),
        );
        let drift = sandbox.expect(2, &["drift", "-o", "json"]).json();
        assert_eq!(drift["items"][0]["state"], "Unknown", "{action}: {drift:#}");
        let message = drift["items"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(action), "{action}: {message}");
    }
}

#[test]
fn the_controller_serves_metrics_and_ends_when_told() {
    let sandbox = Sandbox::start("chuoi", &[]);
    sandbox.apply("chuoi");
    let images = fixture("chuoi/imagedefinitions.json");
    sandbox.expect(0, &["set", "image", "chuoi", "--from", path(&images)]);
    let mut controller = command(&["run", "--http", "127.0.0.1:0"])
        .envs(sandbox.environment())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut logs = BufReader::new(controller.stderr.take().unwrap()).lines();
    let serving = logs.find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        Some(
            line["message"]
                .as_str()?
                .strip_prefix("serving http://")?
                .to_owned(),
        )
    });
    let serving = serving.expect("the controller says where it serves");
    let address = serving.split('/').next().unwrap();
    let logs = std::thread::spawn(move || logs.map_while(Result::ok).collect::<Vec<_>>());
    sandbox.expect(0, &["wait", "chuoi", "--timeout", "60s"]);
    assert_eq!(http(address, "GET", "/healthz", "", ""), "ok\n");
    let expected = [
        r#"evenkeel_release_condition{namespace="chuoi",release="chuoi",status="True",type="Ready"} 1"#,
        r#"evenkeel_release_info{generation=""#,
        r#"evenkeel_change_lead_time_seconds_count{namespace="chuoi",release="chuoi"} 1"#,
        r#"evenkeel_rollouts_total{namespace="chuoi",outcome="succeeded",release="chuoi","#,
        r#"evenkeel_aws_requests_total{code="OK",operation="DescribeServices",service="ecs"}"#,
    ];
    // The table says that it is Ready a moment before the metrics do.
    let begin = Instant::now();
    let mut metrics = http(address, "GET", "/metrics", "", "");
    while let Some(line) = expected.iter().find(|line| !metrics.contains(**line)) {
        assert!(
            begin.elapsed() < PATIENCE,
            "{line} is missing in\n{metrics}"
        );
        std::thread::park_timeout(Duration::from_millis(20));
        metrics = http(address, "GET", "/metrics", "", "");
    }
    for line in metrics.lines() {
        // Closed sets: a name of AWS's would make a series for each change.
        assert!(!line.contains("arn:") && !line.contains("sha256"), "{line}");
    }
    let killed = std::process::Command::new("kill")
        .arg(controller.id().to_string())
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(controller.wait().unwrap().code(), Some(0));
    let logs = logs.join().unwrap();
    assert!(
        logs.iter()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{logs:#?}"
    );
}

#[test]
fn a_suspension_that_ends_by_itself() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    let told = sandbox
        .expect(0, &["suspend", "rails", "--until", "2h"])
        .stdout;
    assert!(
        told.starts_with("release/production/rails suspended until 2"),
        "{told}"
    );
    sandbox.expect(0, &["run", "--once"]);
    let stands = sandbox.expect(0, &["get", "rails", "-o", "json"]).json();
    let message = &stands["status"]["conditions"][0]["message"];
    assert!(
        message
            .as_str()
            .unwrap_or_default()
            .contains("or `evenkeel resume production/rails`"),
        "{stands:#}"
    );
    assert!(stands["spec"]["suspendUntil"].is_string());
    let waited = sandbox.expect(2, &["wait", "rails"]).stderr;
    assert!(
        waited.contains("is suspended until 2") && waited.contains("lets it go on now"),
        "{waited}"
    );
    let back = ["rollback", "rails", "--to", "1"];
    let refused = sandbox.expect(2, &back).stderr;
    assert!(refused.contains("suspended: nothing is moved"), "{refused}");
    for wrong in ["yesterday", "2020-01-01T00:00:00Z"] {
        let refused = sandbox
            .expect(2, &["suspend", "rails", "--until", wrong])
            .stderr;
        assert!(
            refused.contains("--until") && refused.contains("`2h`"),
            "{refused}"
        );
    }
    sandbox.expect(0, &["resume", "rails"]);
    let stands = sandbox.expect(0, &["get", "rails", "-o", "json"]).json();
    assert!(stands["spec"]["suspendUntil"].is_null(), "{stands:#}");

    // One that is over keeps nobody from anything, though the spec still says so.
    let file = folder("suspension-over").join("release.yaml");
    let over = "spec:\n  suspend: true\n  suspendUntil: 2020-01-01T00:00:00Z\n";
    let release = std::fs::read_to_string(fixture("rails/release.yaml")).unwrap();
    std::fs::write(&file, release.replacen("spec:\n", over, 1)).unwrap();
    sandbox.expect(0, &["apply", "-f", path(&file)]);
    sandbox.expect(0, &["run", "--once"]);
    let stands = sandbox.expect(0, &["get", "rails", "-o", "json"]).json();
    assert_eq!(stands["spec"]["suspend"], true, "{stands:#}");
    let refused = sandbox.expect(2, &back).stderr;
    assert!(refused.contains("revision 1 is what runs"), "{refused}");
}

#[test]
fn a_revision_is_approved_that_was_looked_at() {
    let sandbox = Sandbox::start("rails", &[]);
    let file = folder("approves").join("environment.yaml");
    let environment = std::fs::read_to_string(fixture("rails/environment.yaml")).unwrap();
    std::fs::write(
        &file,
        format!("{}\n  approval: required\n", environment.trim_end()),
    )
    .unwrap();
    let approve = |code: i32, revision: &str| {
        sandbox.expect(code, &["approve", "rails", "--revision", revision])
    };
    sandbox.expect(0, &["init"]);
    let release = fixture("rails/release.yaml");
    let apply = [
        "apply",
        "-f",
        path(&file),
        "-f",
        path(&release),
        "--source",
        "abc123",
    ];
    sandbox.expect(0, &apply);
    let early = approve(2, "1").stderr;
    assert!(
        early.contains("has not looked at the newest generation"),
        "{early}"
    );

    let once = sandbox.expect(0, &["run", "--once"]).stdout;
    let waits = "release/production/rails held ApprovalPending: revision 1 waits for approval: \
                 `evenkeel approve production/rails --revision 1`\n";
    assert!(once.contains(waits), "{once}");
    assert!(
        once.ends_with("0 Ready, 0 Stalled, 0 suspended, 1 held\n"),
        "{once}"
    );
    let waited = sandbox.expect(2, &["wait", "rails", "--timeout", "1s"]);
    assert!(
        waited
            .stderr
            .contains("`evenkeel plan production/rails` names everything that it waits for"),
        "{}",
        waited.shown()
    );
    let plan = sandbox.expect(0, &["plan", "rails"]).stdout;
    assert!(
        plan.contains("Nothing to do.") && plan.contains("waits for approval"),
        "{plan}"
    );

    let other = approve(2, "2").stderr;
    assert!(
        other.contains("does not wait for approval: revision 1 does"),
        "{other}"
    );
    sandbox.expect(2, &["approve", "rails"]);
    let told = approve(0, "1").stdout;
    assert!(
        told.starts_with("release/production/rails approval of revision 1 requested\n")
            && told.contains("  image app: ")
            && told.contains("  source: abc123\n"),
        "{told}"
    );
    let once = sandbox.expect(0, &["run", "--once"]).stdout;
    assert!(
        once.ends_with("1 Ready, 0 Stalled, 0 suspended\n"),
        "{once}"
    );
    let done = approve(2, "1").stderr;
    assert!(
        done.contains("no revision of release production/rails waits for approval"),
        "{done}"
    );
    let stands = sandbox.expect(0, &["get", "rails", "-o", "json"]).json();
    assert!(stands["status"]["approval"]["by"].is_string(), "{stands:#}");
}
