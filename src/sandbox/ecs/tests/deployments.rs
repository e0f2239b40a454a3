//! Service deployments and service revisions.

use serde_json::json;

use super::*;

#[test]
fn a_person_rolls_a_deployment_back() {
    let mut world = World::new(json!([{"when": {"image": "*:slow"}, "then": {"neverStarts": {}}}]));
    world.serve("app", "app:1", 2);
    world.pass(30);
    world.register("app", "app:slow");
    world.update("app", json!({"taskDefinition": "app:2"}));
    world.pass(60);
    let arn = world.records("app")[0]["serviceDeploymentArn"].clone();
    let stop = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
    assert_eq!(
        world.ok("StopServiceDeployment", stop.clone())["serviceDeploymentArn"],
        arn
    );
    assert_eq!(world.records("app")[0]["status"], "ROLLBACK_REQUESTED");
    world.pass(1);
    assert_eq!(world.records("app")[0]["status"], "ROLLBACK_IN_PROGRESS");
    world.pass(60);
    let record = &world.records("app")[0];
    assert_eq!(record["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(
        record["statusReason"],
        "Service deployment rolled back by user."
    );
    assert!(text(&world.service("app")["taskDefinition"]).ends_with(":1"));
    assert_eq!(
        world.refused("StopServiceDeployment", stop).0,
        "ConflictException"
    );
    let missing = json!({"serviceDeploymentArn": format!("{}x", text(&arn))});
    assert_eq!(
        world.refused("StopServiceDeployment", missing).0,
        "ServiceDeploymentNotFoundException"
    );
}

#[test]
fn lists_are_newest_first_filtered_and_paged() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 1);
    for _ in 0..4 {
        world.pass(60);
        world.update("app", json!({"forceNewDeployment": true}));
    }
    let list = |world: &mut World, more: Value| {
        let mut input = json!({"cluster": "c", "service": "app"});
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.ok("ListServiceDeployments", input)
    };
    let page = list(&mut world, json!({"maxResults": 2}));
    let next = &page["nextToken"];
    let times = |page: &Value| -> Vec<f64> {
        let rows = page["serviceDeployments"].as_array().unwrap();
        rows.iter()
            .map(|row| row["createdAt"].as_f64().unwrap())
            .collect()
    };
    let mut all = times(&page);
    let page = list(&mut world, json!({"maxResults": 100, "nextToken": next}));
    all.extend(times(&page));
    assert!(page.get("nextToken").is_none());
    assert_eq!(all.len(), 5);
    assert!(all.windows(2).all(|pair| pair[0] > pair[1]));
    let going = list(&mut world, json!({"status": ["PENDING", "IN_PROGRESS"]}));
    assert_eq!(times(&going), [all[0]]);
    let some = list(
        &mut world,
        json!({"createdAt": {"after": all[4], "before": all[1]}}),
    );
    assert_eq!(times(&some), [all[2], all[3]]);
    let wrong = json!({"cluster": "c", "service": "app", "status": ["DONE"]});
    assert_eq!(
        world.refused("ListServiceDeployments", wrong).0,
        "InvalidParameterException"
    );
}

#[test]
fn a_revision_keeps_the_digests_of_its_first_tasks() {
    let mut world = World::new(json!([]));
    let digest = |n: u8| format!("sha256:{}", n.to_string().repeat(64));
    let put = |world: &mut World, n: u8| {
        let row = (digest(n), vec!["app:latest".to_owned()]);
        world.shelf.0.insert("app:latest".to_owned(), row.clone());
        world.shelf.0.insert(format!("app@{}", digest(n)), row);
    };
    put(&mut world, 1);
    world.serve("app", "app:latest", 1);
    let images = |world: &mut World| {
        let record = world.records("app")[0].clone();
        let arns = json!({"serviceRevisionArns": [record["targetServiceRevision"]["arn"]]});
        world.ok("DescribeServiceRevisions", arns)["serviceRevisions"][0].clone()
    };
    assert!(
        images(&mut world)["containerImages"][0]
            .get("imageDigest")
            .is_none()
    );
    world.pass(30);
    let revision = images(&mut world);
    assert_eq!(revision["containerImages"][0]["imageDigest"], digest(1));
    assert!(text(&revision["taskDefinition"]).ends_with(":1"));
    // The tag moves: tasks of the deployment go on with what they had.
    put(&mut world, 2);
    world.update("app", json!({"desiredCount": 2}));
    world.pass(30);
    for arn in world.list_tasks(json!({})) {
        assert_eq!(world.task(&arn)["containers"][0]["imageDigest"], digest(1));
    }
    // Only a new deployment looks again.
    world.update("app", json!({"forceNewDeployment": true}));
    world.pass(60);
    assert_eq!(
        images(&mut world)["containerImages"][0]["imageDigest"],
        digest(2)
    );
    let missing = json!({"serviceRevisionArns": ["arn:aws:ecs:eu-west-1:123456789012:service-revision/c/app/1"]});
    let answer = world.ok("DescribeServiceRevisions", missing);
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
}

#[test]
fn rules_know_an_image_by_its_tags_though_it_is_pinned() {
    let mut world =
        World::new(json!([{"when": {"image": "app:bad"}, "then": {"crash": {"after": "1s"}}}]));
    let digest = format!("sha256:{}", "b".repeat(64));
    world.shelf.0.insert(
        format!("app@{digest}"),
        (digest.clone(), vec!["app:bad".to_owned()]),
    );
    world.serve("app", &format!("app@{digest}"), 1);
    world.pass(120);
    assert_eq!(
        world.service("app")["deployments"][0]["rolloutState"],
        "FAILED"
    );
}
