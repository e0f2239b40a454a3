//! Logs of tasks, and what is told of those that failed.

use serde_json::{Value, json};

use crate::support::{Sandbox, fixture, folder, path};

/// What the released image writes before it dies as a service.
const CRY: &str = "KeyError: key not found: PAYMENTS_URL";

const RULES: &str = r#"[
    {"when": {"group": "service:*", "image": "rails/app:9d3c2f1"},
     "then": {"crash": {"after": "3s", "exitCode": 7}},
     "log": "booting\nKeyError: key not found: PAYMENTS_URL"},
    {"when": {"family": "rails-oneoff"}, "then": {"exit": {"after": "5s"}},
     "log": "\u001b[32m== AddIndex: migrated\u001b[0m"}
]"#;

/// One migration and one service, which fails to roll out.
const RELEASE: &str = "
apiVersion: evenkeel.dev/v1alpha1
kind: Release
metadata: {name: rails, namespace: production}
spec:
  images:
    app: {repository: 123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/rails/app, tag: 9d3c2f1}
  migrations:
    - {name: db-migrate, taskDefinition: {family: rails-oneoff}, images: {rails: app}}
  services:
    - {name: shoryuken, images: {shoryuken: app}}
";

fn failed(name: &str) -> Sandbox {
    failed_in("rails", name)
}

/// In this account.
fn failed_in(account: &str, name: &str) -> Sandbox {
    let folder = folder(name);
    let (rules, release) = (folder.join("rules.json"), folder.join("release.yaml"));
    std::fs::write(&rules, RULES).expect("the folder can be written");
    std::fs::write(&release, RELEASE).expect("the folder can be written");
    let sandbox = Sandbox::start(account, &["--rules", path(&rules)]);
    let environment = fixture("rails/environment.yaml");
    sandbox.expect(0, &["init"]);
    sandbox.expect(
        0,
        &["apply", "-f", path(&environment), "-f", path(&release)],
    );
    sandbox.expect(1, &["run", "--once"]);
    sandbox
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn what_failed_is_told_with_its_log() {
    let sandbox = failed("failed-logs");
    let command = "evenkeel logs production/rails/shoryuken --failed";
    let short = "essential container shoryuken exited with code 7 (EssentialContainerExited)";
    let get = sandbox.expect(0, &["get", "rails"]).stdout;
    holds(
        &get,
        &[
            "FAILED TASK OF shoryuken",
            "EVENT OF shoryuken",
            command,
            short,
        ],
    );
    let wait = sandbox.expect(1, &["wait", "rails"]);
    holds(&wait.stdout, &["FAILED TASK OF shoryuken", command]);
    holds(&wait.stderr, &[short]);

    let logs = sandbox.expect(0, &["logs", "rails/shoryuken", "--failed"]);
    let lines: Vec<&str> = logs.stdout.lines().collect();
    let [starts, boots, cries, exits] = lines[..] else {
        panic!("{}", logs.shown());
    };
    holds(starts, &["shoryuken starts"]);
    holds(boots, &["booting"]);
    holds(cries, &[CRY]);
    holds(exits, &["shoryuken exits with code 7"]);
    let (moment, _) = cries.split_once("  ").expect("a time before it");
    assert!(moment.parse::<jiff::Timestamp>().is_ok(), "{cries}");
    holds(
        &logs.stderr,
        &["container shoryuken of task ", "log /ecs/rails/"],
    );

    let newest = [
        "logs",
        "rails/shoryuken",
        "--failed",
        "--lines",
        "1",
        "-o",
        "json",
    ];
    let one: Value = sandbox.expect(0, &newest).json();
    assert_eq!(one["message"], "shoryuken exits with code 7");
    assert!(one["timestamp"].is_string(), "{one}");

    // A finished task's log is not waited for.
    let followed = sandbox.expect(0, &["logs", "rails/shoryuken", "--failed", "--follow"]);
    assert_eq!(followed.stdout, logs.stdout);

    // ECS rolled back: what runs is another task.
    let running = sandbox.expect(0, &["logs", "rails/shoryuken"]);
    holds(&running.stdout, &["shoryuken starts"]);
    assert!(!running.stdout.contains(CRY), "{}", running.shown());
}

#[test]
fn a_log_is_followed_until_its_task_has_ended() {
    let sandbox = failed("followed-logs");
    let mut follows = sandbox.start_command(&["logs", "rails/shoryuken", "--follow"]);
    follows.until("shoryuken starts");
    let ecs = |operation: &str, input: &Value| -> Value {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let answer = sandbox.aws("ecs", &target, &input.to_string());
        serde_json::from_str(&answer).expect("JSON")
    };
    let cluster = "rails-production";
    let listed = json!({"cluster": cluster, "serviceName": "shoryuken"});
    let tasks = ecs("ListTasks", &listed)["taskArns"].clone();
    for task in tasks.as_array().expect("a list") {
        ecs("StopTask", &json!({"cluster": cluster, "task": task}));
    }
    let said = follows.ends(0);
    holds(&said, &["shoryuken exits with code 143"]);
}

#[test]
fn a_migration_s_log_is_shown_while_it_runs_and_after() {
    let sandbox = failed("migration-logs");
    let logs = sandbox.expect(0, &["migration", "logs", "rails/db-migrate"]);
    holds(
        &logs.stdout,
        &[
            "rails starts",
            "  == AddIndex: migrated\n",
            "rails exits with code 0",
        ],
    );
    let json = [
        "migration",
        "logs",
        "production/rails/db-migrate",
        "-o",
        "json",
    ];
    let lines = sandbox.expect(0, &json).stdout;
    let messages: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect(line)["message"].clone())
        .collect();
    assert_eq!(messages[1], "\u{1b}[32m== AddIndex: migrated\u{1b}[0m");
    let follow = ["migration", "logs", "rails/db-migrate", "--follow"];
    assert_eq!(sandbox.expect(0, &follow).stdout, logs.stdout);
    // Whoever may not read the ledger is told by the status.
    sandbox.page("PUT", "/_sandbox/settings", r#"{"denyKeys": ["ledger#*"]}"#);
    let allowed = sandbox.expect(
        0,
        &["-n", "production", "migration", "logs", "rails/db-migrate"],
    );
    assert_eq!(allowed.stdout, logs.stdout);
}

#[test]
fn what_stands_in_the_way_of_a_log_is_told_with_what_to_do() {
    let sandbox = failed("no-logs");
    let refused = |args: &[&str], parts: &[&str]| {
        let ended = sandbox.expect(2, args);
        holds(&ended.stderr, parts);
        assert_eq!(ended.stdout, "");
    };
    refused(&["logs", "rails"], &["NAME/SERVICE"]);
    refused(
        &["logs", "rails/app"],
        &["declares no service `app`", "its services are: shoryuken"],
    );
    refused(
        &["logs", "rails/shoryuken", "-o", "yaml"],
        &["line by line"],
    );
    let other = [
        "logs",
        "rails/shoryuken",
        "--failed",
        "--container",
        "nginx",
    ];
    refused(&other, &["no container `nginx`", "shoryuken"]);
    refused(
        &["migration", "logs", "rails/seed"],
        &["no migration `seed`"],
    );
    sandbox.page(
        "PUT",
        "/_sandbox/settings",
        r#"{"deny": ["logs:GetLogEvents"]}"#,
    );
    refused(
        &["logs", "rails/shoryuken", "--failed"],
        &["Allow logs:GetLogEvents on it"],
    );
    sandbox.page("PUT", "/_sandbox/settings", r#"{"deny": []}"#);
    let group = r#"{"logGroupName": "/ecs/rails"}"#;
    sandbox.aws("logs", "Logs_20140328.DeleteLogGroup", group);
    refused(
        &["logs", "rails/shoryuken", "--failed"],
        &[
            "has no log (yet)",
            "in group /ecs/rails, Region ap-northeast-1",
        ],
    );
}

#[test]
fn a_log_in_another_region_is_found_there() {
    let account = folder("account-with-logs-elsewhere");
    let here = std::fs::read_to_string(fixture("rails/account.json")).expect("it is there");
    let elsewhere = here.replace(
        r#""awslogs-region": "ap-northeast-1""#,
        r#""awslogs-region": "eu-west-1""#,
    );
    assert_ne!(elsewhere, here);
    std::fs::write(account.join("account.json"), elsewhere).expect("the folder can be written");
    let sandbox = failed_in(path(&account), "logs-elsewhere");
    let told = sandbox.expect(0, &["get", "rails", "-o", "json"]).json();
    let status = &told["status"];
    let container = &status["services"][0]["evidence"]["tasks"][0]["containers"][0];
    assert_eq!(container["logRegion"], "eu-west-1", "{status:#}");
    assert_eq!(
        status["migrations"][0]["logRegion"], "eu-west-1",
        "{status:#}"
    );
    let cries = ["logs", "rails/shoryuken", "--failed"];
    holds(&sandbox.expect(0, &cries).stdout, &[CRY]);
    let migration = ["-n", "production", "migration", "logs", "rails/db-migrate"];
    let migrated = sandbox.expect(0, &migration).stdout;
    holds(&migrated, &["== AddIndex: migrated"]);
    sandbox.page("PUT", "/_sandbox/settings", r#"{"denyKeys": ["ledger#*"]}"#);
    assert_eq!(sandbox.expect(0, &migration).stdout, migrated);
}
