//! `Release`: one unit that moves together. ECS-shaped fields keep ECS's own names and nesting.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::duration::Span;
use super::environment::{DriftPolicy, TaskSettings};
use super::hooks::Hooks;
pub use super::rollout::{
    Canary, CodeDeploy, CodeDeployHooks, Linear, OnFailure, Rollout, Strategy,
};

/// What a Release declares. What it does not declare is never changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseSpec {
    /// Images by name: the one place to change per commit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Image>,
    /// How long a tag may be missing before the release is Stalled; 10m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_timeout: Option<Span>,
    /// What is done before and after everything else, once per revision.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// One-off tasks, run in order, each to exit code 0, before any service moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
    /// ECS services that are there already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// EventBridge rules, or schedules of EventBridge Scheduler, that run tasks of the released
    /// images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Whether owned rules that are no longer declared are deleted; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
    /// Nothing is changed in AWS while this is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// With `suspend`: until when; for good when absent.
    #[serde(
        default,
        deserialize_with = "moment",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub suspend_until: Option<Timestamp>,
    /// `required`: each new revision waits for `evenkeel approve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// When new revisions may begin, beside what the Environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Releases that have to be ready before a new revision begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// How many revisions are kept; 10 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<u32>,
    /// What becomes of owned schedules when the Release is deleted; Orphan when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// What to do about drift; the Environment's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftPolicy>,
}

/// Reads a moment, and tells in words how one is written.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        text.parse().map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is not a time: write for example `2030-03-02T18:00:00Z`"
            ))
        })
    };
    text.map(read).transpose()
}

/// One image: a repository with a tag or a digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Repository with its host, without tag: `123456789012.dkr.ecr.eu-central-1.amazonaws.com/app`.
    pub repository: String,
    /// The tag; either this or `digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest, `sha256:...`; either this or `tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Keeps following the tag: a new digest behind it makes a new revision. ECR only. `false`: not
    /// followed even where a rule of the Environment says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
    /// Follows the newest tag that matches this regular expression whole, instead of `tag`. ECR
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_pattern: Option<String>,
    /// With `tagPattern`: what makes a tag the newest; semver when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<TagOrder>,
    /// What goes into task definitions: the digest (default for ECR) or the tag (elsewhere).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
}

/// What of an image goes into task definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pin {
    /// `repository@sha256:...`
    Digest,
    /// `repository:tag`
    Tag,
}

/// What makes a tag newer than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TagOrder {
    /// Semantic versions, with or without a leading `v`; other tags are passed over, and
    /// pre-releases unless the pattern spells out their hyphen or nothing else matches.
    #[default]
    Semver,
    /// The order of their characters, as of `2026-03-02.7`.
    Alphabetical,
    /// When the image was pushed.
    PushedAt,
}

impl ReleaseSpec {
    /// Whether nothing is changed at this moment.
    pub fn is_suspended(&self, now: Timestamp) -> bool {
        self.suspend == Some(true) && self.suspend_until.is_none_or(|until| now < until)
    }
}

/// Whether somebody has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Approval {
    /// Nothing of a new revision begins before `evenkeel approve NAME --revision N`.
    Required,
}

/// When new revisions may begin. What was begun is finished; going back and correcting drift wait
/// for no window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Windows {
    /// Only within one of these; at any time when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Window>,
    /// Within none of these, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Window>,
}

/// A stretch of time that comes again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// When it opens: a five-field crontab line.
    pub cron: String,
    /// How long it stays open.
    pub duration: Span,
    /// The IANA time zone of `cron`, such as `Europe/Berlin`; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// Another Release that has to be so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// `name` of this namespace, or `namespace/name`.
    pub release: String,
    /// `Ready`, or a generation that has to be Ready (or a later one); `Ready` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "number_or_word")]
    pub at_least: Option<AtLeast>,
}

/// Kubernetes takes no `anyOf`, but knows this by name.
fn number_or_word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-int-or-string": true})
}

/// How far another Release has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be `Ready`, or a generation")]
pub enum AtLeast {
    /// This generation, or a later one, is Ready.
    Generation(u64),
    /// What it declares now is Ready.
    State(RequiredState),
}

/// The state that is asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequiredState {
    /// What it declares now is so.
    Ready,
}

/// Where a task definition comes from: exactly one of `service`, `family` and `inline`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskDefinitionSource {
    /// The definition of this ECS service's newest successful deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The newest ACTIVE revision of this family that evenkeel did not register itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// With `family`: only revisions whose `registeredBy` matches this glob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_by: Option<String>,
    /// The whole definition, in RegisterTaskDefinition's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub inline: Option<Map<String, Value>>,
}

/// A one-off task that must end with exit code 0 before any service moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Migration {
    /// Name, unique among the release's migrations.
    pub name: String,
    /// Where its task definition comes from.
    pub task_definition: TaskDefinitionSource,
    /// Container name -> image name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// RunTask's overrides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// How its task is placed, over the Environment's `tasks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskSettings>,
    /// How long it may run before it is stopped and counts as failed; 1h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// It may be run again by itself when nobody can know any more how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Change it to run the migration again, for example for a restored database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// An ECS service that is there already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The ECS service's name.
    pub name: String,
    /// Where its task definition comes from; its own newest successful deployment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<TaskDefinitionSource>,
    /// Container name -> image name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Services of this release that must have moved before this one does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// How many tasks it has; left to autoscaling and to others when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_count: Option<u32>,
    /// How it is rolled out, and how that is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// An EventBridge rule, or a schedule of EventBridge Scheduler, that runs the released images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Name, unique among the release's schedules.
    pub name: String,
    /// `cron(...)`, `rate(...)` or a five-field crontab line; in UTC, with Scheduler in `timeZone`.
    /// With Scheduler also `at(...)`: one time.
    pub expression: String,
    /// What fires it; Rules when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<ScheduleBackend>,
    /// With Scheduler: the IANA time zone of `expression`, such as `Europe/Berlin`; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// With Scheduler: within how many minutes after its time it may be started; at its time when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flexible_time_window: Option<Span>,
    /// With Scheduler: from when on it fires; left as it is when absent.
    #[serde(
        default,
        deserialize_with = "moment",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub start: Option<Timestamp>,
    /// With Scheduler: until when it fires; left as it is when absent.
    #[serde(
        default,
        deserialize_with = "moment",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub end: Option<Timestamp>,
    /// The SQS queue that gets what could not be started; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_queue_arn: Option<String>,
    /// How often and for how long starting it is tried again; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// The rule's name; `<namespace>-<release>-<schedule>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// Takes over a rule of that name, or with Scheduler a schedule group, that is not ours yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<bool>,
    /// ENABLED when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ScheduleState>,
    /// The description of the rule or schedule; left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where its task definition comes from.
    pub task_definition: TaskDefinitionSource,
    /// Container name -> image name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Overrides of the task, as RunTask has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// How its task is placed, over the Environment's `tasks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskSettings>,
    /// How many tasks each firing starts, 1 to 10; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_count: Option<u32>,
    /// The role EventBridge assumes, over the Environment's `schedules.roleArn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
}

/// What fires a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScheduleBackend {
    /// An EventBridge rule on the default bus.
    #[default]
    Rules,
    /// EventBridge Scheduler, with time zones, in a schedule group of the release.
    Scheduler,
}

/// How often and for how long starting a schedule's task is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryPolicy {
    /// How old a firing may become: 60s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_event_age: Option<Span>,
    /// How often it is tried again: 0 to 185.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_retry_attempts: Option<u32>,
}

/// Whether a rule or schedule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ScheduleState {
    /// It fires.
    Enabled,
    /// It does not.
    Disabled,
}

impl ScheduleState {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ScheduleState::Enabled => "ENABLED",
            ScheduleState::Disabled => "DISABLED",
        }
    }
}

/// What becomes of owned schedules when a Release is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay and fire on.
    Orphan,
    /// They are deleted.
    Delete,
}

/// RunTask's `overrides`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskOverride {
    /// Overrides of single containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_overrides: Vec<ContainerOverride>,
    /// CPU of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The role of the application; must be allowed by the Environment or be the base's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// The role that pulls the image and reads secrets; must be allowed likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// Ephemeral storage of a Fargate task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
}

/// Ephemeral storage of a Fargate task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EphemeralStorage {
    /// Size in GiB, 21 to 200; Fargate gives 20 where nothing is said.
    #[serde(rename = "sizeInGiB")]
    pub size_in_gib: u32,
}

/// Overrides of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerOverride {
    /// The container's name in the task definition.
    pub name: String,
    /// The command instead of the definition's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Environment variables added or replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Vec<KeyValuePair>>,
    /// CPU units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Hard memory limit in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Soft memory limit in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u32>,
}

/// A name and a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyValuePair {
    /// Name of the variable.
    pub name: String,
    /// Its value; an empty one is a value.
    pub value: String,
}
