//! ECS.

use std::sync::Arc;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::Builder;
use aws_sdk_ecs::types::Failure as SdkFailure;

use super::retry::OnlyIfNotDone;

mod configuration;
mod definitions;
mod deployments;
mod services;
mod task_sets;
mod tasks;
#[cfg(test)]
mod tests;

use configuration::Configurations;
pub use deployments::MAX_RECORDS;
pub use services::{MAX_SERVICES, services_in};
pub use tasks::{Failure, MAX_TASKS, RunTaskAnswer};

const SERVICE: &str = "ecs";

/// ECS in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ecs {
    client: Client,
    configurations: Arc<Configurations>,
}

impl Ecs {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            configurations: Arc::default(),
        }
    }
}

/// How every write is sent: see [`OnlyIfNotDone`].
fn only_if_not_done() -> Builder {
    Builder::new().retry_classifier(OnlyIfNotDone)
}

/// Whether a failure of a batch is about this name or ARN. ECS answers ARNs, also where it was
/// asked with a name.
fn is_about(failure: &SdkFailure, asked: &str) -> bool {
    failure
        .arn()
        .is_some_and(|arn| arn == asked || arn.rsplit('/').next() == Some(asked))
}

/// A failure of a batch that is not MISSING, as a sentence.
fn explain(failure: &SdkFailure, operation: &str, what: &str) -> String {
    let reason = failure.reason().unwrap_or("no reason");
    match failure.detail() {
        Some(detail) => {
            format!("ecs:{operation} could not tell about {what}: {reason}: {detail}")
        }
        None => format!("ecs:{operation} could not tell about {what}: {reason}"),
    }
}
