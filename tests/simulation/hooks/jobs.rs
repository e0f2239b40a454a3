//! A CodePipeline job that waits for a release is told once how it ended.

use serde_json::{Value, json};

use super::hooked;
use crate::crash::{Moment, die_at};
use crate::shop::{Breaker, Stands, key, minutes, pass, pinned, shop, stalled};
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

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_holds_no_release_up_and_its_jobs_are_told_later() {
    let world = shop(Breaker::Rollback).await;
    let (first, second) = (world.job(), world.job());
    world.deny(&["codepipeline:*"]);
    world.put(&waited_for("v2", &first)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    let told = world.status(&key()).await.pipeline_job.expect("it is told");
    assert_eq!(
        (&told.id, told.state),
        (&first, super::PartState::Progressing)
    );
    let why = told.message.expect("why");
    assert!(why.contains("not authorized"), "{why}");
    assert_eq!(world.answers(), 1);

    // What comes next is brought like anything else.
    world.put(&waited_for("v3", &second)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.image_of("web"), pinned(&world, "v3"));
    let told = world.status(&key()).await.pipeline_job.expect("it is told");
    assert_eq!((&told.id, told.state), (&second, super::PartState::Pending));
    let why = told.message.expect("why");
    assert!(
        why.contains(&first) && why.contains("not authorized"),
        "{why}"
    );

    // It is tried again now and then, and not in each pass.
    let before = (world.answers(), world.writes().len());
    world.run_for(minutes(20)).await;
    let tries = world.answers() - before.0;
    assert!((3..=5).contains(&tries), "{tries}");
    assert!(world.writes().len() - before.1 <= 3 * tries);

    world.deny(&[]);
    world.run_for(minutes(6)).await;
    assert_eq!(world.job_is(&first).0, "Succeeded");
    let (status, message) = world.job_is(&second);
    assert_eq!(status, "Succeeded");
    assert_eq!(message, "generation 2 is Ready");
    let told = world.status(&key()).await.pipeline_job.expect("it is told");
    assert_eq!(told.state, super::PartState::Done);
    world.rests_for_an_hour().await;
}

/// A release that did not begin, whose job waits, and whose deletion is asked for.
async fn being_deleted(orphan: bool) -> (World, String) {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    let mut object = waited_for("v2", &job);
    object["spec"]["suspend"] = json!(true);
    world.put(&object).await;
    assert_eq!(world.settle(&key()).await, Stands::Suspended);
    assert_eq!(world.job_is(&job).0, "InProgress");
    delete(&world, orphan).await;
    world.sandbox.reset_calls();
    (world, job)
}

async fn delete(world: &World, orphan: bool) {
    let now = world.sandbox.now();
    let asked = world.store.delete_release(&key(), orphan, now).await;
    assert!(asked.expect("it is there"));
}

async fn is_gone(world: &World) -> bool {
    let ledger = world.store.ledger(&key(), "another").await.expect("reads");
    let found = world.store.release(&key()).await.expect("reads");
    found.is_none() && ledger.job.is_none()
}

#[tokio::test(start_paused = true)]
async fn a_job_hears_of_the_deletion_before_the_release_is_gone() {
    let (world, job) = being_deleted(false).await;
    world.run_once().await.expect("runs");
    assert!(is_gone(&world).await);
    assert_eq!(world.job_is(&job).0, "Failed");
    let log = world.sandbox.log();
    let mut calls = log.iter().filter(|call| call.client);
    let at = calls.position(|call| call.operation == "PutJobFailureResult");
    let at = u64::try_from(at.expect("it is told")).expect("not that many");

    for moment in [Moment::Before, Moment::After] {
        let (world, job) = being_deleted(false).await;
        assert!(die_at(&world, at, moment).await, "{moment:?}");
        assert!(!is_gone(&world).await, "{moment:?}");
        world.run_once().await.expect("runs");
        assert!(is_gone(&world).await, "{moment:?}");
        let (status, message) = world.job_is(&job);
        assert_eq!(status, "Failed", "{moment:?}");
        assert!(message.contains("is being deleted"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_no_pass_saw_hears_of_the_deletion_too() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    world.put(&waited_for("v2", &job)).await;
    delete(&world, false).await;
    world.run_once().await.expect("runs");
    assert!(is_gone(&world).await);
    assert_eq!(world.job_is(&job).0, "Failed");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_keeps_no_deletion() {
    for orphan in [false, true] {
        let (world, job) = being_deleted(orphan).await;
        world.deny(&["codepipeline:*"]);
        world.run_once().await.expect("runs");
        assert!(is_gone(&world).await, "{orphan}");
        assert_eq!(world.job_is(&job).0, "InProgress");
        assert_eq!(world.answers(), 1);
    }
}
