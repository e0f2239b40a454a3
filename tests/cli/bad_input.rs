//! What people get wrong is told in a sentence that names the thing and the way out, with exit
//! code 2, and nothing is done by half.

use crate::support::{Sandbox, fixture, folder, path, run, run_fed, run_with};

fn validate(manifest: &str) -> String {
    run_fed(&["validate", "-f", "-"], manifest).shown()
}

fn release(spec: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1alpha1\nkind: Release\nmetadata:\n  name: rails\n  namespace: production\nspec:\n{spec}"
    )
}

#[test]
fn broken_yaml() {
    insta::assert_snapshot!(validate(
        "apiVersion: evenkeel.dev/v1alpha1\nkind: [Release\nmetadata: {}\n"
    ));
}

#[test]
fn an_unknown_field_is_told_with_the_nearest_known_one() {
    insta::assert_snapshot!(validate(&release(
        "  image:\n    app: {repository: a, tag: b}\n"
    )));
}

#[test]
fn a_wrong_type_an_unknown_image_and_a_cron_error_are_told_at_once() {
    insta::assert_snapshot!(validate(&release(
        "  images: {app: {repository: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app, tag: v1}}
  prune: perhaps
  services: [{name: web, images: {web: ap}}]
  schedules:
    - name: nightly
      expression: 0 3 1 * 1
      taskDefinition: {family: jobs}
      images: {job: app}
"
    )));
}

#[test]
fn a_file_that_is_not_there() {
    insta::assert_snapshot!(run(&["validate", "-f", "nowhere.yaml"]).shown());
}

#[test]
fn valid_files_are_named() {
    let environment = fixture("rails/environment.yaml");
    let release = fixture("rails/release.yaml");
    let ended = run(&["validate", "-f", path(&environment), "-f", path(&release)]);
    assert_eq!(
        ended.shown(),
        "exit 0\nEnvironment production is valid\nRelease production/rails is valid\n"
    );
}

#[test]
fn an_error_in_one_file_keeps_all_from_being_written() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.expect(0, &["init"]);
    let folder = folder("one-bad-file");
    std::fs::copy(fixture("rails/environment.yaml"), folder.join("a.yaml")).unwrap();
    std::fs::write(folder.join("b.yaml"), release("  imagess: {}\n")).unwrap();
    let ended = sandbox.expect(2, &["apply", "-f", path(&folder)]);
    assert!(ended.stderr.contains("b.yaml:7:3"), "{}", ended.shown());
    let environments = sandbox
        .expect(0, &["get", "environments", "-o", "json"])
        .json();
    assert_eq!(environments["items"], serde_json::json!([]));
}

#[test]
fn a_missing_table() {
    let sandbox = Sandbox::start("rails", &[]);
    for args in [
        &["get"][..],
        &["run", "--once"],
        &["drift"],
        &["set", "image", "rails", "app=1"],
        &["wait", "rails"],
    ] {
        let ended = sandbox.expect(2, args);
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(
            ended
                .stderr
                .contains("table evenkeel does not exist in ap-northeast-1: run `evenkeel init`"),
            "{args:?}: {}",
            ended.shown()
        );
    }
}

#[test]
fn missing_credentials_and_a_missing_region() {
    let no_region = run(&["get"]);
    insta::assert_snapshot!(no_region.shown());
    let no_credentials = run_with(
        &["get"],
        &[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ],
    );
    assert_eq!(no_credentials.code, Some(2), "{}", no_credentials.shown());
    assert!(
        no_credentials.stderr.contains("credentials"),
        "{}",
        no_credentials.shown()
    );
    assert_eq!(
        no_credentials.stderr.matches("error:").count(),
        1,
        "{}",
        no_credentials.shown()
    );
}

/// The SDK would tell the request with it, and so what is written.
#[test]
fn an_endpoint_that_is_none_is_told_alone() {
    let environment = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "notaurl"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let told = run_with(&["get"], &environment);
    assert_eq!(told.code, Some(2), "{}", told.shown());
    assert!(told.stderr.contains("AWS_ENDPOINT_URL"), "{}", told.shown());
    assert!(!told.stderr.contains("Request"), "{}", told.shown());
}

#[test]
fn an_unknown_release_image_or_migration() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    for (args, sentence) in [
        (&["get", "rials"][..], "release rials does not exist"),
        (
            &["get", "production/rials"],
            "release production/rials does not exist",
        ),
        (&["plan", "rials"], "release rials does not exist"),
        (
            &["get", "env", "staging"],
            "environment staging does not exist",
        ),
        (&["set", "image", "rails", "ap=1"], "declares no image `ap`"),
        (
            &["set", "image", "rails", "app=not a tag"],
            "neither a tag nor a digest",
        ),
        (
            &["migration", "retry", "rails/dbmigrate"],
            "its migrations are: db-migrate",
        ),
        (
            &["migration", "retry", "rails/db-migrate"],
            "has not run yet",
        ),
        (
            &["delete", "environment", "production"],
            "Environment production has Releases (production/rails): \
             delete them first, and wait until they are gone",
        ),
        (
            &[
                "apply",
                "-n",
                "staging",
                "-f",
                path(&fixture("rails/release.yaml")),
            ],
            "not of namespace staging",
        ),
    ] {
        let ended = sandbox.expect(2, args);
        assert!(
            ended.stderr.contains(sentence),
            "{args:?}: {}",
            ended.shown()
        );
        assert_eq!(
            ended.stderr.matches("error:").count(),
            1,
            "{args:?}: {}",
            ended.shown()
        );
    }
}

#[test]
fn an_image_of_another_repository() {
    let sandbox = Sandbox::start("chuoi", &[]);
    sandbox.apply("chuoi");
    let file = folder("other-repository").join("imagedefinitions.json");
    std::fs::write(&file, r#"[{"name": "app", "imageUri": "docker.io/app:1"}]"#).unwrap();
    let before = sandbox.expect(0, &["get", "chuoi", "-o", "json"]).json();
    let ended = sandbox.expect(2, &["set", "image", "chuoi", "--from", path(&file)]);
    assert!(
        ended.stderr.contains("not of the declared repository"),
        "{}",
        ended.shown()
    );
    assert_eq!(
        sandbox.expect(0, &["get", "chuoi", "-o", "json"]).json(),
        before
    );
}

#[test]
fn the_sandbox_listens_to_this_machine_only() {
    let ended = run(&["sandbox", "--listen", "0.0.0.0:0"]);
    assert_eq!(ended.code, Some(2), "{}", ended.shown());
    assert!(ended.stderr.contains("--allow-remote"), "{}", ended.shown());
}

#[test]
fn pruning_takes_the_applier_before_and_after_the_verb_and_no_default() {
    let sandbox = Sandbox::start("rails", &[]);
    sandbox.apply("rails");
    let file = fixture("rails/release.yaml");
    let apply = ["apply", "--prune", "-f", path(&file)];
    let ended = sandbox.expect(2, &apply);
    assert!(ended.stderr.contains("--applier"), "{}", ended.shown());
    let named = ["--applier", "ci"];
    sandbox.expect(0, &[&apply[..], &named].concat());
    sandbox.expect(0, &[&named[..], &apply].concat());
}

#[test]
fn wrong_settings_of_the_controller_are_told_before_anything_is_called() {
    let told = run_with(
        &["run", "--budget", "2", "--http", "localhost"],
        &[("EVENKEEL_RUN_WORKERS", "many")],
    );
    insta::assert_snapshot!(told.shown());
}
