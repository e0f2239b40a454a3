//! ministack, in front of a stand-in Docker engine: rollouts, circuit breaker, rollback and exit
//! codes by code that is not ours.
//!
//! What it cannot do: it keeps no deployment records (ListServiceDeployments and
//! DescribeServiceRevisions answer nothing), so evenkeel has DescribeServices alone to judge by; a
//! failed deployment stays in `deployments[]` for ever; it ignores RunTask's clientToken; it starts
//! no task whose SSM parameters are not there, which the example accounts do not make; a missing
//! image tag is an empty list to it, not an error; a cluster that is not there is made. The engine
//! runs nothing: the Rails tasks of the migration end with 0, `exit 3` with 3, servers run on, and
//! images with `crash` or `doesnotexist` in their names fail as they say.

use serde_json::{Value, json};

use crate::evenkeel::{Evenkeel, assert_ready, assert_stalled};
use crate::manifest;
use crate::servers::{ACCOUNT, REGION, Server, example};

const CLUSTER: &str = "rails-production";

/// A ministack with the Rails account, in which the table is made and the Environment applied.
fn rails() -> Server {
    rails_allowing(&json!({}))
}

/// The same, whose Environment allows these things as well.
pub(super) fn rails_allowing(more: &Value) -> Server {
    let server = Server::ministack();
    server.replay("rails", &["--parameters"]);
    // Nobody goes back to what did not run well.
    server.steady(CLUSTER);
    let evenkeel = Evenkeel::new(&server, "production");
    evenkeel.expect(0, &["init"]);
    let mut environment = manifest::read("rails", "environment.yaml");
    manifest::allow(&mut environment, more);
    evenkeel.apply(&[&manifest::write("environment", &environment)]);
    server
}

/// The image of a repository's tag as a task definition pins it.
pub(super) fn pinned(server: &Server, repository: &str, tag: &str) -> String {
    let answer = server.call(
        "ecr",
        "DescribeImages",
        &json!({"repositoryName": repository, "imageIds": [{"imageTag": tag}]}),
    );
    let digest = answer["imageDetails"][0]["imageDigest"]
        .as_str()
        .expect("the tag is there");
    format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}@{digest}")
}

/// Pushes an image, different from any other, under a tag of a new repository.
fn push(server: &Server, repository: &str, tag: &str) {
    server.call(
        "ecr",
        "CreateRepository",
        &json!({"repositoryName": repository}),
    );
    let media = "application/vnd.docker.distribution.manifest.v2+json";
    let image = json!({
        "schemaVersion": 2,
        "mediaType": media,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1469,
            "digest": format!("sha256:{:064x}", repository.len()),
        },
        "layers": [],
    });
    server.call(
        "ecr",
        "PutImage",
        &json!({
            "repositoryName": repository,
            "imageTag": tag,
            "imageManifest": image.to_string(),
            "imageManifestMediaType": media,
        }),
    );
}

/// The definition that a service runs.
fn running<'a>(account: &'a Value, service: &str) -> &'a Value {
    let name = account["services"][service]["taskDefinition"]
        .as_str()
        .expect("it runs one");
    &account["taskDefinitions"][name]
}

fn container<'a>(definition: &'a Value, name: &str) -> &'a Value {
    let containers = definition["containerDefinitions"]
        .as_array()
        .expect("it has containers");
    containers
        .iter()
        .find(|container| container["name"] == name)
        .expect("the container is there")
}

/// Panics unless a definition is its base with other images.
#[track_caller]
fn assert_only_images_differ(definition: &Value, base: &Value) {
    for field in [
        "family",
        "cpu",
        "memory",
        "networkMode",
        "executionRoleArn",
        "taskRoleArn",
        "volumes",
        "runtimePlatform",
        "requiresCompatibilities",
    ] {
        assert_eq!(definition[field], base[field], "{field}");
    }
    for tag in base["tags"].as_array().expect("tags are a list") {
        let tags = definition["tags"].as_array().expect("tags are a list");
        assert!(tags.contains(tag), "{tag} is lost");
    }
    for before in base["containerDefinitions"]
        .as_array()
        .expect("it has containers")
    {
        let name = before["name"].as_str().expect("containers have names");
        let after = container(definition, name);
        for field in [
            "command",
            "dependsOn",
            "environment",
            "essential",
            "firelensConfiguration",
            "healthCheck",
            "logConfiguration",
            "memoryReservation",
            "mountPoints",
            "secrets",
            "stopTimeout",
            "ulimits",
        ] {
            assert_eq!(after[field], before[field], "{field} of container {name}");
        }
    }
}

fn first_deployment(account: &Value, service: &str) -> f64 {
    account["services"][service]["deployments"][0]["createdAt"]
        .as_f64()
        .expect("a time")
}

#[test]
fn rails_reaches_ready_and_stays_untouched() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let before = server.snapshot(CLUSTER);

    evenkeel.apply(&[&manifest::file("rails", "release.yaml")]);
    evenkeel.expect(0, &["run", "--once"]);
    assert_ready(&evenkeel.release("rails"));

    let after = server.snapshot(CLUSTER);
    let app = pinned(&server, "rails/app", "9d3c2f1");
    let nginx = pinned(&server, "rails/nginx", "9d3c2f1");
    the_migration_ran_once(&after, &app);
    the_services_run(&before, &after, &app, &nginx);
    the_rules_are_written(&before, &after, &app);

    evenkeel.expect(0, &["run", "--once"]);
    assert_eq!(
        server.snapshot(CLUSTER),
        after,
        "the second pass changed something"
    );
}

fn the_migration_ran_once(account: &Value, app: &str) {
    let [task] = account["tasks"].as_array().expect("a list").as_slice() else {
        panic!("not one task: {:#}", account["tasks"]);
    };
    assert_eq!(task["lastStatus"], "STOPPED");
    assert_eq!(
        task["containers"]["rails"],
        json!({"image": app, "exitCode": 0})
    );
    let release = manifest::read("rails", "release.yaml");
    let asked = &release["spec"]["migrations"][0]["overrides"];
    assert_eq!(task["overrides"]["taskRoleArn"], asked["taskRoleArn"]);
    for key in ["name", "command"] {
        assert_eq!(
            task["overrides"]["containerOverrides"][0][key],
            asked["containerOverrides"][0][key]
        );
    }

    let ended = task["stoppedAt"].as_f64().expect("it ended");
    for service in ["app", "shoryuken"] {
        let moved = first_deployment(account, service);
        assert!(
            ended <= moved,
            "{service} moved at {moved}, before the migration's end at {ended}"
        );
    }
}

fn the_services_run(before: &Value, after: &Value, app: &str, nginx: &str) {
    let definition = running(after, "app");
    assert_eq!(container(definition, "app")["image"], app);
    assert_eq!(container(definition, "nginx")["image"], nginx);
    assert_only_images_differ(definition, running(before, "app"));

    let definition = running(after, "shoryuken");
    assert_eq!(container(definition, "shoryuken")["image"], app);
    assert_only_images_differ(definition, running(before, "shoryuken"));

    for service in ["app", "shoryuken"] {
        let [deployment] = after["services"][service]["deployments"]
            .as_array()
            .unwrap()
            .as_slice()
        else {
            panic!("not one deployment: {:#}", after["services"][service]);
        };
        assert_eq!(deployment["rolloutState"], "COMPLETED");
    }
}

fn the_rules_are_written(before: &Value, after: &Value, app: &str) {
    for (rule, expression, command) in [
        (
            "production-rails-nightly-report",
            "cron(0 18 * * ? *)",
            "report:nightly",
        ),
        (
            "production-rails-sweep-carts",
            "cron(*/15 * * * ? *)",
            "carts:sweep",
        ),
    ] {
        let rule = &after["rules"][rule];
        assert_eq!(rule["State"], "ENABLED", "{rule:#}");
        let written = rule["ScheduleExpression"].as_str().expect("a schedule");
        // EventBridge reads `0/15` and `*/15` in the minutes the same.
        assert_eq!(written.replace("0/15", "*/15"), expression);
        assert_eq!(rule["Tags"]["evenkeel:release"], "production/rails");

        let [target] = rule["Targets"].as_array().expect("a list").as_slice() else {
            panic!("not one target: {rule:#}");
        };
        assert_eq!(
            target["RoleArn"],
            format!("arn:aws:iam::{ACCOUNT}:role/ecsEventsRole")
        );
        let input: Value = serde_json::from_str(target["Input"].as_str().expect("text")).unwrap();
        assert_eq!(
            input["containerOverrides"][0]["command"],
            json!(["bundle", "exec", "rails", command])
        );
        let arn = target["EcsParameters"]["TaskDefinitionArn"]
            .as_str()
            .expect("an ARN");
        let name = arn.rsplit('/').next().expect("an ARN has parts");
        let definition = &after["taskDefinitions"][name];
        assert_eq!(container(definition, "rails")["image"], app);
        assert_only_images_differ(definition, &before["taskDefinitions"]["rails-oneoff:1"]);
    }
    let other = "someone-elses-rule";
    assert_eq!(after["rules"][other], before["rules"][other]);
    assert_eq!(after["rules"].as_object().expect("an object").len(), 3);
}

#[test]
fn chuoi_reaches_ready_on_the_revision_that_the_service_runs() {
    let server = Server::ministack();
    server.replay("chuoi", &["--parameters"]);
    let evenkeel = Evenkeel::new(&server, "chuoi");
    let before = server.snapshot("chuoi");

    evenkeel.expect(0, &["init"]);
    evenkeel.apply(&[
        &manifest::file("chuoi", "environment.yaml"),
        &manifest::file("chuoi", "release.yaml"),
    ]);
    let images = example("chuoi").join("imagedefinitions.json");
    evenkeel.expect(
        0,
        &["set", "image", "chuoi", "--from", images.to_str().unwrap()],
    );
    evenkeel.expect(0, &["run", "--once"]);
    assert_ready(&evenkeel.release("chuoi"));

    let after = server.snapshot("chuoi");
    let definition = running(&after, "chuoi");
    for name in ["app", "web", "log"] {
        assert_eq!(
            container(definition, name)["image"],
            pinned(&server, name, "c0ffee12")
        );
    }
    // chuoi:2, the newer one, has one container and other sizes.
    assert_only_images_differ(definition, &before["taskDefinitions"]["chuoi:1"]);

    evenkeel.expect(0, &["run", "--once"]);
    assert_eq!(
        server.snapshot("chuoi"),
        after,
        "the second pass changed something"
    );
}

#[test]
fn a_crashing_release_is_stalled_and_the_breaker_keeps_the_old_one_running() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    evenkeel.apply(&[&manifest::file("rails", "release.yaml")]);
    evenkeel.expect(0, &["run", "--once"]);
    assert_ready(&evenkeel.release("rails"));
    let good = server.snapshot(CLUSTER);

    push(&server, "rails/crash", "bad");
    let mut release = manifest::read("rails", "release.yaml");
    release["spec"]["images"]["app"] = json!({"repository": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/rails/crash"), "tag": "bad"});
    evenkeel.apply(&[&manifest::write("crash", &release)]);
    evenkeel.expect(1, &["run", "--once"]);

    let message = assert_stalled(&evenkeel.release("rails"), "RolledBack");
    assert!(
        message.contains("app") || message.contains("shoryuken"),
        "{message}"
    );
    evenkeel.expect(1, &["wait", "rails", "--timeout", "10s"]);
    let failed = server.snapshot(CLUSTER);
    for service in ["app", "shoryuken"] {
        assert_eq!(
            failed["services"][service]["taskDefinition"],
            good["services"][service]["taskDefinition"],
            "ECS went back to the old definition"
        );
    }
    assert_eq!(
        failed["rules"], good["rules"],
        "no schedule moves to a revision that failed"
    );

    evenkeel.expect(1, &["run", "--once"]);
    assert_stalled(&evenkeel.release("rails"), "RolledBack");
    assert_eq!(
        server.snapshot(CLUSTER),
        failed,
        "a rejected revision was tried again"
    );
}

#[test]
fn an_image_that_cannot_be_pulled_is_stalled() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let before = server.snapshot(CLUSTER);

    push(&server, "rails/nginx-doesnotexist", "bad");
    let mut release = manifest::read("rails", "release.yaml");
    release["spec"]["images"]["nginx"] = json!({
        "repository": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/rails/nginx-doesnotexist"),
        "tag": "bad",
    });
    evenkeel.apply(&[&manifest::write("pull", &release)]);
    evenkeel.expect(1, &["run", "--once"]);

    let message = assert_stalled(&evenkeel.release("rails"), "RolledBack");
    assert!(message.contains("app"), "{message}");
    let after = server.snapshot(CLUSTER);
    assert_eq!(
        after["services"]["app"]["taskDefinition"],
        before["services"]["app"]["taskDefinition"]
    );
}

#[test]
fn a_failed_migration_is_stalled_and_moves_nothing_until_it_is_retried() {
    let server = rails();
    let evenkeel = Evenkeel::new(&server, "production");
    let before = server.snapshot(CLUSTER);

    let mut release = manifest::read("rails", "release.yaml");
    release["spec"]["migrations"][0]["overrides"]["containerOverrides"][0]["command"] =
        json!(["sh", "-c", "exit 3"]);
    evenkeel.apply(&[&manifest::write("exit-3", &release)]);
    evenkeel.expect(1, &["run", "--once"]);

    let stalled = evenkeel.release("rails");
    assert_stalled(&stalled, "MigrationFailed");
    let migration = &stalled["status"]["migrations"][0];
    assert_eq!(migration["name"], "db-migrate");
    assert_eq!(migration["state"], "Failed");
    assert_eq!(migration["exitCode"], 3);
    assert_eq!(migration["stopCode"], "EssentialContainerExited");
    assert_eq!(migration["stoppedReason"], "Essential container exited");
    let task = migration["taskArn"]
        .as_str()
        .and_then(|arn| arn.rsplit('/').next())
        .unwrap();
    let stream = migration["logStream"]
        .as_str()
        .expect("the log stream is named");
    assert!(stream.ends_with(&format!("rails/rails/{task}")), "{stream}");

    evenkeel.expect(1, &["run", "--once"]);
    let after = server.snapshot(CLUSTER);
    assert_eq!(after["services"], before["services"], "a service moved");
    assert_eq!(after["rules"], before["rules"], "a schedule moved");
    assert_eq!(
        after["tasks"].as_array().unwrap().len(),
        1,
        "the migration ran more than once"
    );

    evenkeel.expect(0, &["retry", "rails"]);
    evenkeel.expect(1, &["run", "--once"]);
    let retried = server.snapshot(CLUSTER);
    assert_eq!(
        retried["tasks"].as_array().unwrap().len(),
        2,
        "retry runs it once more"
    );
    assert_eq!(retried["services"], before["services"], "a service moved");
}
