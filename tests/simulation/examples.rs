//! The manifests of `examples/`, each brought through what its page in `docs/` tells.

mod kinds;

use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel::model::ledger::RequestKind;
use evenkeel::resource::conditions::ConditionType;
use evenkeel::resource::meta::ReleaseKey;
use evenkeel::sandbox::parse_account;
use jiff::SignedDuration;
use serde_json::json;

use crate::shop::{Stands, minutes, stalled};
use crate::world::World;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn key(name: &str) -> ReleaseKey {
    ReleaseKey::new("shop", name)
}

/// The account of the examples with these manifests applied.
async fn applied(name: &str) -> World {
    let world = World::empty().await;
    let mut accounts = vec![folder("account.json")];
    let own = folder(name).join("account.json");
    if own.exists() {
        accounts.push(own);
    }
    for account in accounts {
        let calls = parse_account(&read(&account)).expect("an account file");
        world.load(&calls);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut manifests: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .expect("the folder of the example")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    // environment.yaml comes before what goes there.
    manifests.sort();
    for manifest in manifests {
        world.apply(&read(&manifest)).await;
    }
    world
}

/// Pushes an image of the shop.
fn push(world: &World, name: &str, tag: &str, content: u8) {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1469, "digest": format!("sha256:{}", format!("{content:02x}").repeat(32)),
        },
        "layers": [],
    });
    let input = json!({
        "repositoryName": format!("shop/{name}"), "imageTag": tag,
        "imageManifest": manifest.to_string(),
    });
    world.aws("ecr", "PutImage", input);
}

/// A copy of an example's release with another tag.
async fn release(world: &World, name: &str, from: &str, to: &str) {
    let text = read(&folder(name).join("release.yaml"));
    assert!(text.contains(from));
    world.apply(&text.replace(from, to)).await;
}

fn image(world: &World, service: &str) -> String {
    let definition = world.runs("shop", service);
    world.image_in(&definition, service)
}

/// Tasks of this image crash.
fn crash(world: &World, image: &str) {
    world.rules(json!([{
        "when": {"image": image}, "then": {"crash": {"after": "5s", "exitCode": 1}},
    }]));
}

#[tokio::test(start_paused = true)]
async fn going_back() {
    let world = applied("going-back").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let before = (image(&world, "web"), image(&world, "worker"));
    push(&world, "web", "v1.5.0", 0x51);
    push(&world, "worker", "v1.5.0", 0x52);
    crash(&world, "shop/worker:v1.5.0");
    release(&world, "going-back", "v1.4.0", "v1.5.0").await;
    assert_eq!(world.settle(&key("shop")).await, stalled("RolledBack"));
    assert_eq!((image(&world, "web"), image(&world, "worker")), before);
    let why = world.why(&key("shop")).await;
    assert!(
        why.contains("generation 2") && why.contains("evenkeel retry shop/shop"),
        "{why}"
    );
    // `evenkeel logs shop/worker --failed` reads what the newest of its tasks wrote.
    let services = world.status(&key("shop")).await.services;
    let worker = services.iter().find(|service| service.name == "worker");
    let task = &worker.expect("it is told").evidence.tasks[0];
    assert_eq!(task.containers[0].exit_code, Some(1));
    let place = task.containers[0].log_stream.as_deref().expect("a log");
    assert!(place.starts_with("/shop/worker/ecs/worker/"), "{place}");
    // The cause lay elsewhere.
    world.rules(json!([]));
    world.retry(&key("shop")).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let now = (image(&world, "web"), image(&world, "worker"));
    assert!(now.0 != before.0 && now.1 != before.1, "{now:?}");
}

#[tokio::test(start_paused = true)]
async fn going_back_when_time_is_up() {
    let world = applied("going-back").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let before = (image(&world, "web"), image(&world, "worker"));
    push(&world, "web", "v1.5.0", 0x51);
    push(&world, "worker", "v1.5.0", 0x52);
    world.rules(json!([{
        "when": {"image": "shop/worker:v1.5.0"}, "then": {"healthy": {"after": "1h"}},
    }]));
    release(&world, "going-back", "v1.4.0", "v1.5.0").await;
    assert_eq!(world.settle(&key("shop")).await, stalled("RolledBack"));
    assert_eq!(world.sent("StopServiceDeployment").len(), 1);
    assert_eq!((image(&world, "web"), image(&world, "worker")), before);
    let why = world.why(&key("shop")).await;
    assert!(why.contains("within 10m"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn going_back_by_hand() {
    let world = applied("going-back").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let before = (image(&world, "web"), image(&world, "worker"));
    push(&world, "web", "v1.5.0", 0x51);
    push(&world, "worker", "v1.5.0", 0x52);
    release(&world, "going-back", "v1.4.0", "v1.5.0").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let after = (image(&world, "web"), image(&world, "worker"));
    assert!(after.0 != before.0 && after.1 != before.1, "{after:?}");
    // The tags may point elsewhere by now.
    push(&world, "web", "v1.4.0", 0x53);
    let back = RequestKind::Rollback {
        to: 1,
        force: false,
    };
    world.request(&key("shop"), back).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_eq!((image(&world, "web"), image(&world, "worker")), before);
}

#[tokio::test(start_paused = true)]
async fn holding_still() {
    // evenkeel takes nothing back; what ECS's circuit breaker does is meant.
    for takes_back in [true, false] {
        let world = applied("holding-still").await;
        let breaker = json!({"enable": true, "rollback": takes_back});
        let input = json!({
            "cluster": "shop", "service": "web",
            "deploymentConfiguration": {"deploymentCircuitBreaker": breaker},
        });
        world.aws("ecs", "UpdateService", input);
        assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
        let (before, moved) = (image(&world, "web"), world.moves().len());
        push(&world, "web", "v1.5.0", 0x51);
        crash(&world, "shop/web:v1.5.0");
        release(&world, "holding-still", "v1.4.0", "v1.5.0").await;
        assert_eq!(world.settle(&key("shop")).await, stalled("RolloutFailed"));
        assert_eq!(world.moves().len(), moved + 1);
        assert_eq!(image(&world, "web") == before, takes_back);
    }
}

#[tokio::test(start_paused = true)]
async fn bake() {
    let world = applied("bake").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let before = (image(&world, "web"), image(&world, "worker"));
    push(&world, "web", "v1.5.0", 0x51);
    push(&world, "worker", "v1.5.0", 0x52);
    release(&world, "bake", "v1.4.0", "v1.5.0").await;
    world.run_for(minutes(3)).await;
    assert_ne!(image(&world, "web"), before.0);
    let input =
        json!({"AlarmName": "shop-web-5xx", "StateValue": "ALARM", "StateReason": "12 > 5"});
    world.aws("cloudwatch", "SetAlarmState", input);
    assert_eq!(world.settle(&key("shop")).await, stalled("RolledBack"));
    assert_eq!((image(&world, "web"), image(&world, "worker")), before);
    let why = world.why(&key("shop")).await;
    assert!(why.contains("shop-web-5xx"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn approval() {
    let world = applied("approval").await;
    world.run_for(minutes(10)).await;
    let ready = world.condition(&key("shop"), ConditionType::Ready).await;
    assert_eq!(ready.expect("a condition").reason, "ApprovalPending");
    assert_eq!(world.moves(), Vec::<String>::new());
    world
        .request(&key("shop"), RequestKind::Approve { revision: 1 })
        .await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn windows() {
    // A Monday at 09:00 UTC, which is ten in Berlin: open until 17:00 there.
    let world = applied("windows").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let before = image(&world, "web");
    tokio::time::sleep(Duration::from_secs(8 * 3600)).await;
    push(&world, "web", "v1.5.0", 0x51);
    release(&world, "windows", "v1.4.0", "v1.5.0").await;
    world.run_for(minutes(30)).await;
    let ready = world.condition(&key("shop"), ConditionType::Ready).await;
    let ready = ready.expect("a condition");
    assert_eq!(ready.reason, "WindowClosed");
    assert!(ready.message.contains("2026-03-03"), "{}", ready.message);
    assert_eq!(image(&world, "web"), before);
    tokio::time::sleep(Duration::from_secs(16 * 3600)).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_ne!(image(&world, "web"), before);
}

#[tokio::test(start_paused = true)]
async fn requires() {
    let world = applied("requires").await;
    world.rules(json!([{
        "when": {"image": "shop/worker:v1.4.0"}, "then": {"healthy": {"after": "10m"}},
    }]));
    world.run_for(minutes(2)).await;
    let ready = world.condition(&key("web"), ConditionType::Ready).await;
    assert_eq!(ready.expect("a condition").reason, "RequirementNotMet");
    assert_eq!(world.settle(&key("worker")).await, Stands::Ready);
    assert_eq!(world.settle(&key("web")).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn suspend() {
    let (world, shop) = (applied("suspend").await, key("shop"));
    assert_eq!(world.settle(&shop).await, Stands::Suspended);
    // `evenkeel suspend shop --until 2h`
    let now = world.sandbox.now();
    let until = now + SignedDuration::from_hours(2);
    let suspended = world.store.suspend_until(&shop, until, "ann", now).await;
    suspended.expect("suspends");
    tokio::time::sleep(minutes(115)).await;
    assert_eq!(world.settle(&shop).await, Stands::Suspended);
    assert_eq!(world.aws_writes(), Vec::<String>::new());
    world.run_for(minutes(10)).await;
    assert_eq!(world.moves(), ["web -> web:2"]);
    assert_eq!(world.settle(&shop).await, Stands::Ready);
}

#[tokio::test(start_paused = true)]
async fn following() {
    let world = applied("following").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let before = (image(&world, "web"), image(&world, "worker"));
    push(&world, "web", "latest", 0x51);
    push(&world, "worker", "v1.10.0", 0x52);
    push(&world, "worker", "v1.9.0", 0x53);
    world.run_for(minutes(20)).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_ne!(image(&world, "web"), before.0);
    let status = world.status(&key("shop")).await;
    let reference = &status.images["worker"].reference;
    assert!(reference.ends_with(":v1.10.0"), "{reference}");
    assert_eq!(status.observed_generation, Some(1));
}

#[tokio::test(start_paused = true)]
async fn image_rules() {
    let world = applied("image-rules").await;
    assert_eq!(world.settle(&key("web")).await, Stands::Ready);
    let before = image(&world, "web");
    push(&world, "web", "latest", 0x51);
    world.run_for(minutes(20)).await;
    assert_eq!(world.settle(&key("web")).await, Stands::Ready);
    assert_ne!(image(&world, "web"), before);
}

#[tokio::test(start_paused = true)]
async fn notifications() {
    let world = applied("notifications").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let posts = world.sandbox.webhooks();
    let url = "https://slack.example/services/T00000000/B00000000/sandbox";
    assert!(posts.iter().all(|post| post.url == url), "{posts:?}");
    let said: Vec<String> = posts.iter().map(crate::notifications::text).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("shop/shop: revision 1 (generation 1) begins."),
        "{said:?}"
    );
    assert!(said[1].starts_with("shop/shop is Ready: "), "{said:?}");
    assert_eq!(
        world.published(),
        [] as [String; 0],
        "nothing needs a person"
    );
    assert_eq!(world.sent("PutEvents").len(), 2);
    push(&world, "web", "v1.5.0", 0x51);
    crash(&world, "shop/web:v1.5.0");
    release(&world, "notifications", "v1.4.0", "v1.5.0").await;
    assert_eq!(world.settle(&key("shop")).await, stalled("RolledBack"));
    let published = world.published();
    assert_eq!(published.len(), 1, "{published:?}");
    assert!(
        published[0].starts_with("shop RolledBack (revision 2): generation 2"),
        "{published:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn scheduler() {
    let world = applied("scheduler").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    world
        .sandbox
        .update_settings(|settings| settings.fire_schedules = true);
    world.sandbox.skip(Duration::from_secs(24 * 60 * 60));
    let fired = world.sandbox.firings();
    let report = "schedule/shop-shop/report";
    let reports: Vec<String> = fired
        .iter()
        .filter(|it| it.by == report)
        .map(|it| it.at.to_string())
        .collect();
    // Half past two in Berlin's winter.
    assert_eq!(reports, ["2026-03-03T01:30:00Z"]);
    assert!(fired.iter().any(|it| it.by == "rule/shop-shop-sweep"));
    let log = world.sandbox.log();
    let ran = log.iter().rfind(|call| call.operation == "RunTask");
    let definition = ran.expect("it ran").input["taskDefinition"].clone();
    let image = world.image_in(definition.as_str().expect("an ARN"), "worker");
    assert!(image.contains("/shop/worker@sha256:"), "{image}");
}

/// Each example has a page, which names it.
#[test]
fn every_example_has_a_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let index = read(&docs.join("README.md"));
    for entry in std::fs::read_dir(folder("")).expect("examples") {
        let path = entry.expect("an entry").path();
        if !path.is_dir() {
            continue;
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        let page = read(&docs.join(format!("{name}.md")));
        assert!(page.contains(&format!("../examples/{name}")), "{name}");
        assert!(index.contains(&format!("]({name}.md)")), "{name}");
    }
}

/// What a page links to within the project.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn whatever_a_page_links_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).expect("docs");
    let pages = docs.map(|entry| entry.expect("an entry").path());
    for page in pages.chain([root.join("README.md")]) {
        let found = links(&read(&page));
        assert!(!found.is_empty(), "{}", page.display());
        for target in found {
            let there = page.parent().expect("a folder").join(&target);
            assert!(there.exists(), "{}: {target}", page.display());
        }
    }
}

#[test]
fn every_page_has_an_example() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for entry in std::fs::read_dir(docs).expect("docs") {
        let page = entry.expect("an entry").path();
        let name = page.file_stem().and_then(|name| name.to_str());
        let name = name.expect("a name");
        assert!(name == "README" || folder(name).is_dir(), "{name}");
    }
}

/// Names of the calls that the controller made around the service's rollout, in order.
fn around(world: &World) -> Vec<String> {
    let told = ["Invoke", "RunTask", "UpdateService", "CreateInvalidation"];
    let log = world.sandbox.log();
    let made = log.iter().filter(|call| call.client);
    let operations = made.map(|call| call.operation.clone());
    operations
        .filter(|name| told.contains(&name.as_str()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn hooks() {
    let world = applied("hooks").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let in_order = ["Invoke", "UpdateService", "CreateInvalidation", "Invoke"];
    assert_eq!(around(&world), in_order);
}

#[tokio::test(start_paused = true)]
async fn hook_task() {
    let world = applied("hook-task").await;
    world.rules(json!([{
        "when": {"command": "bin/smoke-test"}, "then": {"exit": {"after": "5s"}},
    }]));
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_eq!(around(&world), ["UpdateService", "RunTask"]);
    let before = image(&world, "web");
    world.rules(json!([{
        "when": {"command": "bin/smoke-test"}, "then": {"exit": {"after": "5s", "exitCode": 1}},
    }]));
    push(&world, "web", "v1.5.0", 0x51);
    release(&world, "hook-task", "v1.4.0", "v1.5.0").await;
    assert_eq!(world.settle(&key("shop")).await, stalled("RolledBack"));
    assert_eq!(image(&world, "web"), before);
}

#[tokio::test(start_paused = true)]
async fn hook_lambda() {
    let world = applied("hook-lambda").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_eq!(around(&world), ["Invoke", "UpdateService", "Invoke"]);
    let invoked = world.sandbox.invoked();
    assert_eq!(invoked[0].1["payload"]["queue"], "orders");
    assert_eq!(invoked[1].1["outcome"], "Success");
}

#[tokio::test(start_paused = true)]
async fn hook_invalidation() {
    let world = applied("hook-invalidation").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    assert_eq!(around(&world), ["UpdateService", "CreateInvalidation"]);
    let hook = world.status(&key("shop")).await.hooks.remove(0);
    assert!(hook.invalidation_id.is_some(), "{hook:?}");
}

#[tokio::test(start_paused = true)]
async fn hook_http() {
    let world = applied("hook-http").await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let posts = world.sandbox.webhooks();
    assert_eq!(posts.len(), 1, "{posts:?}");
    assert_eq!(posts[0].url, "https://deploys.shop.example/releases");
    assert!(posts[0].headers.contains_key("x-evenkeel-signature"));
    let body: serde_json::Value = serde_json::from_str(&posts[0].body).expect("JSON");
    assert_eq!(body["payload"]["team"], "shop");
}

#[tokio::test(start_paused = true)]
async fn hook_pipeline() {
    let world = applied("hook-pipeline").await;
    let answer = world.aws("codepipeline", "StartJob", json!({}));
    let job = answer["jobId"].as_str().expect("an id");
    let id = "11111111-2222-3333-4444-555555555555";
    release(&world, "hook-pipeline", id, job).await;
    assert_eq!(world.settle(&key("shop")).await, Stands::Ready);
    let told = world.aws("codepipeline", "GetJobDetails", json!({"jobId": job}));
    assert_eq!(told["status"], "Succeeded");
}
