//! Functions, as ministack runs them: in a process of its own, whose answer it gives back.

use serde_json::{Value, json};

use super::{CLUSTER, NAMESPACE, body, hook, ministack, released, rolled_out, worked};
use crate::evenkeel::{Evenkeel, assert_ready, assert_stalled};
use crate::listener::Listener;
use crate::manifest;
use crate::python;
use crate::servers::Server;

/// Makes a function that does what the listener says.
fn function(server: &Server, name: &str, listener: &Listener) {
    let url = listener.url(&format!("/{name}"));
    python::script("function.py", &server.environment(), &[name, &url], "");
}

fn lambda(name: &str, more: Value) -> Value {
    let mut hook = json!({"name": name, "lambda": {"functionName": name}});
    let more = more.as_object().expect("members").clone();
    hook.as_object_mut().expect("members").extend(more);
    hook
}

/// The service's deployment, and what it runs.
fn deployed(server: &Server) -> (f64, String) {
    let service = server.snapshot(CLUSTER)["services"]["shoryuken"].clone();
    let since = service["deployments"][0]["createdAt"].as_f64();
    let runs = service["taskDefinition"].as_str().expect("a definition");
    (since.expect("a moment"), runs.to_owned())
}

#[test]
fn functions_run_before_and_after_the_rollout_and_one_that_raises_moves_nothing() {
    // It raises once, and is content then.
    let listener = Listener::start(&["409", "200"]);
    let server = ministack::rails_allowing(&json!({"functions": ["drain", "tell"]}));
    function(&server, "drain", &listener);
    function(&server, "tell", &listener);
    let before = deployed(&server);
    let drain = json!({"functionName": "drain", "payload": {"queue": "orders"}});
    let release = rolled_out(&json!({
        "before": [lambda("drain", json!({"lambda": drain}))],
        "after": [lambda("tell", json!({}))],
    }));

    let stalled = released(&server, &release, 1);
    let message = assert_stalled(&stalled, "HookFailed");
    for part in [
        "hook/drain failed",
        "Unhandled",
        "the cart is not empty (409)",
        "evenkeel retry production/rails",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(hook(&stalled, "drain")["state"], "Failed");
    assert_eq!(deployed(&server), before, "the service moved");
    let first = body(&listener.heard());
    // It is not invoked again by itself.
    worked(&server, 1);

    Evenkeel::new(&server, NAMESPACE).expect(0, &["retry", "rails"]);
    let ready = worked(&server, 0);
    assert_ready(&ready);
    let (drained, told) = (listener.heard(), listener.heard());
    let (moved, runs) = deployed(&server);
    assert_ne!(runs, before.1);
    let at = |heard: &Value| heard["at"].as_f64().expect("a moment");
    assert!(at(&drained) < moved, "{drained:#} {moved}");
    assert!(moved < at(&told), "{told:#} {moved}");
    assert_eq!(told["path"], "/tell");
    for name in ["drain", "tell"] {
        assert_eq!(hook(&ready, name)["state"], "Done");
    }

    let (drained, told) = (body(&drained), body(&told));
    assert_eq!(
        (&first["attempt"], &drained["attempt"]),
        (&json!(1), &json!(2))
    );
    assert_ne!(first["key"], drained["key"], "another attempt, another key");
    assert_eq!(drained["payload"], json!({"queue": "orders"}));
    assert_eq!(
        (&drained["when"], &drained["outcome"]),
        (&json!("before"), &Value::Null)
    );
    assert_eq!(
        (&told["when"], &told["outcome"]),
        (&json!("after"), &json!("Success"))
    );
    let app = ministack::pinned(&server, "rails/app", "9d3c2f1");
    assert_eq!(told["images"]["app"], app);
    assert_eq!(told["release"], "rails");

    worked(&server, 0);
    assert_eq!(listener.rest(), [] as [String; 0], "nothing runs again");
}

#[test]
fn a_function_that_raises_after_the_rollout_takes_it_back() {
    let listener = Listener::start(&["500"]);
    let server = ministack::rails_allowing(&json!({}));
    function(&server, "smoke-test", &listener);
    let (_, before) = deployed(&server);
    let smoke_test = lambda("smoke-test", json!({"onFailure": "Rollback"}));
    let stalled = released(&server, &rolled_out(&json!({"after": [smoke_test]})), 1);
    let message = assert_stalled(&stalled, "RolledBack");
    assert!(message.contains("the cart is not empty (500)"), "{message}");
    let (_, runs) = deployed(&server);
    assert_eq!(runs, before);
    worked(&server, 1);
    assert_eq!(listener.rest().len(), 1, "it was invoked once");
}

#[test]
fn whether_a_function_ran_whose_caller_died_a_person_says() {
    let listener = Listener::start(&["hold", "200"]);
    let server = ministack::rails_allowing(&json!({}));
    function(&server, "drain", &listener);
    let (_, before) = deployed(&server);
    let release = rolled_out(&json!({"before": [lambda("drain", json!({}))]}));
    let evenkeel = Evenkeel::new(&server, NAMESPACE);
    evenkeel.apply(&[&manifest::write("hooks", &release)]);
    let controller = evenkeel.begin(&["run", "--once"]);
    listener.heard();
    controller.dies();

    let stalled = worked(&server, 1);
    let message = assert_stalled(&stalled, "HookUnknown");
    assert!(message.contains("hook/drain"), "{message}");
    assert_eq!(hook(&stalled, "drain")["state"], "Unknown");
    assert_eq!(deployed(&server).1, before);

    evenkeel.expect(0, &["retry", "rails"]);
    assert_ready(&worked(&server, 0));
    listener.heard();
    assert_eq!(listener.rest(), [] as [String; 0]);
}

#[test]
fn a_function_that_is_not_there_is_named() {
    let server = ministack::rails_allowing(&json!({}));
    let release = super::scheduled(&json!({"before": [lambda("nowhere", json!({}))]}));
    let stalled = released(&server, &release, 1);
    let message = assert_stalled(&stalled, "HookFailed");
    for part in ["function nowhere", "ResourceNotFoundException"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}
