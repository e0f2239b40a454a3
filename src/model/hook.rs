//! What the controller writes down of hooks, and what it sees of calls that are under way.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::RunState;
use crate::resource::secret::SecretRef;

/// How a revision ended, for the hooks that run then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Everything declared is so.
    Success,
    /// It failed.
    Failure,
}

/// What follows a hook's name where its run for a failure is kept: `#` is in no name.
const FOR_FAILURE: &str = "#failure";

/// The name under which a hook's run is kept in its revision. One that runs for either end has two:
/// what it did for one says nothing of the other.
pub fn kept_as(hook: &str, end: Option<End>) -> String {
    match end {
        Some(End::Failure) => format!("{hook}{FOR_FAILURE}"),
        None | Some(End::Success) => hook.to_owned(),
    }
}

/// The hook whose run is kept under this name.
pub fn name_of(kept: &str) -> &str {
    kept.strip_suffix(FOR_FAILURE).unwrap_or(kept)
}

/// A hook's run, but for those that run tasks: theirs are kept as a migration's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    /// Where it stands. `Intended`: the call is made, and its answer is not written down.
    pub state: RunState,
    /// Which attempt, from 1. Each has a key of its own by which the other side knows it again.
    pub attempt: u32,
    /// When this attempt began.
    pub begun_at: Timestamp,
    /// Of hooks after: which end it ran for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// How often the other side did not take this attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refusals: u32,
    /// When the call was made last.
    pub called_at: Timestamp,
    /// The invalidation that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalidation: Option<Invalidation>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An invalidation of a CloudFront distribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invalidation {
    /// Id of the distribution.
    pub distribution: String,
    /// Its own id.
    pub id: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A call that takes longer than a pass, as the process that made it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// It goes on.
    Underway,
    /// It ended.
    Ended(CallEnd),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// As it should.
    Succeeded,
    /// The other side did it, and says that it failed.
    Failed(String),
    /// The other side did not take it, and may later.
    NotTaken(String),
    /// The other side does not take it, and will not until somebody changes something.
    Refused(String),
    /// Nobody knows whether it was done.
    Lost(String),
}

/// The CodePipeline job that a Release's annotation named last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineJob {
    /// Version of the item in the table.
    #[serde(default)]
    pub version: u64,
    /// The job's id.
    pub id: String,
    /// The generation that was declared when it was first seen.
    pub generation: u64,
    /// What is told to the job, once that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<JobAnswer>,
    /// How often it was told, or may have been. That a repetition is refused says nothing of what went
    /// before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// Whether CodePipeline took the answer, or will take none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When an answer was refused last that is still to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// Why CodePipeline takes no answer, or why it could not be told yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What is told to a CodePipeline job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobAnswer {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// A sentence for people.
    pub message: String,
}

/// A call that a hook makes, with everything that it says.
#[derive(Clone, Debug, PartialEq)]
pub enum HookCall {
    /// Invoke a function and wait for its answer.
    Lambda {
        /// Name or ARN.
        function: String,
        /// Version or alias.
        qualifier: Option<String>,
        /// What the function gets.
        input: Value,
        /// How long it may take.
        timeout: SignedDuration,
    },
    /// Post JSON.
    Http {
        /// Where to.
        url: String,
        /// What signs it.
        signing_key: Option<SecretRef>,
        /// Value of the header `Authorization`.
        authorization: Option<SecretRef>,
        /// What is posted.
        body: Value,
        /// How long the answer may take.
        timeout: SignedDuration,
    },
    /// Invalidate paths of a distribution.
    Invalidation {
        /// Id of the distribution.
        distribution: String,
        /// Its paths.
        paths: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_for_either_end_are_kept_apart() {
        let ends = [None, Some(End::Success), Some(End::Failure)];
        let kept = ends.map(|end| kept_as("tell", end));
        assert_eq!(kept, ["tell", "tell", "tell#failure"]);
        assert_eq!(kept.each_ref().map(|it| name_of(it)), ["tell"; 3]);
    }
}
