use super::*;

fn subject<'a>(image: &'a str, tags: &'a [String], digest: Option<&'a str>) -> Subject<'a> {
    Subject {
        image,
        tags,
        digest,
        command: "bundle exec rails db:migrate".to_owned(),
        family: "rails-oneoff",
        container: "rails",
        group: "family:rails-oneoff",
    }
}

fn rules(json: &str) -> Rules {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_first_match_wins_and_everything_given_must_match() {
    let rules = rules(
        r#"[{"when": {"command": "*db:migrate*", "container": "other"}, "then": {"neverStarts": {}}},
            {"when": {"command": "*db:migrate*", "group": "family:*"}, "then": {"exit": {"after": "8s", "exitCode": 3}}},
            {"then": {"cannotPull": {}}}]"#,
    );
    assert_eq!(
        rules.behavior(&subject("busybox", &[], None)),
        Some(Behavior::Exit {
            after: Duration::from_secs(8),
            exit_code: 3
        })
    );
    let mut other = subject("busybox", &[], None);
    other.command = String::new();
    assert_eq!(rules.behavior(&other), Some(Behavior::CannotPull {}));
}

#[test]
fn an_image_matches_by_any_of_its_names() {
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let pinned = format!("{host}/rails/app@sha256:aa");
    let tags = ["rails/app:bad".to_owned()];
    for glob in [
        "rails/app:bad",
        "rails/app@sha256:aa",
        "*.amazonaws.com/rails/*",
    ] {
        let rules = rules(&format!(
            r#"[{{"when": {{"image": "{glob}"}}, "then": {{"crash": {{}}}}}}]"#
        ));
        assert!(
            rules
                .behavior(&subject(&pinned, &tags, Some("sha256:aa")))
                .is_some(),
            "{glob}"
        );
        assert_eq!(rules.behavior(&subject("rails/app:good", &[], None)), None);
    }
}

#[test]
fn a_digest_is_matched_for_an_image_written_with_a_tag() {
    let rules =
        rules(r#"[{"when": {"image": "app@sha256:aa"}, "then": {"unhealthy": {"after": 3}}}]"#);
    assert!(
        rules
            .behavior(&subject("localhost:5000/app:1", &[], Some("sha256:aa")))
            .is_some()
    );
}

#[test]
fn mistakes_in_rules_are_told() {
    for (json, says) in [
        (r#"[{"when": {"img": "x"}, "then": {"crash": {}}}]"#, "img"),
        (
            r#"[{"when": {"image": "[x"}, "then": {"crash": {}}}]"#,
            "no pattern",
        ),
        (r#"[{"then": {"crash": {"after": "soon"}}}]"#, "no duration"),
        (r#"[{"then": {"crash": {"after": "-3s"}}}]"#, "negative"),
        (r#"[{"then": {"explode": {}}}]"#, "explode"),
    ] {
        let error = serde_json::from_str::<Rules>(json).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn rules_read_back_as_they_were_written() {
    let text = r#"[{"when":{"image":"a:*"},"then":{"healthy":{"after":"90s"}}}]"#;
    let again: Rules = serde_json::from_str(&serde_json::to_string(&rules(text)).unwrap()).unwrap();
    assert_eq!(again, rules(text));
}

#[test]
fn a_rule_of_a_stage_is_about_no_task() {
    let rules = rules(
        r#"[{"when": {"group": "service:web", "stage": "BAKE_*"}, "then": {"stage": {"takes": {"after": "1h"}}}},
            {"when": {"stage": "*"}, "then": {"stage": {"hooks": {"status": "FAILED"}}}}]"#,
    );
    assert_eq!(rules.behavior(&subject("busybox", &[], None)), None);
    let of = |service, stage| rules.stage(service, stage).count();
    assert_eq!(of("web", "BAKE_TIME"), 2);
    assert_eq!(of("web", "SCALE_UP"), 1);
    assert_eq!(of("worker", "BAKE_TIME"), 1);
}
