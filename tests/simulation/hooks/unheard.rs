//! CloudFront and CodePipeline, which do not answer or do not take what they are told.

use evenkeel::resource::conditions::{ConditionStatus, ConditionType};
use evenkeel::resource::status::{PartState, PipelineJobStatus};
use evenkeel::sandbox::Verdict;
use serde_json::json;

use super::hooked;
use super::jobs::waited_for;
use crate::shop::{Breaker, Stands, key, minutes, shop, stalled};
use crate::world::World;

const ALWAYS: u64 = u64::MAX;

async fn job_of(world: &World) -> PipelineJobStatus {
    let told = world.status(&key()).await.pipeline_job;
    told.expect("it is told of")
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_that_is_never_answered_fails_when_its_time_is_up() {
    let world = shop(Breaker::Rollback).await;
    let distribution = world.distribution();
    let hooks = json!({"after": [{"name": "cdn", "timeout": "3m", "cloudFrontInvalidation": {
        "distributionId": distribution, "paths": ["/*"],
    }}]});
    world.put(&hooked("v2", &hooks)).await;
    world.breaks("CreateInvalidation", ALWAYS, false, Verdict::Timeout);
    let begun = world.sandbox.now();
    assert_eq!(world.settle(&key()).await, stalled("HookFailed"));
    let took = world.sandbox.now().duration_since(begun).as_mins();
    assert!((3..10).contains(&took), "{took}");
    let why = world.why(&key()).await;
    assert!(why.contains("within 3m"), "{why}");
    // A person may ask for another try, which is another invalidation.
    world.sandbox.set_tap(None);
    world.retry(&key()).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.invalidations(&distribution), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_whose_status_cannot_be_read_is_waited_for() {
    let world = shop(Breaker::Rollback).await;
    let distribution = world.distribution();
    let hooks = json!({"after": [{"name": "cdn", "cloudFrontInvalidation": {
        "distributionId": distribution, "paths": ["/*"],
    }}]});
    world.put(&hooked("v2", &hooks)).await;
    world.breaks("GetInvalidation", ALWAYS, false, Verdict::ConnectionError);
    world.run_for(minutes(5)).await;
    let ready = world.condition(&key(), ConditionType::Ready).await;
    let ready = ready.expect("it is told");
    assert_eq!(ready.status, ConditionStatus::Unknown, "{ready:?}");
    assert!(ready.message.contains("hook/cdn"), "{ready:?}");
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.invalidations(&distribution), 1);
}

/// What ails the release is what people have to put right, and not who cannot be told of it.
#[tokio::test(start_paused = true)]
async fn why_a_release_failed_stays_told_where_its_job_may_not_be_answered() {
    let world = shop(Breaker::Rollback).await;
    let (first, second) = (world.job(), world.job());
    world.put(&waited_for("v2", &first)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.deny(&["codepipeline:PutJobFailureResult"]);
    world.put(&waited_for("bad", &second)).await;
    assert_eq!(world.run(&key()).await, stalled("RolledBack"));
    let why = world.why(&key()).await;
    assert!(why.contains("service/web"), "{why}");
    let told = job_of(&world).await.message.unwrap_or_default();
    assert!(told.contains("codepipeline:PutJobFailureResult"), "{told}");
    world.deny(&[]);
    world.run_for(minutes(6)).await;
    assert_eq!(world.job_is(&second).0, "Failed");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_codepipeline_does_not_accept_holds_nothing_up() {
    for code in ["SomethingOfNextYearException", ""] {
        let world = shop(Breaker::Rollback).await;
        let job = world.job();
        world.put(&waited_for("v2", &job)).await;
        let refused = Verdict::Answer {
            status: 400,
            code: code.to_owned(),
            message: "no".to_owned(),
        };
        world.breaks("PutJobSuccessResult", ALWAYS, false, refused);
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{code}");
        let told = job_of(&world).await;
        assert_eq!(told.state, PartState::Failed, "{told:?}");
        let why = told.message.expect("why");
        assert!(why.contains("PutJobSuccessResult"), "{why}");
        // It is not told again, also when it would be heard.
        world.sandbox.set_tap(None);
        assert_eq!(world.settle(&key()).await, Stands::Ready, "{code}");
        assert_eq!(world.job_is(&job).0, "InProgress");
    }
}

#[tokio::test(start_paused = true)]
async fn while_codepipeline_does_not_answer_the_release_is_ready_all_the_same() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    world.put(&waited_for("v2", &job)).await;
    world.breaks("PutJobSuccessResult", ALWAYS, false, Verdict::Timeout);
    world.run_for(minutes(10)).await;
    let ready = world.is(&key(), ConditionType::Ready).await;
    assert_eq!(ready, Some(ConditionStatus::True));
    assert_eq!(job_of(&world).await.state, PartState::Progressing);
    world.sandbox.set_tap(None);
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.job_is(&job).0, "Succeeded");
    let told = job_of(&world).await;
    assert_eq!((told.state, told.succeeded), (PartState::Done, Some(true)));
}

/// Told again, the job takes no answer any more: it has this one.
#[tokio::test(start_paused = true)]
async fn a_job_that_heard_although_nobody_knew_is_not_told_of_as_one_that_did_not() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    world.put(&waited_for("v2", &job)).await;
    world.dies_at("PutJobSuccessResult", true).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    assert_eq!(world.job_is(&job).0, "Succeeded");
    let told = job_of(&world).await;
    assert_eq!(told.state, PartState::Unknown, "{told:?}");
    let message = told.message.expect("why");
    assert!(
        message.contains("nobody knows whether it heard"),
        "{message}"
    );
}

/// Who was never let through told it nothing.
#[tokio::test(start_paused = true)]
async fn a_job_that_certainly_heard_nothing_is_told_of_so() {
    let world = shop(Breaker::Rollback).await;
    let job = world.job();
    world.deny(&["codepipeline:PutJobSuccessResult"]);
    world.put(&waited_for("v2", &job)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    // The job's time is up before anybody gives the right.
    crate::shop::pass(minutes(61)).await;
    assert_eq!(world.settle(&key()).await, Stands::Ready);
    world.deny(&[]);
    world.run_for(minutes(6)).await;
    assert_eq!(world.job_is(&job).0, "TimedOut");
    assert_eq!(job_of(&world).await.state, PartState::Failed);
}
