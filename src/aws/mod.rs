//! The wire to AWS: the only folder that names the AWS SDK.
//!
//! There is no trait of ours in front of the SDK: tests give it an in-process HTTP connector
//! ([`AwsSettings::http_client`]), so what is tested is what is sent. Reads answer the types of
//! [`crate::model::observed`]; where content must not be lost, JSON is sent and read as it stands.

pub mod budget;
pub mod clients;
pub mod cloudfront;
pub mod cloudwatch;
pub mod codedeploy;
pub mod codepipeline;
mod connector;
pub mod dynamodb;
pub mod ecr;
pub mod ecs;
pub mod error;
pub mod events;
pub mod https;
pub mod lambda;
pub mod logs;
pub mod metrics;
pub mod post;
pub mod raw;
mod rest;
mod retry;
mod role;
pub mod scheduler;
pub mod secrets;
pub mod sns;
pub mod spans;
pub mod sqs;
pub mod streams;
pub mod sts;
mod time;

#[cfg(test)]
pub(crate) mod canned;

pub use budget::{Budget, OverBudget, RegionBudget};
pub use clients::{Aws, AwsSettings, Clients};
pub use cloudfront::CloudFront;
pub use cloudwatch::CloudWatch;
pub use codedeploy::CodeDeploy;
pub use codepipeline::CodePipeline;
pub use ecr::Ecr;
pub use ecs::Ecs;
pub use error::{AwsError, Call, ErrorClass};
pub use events::Events;
pub use lambda::Lambda;
pub use logs::Logs;
pub use metrics::AwsMetrics;
pub use scheduler::Scheduler;
pub use sts::{Identity, Sts};
