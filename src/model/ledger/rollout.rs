//! What is written down of a service's rollout.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::observed::DeploymentRecord;
use crate::resource::status::{Cause, Evidence};

/// The newest rollout that evenkeel asked of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Version of the item in the table.
    #[serde(default)]
    pub version: u64,
    /// The service's name.
    pub service: String,
    /// The revision it is part of.
    pub revision: u64,
    /// Task definition that was asked for.
    pub target: String,
    /// Task definition that the service had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Whether it repairs drift.
    #[serde(default)]
    pub correction: bool,
    /// Whether a new deployment was asked for of what the service was pointed at already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// Whether it leads back from a revision that was rejected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Deployments (ids) and service deployments (ARNs) that were there before it was asked for:
    /// they tell nothing about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// The ECS deployment that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Where it stands.
    pub state: RolloutState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it failed, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What ECS told of it when it failed.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// Since when it has been steady, while it bakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_since: Option<Timestamp>,
    /// What ran then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_with: Option<Counts>,
    /// When ECS was asked to stop its deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// The pause hook at which it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// The pause hooks that it has come past.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<String>,
    /// When it went on after the newest pause: its time counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Timestamp>,
    /// What people said at its pause hooks, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

impl Rollout {
    /// Since when its time counts.
    pub fn since(&self) -> Timestamp {
        self.resumed_at.unwrap_or(self.requested_at)
    }

    /// Whether its deployment waited for a person until now, as far as is written down: it may have
    /// begun to wait, and gone on, while nobody looked.
    pub fn resumes(&self, record: Option<&DeploymentRecord>) -> bool {
        let mut ended = record.into_iter().flat_map(DeploymentRecord::ended_pauses);
        self.paused.is_some() || ended.any(|hook| !self.passed.contains(&hook.id))
    }
}

/// What a person said at a pause hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The hook.
    pub hook: String,
    /// The stage of the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Whether it is rolled back; it goes on otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// Who.
    pub by: String,
    /// When ECS was told.
    pub at: Timestamp,
}

/// Tasks of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Those that ran.
    pub running: i32,
    /// Those that had failed.
    pub failed: i32,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutState {
    /// Asked for; not known to have ended.
    Requested,
    /// ECS says that it succeeded.
    Succeeded,
    /// ECS says that it failed, or its time ran out.
    Failed,
    /// Somebody else's deployment took its place.
    Superseded,
}
