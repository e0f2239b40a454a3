//! The example releases, from files to a converged account, as people read it off AWS.

use std::collections::BTreeMap;

use evenkeel::resource::meta::ReleaseKey;
use evenkeel::store::{EditOptions, NewTag};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::rails;
use crate::shop::Stands;
use crate::world::{World, example};

const HOST: &str = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com";
const CLUSTER: &str = "rails-production";

fn pinned(world: &World, repository: &str, tag: &str) -> String {
    let input = json!({"repositoryName": repository, "imageIds": [{"imageTag": tag}]});
    let answer = world.aws("ecr", "DescribeImages", input);
    let digest = answer["imageDetails"][0]["imageDigest"].as_str();
    format!("{HOST}/{repository}@{}", digest.expect("a digest"))
}

/// What a definition says, without what only a describe tells.
fn written(world: &World, name: &str) -> Value {
    let answer = world.definition(name);
    let mut definition = answer["taskDefinition"].clone();
    let members = definition.as_object_mut().expect("a definition");
    for told in [
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
    ] {
        members.remove(told);
    }
    members.insert("tags".to_owned(), answer["tags"].clone());
    definition
}

fn with_images(mut definition: Value, images: &[(&str, &str)]) -> Value {
    let containers = definition["containerDefinitions"].as_array_mut();
    for container in containers.expect("containers") {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        if let Some((_, image)) = images.iter().find(|(found, _)| *found == name) {
            container["image"] = json!(image);
        }
    }
    definition
}

#[tokio::test(start_paused = true)]
async fn rails_moves_as_one_and_keeps_what_nobody_declared() {
    let world = rails::applied().await;
    let stranger = world.rule("someone-elses-rule");
    assert_eq!(world.settle(&rails::key()).await, Stands::Ready);

    // One task, with the manifest's overrides, ended before either service moved.
    let ran = world.sent("RunTask");
    assert_eq!(ran.len(), 1);
    assert_eq!(
        ran[0]["overrides"],
        json!({
            "taskRoleArn": "arn:aws:iam::123456789012:role/railsMigrate",
            "containerOverrides": [{
                "name": "rails",
                "command": ["bundle", "exec", "rails", "db:create", "db:migrate", "db:version"],
            }],
        })
    );
    assert_eq!(ran[0]["launchType"], "FARGATE");
    let network = &ran[0]["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["subnets"], json!(["subnet-0a1b2c3d4e5f60718"]));
    let status = world.status(&rails::key()).await;
    let ended: Timestamp = status.migrations[0].finished_at.expect("it ended");
    let log = world.sandbox.log();
    let moved: Vec<Timestamp> = log
        .iter()
        .filter(|call| call.client && call.operation == "UpdateService")
        .map(|call| call.at)
        .collect();
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().all(|at| *at >= ended), "{moved:?} {ended}");

    // Every part runs the digests of the tag; all else is as it was.
    let app = pinned(&world, "rails/app", "9d3c2f1");
    let nginx = pinned(&world, "rails/nginx", "9d3c2f1");
    for (service, base, images) in [
        (
            "app",
            "rails-app:1",
            [("app", app.as_str()), ("nginx", nginx.as_str())].as_slice(),
        ),
        (
            "shoryuken",
            "rails-shoryuken:1",
            &[("shoryuken", app.as_str())],
        ),
    ] {
        let runs = world.runs(CLUSTER, service);
        let wanted = with_images(written(&world, base), images);
        assert_eq!(written(&world, &runs), wanted, "{service}");
    }
    let definition = written(&world, &world.runs(CLUSTER, "app"));
    let container = &definition["containerDefinitions"][0];
    let empty = json!({"name": "EMPTY_ON_PURPOSE", "value": ""});
    let environment = container["environment"].as_array().expect("a list");
    assert!(environment.contains(&empty), "{environment:?}");
    assert_eq!(container["secrets"].as_array().map(Vec::len), Some(2));
    assert_eq!(container["healthCheck"]["startPeriod"], 60);
    assert_eq!(definition["volumes"][0]["name"], "public");
    assert_eq!(definition["runtimePlatform"]["cpuArchitecture"], "ARM64");
    assert_eq!(
        definition["tags"],
        json!([{"key": "team", "value": "shop"}])
    );
    let worker = written(&world, &world.runs(CLUSTER, "shoryuken"));
    assert_eq!(worker["containerDefinitions"][0]["stopTimeout"], 120);

    for (name, expression, command) in [
        (
            "production-rails-nightly-report",
            "cron(0 18 * * ? *)",
            "report:nightly",
        ),
        (
            "production-rails-sweep-carts",
            "cron(0/15 * * * ? *)",
            "carts:sweep",
        ),
    ] {
        assert_eq!(world.rule(name)["ScheduleExpression"], expression);
        let targets = world.targets(name);
        assert_eq!(targets.len(), 1);
        let ecs = &targets[0]["EcsParameters"];
        let definition = ecs["TaskDefinitionArn"].as_str().expect("an ARN");
        assert_eq!(world.image_in(definition, "rails"), app);
        assert!(
            targets[0]["Input"]
                .as_str()
                .unwrap_or_default()
                .contains(command)
        );
        assert_eq!(ecs["LaunchType"], "FARGATE");
        assert_eq!(
            targets[0]["RoleArn"],
            "arn:aws:iam::123456789012:role/ecsEventsRole"
        );
    }
    assert_eq!(world.rule("someone-elses-rule"), stranger);
    assert_eq!(world.sent("RegisterTaskDefinition").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn chuoi_starts_from_what_the_service_runs_not_from_the_newest() {
    let world = World::new("chuoi/account.json").await;
    world.apply(&example("chuoi/environment.yaml")).await;
    world.apply(&example("chuoi/release.yaml")).await;
    let key = ReleaseKey::new("chuoi", "chuoi");
    let images: BTreeMap<String, NewTag> = ["app", "web", "log"]
        .map(|name| (name.to_owned(), NewTag::Tag("c0ffee12".to_owned())))
        .into();
    let options = EditOptions {
        applier: "ci".to_owned(),
        source: Some("c0ffee12".to_owned()),
        force: false,
        now: world.sandbox.now(),
    };
    world
        .store
        .set_images(&key, &images, &options)
        .await
        .expect("sets");
    assert_eq!(world.settle(&key).await, Stands::Ready);
    let revisions = world.ledger(&key).await.revisions;
    let (_, newest) = revisions.last_key_value().expect("a revision");
    assert_eq!(newest.source.as_deref(), Some("c0ffee12"));

    let images = ["app", "web", "log"].map(|name| (name, pinned(&world, name, "c0ffee12")));
    let images = images
        .each_ref()
        .map(|(name, image)| (*name, image.as_str()));
    let runs = world.runs("chuoi", "chuoi");
    let wanted = with_images(written(&world, "chuoi:1"), &images);
    assert_eq!(written(&world, &runs), wanted);
    let containers = &written(&world, &runs)["containerDefinitions"];
    assert_eq!(containers[0]["secrets"][0]["name"], "SECRET_KEY_BASE");
    assert_eq!(containers[2]["firelensConfiguration"]["type"], "fluentd");
    assert_eq!(world.sent("RegisterTaskDefinition").len(), 1);
}
