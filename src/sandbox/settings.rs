//! How strictly the sandbox plays AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::glob::Glob;
use super::span;

/// The account that the sandbox is, unless told otherwise.
pub const ACCOUNT: &str = "123456789012";

/// Switches of the sandbox; all can change while it runs, save the account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// How long a write stays invisible to reads: ECS, CodeDeploy, EventBridge, ECR and CloudWatch
    /// are eventually consistent. Zero by default.
    #[serde(with = "span")]
    pub read_delay: Duration,
    /// ListTasks shows no stopped tasks: AWS promises them only perhaps, while DescribeTasks knows
    /// them for an hour.
    pub hide_stopped: bool,
    /// AWS's own request buckets are enforced.
    pub throttle: bool,
    /// The account's number, 12 digits.
    pub account: String,
    /// Actions that are denied: globs over `ecs:UpdateService`.
    pub deny: Vec<Glob>,
    /// Partitions of tables that are denied, as a condition on `dynamodb:LeadingKeys` does it:
    /// globs over the value of an item's `pk`. Scan names no partition and is not denied by this.
    pub deny_keys: Vec<Glob>,
    /// EventBridge targets that PutTargets and RemoveTargets answer in `FailedEntries`: globs over
    /// the target's id and over its role ARN.
    pub fail_targets: Vec<Glob>,
    /// The external id that a role's trust policy asks for, by the role's ARN. Others take any.
    pub external_ids: BTreeMap<String, String>,
    /// Schedules of rules and of EventBridge Scheduler start their tasks. Off by default.
    pub fire_schedules: bool,
    /// What befalls events on their way to queues, and messages in them.
    pub delivery: Delivery,
}

/// What befalls events and messages. Nothing by default; shares are between 0 and 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Delivery {
    /// The share of events that never come: AWS sends ECR's by best effort.
    pub drop: f64,
    /// The share of events that come twice.
    pub duplicate: f64,
    /// The longest that an event takes. Each takes another part of it, so they overtake each other.
    #[serde(with = "span")]
    pub delay: Duration,
    /// The share of messages that come once more after they were deleted: a standard queue gives
    /// each at least once, and promises no more.
    pub redeliver: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            read_delay: Duration::ZERO,
            hide_stopped: false,
            throttle: false,
            account: ACCOUNT.to_owned(),
            deny: Vec::new(),
            deny_keys: Vec::new(),
            fail_targets: Vec::new(),
            external_ids: BTreeMap::new(),
            fire_schedules: false,
            delivery: Delivery::default(),
        }
    }
}
