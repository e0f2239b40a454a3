//! moto: the shapes of requests and errors, and the table.
//!
//! What it cannot do: no service ever reaches a steady state (every deployment is IN_PROGRESS for
//! ever, and an update adds none), so a release with services cannot become Ready there;
//! ListServiceDeployments and DescribeServiceRevisions answer an HTML page with status 500; RunTask
//! fails likewise unless every container says its memory, and the task always ends with 0; a
//! service or task must be in a network that its EC2 knows; ECR's digests are not those of the
//! manifests; a bad cron expression is accepted.

use serde_json::{Value, json};

use crate::evenkeel::{Evenkeel, assert_ready, assert_stalled, condition};
use crate::manifest;
use crate::servers::{ACCOUNT, REGION, Server};

const CLUSTER: &str = "rails-production";

/// A moto with the Rails account, in which the table is made and the Environment applied.
fn rails() -> Server {
    rails_allowing(&json!({}))
}

/// The same, whose Environment allows these things as well.
pub(super) fn rails_allowing(more: &Value) -> Server {
    let server = Server::moto();
    let renamed = server.replay("rails", &["--network"]);
    let mut environment = manifest::read("rails", "environment.yaml");
    let network = &mut environment["spec"]["tasks"]["networkConfiguration"]["awsvpcConfiguration"];
    for list in ["subnets", "securityGroups"] {
        for name in network[list].as_array_mut().expect("a list") {
            let real = renamed[name.as_str().expect("a name")].clone();
            *name = real;
        }
    }
    manifest::allow(&mut environment, more);
    let evenkeel = Evenkeel::new(&server, "production");
    evenkeel.expect(0, &["init"]);
    evenkeel.apply(&[&manifest::write("environment", &environment)]);
    server
}

/// The Rails release without the named parts.
pub(super) fn rails_without(parts: &[&str]) -> Value {
    let mut release = manifest::read("rails", "release.yaml");
    let spec = release["spec"].as_object_mut().expect("a spec");
    for part in parts {
        spec.shift_remove(*part);
    }
    release
}

#[test]
fn the_table_is_made_as_the_design_says_and_checked_when_it_is_there() {
    let server = Server::moto();
    let evenkeel = Evenkeel::new(&server, "production");

    let missing = evenkeel.expect(2, &["get"]);
    let text = missing.text();
    assert!(text.contains("evenkeel init"), "says what to do: {text}");

    evenkeel.expect(0, &["init"]);
    evenkeel.expect(0, &["init"]);

    let name = json!({"TableName": "evenkeel"});
    let table = &server.call("dynamodb", "DescribeTable", &name)["Table"];
    assert_eq!(
        table["KeySchema"],
        json!([
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ])
    );
    assert_eq!(
        table["BillingModeSummary"]["BillingMode"],
        "PAY_PER_REQUEST"
    );
    assert_eq!(
        table["StreamSpecification"]["StreamViewType"],
        "NEW_AND_OLD_IMAGES"
    );
    let ttl = server.call("dynamodb", "DescribeTimeToLive", &name);
    assert_eq!(ttl["TimeToLiveDescription"]["AttributeName"], "expiresAt");
    assert_eq!(ttl["TimeToLiveDescription"]["TimeToLiveStatus"], "ENABLED");
}

#[test]
fn apply_writes_changes_and_nothing_else() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let file = manifest::file("rails", "release.yaml");
    let version = |release: &Value| release["metadata"]["resourceVersion"].clone();
    let generation = |release: &Value| release["metadata"]["generation"].clone();
    let tag = |release: &Value| release["spec"]["images"]["app"]["tag"].clone();

    evenkeel.apply(&[&file]);
    let first = evenkeel.release("rails");
    assert_eq!(generation(&first), 1);
    assert_eq!(first["apiVersion"], "evenkeel.dev/v1alpha1");
    assert_eq!(first["kind"], "Release");
    assert_eq!(first["metadata"]["labels"]["team"], "shop");

    evenkeel.apply(&[&file]);
    assert_eq!(
        version(&evenkeel.release("rails")),
        version(&first),
        "nothing had changed"
    );

    evenkeel.expect(0, &["set", "image", "rails", "app=1f0e8a7"]);
    let second = evenkeel.release("rails");
    assert_eq!(
        (generation(&second), tag(&second)),
        (json!(2), json!("1f0e8a7"))
    );

    // The unchanged file does not undo what `set image` did: apply is three-way.
    evenkeel.apply(&[&file]);
    let third = evenkeel.release("rails");
    assert_eq!(
        (generation(&third), tag(&third)),
        (json!(2), json!("1f0e8a7"))
    );

    let listed = evenkeel.json(&["get", "-o", "json"]);
    assert_eq!(listed["items"].as_array().expect("a list").len(), 1);
    assert_eq!(listed["items"][0]["metadata"]["name"], "rails");
}

/// All that moto can bring to an end: images, a migration with an inline definition (so that its
/// container says its memory), and schedules.
#[test]
fn a_release_without_services_reaches_ready() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let before = server.snapshot(CLUSTER);

    let mut release = rails_without(&["services"]);
    release["spec"]["migrations"][0]["taskDefinition"] = json!({"inline": {
        "family": "rails-migrate",
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{"name": "rails", "image": "any", "cpu": 256, "memory": 512}],
    }});
    evenkeel.apply(&[&manifest::write("no-services", &release)]);
    evenkeel.expect(0, &["run", "--once"]);

    let ready = evenkeel.release("rails");
    assert_ready(&ready);
    assert_eq!(ready["status"]["migrations"][0]["exitCode"], 0);
    let after = server.snapshot(CLUSTER);
    assert_eq!(after["services"], before["services"]);
    let [task] = after["tasks"].as_array().expect("a list").as_slice() else {
        panic!("not one task: {:#}", after["tasks"]);
    };
    assert_eq!(task["taskDefinition"], "rails-migrate:1");
    for rule in [
        "production-rails-nightly-report",
        "production-rails-sweep-carts",
    ] {
        let rule = &after["rules"][rule];
        assert_eq!(
            rule["Tags"]["evenkeel:release"], "production/rails",
            "{rule:#}"
        );
        assert_eq!(
            rule["Targets"].as_array().expect("a list").len(),
            1,
            "{rule:#}"
        );
    }
    assert_eq!(
        after["rules"]["someone-elses-rule"],
        before["rules"]["someone-elses-rule"]
    );

    evenkeel.expect(0, &["run", "--once"]);
    assert_eq!(
        server.snapshot(CLUSTER),
        after,
        "the second pass changed something"
    );
}

/// The schedules of the Rails release, fired by EventBridge Scheduler and then by rules again. moto
/// fires nothing, knows no token, deletes a group at once, tells of no schedule when it was changed
/// but to the second, and answers a list for a group that is not there.
#[test]
fn schedules_go_to_eventbridge_scheduler_and_back() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let mut release = rails_without(&["services", "migrations"]);
    for schedule in release["spec"]["schedules"].as_array_mut().expect("a list") {
        // It stands in no calendar, so that nothing waits for a quiet moment.
        schedule["expression"] = json!("rate(6 hours)");
    }
    let with_backend = |backend: &str| {
        let mut release = release.clone();
        for schedule in release["spec"]["schedules"].as_array_mut().expect("a list") {
            schedule["backend"] = json!(backend);
            schedule["retryPolicy"] = json!({"maximumRetryAttempts": 3});
        }
        release
    };
    let listed = || {
        let group = json!({"GroupName": "production-rails"});
        let answer = server.call("scheduler", "ListSchedules", &group);
        let listed = answer["Schedules"].as_array().cloned().unwrap_or_default();
        let name = |it: &Value| it["Name"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = listed.iter().map(name).collect();
        names.sort();
        names
    };
    let rule = "production-rails-sweep-carts";

    for (backend, names) in [
        ("Rules", &[][..]),
        ("Scheduler", &["nightly-report", "sweep-carts"][..]),
        ("Rules", &[][..]),
    ] {
        let text = with_backend(backend);
        evenkeel.apply(&[&manifest::write("schedules", &text)]);
        evenkeel.expect(0, &["run", "--once"]);
        assert_ready(&evenkeel.release("rails"));
        assert_eq!(listed(), names, "{backend}");
        let after = server.snapshot(CLUSTER);
        assert_eq!(
            after["rules"][rule].is_null(),
            backend == "Scheduler",
            "{after:#}"
        );
        if backend == "Scheduler" {
            let input = json!({"GroupName": "production-rails", "Name": "sweep-carts"});
            let found = server.call("scheduler", "GetSchedule", &input);
            assert_eq!(found["State"], "ENABLED");
            assert_eq!(found["Target"]["RetryPolicy"]["MaximumRetryAttempts"], 3);
            let again = evenkeel.expect(0, &["plan", "rails"]);
            let text = again.text();
            let steps = ["CreateSchedule", "UpdateSchedule", "DeleteSchedule"];
            assert!(!steps.iter().any(|step| text.contains(step)), "{text}");
        }
    }
}

/// moto answers ListServiceDeployments with an HTML page and status 500: nobody knows which
/// definition was the last that succeeded. Evenkeel has to look again, and must not roll out, stall,
/// or write a schedule meanwhile.
#[test]
fn deployment_records_that_cannot_be_read_move_nothing() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let before = server.snapshot(CLUSTER);

    evenkeel.apply(&[&manifest::write(
        "services",
        &rails_without(&["migrations"]),
    )]);
    let says = |release: &Value| condition(release, "Ready").map(|(status, why, _)| (status, why));
    let unknown = Some(("Unknown".to_owned(), "ObservationFailed".to_owned()));
    evenkeel.goes_on(&["run", "--once"], |_| {
        says(&evenkeel.release("rails")) == unknown
    });
    let release = evenkeel.release("rails");
    assert_eq!(says(&release), unknown, "{release:#}");
    assert!(condition(&release, "Stalled").is_none(), "{release:#}");
    // Nothing is planned, and that is not the same as nothing to do.
    let plan = evenkeel.expect(2, &["plan", "rails", "-o", "json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    assert_eq!(plan["actions"], json!([]));
    let waiting: Vec<&Value> = plan["waiting"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|wait| &wait["resource"])
        .collect();
    assert_eq!(waiting, ["service/app", "service/shoryuken"]);
    let after = server.snapshot(CLUSTER);
    assert_eq!(after["services"], before["services"], "a service was moved");
    assert_eq!(
        after["rules"], before["rules"],
        "a schedule was written before its turn"
    );
}

/// What is not there ends in a Stalled condition that names it, and changes nothing.
#[track_caller]
fn stalls(server: &Server, manifests: &[Value], name: &str) -> (String, String) {
    let evenkeel = Evenkeel::new(server, "production");
    let before = server.snapshot(CLUSTER);
    for manifest in manifests {
        evenkeel.apply(&[&manifest::write("missing", manifest)]);
    }
    evenkeel.expect(1, &["run", "--once"]);
    let release = evenkeel.release(name);
    let (status, reason, message) =
        condition(&release, "Stalled").unwrap_or_else(|| panic!("not Stalled: {release:#}"));
    assert_eq!(status, "True");
    assert_eq!(server.snapshot(CLUSTER), before, "something was changed");
    (reason, message)
}

#[test]
fn a_missing_tag_is_waited_for_and_then_stalled() {
    let server = rails();
    let mut release = rails_without(&["migrations", "services"]);
    release["spec"]["images"]["app"]["tag"] = json!("not-pushed");

    release["spec"]["imageTimeout"] = json!("1h");
    let evenkeel = Evenkeel::new(&server, "production");
    evenkeel.apply(&[&manifest::write("pending", &release)]);
    // A push may still come.
    evenkeel.goes_on(&["run", "--once"], |_| {
        let ready = condition(&evenkeel.release("rails"), "Ready");
        ready.is_some_and(|(_, reason, _)| reason == "ImagePending")
    });

    release["spec"]["imageTimeout"] = json!("1s");
    let (reason, message) = stalls(&server, &[release], "rails");
    assert_eq!(reason, "ImageNotFound");
    assert!(
        message.contains("rails/app") && message.contains("not-pushed"),
        "{message}"
    );
}

#[test]
fn a_missing_repository_is_stalled() {
    let server = rails();
    let mut release = rails_without(&["migrations", "services"]);
    release["spec"]["imageTimeout"] = json!("1s");
    release["spec"]["images"]["app"]["repository"] = json!(format!(
        "{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/rails/nowhere"
    ));
    let (reason, message) = stalls(&server, &[release], "rails");
    assert_eq!(reason, "RepositoryNotFound", "{message}");
    assert!(message.contains("rails/nowhere"), "{message}");
}

#[test]
fn a_missing_service_is_stalled() {
    let server = rails();
    let mut release = rails_without(&["migrations", "schedules"]);
    release["spec"]["services"] = json!([{"name": "nowhere", "images": {"app": "app"}}]);
    let (reason, message) = stalls(&server, &[release], "rails");
    assert_eq!(reason, "ServiceNotFound", "{message}");
    assert!(
        message.contains("nowhere") && message.contains(CLUSTER),
        "{message}"
    );
}

#[test]
fn a_missing_cluster_is_stalled() {
    let server = Server::moto();
    server.replay("rails", &["--network"]);
    Evenkeel::new(&server, "production").expect(0, &["init"]);
    let mut environment = manifest::read("rails", "environment.yaml");
    environment["spec"]["cluster"] = json!("no-such-cluster");
    let release = rails_without(&["migrations"]);
    let (reason, message) = stalls(&server, &[environment, release], "rails");
    assert_eq!(reason, "ClusterNotFound", "{message}");
    assert!(message.contains("no-such-cluster"), "{message}");
}

#[test]
fn a_missing_family_is_stalled() {
    let server = rails();
    let mut release = rails_without(&["services", "schedules"]);
    release["spec"]["migrations"][0]["taskDefinition"] = json!({"family": "no-such-family"});
    let (reason, message) = stalls(&server, &[release], "rails");
    assert_eq!(reason, "TaskDefinitionNotFound", "{message}");
    assert!(message.contains("no-such-family"), "{message}");
}

#[test]
fn a_manifest_with_an_error_is_refused_and_nothing_is_written() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let mut release = manifest::read("rails", "release.yaml");
    release["spec"]["services"][0]["images"] = json!({"app": "ap"});
    let path = manifest::write("typo", &release);
    let ended = evenkeel.expect(2, &["apply", "-f", path.to_str().unwrap()]);
    assert!(
        ended.text().contains("services[0].images"),
        "names the field: {ended:#?}"
    );
    let listed = evenkeel.json(&["get", "-o", "json"]);
    assert_eq!(listed["items"], json!([]));
}

#[test]
fn a_release_is_stalled_for_what_another_one_claims() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let first = rails_without(&["migrations", "services"]);
    evenkeel.apply(&[&manifest::write("first", &first)]);
    evenkeel.expect(0, &["run", "--once"]);
    assert_ready(&evenkeel.release("rails"));

    let mut second = first;
    second["metadata"]["name"] = json!("other");
    for schedule in second["spec"]["schedules"].as_array_mut().expect("a list") {
        let name = schedule["name"].as_str().expect("a name").to_owned();
        schedule["ruleName"] = json!(format!("production-rails-{name}"));
    }
    evenkeel.apply(&[&manifest::write("second", &second)]);
    evenkeel.expect(1, &["run", "--once"]);
    let message = assert_stalled(&evenkeel.release("other"), "Conflict");
    assert!(message.contains("production/rails"), "{message}");
    assert_ready(&evenkeel.release("rails"));
}
