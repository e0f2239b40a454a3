//! moto's SNS, EventBridge, SSM and Secrets Manager before those who tell people.

use evenkeel::aws::error::ErrorClass;
use evenkeel::aws::events::Event;
use evenkeel::aws::secrets::Secrets;
use evenkeel::aws::sns::Message;
use evenkeel::model::desired::Access;
use evenkeel::resource::secret::SecretRef;
use serde_json::{Value, json};

use crate::servers::{ACCOUNT, REGION, Server};

/// A queue, by its URL and ARN.
fn queue(server: &Server) -> (String, String) {
    let made = server.call("sqs", "CreateQueue", &json!({"QueueName": "heard"}));
    let url = made["QueueUrl"].as_str().expect("a URL").to_owned();
    (url, format!("arn:aws:sqs:{REGION}:{ACCOUNT}:heard"))
}

/// The only message in a queue.
fn heard(server: &Server, url: &str) -> Value {
    let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
    let answer = server.call("sqs", "ReceiveMessage", &input);
    let messages = answer["Messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 1, "{messages:?}");
    let body = messages[0]["Body"].as_str().expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn a_message_reaches_what_is_subscribed_to_motos_topic() {
    let server = Server::moto();
    let (url, queue) = queue(&server);
    let made = server.call("sns", "CreateTopic", &json!({"Name": "releases"}));
    let topic = made["TopicArn"].as_str().expect("an ARN").to_owned();
    let subscribe = json!({"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue});
    server.call("sns", "Subscribe", &subscribe);
    let sns = server.aws().await.region(REGION).sns;
    let message = Message {
        topic: &topic,
        id: "0123",
        group: "shop/web",
        subject: "shop/web: Ready, revision 1",
        text: "shop/web is Ready: <all> & \"more\"",
        attributes: &[("release", "shop/web"), ("event", "Ready"), ("id", "0123")],
    };
    sns.publish(&message).await.expect("moto takes it");
    let heard = heard(&server, &url);
    assert_eq!(heard["Message"], message.text);
    assert_eq!(heard["Subject"], message.subject);
    assert_eq!(heard["MessageAttributes"]["event"]["Value"], "Ready");
    let none = Message {
        topic: &format!("{topic}-none"),
        ..message
    };
    let error = sns.publish(&none).await.expect_err("there is none");
    assert_eq!(error.class, ErrorClass::NotFound, "{error}");
}

#[tokio::test]
async fn an_event_comes_through_motos_bus() {
    let server = Server::moto();
    let (url, queue) = queue(&server);
    let pattern = json!({"source": ["evenkeel"]}).to_string();
    let rule = json!({"Name": "releases", "EventPattern": pattern});
    server.call("events", "PutRule", &rule);
    let targets = json!({"Rule": "releases", "Targets": [{"Id": "1", "Arn": queue}]});
    server.call("events", "PutTargets", &targets);
    let events = server.aws().await.region(REGION).events;
    let detail = json!({"release": "web", "event": "Ready"});
    let event = Event {
        bus: "default",
        source: "evenkeel",
        kind: "evenkeel Release State Change",
        detail: &detail,
        at: "2026-03-02T09:00:00Z".parse().expect("a moment"),
    };
    events.put_event(&event).await.expect("moto takes it");
    let heard = heard(&server, &url);
    assert_eq!(heard["detail"], detail);
    assert_eq!(heard["detail-type"], event.kind);
}

#[tokio::test]
async fn secrets_are_read_where_moto_keeps_them() {
    let server = Server::moto();
    let parameter = json!({"Name": "/shop/slack", "Type": "SecureString", "Value": "of ssm"});
    server.call("ssm", "PutParameter", &parameter);
    let secret = json!({"Name": "shop/slack", "SecretString": r#"{"url": "of the manager"}"#});
    let made = server.call("secretsmanager", "CreateSecret", &secret);
    let arn = made["ARN"].as_str().expect("an ARN");
    let secrets = Secrets::new(server.aws().await);
    let get = async |reference: Value| {
        let secret: SecretRef = serde_json::from_value(reference).expect("a reference");
        let got = secrets.get(&Access::default(), REGION, &secret).await;
        got.map(|secret| secret.expose().to_owned())
    };
    let slack = get(json!({"ssmParameter": "/shop/slack"})).await;
    assert_eq!(slack.expect("it is there"), "of ssm");
    let managed = get(json!({"secretsManagerSecret": arn, "jsonKey": "url"})).await;
    assert_eq!(managed.expect("it is there"), "of the manager");
    for none in [
        json!({"ssmParameter": "/shop/none"}),
        json!({"secretsManagerSecret": "shop/none"}),
    ] {
        let error = get(none).await.expect_err("there is none");
        let class = error.aws().map(|error| error.class);
        assert_eq!(class, Some(ErrorClass::NotFound), "{error}");
    }
}
