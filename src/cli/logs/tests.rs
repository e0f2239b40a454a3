use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing_subscriber::layer::Layered;

use super::*;
use crate::aws::spans::tests::listen;

/// Logs in memory, as JSON.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

/// Nothing was logged yet.
pub fn captured() -> Captured {
    Captured::default()
}

impl Captured {
    /// Logs to here.
    pub fn subscriber(&self) -> Layered<Box<dyn Layer<Registry> + Send + Sync>, Registry> {
        tracing_subscriber::registry().with(lines(LogFormat::Json, false, self.clone()))
    }

    /// The lines that hold an event of ours.
    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["level"] != "TRACE" && line["level"] != "DEBUG")
            .collect()
    }
}

impl Write for Captured {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn a_decision_is_one_flat_line() {
    let told = captured();
    let _listening = listen(told.subscriber());
    let release = "production/rails";
    let pass = tracing::info_span!("reconcile", release, generation = tracing::field::Empty);
    pass.record("generation", 7);
    pass.in_scope(|| {
        let error = std::io::Error::other("the \"table\" is away");
        tracing::info!(
            resource = "service/app",
            action = "UpdateService",
            millis = 41,
            "done"
        );
        tracing::warn!(%error, release = "production/other", "not done");
    });
    tracing::info!("serving");
    let told = told.lines();
    let members = |line: &Value| {
        let members = line.as_object().unwrap().keys();
        members.cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        members(&told[0]),
        "timestamp level message generation release resource action millis"
    );
    let time = told[0]["timestamp"].as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(told[0]["level"], "INFO");
    assert_eq!(told[0]["message"], "done");
    assert_eq!(told[0]["release"], "production/rails");
    assert_eq!(told[0]["generation"], 7);
    assert_eq!(told[0]["millis"], 41);
    assert_eq!(told[1]["error"], "the \"table\" is away");
    assert_eq!(
        told[1]["release"], "production/other",
        "the event's own goes first"
    );
    assert_eq!(members(&told[2]), "timestamp level message");
}

#[tokio::test]
async fn what_nobody_wants_is_known_beforehand() {
    let _listening = listen(captured().subscriber());
    let own = tracing::info_span!(target: "evenkeel::controller", "own");
    let fine = tracing::debug_span!(target: "evenkeel::controller", "fine");
    let of_sdk = tracing::info_span!(target: "aws_sdk_ecs", "call");
    let within_sdk = tracing::debug_span!(target: "aws_smithy_runtime::client", "retries");
    let traces = Traces::open("http://127.0.0.1:9/v1/traces").unwrap();
    let subscriber = |traces| {
        let lines = lines(LogFormat::Json, false, captured());
        subscriber(EnvFilter::new(TELLING), lines, traces)
    };
    let (shown, traced) = (subscriber(None), subscriber(Some(&traces)));
    let is_never = |subscriber: &dyn Subscriber, span: &tracing::Span| {
        let interest = subscriber.register_callsite(span.metadata().unwrap());
        interest.is_never()
    };
    assert!(!is_never(&shown, &own));
    for span in [&fine, &of_sdk, &within_sdk] {
        assert!(is_never(&shown, span), "{span:?}");
    }
    for span in [&own, &fine, &of_sdk] {
        assert!(!is_never(&traced, span), "{span:?}");
    }
    assert!(is_never(&traced, &within_sdk));
    traces.flush().await;
}
