//! An AWS on this machine.
//!
//! One simulator serves tests, in the process through the SDK's HTTP connector
//! ([`Sandbox::http_client`]: virtual time, injected faults), and any AWS client over loopback HTTP
//! ([`serve`]). It plays ECS, ECR, EventBridge and its Scheduler, SQS, SNS, SSM's parameters, Secrets
//! Manager, CloudWatch's alarms and logs, Lambda, CodeDeploy for ECS, CloudFront's invalidations,
//! CodePipeline's jobs, STS and DynamoDB for one account; any credentials do, and the Region is the one
//! that a request is signed for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::Timestamp;
use serde_json::{Map, Value};

mod access;
mod account;
mod cbor;
mod clock;
mod cloudfront;
mod cloudwatch;
mod codedeploy;
mod codepipeline;
mod connector;
mod cx;
mod delayed;
mod dynamodb;
mod ecr;
mod ecs;
mod events;
mod fault;
mod firing;
mod glob;
mod http;
mod json;
mod lambda;
mod log;
mod logs;
mod notice;
mod poll;
mod rules;
mod scheduler;
mod secrets_manager;
mod settings;
mod sns;
mod span;
mod sqs;
mod ssm;
mod streams;
mod sts;
mod throttle;
mod webhooks;
mod wire;
mod world;

#[cfg(test)]
mod tests;

pub use account::{AccountCall, BadCall, LoadError, parse_account};
pub use clock::Clock;
pub use connector::{CallInfo, Tap, Verdict};
pub use firing::Firing;
pub use glob::Glob;
pub use http::serve;
pub use log::{CallRecord, Outcome, is_write};
pub use rules::{Behavior, Match, Rule, Rules, Subject};
pub use settings::{ACCOUNT, Delivery, Settings};
pub use webhooks::{Webhook, WebhookAnswer};

use fault::Fault;
use poll::Polls;
use wire::{Answer, Call, Unreadable};
use world::World;

/// How a sandbox begins.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The time that it shows at first.
    pub start: Timestamp,
    /// How many of its seconds pass in one of tokio's.
    pub speed: f64,
    /// How strictly it plays AWS.
    pub settings: Settings,
    /// What tasks do.
    pub rules: Rules,
}

impl SandboxOptions {
    /// Everything as usual, from a given time on.
    pub fn at(start: Timestamp) -> Self {
        Self {
            start,
            speed: 1.0,
            settings: Settings::default(),
            rules: Rules::default(),
        }
    }
}

/// A simulated AWS account. Clones are the same account.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    world: Mutex<World>,
    tap: Mutex<Tapped>,
    polls: Polls,
}

#[derive(Default)]
struct Tapped {
    tap: Option<Arc<dyn Tap>>,
    next: u64,
}

/// What [`Sandbox::call`] answers when the call is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// HTTP status.
    pub status: u16,
    /// The exception's name.
    pub code: String,
    /// Its sentence.
    pub message: String,
    /// Further members of the exception.
    pub extra: Box<Map<String, Value>>,
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self {
            status: fault.status,
            code: fault.code.to_owned(),
            message: fault.message,
            extra: Box::new(fault.extra),
        }
    }
}

impl Sandbox {
    /// An empty account. Its clock starts now; where tokio's clock is to be paused, call it inside
    /// the runtime.
    pub fn new(options: SandboxOptions) -> Self {
        let clock = Clock::new(options.start, options.speed);
        let world = World::new(clock.clone(), options.settings, options.rules);
        Self {
            inner: Arc::new(Inner {
                clock,
                world: Mutex::new(world),
                tap: Mutex::default(),
                polls: Polls::default(),
            }),
        }
    }

    /// Calls AWS as somebody else would: past throttling, denials and the tap, and not counted.
    ///
    /// # Errors
    /// What AWS would answer; `ValidationException` when `input` is no object.
    pub fn call(
        &self,
        service: &str,
        region: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, CallError> {
        let Value::Object(input) = input else {
            let fault = Fault::client("ValidationException", "the input is no object");
            return Err(fault.into());
        };
        let call = Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            region: region.to_owned(),
            input,
            access_key: None,
        };
        let outcome = self.world().handle(&call, false);
        self.inner.polls.wake();
        Ok(outcome?)
    }

    /// Makes the calls of an account file, in order; a refused one does not stop the others.
    ///
    /// # Errors
    /// Every call that was refused, with its place in the list.
    pub fn load_account(&self, calls: &[AccountCall], region: &str) -> Result<(), LoadError> {
        let mut bad = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let input = Value::Object(call.input.clone());
            if let Err(error) = self.call(&call.service, region, &call.operation, input) {
                bad.push(BadCall {
                    index,
                    service: call.service.clone(),
                    operation: call.operation.clone(),
                    error,
                });
            }
        }
        if bad.is_empty() {
            Ok(())
        } else {
            Err(LoadError(bad))
        }
    }

    /// How often AWS clients asked for what: `ecs.UpdateService` -> 2.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.world().log.counts()
    }

    /// How many of these were refused, by exception: `(ecs.UpdateService, ThrottlingException)` -> 1.
    pub fn refused_calls(&self) -> BTreeMap<(String, String), u64> {
        self.world().log.refused()
    }

    /// The newest calls (50,000 are kept), oldest first.
    pub fn log(&self) -> Vec<CallRecord> {
        self.world().log.records()
    }

    /// Forgets counts and log.
    pub fn reset_calls(&self) {
        self.world().log.clear();
    }

    /// The time it shows.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Jumps forward in time; what was due happens, in order.
    pub fn skip(&self, by: Duration) {
        let mut world = self.world();
        self.inner.clock.skip(by);
        world.advance(self.inner.clock.now());
        self.inner.polls.wake();
    }

    /// When the next thing happens by itself, if anything is under way.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.world().next_event()
    }

    /// Functions that were invoked, with what they were given, oldest first.
    pub fn invoked(&self) -> Vec<(String, Value)> {
        self.world().invoked()
    }

    /// What schedules fired, oldest first, where the settings let them.
    pub fn firings(&self) -> Vec<Firing> {
        let mut world = self.world();
        world.advance(self.inner.clock.now());
        world.fired.clone()
    }

    /// What tasks do.
    pub fn rules(&self) -> Rules {
        self.world().rules.clone()
    }

    /// Replaces the rules; containers that run keep to what they were told at their start.
    pub fn set_rules(&self, rules: Rules) {
        let mut world = self.world();
        world.advance(self.inner.clock.now());
        world.rules = rules;
    }

    /// How strictly it plays AWS.
    pub fn settings(&self) -> Settings {
        self.world().settings.clone()
    }

    /// Changes the settings; the account stays what it is.
    pub fn update_settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut world = self.world();
        world.advance(self.inner.clock.now());
        let account = world.settings.account.clone();
        change(&mut world.settings);
        world.settings.account = account;
        world.note_schedules(self.inner.clock.now());
    }

    /// Makes a rule that an AWS service owns (`ManagedBy`), which no API call can.
    pub fn put_managed_rule(&self, region: &str, name: &str, owner: &str, schedule: &str) {
        self.world().put_managed_rule(region, name, owner, schedule);
    }

    /// Ends the open shards of a table's stream as AWS does when it likes to, each with so many
    /// children, among which its items are divided.
    ///
    /// # Errors
    /// When there is no such table, or its stream is off.
    pub fn roll_stream(&self, region: &str, table: &str, children: u16) -> Result<(), CallError> {
        Ok(self.world().roll_stream(region, table, children)?)
    }

    /// Puts an event on the bus as it is, also one of AWS's own, which PutEvents refuses.
    pub fn put_event(&self, region: &str, event: &Value) {
        self.world().put_event(region, event);
        self.inner.polls.wake();
    }

    /// An HTTP client for the SDK that ends here instead of in a network.
    pub fn http_client(&self) -> SharedHttpClient {
        connector::http_client(self.clone())
    }

    /// Lets `tap` see, and break, the calls that come through [`Self::http_client`]; its count of
    /// calls starts at 0. `None` takes it away.
    pub fn set_tap(&self, tap: Option<Arc<dyn Tap>>) {
        *lock(&self.inner.tap) = Tapped { tap, next: 0 };
    }

    fn next_tapped(&self) -> Option<(Arc<dyn Tap>, u64)> {
        let mut tapped = lock(&self.inner.tap);
        let tap = tapped.tap.clone()?;
        let index = tapped.next;
        tapped.next += 1;
        Some((tap, index))
    }

    fn refuse(&self, unreadable: Unreadable) -> Answer {
        let Unreadable { protocol, fault } = unreadable;
        tracing::warn!(
            code = fault.code,
            message = fault.message,
            "the sandbox cannot read a request"
        );
        let id = self.world().request_id();
        wire::write(protocol, "", &Err(*fault), id)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.inner.world)
    }
}

/// A panic elsewhere must not take the whole sandbox down.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
