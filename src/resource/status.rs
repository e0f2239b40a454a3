//! A Release's status, written by the controller only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::release::ScheduleBackend;

/// What the controller found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
    /// Ready, Reconciling, Stalled, Drifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The revision that is worked toward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The newest revision that was Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_revision: Option<u64>,
    /// Where a failed revision led back to, until a newer one takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// Specs that were rejected or rolled back from, newest last: they are not applied again
    /// without `--force`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// The approval that the revision needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// Images by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, ImageStatus>,
    /// Hooks, those before first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookStatus>,
    /// The CodePipeline job that waits, or waited, for the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_job: Option<PipelineJobStatus>,
    /// Migrations, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<MigrationStatus>,
    /// Services, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceStatus>,
    /// Schedules, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleStatus>,
    /// What differs from what was declared.
    #[serde(default, skip_serializing_if = "DriftStatus::is_empty")]
    pub drift: DriftStatus,
}

/// The way back from a revision that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// The revision that failed.
    pub from: u64,
    /// Its generation.
    pub generation: u64,
    /// The revision gone back to; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Why the revision failed.
    pub cause: Cause,
    /// Where the way back stands.
    pub state: PartState,
    /// A sentence for people.
    pub message: String,
}

/// Why a rollout failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cause {
    /// ECS's circuit breaker gave it up.
    CircuitBreaker,
    /// It did not become steady in time.
    Timeout,
    /// Somebody stopped the deployment.
    Stopped,
    /// A CloudWatch alarm went off.
    Alarm,
    /// ECS says that it failed, and not why.
    Failed,
}

/// A spec that was rejected, or that people went back from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// The revision.
    pub revision: u64,
    /// Its generation.
    pub generation: u64,
    /// Hash of the spec.
    pub spec: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// A CamelCase word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Whether only images are passed over that it follows: the spec itself may be applied without
    /// `--force`, which has them tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_images: bool,
}

/// Whether a revision was agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The revision.
    pub revision: u64,
    /// Who agreed; absent while it is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
}

/// What ECS told of a rollout that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Tasks that stopped, newest first, five at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<FailedTask>,
    /// The newest of the service's events, newest first, five at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

impl Evidence {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.events.is_empty()
    }
}

/// A task that stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedTask {
    /// The task's ARN.
    pub task_arn: String,
    /// ECS's stop code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// ECS's stopped reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// When it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub stopped_at: Option<Timestamp>,
    /// Its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<FailedContainer>,
}

/// A container of a task that stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedContainer {
    /// Its name.
    pub name: String,
    /// Its exit code; absent when it never ran to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// CloudWatch Logs: `group/stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream: Option<String>,
    /// The Region of that log, where it is not the Environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_region: Option<String>,
}

/// Where a part of a release stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PartState {
    /// Its turn has not come, or it waits for something.
    #[default]
    Pending,
    /// It is under way.
    Progressing,
    /// It is as declared.
    Done,
    /// It failed.
    Failed,
    /// It could not be found out.
    Unknown,
}

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// Where it stands.
    pub state: PartState,
    /// `repository:tag` or `repository@digest` as declared.
    pub reference: String,
    /// The digest it was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Since when it has been missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub missing_since: Option<Timestamp>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// Its name.
    pub name: String,
    /// Whether it is one of those after everything else.
    pub after: bool,
    /// What it does: `ecsTask`, `lambda`, `cloudFrontInvalidation` or `http`.
    pub kind: String,
    /// Where it stands, for the revision that is worked toward.
    pub state: PartState,
    /// Which attempt it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The task's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// Exit code of the task's container that mattered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// CloudWatch Logs: `group/stream` of that container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream: Option<String>,
    /// Id of the invalidation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalidation_id: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A CodePipeline job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineJobStatus {
    /// Its id.
    pub id: String,
    /// Whether it was told: Done, Failed where it takes no answer, Unknown where one was lost.
    pub state: PartState,
    /// What it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One migration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: PartState,
    /// Hash that says whether it ran already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// Which attempt it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The task's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// Exit code of the container that mattered; absent when none ran to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// ECS's stop code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// ECS's stopped reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// CloudWatch Logs: `group/stream` of the container that mattered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream: Option<String>,
    /// The Region of that log, where it is not the Environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_region: Option<String>,
    /// When the task was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: PartState,
    /// The definition it shall run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// The ECS deployment that brings or brought it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// ECS's deployment strategy, where it is another than ROLLING; CODE_DEPLOY where CodeDeploy
    /// releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The stage that its deployment is in, in ECS's words, while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// How much of the traffic goes to the new tasks, in percent, while that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_percent: Option<f64>,
    /// The pause hook at which its deployment waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseStatus>,
    /// Tasks wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_count: Option<i32>,
    /// Tasks that run the definition it shall run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_count: Option<i32>,
    /// Until when it has to stay steady before it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub baking_until: Option<Timestamp>,
    /// What ECS told of its rollout, where that failed.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A pause hook that waits for `evenkeel approve NAME --service SERVICE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseStatus {
    /// ECS's id of the hook.
    pub hook: String,
    /// When ECS goes on without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// What ECS does then: CONTINUE or ROLLBACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_action: Option<String>,
}

/// One schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: PartState,
    /// What fires it; Rules when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<ScheduleBackend>,
    /// The rule's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// With Scheduler: `group/name` of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_name: Option<String>,
    /// The definition its target shall run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What differs from what was declared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// Differences that stand, and those that the newest pass put right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// How often each resource was put right lately, to tell drift from a fight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
}

impl DriftStatus {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty() && self.corrections.is_empty()
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `service/app`, `schedule/nightly`, `image/app`.
    pub resource: String,
    /// Path of the field: `taskDefinition.containerDefinitions[app].image`.
    pub field: String,
    /// What was declared. Environment values are never shown.
    pub desired: String,
    /// What is there.
    pub actual: String,
    /// When it was first seen.
    #[schemars(with = "String")]
    pub first_seen: Timestamp,
    /// What was done.
    pub action: DifferenceAction,
}

/// What was done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DifferenceAction {
    /// It was put right, or is being so.
    Corrected,
    /// It was told, and left.
    Reported,
    /// It will be put right: the grace time runs, or something else goes first.
    Pending,
}

/// When a resource was put right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Correction {
    /// `service/app`, `schedule/nightly`.
    pub resource: String,
    /// The moments, oldest first; those older than the window are dropped.
    #[schemars(with = "Vec<String>")]
    pub at: Vec<Timestamp>,
}
