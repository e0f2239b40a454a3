//! The CodePipeline job that waits for a Release: told once how it ended.
//!
//! A job belongs to the generation that was declared when it was first seen. What is told is written
//! down first, so that a repetition tells the same. An answer that is refused is given again now and
//! then; nothing waits for that.

use jiff::SignedDuration;

use super::conditions;
use super::draft::Draft;
use crate::model::hook::{JobAnswer, PipelineJob};
use crate::model::ledger::RevisionOutcome;
use crate::model::plan::{Action, Step};
use crate::resource::status::{PartState, PipelineJobStatus};

/// The longest sentence that CodePipeline takes
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_FailureDetails.html>).
const LONGEST: usize = 5000;

/// How long an answer that was refused is let be: somebody has to give a right first.
const PAUSE: SignedDuration = SignedDuration::from_mins(5);

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
    let job = PipelineJob {
        version: known.map_or(0, |known| known.version),
        id: id.to_owned(),
        generation: draft.input.desired.generation,
        answer: None,
        tries: 0,
        answered: false,
        answered_at: None,
        tried_at: None,
        message: None,
    };
    if draft.input.desired.deleting.is_some() {
        // There is no later pass to tell it in.
        if let Some(answer) = decided(draft, &job) {
            tell(draft, &job, answer);
        }
        return;
    }
    let reason = "a pipeline waits for this generation";
    draft.act("pipelineJob", reason, Step::RecordJob(Box::new(job)));
}

/// Decides to tell it, before the Release and its records go.
fn tell(draft: &mut Draft<'_>, job: &PipelineJob, answer: JobAnswer) {
    let mut actions = draft.actions.iter();
    let end = actions.position(|action| matches!(action.step, Step::FinishDeletion));
    let now = draft.input.now;
    let left = job.tried_at.map(|at| (at + PAUSE).duration_since(now));
    if let Some(left) = left.filter(|left| end.is_none() && left.is_positive()) {
        return draft.wake_after(left);
    }
    let action = Action {
        resource: "pipelineJob".to_owned(),
        reason: answer.message.clone(),
        step: Step::AnswerJob {
            job: Box::new(PipelineJob {
                answer: Some(answer),
                tries: job.tries.saturating_add(1),
                ..job.clone()
            }),
            or_leave: draft.input.desired.deleting.is_some_and(|it| it.orphan),
        },
    };
    let at = end.unwrap_or(draft.actions.len());
    draft.actions.insert(at, action);
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
    let last = draft.input.observed.ledger.job.as_ref();
    let wanted = wanted?;
    let known = last.filter(|known| known.id == wanted);
    let (state, message) = match known {
        None => (PartState::Pending, last.and_then(comes_first)),
        Some(job) if !job.answered => (PartState::Progressing, job.message.clone()),
        Some(job) => match (&job.message, &job.answer) {
            (Some(why), _) if job.tries > 1 => {
                let message = format!("nobody knows whether it heard an earlier try: {why}");
                (PartState::Unknown, Some(message))
            }
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

/// Why another job is not told yet.
fn comes_first(job: &PipelineJob) -> Option<String> {
    let why = job.message.as_ref().filter(|_| !job.answered)?;
    Some(format!("job {} is told first: {why}", job.id))
}
