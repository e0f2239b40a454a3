//! Hooks that are one call, and the pipeline's job.

use std::time::Duration;

use super::post::Post;
use super::{Executor, StepError, certainly_not_done, is_refusal};
use crate::aws::codepipeline;
use crate::aws::error::{AwsError, ErrorClass};
use crate::model::hook::{HookCall, HookRun, Invalidation, PipelineJob};
use crate::model::ledger::{Revision, RunState};

impl Executor<'_> {
    /// Writes down that a hook is called, and calls it. What takes its time goes on by itself.
    pub(super) async fn call_hook(
        &self,
        intent: &Revision,
        hook: &str,
        key: &str,
        held_as: &str,
        call: &HookCall,
    ) -> Result<(), StepError> {
        let intended = self.writer.put_revision(self.key, intent).await?;
        self.may_write().await?;
        match call {
            HookCall::Lambda {
                function,
                qualifier,
                input,
                timeout,
            } => {
                let lambda = self.clients.lambda.clone();
                let (function, qualifier) = (function.clone(), qualifier.clone());
                let (input, within) = (input.clone(), length(*timeout));
                self.calls.begin(self.uid, held_as, async move {
                    let qualifier = qualifier.as_deref();
                    lambda.invoke(&function, qualifier, &input, within).await
                });
                Ok(())
            }
            HookCall::Http {
                url,
                signing_key,
                authorization,
                body,
                timeout,
            } => {
                let post = Post {
                    posting: self.posting.clone(),
                    access: self.access.clone(),
                    region: self.region.to_owned(),
                    url: url.clone(),
                    key: key.to_owned(),
                    signing_key: signing_key.clone(),
                    authorization: authorization.clone(),
                    body: body.clone(),
                    now: (self.now)(),
                    within: length(*timeout),
                };
                self.calls.begin(self.uid, held_as, post.send());
                Ok(())
            }
            HookCall::Invalidation {
                distribution,
                paths,
            } => {
                let cloudfront = &self.clients.cloudfront;
                let asked = cloudfront.invalidate(distribution, paths, key).await;
                let asked = asked.map(|id| Invalidation {
                    distribution: distribution.clone(),
                    id,
                });
                self.invalidated(intended, hook, asked).await
            }
        }
    }

    /// What became of the call that asks for an invalidation.
    async fn invalidated(
        &self,
        intended: Revision,
        hook: &str,
        asked: Result<Invalidation, AwsError>,
    ) -> Result<(), StepError> {
        let mut answered = intended;
        let Some(run) = answered.hooks.get_mut(hook) else {
            return Ok(());
        };
        match asked {
            Ok(invalidation) => {
                *run = HookRun {
                    state: RunState::Started,
                    invalidation: Some(invalidation),
                    ..run.clone()
                };
            }
            Err(error) if is_refusal(&error) || is_later(&error) => {
                let state = match is_later(&error) {
                    true => RunState::NotStarted,
                    false => RunState::Failed,
                };
                *run = HookRun {
                    state,
                    refusals: run.refusals + 1,
                    finished_at: (state == RunState::Failed).then(|| (self.now)()),
                    message: Some(error.lasting()),
                    ..run.clone()
                };
            }
            // Nobody knows: the next pass asks again under the same reference.
            Err(error) => return Err(error.into()),
        }
        self.writer.put_revision(self.key, &answered).await?;
        Ok(())
    }

    /// Tells a CodePipeline job how the Release ended. One that takes no answer is done with. A refusal
    /// is noted, and no more: what the job waits for does not wait for the job.
    pub(super) async fn answer_job(
        &self,
        job: &PipelineJob,
        or_leave: bool,
    ) -> Result<(), StepError> {
        let Some(answer) = &job.answer else {
            return Ok(());
        };
        let intended = self.writer.put_job(self.key, job).await?;
        self.may_write().await?;
        let pipeline = &self.clients.codepipeline;
        let told = match answer.succeeded {
            true => pipeline.succeeded(&job.id, &answer.message).await,
            false => pipeline.failed(&job.id, &answer.message).await,
        };
        let now = Some((self.now)());
        let answered = |message| PipelineJob {
            answered: true,
            answered_at: now,
            message,
            ..intended.clone()
        };
        let noted = match told {
            Ok(()) => answered(None),
            Err(error) if codepipeline::takes_none(&error) => {
                tracing::warn!(%error, "the pipeline's job takes no answer");
                answered(Some(error.lasting()))
            }
            Err(error) if or_leave || is_refusal(&error) => {
                tracing::warn!(%error, "the pipeline's job is not told");
                let heard = u32::from(!certainly_not_done(&error));
                PipelineJob {
                    tries: intended.tries.saturating_sub(1) + heard,
                    tried_at: now,
                    message: Some(error.lasting()),
                    ..intended
                }
            }
            Err(error) => {
                if certainly_not_done(&error) {
                    let tries = intended.tries.saturating_sub(1);
                    let untold = PipelineJob { tries, ..intended };
                    self.writer.put_job(self.key, &untold).await?;
                }
                return Err(error.into());
            }
        };
        self.writer.put_job(self.key, &noted).await?;
        Ok(())
    }
}

/// Whether CloudFront did not take it, and may later.
fn is_later(error: &AwsError) -> bool {
    let was_not_asked = matches!(
        error.class,
        ErrorClass::Throttled | ErrorClass::Retry | ErrorClass::Credentials
    );
    was_not_asked || error.has_code("TooManyInvalidationsInProgress")
}

fn length(span: jiff::SignedDuration) -> Duration {
    Duration::try_from(span).unwrap_or_default()
}
