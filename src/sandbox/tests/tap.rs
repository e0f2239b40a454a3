use std::sync::Mutex;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::retry::RetryConfig;

use super::*;

/// Gives one call its verdict, before or after it is done.
struct At {
    index: u64,
    after: bool,
    verdict: Verdict,
    seen: Mutex<Vec<(u64, String, bool)>>,
}

impl Tap for At {
    fn before(&self, call: &CallInfo<'_>) -> Verdict {
        let seen = (call.index, call.operation.to_owned(), call.write);
        self.seen.lock().unwrap().push(seen);
        self.at(call, false)
    }

    fn after(&self, call: &CallInfo<'_>) -> Verdict {
        self.at(call, true)
    }
}

impl At {
    fn at(&self, call: &CallInfo<'_>, after: bool) -> Verdict {
        if call.index == self.index && after == self.after {
            self.verdict.clone()
        } else {
            Verdict::Proceed
        }
    }
}

fn tapped(sandbox: &Sandbox, index: u64, after: bool, verdict: Verdict) -> Arc<At> {
    let tap = Arc::new(At {
        index,
        after,
        verdict,
        seen: Mutex::default(),
    });
    sandbox.set_tap(Some(tap.clone()));
    tap
}

fn client(sandbox: &Sandbox, attempts: u32) -> Client {
    Client::from_conf(
        aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials("AKID"))
            .retry_config(RetryConfig::standard().with_max_attempts(attempts))
            .http_client(sandbox.http_client())
            .build(),
    )
}

async fn put(client: &Client) -> Result<(), String> {
    let put = client
        .put_rule()
        .name("nightly")
        .schedule_expression("rate(1 day)");
    put.send()
        .await
        .map(|_| ())
        .map_err(|error| format!("{error:?}"))
}

fn done(sandbox: &Sandbox) -> bool {
    let rules = sandbox.call("events", REGION, "ListRules", json!({}));
    rules.unwrap()["Rules"].as_array().unwrap().len() == 1
}

#[tokio::test(start_paused = true)]
async fn before_aws_never_saw_it_and_after_it_did() {
    for after in [false, true] {
        for verdict in [Verdict::ConnectionError, Verdict::Timeout, Verdict::Hang] {
            let sandbox = sandbox();
            tapped(&sandbox, 0, after, verdict.clone());
            let client = client(&sandbox, 1);
            let outcome = tokio::time::timeout(Duration::from_secs(3600), put(&client)).await;
            match (verdict, outcome) {
                (Verdict::Hang, outcome) => assert!(outcome.is_err(), "{outcome:?}"),
                (Verdict::Timeout, Ok(Err(error))) => assert!(error.contains("Timeout"), "{error}"),
                (_, Ok(Err(error))) => assert!(error.contains("DispatchFailure"), "{error}"),
                (_, outcome) => panic!("{outcome:?}"),
            }
            assert_eq!(done(&sandbox), after);
            assert_eq!(sandbox.calls().contains_key("events.PutRule"), after);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_sdk_tries_again_after_a_lost_answer() {
    let sandbox = sandbox();
    let tap = tapped(&sandbox, 0, true, Verdict::ConnectionError);
    put(&client(&sandbox, 3)).await.unwrap();
    assert_eq!(sandbox.calls()["events.PutRule"], 2);
    let seen = tap.seen.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            (0, "PutRule".to_owned(), true),
            (1, "PutRule".to_owned(), true)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_be_replaced() {
    let sandbox = sandbox();
    let verdict = Verdict::Answer {
        status: 500,
        code: "InternalException".to_owned(),
        message: "sorry".to_owned(),
    };
    tapped(&sandbox, 0, true, verdict);
    let error = put(&client(&sandbox, 1)).await.unwrap_err();
    assert!(
        error.contains("InternalException") && error.contains("sorry"),
        "{error}"
    );
    assert!(done(&sandbox));
    sandbox.set_tap(None);
    put(&client(&sandbox, 1)).await.unwrap();
}
