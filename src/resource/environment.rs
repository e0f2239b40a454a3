//! `Environment`: where releases go, and what they may touch. Written by platform admins only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::duration::Span;
use super::notification::Notification;
use super::release::{Approval, Windows};

/// What an Environment declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Name or ARN of the ECS cluster.
    pub cluster: String,
    /// AWS Region, for example `eu-central-1`.
    pub region: String,
    /// The twelve-digit account id; checked against the credentials when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// ARN of a role to assume for everything that is done here, such as another account's; the
    /// controller's own credentials when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for. Not a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Defaults for migrations and scheduled tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskSettings>,
    /// Defaults for schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<ScheduleDefaults>,
    /// What to do about drift, unless the Release says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftPolicy>,
    /// `required`: each new revision of its Releases waits for `evenkeel approve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// When new revisions of its Releases may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Repositories whose pushes are followed without each Release saying so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_rules: Vec<ImageRule>,
    /// Who is told when its Releases stand otherwise than before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<Notification>,
    /// What its Releases may touch. A list that is absent allows anything in the cluster, except
    /// roles: a role override must be listed here, or be the base definition's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
}

/// An ECR repository, or many of them, and the Release and image that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageRule {
    /// Regular expression over the whole name of a repository, without its host:
    /// `backend/(?<service>[a-z]+)`.
    pub repository: String,
    /// Name of the Release; `$service` stands for what the group matched.
    pub release: String,
    /// Name of the image in that Release; likewise.
    pub image: String,
}

/// How one-off and scheduled tasks are placed, in RunTask's own words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSettings {
    /// Launch type; not together with `capacityProviderStrategy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<LaunchType>,
    /// Capacity providers and their weights; not together with `launchType`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// Subnets and security groups; needed where the task definition uses awsvpc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    /// Fargate platform version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// Whether tags of the task definition are copied to the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<PropagateTags>,
    /// Whether ECS Exec is turned on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_execute_command: Option<bool>,
}

/// ECS launch types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LaunchType {
    /// Container instances of your own.
    Ec2,
    /// AWS Fargate.
    Fargate,
    /// ECS Anywhere.
    External,
}

impl LaunchType {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            LaunchType::Ec2 => "EC2",
            LaunchType::Fargate => "FARGATE",
            LaunchType::External => "EXTERNAL",
        }
    }
}

/// One capacity provider of a strategy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapacityProviderStrategyItem {
    /// Name of the capacity provider.
    pub capacity_provider: String,
    /// Its share of the tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// How many tasks it runs at the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u32>,
}

/// Network configuration of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkConfiguration {
    /// The awsvpc network mode's settings.
    pub awsvpc_configuration: AwsVpcConfiguration,
}

/// Subnets, security groups and public address of an awsvpc task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsVpcConfiguration {
    /// Subnets, 1 to 16.
    pub subnets: Vec<String>,
    /// Security groups, at most 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// Whether the task gets a public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign_public_ip: Option<AssignPublicIp>,
}

/// Whether a task gets a public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AssignPublicIp {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
}

/// Where a task's tags are copied from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PropagateTags {
    /// From the task definition.
    TaskDefinition,
}

/// Defaults for schedules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleDefaults {
    /// The role EventBridge assumes to run the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
}

/// What to do about drift.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftPolicy {
    /// `Correct` (default) puts it right, `Report` only tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<DriftAction>,
    /// How long a difference may stand before it is corrected; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
}

/// What is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftAction {
    /// Put it right.
    Correct,
    /// Only tell.
    Report,
}

/// Globs of what an Environment's Releases may touch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// ECS service names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// Task definition families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<String>>,
    /// Image repositories, with their host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// IAM role ARNs that overrides, schedules and inline definitions may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// EventBridge rule names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_names: Option<Vec<String>>,
    /// Lambda functions that hooks may invoke, those of CodeDeploy's deployments among them, as they
    /// are declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<String>>,
    /// Ids of CloudFront distributions in which hooks may invalidate paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distributions: Option<Vec<String>>,
    /// URLs that hooks may post to, as `https://HOST/PATH`; a `*` of the host ends with the host. Absent
    /// means any but those of the machine that the controller runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// Names of SSM parameters and secrets that hooks may use, as they are declared. Absent means
    /// none, as with roles: who may name any secret could have it posted anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
}

/// What the controller recorded of an Environment at its first use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// The account its Releases went to first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The Region its Releases went to first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The cluster its Releases went to first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The name of a cluster that is given by its name or its ARN: both mean the same one.
pub fn cluster_name(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap_or(cluster)
}
