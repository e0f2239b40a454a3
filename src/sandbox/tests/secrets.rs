//! SSM's parameters and Secrets Manager.

use super::*;

fn refused(sandbox: &Sandbox, service: &str, operation: &str, input: Value) -> String {
    let outcome = sandbox.call(service, REGION, operation, input);
    outcome.expect_err("it is refused").code
}

#[tokio::test(start_paused = true)]
async fn a_parameter_is_read_as_it_was_put_and_a_secure_one_decrypted_only() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_ssm, sandbox);
    let put = |value: &'static str, overwrite| {
        client
            .put_parameter()
            .name("/shop/slack")
            .value(value)
            .r#type(aws_sdk_ssm::types::ParameterType::SecureString)
            .overwrite(overwrite)
            .send()
    };
    assert_eq!(put("first", false).await.unwrap().version(), 1);
    let twice = put("second", false).await.unwrap_err();
    assert_eq!(told(&twice).0, "ParameterAlreadyExists");
    assert_eq!(put("second", true).await.unwrap().version(), 2);
    let get = async |name: &str, decrypt| {
        let request = client.get_parameter().name(name).with_decryption(decrypt);
        let answer = request.send().await.map_err(|error| told(&error).0)?;
        let value = answer.parameter().and_then(|it| it.value());
        Ok::<_, String>(value.unwrap_or_default().to_owned())
    };
    assert_eq!(get("/shop/slack", true).await.unwrap(), "second");
    assert_eq!(get("/shop/slack:1", true).await.unwrap(), "first");
    let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/shop/slack");
    assert_eq!(get(&arn, true).await.unwrap(), "second");
    assert_ne!(get("/shop/slack", false).await.unwrap(), "second");
    let none = get("/shop/none", true).await.unwrap_err();
    assert_eq!(none, "ParameterNotFound");
    let version = get("/shop/slack:3", true).await.unwrap_err();
    assert_eq!(version, "ParameterVersionNotFound");
    assert_eq!(sandbox.calls()["ssm.GetParameter"], 6);
}

#[tokio::test(start_paused = true)]
async fn parameters_that_aws_refuses_are_refused() {
    let sandbox = sandbox();
    for input in [
        json!({"Name": "/a", "Value": "v"}),
        json!({"Name": "/a", "Value": "v", "Type": "Secret"}),
        json!({"Name": "a/b", "Value": "v", "Type": "String"}),
        json!({"Name": "/aws/b", "Value": "v", "Type": "String"}),
        json!({"Name": "/a b", "Value": "v", "Type": "String"}),
        json!({"Name": "/a", "Type": "String"}),
        json!({"Name": "/a", "Value": "v".repeat(4097), "Type": "String"}),
    ] {
        let code = refused(&sandbox, "ssm", "PutParameter", input.clone());
        assert_eq!(code, "ValidationException", "{input}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_by_name_and_by_arn() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_secretsmanager, sandbox);
    let create = client
        .create_secret()
        .name("shop/slack")
        .secret_string("first");
    let made = create.send().await.unwrap();
    let arn = made.arn().unwrap().to_owned();
    let start = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/slack-");
    assert!(arn.starts_with(&start), "{arn}");
    let partial = arn.rsplit_once('-').unwrap().0.to_owned();
    for id in ["shop/slack".to_owned(), partial, arn.clone()] {
        let got = client
            .get_secret_value()
            .secret_id(&id)
            .send()
            .await
            .unwrap();
        assert_eq!(got.secret_string(), Some("first"), "{id}");
    }
    let put = client
        .put_secret_value()
        .secret_id(&arn)
        .secret_string("second");
    put.send().await.unwrap();
    let got = client
        .get_secret_value()
        .secret_id(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(got.secret_string(), Some("second"));
    let none = client.get_secret_value().secret_id("none").send().await;
    assert_eq!(told(&none.unwrap_err()).0, "ResourceNotFoundException");
    let manager = "secretsmanager";
    let again = json!({"Name": "shop/slack", "SecretString": "x"});
    assert_eq!(
        refused(&sandbox, manager, "CreateSecret", again),
        "ResourceExistsException"
    );
    let both = json!({"Name": "b", "SecretString": "x", "SecretBinary": "eA=="});
    assert_eq!(
        refused(&sandbox, manager, "CreateSecret", both),
        "InvalidParameterException"
    );
    sandbox
        .call(manager, REGION, "CreateSecret", json!({"Name": "empty"}))
        .unwrap();
    let empty = json!({"SecretId": "empty"});
    assert_eq!(
        refused(&sandbox, manager, "GetSecretValue", empty),
        "ResourceNotFoundException"
    );
}
