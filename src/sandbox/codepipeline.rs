//! CodePipeline: jobs of one Region that wait for an answer.
//!
//! There are no pipelines. A job is made by the sandbox's own `StartJob`, as a pipeline's action would
//! make it, and takes an answer until its time is up.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::cx::Cx;
use super::fault::Fault;
use super::json::{Object, int, text};

/// The jobs of one Region.
#[derive(Default)]
pub(super) struct CodePipeline {
    jobs: BTreeMap<String, Job>,
}

struct Job {
    status: &'static str,
    message: Option<String>,
    ends: Timestamp,
}

impl CodePipeline {
    /// Answers one call.
    pub fn call(
        &mut self,
        cx: &mut Cx<'_>,
        operation: &str,
        input: &Object,
    ) -> Result<Value, Fault> {
        match operation {
            "StartJob" => self.start(cx, input),
            "GetJobDetails" => {
                let job = self.job(cx, input)?;
                Ok(json!({ "status": job.status, "message": job.message }))
            }
            "PutJobSuccessResult" => {
                let details = input.get("executionDetails");
                let told = details.and_then(|it| it["summary"].as_str());
                self.end(cx, input, "Succeeded", told.map(str::to_owned))
            }
            "PutJobFailureResult" => {
                let details = input.get("failureDetails").and_then(Value::as_object);
                let told = details.and_then(|it| text(it, "message"));
                let Some(told) = told.filter(|it| (1..=5000).contains(&it.len())) else {
                    let message = "failureDetails.message must have 1 to 5000 characters";
                    return Err(Fault::client("ValidationException", message));
                };
                self.end(cx, input, "Failed", Some(told.to_owned()))
            }
            _ => Err(Fault::client("UnknownOperationException", operation)),
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>, input: &Object) -> Result<Value, Fault> {
        let id = cx.ids.uuid();
        let minutes = int(input, "timeoutInMinutes").unwrap_or(60);
        let job = Job {
            status: "InProgress",
            message: None,
            ends: cx.now + SignedDuration::from_mins(minutes),
        };
        self.jobs.insert(id.clone(), job);
        Ok(json!({ "jobId": id }))
    }

    fn job(&mut self, cx: &Cx<'_>, input: &Object) -> Result<&mut Job, Fault> {
        let id = text(input, "jobId").unwrap_or_default();
        if uuid::Uuid::parse_str(id).is_err() {
            let message = format!("Value '{id}' at 'jobId' failed to satisfy constraint");
            return Err(Fault::client("ValidationException", message));
        }
        let missing = || Fault::client("JobNotFoundException", format!("Job {id} does not exist"));
        let job = self.jobs.get_mut(id).ok_or_else(missing)?;
        if job.status == "InProgress" && cx.now > job.ends {
            job.status = "TimedOut";
        }
        Ok(job)
    }

    fn end(
        &mut self,
        cx: &Cx<'_>,
        input: &Object,
        status: &'static str,
        message: Option<String>,
    ) -> Result<Value, Fault> {
        let job = self.job(cx, input)?;
        if job.status != "InProgress" {
            let message = format!("The job is {} already", job.status);
            return Err(Fault::client("InvalidJobStateException", message));
        }
        job.status = status;
        job.message = message;
        Ok(json!({}))
    }
}
