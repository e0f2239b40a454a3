//! Carries out a plan's steps, as they stand and in order.
//!
//! Every call that cannot be repeated is written down before it is made, and its answer after it.
//! A crash anywhere between leaves a record that the next pass knows how to read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::aws::ecs::RunTaskAnswer;
use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::{Clients, OverBudget};
use crate::model::desired::Access;
use crate::model::ledger::{
    Claim, DefinitionContent, MigrationRun, Registration, Revision, Rollout, RolloutState, RunState,
};
use crate::model::plan::Step;
use crate::resource::meta::ReleaseKey;
use crate::store::{ClaimOutcome, ControllerStore, StoreError};

use super::calls::Calls;

mod hooks;
mod post;

pub use post::Posting;

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// AWS.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// RunTask answered with `failures[]`: nothing was started, and it is tried again.
    #[error("{0}")]
    NotStarted(String),
    /// It was not even begun: too many such requests are before it.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

/// Whether AWS certainly did not do it, and will not until a person changes something.
pub fn is_refusal(error: &AwsError) -> bool {
    matches!(
        error.class,
        ErrorClass::Denied | ErrorClass::Refused | ErrorClass::NotFound
    )
}

/// Carries out steps of one Release.
pub struct Executor<'a> {
    /// The Environment's account and Region.
    pub clients: Clients,
    /// The table, fenced.
    pub writer: &'a ControllerStore,
    /// The Release.
    pub key: &'a ReleaseKey,
    /// Identity of the Release object.
    pub uid: &'a str,
    /// Calls of hooks that are under way.
    pub(super) calls: &'a Calls,
    /// What hooks post with.
    pub posting: &'a Posting,
    /// Whose credentials read the secrets of hooks.
    pub access: &'a Access,
    /// Where those lie.
    pub region: &'a str,
    /// The moment, for what is written down.
    pub now: &'a (dyn Fn() -> Timestamp + Send + Sync),
}

impl Executor<'_> {
    /// Carries out one step.
    ///
    /// # Errors
    /// When it was not done, or nobody knows; the record tells the next pass.
    pub async fn carry_out(&self, step: &Step) -> Result<(), StepError> {
        // Before it is written down that it was begun, and before the lease is looked at: whoever
        // waits holds nothing and promises nothing.
        let who = self.key.to_string();
        for (service, operation) in requests(step) {
            self.clients.budget.admit(service, operation, &who).await?;
        }
        match step {
            Step::RecordRevision { revision, contents } => {
                self.record_revision(revision, contents).await
            }
            Step::UpdateRevision(revision) | Step::RecordHooks(revision) => {
                self.writer.put_revision(self.key, revision).await?;
                Ok(())
            }
            Step::DeleteRevision(revision) => {
                Ok(self.writer.delete_revision(self.key, revision).await?)
            }
            Step::Claim(claim) => self.claim(claim).await,
            Step::Unclaim(claim) => Ok(self.writer.unclaim(claim).await?),
            Step::RecordRegistration(registration) => {
                self.writer.put_registration(registration).await?;
                Ok(())
            }
            Step::RegisterTaskDefinition {
                registration,
                content,
            } => self.register(registration, content).await,
            Step::DeregisterTaskDefinition { registration, arn } => {
                self.deregister(registration, arn).await
            }
            Step::RunMigration { run, input, repeat } => {
                self.run_migration(run, input, *repeat).await
            }
            Step::CallHook {
                revision,
                hook,
                key,
                held_as,
                call,
            } => self.call_hook(revision, hook, key, held_as, call).await,
            Step::RecordJob(job) => {
                self.writer.put_job(self.key, job).await?;
                Ok(())
            }
            Step::AnswerJob { job, or_leave } => self.answer_job(job, *or_leave).await,
            Step::ForgetRun(run) => Ok(self.writer.forget_run(self.key, run).await?),
            Step::RecordMigration(run) => {
                self.writer.put_migration(self.key, run).await?;
                Ok(())
            }
            Step::StopTask {
                run,
                cluster,
                task,
                reason,
            } => {
                self.writer.put_migration(self.key, run).await?;
                self.may_write().await?;
                Ok(self.clients.ecs.stop_task(cluster, task, reason).await?)
            }
            Step::UpdateService {
                rollout,
                cluster,
                service,
                task_definition,
                force,
                settings,
            } => {
                let asked = self.writer.put_rollout(self.key, rollout).await?;
                self.may_write().await?;
                let ecs = &self.clients.ecs;
                let sent = ecs.update_service(cluster, service, task_definition, *force, settings);
                self.moved(asked, sent.await.map(drop)).await
            }
            Step::CreateDeployment { rollout, input, .. } => {
                let asked = self.writer.put_rollout(self.key, rollout).await?;
                self.may_write().await?;
                let sent = self.clients.codedeploy.create(input).await;
                self.moved(asked, sent.map(drop)).await
            }
            Step::ConfigureService {
                cluster,
                service,
                settings,
            } => {
                self.may_write().await?;
                let ecs = &self.clients.ecs;
                ecs.configure_service(cluster, service, settings).await?;
                Ok(())
            }
            Step::RecordRollout(rollout) => {
                self.writer.put_rollout(self.key, rollout).await?;
                Ok(())
            }
            Step::StopServiceDeployment { rollout, arn } => {
                let asked = self.writer.put_rollout(self.key, rollout).await?;
                self.may_write().await?;
                let sent = self.clients.ecs.stop_deployment(arn).await;
                self.stopped(asked, sent).await
            }
            Step::StopDeployment {
                rollout,
                deployment,
            } => {
                let asked = self.writer.put_rollout(self.key, rollout).await?;
                self.may_write().await?;
                let sent = self.clients.codedeploy.stop(deployment).await;
                self.stopped(asked, sent).await
            }
            Step::ContinueServiceDeployment {
                rollout,
                arn,
                hook,
                rollback,
            } => {
                self.writer.put_rollout(self.key, rollout).await?;
                self.may_write().await?;
                let ecs = &self.clients.ecs;
                answered(ecs.continue_deployment(arn, hook, *rollback).await)
            }
            Step::ContinueDeployment {
                rollout,
                deployment,
            } => {
                self.writer.put_rollout(self.key, rollout).await?;
                self.may_write().await?;
                answered(self.clients.codedeploy.proceed(deployment).await)
            }
            Step::PutRule { .. }
            | Step::PutTargets { .. }
            | Step::RemoveTargets { .. }
            | Step::DeleteRule { .. }
            | Step::TagRule { .. } => self.write_rule(step).await,
            Step::CreateScheduleGroup { .. }
            | Step::TagScheduleGroup { .. }
            | Step::DeleteScheduleGroup { .. }
            | Step::CreateSchedule { .. }
            | Step::UpdateSchedule { .. }
            | Step::DeleteSchedule { .. } => self.write_schedule(step).await,
            Step::FinishRequest { id } => Ok(self.writer.finish_request(self.key, id).await?),
            Step::FinishDeletion => Ok(self.writer.finish_deletion(self.key, self.uid).await?),
        }
    }

    /// A controller that lost its lease makes no AWS call that changes something. The call that
    /// slips through between this look and the loss is harmless when repeated.
    async fn may_write(&self) -> Result<(), StepError> {
        Ok(self.writer.may_write().await?)
    }

    async fn record_revision(
        &self,
        revision: &Revision,
        contents: &[DefinitionContent],
    ) -> Result<(), StepError> {
        for content in contents {
            self.writer
                .put_definition(&content.hash, &content.content)
                .await?;
        }
        self.writer.put_revision(self.key, revision).await?;
        Ok(())
    }

    async fn claim(&self, claim: &Claim) -> Result<(), StepError> {
        match self.writer.claim(claim).await? {
            ClaimOutcome::Held => Ok(()),
            // Somebody was faster; the next pass finds and names it.
            ClaimOutcome::HeldBy(_) => Err(StoreError::Conflict(claim.arn.clone()).into()),
        }
    }

    async fn register(&self, intent: &Registration, content: &Value) -> Result<(), StepError> {
        let intended = self.writer.put_registration(intent).await?;
        self.may_write().await?;
        match self.clients.ecs.register_task_definition(content).await {
            Ok(arn) => {
                let done = Registration {
                    arn: Some(arn),
                    ..intended
                };
                self.writer.put_registration(&done).await?;
                Ok(())
            }
            Err(error) => {
                if certainly_not_done(&error) {
                    let refused = Registration {
                        refused: true,
                        ..intended
                    };
                    self.writer.put_registration(&refused).await?;
                }
                Err(error.into())
            }
        }
    }

    async fn deregister(&self, registration: &Registration, arn: &str) -> Result<(), StepError> {
        self.may_write().await?;
        self.clients.ecs.deregister_task_definition(arn).await?;
        let done = Registration {
            deregistered: true,
            ..registration.clone()
        };
        self.writer.put_registration(&done).await?;
        Ok(())
    }

    async fn run_migration(
        &self,
        intent: &MigrationRun,
        input: &Value,
        repeat: bool,
    ) -> Result<(), StepError> {
        let intended = self.writer.put_migration(self.key, intent).await?;
        self.may_write().await?;
        match self.clients.ecs.run_task(input).await {
            Ok(answer) => self.started(intended, answer).await,
            Err(error) => {
                // The token was used before, with other parameters: its task is ours.
                if let Some(task) = error.resource_ids().into_iter().next() {
                    return self.runs(intended, task, None).await;
                }
                // That a repetition is refused says nothing about what went before it.
                if certainly_not_done(&error) && !repeat {
                    let not_started = MigrationRun {
                        state: RunState::NotStarted,
                        message: Some(error.lasting()),
                        ..intended
                    };
                    self.writer.put_migration(self.key, &not_started).await?;
                }
                Err(error.into())
            }
        }
    }

    async fn started(
        &self,
        intended: MigrationRun,
        answer: RunTaskAnswer,
    ) -> Result<(), StepError> {
        if let Some(task) = answer.tasks.into_iter().next() {
            return self.runs(intended, task.arn, task.created_at).await;
        }
        let reasons: Vec<String> = answer
            .failures
            .iter()
            .map(|failure| match &failure.detail {
                Some(detail) => format!("{} ({detail})", failure.reason),
                None => failure.reason.clone(),
            })
            .collect();
        let message = format!("RunTask started nothing: {}", reasons.join(", "));
        let not_started = MigrationRun {
            state: RunState::NotStarted,
            refusals: intended.refusals + 1,
            message: Some(message.clone()),
            ..intended
        };
        self.writer.put_migration(self.key, &not_started).await?;
        Err(StepError::NotStarted(message))
    }

    async fn runs(
        &self,
        intended: MigrationRun,
        task: String,
        created_at: Option<Timestamp>,
    ) -> Result<(), StepError> {
        let run = MigrationRun {
            state: RunState::Started,
            task_arn: Some(task),
            started_at: Some(created_at.unwrap_or_else(self.now)),
            ..intended
        };
        self.writer.put_migration(self.key, &run).await?;
        Ok(())
    }

    /// A move that was certainly not done is taken back.
    async fn moved(&self, asked: Rollout, answer: Result<(), AwsError>) -> Result<(), StepError> {
        let Err(error) = answer else {
            return Ok(());
        };
        if certainly_not_done(&error) {
            let taken_back = Rollout {
                state: RolloutState::Superseded,
                ..asked
            };
            self.writer.put_rollout(self.key, &taken_back).await?;
        }
        Err(error.into())
    }

    /// What comes of it is looked at: where it is refused, the deployment goes on and is overtaken. A
    /// right that is missing is told beside why the rollout failed.
    async fn stopped(&self, asked: Rollout, answer: Result<(), AwsError>) -> Result<(), StepError> {
        let error = match answer {
            Err(error) if is_refusal(&error) => error,
            other => return Ok(other?),
        };
        tracing::warn!(%error, "a deployment is not stopped");
        if error.class == ErrorClass::Denied {
            let why = asked.message.as_deref().unwrap_or("its time was up");
            let told = Rollout {
                message: Some(format!("{why}; {}", error.lasting())),
                ..asked
            };
            self.writer.put_rollout(self.key, &told).await?;
        }
        Ok(())
    }

    /// Every write of a rule may be repeated: each says the whole of what it sets.
    async fn write_rule(&self, step: &Step) -> Result<(), StepError> {
        self.may_write().await?;
        let events = &self.clients.events;
        match step {
            Step::PutRule { input } => {
                events.put_rule(input).await?;
            }
            Step::PutTargets { input } => events.put_targets(input).await?,
            Step::RemoveTargets { rule, ids } => events.remove_targets(rule, ids).await?,
            Step::DeleteRule { rule } => events.delete_rule(rule).await?,
            Step::TagRule { arn, tags } => {
                let tags: BTreeMap<String, String> = tags.clone();
                events.tag_rule(arn, &tags).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// So may every write of a schedule; what is made twice is refused, and looked at again.
    async fn write_schedule(&self, step: &Step) -> Result<(), StepError> {
        self.may_write().await?;
        let scheduler = &self.clients.scheduler;
        match step {
            Step::CreateScheduleGroup { input } => scheduler.create_group(input).await?,
            Step::TagScheduleGroup { arn, tags } => scheduler.tag_group(arn, tags).await?,
            Step::DeleteScheduleGroup { group } => scheduler.delete_group(group).await?,
            Step::CreateSchedule { input } => scheduler.create(input).await?,
            Step::UpdateSchedule { input } => scheduler.update(input).await?,
            Step::DeleteSchedule { group, name } => scheduler.delete(group, name).await?,
            _ => {}
        }
        Ok(())
    }
}

/// What comes of an answer to a pause is looked at: it is refused where somebody else answered, or
/// time was up.
fn answered(sent: Result<(), AwsError>) -> Result<(), StepError> {
    match sent {
        Err(error) if error.class != ErrorClass::Denied && is_refusal(&error) => {
            tracing::warn!(%error, "the answer to a pause is not taken");
            Ok(())
        }
        other => Ok(other?),
    }
}

/// The requests of a step that change something in AWS, by their IAM prefix. `fargate` is the
/// further bucket that RunTask on Fargate takes from.
fn requests(step: &Step) -> Vec<(&'static str, &'static str)> {
    match step {
        Step::RegisterTaskDefinition { .. } => vec![("ecs", "RegisterTaskDefinition")],
        Step::DeregisterTaskDefinition { .. } => vec![("ecs", "DeregisterTaskDefinition")],
        Step::RunMigration { input, .. } if is_on_fargate(input) => {
            // A token of the first is lost where the second has to wait: Fargate's are the scarcer.
            vec![("ecs", "RunTask"), ("fargate", "RunTask")]
        }
        Step::RunMigration { .. } => vec![("ecs", "RunTask")],
        Step::StopTask { .. } => vec![("ecs", "StopTask")],
        Step::UpdateService { .. } | Step::ConfigureService { .. } => {
            vec![("ecs", "UpdateService")]
        }
        Step::ContinueServiceDeployment { .. } => vec![("ecs", "ContinueServiceDeployment")],
        Step::StopServiceDeployment { .. } => vec![("ecs", "StopServiceDeployment")],
        Step::CreateDeployment { .. } => vec![("codedeploy", "CreateDeployment")],
        Step::StopDeployment { .. } => vec![("codedeploy", "StopDeployment")],
        Step::ContinueDeployment { .. } => vec![("codedeploy", "ContinueDeployment")],
        Step::PutRule { .. } => vec![("events", "PutRule")],
        Step::PutTargets { .. } => vec![("events", "PutTargets")],
        Step::RemoveTargets { .. } => vec![("events", "RemoveTargets")],
        Step::DeleteRule { .. } => vec![("events", "DeleteRule")],
        Step::TagRule { .. } => vec![("events", "TagResource")],
        Step::CreateScheduleGroup { .. } => vec![("scheduler", "CreateScheduleGroup")],
        Step::TagScheduleGroup { .. } => vec![("scheduler", "TagResource")],
        Step::DeleteScheduleGroup { .. } => vec![("scheduler", "DeleteScheduleGroup")],
        Step::CreateSchedule { .. } => vec![("scheduler", "CreateSchedule")],
        Step::UpdateSchedule { .. } => vec![("scheduler", "UpdateSchedule")],
        Step::DeleteSchedule { .. } => vec![("scheduler", "DeleteSchedule")],
        Step::RecordRevision { .. }
        | Step::UpdateRevision(_)
        | Step::DeleteRevision(_)
        | Step::Claim(_)
        | Step::Unclaim(_)
        | Step::RecordRegistration(_)
        | Step::CallHook { .. }
        | Step::RecordHooks(_)
        | Step::RecordJob(_)
        | Step::AnswerJob { .. }
        | Step::ForgetRun(_)
        | Step::RecordMigration(_)
        | Step::RecordRollout(_)
        | Step::FinishRequest { .. }
        | Step::FinishDeletion => Vec::new(),
    }
}

/// Whether RunTask's input names Fargate, as launch type or among its capacity providers.
fn is_on_fargate(input: &Value) -> bool {
    let strategy = input["capacityProviderStrategy"].as_array();
    let mut providers = strategy.into_iter().flatten();
    input["launchType"] == "FARGATE"
        || providers.any(|item| {
            let name = item["capacityProvider"].as_str();
            name.is_some_and(|name| matches!(name, "FARGATE" | "FARGATE_SPOT"))
        })
}

fn certainly_not_done(error: &AwsError) -> bool {
    is_refusal(error) || error.class == ErrorClass::Throttled
}
