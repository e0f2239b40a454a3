//! What the controller writes down: revisions, migration runs, registrations, rollouts, claims.
//!
//! Each record carries the version under which it was read: 0 means "not in the table yet". A
//! write states it and is refused when somebody else wrote in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::desired::PartKind;
use super::hook::{HookRun, PipelineJob};
use crate::resource::meta::ReleaseKey;
use crate::resource::release::ReleaseSpec;
use crate::resource::status::Cause;

mod rollout;

pub use rollout::{Answer, Counts, Rollout, RolloutState};

/// A generation made definite: resolved digests and the frozen content of every task definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Version of the item in the table.
    #[serde(default)]
    pub version: u64,
    /// 0 is what ran before evenkeel's first write; then 1, 2, ...
    pub number: u64,
    /// Identity of the Release object it belongs to.
    pub uid: String,
    /// The generation it makes definite; 0 for revision 0.
    pub generation: u64,
    /// The spec of that generation; absent for revision 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ReleaseSpec>,
    /// Image name -> what it was resolved to.
    #[serde(default)]
    pub images: BTreeMap<String, ResolvedImage>,
    /// Part (`service/app`, `migration/db`, `schedule/nightly`) -> what it shall run.
    #[serde(default)]
    pub parts: BTreeMap<String, PartTarget>,
    /// Hash of all of the above but number and generation: equal content is the same target.
    pub content: String,
    /// Who applied the generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applier: Option<String>,
    /// The source revision given to `apply --source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// How it ended.
    #[serde(default)]
    pub outcome: RevisionOutcome,
    /// Reason and sentence of the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Explanation>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Why a rollout of it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The way back from it, once it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// The revision that a person asked to go back to, where this is a copy of it: its digests and
    /// definitions stand as they are until the next apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<u64>,
    /// With `pinned`: hash of what was declared when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// That a person went back from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// Whether a person applied what is declared in spite of it: that it was rejected, left or
    /// pinned counts no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lifted: bool,
    /// Who agreed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// When the first step of it was taken: what was begun is not held back any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// Hooks that were run for it, by name and end, but for those that run tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, HookRun>,
    /// The revision with which its hooks began, where it goes on with that under another number, as
    /// after a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<u64>,
}

impl Revision {
    /// The number by which its hooks' runs are known.
    pub fn known_as(&self) -> u64 {
        self.continues.unwrap_or(self.number)
    }

    /// Goes on with what was begun of the same target under another number. Nothing is left of what
    /// was Ready.
    pub fn go_on_with(&mut self, before: &Revision) {
        if before.outcome != RevisionOutcome::Ready {
            self.hooks.clone_from(&before.hooks);
            self.continues = Some(before.known_as());
        }
    }
}

/// The way back from a revision that was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// The revision gone back to.
    pub to: u64,
    /// Where it stands.
    pub state: RollbackState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Names of the services with which it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// Where a way back stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackState {
    /// Services and schedules are being brought back.
    Underway,
    /// All of them are back.
    Done,
    /// The revision gone back to failed, too: it is left to a person.
    Failed,
}

/// That a person went back from a revision to an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// The revision gone back to.
    pub to: u64,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// That a person agreed to a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// How a revision ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevisionOutcome {
    /// It is being worked toward.
    #[default]
    Pending,
    /// Everything in it was so.
    Ready,
    /// A rollout of it failed; it is not tried again by itself.
    Rejected,
    /// A newer one came before it was Ready.
    Superseded,
}

/// A CamelCase word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What an image was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedImage {
    /// As declared: `repository:tag` or `repository@digest`.
    pub reference: String,
    /// What goes into a container definition.
    pub image: String,
    /// The digest, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The tag that a `tagPattern` led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// What one part of a release shall run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartTarget {
    /// Task definition family that it is registered in.
    pub family: String,
    /// The definition it was made of; absent for inline ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Hash of the base's content without the declared images.
    pub structure: String,
    /// Hash of the content to run; the content itself is stored under it.
    pub definition: String,
    /// The definition that is run as it stands: the one that ran (revision 0), or a base that
    /// holds the declared images already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// Roles that the manifest brought in, which the Environment has to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Revision 0 only: whether the part was healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

impl PartTarget {
    /// The definition to run: the one that is run as it stands, until its content had to be
    /// registered again; else what it was registered as, if it was.
    pub fn definition_arn(&self, registration: Option<&Registration>) -> Option<String> {
        let registered = registration.and_then(|found| found.arn.clone());
        let Some(arn) = &self.arn else {
            return registered;
        };
        match registration.is_some_and(|found| found.former.contains(arn)) {
            true => registered,
            false => Some(arn.clone()),
        }
    }
}

/// One registration of a task definition: the intent before the call, the ARN after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Version of the item in the table.
    #[serde(default)]
    pub version: u64,
    /// Account it is registered in.
    pub account: String,
    /// Region it is registered in.
    pub region: String,
    /// Family.
    pub family: String,
    /// Hash of the content.
    pub definition: String,
    /// The ARN; absent while only intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// ARNs that this content had before and that went INACTIVE, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
    /// When it was intended.
    pub intended_at: Timestamp,
    /// Whether AWS answered the last intent that it does not register it: certainly not done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// The Releases that use it; the last to let go of it deregisters it.
    #[serde(default)]
    pub releases: Vec<ReleaseKey>,
    /// Whether evenkeel deregistered it.
    #[serde(default)]
    pub deregistered: bool,
}

/// One migration's run, by run key. Outlives the Release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRun {
    /// Version of the item in the table.
    #[serde(default)]
    pub version: u64,
    /// The migration's name, or the hook's.
    pub migration: String,
    /// Whether it is a hook's task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hook: bool,
    /// Hash that says whether it ran already.
    pub run_key: String,
    /// The revision that ran it.
    pub revision: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Where it stands.
    pub state: RunState,
    /// The cluster it runs in.
    pub cluster: String,
    /// The `startedBy` by which its task is found again.
    pub started_by: String,
    /// The token that makes RunTask safe to repeat.
    pub client_token: String,
    /// Containers whose exit code counts; every essential one when empty.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Container -> CloudWatch Logs `group/prefix/container`; the stream adds the task's id.
    #[serde(default)]
    pub logs: BTreeMap<String, String>,
    /// Container -> Region of its logs, where that is not the Environment's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_regions: BTreeMap<String, String>,
    /// When this attempt was intended.
    pub intended_at: Timestamp,
    /// Seconds it may run.
    pub timeout_seconds: i64,
    /// The task's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// When the task was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When a stop was asked for, and why (`Timeout` or `Requested`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Exit code of the container that mattered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// ECS's stop code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// ECS's stopped reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// CloudWatch Logs `group/stream` of the container that mattered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_stream: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often RunTask answered that it started nothing, in this attempt.
    #[serde(default)]
    pub refusals: u32,
}

impl MigrationRun {
    /// `migration/db`, or `hook/warm-up`.
    pub fn resource(&self) -> String {
        let kind = match self.hook {
            true => PartKind::Hook,
            false => PartKind::Migration,
        };
        kind.resource(&self.migration)
    }

    /// Its name in the ledger, where a hook and a migration may be named alike.
    pub fn kept_as(&self) -> String {
        match self.hook {
            true => format!("hook/{}", self.migration),
            false => self.migration.clone(),
        }
    }

    /// The Region of the log of the container that mattered, where it is not the Environment's.
    pub fn log_region(&self) -> Option<&String> {
        // `group/prefix/container/task`
        let container = self.log_stream.as_ref()?.rsplit('/').nth(1)?;
        self.log_regions.get(container)
    }
}

/// Why and when a migration's task was told to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// `Timeout` or `Requested`.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Where a migration's run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// RunTask is about to be called, or was and its answer was lost.
    Intended,
    /// RunTask certainly started nothing; the same attempt may be tried again.
    NotStarted,
    /// The task is known and has not ended.
    Started,
    /// It ended with exit code 0.
    Succeeded,
    /// It ended otherwise.
    Failed,
    /// Nobody can know any more how it ended; a person decides.
    Unknown,
    /// A person asked for another attempt.
    Retry,
}

impl RunState {
    /// Whether a task of this run may be going on.
    pub fn is_open(self) -> bool {
        matches!(self, RunState::Intended | RunState::Started)
    }
}

/// A service or rule that belongs to one Release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// ARN of the ECS service or EventBridge rule.
    pub arn: String,
    /// Part of the Release: `service/app`, `schedule/nightly`.
    pub part: String,
    /// The Release that holds it.
    pub release: ReleaseKey,
}

/// Something a person or CI asks of the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Sorts by time; unique.
    pub id: String,
    /// What is asked.
    pub kind: RequestKind,
    /// Who asks.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum RequestKind {
    /// Try a rejected revision, and failed migrations, again.
    Retry,
    /// Go back to a revision, as it is recorded.
    Rollback {
        /// Its number.
        to: u64,
        /// Also to one that never was Ready.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Try what is declared although it was rejected or gone back from: `apply --force`.
    TryAgain {
        /// The generation that was applied.
        generation: u64,
        /// Hash of its spec.
        spec: String,
    },
    /// Agree to a revision.
    Approve {
        /// Its number.
        revision: u64,
    },
    /// Say at a pause hook of a service's deployment whether it goes on.
    Continue {
        /// Name of the service.
        service: String,
        /// The hook.
        hook: String,
        /// Whether it is rolled back instead.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reject: bool,
    },
    /// Try one failed migration again.
    RetryMigration {
        /// Its name.
        migration: String,
    },
    /// Somebody looked: an Unknown migration had succeeded.
    MigrationSucceeded {
        /// Its name.
        migration: String,
    },
    /// Stop a running migration.
    StopMigration {
        /// Its name.
        migration: String,
    },
}

/// Everything written down about one Release, and what the plan needs of shared records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// This Release object's revisions, by number.
    pub revisions: BTreeMap<u64, Revision>,
    /// All migration runs of a Release of this name, whichever object it was.
    pub migrations: Vec<MigrationRun>,
    /// The CodePipeline job that was named last.
    pub job: Option<PipelineJob>,
    /// Newest rollout by service name.
    pub rollouts: BTreeMap<String, Rollout>,
    /// Claims this Release holds, by ARN.
    pub claims: BTreeMap<String, Claim>,
    /// Requests not yet carried out, oldest first.
    pub requests: Vec<Request>,
    /// Registrations in the families this Release uses, by (family, definition hash).
    pub registrations: BTreeMap<(String, String), Registration>,
}

/// A task definition's content with its hash, to be stored before a revision names it.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionContent {
    /// Hash of the content.
    pub hash: String,
    /// RegisterTaskDefinition's input.
    pub content: Arc<Value>,
}

impl Ledger {
    /// Hash of the definition that a run's task was started from. `None`: its revision is not kept,
    /// or was another Release's of that name.
    pub fn definition_of(&self, run: &MigrationRun) -> Option<&String> {
        let revision = self.revisions.get(&run.revision)?;
        let since = run.intended_at >= revision.created_at;
        let part = revision.parts.get(&run.resource());
        part.filter(|_| since).map(|part| &part.definition)
    }
}
