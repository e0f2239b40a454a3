//! The sentences in a service's `events[]`, as ECS words them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cx::Cx;
use super::json::seconds;
use super::service::Service;

/// ECS keeps this many.
const KEPT: usize = 100;

/// A sentence.
#[derive(Debug)]
pub(super) struct Event {
    id: String,
    at: Timestamp,
    message: String,
}

impl Event {
    /// As DescribeServices answers it.
    pub fn view(&self) -> Value {
        json!({"id": self.id, "createdAt": seconds(self.at), "message": self.message})
    }
}

impl Service {
    /// Adds `(service NAME) ..` to the events.
    pub fn say(&mut self, cx: &mut Cx<'_>, what: &str) {
        let message = format!("(service {}) {what}", self.name);
        self.add(cx, message);
    }

    /// Adds `(service NAME, taskSet SET) ..` to the events.
    pub fn say_of(&mut self, cx: &mut Cx<'_>, set: &str, what: &str) {
        let message = format!("(service {}, taskSet {set}) {what}", self.name);
        self.add(cx, message);
    }

    fn add(&mut self, cx: &mut Cx<'_>, message: String) {
        let event = Event {
            id: cx.ids.uuid(),
            at: cx.now,
            message,
        };
        self.events.push_front(Arc::new(event));
        self.events.truncate(KEPT);
    }

    /// As [`Service::say`], unless it was the last thing said.
    pub fn say_once(&mut self, cx: &mut Cx<'_>, what: &str) {
        let message = format!("(service {}) {what}", self.name);
        if self
            .events
            .front()
            .is_none_or(|last| last.message != message)
        {
            self.say(cx, what);
        }
    }
}

/// `has started 2 tasks: (task a) (task b).`
pub(super) fn started(tasks: &[String]) -> String {
    format!("has started {} tasks: {}.", tasks.len(), named(tasks))
}

/// `has stopped 1 running tasks: (task a).`
pub(super) fn stopped(tasks: &[String]) -> String {
    format!(
        "has stopped {} running tasks: {}.",
        tasks.len(),
        named(tasks)
    )
}

fn named(tasks: &[String]) -> String {
    let names: Vec<_> = tasks.iter().map(|id| format!("(task {id})")).collect();
    names.join(" ")
}
