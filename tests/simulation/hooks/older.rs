//! Hooks beside what an earlier revision began.

use serde_json::json;

use super::{hooked, lambda};
use crate::shop::{Breaker, key, merge, minutes, pass, pinned, rules, seconds, shop, web};

#[tokio::test(start_paused = true)]
async fn a_hook_before_waits_for_the_task_of_an_earlier_revision() {
    let task = json!({"taskDefinition": {"family": "job"}, "images": {"job": "web"}});
    let mut migration = task.clone();
    migration["name"] = json!("db");
    let hook = json!({"name": "snapshot", "ecsTask": task});
    for earlier in [
        json!({"migrations": [migration]}),
        json!({"hooks": {"before": [hook]}}),
    ] {
        let world = shop(Breaker::Rollback).await;
        world.function("drain", 0, None);
        let exits = json!({"exit": {"after": "300s"}});
        rules(&world, &json!([{"when": {"family": "job"}, "then": exits}]));
        let mut object = web("v2");
        merge(&mut object["spec"], &earlier);
        world.put(&object).await;
        let controller = world.controller();
        let newer = async {
            pass(seconds(60)).await;
            assert_eq!(world.sent("RunTask").len(), 1, "{earlier}");
            let hooks = json!({"before": [lambda("drain", &json!({}))]});
            world.put(&hooked("v3", &hooks)).await;
            pass(minutes(3)).await;
            assert_eq!(world.invoked_names(), [] as [String; 0], "{earlier}");
            let told = world.message(&key()).await;
            assert!(told.contains("of revision 1 is still running"), "{told}");
            pass(minutes(20)).await;
        };
        controller.run(newer).await.expect("runs");
        assert_eq!(world.image_of("web"), pinned(&world, "v3"), "{earlier}");
        assert_eq!(world.invoked_names(), ["drain"], "{earlier}");
    }
}
