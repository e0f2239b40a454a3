//! Jobs of CodePipeline that wait for an answer.

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{ExecutionDetails, FailureDetails, FailureType};

use super::error::{AwsError, Call, ErrorClass};

const SERVICE: &str = "codepipeline";
/// The longest summary of a success
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ExecutionDetails.html>).
const SUMMARY: usize = 2048;

/// CodePipeline in one Region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CodePipeline {
    client: Client,
}

impl CodePipeline {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// PutJobSuccessResult. Repeated, it is refused: the job has its answer.
    ///
    /// # Errors
    /// When the call fails; see [`takes_none`].
    pub async fn succeeded(&self, job: &str, summary: &str) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "PutJobSuccessResult", format!("job {job}"));
        let details = ExecutionDetails::builder()
            .summary(cut(summary, SUMMARY))
            .percent_complete(100)
            .build();
        let request = self
            .client
            .put_job_success_result()
            .job_id(job)
            .execution_details(details);
        let sent = request.send().await;
        sent.map(drop).map_err(|error| call.failed(error))
    }

    /// PutJobFailureResult. Repeated, it is refused: the job has its answer.
    ///
    /// # Errors
    /// When the call fails; see [`takes_none`].
    pub async fn failed(&self, job: &str, message: &str) -> Result<(), AwsError> {
        let call = Call::write(SERVICE, "PutJobFailureResult", format!("job {job}"));
        let wrong = |error: aws_sdk_codepipeline::error::BuildError| {
            call.unexpected(ErrorClass::Refused, error.to_string())
        };
        let details = FailureDetails::builder()
            .r#type(FailureType::JobFailed)
            .message(message)
            .build()
            .map_err(wrong)?;
        let request = self
            .client
            .put_job_failure_result()
            .job_id(job)
            .failure_details(details);
        let sent = request.send().await;
        sent.map(drop).map_err(|error| call.failed(error))
    }
}

/// Whether the job takes no answer, and never will: it has one, its time is up, there is none of
/// that id, or CodePipeline does not accept what it is told. A right or a role that is missing may
/// be given while the job still waits.
pub fn takes_none(error: &AwsError) -> bool {
    let refused = matches!(error.class, ErrorClass::Refused | ErrorClass::NotFound);
    refused && !error.is_of_role()
}

fn cut(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}
