//! What one look at AWS found, as plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::hook::{Call, Invalidation};
use super::known::Known;
use super::ledger::{Claim, Explanation, Ledger};
use crate::resource::meta::ReleaseKey;

/// Everything that the plan of one Release looks at.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Account that the credentials belong to.
    pub account: Option<String>,
    /// Id of the table, which marks our rules.
    pub installation: String,
    /// Image name -> digest. Holds images that need resolving or watching.
    pub images: BTreeMap<String, Known<String>>,
    /// Image name -> whether the digest that was recorded for it is still there.
    pub pinned: BTreeMap<String, Known<String>>,
    /// Image name -> the tags of its repository, of images that follow the newest of many.
    pub tags: BTreeMap<String, Known<Arc<Vec<TaggedImage>>>>,
    /// Alarm name -> its state, of services that bake.
    pub alarms: BTreeMap<String, Known<Alarm>>,
    /// Service name -> what ECS tells, of services whose rollout seems to have failed.
    pub failures: BTreeMap<String, Failure>,
    /// Releases that have to be ready first, and those that these require.
    pub required: BTreeMap<ReleaseKey, Known<Required>>,
    /// What certainly stands in the way, as found while looking: a cluster that does not exist, a
    /// read that is not allowed.
    pub problems: Vec<Explanation>,
    /// Whether something could not be read that may be read a little later.
    pub unread: bool,
    /// Service name -> what ECS says of it.
    pub services: BTreeMap<String, Known<Service>>,
    /// Family -> its ACTIVE revisions, newest first.
    pub families: BTreeMap<String, Known<Vec<String>>>,
    /// Task definition ARN -> content and state, of those that had to be looked at.
    pub definitions: BTreeMap<String, Known<Definition>>,
    /// Definition hash -> content, as recorded in the table.
    pub contents: BTreeMap<String, Arc<Value>>,
    /// Key of one try of an attempt -> what this process knows of its call, of hooks that may be going
    /// on. None for who makes no such calls, and so cannot know.
    pub calls: Option<BTreeMap<String, Call>>,
    /// Status of the invalidations of hooks that may be going on.
    pub invalidations: BTreeMap<Invalidation, Known<String>>,
    /// Run key -> its tasks, of runs that may be going on.
    pub tasks: BTreeMap<String, Known<Vec<Task>>>,
    /// Rule name -> what EventBridge says of it: declared rules, claimed rules, and rules with
    /// this Release's name prefix.
    pub rules: BTreeMap<String, Known<Rule>>,
    /// Whether the list of rules could be read whole; nothing is pruned otherwise.
    pub rules_listed: Option<bool>,
    /// The Release's schedule group; none where nothing is declared or claimed of it.
    pub group: Option<Known<ScheduleGroup>>,
    /// Name -> what EventBridge Scheduler says of it: everything that is in that group, and what is
    /// declared.
    pub scheduled: BTreeMap<String, Known<Scheduled>>,
    /// Whether the list of the group could be read whole, where there is one; nothing is pruned
    /// otherwise.
    pub group_listed: Option<bool>,
    /// ARN -> who holds it, of what this Release declares and does not hold itself.
    pub foreign_claims: BTreeMap<String, Claim>,
    /// What was written down.
    pub ledger: Ledger,
}

impl Observed {
    /// Whether everything could be looked at.
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty() && !self.unread
    }
}

/// A tag of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedImage {
    /// The tag.
    pub tag: String,
    /// The digest behind it.
    pub digest: String,
    /// When the image was pushed.
    pub pushed_at: Option<Timestamp>,
}

/// A CloudWatch alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// OK, ALARM or INSUFFICIENT_DATA.
    pub state: String,
    /// CloudWatch's sentence.
    pub reason: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// How far another Release is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// The generation that is declared.
    pub generation: u64,
    /// The newest generation that was Ready, if that is what stands now.
    pub ready: Option<u64>,
    /// The Releases that it requires.
    pub requires: Vec<ReleaseKey>,
}

/// An ECS service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// ARN.
    pub arn: String,
    /// Name.
    pub name: String,
    /// ACTIVE, DRAINING or INACTIVE.
    pub status: String,
    /// The PRIMARY deployment's task definition ARN (or the service's own, without deployments).
    pub task_definition: String,
    /// Tasks wanted.
    pub desired_count: i32,
    /// Tasks that run.
    pub running_count: i32,
    /// ECS, CODE_DEPLOY or EXTERNAL.
    pub deployment_controller: String,
    /// ROLLING, BLUE_GREEN, LINEAR, CANARY.
    pub strategy: String,
    /// REPLICA or DAEMON.
    pub scheduling: String,
    /// Its deploymentConfiguration, as ECS has it, with the defaults of what ECS left out.
    pub configuration: Arc<Map<String, Value>>,
    /// Whether the circuit breaker is on, and whether it rolls back.
    pub circuit_breaker: (bool, bool),
    /// `deployments[]`, PRIMARY first; under CODE_DEPLOY its task sets.
    pub deployments: Vec<Deployment>,
    /// Under CODE_DEPLOY: the properties of an AppSpec that keeps what serves now as it is, but for
    /// the task definition.
    pub app_spec: Map<String, Value>,
    /// Under CODE_DEPLOY: its declared deployment group; looked at together with the records.
    pub group: Option<Known<DeploymentGroup>>,
    /// ECS's service deployments, newest first; looked at only when `deployments` leave doubt.
    pub records: Option<Known<Vec<DeploymentRecord>>>,
}

impl Service {
    /// Whether a deployment of it goes through stages, of which only ECS's records tell: traffic is
    /// shifted, or a hook may have its say.
    pub fn is_staged(&self) -> bool {
        if self.is_under_code_deploy() {
            return true;
        }
        let hooks = self.configuration.get("lifecycleHooks");
        let has_hooks = hooks
            .and_then(Value::as_array)
            .is_some_and(|it| !it.is_empty());
        has_hooks || !matches!(self.strategy.as_str(), "" | "ROLLING")
    }

    /// Whether CodeDeploy releases it.
    pub fn is_under_code_deploy(&self) -> bool {
        self.deployment_controller == "CODE_DEPLOY"
    }

    /// The PRIMARY deployment.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|deployment| deployment.status == "PRIMARY")
    }
}

/// A deployment group of CodeDeploy's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentGroup {
    /// Name of its application.
    pub application: String,
    /// Its own name.
    pub name: String,
    /// Cluster and name of each ECS service that it deploys to.
    pub services: Vec<(String, String)>,
}

/// What ECS tells of a service whose rollout seems to have failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Its tasks that stopped: ECS forgets them after an hour.
    pub stopped: Known<Vec<Task>>,
    /// Its `events[]`, newest first, some of them.
    pub events: Known<Vec<ServiceEvent>>,
}

/// One entry of a service's `events[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEvent {
    /// When.
    pub at: Option<Timestamp>,
    /// ECS's sentence.
    pub message: String,
}

/// One entry of `deployments[]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployment {
    /// `ecs-svc/...`
    pub id: String,
    /// PRIMARY, ACTIVE, INACTIVE.
    pub status: String,
    /// Task definition ARN.
    pub task_definition: String,
    /// Tasks wanted.
    pub desired_count: i32,
    /// Tasks that run.
    pub running_count: i32,
    /// Tasks that start.
    pub pending_count: i32,
    /// Tasks that failed to start or became unhealthy.
    pub failed_tasks: i32,
    /// IN_PROGRESS, COMPLETED, FAILED; absent for other than rolling deployments.
    pub rollout_state: Option<String>,
    /// ECS's sentence.
    pub rollout_state_reason: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// ECS's own record of a deployment (DescribeServiceDeployments), or CodeDeploy's in ECS's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentRecord {
    /// ARN; CodeDeploy's id of it.
    pub arn: String,
    /// PENDING, IN_PROGRESS, STOPPED, SUCCESSFUL, ROLLBACK_SUCCESSFUL, ...
    pub status: String,
    /// ECS's sentence.
    pub status_reason: Option<String>,
    /// ARN of the service revision that it rolls out.
    pub service_revision: Option<String>,
    /// Task definition ARN of that service revision, where it could be found out.
    pub task_definition: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it was rolled back.
    pub rollback_reason: Option<String>,
    /// The stage that it is in: PRE_SCALE_UP, BAKE_TIME, ...
    pub stage: Option<String>,
    /// How much of the traffic goes to what it rolls out, in percent.
    pub traffic_percent: Option<f64>,
    /// Its lifecycle hooks, as far as it has come.
    pub hooks: Vec<Hook>,
    /// Under CODE_DEPLOY: the time in which CodeDeploy is told to do nothing but wait.
    pub waits: SignedDuration,
}

/// A lifecycle hook of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// By which it is answered.
    pub id: String,
    /// AWS_LAMBDA or PAUSE.
    pub kind: String,
    /// AWAITING_ACTION, IN_PROGRESS, SUCCEEDED, FAILED, TIMED_OUT.
    pub status: String,
    /// When ECS goes on without an answer.
    pub expires_at: Option<Timestamp>,
    /// What ECS does then: CONTINUE or ROLLBACK.
    pub timeout_action: Option<String>,
}

impl DeploymentRecord {
    /// The hook that waits for somebody to say whether the deployment goes on.
    pub fn waits_for(&self) -> Option<&Hook> {
        let mut hooks = self.hooks.iter();
        let found = hooks.find(|hook| hook.status == "AWAITING_ACTION");
        // ECS takes no answer in any other state.
        found.filter(|_| self.status == "IN_PROGRESS")
    }

    /// The pause hooks that wait for nobody any more.
    pub fn ended_pauses(&self) -> impl Iterator<Item = &Hook> {
        let ended = |status: &str| matches!(status, "SUCCEEDED" | "FAILED" | "TIMED_OUT");
        let hooks = self.hooks.iter();
        hooks.filter(move |hook| hook.kind == "PAUSE" && ended(&hook.status))
    }

    /// Whether ECS changes nothing of it any more.
    pub fn is_final(&self) -> bool {
        matches!(
            self.status.as_str(),
            "SUCCESSFUL" | "STOPPED" | "FAILED" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED"
        )
    }
}

/// A described task definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// ARN with revision.
    pub arn: String,
    /// Family.
    pub family: String,
    /// ACTIVE, INACTIVE, DELETE_IN_PROGRESS.
    pub status: String,
    /// Who registered it.
    pub registered_by: Option<String>,
    /// Everything that RegisterTaskDefinition takes, tags included; describe-only members left out.
    pub content: Arc<Value>,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// ARN.
    pub arn: String,
    /// Task definition ARN.
    pub task_definition: String,
    /// PROVISIONING ... STOPPED.
    pub last_status: String,
    /// RUNNING or STOPPED.
    pub desired_status: String,
    /// What RunTask was given.
    pub started_by: Option<String>,
    /// Why it stopped, as a code.
    pub stop_code: Option<String>,
    /// Why it stopped, as a sentence.
    pub stopped_reason: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it stopped.
    pub stopped_at: Option<Timestamp>,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Exit code; absent when it never ran to an end. Absent is not 0.
    pub exit_code: Option<i32>,
    /// Why it stopped.
    pub reason: Option<String>,
}

/// An EventBridge rule with its targets and tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// As DescribeRule answers: Name, Arn, ScheduleExpression, State, Description, RoleArn, ...
    pub rule: Map<String, Value>,
    /// As ListTargetsByRule answers.
    pub targets: Vec<Map<String, Value>>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A schedule group of EventBridge Scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleGroup {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// ACTIVE or DELETING.
    pub state: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A schedule of EventBridge Scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduled {
    /// Name in its group.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// As GetSchedule answers: Name, Arn, GroupName, ScheduleExpression, State, Target, ...
    pub schedule: Map<String, Value>,
}

impl Scheduled {
    /// What it runs.
    pub fn target(&self) -> Option<&Map<String, Value>> {
        self.schedule.get("Target")?.as_object()
    }
}
