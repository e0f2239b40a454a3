//! The sandbox as the AWS SDK sees it, in paused time.

use std::time::Duration;

use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use serde_json::{Value, json};

use super::*;

mod account;
mod cloudwatch;
mod codedeploy;
mod dynamodb;
mod ecr;
mod events;
mod http;
mod logs;
mod scheduler;
mod secrets;
mod settings;
mod sqs;
mod streams;
mod sts;
mod tap;

const REGION: &str = "ap-northeast-1";

fn sandbox() -> Sandbox {
    Sandbox::new(SandboxOptions::at("2026-11-21T00:00:00Z".parse().unwrap()))
}

fn credentials(key: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(key, "secret", None, None, "test"))
}

/// A service's client whose calls end in the sandbox.
macro_rules! client {
    ($sdk:ident, $sandbox:expr) => {
        client!($sdk, $sandbox, "AKIDTEST")
    };
    ($sdk:ident, $sandbox:expr, $key:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .credentials_provider(credentials($key))
                .http_client($sandbox.http_client())
                .build(),
        )
    };
}
pub(super) use client;

/// An error's name and sentence, as a program sees them.
fn told<E, R>(error: &aws_sdk_ecs::error::SdkError<E, R>) -> (String, String)
where
    E: aws_sdk_ecs::error::ProvideErrorMetadata,
{
    let meta = error.as_service_error().map(|e| e.meta());
    let part = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (
        part(meta.and_then(|m| m.code())),
        part(meta.and_then(|m| m.message())),
    )
}
