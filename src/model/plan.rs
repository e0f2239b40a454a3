//! What a pass will do, and why it does not do more.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::hook::{HookCall, PipelineJob};
use super::ledger::{Claim, DefinitionContent, MigrationRun, Registration, Revision, Rollout};
use crate::resource::status::ReleaseStatus;

/// How evenkeel's own descriptions of CodeDeploy's deployments begin; they end with the ARN of the
/// task definition.
pub const CODE_DEPLOY_DESCRIPTION: &str = "evenkeel ";

/// The whole decision about one Release in one pass.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What is done, in this order; the first that fails ends the pass.
    pub actions: Vec<Action>,
    /// What is not done yet, and what it waits for.
    pub waiting: Vec<Waiting>,
    /// The status to write.
    pub status: ReleaseStatus,
    /// When to look again.
    pub requeue: Requeue,
    /// Whether something is under way that will end, also beside what is stalled.
    pub following: bool,
    /// Whether a new revision waits for an approval, a window or other Releases, or a rollout of it
    /// for a person.
    pub held: bool,
}

/// Something that is not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// `service/app`, `migration/db`.
    pub resource: String,
    /// What it waits for, in a sentence.
    pub reason: String,
}

/// When to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requeue {
    /// At the next resync: it is Ready, or Stalled until a person does something.
    #[default]
    Resync,
    /// After this long: something is under way that AWS will finish.
    After(SignedDuration),
}

/// One step, with every argument of its call.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What it is about: `service/app`, `revision/3`.
    pub resource: String,
    /// Why it is done, in a sentence.
    pub reason: String,
    /// The step.
    pub step: Step,
}

/// A step that the executor carries out as it stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Store the contents, then the revision. Table only.
    RecordRevision {
        /// The new revision.
        revision: Box<Revision>,
        /// Contents it names that may not be stored yet.
        contents: Vec<DefinitionContent>,
    },
    /// Write how a revision ended. Table only.
    UpdateRevision(Box<Revision>),
    /// Forget an old revision. Table only.
    DeleteRevision(Box<Revision>),
    /// Claim an ECS service or rule for this Release. Table only.
    Claim(Claim),
    /// Give a claim back. Table only.
    Unclaim(Claim),
    /// Write down a registration that was found again. Table only.
    RecordRegistration(Registration),
    /// Write down the intent, register, write down the ARN.
    RegisterTaskDefinition {
        /// The intent.
        registration: Registration,
        /// RegisterTaskDefinition's input.
        content: Arc<Value>,
    },
    /// Deregister a revision that evenkeel registered.
    DeregisterTaskDefinition {
        /// Its record.
        registration: Registration,
        /// Its ARN.
        arn: String,
    },
    /// Write down the intent, run the task, write down what came of it.
    RunMigration {
        /// The intent.
        run: Box<MigrationRun>,
        /// RunTask's input.
        input: Value,
        /// It may have been carried out before, and its answer lost.
        repeat: bool,
    },
    /// Write down that a hook is called, call it, and of what ends at once what came of it.
    CallHook {
        /// The revision with the intent.
        revision: Box<Revision>,
        /// Under which name its run is kept.
        hook: String,
        /// By which the other side knows the attempt again.
        key: String,
        /// By which this process knows this try of it again.
        held_as: String,
        /// The call.
        call: HookCall,
    },
    /// Write down what became of calls of a revision's hooks. Table only.
    RecordHooks(Box<Revision>),
    /// Write down which CodePipeline job waits. Table only.
    RecordJob(Box<PipelineJob>),
    /// Write down what the job is told, tell it, and write down that it was told.
    AnswerJob {
        /// The job, with what it is told.
        job: Box<PipelineJob>,
        /// Whether it is left untold if that fails, whatever the reason.
        or_leave: bool,
    },
    /// Forget the task of a hook of a revision that is forgotten. Table only.
    ForgetRun(Box<MigrationRun>),
    /// Write down what became of a migration's run. Table only.
    RecordMigration(Box<MigrationRun>),
    /// Write down that it shall stop, then stop it.
    StopTask {
        /// The run, with the stop noted.
        run: Box<MigrationRun>,
        /// Cluster.
        cluster: String,
        /// Task ARN.
        task: String,
        /// Reason that ECS shows.
        reason: String,
    },
    /// Write down the intent, then point the service at another definition.
    UpdateService {
        /// The intent.
        rollout: Box<Rollout>,
        /// Cluster.
        cluster: String,
        /// Service name.
        service: String,
        /// Task definition ARN.
        task_definition: String,
        /// A new deployment also where the service is pointed there already.
        force: bool,
        /// What else is declared of the service and differs: members of UpdateService's input.
        settings: Map<String, Value>,
    },
    /// Give a service what is declared of it, and move nothing. Harmless when repeated.
    ConfigureService {
        /// Cluster.
        cluster: String,
        /// Service name.
        service: String,
        /// Members of UpdateService's input.
        settings: Map<String, Value>,
    },
    /// Write down the intent, then have CodeDeploy bring the service to another definition.
    CreateDeployment {
        /// The intent.
        rollout: Box<Rollout>,
        /// Cluster.
        cluster: String,
        /// Service name.
        service: String,
        /// CreateDeployment's input, whole.
        input: Value,
    },
    /// Write down that CodeDeploy is asked to stop a rollout's deployment, then ask it: it sends the
    /// traffic back.
    StopDeployment {
        /// The rollout, with the stop noted.
        rollout: Box<Rollout>,
        /// Id of the deployment.
        deployment: String,
    },
    /// Write down that a person lets traffic go over, then tell CodeDeploy.
    ContinueDeployment {
        /// The rollout, with the answer noted.
        rollout: Box<Rollout>,
        /// Id of the deployment.
        deployment: String,
    },
    /// Write down what became of a rollout. Table only.
    RecordRollout(Box<Rollout>),
    /// Write down that ECS is asked to stop a rollout's deployment, then ask it: it rolls back.
    StopServiceDeployment {
        /// The rollout, with the stop noted.
        rollout: Box<Rollout>,
        /// ARN of the service deployment.
        arn: String,
    },
    /// Write down what a person said at a pause hook, then tell ECS.
    ContinueServiceDeployment {
        /// The rollout, with the answer noted.
        rollout: Box<Rollout>,
        /// ARN of the service deployment.
        arn: String,
        /// The hook.
        hook: String,
        /// Whether it is rolled back instead.
        rollback: bool,
    },
    /// Make or change a rule.
    PutRule {
        /// PutRule's input, whole.
        input: Value,
    },
    /// Make or change a rule's target.
    PutTargets {
        /// PutTargets' input, whole.
        input: Value,
    },
    /// Take targets away.
    RemoveTargets {
        /// Rule name.
        rule: String,
        /// Target ids.
        ids: Vec<String>,
    },
    /// Delete a rule without targets.
    DeleteRule {
        /// Rule name.
        rule: String,
    },
    /// Put tags on a rule.
    TagRule {
        /// Rule ARN.
        arn: String,
        /// Tags.
        tags: BTreeMap<String, String>,
    },
    /// Make a schedule group.
    CreateScheduleGroup {
        /// CreateScheduleGroup's input, whole.
        input: Value,
    },
    /// Put tags on a schedule group.
    TagScheduleGroup {
        /// ARN of the group.
        arn: String,
        /// Tags.
        tags: BTreeMap<String, String>,
    },
    /// Delete a schedule group and all that is in it.
    DeleteScheduleGroup {
        /// Its name.
        group: String,
    },
    /// Make a schedule.
    CreateSchedule {
        /// CreateSchedule's input, whole.
        input: Value,
    },
    /// Replace a schedule.
    UpdateSchedule {
        /// UpdateSchedule's input, whole.
        input: Value,
    },
    /// Delete a schedule.
    DeleteSchedule {
        /// Its group.
        group: String,
        /// Its name.
        name: String,
    },
    /// A request was carried out. Table only.
    FinishRequest {
        /// Its id.
        id: String,
    },
    /// Remove the Release and its records: the end of its deletion. Table only.
    FinishDeletion,
}

impl Step {
    /// Whether it is how a Release begins to use its Environment: every Release's first step is to
    /// record what it shall be, or to claim what it moves.
    pub fn is_first_use(&self) -> bool {
        matches!(self, Step::RecordRevision { .. } | Step::Claim(_))
    }

    /// The service that it moves to another task definition, if it does.
    pub fn moves(&self) -> Option<&str> {
        match self {
            Step::UpdateService { service, .. } | Step::CreateDeployment { service, .. } => {
                Some(service)
            }
            _ => None,
        }
    }

    /// Whether it writes to EventBridge Scheduler.
    pub fn is_of_scheduler(&self) -> bool {
        matches!(
            self,
            Step::CreateScheduleGroup { .. }
                | Step::TagScheduleGroup { .. }
                | Step::DeleteScheduleGroup { .. }
                | Step::CreateSchedule { .. }
                | Step::UpdateSchedule { .. }
                | Step::DeleteSchedule { .. }
        )
    }

    /// Whether it writes a rule in EventBridge.
    pub fn is_of_rule(&self) -> bool {
        matches!(
            self,
            Step::PutRule { .. }
                | Step::PutTargets { .. }
                | Step::RemoveTargets { .. }
                | Step::DeleteRule { .. }
                | Step::TagRule { .. }
        )
    }

    /// Whether only AWS tells that it was carried out.
    pub fn is_not_noted(&self) -> bool {
        let configures = matches!(self, Step::ConfigureService { .. });
        self.is_of_rule() || self.is_of_scheduler() || configures
    }

    /// Whether it changes something in AWS that is looked at for drift.
    pub fn is_of_aws(&self) -> bool {
        self.is_of_rule()
            || self.is_of_scheduler()
            || matches!(
                self,
                Step::UpdateService { .. }
                    | Step::ConfigureService { .. }
                    | Step::StopServiceDeployment { .. }
                    | Step::ContinueServiceDeployment { .. }
                    | Step::CreateDeployment { .. }
                    | Step::StopDeployment { .. }
                    | Step::ContinueDeployment { .. }
            )
    }

    /// The step's name, as `plan` prints it: the API operation where there is one.
    pub fn kind(&self) -> &'static str {
        match self {
            Step::RecordRevision { .. } => "RecordRevision",
            Step::UpdateRevision(_) => "UpdateRevision",
            Step::DeleteRevision(_) => "DeleteRevision",
            Step::Claim(_) => "Claim",
            Step::Unclaim(_) => "Unclaim",
            Step::RecordRegistration(_) => "RecordRegistration",
            Step::RegisterTaskDefinition { .. } => "RegisterTaskDefinition",
            Step::DeregisterTaskDefinition { .. } => "DeregisterTaskDefinition",
            Step::RunMigration { .. } => "RunMigration",
            Step::CallHook { call, .. } => match call {
                HookCall::Lambda { .. } => "Invoke",
                HookCall::Http { .. } => "Post",
                HookCall::Invalidation { .. } => "CreateInvalidation",
            },
            Step::RecordHooks(_) => "RecordHooks",
            Step::RecordJob(_) => "RecordJob",
            Step::AnswerJob { job, .. } => match job.answer.as_ref().is_some_and(|it| it.succeeded)
            {
                true => "PutJobSuccessResult",
                false => "PutJobFailureResult",
            },
            Step::ForgetRun(_) => "ForgetRun",
            Step::RecordMigration(_) => "RecordMigration",
            Step::StopTask { .. } => "StopTask",
            Step::UpdateService { .. } | Step::ConfigureService { .. } => "UpdateService",
            Step::RecordRollout(_) => "RecordRollout",
            Step::StopServiceDeployment { .. } => "StopServiceDeployment",
            Step::ContinueServiceDeployment { .. } => "ContinueServiceDeployment",
            Step::CreateDeployment { .. } => "CreateDeployment",
            Step::StopDeployment { .. } => "StopDeployment",
            Step::ContinueDeployment { .. } => "ContinueDeployment",
            Step::PutRule { .. } => "PutRule",
            Step::PutTargets { .. } => "PutTargets",
            Step::RemoveTargets { .. } => "RemoveTargets",
            Step::DeleteRule { .. } => "DeleteRule",
            Step::TagRule { .. } => "TagResource",
            Step::CreateScheduleGroup { .. } => "CreateScheduleGroup",
            Step::TagScheduleGroup { .. } => "TagResource",
            Step::DeleteScheduleGroup { .. } => "DeleteScheduleGroup",
            Step::CreateSchedule { .. } => "CreateSchedule",
            Step::UpdateSchedule { .. } => "UpdateSchedule",
            Step::DeleteSchedule { .. } => "DeleteSchedule",
            Step::FinishRequest { .. } => "FinishRequest",
            Step::FinishDeletion => "FinishDeletion",
        }
    }
}
