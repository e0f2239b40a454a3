//! Invalidations of which CloudFront tells nothing.

use evenkeel::resource::status::PartState;
use evenkeel::sandbox::Verdict;
use serde_json::json;

use super::hooked;
use crate::shop::{Breaker, Stands, key, minutes, pass, pinned, shop, stalled};

#[tokio::test(start_paused = true)]
async fn an_invalidation_that_nobody_hears_of_fails_when_its_time_is_up() {
    for operation in ["CreateInvalidation", "GetInvalidation"] {
        for (policy, stands) in [("Warn", Stands::Ready), ("Fail", stalled("HookFailed"))] {
            let world = shop(Breaker::Rollback).await;
            let distribution = world.distribution();
            let hooks = json!({"after": [{
                "name": "cdn", "timeout": "3m", "onFailure": policy,
                "cloudFrontInvalidation": {"distributionId": distribution, "paths": ["/*"]},
            }]});
            world.breaks(operation, u64::MAX, false, Verdict::ConnectionError);
            world.put(&hooked("v2", &hooks)).await;
            let controller = world.controller();
            controller.run(pass(minutes(15))).await.expect("runs");
            assert_eq!(world.settle(&key()).await, stands, "{operation}");
            assert_eq!(world.image_of("web"), pinned(&world, "v2"));
            let cdn = world.hook("cdn").await;
            assert_eq!(cdn.state, PartState::Failed, "{operation}");
            let why = cdn.message.expect("why");
            assert!(why.contains("nobody knows"), "{operation}: {why}");
            assert!(why.contains("within 3m"), "{operation}: {why}");
        }
    }
}
