//! CodePipeline's jobs, which neither server has: moto answers an HTML page with status 500, and
//! ministack a 400 without an error code. A release stands as it does all the same, and that its
//! pipeline did not hear of it is told.

use serde_json::{Value, json};

use super::{NAMESPACE, ministack, moto, released, scheduled};
use crate::evenkeel::{Evenkeel, assert_ready};
use crate::manifest;
use crate::servers::REGION;

const JOB: &str = "11111111-2222-3333-4444-555555555555";

fn waited_for() -> Value {
    let hooks = json!({"after": [{"name": "pipeline", "codePipelineJob": {}}]});
    let mut release = scheduled(&hooks);
    release["metadata"]["annotations"] = json!({"evenkeel.dev/codepipeline-job": JOB});
    release
}

/// It may be a passing trouble of CodePipeline's, so that it is told again and again.
#[test]
fn while_moto_has_trouble_with_a_job_its_release_is_ready() {
    let server = moto::rails_allowing(&json!({}));
    let evenkeel = Evenkeel::new(&server, NAMESPACE);
    evenkeel.apply(&[&manifest::write("hooks", &waited_for())]);
    evenkeel.goes_on(&["run", "--once"], |told| {
        // Each time on both outputs.
        let parts = ["codepipeline:PutJobSuccessResult", JOB, "HTTP 500"];
        parts.iter().all(|part| told.matches(part).count() > 2)
    });
    let release = evenkeel.release("rails");
    assert_ready(&release);
    let job = &release["status"]["pipelineJob"];
    assert_eq!(
        (&job["id"], &job["state"]),
        (&json!(JOB), &json!("Progressing"))
    );
}

/// What is refused as it is will be refused again.
#[tokio::test]
async fn a_job_that_ministack_refuses_to_hear_of_keeps_nothing_waiting() {
    let server = ministack::rails_allowing(&json!({}));
    // The first call to what it does not know has it load all that it has, and answer nobody for
    // seconds: on a slow machine a lease runs out meanwhile.
    let jobs = server.aws().await.region(REGION).codepipeline;
    jobs.succeeded(JOB, "").await.unwrap_err();
    let ready = released(&server, &waited_for(), 0);
    assert_ready(&ready);
    let job = &ready["status"]["pipelineJob"];
    assert_eq!((&job["id"], &job["state"]), (&json!(JOB), &json!("Failed")));
    let why = job["message"].as_str().expect("why");
    for part in ["codepipeline:PutJobSuccessResult", JOB, "HTTP 400"] {
        assert!(why.contains(part), "{part}: {why}");
    }
}
