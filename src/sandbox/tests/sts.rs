use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_is_the_role_it_took_on() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_sts, sandbox);
    let me = client.get_caller_identity().send().await.unwrap();
    assert_eq!(me.account(), Some(ACCOUNT));
    assert_eq!(me.arn(), Some("arn:aws:iam::123456789012:user/sandbox"));
    let assumed = client
        .assume_role()
        .role_arn("arn:aws:iam::210987654321:role/deploy/evenkeel")
        .role_session_name("night&day".replace('&', "-"))
        .external_id("x")
        .send()
        .await
        .unwrap();
    let credentials = assumed.credentials().unwrap();
    assert_eq!(
        credentials.expiration().secs(),
        sandbox.now().as_second() + 3600
    );
    let role = client!(aws_sdk_sts, sandbox, credentials.access_key_id());
    let now = role.get_caller_identity().send().await.unwrap();
    assert_eq!(
        now.arn(),
        Some("arn:aws:sts::210987654321:assumed-role/evenkeel/night-day")
    );
    assert_eq!(now.account(), Some("210987654321"));
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_in_xml() {
    let sandbox = sandbox();
    let client = client!(aws_sdk_sts, sandbox);
    let bad = client
        .assume_role()
        .role_arn("not a <role>")
        .role_session_name("session")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        told(&bad),
        (
            "ValidationError".to_owned(),
            "not a <role> is invalid".to_owned()
        )
    );
    let unknown = client.get_session_token().send().await.unwrap_err();
    assert_eq!(told(&unknown).0, "InvalidAction");
}
