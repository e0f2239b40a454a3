//! What `validate` says of good and of bad manifests.

#![expect(clippy::expect_used, reason = "a test that cannot go on shall fail")]

use std::path::{Path, PathBuf};

use evenkeel::resource::manifest::{self, Declared, Manifest, Problems};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn load(paths: &[&str]) -> Result<Vec<Manifest>, Problems> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| tests().join(path)).collect();
    manifest::load(&paths)
}

fn objects(manifests: &[Manifest]) -> Vec<String> {
    manifests
        .iter()
        .map(|manifest| manifest.object.to_string())
        .collect()
}

/// Every file of `tests/cases/validate` with what is told of it, every problem of a file at once.
#[test]
fn bad_manifests_are_told_in_full() {
    let folder = tests().join("cases/validate");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the cases")
        .map(|entry| entry.expect("a case").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|end| end == "yaml" || end == "json")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the cases are there");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for file in files {
            let name = file
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&file).expect("the case");
            let (accepted, problems) = manifest::parse(&name, &text);
            assert!(!problems.is_empty(), "{name} is not bad at all");
            for problem in &problems {
                assert!(problem.line > 0 && problem.column > 0, "{problem}");
            }
            let accepted = objects(&accepted);
            let told = format!("{}\n\naccepted: {accepted:?}", Problems(problems));
            insta::assert_snapshot!(name, told);
        }
    });
}

#[test]
fn the_examples_are_accepted_as_they_are() {
    // The AWS calls and events that stand beside the manifests in the folders are let be.
    let manifests = load(&["fixtures/examples/rails", "fixtures/examples/chuoi"])
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        objects(&manifests),
        [
            "Environment production",
            "Release production/rails",
            "Environment chuoi",
            "Release chuoi/chuoi"
        ]
    );
    let Declared::Release(rails) = &manifests[1].object else {
        panic!("a release")
    };
    assert_eq!(rails.spec.schedules[1].expression, "*/15 * * * *");
    assert_eq!(rails.spec.images["app"].tag.as_deref(), Some("9d3c2f1"));
    assert_eq!(manifests[1].origin.line, 1);
}

#[test]
fn json_that_is_no_manifest_is_refused_where_it_is_named() {
    let problems = load(&["fixtures/examples/rails/account.json"]).expect_err("AWS calls");
    assert!(
        problems.0[0].message.contains("must be a mapping"),
        "{problems}"
    );
}

#[test]
fn the_replication_example_is_accepted_as_it_is() {
    let manifests = load(&["fixtures/examples/replication"]).expect("accepted");
    let Declared::Release(api) = &manifests[1].object else {
        panic!("a release")
    };
    let image = &api.spec.images["api"];
    assert_eq!(
        (image.tag.as_deref(), image.follow),
        (Some("latest"), Some(true))
    );
}

const ENVIRONMENT: &str = "apiVersion: evenkeel.dev/v1alpha1\nkind: Environment\n\
                           metadata: {name: shop}\nspec: {cluster: shop, region: eu-central-1}\n";

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn an_exported_object_is_accepted_again_without_its_status() {
    let text = std::fs::read_to_string(tests().join("fixtures/exported.yaml")).expect("the file");
    let (manifests, problems) = manifest::parse("exported.yaml", &text);
    assert_eq!(problems, []);
    let Declared::Release(release) = &manifests[0].object else {
        panic!("a release")
    };
    assert_eq!(release.status, None);
    assert_eq!(
        release.metadata.resource_version.as_deref(),
        Some("17"),
        "stale writes are refused"
    );
    assert_eq!(release.metadata.uid, None);
    assert_eq!(release.metadata.generation, None);
    assert_eq!(release.metadata.creation_timestamp, None);
}

#[test]
fn a_list_as_get_prints_it_is_accepted() {
    let item = |name: &str| {
        format!(
            r#"{{"apiVersion":"evenkeel.dev/v1alpha1","kind":"Environment","metadata":{{"name":"{name}"}},"spec":{{"cluster":"c","region":"eu-central-1"}}}}"#
        )
    };
    let text = format!(
        "{{\n\t\"items\": [\n\t\t{},\n\t\t{}\n\t]\n}}\n",
        item("one"),
        item("two")
    );
    let (manifests, problems) = manifest::parse("list.json", &text);
    assert_eq!(problems, []);
    assert_eq!(objects(&manifests), ["Environment one", "Environment two"]);
}

#[test]
fn folders_are_read_in_order_and_other_files_are_left_alone() {
    let folder = folder("folders");
    let environment = |name: &str| ENVIRONMENT.replace("name: shop", &format!("name: {name}"));
    std::fs::create_dir_all(folder.join("b")).expect("a folder");
    std::fs::create_dir_all(folder.join(".git")).expect("a folder");
    for (file, name) in [("c.yml", "three"), ("a.yaml", "one"), ("b/x.yaml", "two")] {
        std::fs::write(folder.join(file), environment(name)).expect("a file");
    }
    for file in ["readme.md", ".hidden.yaml", ".git/x.yaml"] {
        std::fs::write(folder.join(file), "this is: [no manifest").expect("a file");
    }
    // A file that is named twice is read once.
    let manifests =
        manifest::load(&[folder.clone(), folder.join("a.yaml")]).expect("they are good");
    assert_eq!(
        objects(&manifests),
        ["Environment one", "Environment two", "Environment three"]
    );
    assert!(
        manifests[1].origin.file.ends_with("b/x.yaml"),
        "{}",
        manifests[1].origin
    );
}

#[test]
fn the_same_object_twice_names_both_places() {
    let folder = folder("twice");
    std::fs::write(folder.join("a.yaml"), ENVIRONMENT).expect("a file");
    std::fs::write(folder.join("b.yaml"), format!("---\n---\n{ENVIRONMENT}")).expect("a file");
    let problems = manifest::load(std::slice::from_ref(&folder)).expect_err("it is there twice");
    let [problem] = problems.0.as_slice() else {
        panic!("{problems}")
    };
    assert!(problem.file.ends_with("b.yaml"), "{problem}");
    assert_eq!(problem.line, 3);
    assert!(
        problem
            .message
            .contains("Environment shop is declared twice"),
        "{problem}"
    );
    assert!(problem.message.contains("a.yaml:1"), "{problem}");
}

#[test]
fn every_file_is_told_of_at_once() {
    let folder = folder("every");
    std::fs::write(folder.join("a.yaml"), "a: [").expect("a file");
    std::fs::write(folder.join("b.yaml"), [0xff, 0xfe, 0x00]).expect("a file");
    std::fs::write(
        folder.join("c.yaml"),
        ENVIRONMENT.replace("region", "regoin"),
    )
    .expect("a file");
    std::fs::create_dir_all(folder.join("empty")).expect("a folder");
    let paths = [
        folder.clone(),
        folder.join("nowhere.yaml"),
        folder.join("empty"),
    ];
    let problems = manifest::load(&paths).expect_err("all are bad").to_string();
    for says in [
        "a.yaml:1:4: this is not valid YAML",
        "b.yaml: is not UTF-8 text",
        "there is no field `regoin` (did you mean `region`?)",
        "nowhere.yaml: there is no such file or directory",
        "empty: holds no manifest",
    ] {
        assert!(problems.contains(says), "{says} in\n{problems}");
    }
}

/// Whatever is left of a manifest, there is an answer: an object, or what is wrong.
#[test]
fn a_manifest_that_lost_a_part_is_never_silently_dropped() {
    let file = tests().join("fixtures/examples/rails/release.yaml");
    let text = std::fs::read_to_string(file).expect("the example");
    let lines: Vec<&str> = text.lines().collect();
    for missing in 0..lines.len() {
        let mut left = lines.clone();
        left.remove(missing);
        let (manifests, problems) = manifest::parse("release.yaml", &left.join("\n"));
        assert!(
            manifests.len() + problems.len() > 0,
            "without line {missing}"
        );
    }
    for end in (1..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let (manifests, problems) = manifest::parse("release.yaml", &text[..end]);
        assert!(
            manifests.len() + problems.len() > 0,
            "up to character {end}"
        );
    }
}
