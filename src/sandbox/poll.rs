//! Calls that wait: SQS's long polls, and invocations of functions that take their time.
//!
//! The world's lock is not held meanwhile. A poll wakes when somebody calls, when something is due
//! to happen by itself, and when it has waited long enough; then it looks again.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use super::fault::Fault;
use super::wire::{self, Answer, Call, Protocol};
use super::{Sandbox, World};

/// What polls wait for.
#[derive(Default)]
pub(super) struct Polls {
    changed: Notify,
    closed: AtomicBool,
}

impl Polls {
    /// Something was done; a message may have come.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Nobody is to wait any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }
}

impl Sandbox {
    /// Lets so much of the sandbox's time pass.
    pub(super) async fn spend(&self, time: Duration) {
        if !time.is_zero() {
            let ends = self.now().saturating_add(time).unwrap_or(Timestamp::MAX);
            tokio::time::sleep(self.inner.clock.until(ends)).await;
        }
    }

    /// Answers a call of an AWS client.
    pub(super) async fn answer(&self, protocol: Protocol, call: &Call) -> Answer {
        let (mut outcome, id, until, takes) = {
            let mut world = self.world();
            let outcome = world.handle(call, true);
            let (id, until) = (world.request_id(), world.poll_until(call));
            (outcome, id, until, world.takes(call))
        };
        self.inner.polls.wake();
        if let Some(until) = until
            && is_empty(&outcome)
        {
            outcome = self.poll(call, until).await;
        }
        self.spend(takes).await;
        wire::write(protocol, &call.operation, &outcome, id)
    }

    /// Answers every long poll at once from now on.
    pub(super) fn close_polls(&self) {
        self.inner.polls.close();
    }

    async fn poll(&self, call: &Call, until: Timestamp) -> Result<Value, Fault> {
        loop {
            // Before the look: what comes between the look and the wait is not missed.
            let mut changed = pin!(self.inner.polls.changed.notified());
            changed.as_mut().enable();
            let next = {
                let mut world = self.world();
                let outcome = world.look_again(call);
                let closed = self.inner.polls.closed.load(Ordering::SeqCst);
                if !is_empty(&outcome) || closed || self.now() >= until {
                    return outcome;
                }
                next_look(&world, call).map_or(until, |next| next.min(until))
            };
            let wait = self.inner.clock.until(next);
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// An answer that a long poll would rather wait for.
fn is_empty(outcome: &Result<Value, Fault>) -> bool {
    matches!(outcome, Ok(answer) if answer.get("Messages").is_none())
}

/// When there may be a message without anybody's doing.
fn next_look(world: &World, call: &Call) -> Option<Timestamp> {
    let visible = world.next_visible(call);
    [visible, world.next_event()].into_iter().flatten().min()
}
