//! The generated files in `crds/` are what the types say, and are what Kubernetes takes.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on shall fail"
)]

use std::path::{Path, PathBuf};

use evenkeel::resource::crd;
use evenkeel::resource::meta::Kind;
use serde_json::{Value, json};

const KINDS: [Kind; 2] = [Kind::Environment, Kind::Release];

fn crds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

/// Every generated file and what must be in it.
fn generated() -> Vec<(PathBuf, String)> {
    let pretty = |schema: &Value| serde_json::to_string_pretty(schema).expect("JSON") + "\n";
    let mut files = vec![(
        crds().join("schemas/evenkeel.json"),
        pretty(&crd::json_schema(None)),
    )];
    for kind in KINDS {
        let yaml = crd::crd_yaml(kind).expect("YAML");
        files.push((crds().join(format!("{}.yaml", crd::crd_name(kind))), yaml));
        let name = format!("schemas/{}.json", kind.as_str().to_lowercase());
        files.push((crds().join(name), pretty(&crd::json_schema(Some(kind)))));
    }
    files
}

#[test]
fn the_files_are_what_the_types_say() {
    let update = std::env::var_os("UPDATE_CRDS").is_some();
    for (file, wanted) in generated() {
        if update {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(&file, &wanted).expect("the file is written");
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == wanted,
            "{} is stale: renew it with `evenkeel schema --crd` (or UPDATE_CRDS=1 cargo test --test crds)",
            file.display()
        );
    }
}

#[test]
fn each_field_is_told_of_in_its_own_words() {
    let yaml = crd::crd_yaml(Kind::Release).expect("YAML");
    for words in [
        "each new revision waits for `evenkeel approve`",
        "Rollback when absent",
        "semver when absent",
        "default for ECR",
        "ENABLED when absent",
    ] {
        assert!(yaml.contains(words), "{words}");
    }
}

#[test]
fn the_yaml_reads_back_as_the_definition() {
    for kind in KINDS {
        let yaml = crd::crd_yaml(kind).expect("YAML");
        let read: Value = serde_saphyr::from_str(&yaml).expect("it is YAML");
        assert_eq!(read, serde_json::to_value(crd::crd(kind)).expect("JSON"));
    }
}

#[test]
fn the_definitions_have_what_kubectl_shows() {
    let [environment, release] = KINDS.map(crd::crd);
    assert_eq!(environment.spec.scope, "Cluster");
    assert_eq!(release.spec.scope, "Namespaced");
    assert_eq!(
        release.metadata.name.as_deref(),
        Some("releases.evenkeel.dev")
    );
    assert_eq!(
        environment.metadata.name.as_deref(),
        Some("environments.evenkeel.dev")
    );
    assert_eq!(release.spec.names.short_names, Some(vec!["rel".to_owned()]));
    assert_eq!(
        environment.spec.names.short_names,
        Some(vec!["ekenv".to_owned()])
    );
    let columns = |version: &Value| -> Vec<String> {
        let columns = version["additionalPrinterColumns"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        columns
            .iter()
            .map(|column| column["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    for (definition, wanted) in [
        (environment, vec!["Cluster", "Region", "Age"]),
        (
            release,
            vec!["Ready", "Reason", "Revision", "Drifted", "Suspended", "Age"],
        ),
    ] {
        let versions = serde_json::to_value(&definition.spec.versions).expect("JSON");
        let version = &versions[0];
        assert_eq!(version["name"], "v1alpha1");
        assert_eq!(version["served"], true);
        assert_eq!(version["storage"], true);
        assert_eq!(version["subresources"], json!({"status": {}}));
        assert_eq!(columns(version), wanted);
    }
}

/// Kubernetes' rules for structural schemas, and what else its validator refuses.
/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>
#[test]
fn the_schemas_are_structural() {
    for kind in KINDS {
        let definition = serde_json::to_value(crd::crd(kind)).expect("JSON");
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut open = Vec::new();
        structural(schema, kind.as_str(), &mut open);
        let wanted: &[&str] = match kind {
            Kind::Environment => &[],
            // Task definitions in RegisterTaskDefinition's own shape: ECS checks what is in them.
            Kind::Release => &[
                "Release.spec.hooks.after[].ecsTask.taskDefinition.inline",
                "Release.spec.hooks.after[].http.payload",
                "Release.spec.hooks.after[].lambda.payload",
                "Release.spec.hooks.before[].ecsTask.taskDefinition.inline",
                "Release.spec.hooks.before[].http.payload",
                "Release.spec.hooks.before[].lambda.payload",
                "Release.spec.migrations[].taskDefinition.inline",
                "Release.spec.schedules[].taskDefinition.inline",
                "Release.spec.services[].taskDefinition.inline",
            ],
        };
        open.sort();
        assert_eq!(open, wanted, "where unknown fields are kept");
    }
}

fn structural(schema: &Value, path: &str, open: &mut Vec<String>) {
    let members = schema
        .as_object()
        .unwrap_or_else(|| panic!("{path}: not an object: {schema}"));
    let known = [
        "title",
        "type",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "description",
        "enum",
        "nullable",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "example",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
    ];
    for name in members.keys() {
        assert!(
            known.contains(&name.as_str()),
            "{path}: {name} is not expected in a structural schema"
        );
    }
    if schema.get("x-kubernetes-int-or-string").is_some() {
        assert!(schema.get("type").is_none(), "{path}: it says so itself");
        return;
    }
    let kind = schema["type"]
        .as_str()
        .unwrap_or_else(|| panic!("{path}: no type: {schema}"));
    assert!(
        ["object", "array", "string", "integer", "number", "boolean"].contains(&kind),
        "{path}: {kind}"
    );
    if let Some(format) = schema.get("format") {
        assert!(
            ["int32", "int64", "double"].contains(&format.as_str().unwrap_or_default()),
            "{path}: {format}"
        );
    }
    if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
        assert_eq!(kind, "object", "{path}");
        open.push(path.to_owned());
    }
    let properties = members.get("properties").and_then(Value::as_object);
    let others = members.get("additionalProperties");
    assert!(
        properties.is_none() || others.is_none(),
        "{path}: properties and additionalProperties"
    );
    for (name, property) in properties.into_iter().flatten() {
        let here = format!("{path}.{name}");
        if here.ends_with(".metadata") && path.split('.').count() == 1 {
            continue;
        }
        structural(property, &here, open);
    }
    for name in members
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = name.as_str().unwrap_or_default();
        assert!(
            properties.is_some_and(|p| p.contains_key(name)),
            "{path}: {name} is required and unknown"
        );
    }
    match others {
        Some(others) => structural(others, &format!("{path}[*]"), open),
        None if kind == "object" => assert!(
            properties.is_some() || members.contains_key("x-kubernetes-preserve-unknown-fields"),
            "{path}: an object of nothing: Kubernetes would drop what is in it"
        ),
        None => {}
    }
    match members.get("items") {
        Some(items) => structural(items, &format!("{path}[]"), open),
        None => assert_ne!(kind, "array", "{path}: a list of what?"),
    }
}

/// Editors read these with the same eyes as `validate`: closed objects, and both kinds.
#[test]
fn the_json_schemas_are_closed_and_name_their_kind() {
    for kind in KINDS {
        let schema = crd::json_schema(Some(kind));
        assert_eq!(schema["properties"]["kind"]["const"], kind.as_str());
        assert_eq!(
            schema["properties"]["apiVersion"]["const"],
            "evenkeel.dev/v1alpha1"
        );
        assert_eq!(schema["properties"]["spec"]["additionalProperties"], false);
        assert!(
            !schema.to_string().contains("\"$ref\""),
            "every editor reads it"
        );
    }
    let both = crd::json_schema(None);
    assert_eq!(both["oneOf"].as_array().map(Vec::len), Some(2));
}
