use super::*;

const EXAMPLES: [(&str, &str); 3] = [
    (
        "rails",
        include_str!("../../../tests/fixtures/examples/rails/account.json"),
    ),
    (
        "chuoi",
        include_str!("../../../tests/fixtures/examples/chuoi/account.json"),
    ),
    (
        "replication",
        include_str!("../../../tests/fixtures/examples/replication/account.json"),
    ),
];

#[tokio::test(start_paused = true)]
async fn the_example_accounts_load_and_settle() {
    for (name, text) in EXAMPLES {
        let sandbox = sandbox();
        let calls = parse_account(text).unwrap();
        let loaded = sandbox.load_account(&calls, REGION);
        assert!(loaded.is_ok(), "{name}: {}", loaded.unwrap_err());
        assert!(sandbox.calls().is_empty(), "loading is no client's call");
        tokio::time::advance(Duration::from_secs(600)).await;
        for call in calls.iter().filter(|c| c.operation == "CreateService") {
            let input = json!({
                "cluster": call.input["cluster"],
                "services": [call.input["serviceName"]],
            });
            let described = sandbox
                .call("ecs", REGION, "DescribeServices", input)
                .unwrap();
            let service = &described["services"][0];
            assert_eq!(
                service["runningCount"], call.input["desiredCount"],
                "{name}"
            );
            assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_bad_call_of_an_account_is_told_with_its_place() {
    let text = r#"[
        {"service": "ecr", "operation": "CreateRepository", "input": {"repositoryName": "Not Good"}},
        {"service": "ecr", "operation": "CreateRepository", "input": {"repositoryName": "good"}},
        {"service": "s3", "operation": "CreateBucket"}
    ]"#;
    let sandbox = sandbox();
    let error = sandbox
        .load_account(&parse_account(text).unwrap(), REGION)
        .unwrap_err();
    let places: Vec<_> = error.0.iter().map(|bad| bad.index).collect();
    assert_eq!(places, [0, 2]);
    let told = error.to_string();
    assert!(
        told.contains("call 0 (ecr CreateRepository): InvalidParameterException"),
        "{told}"
    );
    assert!(told.contains("call 2 (s3 CreateBucket)"), "{told}");
    let names = sandbox
        .call("ecr", REGION, "DescribeRepositories", json!({}))
        .unwrap();
    assert_eq!(names["repositories"][0]["repositoryName"], "good");
    assert!(parse_account(r#"[{"service": "ecs"}]"#).is_err());
}
