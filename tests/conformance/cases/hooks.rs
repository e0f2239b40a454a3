//! Hooks against servers that others wrote: functions, invalidations, tasks, posts and jobs.
//!
//! ministack runs Python functions, keeps a caller reference, and with the stand-in Docker engine
//! ends tasks as they are told, and it calls whatever a function raises `Runtime.HandlerError`; moto
//! needs Docker for functions, makes an invalidation for each call, which is never complete,
//! and ends every task with 0. Neither has CodePipeline's jobs; CodeDeploy is in neither.

mod functions;
mod invalidations;
mod jobs;
mod posts;
mod tasks;

use serde_json::{Value, json};

use super::{ministack, moto};
use crate::evenkeel::Evenkeel;
use crate::manifest;
use crate::servers::Server;

const NAMESPACE: &str = "production";
const CLUSTER: &str = "rails-production";

/// A release whose only part is a schedule, which both servers can bring: images and hooks are looked
/// after all the same.
fn scheduled(hooks: &Value) -> Value {
    let mut release = moto::rails_without(&["migrations", "services"]);
    let schedules = release["spec"]["schedules"].as_array_mut();
    schedules.expect("it has schedules").truncate(1);
    release["spec"]["hooks"] = hooks.clone();
    release
}

/// A release whose only part is a service, which ministack rolls out.
fn rolled_out(hooks: &Value) -> Value {
    let mut release = moto::rails_without(&["migrations", "schedules"]);
    let services = json!([{"name": "shoryuken", "images": {"shoryuken": "app"}}]);
    release["spec"]["services"] = services;
    release["spec"]["hooks"] = hooks.clone();
    release
}

/// Applies a release and works until it stands, which must end with this exit code; answers it.
#[track_caller]
fn released(server: &Server, release: &Value, code: i32) -> Value {
    let evenkeel = Evenkeel::new(server, NAMESPACE);
    evenkeel.apply(&[&manifest::write("hooks", release)]);
    worked(server, code)
}

/// Works until the release stands, as a process of its own; answers it.
#[track_caller]
fn worked(server: &Server, code: i32) -> Value {
    let evenkeel = Evenkeel::new(server, NAMESPACE);
    evenkeel.expect(code, &["run", "--once"]);
    evenkeel.release("rails")
}

/// What is told of a hook.
#[track_caller]
fn hook<'a>(release: &'a Value, name: &str) -> &'a Value {
    let hooks = release["status"]["hooks"].as_array().into_iter().flatten();
    let mut named = hooks.filter(|hook| hook["name"] == name);
    let found = named.next();
    found.unwrap_or_else(|| panic!("{name} is not told of: {release:#}"))
}

/// The body of a request that a listener heard.
fn body(heard: &Value) -> Value {
    let text = heard["body"].as_str().expect("a body");
    serde_json::from_str(text).expect("JSON")
}
