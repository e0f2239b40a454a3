//! A CodePipeline job that waits for a release is told once how it ended.

use serde_json::{Value, json};

use super::hooked;
use crate::shop::{Breaker, Stands, key, minutes, pass, shop, stalled};
use crate::world::World;

/// The release with a job that waits for it.
pub(super) fn waited_for(tag: &str, job: &str) -> Value {
    let hooks = json!({"after": [{"name": "pipeline", "codePipelineJob": {}}]});
    let mut object = hooked(tag, &hooks);
    object["metadata"]["annotations"] = json!({"evenkeel.dev/codepipeline-job": job});
    object
}

impl World {
    /// A pipeline begins to wait.
    pub(super) fn job(&self) -> String {
        let answer = self.aws("codepipeline", "StartJob", json!({"timeoutInMinutes": 60}));
        answer["jobId"].as_str().expect("an id").to_owned()
    }

    /// How a job stands, and what it was told.
    pub(super) fn job_is(&self, job: &str) -> (String, String) {
        let answer = self.aws("codepipeline", "GetJobDetails", json!({"jobId": job}));
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("message"))
    }

    fn answers(&self) -> usize {
        self.sent("PutJobSuccessResult").len() + self.sent("PutJobFailureResult").len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_hears_of_success_once_everything_is_so() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    world.put(&waited_for("v2", &job)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(
        world.job_is(&job),
        ("Succeeded".to_owned(), "generation 1 is Ready".to_owned())
    );
    let told = world.status(&key()).await.pipeline_job.expect("it is told");
    assert_eq!(
        (told.id.as_str(), told.succeeded),
        (job.as_str(), Some(true))
    );
    let log = world.sandbox.log();
    let at = |name: &str| log.iter().position(|call| call.operation == name);
    assert!(at("PutJobSuccessResult") > at("UpdateService"));

    // A new job on what is Ready is answered, too, and each once.
    let next = world.job();
    world.put(&waited_for("v2", &next)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.job_is(&next).0, "Succeeded");
    world.rests_for_an_hour().await;
    assert_eq!(world.answers(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_hears_of_failure_once_everything_is_back() {
    let world = shop(Breaker::Rollback).await;
    let (first, second) = (world.job(), world.job());
    world.put(&waited_for("v2", &first)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.put(&waited_for("bad", &second)).await;
    assert_eq!(world.settle(&key()).await, stalled("RolledBack"));
    let (status, message) = world.job_is(&second);
    assert_eq!(status, "Failed");
    assert!(message.starts_with("RolledBack: "), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_generation_overtakes_fails() {
    let world = shop(Breaker::Rollback).await;
    let (first, second) = (world.job(), world.job());
    world.put(&waited_for("v2", &first)).await;
    let controller = world.controller();
    let newer = async {
        pass(std::time::Duration::from_secs(5)).await;
        world.put(&waited_for("v3", &second)).await;
        pass(minutes(10)).await;
    };
    controller.run(newer).await.expect("runs");
    let (status, message) = world.job_is(&first);
    assert_eq!(status, "Failed");
    assert!(message.starts_with("superseded: "), "{message}");
    assert_eq!(world.job_is(&second).0, "Succeeded");
    assert_eq!(world.answers(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_time_is_up_or_that_never_was_holds_nothing_up() {
    let world = shop(Breaker::Rollback).await;
    let late = world.job();
    pass(minutes(61)).await;
    for job in [
        late.as_str(),
        "6f1c9a52-0f0b-4d0b-8c9e-000000000000",
        "not-an-id",
    ] {
        world.put(&waited_for("v2", job)).await;
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{job}");
        let told = world.status(&key()).await.pipeline_job.expect("it is told");
        assert_eq!(told.state, super::PartState::Failed, "{job}");
        let why = told.message.expect("why");
        assert!(why.contains("PutJobSuccessResult"), "{why}");
    }
    assert_eq!(world.answers(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_may_stand_in_another_annotation() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    let mut object = waited_for("v2", "6f1c9a52-0f0b-4d0b-8c9e-000000000000");
    object["metadata"]["annotations"]["acme.example/job"] = json!(job);
    object["spec"]["hooks"]["after"][0]["codePipelineJob"] =
        json!({"annotation": "acme.example/job"});
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.job_is(&job).0, "Succeeded");
    assert_eq!(world.answers(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_hook_nobody_is_told() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    let mut object = waited_for("v2", &job);
    object["spec"]["hooks"] = json!({});
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.job_is(&job).0, "InProgress");
    assert_eq!(world.answers(), 0);
}
