//! Hooks before and after a release: in order, once for each revision, and what their failure does.

mod crash;
mod failures;
mod http;
mod invalidations;
mod jobs;
mod older;
mod pauses;
mod retries;
mod switches;
mod unheard;

use evenkeel::resource::status::{HookStatus, PartState};
use evenkeel::sandbox::Verdict;
use serde_json::{Value, json};

use crate::shop::{
    Breaker, Stands, environment, key, merge, minutes, pass, pinned, release, rules, seconds,
    service, shop, stalled, web,
};
use crate::world::World;

/// A function that a hook invokes.
fn lambda(name: &str, more: &Value) -> Value {
    let mut hook = json!({"name": name, "lambda": {"functionName": name}});
    merge(&mut hook, more);
    hook
}

/// The release of `web` with these hooks.
fn hooked(tag: &str, hooks: &Value) -> Value {
    let mut object = web(tag);
    merge(&mut object["spec"], &json!({"hooks": hooks}));
    object
}

impl World {
    /// A function that takes so long, and fails if it has a message.
    fn function(&self, name: &str, takes: u64, fails: Option<&str>) {
        let mut variables = json!({"SANDBOX_TAKES": takes.to_string()});
        if let Some(message) = fails {
            variables["SANDBOX_FAILS"] = json!(message);
        }
        let environment = json!({"Variables": variables});
        let input = json!({
            "FunctionName": name, "Role": "arn:aws:iam::123456789012:role/hook", "Code": {},
            "Environment": environment,
        });
        self.aws("lambda", "CreateFunction", input);
    }

    /// From now on a function does that.
    fn mended(&self, name: &str) {
        let input = json!({"FunctionName": name, "Environment": {"Variables": {}}});
        self.aws("lambda", "UpdateFunctionConfiguration", input);
    }

    /// What was invoked, in order, and for which end.
    fn invoked(&self) -> Vec<(String, String)> {
        let all = self.sandbox.invoked().into_iter();
        all.map(|(name, input)| {
            let outcome = input["outcome"].as_str().unwrap_or("before");
            (name, outcome.to_owned())
        })
        .collect()
    }

    fn invoked_names(&self) -> Vec<String> {
        self.invoked().into_iter().map(|(name, _)| name).collect()
    }

    async fn hook(&self, name: &str) -> HookStatus {
        let hooks = self.status(&key()).await.hooks;
        let found = hooks.into_iter().find(|hook| hook.name == name);
        found.expect("the status tells of the hook")
    }

    /// The steps of AWS that the controller took, in order.
    fn steps(&self) -> Vec<String> {
        let steps = ["Invoke", "RunTask", "UpdateService", "CreateInvalidation"];
        let log = self.sandbox.log();
        let made = log.iter().filter(|call| call.client);
        made.filter(|call| steps.contains(&call.operation.as_str()))
            .map(|call| call.operation.clone())
            .collect()
    }

    fn invalidations(&self, distribution: &str) -> usize {
        let input = json!({"DistributionId": distribution});
        let answer = self.aws("cloudfront", "ListInvalidations", input);
        let items = answer["InvalidationList"]["Items"].as_array();
        items.map_or(0, Vec::len)
    }

    /// The id of a distribution of its own.
    fn distribution(&self) -> String {
        let config = json!({"DistributionConfig": {"CallerReference": "shop"}});
        let answer = self.aws("cloudfront", "CreateDistribution", config);
        let id = answer["Distribution"]["Id"].as_str();
        id.expect("an id").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_their_order_once_for_each_revision() {
    let world = shop(Breaker::Rollback).await;
    world.function("warm-up", 30, None);
    world.function("tell", 0, None);
    let distribution = world.distribution();
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "5s"}}}]),
    );
    let hooks = json!({
        "before": [lambda("warm-up", &json!({})), {"name": "snapshot", "ecsTask": task}],
        "after": [
            {"name": "cdn", "cloudFrontInvalidation": {"distributionId": distribution, "paths": ["/*"]}},
            lambda("tell", &json!({"on": "Always"})),
        ],
    });
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let once = [
        "Invoke",
        "RunTask",
        "UpdateService",
        "CreateInvalidation",
        "Invoke",
    ];
    assert_eq!(world.steps(), once);
    let states: Vec<_> = world
        .status(&key())
        .await
        .hooks
        .into_iter()
        .map(|hook| (hook.name, hook.kind, hook.state))
        .collect();
    let done = |name: &str, kind: &str| (name.to_owned(), kind.to_owned(), PartState::Done);
    assert_eq!(
        states,
        [
            done("warm-up", "lambda"),
            done("snapshot", "ecsTask"),
            done("cdn", "cloudFrontInvalidation"),
            done("tell", "lambda"),
        ]
    );

    // What they were told.
    let (_, told) = world.sandbox.invoked().remove(1);
    assert_eq!(told["release"], "web");
    assert_eq!(told["revision"], 1);
    assert_eq!(told["outcome"], "Success");
    assert_eq!(told["images"]["web"], json!(pinned(&world, "v2")));

    // Nothing of a release that stands as it did runs them again, and no repair of drift.
    world.by_hand("web", "web:1");
    pass(minutes(3)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.invoked_names(), ["warm-up", "tell"]);
    assert_eq!(world.invalidations(&distribution), 1);

    // Another revision does.
    world.put(&hooked("v3", &hooks)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(
        world.invoked_names(),
        ["warm-up", "tell", "warm-up", "tell"]
    );
    assert_eq!(world.invalidations(&distribution), 2);
    assert_eq!(world.sent("RunTask").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_while_a_hook_before_fails_and_another_try_runs_it_again() {
    let world = shop(Breaker::Rollback).await;
    world.function("check", 2, Some("the cart is not empty"));
    world.function("page", 0, None);
    let hooks = json!({
        "before": [lambda("check", &json!({}))],
        "after": [lambda("page", &json!({"on": "Failure"}))],
    });
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    assert_eq!(world.moves(), [] as [String; 0]);
    let why = world.why(&key()).await;
    assert!(why.contains("the cart is not empty"), "{why}");
    assert!(why.contains("evenkeel retry shop/web"), "{why}");
    assert_eq!(world.hook("check").await.state, PartState::Failed);
    // Whoever waits for a failure was told of it, once.
    assert_eq!(
        world.invoked(),
        [
            ("check".to_owned(), "before".to_owned()),
            ("page".to_owned(), "Failure".to_owned()),
        ]
    );

    world.mended("check");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.invoked_names(), ["check", "page", "check"]);
    let check = world.hook("check").await;
    assert_eq!((check.state, check.attempt), (PartState::Done, Some(2)));
    // There was no failure this time.
    assert_eq!(world.hook("page").await.state, PartState::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_only_warns_holds_nothing_up() {
    let world = shop(Breaker::Rollback).await;
    world.function("check", 0, Some("no luck"));
    let warns = json!({"onFailure": "Warn"});
    let hooks = json!({
        "before": [lambda("check", &warns)],
        "after": [{"name": "cdn", "onFailure": "Warn", "cloudFrontInvalidation": {
            "distributionId": "ENONE", "paths": ["/*"],
        }}],
    });
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let check = world.hook("check").await;
    assert_eq!(check.state, PartState::Failed);
    let message = check.message.expect("why");
    assert!(message.contains("no luck"), "{message}");
    let cdn = world.hook("cdn").await.message.expect("why");
    assert!(
        cdn.contains("NoSuchDistribution") || cdn.contains("does not exist"),
        "{cdn}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_after_may_take_everything_back() {
    let world = shop(Breaker::Rollback).await;
    world.function("smoke-test", 20, Some("500 from /checkout"));
    world.function("page", 0, None);
    world.put(&web("v2")).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let hooks = json!({"after": [
        lambda("smoke-test", &json!({"onFailure": "Rollback"})),
        lambda("page", &json!({"on": "Failure"})),
    ]});
    world.put(&hooked("v3", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    let why = world.why(&key()).await;
    assert!(why.contains("500 from /checkout"), "{why}");
    assert_eq!(world.invoked_names(), ["smoke-test", "page"]);

    // It is not tried again by itself, and nobody is told again.
    assert_eq!(
        world.resync(&key(), minutes(60), minutes(5)).await,
        stalled("RolledBack")
    );
    assert_eq!(world.invoked_names(), ["smoke-test", "page"]);

    // A person may, and with the function mended it is Ready.
    world.mended("smoke-test");
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.invoked_names(), ["smoke-test", "page", "smoke-test"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_once_everything_is_back() {
    let world = shop(Breaker::Rollback).await;
    world.function("tell", 0, None);
    let hooks = json!({"after": [lambda("tell", &json!({"on": "Always"}))]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&hooked("bad", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let outcomes: Vec<String> = world.invoked().into_iter().map(|(_, end)| end).collect();
    assert_eq!(outcomes, ["Success", "Failure"]);
    let (_, told) = world.sandbox.invoked().remove(1);
    let reason = told["reason"].as_str().expect("why");
    assert!(reason.contains("service/web"), "{reason}");
    // The service was back when it was told.
    let log = world.sandbox.log();
    let told = log.iter().rposition(|call| call.operation == "Invoke");
    let moved = log
        .iter()
        .rposition(|call| call.operation == "UpdateService");
    assert!(told > moved, "{told:?} {moved:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_for_either_end_runs_once_for_each() {
    let world = shop(Breaker::Rollback).await;
    world.function("tell", 0, None);
    world.function("smoke", 5, Some("500 from /checkout"));
    let hooks = json!({"after": [
        lambda("tell", &json!({"on": "Always"})),
        lambda("smoke", &json!({})),
    ]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let once = [
        ("tell".to_owned(), "Success".to_owned()),
        ("smoke".to_owned(), "Success".to_owned()),
        ("tell".to_owned(), "Failure".to_owned()),
    ];
    assert_eq!(world.invoked(), once);
    assert_eq!(
        world.resync(&key(), minutes(60), minutes(5)).await,
        stalled("HookFailed")
    );
    assert_eq!(world.invoked(), once);
    assert_eq!(world.hook("tell").await.state, PartState::Done);
    assert_eq!(world.hook("smoke").await.state, PartState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_hook_for_either_end_that_fails_is_not_run_for_its_own_failures_again() {
    let world = shop(Breaker::Rollback).await;
    world.function("tell", 5, Some("nobody listens"));
    let hooks = json!({"after": [lambda("tell", &json!({"on": "Always"}))]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    assert_eq!(
        world.resync(&key(), minutes(60), minutes(5)).await,
        stalled("HookFailed")
    );
    let ends: Vec<String> = world.invoked().into_iter().map(|(_, end)| end).collect();
    assert_eq!(ends, ["Success", "Failure"]);
    let why = world.why(&key()).await;
    assert!(why.contains("nobody listens"), "{why}");
    assert_eq!(world.hook("tell").await.state, PartState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_hangs_is_not_invoked_again_unless_it_may_be() {
    for (idempotent, reason) in [(false, "HookUnknown"), (true, "HookFailed")] {
        let world = shop(Breaker::Rollback).await;
        world.function("slow", 3600, None);
        let more = json!({"timeout": "5m", "idempotent": idempotent});
        let hooks = json!({"before": [lambda("slow", &more)]});
        world.put(&hooked("v2", &hooks)).await;
        let begun = world.sandbox.now();
        assert_eq!(world.run(&key()).await, stalled(reason));
        let took = world.sandbox.now().duration_since(begun);
        assert!(took.as_mins() >= 5 && took.as_mins() < 8, "{took:#}");
        assert_eq!(world.moves(), [] as [String; 0]);
        assert_eq!(world.invoked_names().len(), 1, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_hangs_is_told_with_its_exit_code() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "5s", "exitCode": 3}}}]),
    );
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let hooks = json!({"before": [{"name": "check", "timeout": "2m", "ecsTask": task}]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let check = world.hook("check").await;
    assert_eq!((check.state, check.exit_code), (PartState::Failed, Some(3)));

    // One that does not end is stopped.
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"healthy": {}}}]),
    );
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let why = world.why(&key()).await;
    assert!(why.contains("did not end within"), "{why}");
    assert_eq!(world.sent("RunTask").len(), 2);
    assert_eq!(world.sent("StopTask").len(), 1);
    assert_eq!(world.moves(), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_waits_for_a_hook_that_runs() {
    let world = shop(Breaker::Rollback).await;
    world.function("slow", 600, None);
    let hooks = json!({"before": [lambda("slow", &json!({}))]});
    world.put(&hooked("v2", &hooks)).await;
    let controller = world.controller();
    let newer = async {
        pass(seconds(60)).await;
        world.put(&web("v3")).await;
        pass(minutes(3)).await;
        assert_eq!(world.moves(), [] as [String; 0]);
        let ready = world.message(&key()).await;
        assert!(
            ready.contains("hook/slow of revision 1 is still running"),
            "{ready}"
        );
        pass(minutes(20)).await;
    };
    controller.run(newer).await.expect("runs");
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    assert_eq!(world.invoked_names(), ["slow"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_environment_does_not_allow_is_not_called() {
    let world = shop(Breaker::Rollback).await;
    world.function("theirs", 0, None);
    let allow =
        json!({"allow": {"functions": ["shop-*"], "urls": ["https://hooks.shop.example/*"]}});
    world.put(&environment(&allow)).await;
    let secret = json!({"ssmParameter": "/other/password"});
    let hooks = json!({"before": [
        lambda("theirs", &json!({})),
        {"name": "post", "http": {"url": "https://elsewhere.example/", "authorization": secret}},
    ]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("NotAllowed"));
    assert_eq!(world.invoked_names(), [] as [String; 0]);
    let waiting = world
        .reconciler()
        .preview(&key())
        .await
        .expect("plans")
        .waiting;
    let told: Vec<String> = waiting.into_iter().map(|it| it.reason).collect();
    for list in ["functions", "urls", "secrets"] {
        let named = format!("spec.allow.{list}");
        assert!(
            told.iter().any(|it| it.contains(&named)),
            "{named}: {told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_posted_past_the_hosts_that_are_listed() {
    let any = json!({"secrets": ["/shop/*"]});
    let listed = json!({"urls": ["https://*.shop.example/*"], "secrets": ["/shop/*"]});
    for (allow, url) in [
        (&listed, "https://evil.example/.shop.example/x"),
        (&listed, "https://evil.example:443/.shop.example/x"),
        (&listed, "http://localhost/.shop.example/x"),
        (&any, "http://localhost:8080/x"),
        (&any, "http://127.0.0.1/x"),
        (&any, "https://[::1]/x"),
    ] {
        let world = shop(Breaker::Rollback).await;
        let input = json!({"Name": "/shop/hook", "Type": "SecureString", "Value": "secret"});
        world.aws("ssm", "PutParameter", input);
        world.put(&environment(&json!({"allow": allow}))).await;
        let hooks = json!({"before": [
            {"name": "post", "http": {"url": url, "authorization": {"ssmParameter": "/shop/hook"}}},
        ]});
        world.put(&hooked("v2", &hooks)).await;
        assert_eq!(world.settle(&key()).await, stalled("NotAllowed"), "{url}");
        assert_eq!(world.sandbox.webhooks().len(), 0, "{url}");

        // Listed, it is posted to.
        let end = url.rfind("/.shop").or_else(|| url.rfind("/x"));
        let host = &url[..end.expect("a path")];
        let allow = json!({"urls": [format!("{host}/*")], "secrets": ["/shop/*"]});
        world.put(&environment(&json!({"allow": allow}))).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{url}");
        assert_eq!(world.sandbox.webhooks().len(), 1, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_was_not_run_is_invoked_again() {
    for (status, code) in [
        (409, "ResourceConflictException"),
        (403, "ExpiredTokenException"),
        (429, "TooManyRequestsException"),
    ] {
        let world = shop(Breaker::Rollback).await;
        world.function("check", 0, None);
        let verdict = Verdict::Answer {
            status,
            code: code.to_owned(),
            message: "not now".to_owned(),
        };
        world.breaks("Invoke", 2, false, verdict);
        let hooks = json!({"before": [lambda("check", &json!({}))]});
        world.put(&hooked("v2", &hooks)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{code}");
        assert_eq!(world.invoked_names(), ["check"], "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_never_run_fails_the_hook_when_its_time_is_up() {
    let world = shop(Breaker::Rollback).await;
    world.function("check", 0, None);
    let verdict = Verdict::Answer {
        status: 409,
        code: "ResourceConflictException".to_owned(),
        message: "an update is in progress".to_owned(),
    };
    world.breaks("Invoke", u64::MAX, false, verdict);
    let hooks = json!({"before": [lambda("check", &json!({"timeout": "5m"}))]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let why = world.why(&key()).await;
    assert!(why.contains("within 5m"), "{why}");
    assert!(why.contains("an update is in progress"), "{why}");
    assert_eq!(world.invoked_names(), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_told_and_nothing_was_invoked() {
    let world = shop(Breaker::Rollback).await;
    world.function("check", 0, None);
    world.deny(&["lambda:Invoke"]);
    let hooks = json!({"before": [lambda("check", &json!({}))]});
    world.put(&hooked("v2", &hooks)).await;
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let why = world.why(&key()).await;
    assert!(why.contains("not authorized"), "{why}");
    world.deny(&[]);
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.invoked_names(), ["check"]);
}

#[tokio::test(start_paused = true)]
async fn going_back_to_a_revision_runs_its_hooks_and_a_change_of_nothing_runs_none() {
    let world = shop(Breaker::Rollback).await;
    world.function("tell", 0, None);
    let hooks = json!({"after": [lambda("tell", &json!({}))]});
    for tag in ["v2", "v3"] {
        world.put(&hooked(tag, &hooks)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
    }
    // A generation that brings nothing new.
    let mut same = hooked("v3", &hooks);
    same["spec"]["revisionHistoryLimit"] = json!(5);
    world.put(&same).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.invoked_names().len(), 2);

    let back = evenkeel::model::ledger::RequestKind::Rollback {
        to: 1,
        force: false,
    };
    world.request(&key(), back).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v2"));
    assert_eq!(world.invoked_names().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn hooks_of_old_revisions_are_forgotten_with_them() {
    let world = shop(Breaker::Rollback).await;
    rules(
        &world,
        &json!([{"when": {"family": "job"}, "then": {"exit": {"after": "5s"}}}]),
    );
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let hooks = json!({"after": [{"name": "check", "ecsTask": task}]});
    for tag in ["v1", "v2", "v3", "v4"] {
        let mut object = release("web", tag, &json!({"services": [service("web")]}));
        merge(
            &mut object["spec"],
            &json!({"hooks": hooks, "revisionHistoryLimit": 2}),
        );
        world.put(&object).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready);
    }
    assert_eq!(world.sent("RunTask").len(), 4);
    let ledger = world.ledger(&key()).await;
    let kept: Vec<u64> = ledger.migrations.iter().map(|run| run.revision).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
}
