//! Task definitions, clusters, tags.

use serde_json::json;

use super::*;

#[test]
fn describing_answers_more_than_was_sent() {
    let mut world = World::new(json!([]));
    let mut input = definition("app", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1");
    input["cpu"] = json!("0.25 vCPU");
    input["memory"] = json!("1GB");
    input["volumes"] = json!([{"name": "public"}, {"name": "data", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]);
    input["tags"] = json!([{"key": "team", "value": "shop"}]);
    let container = &mut input["containerDefinitions"][0];
    container["portMappings"] = json!([{"containerPort": 80}]);
    container["mountPoints"] = Value::Null;
    container["environment"] = json!([{"name": "A", "value": ""}, {"name": "B", "value": "b"}]);
    let answer = world.ok("RegisterTaskDefinition", input);
    assert_eq!(answer["tags"][0]["key"], "team");
    let answer = world.ok("DescribeTaskDefinition", json!({"taskDefinition": "app"}));
    assert!(answer.get("tags").is_none());
    let made = &answer["taskDefinition"];
    for (name, wanted) in [
        (
            "taskDefinitionArn",
            json!("arn:aws:ecs:eu-west-1:123456789012:task-definition/app:1"),
        ),
        ("cpu", json!("256")),
        ("memory", json!("1024")),
        ("status", json!("ACTIVE")),
        ("revision", json!(1)),
        ("registeredBy", json!("arn:aws:iam::123456789012:user/me")),
        ("compatibilities", json!(["EC2", "FARGATE"])),
        ("placementConstraints", json!([])),
    ] {
        assert_eq!(made[name], wanted, "{name}");
    }
    assert_eq!(made["volumes"][0], json!({"name": "public", "host": {}}));
    assert!(made["volumes"][1].get("host").is_none());
    let container = &made["containerDefinitions"][0];
    for (name, wanted) in [
        ("cpu", json!(0)),
        ("essential", json!(true)),
        (
            "portMappings",
            json!([{"containerPort": 80, "protocol": "tcp", "hostPort": 80}]),
        ),
        ("mountPoints", json!([])),
        ("volumesFrom", json!([])),
        ("systemControls", json!([])),
    ] {
        assert_eq!(container[name], wanted, "{name}");
    }
    let mut names: Vec<_> = container["environment"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (text(&v["name"]), text(&v["value"])))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [("A".into(), String::new()), ("B".into(), "b".into())]
    );
    let attributes = made["requiresAttributes"].to_string();
    assert!(
        attributes.contains("ecs.capability.execution-role-ecr-pull"),
        "{attributes}"
    );
}

#[test]
fn registering_is_refused_in_ecs_words() {
    let mut world = World::new(json!([]));
    let with = |pointer: &str, value: Value| {
        let mut input = definition("app", "app:1");
        *input.pointer_mut(pointer).unwrap() = value;
        input
    };
    let one = |name: &str| json!({"name": name, "image": "i"});
    let many: Vec<_> = (0..11).map(|n| one(&format!("c{n}"))).collect();
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1";
    let mut no_role = definition("app", ecr);
    no_role.as_object_mut().unwrap().remove("executionRoleArn");
    let mut no_tags = definition("app", "app:1");
    no_tags["tags"] = json!([]);
    for (input, part) in [
        (
            with("/family", json!("a b")),
            "Family contains invalid characters.",
        ),
        (
            with("/family", Value::Null),
            "Family should not be null or empty.",
        ),
        (
            with("/containerDefinitions", json!([])),
            "Container list cannot be empty.",
        ),
        (with("/containerDefinitions", json!(many)), "at most 10"),
        (
            with("/containerDefinitions", json!([one("a"), one("a")])),
            "Duplicate: 'a'",
        ),
        (
            with("/containerDefinitions/0/image", json!("")),
            "Container.image should not be null or empty.",
        ),
        (
            with(
                "/containerDefinitions",
                json!([{"name": "a", "image": "i", "essential": false}]),
            ),
            "at least one essential container",
        ),
        (
            with("/memory", json!("300")),
            "No Fargate configuration exists for given values: 256 CPU, 300 memory.",
        ),
        (
            with("/cpu", Value::Null),
            "Fargate requires that 'cpu' be defined at the task level.",
        ),
        (
            with("/networkMode", json!("bridge")),
            "Fargate only supports network mode",
        ),
        (
            with(
                "/containerDefinitions/0/healthCheck",
                json!({"command": ["x".repeat(70_000)]}),
            ),
            "Max allowed length is '65536' bytes.",
        ),
        (no_role, "to support ECR images"),
        (no_tags, "Tags can not be empty."),
    ] {
        let (code, message) = world.refused("RegisterTaskDefinition", input);
        assert_eq!(code, "ClientException");
        assert!(message.contains(part), "{message}");
    }
    let mut described = definition("app", "app:1");
    described["revision"] = json!(3);
    assert_eq!(
        world.refused("RegisterTaskDefinition", described).0,
        "SerializationException"
    );
}

#[test]
fn revisions_go_up_and_never_come_back() {
    let mut world = World::new(json!([]));
    for _ in 0..3 {
        world.register("app", "app:1");
    }
    world.register("app-worker", "app:1");
    world.ok(
        "DeregisterTaskDefinition",
        json!({"taskDefinition": "app:3"}),
    );
    let describe = |world: &mut World, name: &str| {
        world.ok("DescribeTaskDefinition", json!({"taskDefinition": name}))["taskDefinition"]
            .clone()
    };
    assert_eq!(describe(&mut world, "app")["revision"], 2);
    let inactive = describe(&mut world, "app:3");
    assert_eq!(inactive["status"], "INACTIVE");
    assert!(inactive["deregisteredAt"].is_number());
    assert!(world.register("app", "app:1").ends_with(":4"));
    let unknown = json!({"taskDefinition": "app:9"});
    assert_eq!(
        world.refused("DescribeTaskDefinition", unknown),
        (
            "ClientException",
            "Unable to describe task definition.".to_owned()
        )
    );
    let list = |world: &mut World, input: Value| -> Vec<String> {
        let answer = world.ok("ListTaskDefinitions", input);
        let arns = answer["taskDefinitionArns"].as_array().unwrap();
        arns.iter()
            .map(|arn| text(arn).rsplit_once('/').unwrap().1.to_owned())
            .collect()
    };
    // familyPrefix is the whole name of a family.
    assert_eq!(
        list(&mut world, json!({"familyPrefix": "app"})),
        ["app:1", "app:2", "app:4"]
    );
    assert_eq!(
        list(
            &mut world,
            json!({"familyPrefix": "app", "sort": "DESC", "maxResults": 1})
        ),
        ["app:4"]
    );
    assert_eq!(list(&mut world, json!({"status": "INACTIVE"})), ["app:3"]);
    let families = world.ok("ListTaskDefinitionFamilies", json!({"familyPrefix": "app"}));
    assert_eq!(families["families"], json!(["app", "app-worker"]));
}

#[test]
fn pages_join_up_though_the_list_changes_between_them() {
    let mut world = World::new(json!([]));
    for n in 0..250 {
        world.register(&format!("f{n:03}"), "app:1");
    }
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let page = world.ok(
            "ListTaskDefinitions",
            json!({"maxResults": 100, "nextToken": token}),
        );
        seen.extend(page["taskDefinitionArns"].as_array().unwrap().clone());
        // Something on the pages already read goes away.
        let done = json!({"taskDefinition": format!("f{:03}:1", seen.len() / 100)});
        world.ok("DeregisterTaskDefinition", done);
        match page.get("nextToken") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 250);
    seen.dedup();
    assert_eq!(seen.len(), 250);
    for bad in [json!({"maxResults": 101}), json!({"nextToken": "zz"})] {
        assert_eq!(
            world.refused("ListTaskDefinitions", bad).0,
            "InvalidParameterException"
        );
    }
}

#[test]
fn tags_come_and_go() {
    let mut world = World::new(json!([]));
    let definition = world.register("app", "app:1");
    let service = text(&world.serve("app", "app:1", 0)["serviceArn"]);
    let cluster = "arn:aws:ecs:eu-west-1:123456789012:cluster/c";
    for arn in [definition.as_str(), service.as_str(), cluster] {
        let tags = json!([{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]);
        world.ok("TagResource", json!({"resourceArn": arn, "tags": tags}));
        world.ok(
            "TagResource",
            json!({"resourceArn": arn, "tags": [{"key": "a", "value": "3"}]}),
        );
        world.ok(
            "UntagResource",
            json!({"resourceArn": arn, "tagKeys": ["b"]}),
        );
        let answer = world.ok("ListTagsForResource", json!({"resourceArn": arn}));
        assert_eq!(answer["tags"], json!([{"key": "a", "value": "3"}]), "{arn}");
    }
    let reserved = json!({"resourceArn": cluster, "tags": [{"key": "aws:x", "value": "1"}]});
    assert_eq!(
        world.refused("TagResource", reserved).0,
        "InvalidParameterException"
    );
    let many: Vec<_> = (0..50)
        .map(|n| json!({"key": format!("k{n}"), "value": ""}))
        .collect();
    let too_many = json!({"resourceArn": cluster, "tags": many});
    assert_eq!(
        world.refused("TagResource", too_many).0,
        "InvalidParameterException"
    );
    let nothing = json!({"resourceArn": format!("{cluster}x")});
    assert_eq!(
        world.refused("ListTagsForResource", nothing).0,
        "ResourceNotFoundException"
    );
}

#[test]
fn a_cluster_in_use_stays() {
    let mut world = World::new(json!([]));
    world.serve("app", "app:1", 1);
    world.pass(30);
    let c = json!({"cluster": "c"});
    assert_eq!(
        world.refused("DeleteCluster", c.clone()).0,
        "ClusterContainsServicesException"
    );
    let answer = world.ok("DescribeClusters", json!({"clusters": ["c", "d"]}));
    assert_eq!(answer["clusters"][0]["runningTasksCount"], 1);
    assert_eq!(answer["clusters"][0]["activeServicesCount"], 1);
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    world.ok(
        "DeleteService",
        json!({"cluster": "c", "service": "app", "force": true}),
    );
    assert_eq!(
        world.refused("DeleteCluster", c.clone()).0,
        "ClusterContainsTasksException"
    );
    world.pass(30);
    assert_eq!(
        world.ok("DeleteCluster", c.clone())["cluster"]["status"],
        "INACTIVE"
    );
    assert_eq!(
        world.refused("ListTasks", c),
        ("ClusterNotFoundException", "Cluster not found.".to_owned())
    );
    assert_eq!(
        world.refused("StartTask", json!({})).0,
        "UnknownOperationException"
    );
}
