use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{EcsParameters, RuleState, Tag, Target};

use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/events";
const CLUSTER: &str = "arn:aws:ecs:ap-northeast-1:123456789012:cluster/main";

fn client(sandbox: &Sandbox) -> Client {
    client!(aws_sdk_eventbridge, sandbox)
}

async fn put(client: &Client, name: &str) {
    client
        .put_rule()
        .name(name)
        .schedule_expression("rate(5 minutes)")
        .description("as it was")
        .send()
        .await
        .unwrap();
}

fn target(id: &str) -> Target {
    let ecs = EcsParameters::builder()
        .task_definition_arn("arn:aws:ecs:ap-northeast-1:123456789012:task-definition/a:1")
        .build()
        .unwrap();
    Target::builder()
        .id(id)
        .arn(CLUSTER)
        .role_arn(ROLE)
        .ecs_parameters(ecs)
        .build()
        .unwrap()
}

fn tag(key: &str) -> Tag {
    Tag::builder().key(key).value("x").build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn put_rule_replaces_everything_but_tags_and_targets() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    put(&client, "nightly").await;
    client
        .put_targets()
        .rule("nightly")
        .targets(target("a"))
        .send()
        .await
        .unwrap();
    client.disable_rule().name("nightly").send().await.unwrap();
    let again = client
        .put_rule()
        .name("nightly")
        .schedule_expression("cron(0 3 * * ? *)")
        .tags(tag("ignored"))
        .send()
        .await
        .unwrap();
    let rule = client.describe_rule().name("nightly").send().await.unwrap();
    assert_eq!(rule.schedule_expression(), Some("cron(0 3 * * ? *)"));
    assert_eq!(rule.description(), None);
    assert_eq!(rule.state(), Some(&RuleState::Enabled));
    assert_eq!(rule.arn(), again.rule_arn());
    let tags = client
        .list_tags_for_resource()
        .resource_arn(again.rule_arn().unwrap())
        .send()
        .await
        .unwrap();
    assert!(tags.tags().is_empty());
    let targets = client.list_targets_by_rule().rule("nightly").send();
    assert_eq!(targets.await.unwrap().targets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_by_tag_resource() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    let made = client
        .put_rule()
        .name("nightly")
        .schedule_expression("rate(1 day)")
        .tags(tag("first"))
        .send()
        .await
        .unwrap();
    let arn = made.rule_arn().unwrap();
    client
        .tag_resource()
        .resource_arn(arn)
        .tags(tag("second"))
        .send()
        .await
        .unwrap();
    client
        .untag_resource()
        .resource_arn(arn)
        .tag_keys("first")
        .send()
        .await
        .unwrap();
    let tags = client
        .list_tags_for_resource()
        .resource_arn(arn)
        .send()
        .await
        .unwrap();
    let keys: Vec<_> = tags.tags().iter().map(Tag::key).collect();
    assert_eq!(keys, ["second"]);
}

#[tokio::test(start_paused = true)]
async fn put_targets_replaces_a_target_wholly() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    put(&client, "nightly").await;
    let mut with_input = target("a");
    with_input.input = Some("{\"x\": 1}".to_owned());
    for target in [with_input, target("a")] {
        let put = client.put_targets().rule("nightly").targets(target);
        assert_eq!(put.send().await.unwrap().failed_entry_count(), 0);
    }
    let listed = client
        .list_targets_by_rule()
        .rule("nightly")
        .send()
        .await
        .unwrap();
    let [only] = listed.targets() else {
        panic!("{listed:?}");
    };
    assert_eq!(only.input(), None);
    assert_eq!(only.ecs_parameters().unwrap().task_count(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_rule_goes_after_its_targets_and_may_go_twice() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    put(&client, "nightly").await;
    client
        .put_targets()
        .rule("nightly")
        .targets(target("a"))
        .send()
        .await
        .unwrap();
    let early = client
        .delete_rule()
        .name("nightly")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        told(&early),
        (
            "ValidationException".to_owned(),
            "Rule can't be deleted since it has targets.".to_owned()
        )
    );
    client
        .remove_targets()
        .rule("nightly")
        .ids("a")
        .ids("never-there")
        .send()
        .await
        .unwrap();
    for _ in 0..2 {
        client.delete_rule().name("nightly").send().await.unwrap();
    }
    let gone = client.describe_rule().name("nightly").send().await;
    assert_eq!(
        told(&gone.unwrap_err()),
        (
            "ResourceNotFoundException".to_owned(),
            "Rule nightly does not exist on EventBus default.".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn failed_entries_come_in_a_200() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    put(&client, "nightly").await;
    sandbox.update_settings(|settings| settings.fail_targets = vec!["bad*".parse().unwrap()]);
    let put = client
        .put_targets()
        .rule("nightly")
        .targets(target("bad-one"))
        .targets(target("good"))
        .send()
        .await
        .unwrap();
    assert_eq!(put.failed_entry_count(), 1);
    assert_eq!(put.failed_entries()[0].target_id(), Some("bad-one"));
    sandbox.update_settings(|settings| settings.fail_targets = vec![ROLE.parse().unwrap()]);
    let removed = client
        .remove_targets()
        .rule("nightly")
        .ids("good")
        .send()
        .await
        .unwrap();
    assert_eq!(removed.failed_entry_count(), 1);
    let listed = client.list_targets_by_rule().rule("nightly").send();
    assert_eq!(listed.await.unwrap().targets()[0].id(), "good");
}

#[tokio::test(start_paused = true)]
async fn rules_of_aws_services_refuse_writes() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    sandbox.put_managed_rule(
        REGION,
        "theirs",
        "autoscaling.amazonaws.com",
        "rate(1 hour)",
    );
    let rule = client.describe_rule().name("theirs").send().await.unwrap();
    assert_eq!(rule.managed_by(), Some("autoscaling.amazonaws.com"));
    let change = client
        .put_rule()
        .name("theirs")
        .schedule_expression("rate(2 hours)");
    assert_eq!(
        told(&change.send().await.unwrap_err()).0,
        "ManagedRuleException"
    );
    let aim = client.put_targets().rule("theirs").targets(target("a"));
    assert_eq!(
        told(&aim.send().await.unwrap_err()).0,
        "ManagedRuleException"
    );
    let delete = client.delete_rule().name("theirs").send().await;
    assert_eq!(told(&delete.unwrap_err()).0, "ManagedRuleException");
}

#[tokio::test(start_paused = true)]
async fn rules_are_listed_by_prefix_and_page() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    for name in ["b-1", "a-1", "a-2", "a-3"] {
        put(&client, name).await;
    }
    let page = |token: Option<String>| {
        client
            .list_rules()
            .name_prefix("a-")
            .limit(2)
            .set_next_token(token)
            .send()
    };
    let names =
        |page: &aws_sdk_eventbridge::operation::list_rules::ListRulesOutput| -> Vec<String> {
            let rules = page.rules().iter();
            rules.filter_map(|r| r.name().map(str::to_owned)).collect()
        };
    let first = page(None).await.unwrap();
    assert_eq!(names(&first), ["a-1", "a-2"]);
    let second = page(first.next_token().map(str::to_owned)).await.unwrap();
    assert_eq!(names(&second), ["a-3"]);
    assert_eq!(second.next_token(), None);
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused_before_anything_changes() {
    let sandbox = sandbox();
    let call = |operation: &str, input: Value| sandbox.call("events", REGION, operation, input);
    let rate = "rate(1 day)";
    for (input, says) in [
        (json!({"ScheduleExpression": rate}), "'name'"),
        (
            json!({"Name": "a b", "ScheduleExpression": rate}),
            "regular expression",
        ),
        (
            json!({"Name": "x".repeat(65), "ScheduleExpression": rate}),
            "equal to 64",
        ),
        (json!({"Name": "a"}), "must be specified"),
        (
            json!({"Name": "a", "ScheduleExpression": "rate(1 minutes)"}),
            "ScheduleExpression is not valid",
        ),
        (
            json!({"Name": "a", "ScheduleExpression": rate, "State": "ON"}),
            "enum",
        ),
    ] {
        let error = call("PutRule", input).unwrap_err();
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains(says), "{error}");
    }
    let pattern = call("PutRule", json!({"Name": "a", "EventPattern": "{"}));
    assert_eq!(pattern.unwrap_err().code, "InvalidEventPatternException");
    let bus = json!({"Name": "a", "EventBusName": "mine", "ScheduleExpression": rate});
    assert_eq!(
        call("PutRule", bus).unwrap_err().message,
        "Event bus mine does not exist."
    );
    assert_eq!(call("ListRules", json!({})).unwrap()["Rules"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn bad_targets_are_refused_and_five_are_the_most() {
    let sandbox = sandbox();
    put(&client(&sandbox), "nightly").await;
    let put = |targets: Value| {
        let input = json!({"Rule": "nightly", "Targets": targets});
        sandbox.call("events", REGION, "PutTargets", input)
    };
    let sqs = |id: &str| json!({"Id": id, "Arn": "arn:aws:sqs:eu-west-1:123456789012:q"});
    for (targets, says) in [
        (json!([]), "greater than or equal to 1"),
        (
            json!([{"Id": "a", "Arn": "queue"}]),
            "not in correct format",
        ),
        (json!([{"Id": "a", "Arn": CLUSTER}]), "RoleArn is required"),
        (
            json!([{"Id": "a", "Arn": CLUSTER, "RoleArn": ROLE}]),
            "EcsParameters",
        ),
        (
            json!([{"Id": "a", "Arn": "arn:aws:sqs:eu-west-1:1:q", "Input": "{"}]),
            "JSON syntax error",
        ),
        (
            json!([{"Id": "a", "Arn": "arn:aws:sqs:eu-west-1:1:q", "Input": format!("\"{}\"", "x".repeat(8191))}]),
            "8192",
        ),
    ] {
        let error = put(targets).unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
    let five: Vec<_> = ["a", "b", "c", "d", "e"].map(sqs).into();
    put(json!(five)).unwrap();
    put(json!([sqs("e")])).unwrap();
    assert_eq!(
        put(json!([sqs("f")])).unwrap_err().code,
        "LimitExceededException"
    );
    let by_target = json!({"TargetArn": "arn:aws:sqs:eu-west-1:123456789012:q"});
    let names = sandbox.call("events", REGION, "ListRuleNamesByTarget", by_target);
    assert_eq!(names.unwrap()["RuleNames"], json!(["nightly"]));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_rule_is_still_read_for_a_while() {
    let sandbox = sandbox();
    let client = client(&sandbox);
    sandbox.update_settings(|settings| settings.read_delay = Duration::from_secs(3));
    put(&client, "nightly").await;
    let read = || async { client.describe_rule().name("nightly").send().await.is_ok() };
    assert!(!read().await);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(read().await);
    client.delete_rule().name("nightly").send().await.unwrap();
    assert!(read().await);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(!read().await);
}
