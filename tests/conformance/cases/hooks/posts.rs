//! Posts to Python's HTTP server, which checks their signature as any server would: with the key
//! that both know, over what came.

use serde_json::{Value, json};

use super::{NAMESPACE, body, hook, ministack, moto, released, scheduled, worked};
use crate::evenkeel::{Evenkeel, assert_ready, assert_stalled};
use crate::listener::Listener;
use crate::manifest;
use crate::servers::Server;

const KEY: &str = "a-key-that-nobody-is-shown";
const TOKEN: &str = "Bearer of-bad-news";

/// Puts both secrets where each server keeps such.
fn keep_secrets(server: &Server) {
    let parameter = json!({"Name": "/shop/hook", "Type": "SecureString", "Value": KEY});
    server.call("ssm", "PutParameter", &parameter);
    let members = json!({"authorization": TOKEN}).to_string();
    let secret = json!({"Name": "shop/hook", "SecretString": members});
    server.call("secretsmanager", "CreateSecret", &secret);
}

fn allowed(listener: &Listener) -> Value {
    json!({"urls": [listener.url("/*")], "secrets": ["/shop/*", "shop/*"]})
}

fn posting(listener: &Listener) -> Value {
    let http = json!({
        "url": listener.url("/releases"),
        "signingKey": {"ssmParameter": "/shop/hook"},
        "authorization": {"secretsManagerSecret": "shop/hook", "jsonKey": "authorization"},
        "payload": {"team": "shop"},
    });
    scheduled(&json!({"after": [{"name": "deploys", "http": http}]}))
}

fn header<'a>(heard: &'a Value, name: &str) -> &'a str {
    let found = heard["headers"][name].as_str();
    found.unwrap_or_else(|| panic!("no {name}: {heard:#}"))
}

/// A post that is signed, authorized, and told by its key.
#[track_caller]
fn assert_told(heard: &Value) {
    assert_eq!(heard["signed"], true, "{heard:#}");
    assert_eq!(
        (&heard["method"], &heard["path"]),
        (&json!("POST"), &json!("/releases"))
    );
    assert_eq!(header(heard, "authorization"), TOKEN);
    assert_eq!(header(heard, "content-type"), "application/json");
    let told = body(heard);
    assert_eq!(header(heard, "idempotency-key"), told["key"]);
    assert_eq!(
        (&told["hook"], &told["release"]),
        (&json!("deploys"), &json!("rails"))
    );
    assert_eq!(
        (&told["outcome"], &told["attempt"]),
        (&json!("Success"), &json!(1))
    );
    assert_eq!(told["payload"], json!({"team": "shop"}));
}

/// Told first that it is not taken, it comes again; what is refused does not.
fn posts(server: &Server, listener: Listener) {
    keep_secrets(server);
    let mut release = posting(&listener);
    let evenkeel = Evenkeel::new(server, NAMESPACE);
    evenkeel.apply(&[&manifest::write("hooks", &release)]);
    let ended = evenkeel.expect(0, &["run", "--once", "-vvv"]);
    let ready = evenkeel.release("rails");
    assert_ready(&ready);
    assert_eq!(hook(&ready, "deploys")["state"], "Done");
    for told in [ended.text(), ready.to_string()] {
        assert!(!told.contains(KEY) && !told.contains(TOKEN), "{told}");
    }
    let (first, second) = (listener.heard(), listener.heard());
    for heard in [&first, &second] {
        assert_told(heard);
    }
    assert_eq!(first["body"], second["body"], "the very same, again");
    let signature = |heard: &Value| header(heard, "x-evenkeel-signature").to_owned();
    assert_ne!(
        signature(&first),
        signature(&second),
        "signed in its moment"
    );

    worked(server, 0);
    release["spec"]["images"]["app"]["tag"] = json!("1f0e8a7");
    let stalled = released(server, &release, 1);
    let message = assert_stalled(&stalled, "HookFailed");
    assert!(message.contains("the server answered 422"), "{message}");
    let refused = listener.heard();
    assert_eq!(refused["signed"], true, "{refused:#}");
    assert_ne!(body(&refused)["key"], body(&first)["key"]);
    worked(server, 1);
    assert_eq!(
        listener.rest(),
        [] as [String; 0],
        "nothing is posted again"
    );
}

#[test]
fn a_post_is_signed_with_what_moto_keeps_and_repeated_until_it_is_taken() {
    let listener = Listener::start(&["--key", KEY, "503", "200", "422"]);
    let server = moto::rails_allowing(&allowed(&listener));
    posts(&server, listener);
}

#[test]
fn a_post_is_signed_with_what_ministack_keeps_and_repeated_until_it_is_taken() {
    let listener = Listener::start(&["--key", KEY, "503", "200", "422"]);
    let server = ministack::rails_allowing(&allowed(&listener));
    posts(&server, listener);
}

#[test]
fn a_post_whose_caller_died_comes_again_under_the_same_key() {
    let listener = Listener::start(&["--key", KEY, "hold", "204"]);
    let server = moto::rails_allowing(&allowed(&listener));
    keep_secrets(&server);
    let evenkeel = Evenkeel::new(&server, NAMESPACE);
    evenkeel.apply(&[&manifest::write("hooks", &posting(&listener))]);
    let controller = evenkeel.begin(&["run", "--once"]);
    let first = listener.heard();
    controller.dies();
    assert_ready(&worked(&server, 0));
    let second = listener.heard();
    for heard in [&first, &second] {
        assert_told(heard);
    }
    assert_eq!(first["body"], second["body"]);
    assert_eq!(listener.rest(), [] as [String; 0]);
}
