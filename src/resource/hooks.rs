//! Hooks of a Release: what is done before and after everything else, once per revision.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::duration::Span;
use super::environment::TaskSettings;
use super::release::{TaskDefinitionSource, TaskOverride};
use super::secret::SecretRef;

/// The annotation of a Release that names the CodePipeline job which waits for it.
pub const PIPELINE_JOB: &str = "evenkeel.dev/codepipeline-job";

/// What is done before and after a revision, in order, once for each revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hooks {
    /// Once every image is there, before any migration and any service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Hook>,
    /// Once everything else is so, or the revision failed: see `on`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Hook>,
}

impl Hooks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// One hook: exactly one of `ecsTask`, `lambda`, `cloudFrontInvalidation`, `http` and
/// `codePipelineJob`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// Name, unique among the release's hooks.
    pub name: String,
    /// How long it may take before it counts as failed; 15m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What its failure does; Fail when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<HookFailure>,
    /// Of hooks after: which end of the revision runs it; Success when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<HookTrigger>,
    /// It may be run again by itself when nobody can know any more how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Runs a one-off task to exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecs_task: Option<TaskHook>,
    /// Invokes a Lambda function and waits for its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<LambdaHook>,
    /// Invalidates paths of a CloudFront distribution and waits until that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_front_invalidation: Option<InvalidationHook>,
    /// Posts JSON to a URL, at least once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHook>,
    /// Tells the CodePipeline job that an annotation of the Release names how the release ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_pipeline_job: Option<PipelineJobHook>,
}

/// What a hook's failure does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookFailure {
    /// The release is Stalled and everything stays as it is.
    #[default]
    Fail,
    /// It is told, and the release goes on.
    Warn,
    /// The revision is rejected, and everything goes back as after a rollout that failed.
    Rollback,
}

/// Which end of a revision runs a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookTrigger {
    /// Everything declared is so.
    #[default]
    Success,
    /// A migration, a rollout or another hook failed; where everything goes back, it is back.
    Failure,
    /// Either.
    Always,
}

/// A one-off task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskHook {
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
}

/// A Lambda function that is invoked and waited for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LambdaHook {
    /// Name or ARN of the function.
    pub function_name: String,
    /// Version or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// Members that the function gets as `payload`, beside what evenkeel tells of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub payload: Option<Map<String, Value>>,
}

/// Paths of a CloudFront distribution that are invalidated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvalidationHook {
    /// The distribution's id.
    pub distribution_id: String,
    /// Paths, each beginning with `/`; a `*` at the end stands for anything.
    pub paths: Vec<String>,
}

/// A POST of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpHook {
    /// Where to: `https://...`.
    pub url: String,
    /// What signs the body: HMAC-SHA256 with this key, in the header `X-Evenkeel-Signature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<SecretRef>,
    /// The value of the header `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<SecretRef>,
    /// Members that are sent as `payload`, beside what evenkeel tells of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub payload: Option<Map<String, Value>>,
}

/// The CodePipeline job that waits for the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineJobHook {
    /// The annotation that holds the job's id; `evenkeel.dev/codepipeline-job` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
}
