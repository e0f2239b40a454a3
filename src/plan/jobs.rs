//! The CodePipeline job that waits for a Release: told once how it ended.
//!
//! A job belongs to the generation that was declared when it was first seen. What is told is written
//! down first, so that a repetition tells the same.

use super::conditions;
use super::draft::Draft;
use crate::model::hook::{JobAnswer, PipelineJob};
use crate::model::ledger::RevisionOutcome;
use crate::model::plan::Step;
use crate::resource::status::{PartState, PipelineJobStatus};

/// The longest sentence that CodePipeline takes
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_FailureDetails.html>).
const LONGEST: usize = 5000;

/// Decides what is told to the job, once the rest of the plan is made.
pub fn answer(draft: &mut Draft<'_>) {
    let known = draft.input.observed.ledger.job.as_ref();
    let wanted = draft.input.desired.pipeline_job.as_deref();
    match known {
        Some(job) if !job.answered => {
            if let Some(answer) = job.answer.clone().or_else(|| decided(draft, job)) {
                tell(draft, job, answer);
            }
        }
        _ => note(draft, known, wanted),
    }
    draft.status.pipeline_job = status(draft, wanted);
}

/// Writes down a job that was not seen before.
fn note(draft: &mut Draft<'_>, known: Option<&PipelineJob>, wanted: Option<&str>) {
    let Some(id) = wanted.filter(|id| known.is_none_or(|known| known.id != *id)) else {
        return;
    };
    if draft.input.desired.deleting.is_some() {
        return;
    }
    let job = PipelineJob {
        version: known.map_or(0, |known| known.version),
        id: id.to_owned(),
        generation: draft.input.desired.generation,
        answer: None,
        answered: false,
        answered_at: None,
        message: None,
    };
    let reason = "a pipeline waits for this generation";
    draft.act("pipelineJob", reason, Step::RecordJob(Box::new(job)));
}

fn tell(draft: &mut Draft<'_>, job: &PipelineJob, answer: JobAnswer) {
    let reason = answer.message.clone();
    let job = PipelineJob {
        answer: Some(answer),
        ..job.clone()
    };
    draft.act("pipelineJob", reason, Step::AnswerJob(Box::new(job)));
}

/// What is to be told to a job; nothing as long as the Release has not ended.
fn decided(draft: &Draft<'_>, job: &PipelineJob) -> Option<JobAnswer> {
    let desired = draft.input.desired;
    let failed = |message: String| {
        Some(JobAnswer {
            succeeded: false,
            message: message.chars().take(LONGEST).collect(),
        })
    };
    if desired.deleting.is_some() {
        return failed(format!("release {} is being deleted", desired.key));
    }
    if desired.generation > job.generation {
        return failed(format!(
            "superseded: generation {} came after generation {}, which this job waits for",
            desired.generation, job.generation
        ));
    }
    if let Some(other) = desired.pipeline_job.as_ref().filter(|id| **id != job.id) {
        return failed(format!(
            "superseded: job {other} waits for this release now"
        ));
    }
    if let Some(why) = draft.stalled.first() {
        return failed(format!("{}: {}", why.reason, why.message));
    }
    is_ready(draft).then(|| JobAnswer {
        succeeded: true,
        message: format!("generation {} is Ready", desired.generation),
    })
}

/// Whether everything declared is so, and was written down to be.
fn is_ready(draft: &Draft<'_>) -> bool {
    let revision = super::revision::current(draft);
    let ready = revision.is_some_and(|it| it.outcome == RevisionOutcome::Ready);
    let mut actions = draft.actions.iter();
    ready
        && !draft.is_held()
        && draft.holds.is_empty()
        && !draft.input.desired.suspend
        && actions.all(|action| conditions::is_housekeeping(&action.step))
}

fn status(draft: &Draft<'_>, wanted: Option<&str>) -> Option<PipelineJobStatus> {
    let known = draft.input.observed.ledger.job.as_ref();
    let wanted = wanted?;
    let known = known.filter(|known| known.id == wanted);
    let (state, message) = match known {
        None => (PartState::Pending, None),
        Some(job) if !job.answered => (PartState::Progressing, None),
        Some(job) => match (&job.message, &job.answer) {
            (Some(why), _) => (PartState::Failed, Some(why.clone())),
            (None, Some(answer)) => (PartState::Done, Some(answer.message.clone())),
            (None, None) => (PartState::Unknown, None),
        },
    };
    Some(PipelineJobStatus {
        id: wanted.to_owned(),
        state,
        succeeded: known.and_then(|job| Some(job.answer.as_ref()?.succeeded)),
        message,
    })
}
