use serde_json::json;

use super::*;
use crate::aws::canned::{Canned, Reply};
use crate::sandbox::{Sandbox, SandboxOptions};

const REGION: &str = "eu-west-1";

struct Scene {
    sandbox: Sandbox,
    secrets: Secrets,
}

fn scene() -> Scene {
    let sandbox = Sandbox::new(SandboxOptions::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let put = |region, name: &str, kind: &str, value: &str| {
        let input = json!({"Name": name, "Type": kind, "Value": value});
        sandbox.call("ssm", region, "PutParameter", input).unwrap();
    };
    put(REGION, "/shop/slack", "SecureString", "first\n");
    put(
        REGION,
        "/shop/json",
        "String",
        r#"{"url": "member", "port": 1}"#,
    );
    put("us-east-1", "/shop/slack", "String", "far away");
    let input = json!({"Name": "shop/slack", "SecretString": r#"{"url": "of the manager"}"#});
    let made = sandbox.call("secretsmanager", REGION, "CreateSecret", input);
    made.unwrap();
    let aws = Aws::for_test(sandbox.http_client(), REGION);
    Scene {
        sandbox,
        secrets: Secrets::new(aws),
    }
}

impl Scene {
    async fn get(&self, secret: Value) -> Result<String, String> {
        let secret: SecretRef = serde_json::from_value(secret).unwrap();
        let got = self.secrets.get(&Access::default(), REGION, &secret).await;
        got.map(|secret| secret.expose().to_owned())
            .map_err(|error| error.to_string())
    }

    fn change(&self, value: &str) {
        let input = json!({
            "Name": "/shop/slack", "Type": "SecureString", "Value": value, "Overwrite": true,
        });
        let put = self.sandbox.call("ssm", REGION, "PutParameter", input);
        put.unwrap();
    }

    fn read(&self) -> u64 {
        let calls = self.sandbox.calls();
        calls.get("ssm.GetParameter").copied().unwrap_or(0)
    }
}

fn slack() -> Value {
    json!({"ssmParameter": "/shop/slack"})
}

#[tokio::test(start_paused = true)]
async fn secrets_come_whole_or_by_a_member_from_where_they_lie() {
    let scene = scene();
    assert_eq!(scene.get(slack()).await.unwrap(), "first");
    let member = json!({"ssmParameter": "/shop/json", "jsonKey": "url"});
    assert_eq!(scene.get(member).await.unwrap(), "member");
    let managed = json!({"secretsManagerSecret": "shop/slack", "jsonKey": "url"});
    assert_eq!(scene.get(managed).await.unwrap(), "of the manager");
    let arn = "arn:aws:ssm:us-east-1:123456789012:parameter/shop/slack";
    let far = scene.get(json!({ "ssmParameter": arn })).await;
    assert_eq!(far.unwrap(), "far away", "an ARN's own Region");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_kept_for_a_while_and_read_again_when_it_was_refused() {
    let scene = scene();
    for _ in 0..3 {
        scene.get(slack()).await.unwrap();
    }
    assert_eq!(scene.read(), 1);
    scene.change("second");
    assert_eq!(scene.get(slack()).await.unwrap(), "first", "kept");
    let reference: SecretRef = serde_json::from_value(slack()).unwrap();
    let refuse = |used: &'static str| {
        let (secrets, reference) = (scene.secrets.clone(), reference.clone());
        async move {
            let used = Secret::from(used);
            secrets
                .refused(&Access::default(), REGION, &reference, &used)
                .await;
        }
    };
    refuse("first").await;
    assert_eq!(scene.get(slack()).await.unwrap(), "second");
    // Somebody who used the old one finds out later.
    refuse("first").await;
    scene.get(slack()).await.unwrap();
    assert_eq!(scene.read(), 2);
    scene.change("third");
    tokio::time::advance(KEPT).await;
    assert_eq!(scene.get(slack()).await.unwrap(), "third");
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_once_are_served_with_one_call() {
    let scene = scene();
    let (one, two) = tokio::join!(scene.get(slack()), scene.get(slack()));
    assert_eq!(
        (one.unwrap(), two.unwrap()),
        ("first".to_owned(), "first".to_owned())
    );
    assert_eq!(scene.read(), 1);
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_place_and_never_the_value() {
    let scene = scene();
    let cases = [
        (json!({"ssmParameter": "/shop/none"}), "/shop/none"),
        (json!({"secretsManagerSecret": "none"}), "none"),
        (
            json!({"ssmParameter": "/shop/slack", "jsonKey": "url"}),
            "no JSON object",
        ),
        (
            json!({"ssmParameter": "/shop/json", "jsonKey": "host"}),
            "member host is not there",
        ),
        (
            json!({"ssmParameter": "/shop/json", "jsonKey": "port"}),
            "is no text",
        ),
    ];
    for (secret, told) in cases {
        let why = scene.get(secret).await.unwrap_err();
        assert!(why.contains(told), "{why}");
        assert!(!why.contains("first") && !why.contains("member\""), "{why}");
    }
    scene
        .sandbox
        .update_settings(|it| it.deny = serde_json::from_value(json!(["ssm:*"])).unwrap());
    let why = scene.get(slack()).await.unwrap_err();
    assert!(why.contains("ssm:GetParameter"), "{why}");
    // A failure is not kept.
    scene.sandbox.update_settings(|it| it.deny.clear());
    assert_eq!(scene.get(slack()).await.unwrap(), "first");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_told() {
    let answer = r#"{"Parameter": {"Value": "s3cr3t", "Version": "no number"#;
    let aws = Canned::new(move |_| Reply::Page(200, answer)).aws();
    let secrets = Secrets::new(aws.without_retries());
    let secret: SecretRef = serde_json::from_value(slack()).unwrap();
    let got = secrets.get(&Access::default(), REGION, &secret).await;
    let error = got.unwrap_err();
    assert!(!error.to_string().contains("s3cr3t"), "{error}");
    assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
}

#[test]
fn what_prints_a_secret_does_not_show_it() {
    assert_eq!(format!("{:?}", Secret::from("s3cr3t")), "Secret");
}
