//! Manifests: files of YAML or JSON, read into checked objects, with every error of every file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::circle;
use super::crd;
use super::files;
use super::meta::{API_VERSION, Environment, Kind, Object, ObjectMeta, Release, ReleaseKey};
use super::path::{FieldPath, Step};
use super::problem::FieldError;
pub use super::problem::{Problem, Problems};
use super::shape::{self, Report};
use super::suggest;
use super::validate;
use super::yaml::{self, Node, NodeKind, Position};

/// An object and where it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it begins.
    pub origin: Origin,
    /// The object.
    pub object: Declared,
}

/// A file and a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file as it was named, or `<stdin>`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// An object that a manifest declares. It has no status, and of what the table sets in its
/// metadata only `resourceVersion`, which a write checks.
#[derive(Clone, Debug, PartialEq)]
pub enum Declared {
    /// An Environment.
    Environment(Environment),
    /// A Release.
    Release(Release),
}

impl Declared {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Declared::Environment(_) => Kind::Environment,
            Declared::Release(_) => Kind::Release,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Declared::Environment(environment) => &environment.metadata,
            Declared::Release(release) => &release.metadata,
        }
    }
}

impl std::fmt::Display for Declared {
    /// `Release production/rails`, `Environment production`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let metadata = self.metadata();
        write!(f, "{} ", self.kind())?;
        if let Some(namespace) = &metadata.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&metadata.name)
    }
}

/// Reads manifests. A path is a file, a directory (all `*.yaml`, `*.yml` and `*.json` below it, in
/// the order of their names, hidden ones and JSON of other kinds left out), or `-` for the standard
/// input. A file that is named twice is read once.
///
/// # Errors
/// Everything that is wrong in any of the files, and the same object declared twice.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Manifest>, Problems> {
    let mut problems = Vec::new();
    let mut manifests = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        for source in files::read(path, &mut seen, &mut problems) {
            if source.was_found && is_other_json(&source) {
                continue;
            }
            let (read, wrong) = parse(&source.file, &source.text);
            manifests.extend(read);
            problems.extend(wrong);
        }
    }
    problems.extend(declared_twice(&manifests));
    problems.extend(in_circles(&manifests));
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(Problems(problems))
    }
}

/// Whether a JSON file that lies in a folder of manifests is something else altogether: a list, or
/// a mapping that says neither `apiVersion` nor `kind`. One that is named itself must be a manifest.
fn is_other_json(source: &files::Source) -> bool {
    let is_json = source.file.ends_with(".json");
    is_json
        && serde_json::from_str::<Value>(&source.text).is_ok_and(|value| {
            !["apiVersion", "kind", "items"]
                .iter()
                .any(|name| value.get(name).is_some())
        })
}

/// Reads the documents of one text: the objects that are right, and all that is wrong with the
/// others.
pub fn parse(file: &str, text: &str) -> (Vec<Manifest>, Vec<Problem>) {
    let (documents, text_errors) = yaml::documents(text);
    let mut problems: Vec<Problem> = text_errors
        .into_iter()
        .map(|error| Problem {
            file: file.to_owned(),
            line: error.position.line,
            column: error.position.column,
            field: String::new(),
            message: error.message,
            help: error.help,
        })
        .collect();
    let mut manifests = Vec::new();
    for document in &documents {
        for node in objects(&document.root) {
            match object(node) {
                Ok(object) if document.is_clean => manifests.push(Manifest {
                    origin: Origin {
                        file: file.to_owned(),
                        line: node.position.line,
                    },
                    object,
                }),
                // What is wrong with its text has been told of.
                Ok(_) => {}
                Err(errors) => {
                    problems.extend(errors.into_iter().map(|located| problem(file, located)))
                }
            }
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    (manifests, problems)
}

/// The objects of a document: itself, or the items of a list as `get -o yaml` prints it.
fn objects(document: &Node) -> Vec<&Node> {
    match document.get("items").map(|entry| &entry.value.kind) {
        Some(NodeKind::List(items)) if document.get("spec").is_none() => items.iter().collect(),
        _ => vec![document],
    }
}

type Located = (Position, FieldError);

fn problem(file: &str, (position, error): Located) -> Problem {
    Problem {
        file: file.to_owned(),
        line: position.line,
        column: position.column,
        field: error.path.to_string(),
        message: error.message,
        help: error.help,
    }
}

fn object(node: &Node) -> Result<Declared, Vec<Located>> {
    if !matches!(node.kind, NodeKind::Map(_)) {
        let message = "a manifest must be a mapping with apiVersion, kind, metadata and spec";
        return Err(vec![(
            node.position,
            FieldError::new(FieldPath::root(), message),
        )]);
    }
    match kind(node) {
        Ok(Kind::Environment) => {
            checked(node, Kind::Environment, validate::environment).map(Declared::Environment)
        }
        Ok(Kind::Release) => checked(node, Kind::Release, validate::release).map(Declared::Release),
        Err(error) => {
            let errors: Vec<FieldError> = api_version(node).into_iter().chain([error]).collect();
            Err(located(node, errors))
        }
    }
}

fn kind(node: &Node) -> Result<Kind, FieldError> {
    let kinds = [Kind::Environment, Kind::Release];
    let Some(entry) = node.get("kind") else {
        return Err(FieldError::new(FieldPath::root(), "`kind` is missing")
            .help("write `kind: Release` or `kind: Environment`"));
    };
    let path = FieldPath::root().key("kind");
    let Some(written) = entry.value.as_str() else {
        return Err(FieldError::new(path, "must be `Release` or `Environment`"));
    };
    kinds
        .into_iter()
        .find(|kind| kind.as_str() == written)
        .ok_or_else(|| {
            let help = suggest::did_you_mean(written, kinds.map(Kind::as_str)).unwrap_or_default();
            FieldError::new(
                path,
                format!("`{written}` is not a kind that evenkeel knows"),
            )
            .help(help)
        })
}

fn api_version(node: &Node) -> Option<FieldError> {
    let Some(entry) = node.get("apiVersion") else {
        return Some(
            FieldError::new(FieldPath::root(), "`apiVersion` is missing")
                .help(format!("write `apiVersion: {API_VERSION}`")),
        );
    };
    if entry.value.as_str() == Some(API_VERSION) {
        return None;
    }
    let path = FieldPath::root().key("apiVersion");
    let message = match entry.value.as_str() {
        Some(other) => format!("`{other}` is not an API version that evenkeel knows"),
        None => "must be text".to_owned(),
    };
    Some(FieldError::new(path, message).help(format!("write `apiVersion: {API_VERSION}`")))
}

/// Reads and checks one object of a known kind.
fn checked<Spec, Status>(
    node: &Node,
    kind: Kind,
    validate: impl Fn(&Object<Spec, Status>) -> Vec<FieldError>,
) -> Result<Object<Spec, Status>, Vec<Located>>
where
    Spec: DeserializeOwned,
    Status: DeserializeOwned,
{
    let mut report = Report::default();
    let later = |path: &FieldPath| comes_later(kind, path);
    let value = shape::check(
        node,
        manifest_schema(kind),
        &FieldPath::root(),
        &later,
        &mut report,
    );
    let mut wrong: Vec<Located> = report
        .errors
        .into_iter()
        .map(|error| {
            let position = error.position.unwrap_or_else(|| node.locate(&error.path));
            let found = FieldError::new(error.path, error.message);
            (
                position,
                FieldError {
                    help: error.help,
                    ..found
                },
            )
        })
        .collect();
    let mut errors = Vec::new();
    let mut broken = report.broken;
    let object = value.and_then(|mut value| {
        take_out_what_the_table_sets(&mut value);
        deserialize(value, kind, &mut errors, &mut broken)
    });
    if let Some(object) = &object {
        errors.extend(
            validate(object)
                .into_iter()
                .filter(|error| !follows_from(error, &broken)),
        );
    }
    wrong.extend(located(node, errors));
    match object {
        Some(object) if wrong.is_empty() => Ok(object),
        _ => Err(wrong),
    }
}

/// Whether an error only follows from another one that was told already.
fn follows_from(error: &FieldError, broken: &[FieldPath]) -> bool {
    broken.iter().any(|broken| {
        broken.contains(&error.path)
            || broken.parent().is_some_and(|parent| parent == error.path)
            || error
                .looked_in
                .as_ref()
                .is_some_and(|place| broken.contains(place))
    })
}

/// Status and metadata of an exported object are no part of what is declared. The resource version
/// stays: with it, a write of something that has changed since is refused.
fn take_out_what_the_table_sets(value: &mut Value) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in [
            "uid",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
        ] {
            metadata.remove(name);
        }
    }
}

/// Reads the value, taking out what cannot be read and telling of it, until the rest can be.
fn deserialize<T: DeserializeOwned>(
    mut value: Value,
    kind: Kind,
    errors: &mut Vec<FieldError>,
    broken: &mut Vec<FieldPath>,
) -> Option<T> {
    // A value that must not be wrong twice: apiVersion and kind have been told of already.
    value["apiVersion"] = Value::from(API_VERSION);
    value["kind"] = Value::from(kind.as_str());
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(object) => return Some(object),
            Err(error) => error,
        };
        let path = field_path(error.path());
        // A member that cannot be read and may not be missing was told of already.
        if broken
            .iter()
            .any(|broken| broken.parent().as_ref() == Some(&path))
        {
            return None;
        }
        let taken_out = remove(&mut value, &path);
        errors.push(FieldError::new(
            path.clone(),
            error.into_inner().to_string(),
        ));
        broken.push(path);
        if !taken_out {
            return None;
        }
    }
}

fn field_path(path: &serde_path_to_error::Path) -> FieldPath {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Takes a member out of a value; false when there is none of that path.
fn remove(value: &mut Value, path: &FieldPath) -> bool {
    let Some((last, above)) = path.steps().split_last() else {
        return false;
    };
    let mut at = value;
    for step in above {
        let next = match step {
            Step::Key(name) => at.get_mut(name.as_str()),
            Step::Index(index) => at.get_mut(*index),
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match (last, at) {
        (Step::Key(name), Value::Object(members)) => members.remove(name).is_some(),
        _ => false,
    }
}

fn located(node: &Node, errors: Vec<FieldError>) -> Vec<Located> {
    errors
        .into_iter()
        .map(|error| (node.locate(&error.path), error))
        .collect()
}

fn manifest_schema(kind: Kind) -> &'static Value {
    use std::sync::LazyLock;
    static ENVIRONMENT: LazyLock<Value> = LazyLock::new(|| crd::manifest_schema(Kind::Environment));
    static RELEASE: LazyLock<Value> = LazyLock::new(|| crd::manifest_schema(Kind::Release));
    match kind {
        Kind::Environment => &ENVIRONMENT,
        Kind::Release => &RELEASE,
    }
}

/// Fields that are part of the design and have no behaviour yet: saying so is kinder than
/// suggesting another name.
fn comes_later(kind: Kind, path: &FieldPath) -> bool {
    let names: Vec<&str> = path
        .steps()
        .iter()
        .filter_map(|step| match step {
            Step::Key(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let later: &[&str] = match (kind, names.as_slice()) {
        (Kind::Environment, ["spec", _]) => &["roleArn", "externalId", "notifications"],
        (Kind::Release, ["spec", _]) => &["notifications"],
        (Kind::Release, ["spec", "services", _]) => &["hooks"],
        (Kind::Release, ["spec", "services", "rollout", _]) => &["approval"],
        _ => &[],
    };
    names.last().is_some_and(|name| later.contains(name))
}

/// Releases of the files that wait for each other; each is told of once.
fn in_circles(manifests: &[Manifest]) -> Vec<Problem> {
    let releases = manifests
        .iter()
        .filter_map(|manifest| match &manifest.object {
            Declared::Release(release) => {
                Some((release.release_key(), (release, &manifest.origin)))
            }
            Declared::Environment(_) => None,
        });
    let releases: BTreeMap<ReleaseKey, (&Release, &Origin)> = releases.collect();
    let requires = |key: &ReleaseKey| match releases.get(key) {
        Some((release, _)) => validate::requires(release),
        None => Vec::new(),
    };
    let mut told: BTreeSet<ReleaseKey> = BTreeSet::new();
    let mut problems = Vec::new();
    for (key, (_, origin)) in &releases {
        let circle = circle::way_back(key, requires).unwrap_or_default();
        // One that waits for itself is told of where it says so.
        if circle.len() < 2 || circle.iter().any(|member| told.contains(member)) {
            continue;
        }
        problems.push(Problem {
            file: origin.file.clone(),
            line: origin.line,
            column: 1,
            field: "spec.requires".to_owned(),
            message: format!(
                "these releases wait for each other: {}",
                circle::told(&circle)
            ),
            help: Some("take one of these requirements out".to_owned()),
        });
        told.extend(circle);
    }
    problems
}

fn declared_twice(manifests: &[Manifest]) -> Vec<Problem> {
    let mut first: BTreeMap<String, &Origin> = BTreeMap::new();
    let mut problems = Vec::new();
    for manifest in manifests {
        let name = manifest.object.to_string();
        match first.get(&name) {
            Some(origin) => problems.push(Problem {
                file: manifest.origin.file.clone(),
                line: manifest.origin.line,
                column: 1,
                field: String::new(),
                message: format!("{name} is declared twice; the first is at {origin}"),
                help: Some("keep one of them".to_owned()),
            }),
            None => {
                first.insert(name, &manifest.origin);
            }
        }
    }
    problems
}
