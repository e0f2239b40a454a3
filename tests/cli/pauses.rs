//! A deployment that waits at a pause hook, from the command line.

use std::path::Path;

use serde_json::Value;

use crate::support::{Sandbox, path};

#[test]
fn a_deployment_that_waits_is_approved_or_rejected() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (account, own) = (
        examples.join("account.json"),
        examples.join("blue-green/account.json"),
    );
    let sandbox = Sandbox::start("rails", &["--load", path(&account), "--load", path(&own)]);
    sandbox.expect(0, &["init"]);
    let manifests = examples.join("blue-green");
    sandbox.expect(0, &["apply", "-f", path(&manifests)]);
    let web = ["approve", "shop/shop", "--service", "web"];
    let early = sandbox.expect(2, &web).stderr;
    assert!(early.contains("does not wait at a pause hook"), "{early}");

    let once = sandbox.expect(0, &["run", "--once"]).stdout;
    let waits = "release/shop/shop held WaitingForApproval: service/web: ";
    assert!(once.contains(waits), "{once}");
    assert!(
        once.contains("`evenkeel approve shop/shop --service web`"),
        "{once}"
    );
    let shown = sandbox.expect(0, &["get", "shop/shop"]).stdout;
    assert!(
        shown.contains("BLUE_GREEN at POST_TEST_TRAFFIC_SHIFT, 0% of the traffic"),
        "{shown}"
    );

    let other = sandbox.expect(2, &["approve", "shop/shop", "--service", "worker"]);
    assert!(
        other.stderr.contains("has no service worker"),
        "{}",
        other.shown()
    );
    sandbox.expect(
        2,
        &[
            "approve",
            "shop/shop",
            "--service",
            "web",
            "--revision",
            "1",
        ],
    );
    sandbox.expect(2, &["approve", "shop/shop", "--revision", "1", "--reject"]);
    let told = sandbox.expect(0, &web).stdout;
    assert!(
        told.starts_with("release/shop/shop continuation of service/web requested\n")
            && told.contains("  stage: POST_TEST_TRAFFIC_SHIFT\n"),
        "{told}"
    );
    let once = sandbox.expect(0, &["run", "--once"]).stdout;
    assert!(
        once.ends_with("1 Ready, 0 Stalled, 0 suspended\n"),
        "{once}"
    );
    let done = sandbox.expect(2, &web).stderr;
    assert!(done.contains("does not wait at a pause hook"), "{done}");
    let history: Value = sandbox
        .expect(0, &["history", "shop/shop", "-o", "json"])
        .json();
    let said = &history["items"][0]["answers"][0];
    assert_eq!(said["stage"], "POST_TEST_TRAFFIC_SHIFT", "{history:#}");
    assert_eq!(
        (&said["service"], &said["rejected"]),
        (&"web".into(), &false.into())
    );
}
